"""The design of a study: what is trained, on whom, and what is compared, all of it in one file.

An entry is the method with something changed; it is trained once on each of R populations, at one
or more starts, and tested on fresh people. Families hold the comparisons that are asked together,
and say how many populations they need: from them follows what is trained. A frozen design carries
a hash of its own content, so that nobody changes the question after having seen an answer.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from merclip_lib.config import Config, config_from
from merclip_lib.data.tasks import task_named
from merclip_lib.files import did_you_mean
from merclip_lib.scores.families import Rules
from merclip_lib.study.typed_yaml import TextKeys, read_as
from merclip_lib.synthme.populations import Population, population

Changes = dict[str, Any]  # of `Config`, or of a population
Cells = dict[str, dict[str, int]]  # preset -> start -> R, the number of training populations
PURPOSES = ("motion", "dfme", "calibration", "development", "controls", "training", "test")


@dataclass(frozen=True)
class Preset:
    """A kind of population: its task, and its size in training and in the test."""

    task: str
    people: int
    clips: int
    test_people: int
    test_clips: int


@dataclass(frozen=True)
class Entry:
    """The method with something changed.

    Attributes:
        config: changes of the configuration. A `seed` is added to that of the population.
        budget: whose epochs and learning rate it has.
        population: changes of the training populations.
        test: changes of the test population.
        seeds: the range that training populations come from.
        read_out: what answers for a clip of the test: the emotion's "logits"; or "side", which
            of the sentences of its unit on the left and on the right the clip is nearer to.
    """

    config: Changes = field(default_factory=dict)
    budget: str = "full"
    population: Changes = field(default_factory=dict)
    test: Changes = field(default_factory=dict)
    seeds: Literal["training", "controls", "development"] = "training"
    read_out: Literal["logits", "side"] = "logits"


@dataclass(frozen=True)
class Comparison:
    """A question: by how much is entry a better than entry b?

    Attributes:
        change: what a has and b has not; the name of the comparison within its family.
        a: an entry.
        b: an entry with the same `seeds`, tested on the same people and clips.
        b_start: where b starts, if not where a does.
        part: the part of the method that it is about, if it belongs to a curve.
        points: where it lies on curves: factor -> level.
        control: "positive": a must be better, or the study sees nothing; "negative": the interval
            must lie within `within`, or the study sees what is not there.
        within: two numbers.
        cells: where it is asked, if not where its family is.
    """

    change: str
    a: str
    b: str
    b_start: str = ""
    part: str = ""
    points: Changes = field(default_factory=dict)
    control: Literal["", "positive", "negative"] = ""
    within: list[float] = field(default_factory=list)
    cells: Cells = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Comparisons that are asked, and corrected, together."""

    comparisons: list[Comparison]
    cells: Cells = field(default_factory=dict)
    primary: bool = False


@dataclass(frozen=True)
class Design:
    """The content of the file.

    Attributes:
        seeds: purpose -> first and last seed of its populations; nobody has two purposes.
        presets: kinds of populations.
        config: what all entries share.
        starts: changes of the configuration that name the first weights; several, where networks
            of several seeds are taken in turn by the populations.
        budgets: name -> start -> changes of the configuration: epochs, learning rate.
        entries: by name.
        families: by name.
        rules: of the statistics.
        clip_seconds: one clip in one epoch, measured on one core.
        other_seconds: all else of a training, its part of the drawing included.
        core_hours: that all of it may take.
        block_minutes: that a block may take on two cores.
        frozen: the hash of all else in quotes, once nothing may change any more.
    """

    seeds: dict[str, list[int]]
    presets: dict[str, Preset]
    config: Changes
    starts: dict[str, list[Changes]]
    budgets: dict[str, dict[str, Changes]]
    entries: dict[str, Entry]
    families: dict[str, Family]
    rules: Rules
    clip_seconds: float
    other_seconds: float
    core_hours: float
    block_minutes: float
    frozen: str = ""

    def seed(self, purpose: str, number: int) -> int:
        """The seed of a population; ValueError outside of the range of its purpose."""
        first, last = self.seeds[purpose]
        if not 0 <= number <= last - first:
            raise ValueError(f"population {number} is beyond the {purpose} seeds {first} to {last}")
        return first + number


class Cell(NamedTuple):
    """What names a training."""

    entry: str
    preset: str
    start: str
    population: int  # counted from 0


@dataclass(frozen=True)
class Trial:
    """One training: its setting, its population, who it is tested on, and what it will take."""

    cell: Cell
    config: Config
    training: Population
    test: Population
    read_out: str
    seconds: float


@dataclass(frozen=True)
class Study:
    """A design that was checked, and what follows from it."""

    path: Path
    hash: str
    design: Design
    trials: list[Trial]

    @property
    def archive(self) -> Path:
        """The folder of its blocks, beside the file: `study` for `design.yaml`, else its name."""
        return self.path.with_name("study" if self.path.stem == "design" else self.path.stem)


def read_study(path: str | Path) -> Study:
    """Read and check a design.

    Args:
        path: a YAML file with the fields of `Design`.

    Raises:
        ValueError: it cannot be read; something in it is unknown, missing, of another type, out
            of range or at odds with the rest; it was changed after it had been frozen. The
            message names the file, the place and the remedy.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):  # a folder of the bare name takes its blocks
        raise ValueError(f"{path}: name a design something.yaml")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), TextKeys)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the design {path}: {' '.join(str(error).split())}") from None
    design = read_as(Design, content, str(path))
    asked = {key: value for key, value in content.items() if key != "frozen"}
    text = json.dumps(asked, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    if design.frozen not in ("", digest):
        raise ValueError(
            f"{path} was changed after it had been frozen as {design.frozen} (it is {digest} now); "
            "take the change back, and put a new question into a design of its own"
        )
    for key in ("clip_seconds", "other_seconds", "core_hours", "block_minutes"):
        if not getattr(design, key) > 0:
            raise ValueError(f"{path}: {key} is {getattr(design, key):g}; it must be above 0")
    r = design.rules
    if not (0 < r.level < r.power < 1 and 0 < r.exclude <= r.margin and r.samples > 0):
        ranges = "0 < level < power < 1, 0 < exclude <= margin, samples > 0"
        raise ValueError(f"{path}, rules must keep {ranges}")
    _check_seeds(design.seeds, path)
    trials = _trials(design, path)
    hours = sum(trial.seconds for trial in trials) / 3600
    if hours > design.core_hours:
        raise ValueError(
            f"{path}: {len(trials)} trainings take {hours:.1f} core-hours, core_hours allows "
            f"{design.core_hours:g}; ask for fewer populations, outside of the primary family first"
        )
    return Study(path, digest, design, trials)


def _check_seeds(seeds: dict[str, list[int]], path: Path) -> None:
    """ValueError for a range of seeds that is missing, none, or shares seeds with another."""
    if set(seeds) != set(PURPOSES):
        raise ValueError(f"{path}, seeds: write a range for each of {', '.join(PURPOSES)}")
    for purpose, ends in seeds.items():
        if len(ends) != 2 or not 0 <= ends[0] <= ends[1]:
            raise ValueError(f"{path}, seeds, {purpose} is {ends}; write [first, last]")
    ordered = sorted(seeds, key=seeds.__getitem__)
    for one, two in zip(ordered, ordered[1:], strict=False):
        if seeds[two][0] <= seeds[one][1]:
            raise ValueError(f"{path}, seeds: {one} {seeds[one]} and {two} {seeds[two]} overlap")


def cells_of(family: Family, comparison: Comparison) -> dict[tuple[str, str], int]:
    """Where a comparison is asked, as (preset, start), and R there."""
    cells = comparison.cells or family.cells
    return {(preset, start): r for preset, row in cells.items() for start, r in row.items()}


def _check_comparison(design: Design, family: Family, comparison: Comparison) -> None:
    """ValueError for a name that means nothing, and for what cannot be compared."""
    for entry in (comparison.a, comparison.b):
        _check_known(entry, design.entries, "entry")
    cells = cells_of(family, comparison)
    for preset, start in cells:
        _check_known(preset, design.presets, "preset")
        _check_known(start, design.starts, "start")
        _check_known(comparison.b_start or start, design.starts, "b_start")
    # A masked background is another picture of the same people and clips.
    tests = [
        (design.entries[name].seeds, design.entries[name].test | {"masked": False})
        for name in (comparison.a, comparison.b)
    ]
    ends = 2 if comparison.control == "negative" else 0
    for wrong, why in (
        (tests[0] != tests[1], "a and b differ in `test` or `seeds`"),
        ([c.change for c in family.comparisons].count(comparison.change) > 1, "is asked twice"),
        (len(comparison.within) != ends, "`within: [low, high]` is for negative controls alone"),
        (min(cells.values(), default=0) < 2, "needs cells with R of at least 2 populations"),
    ):
        if wrong:
            raise ValueError(why)


def _check_known(name: str, known: dict, what: str) -> None:
    if name not in known:
        raise ValueError(f"{what} {name!r} is unknown{did_you_mean(name, known)}")


def _trials(design: Design, path: Path) -> list[Trial]:
    """All trainings that the families need, those on one population beside each other."""
    wanted: dict[tuple[str, str, str], int] = {}
    for name, family in design.families.items():
        for comparison in family.comparisons:
            try:
                _check_comparison(design, family, comparison)
            except ValueError as error:
                where = f"{path}, family {name}, {comparison.change!r}"
                raise ValueError(f"{where}: {error}") from None
            for (preset, start), number in cells_of(family, comparison).items():
                a = comparison.a, preset, start
                b = comparison.b, preset, comparison.b_start or start
                wanted |= {cell: max(number, wanted.get(cell, 0)) for cell in (a, b)}
    if idle := set(design.entries) - {entry for entry, *_ in wanted}:
        raise ValueError(f"{path}: no family compares entry {min(idle)!r}; remove it or compare it")
    if sum(family.primary for family in design.families.values()) > 1:
        raise ValueError(f"{path}: only one family can have `primary: true`")
    trials = []
    for (name, preset, start), number in wanted.items():
        try:
            trials += [_trial(design, Cell(name, preset, start, k)) for k in range(number)]
        except (ValueError, TypeError, ZeroDivisionError) as error:  # no such change, no start
            where = f"{path}, entry {name} at {preset}, {start}"
            raise ValueError(f"{where}: {error}") from None
    return sorted(trials, key=lambda trial: (trial.cell.preset, str(trial.training), trial.cell))


def _trial(design: Design, cell: Cell) -> Trial:
    """One training; ValueError for a setting that is unknown or out of range."""
    entry, kind = design.entries[cell.entry], design.presets[cell.preset]
    _check_known(entry.budget, design.budgets, "budget")
    _check_known(cell.start, design.budgets[entry.budget], f"budget {entry.budget}: start")
    seed = design.seed(entry.seeds, cell.population)
    weights = design.starts[cell.start]
    values = design.config | {"task": kind.task}
    values |= weights[cell.population % len(weights)] | design.budgets[entry.budget][cell.start]
    values |= entry.config
    config = config_from(values | {"seed": seed + values.get("seed", 0)})
    task_named(config.task)
    training = {"people": kind.people, "clips": kind.clips} | entry.population
    test = {"people": kind.test_people, "clips": kind.test_clips} | entry.test
    return Trial(
        cell,
        config,
        training=population(cell.preset, seed, **training),
        test=population(cell.preset, design.seed("test", 0), **test),
        read_out=entry.read_out,
        seconds=design.other_seconds + design.clip_seconds * training["clips"] * config.epochs,
    )
