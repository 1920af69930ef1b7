"""Every setting of a run, in four records, and the sizes of the networks.

`Method`, `Optimisation`, `Computing` and `Protocol` hold the settings with their choices and
ranges beside them; a function asks for the record that it reads. `Config` is the flat view of all
four: each field is at once a papermill parameter of the training notebook, a key of an ablation
grid and a column of a results table. Its hash names the run: two runs with the same hash would
compute the same predictions.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from merclip_lib.files import did_you_mean


class Range(NamedTuple):
    """The numbers a field may have: from `low` to `high`; an open end is itself left out."""

    low: float = 0.0
    high: float = math.inf
    ends: str = "[]"  # "(" or ")" for an open end

    def holds(self, value: float) -> bool:
        """Whether a number lies within; infinity, NaN and what needs more than 63 bits never do."""
        above = value > self.low if self.ends[0] == "(" else value >= self.low
        below = value < self.high if self.ends[1] == ")" else value <= self.high
        return above and below and abs(value) < 2**63

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"be {'above' if self.ends[0] == '(' else 'at least'} {self.low:g}"
        return f"lie in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"


class Neutral(NamedTuple):
    """The value at which a field changes nothing: there it stays out of the hash of a run.

    Written once, when the field is new, so that runs made before it keep their hash; never
    changed, whatever becomes of the default.
    """

    value: Any


FILE = "file"  # marks a field that may name a file or a folder
Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]  # must not be negative
Number = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, ends="(]")]
Share = Annotated[float, Range(0, 1)]
DropRate = Annotated[float, Range(0, 1, "[)")]
FileName = Annotated[str, FILE]


@dataclass(frozen=True)
class Method:
    """What is trained: clips, network, sentences and augmentation."""

    # clips
    frames: Count = 8  # T, frames sampled from each clip
    short_clips: Literal["repeat", "modulo"] = "repeat"  # fewer than T: last frame, or anew
    normalisation: Literal["clip", "imagenet"] = "clip"  # mean and std that the weights expect
    # side of the square that the network sees, as a share of the stored clip's; the place is drawn
    # in training, else it is the centre (one released configuration: 224 of 256 pixels)
    crop: Annotated[float, Range(0, 1, "(]"), Neutral(1.0)] = 1.0
    # network
    size: Literal["merclip-tiny", "ViT-B-16", "ViT-L-14"] = "merclip-tiny"
    weights: FileName = ""  # a weights file; empty = the ones that come with the library
    text_weights: FileName = ""  # a file for the text tower alone; empty = the same file
    init_from: FileName = ""  # a finished run (or run/fold) whose network is the start: transfer
    pretrained: bool = True  # False = the same network from scratch
    temporal: bool = True  # False = frame average of the CLIP encoder, no temporal modules
    drop_path: DropRate = 0.0  # stochastic depth of the last local block (the paper: 0.2)
    global_drop_path: DropRate = 0.0  # of the last global block (the paper: 0.4)
    drop_path_unit: Literal["clip", "reference"] = "clip"  # "reference": the authors' program
    # sentences and losses
    use_text: bool = True  # alignment with the action-unit sentences
    description: Literal["phrases", "facs_names", "codes", "anatomy", "emotion_only"] = "phrases"
    phrases: Annotated[FileName, Neutral("")] = ""  # a csv of your own; empty = the paper's
    templates: Annotated[FileName, Neutral("")] = ""  # a text file of your own, one a line
    soft_targets: bool = True  # same sentence in a batch = both positive (paper: identity)
    # with what a clip is aligned: its sentences; those of another clip; a random vector per
    # annotation; its units as labels
    align_with: Annotated[
        Literal["sentences", "shuffled", "random", "units"], Neutral("sentences")
    ] = "sentences"
    template_count: Annotated[Natural, Neutral(0)] = 0  # the first n templates; 0 = all
    # lambda, the weight of the alignment, from align_start to align_end; the emotion loss has
    # 2 minus it. "constant" stays at align_end, "bell" rises and falls again
    loss_weights: Literal["linear", "constant", "half_bell", "bell"] = "linear"
    align_start: Number = 2.0
    align_end: Number = 1.0
    label_share: Annotated[Share, Neutral(1.0)] = 1.0  # of training clips with a known emotion
    use_eim: bool = True  # Emotion Inference Module; False = linear layer on the clip vector
    eim_layers: Annotated[int, Range(1, 48)] = 2
    # augmentation
    mix: bool = True  # LocalStaticFaceMix, or what mix_method names
    mix_method: Literal["local_static_face", "mixup", "cutmix"] = "local_static_face"
    mix_where: Literal[
        "region", "forehead", "chin", "left_cheek", "right_cheek", "whole", "outside"
    ] = "region"  # in one of the four regions drawn anew, a certain one, all, or outside of one
    # another's first frame, another's clip as it moves, or the clip's own first frame
    mix_face: Annotated[Literal["static", "moving", "own"], Neutral("static")] = "static"
    mix_alpha: Share = 0.5
    mix_probability: Share = 0.5
    flip_probability: Share = 0.5
    flip_swap: bool = True  # a flipped clip gets the sentence with left and right exchanged
    jitter: Number = 0.1  # strength of brightness and contrast jitter, the same over a clip


@dataclass(frozen=True)
class Optimisation:
    """How it is trained: batches, learning rate, regularisation."""

    epochs: Count = 20
    batch_size: Count = 16
    accumulate: Count = 1  # parts in which a batch is computed: less memory, the same gradient
    lr: Positive = 5e-4  # peak learning rate of the video encoder (the paper: 5e-5)
    lr_scaling: bool = False  # multiply lr by batch_size / 128, as the authors' program does
    head_lr_scale: Positive = 4.0  # the classifier and its projection start from nothing: faster
    warmup_epochs: Number = 1.0
    weight_decay: Number = 0.05
    grad_clip: Positive = 20.0
    class_balanced: bool = False  # draw clips with weight 1 / class count
    seed: Natural = 0


@dataclass(frozen=True)
class Computing:
    """On what it is computed; the results differ by rounding alone."""

    device: Literal["cpu", "cuda", "auto"] = "cpu"  # auto: cuda where torch finds a GPU
    precision: Literal["float32", "bfloat16"] = "float32"  # mixed: weights stay float32
    checkpoint_blocks: bool = False  # gradient checkpointing: less memory, one more forward
    compile: bool = False  # torch.compile


@dataclass(frozen=True)
class Protocol:
    """How it is judged: which clips, who is held out, which epoch counts."""

    task: str = "synthme-5"
    subjects: Natural = 0  # 0 = all, else only the first n (for trying things out)
    protocol: Literal["honest", "reference"] = "honest"  # the authors' program, see REFERENCE
    # the epoch that counts: the last, or (a trap) the best on the held-out subject
    selection: Literal["last", "inner_validation", "best_on_test"] = "last"
    # "split" is the table's own; "clip" is a trap
    held_out: Literal["subject", "database", "split", "clip"] = "subject"
    folds: Natural = 0  # 0 = leave one out; k >= 2 = k groups of subjects


@dataclass(frozen=True)
class Config(Method, Optimisation, Computing, Protocol):
    """One run: the fields of all four records side by side.

    The defaults are the `standard` set-up on SynthME with the tiny weights.
    """


# The authors' program under `protocol="reference"`: these fields get these values.
REFERENCE: dict[str, Any] = {
    "soft_targets": False,
    "flip_swap": False,
    "selection": "best_on_test",
    "drop_path_unit": "reference",
    "lr_scaling": True,
    "short_clips": "modulo",
}


def config_from(values: dict[str, Any]) -> Config:
    """A checked `Config` from plain values; `protocol="reference"` sets the REFERENCE fields.

    `device="auto"` becomes the device that is here, so that a run says on what it was computed.

    Args:
        values: fields by name; what is absent has its default.

    Raises:
        ValueError: an unknown key (the nearest known one is named), a value of another type (a
            learning rate written `1e-4` in YAML arrives as text: write 1.0e-4), out of range, or
            at odds with another.
    """
    fields = {f.name: f for f in dataclasses.fields(Config)}
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise ValueError(f"unknown configuration key {key!r}{did_you_mean(key, fields)}")
        kind = type(fields[key].default)
        if kind is float and type(value) is int and abs(value) < 2**63:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(
                f"configuration key {key!r} wants {kind.__name__}, got {value!r} "
                f"({type(value).__name__}); in YAML write numbers as 1.0e-4 and flags as true/false"
            )
        checked[key] = value
    config = Config(**checked)
    _check_fields(config)
    if config.device == "auto":
        import torch  # takes seconds to import

        config = dataclasses.replace(config, device="cuda" if torch.cuda.is_available() else "cpu")
    _check_together(config)
    if config.protocol == "reference":
        config = dataclasses.replace(config, **REFERENCE)
    return config


def files_from(folder: str | Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with the whole paths of files, given or in a folder, where there are any.

    Args:
        folder: where a relative path begins.
        values: fields by name; those marked FILE are looked at, `store_dir` like them.
    """
    hints = get_type_hints(Config, include_extras=True).items()
    names = [key for key, hint in hints if FILE in getattr(hint, "__metadata__", ())]
    keys = [key for key in (*names, "store_dir") if isinstance(values.get(key), str | Path)]
    paths = {key: Path(folder, values[key]) for key in keys if values[key]}
    found = {key: str(path.resolve()) for key, path in paths.items() if path.exists()}
    return {**values, **found}


def _check_fields(config: Config) -> None:
    """Raise ValueError for a value that is none of its choices or out of its range."""
    for key, hint in get_type_hints(Config, include_extras=True).items():
        value, plain = getattr(config, key), hint
        while get_origin(plain) is Annotated:
            plain = get_args(plain)[0]
        if get_origin(plain) is Literal and value not in get_args(plain):
            raise ValueError(f"{key} is {value!r}; choose one of {list(get_args(plain))}")
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, Range) and not note.holds(value):
                raise ValueError(f"{key} is {value}; it must {note}")


def _check_together(config: Config) -> None:
    """Raise ValueError for values that do not go together."""
    if config.accumulate > config.batch_size:
        raise ValueError(
            f"accumulate is {config.accumulate}, but a batch has {config.batch_size} clips"
        )
    if config.temporal and config.frames % 2:
        raise ValueError(f"frames is {config.frames}; the stem halves time, so it must be even")
    if config.align_end > config.align_start or config.align_start > 2:
        raise ValueError(
            f"the weight of the alignment goes from align_start {config.align_start} (at most 2) "
            f"down to align_end {config.align_end}; the emotion loss has 2 minus it, which else "
            "would be negative or fall"
        )
    if config.label_share < 1 and config.class_balanced:
        raise ValueError(
            "class_balanced draws clips by their emotion, which label_share below 1 hides; leave "
            "one of the two at its default"
        )
    if config.phrases and config.description != "phrases":
        raise ValueError(
            f"phrases is {config.phrases!r}, but description is {config.description!r}, which "
            'says none; set description to "phrases" or leave phrases empty'
        )
    if config.folds == 1:
        raise ValueError("folds must be 0 (leave one subject out) or at least 2")
    if config.held_out == "clip" and config.folds == 0:
        raise ValueError('held_out="clip" needs folds of at least 2')
    if config.held_out in ("database", "split") and config.folds:
        raise ValueError(f'held_out="{config.held_out}" makes its own folds; leave folds at 0')


def config_hash(config: Config, **also: str) -> str:
    """12 hex digits naming the run; `also` adds what lies outside (data hash, weights hash).

    A field at its `Neutral` value is left out.
    """
    values = dataclasses.asdict(config)
    for key, hint in get_type_hints(type(config), include_extras=True).items():
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, Neutral) and note.value == values[key]:
                del values[key]
    text = json.dumps({**values, **also}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def stamp(protocol: Protocol) -> str:
    """What a reader must know before believing a number of this run; "" when it is honest.

    Goes into run.json, and into every title and table that shows the run.
    """
    reservations = []
    if protocol.selection == "best_on_test":
        who = {"subject": "subject", "database": "database"}.get(protocol.held_out, "clips")
        reservations.append(f"epoch chosen on the held-out {who}")
    if protocol.held_out == "clip":
        reservations.append("people in both training and test")
    return "; ".join(reservations)


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
    drop_path_unit: str = "clip"  # what is dropped at once, see `model.plain.DropPath`
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


def size_of(method: Method) -> ModelSize:
    """The network's sizes under this method (frames, temporal modules on or off)."""
    size = dataclasses.replace(
        SIZES[method.size],
        frames=method.frames,
        eim_layers=method.eim_layers,
        drop_path=method.drop_path,
        global_drop_path=method.global_drop_path,
        drop_path_unit=method.drop_path_unit,
    )
    if not method.temporal:
        size = dataclasses.replace(size, temporal_downsample=False, lmhra=0, global_layers=())
    return size


def stored_side(method: Method) -> int:
    """Pixels of both sides of a stored clip, out of which `crop` cuts what the network sees."""
    return round(SIZES[method.size].resolution / method.crop)
