"""Recipes: the values that belong together, one named set for each task and released configuration.

The paper (section on implementation details) gives what all its tasks share. The rest stands in
the configurations of the authors' released program, of which there are ten for six tasks, and they
disagree: a value belongs to a configuration, never to "the program", and which of them made which
table of the paper cannot be known. So each configuration is a recipe, under the name of its file;
of several for one task, the task takes the one that is named after the set alone. A task for which
none was released takes what most of the ten have. SynthME's tasks take the library's defaults.
`protocol="reference"` adds what all of them do and we do not, see `config.REFERENCE`; the default
is the same recipe judged honestly.
"""

from typing import Any, NamedTuple

from merclip_lib.config import REFERENCE, Config, config_from
from merclip_lib.files import did_you_mean

PAPER: dict[str, Any] = {
    "size": "ViT-B-16",
    "pretrained": True,
    "temporal": True,
    "frames": 16,
    "use_text": True,
    "description": "phrases",
    "loss_weights": "linear",
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
    "head_lr_scale": 1.0,
    "weight_decay": 0.05,
    "grad_clip": 20.0,
    "held_out": "subject",
    "folds": 0,
}
PROGRAM = {"normalisation": "imagenet"}  # all ten, where the paper is silent


class Released(NamedTuple):
    """What a released configuration sets where they differ; defaults are what most of them have.

    The last three are no fields of `Config`: pictures are cut when a set is prepared, the text
    tower and the start come in files.
    """

    task: str
    drop_path: float = 0.2
    global_drop_path: float = 0.4
    flip_probability: float = 0.0
    jitter: float = 0.1  # the strength is ours; 0 where it has no colour jitter
    class_balanced: bool = False
    lr: float = 5e-5  # for a batch of 128
    align_start: float = 2.0
    short_side: int = 224  # pixels in training, before 224 x 224 are cut out
    text_tower: str = "ViCLIP-B of InternVid-FLT-10M, frozen, context 77"
    starts_from: str = "its run on DFME, epoch 50"


# By the name of the file; the newest public version.
RELEASED = {
    "dfme_ccac": Released(
        "dfme-7", 0.0, 0.0, starts_from="UniFormerV2-B/16 of Something-Something V2"
    ),
    "casme2": Released("casme2-5", 0.0, 0.0, flip_probability=0.5, class_balanced=True),
    "casme2_3cls": Released("casme2-3", flip_probability=0.5),
    "casme2_dfme-pre": Released("casme2-5", lr=3e-5, starts_from="its run on DFME, epoch 60"),
    "casme2_ori": Released(
        "casme2-5",
        text_tower="ViCLIP-B of InternVid-200M, frozen, context 32",
        starts_from="another run on DFME, its best epoch on the test split",
    ),
    "casme3": Released("casme3-7", class_balanced=True),
    "samm": Released("samm-5", jitter=0.0, lr=7e-5, short_side=256),
    "samm_3cls": Released("samm-3", class_balanced=True, lr=7e-5),
    "samm_dfme-pre": Released("samm-5", jitter=0.0, lr=7e-5, align_start=1.5),
    "samm_ori": Released(  # it says 5e-5 for a batch of 256
        "samm-5", jitter=0.0, lr=2.5e-5, starts_from="another run on DFME"
    ),
}
FILES = {  # of the tasks; "" where no configuration was released
    "casme2-3": "casme2_3cls",
    "casme2-5": "casme2",
    "samm-3": "samm_3cls",
    "samm-5": "samm",
    "casme3-3": "",
    "casme3-4": "",
    "casme3-7": "casme3",
    "dfme-7": "dfme_ccac",
    "megc2019-3": "",
}

SYNTHME = (
    "synthme-2",
    "synthme-3",
    "synthme-4",
    "synthme-5",
    "synthme-7",
    "synthme-dfme-7",
)
RECIPES = (*FILES, *RELEASED, *SYNTHME)
PRETRAINING = "dfme-7"  # the paper's start for its other tasks, by `init_from`


def released(name: str) -> Released:
    """The configuration that a recipe of the paper follows; what most have where there is none."""
    return RELEASED.get(FILES.get(name, name), Released(name))


def values_of(name: str) -> dict[str, Any]:
    """What the named recipe sets; every other field of `Config` stays at its default.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is unknown{did_you_mean(name, RECIPES)}")
    if name in SYNTHME:
        return {"task": name}
    row = released(name)._asdict()
    judged = {"held_out": "split"} if row["task"] == PRETRAINING else {}
    fields = Config.__dataclass_fields__
    return PAPER | PROGRAM | judged | {key: row[key] for key in row if key in fields}


def recipe(name: str, protocol: str = "honest", **changes: Any) -> Config:
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
            raise ValueError(
                f"protocol 'reference' sets {key} to {REFERENCE[key]!r}; leave {key} out, or take "
                "protocol 'honest'"
            )
    return config_from({**values_of(name), "protocol": protocol, **changes})
