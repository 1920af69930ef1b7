"""Recipes in words, and the commands that run them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from merclip_lib import recipes
from merclip_lib.config import REFERENCE, Config, stamp
from merclip_lib.study.checkout import MARK as NOTEBOOK
from merclip_lib.study.notebooks import papermill_command, parameters_of


def sources(name: str, config: Config) -> dict[str, str]:
    """Where each value of a recipe comes from, by field.

    Args:
        name: of the recipe.
        config: what `recipe` gave for it.

    Returns:
        "paper"; the name of the released configuration; "most", what most of these have, where
        none was released for the task; "program", what all of them do; "ours", a default of this
        library; or "given", a change by the caller.
    """
    values, source = recipes.values_of(name), {}
    base = asdict(Config()) | values
    for key, value in asdict(config).items():
        if config.protocol == "reference" and key in (*REFERENCE, "protocol"):
            source[key] = "program"
        elif value != base[key]:
            source[key] = "given"
        elif key not in values or name in recipes.SYNTHME:
            source[key] = "ours"
        elif key in recipes.MOST:
            source[key] = file_of(name) or "most"
        else:
            source[key] = "program" if key in recipes.PROGRAM else "paper"
    return source | {"task": "ours" if name in recipes.SYNTHME else "paper"}


def file_of(name: str) -> str:
    """The released configuration that a recipe follows, "" where there is none."""
    return name if name in recipes.RELEASED else recipes.FILES.get(name, "")


def differences(name: str, config: Config) -> dict[str, tuple]:
    """(value in the base, value here) of every field that differs; the base is the honest PAPER
    with what most released configurations have, for SynthME the library's defaults."""
    base = asdict(Config(task=config.task))
    if name not in recipes.SYNTHME:
        base |= recipes.MOST | recipes.PAPER | recipes.PROGRAM
    return {key: (base[key], here) for key, here in asdict(config).items() if here != base[key]}


def commands(name: str, config: Config) -> list[str]:
    """The command lines that train a recipe with notebook 05.

    Paths inside the notebook start at notebooks/. Words in capitals are to be filled in: the clip
    store, the weights file, and RUN, the folder that the first line makes in runs/dfme.
    """
    if name in recipes.SYNTHME:
        return [_papermill(name, config, {})]
    files: dict[str, Any] = {"weights": "WEIGHTS", "store_dir": "STORE", "extra_seeds": []}
    if config.task == recipes.PRETRAINING:
        return [_papermill(name, config, files)]
    start = recipes.recipe(recipes.PRETRAINING, config.protocol)
    first = {**files, "store_dir": "DFME_STORE", "runs_dir": "../runs/dfme", "keep_network": True}
    second = {**files, "init_from": "../runs/dfme/RUN"}
    return [_papermill(recipes.PRETRAINING, start, first), _papermill(name, config, second)]


def _papermill(name: str, config: Config, files: dict[str, Any]) -> str:
    """The line with what differs from the notebook's own parameters."""
    default = asdict(Config()) | (parameters_of(NOTEBOOK) if NOTEBOOK.is_file() else {})
    if config.protocol == "reference":
        default |= REFERENCE
    changed = {key: value for key, value in asdict(config).items() if value != default[key]}
    return papermill_command(NOTEBOOK, Path(f"{name}.ipynb"), {**changed, **files})


def as_dict(name: str, config: Config) -> dict[str, Any]:
    """All about a recipe in plain values: fields with sources, differences, stamp, commands."""
    source, values = sources(name, config), asdict(config)
    differ = differences(name, config)
    row = {} if name in recipes.SYNTHME else recipes.released(name)
    return {
        "recipe": name,
        "configuration": file_of(name),
        "not_settings": {key: value for key, value in row.items() if key not in values},
        "protocol": config.protocol,
        "stamp": stamp(config),
        "values": {key: {"value": value, "source": source[key]} for key, value in values.items()},
        "differences": {key: {"base": base, "here": here} for key, (base, here) in differ.items()},
        "commands": commands(name, config),
    }


def as_text(name: str, config: Config) -> str:
    """The same for reading."""
    report, ours = as_dict(name, config), name in recipes.SYNTHME
    followed = "no configuration was released for this task: its values are what most have"
    if report["configuration"]:
        followed = f"after the released configuration {report['configuration']}"
    lines = [f"{name}, protocol {config.protocol}", *([] if ours else [followed]), ""]
    for key, entry in report["values"].items():
        lines.append(f"{key:<20}{str(entry['value']) or '(empty)':<20}{entry['source']}")
    if not ours:
        lines += ["", "no settings here"]
        lines += [f"  {key:<18}{value}" for key, value in report["not_settings"].items()]
    base = "the library's defaults" if ours else "what most of the paper's recipes have"
    differ = [f"  {key:<18}{a!s} -> {b!s}" for key, (a, b) in differences(name, config).items()]
    lines += ["", f"differs from {base} in", *(differ or ["  nothing"])]
    lines += ["", f"stamp: {report['stamp'] or 'none, an honest protocol'}", ""]
    lines += ["run it with (capitals: fill in; paths start at notebooks/)", *report["commands"]]
    return "\n".join(lines)
