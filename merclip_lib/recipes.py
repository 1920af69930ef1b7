"""Recipes: the values that belong together, one named set for each task.

The paper's tasks (section on implementation details, and the authors' released program where the
paper is silent) share one base; the table below it holds all that differs between them. SynthME's
tasks take the library's defaults. `protocol="reference"` switches to what the authors' program
does, see `config.REFERENCE`; the default is the same recipe judged honestly.
"""

from typing import Any

from merclip_lib.config import REFERENCE, Config, config_from
from merclip_lib.files import did_you_mean

PAPER: dict[str, Any] = {
    "size": "ViT-B-16",
    "pretrained": True,
    "temporal": True,
    "frames": 16,
    "drop_path": 0.2,
    "global_drop_path": 0.4,
    "use_text": True,
    "description": "phrases",
    "loss_weights": "linear",
    "align_start": 2.0,
    "align_end": 1.0,
    "use_eim": True,
    "eim_layers": 2,
    "mix": True,
    "mix_method": "local_static_face",
    "mix_where": "region",
    "mix_alpha": 0.5,
    "mix_probability": 0.5,
    "epochs": 55,
    "batch_size": 8,
    "warmup_epochs": 5.0,
    "lr": 5e-5,
    "head_lr_scale": 1.0,
    "weight_decay": 0.05,
    "grad_clip": 20.0,
    "held_out": "subject",
    "folds": 0,
    "normalisation": "imagenet",
}

# All that a task changes. SAMM goes down from 1.5 when it starts from DFME's network.
DIFFERENCES: dict[str, dict[str, Any]] = {
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

# Values that the paper does not state, by the authors' released program.
FROM_PROGRAM = {"normalisation": "imagenet", "class_balanced": True, "align_start": 1.5}

SYNTHME = (
    "synthme-2",
    "synthme-3",
    "synthme-4",
    "synthme-5",
    "synthme-7",
    "synthme-dfme-7",
)
RECIPES = (*DIFFERENCES, *SYNTHME)
PRETRAINING = "dfme-7"  # the paper's start for its other tasks, by `init_from`


def values_of(name: str) -> dict[str, Any]:
    """What the named recipe sets; every other field of `Config` stays at its default.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is unknown{did_you_mean(name, RECIPES)}")
    base = {} if name in SYNTHME else {**PAPER, **DIFFERENCES[name]}
    return {"task": name, **base}


def recipe(name: str, protocol: str = "honest", **changes: Any) -> Config:
    """The configuration of a task.

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
            raise ValueError(
                f"protocol 'reference' sets {key} to {REFERENCE[key]!r}; leave {key} out, or take "
                "protocol 'honest'"
            )
    return config_from({**values_of(name), "protocol": protocol, **changes})
