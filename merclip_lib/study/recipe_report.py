"""Recipes in words, and the commands that run them."""

import dataclasses
import shlex
from pathlib import Path

from merclip_lib.config import REFERENCE, Config
from merclip_lib.recipes import FROM_PROGRAM, PAPER, PRETRAINING, SYNTHME, recipe, values_of


def papermill_command(notebook: Path, output: Path, parameters: dict) -> str:
    """The shell line that runs a notebook with these parameters, as YAML so that lists arrive."""
    import yaml

    values = yaml.safe_dump(parameters, default_flow_style=True, sort_keys=False, width=10**6)
    line = ["papermill", str(notebook), str(output), "-y", values.strip()]
    return shlex.join([*line, "--cwd", str(Path(notebook).parent)])


NOTEBOOK = Path("notebooks") / "05_train_loso.ipynb"


def sources(name: str, config: Config) -> dict[str, str]:
    """Where each value of a recipe comes from, by field.

    "paper"; "program": the authors' released one; "ours": a default of this library; "given": a
    change by the caller. `config` is what `recipe` gave for `name`.
    """
    base, default, said = values_of(name), Config(), {}
    for field in dataclasses.fields(Config):
        key, value = field.name, getattr(config, field.name)
        if config.protocol == "reference" and key in {**REFERENCE, "protocol": ""}:
            said[key] = "program"
        elif value != base.get(key, getattr(default, key)):
            said[key] = "given"
        elif key not in base or name in SYNTHME:
            said[key] = "ours"
        else:
            said[key] = "program" if FROM_PROGRAM.get(key) == value else "paper"
    said["task"] = "ours" if name in SYNTHME else "paper"
    return said


def differences(name: str, config: Config) -> dict[str, tuple]:
    """(value in the base, value here) of every field that differs; the base is the honest PAPER,
    for SynthME the library's defaults."""
    base = dataclasses.asdict(Config()) | ({} if name in SYNTHME else PAPER) | {"task": name}
    return {
        key: (base[key], value)
        for key, value in dataclasses.asdict(config).items()
        if value != base[key]
    }


def commands(name: str, config: Config) -> list[str]:
    """The command lines that train a recipe with notebook 05.

    Paths inside the notebook start at notebooks/. Words in capitals are to be filled in: the clip
    store, the weights file, and RUN, the folder that the first line makes in runs/dfme.
    """
    if name in SYNTHME:
        return [_papermill(name, config, {})]
    files = {"weights": "WEIGHTS", "store_dir": "STORE", "extra_seeds": []}
    if name == PRETRAINING:
        return [_papermill(name, config, files)]
    start = recipe(PRETRAINING, config.protocol)
    first = {**files, "store_dir": "DFME_STORE", "runs_dir": "../runs/dfme", "keep_network": True}
    second = {**files, "init_from": "../runs/dfme/RUN"}
    return [_papermill(PRETRAINING, start, first), _papermill(name, config, second)]


def _papermill(name: str, config: Config, files: dict) -> str:
    """The line with what differs from the notebook's own parameters, `Config`'s defaults."""
    default, chosen = dataclasses.asdict(Config()), dataclasses.asdict(config)
    switched = REFERENCE if config.protocol == "reference" else {}
    changed = {
        key: value for key, value in chosen.items() if value != default[key] and key not in switched
    }
    return papermill_command(NOTEBOOK, Path(f"{name}.ipynb"), {**files, **changed})


def as_dict(name: str, config: Config) -> dict:
    """All about a recipe in plain values: fields with sources, differences, stamp, commands."""
    from merclip_lib.config import stamp

    said = sources(name, config)
    return {
        "recipe": name,
        "protocol": config.protocol,
        "stamp": stamp(config),
        "values": {
            key: {"value": value, "source": said[key]}
            for key, value in dataclasses.asdict(config).items()
        },
        "differences": {
            key: {"base": base, "here": here}
            for key, (base, here) in differences(name, config).items()
        },
        "commands": commands(name, config),
    }


def as_text(name: str, config: Config) -> str:
    """The same for reading."""
    found = as_dict(name, config)
    lines = [f"{name}, protocol {config.protocol}", ""]
    for key, entry in found["values"].items():
        lines.append(f"{key:<20}{str(entry['value']) or '(empty)':<20}{entry['source']}")
    base = "the library's defaults" if name in SYNTHME else "the base of the paper's recipes"
    lines += ["", f"differs from {base} in"]
    for key, entry in found["differences"].items():
        lines.append(f"  {key:<18}{entry['base']!s} -> {entry['here']!s}")
    if not found["differences"]:
        lines.append("  nothing")
    lines += ["", f"stamp: {found['stamp'] or 'none, nothing to warn of'}", ""]
    lines += ["run it with (capitals: fill in; paths start at notebooks/)", *found["commands"]]
    return "\n".join(lines)
