"""Recipes: the values that belong together, one named set for each task and released configuration.

The paper (section on implementation details) gives what all its tasks share. The rest stands in
the configurations of the authors' released program, of which there are ten for six tasks, and they
disagree: a value belongs to a configuration, never to "the program", and which of them made which
table of the paper cannot be known. So each configuration is a recipe, under the name of its file;
of several for one task, the task takes the one that is named after the set alone. A task for which
none was released takes what most of the ten have. SynthME's tasks take the library's defaults.
`protocol="reference"` adds what all of them do and we do not, see `config.REFERENCE`; the default
is the same recipe judged honestly. The values themselves are in recipes.yaml.
"""

from pathlib import Path
from typing import Any

import yaml

from merclip_lib.config import REFERENCE, Config, config_from
from merclip_lib.files import did_you_mean

_VALUES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PAPER: dict[str, Any] = _VALUES["paper"]
PROGRAM: dict[str, Any] = _VALUES["program"]
MOST: dict[str, Any] = _VALUES["most"]
RELEASED: dict[str, dict[str, Any]] = _VALUES["released"]
FILES: dict[str, str] = _VALUES["files"]
SYNTHME: list[str] = _VALUES["synthme"]
RECIPES = (*FILES, *RELEASED, *SYNTHME)
PRETRAINING = "dfme-7"  # the paper's start for its other tasks, by `init_from`


def released(name: str) -> dict[str, Any]:
    """The configuration that a recipe of the paper follows; what most have where there is none."""
    return MOST | RELEASED.get(FILES.get(name, name), {"task": name})


def values_of(name: str) -> dict[str, Any]:
    """What the named recipe sets; every other field of `Config` stays at its default.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is unknown{did_you_mean(name, RECIPES)}")
    if name in SYNTHME:
        return {"task": name}
    row = released(name)
    judged = {"held_out": "split"} if row["task"] == PRETRAINING else {}
    fields = Config.__dataclass_fields__
    return PAPER | PROGRAM | judged | {key: row[key] for key in row if key in fields}


def recipe(name: str, /, protocol: str = "honest", **changes: Any) -> Config:
    """The configuration of a task, or of a released configuration.

    Args:
        name: one of RECIPES.
        protocol: "honest", or "reference" for what the authors' program does.
        **changes: fields of `Config` that are set otherwise.

    Raises:
        ValueError: for an unknown recipe or field, a bad value, or a change that the reference
            protocol would take back.
    """
    for key, value in changes.items():
        if protocol == "reference" and key in REFERENCE and value != REFERENCE[key]:
            fixed = f"protocol 'reference' sets {key} to {REFERENCE[key]!r}"
            raise ValueError(f"{fixed}; leave {key} out, or take protocol 'honest'")
    return config_from({**values_of(name), "protocol": protocol, **changes})
