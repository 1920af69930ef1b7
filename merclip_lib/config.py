"""Every hyper-parameter of a run in one frozen dataclass, and the sizes of the networks.

A `Config` is flat, so that each field is at once a papermill parameter of the training notebook,
a key of an ablation grid and a column of a results table. Its hash names the run: two runs with
the same hash would compute the same predictions.
"""

import dataclasses
import difflib
import hashlib
import json
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSize:
    """Sizes of the video encoder, the text tower and the Emotion Inference Module.

    Lengths are in pixels, tokens, channels or frames. The defaults are the paper's (CLIP
    ViT-B/16 armed with UniFormerV2 blocks, paper section on the video encoder).
    """

    resolution: int = 224  # pixels, both sides
    patch: int = 16  # pixels
    frames: int = 16  # T
    width: int = 768  # D
    layers: int = 12
    heads: int = 12
    embed_dim: int = 512  # E, shared with the text tower
    token_dim: int = 512  # C, width of the inference tokens
    temporal_downsample: bool = True  # stem halves time: T' = T/2
    lmhra: int = 2  # local temporal modules in each block: 0, 1 or 2
    lmhra_reduction: float = 1.5
    global_layers: tuple[int, ...] = tuple(range(4, 12))
    mlp_dropout: float = 0.5  # in the global blocks
    drop_path: float = 0.0  # stochastic depth of the local blocks at the last layer
    global_drop_path: float = 0.0
    drop_path_unit: str = "clip"  # what is dropped at once, see `encoder.drop_path`
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    context_length: int = 77
    vocabulary: int = 49408
    eim_layers: int = 2
    eim_heads: int = 4
    eim_dropout: float = 0.1

    @property
    def times(self) -> int:
        """T': time positions after the stem."""
        return (self.frames + 1) // 2 if self.temporal_downsample else self.frames

    @property
    def grid(self) -> int:
        """Patches along one side of a frame."""
        return self.resolution // self.patch


SIZES = {
    "merclip-tiny": ModelSize(
        resolution=64,
        patch=8,
        frames=8,
        width=96,
        layers=4,
        heads=4,
        embed_dim=64,
        token_dim=64,
        global_layers=(2, 3),
        mlp_dropout=0.1,
        text_width=64,
        text_layers=3,
        text_heads=4,
    ),
    "ViT-B-16": ModelSize(),
    "ViT-L-14": ModelSize(
        patch=14,
        width=1024,
        layers=24,
        heads=16,
        embed_dim=768,
        token_dim=768,
        global_layers=tuple(range(16, 24)),
        text_width=768,
        text_heads=12,
    ),
}


@dataclass(frozen=True)
class Config:
    """One run: what is trained, on what, how, and how it is judged.

    The defaults are the `standard` set-up on SynthME with the tiny weights.
    """

    # data
    task: str = "synthme-7"
    subjects: int = 0  # 0 = all, else only the first n (for trying things out)
    frames: int = 8  # T, frames sampled from each clip
    short_clips: str = "repeat"  # clips shorter than T: repeat the last frame, or "modulo"
    normalisation: str = "clip"  # mean and std that the vision weights expect, or "imagenet"
    # model
    size: str = "merclip-tiny"
    weights: str = ""  # a weights file; empty = the ones that come with the library
    text_weights: str = ""  # a file for the text tower alone; empty = the same file
    init_from: str = ""  # a finished run (or run/fold) whose network is the start: transfer
    pretrained: bool = True  # False = the same network from scratch
    temporal: bool = True  # False = frame average of the CLIP tower, no temporal modules
    drop_path: float = 0.0  # stochastic depth of the last local block (the paper: 0.2)
    global_drop_path: float = 0.0  # of the last global block (the paper: 0.4)
    drop_path_unit: str = "clip"  # what is dropped at once; "reference" = as the authors' program
    # text and losses
    use_text: bool = True  # alignment with the action-unit sentences
    description: str = "phrases"  # style of the sentences, see merclip_lib.facs
    soft_targets: bool = True  # same sentence in a batch = both positive (paper: identity)
    progressive_weights: bool = True  # alignment first, emotion grows from 0 to 1
    align_start: float = 2.0  # weight of the alignment at the first epoch
    align_end: float = 1.0  # where it goes; the emotion loss has 2 minus it
    use_eim: bool = True  # Emotion Inference Module; False = linear layer on the clip vector
    eim_layers: int = 2
    # augmentation
    mix: bool = True  # LocalStaticFaceMix, or what mix_method names
    mix_method: str = "local_static_face"  # or "mixup", "cutmix" (an ablation)
    mix_invert: bool = False  # mix outside the region instead
    mix_alpha: float = 0.5
    mix_probability: float = 0.5
    flip_probability: float = 0.5
    flip_swap: bool = True  # a flipped clip gets the sentence with left and right exchanged
    jitter: float = 0.1  # strength of brightness and contrast jitter, the same over a clip
    # optimisation
    epochs: int = 6
    batch_size: int = 16
    accumulate: int = 1  # parts in which a batch is computed: less memory, the same gradient
    lr: float = 2e-4  # peak learning rate of the video encoder (the paper: 5e-5)
    lr_scaling: bool = False  # multiply lr by batch_size / 128, as the authors' program does
    head_lr_scale: float = 10.0  # the classifier and its projection start from nothing: faster
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    grad_clip: float = 20.0
    class_balanced: bool = False  # draw clips with weight 1 / class count
    # computing
    device: str = "cpu"  # or "cuda"
    precision: str = "float32"  # or "bfloat16": mixed precision, weights stay float32
    checkpoint_blocks: bool = False  # gradient checkpointing: less memory, one more forward
    compile: bool = False  # torch.compile
    # protocol
    protocol: str = "honest"  # "reference" = what the authors' program does, see REFERENCE
    selection: str = "last"  # epoch: last, "inner_validation" or, a trap, "best_on_test"
    held_out: str = "subject"  # or "database", "split" (the table's own) or, a trap, "clip"
    folds: int = 0  # 0 = leave one out; k >= 2 = k groups of subjects
    seed: int = 0


# The authors' program under `protocol="reference"`: these fields get these values.
REFERENCE = {
    "soft_targets": False,
    "flip_swap": False,
    "selection": "best_on_test",
    "drop_path_unit": "reference",
    "lr_scaling": True,
    "short_clips": "modulo",
}


_CHOICES = {
    "size": tuple(SIZES),
    "short_clips": ("repeat", "modulo"),
    "normalisation": ("clip", "imagenet"),
    "drop_path_unit": ("clip", "reference"),
    "mix_method": ("local_static_face", "mixup", "cutmix"),
    "device": ("cpu", "cuda"),
    "precision": ("float32", "bfloat16"),
    "protocol": ("honest", "reference"),
    "selection": ("last", "inner_validation", "best_on_test"),
    "held_out": ("subject", "database", "split", "clip"),
    "description": ("phrases", "facs_names", "codes", "anatomy", "emotion_only"),
}


def config_from(values: dict) -> Config:
    """A `Config` from plain values, checked; `protocol="reference"` sets the REFERENCE fields.

    Raises ValueError for an unknown key (the nearest known one is named), a value of another
    type (a learning rate written `1e-4` in YAML arrives as text: write 1.0e-4) or out of range.
    """
    fields = {f.name: f for f in dataclasses.fields(Config)}
    checked = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(fields)}"
            raise ValueError(f"unknown configuration key {key!r}{hint}")
        kind = type(fields[key].default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(
                f"configuration key {key!r} wants {kind.__name__}, got {value!r} "
                f"({type(value).__name__}); in YAML write numbers as 1.0e-4 and flags as true/false"
            )
        checked[key] = value
    config = Config(**checked)
    _check(config)
    if config.protocol == "reference":
        config = dataclasses.replace(config, **REFERENCE)
    return config


def _check(config: Config) -> None:
    for key, allowed in _CHOICES.items():
        if getattr(config, key) not in allowed:
            raise ValueError(f"{key} is {getattr(config, key)!r}; choose one of {list(allowed)}")
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not 0 <= value < math.inf:
            raise ValueError(f"{field.name} is {value}; it must be a number of at least 0")
    for key in ("mix_alpha", "mix_probability", "flip_probability"):
        if getattr(config, key) > 1:
            raise ValueError(f"{key} is {getattr(config, key)}; it must lie in [0, 1]")
    for key in ("drop_path", "global_drop_path"):
        if getattr(config, key) >= 1:
            raise ValueError(f"{key} is {getattr(config, key)}; it must lie in [0, 1)")
    for key in ("epochs", "batch_size", "frames", "eim_layers", "accumulate"):
        if getattr(config, key) < 1:
            raise ValueError(f"{key} is {getattr(config, key)}; it must be at least 1")
    if config.accumulate > config.batch_size:
        raise ValueError(
            f"accumulate is {config.accumulate}, but a batch has {config.batch_size} clips"
        )
    if config.temporal and config.frames % 2:
        raise ValueError(f"frames is {config.frames}; the stem halves time, so it must be even")
    for key in ("lr", "head_lr_scale", "grad_clip"):
        if getattr(config, key) == 0:
            raise ValueError(f"{key} is 0; it must be positive")
    if config.align_end > config.align_start or config.align_start > 2:
        raise ValueError(
            f"the weight of the alignment goes from align_start {config.align_start} (at most 2) "
            f"down to align_end {config.align_end}; the emotion loss has 2 minus it, which else "
            "would be negative or fall"
        )
    if config.subjects < 0 or config.seed < 0:
        raise ValueError("subjects and seed must not be negative")
    if config.folds == 1 or config.folds < 0:
        raise ValueError("folds must be 0 (leave one subject out) or at least 2")
    if config.held_out == "clip" and config.folds == 0:
        raise ValueError('held_out="clip" needs folds of at least 2')
    if config.held_out in ("database", "split") and config.folds:
        raise ValueError(f'held_out="{config.held_out}" makes its own folds; leave folds at 0')


def size_of(config: Config) -> ModelSize:
    """The network's sizes under this configuration (frames, temporal modules on or off)."""
    size = dataclasses.replace(
        SIZES[config.size],
        frames=config.frames,
        eim_layers=config.eim_layers,
        drop_path=config.drop_path,
        global_drop_path=config.global_drop_path,
        drop_path_unit=config.drop_path_unit,
    )
    if not config.temporal:
        size = dataclasses.replace(size, temporal_downsample=False, lmhra=0, global_layers=())
    return size


def config_hash(config: Config, **also: str) -> str:
    """12 hex digits naming the run; `also` adds what lies outside (data hash, weights hash)."""
    text = json.dumps({**dataclasses.asdict(config), **also}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def stamp(config: Config) -> str:
    """What a reader must know before believing a number of this run; "" when it is honest.

    Goes into run.json, and into every title and table that shows the run.
    """
    said = []
    if config.selection == "best_on_test":
        who = {"subject": "subject", "database": "database"}.get(config.held_out, "clips")
        said.append(f"epoch chosen on the held-out {who}")
    if config.held_out == "clip":
        said.append("people in both training and test")
    return "; ".join(said)
