"""Recipes: the values that belong together, one named set for each task.

The paper's tasks (section on implementation details, and the authors' released program where the
paper is silent) share one base; the table below it holds all that differs between them. SynthME's
tasks take the library's defaults. `protocol="reference"` switches to what the authors' program
does, see `config.REFERENCE`; the default is the same recipe judged honestly.
"""

import dataclasses
import difflib
from pathlib import Path

from merclip_lib.config import REFERENCE, Config, config_from
from merclip_lib.pipeline import papermill_command

PAPER = {
    "size": "ViT-B-16", "pretrained": True, "temporal": True, "frames": 16, "drop_path": 0.2,
    "global_drop_path": 0.4, "use_text": True, "description": "phrases",
    "progressive_weights": True, "align_start": 2.0, "align_end": 1.0, "use_eim": True,
    "eim_layers": 2, "mix": True, "mix_method": "local_static_face", "mix_invert": False,
    "mix_alpha": 0.5, "mix_probability": 0.5, "epochs": 55, "batch_size": 8, "warmup_epochs": 5.0,
    "lr": 5e-5, "head_lr_scale": 1.0, "weight_decay": 0.05, "grad_clip": 20.0,
    "held_out": "subject", "folds": 0, "normalisation": "imagenet",
}  # fmt: skip

# All that a task changes. SAMM goes down from 1.5 when it starts from DFME's network.
DIFFERENCES = {
    "casme2-3": {},
    "casme2-5": {"class_balanced": True},
    "samm-3": {"lr": 7e-5, "align_start": 1.5},
    "samm-5": {"lr": 7e-5, "align_start": 1.5, "class_balanced": True},
    "casme3-3": {},
    "casme3-4": {},
    "casme3-7": {"class_balanced": True},
    "dfme-7": {"class_balanced": True, "held_out": "split"},
    "megc2019-3": {},
}
FROM_PROGRAM = {"normalisation": "imagenet", "class_balanced": True, "align_start": 1.5}
SYNTHME = ("synthme-3", "synthme-4", "synthme-7")
RECIPES = (*DIFFERENCES, *SYNTHME)
PRETRAINING = "dfme-7"  # the paper's start for its other tasks, by `init_from`
NOTEBOOK = Path("notebooks") / "05_train_loso.ipynb"


def values_of(name: str) -> dict:
    """What the named recipe sets; every other field of `Config` stays at its default.

    Raises ValueError for an unknown name, with the nearest one.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(str(name), RECIPES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(RECIPES)}"
        raise ValueError(f"recipe {name!r} is unknown; {hint}")
    base = {} if name in SYNTHME else {**PAPER, **DIFFERENCES[name]}
    return {"task": name, **base}


def recipe(name: str, protocol: str = "honest", **changes) -> Config:
    """The configuration of a task, with the fields named in `changes` set otherwise.

    Raises ValueError for an unknown recipe or field, a bad value, or a change that the reference
    protocol would take back.
    """
    for key, value in changes.items():
        if protocol == "reference" and key in REFERENCE and value != REFERENCE[key]:
            raise ValueError(
                f"protocol 'reference' sets {key} to {REFERENCE[key]!r}; leave {key} out, or take "
                "protocol 'honest'"
            )
    return config_from({**values_of(name), "protocol": protocol, **changes})


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
    from merclip_lib.folds import stamp

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
