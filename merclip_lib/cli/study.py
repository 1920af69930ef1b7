"""Commands about experiments: notebooks, runs, weights, scores and tests.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path


def add_trainings(command: Callable[..., ArgumentParser]) -> None:
    """`merclip run`, `sweep` and `pretrain`: what trains."""
    parser = command(_run, "run", "execute all notebooks in order")
    parser.add_argument("--profile", default="standard", help="smoke, quick, standard or paper")
    parser.add_argument("--in-place", action="store_true", help="write the executed notebooks back")
    parser.add_argument("--only", default="", metavar="NN", help="just the notebooks that begin so")

    parser = command(_sweep, "sweep", "run the training notebook over a grid of parameters")
    parser.add_argument("grid", type=Path, metavar="GRID.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the grid's seeds")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="just these entries")
    parser.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")
    parser.add_argument("--executor", default="serial", help="processes, ray: side by side")
    parser.add_argument("--workers", type=int, help="entries side by side (default: one per core)")
    parser.add_argument("--address", default="", help="of a Ray cluster, host:port or auto")

    parser = command(_pretrain, "pretrain", "train the tiny weights again on SynthME-macro")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--steps", type=int, help="training steps")
    parser.add_argument("--seed", type=int, help="random seed")
    parser.add_argument("--frames", type=int, help="frames of a clip (default: 8)")
    parser.add_argument(
        "--no-temporal",
        dest="temporal",
        action="store_false",
        default=None,
        help="CLIP's image tower frame by frame, without temporal modules",
    )
    parser.add_argument("--text", help="a weights file whose text tower stays as it is")


def add_reports(command: Callable[..., ArgumentParser]) -> None:
    """`merclip score`, `weights`, `recipe`, `runs`, `cost` and `test`: what tells and checks."""
    parser = command(_score, "score", "score a file of predictions and warn of visible traps")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS.csv")
    parser.add_argument("--classes", default="", metavar="A,B,C", help="all classes of the task")
    _add_json(parser)

    parser = command(_weights, "weights", "say what a weights file holds and where it fits")
    parser.add_argument("action", choices=("inspect",))
    parser.add_argument("file", metavar="FILE", help="a file, or with --size a name like openai")
    parser.add_argument("--size", default="", help="report loading into it, for example ViT-B-16")
    _add_json(parser)

    parser = command(_recipe, "recipe", "print the values that belong together for a task")
    parser.add_argument("name", nargs="?", help="for example casme3-7; without it, the list")
    parser.add_argument("--protocol", choices=("honest", "reference"), default="honest")
    _add_json(parser)

    parser = command(_runs, "runs", "list or show what the run store holds, or clean it up")
    parser.add_argument("action", choices=("list", "show", "clean"))
    parser.add_argument("run", nargs="?", help="for show: the run's name, or how it begins")
    parser.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")
    parser.add_argument("--yes", action="store_true", help="clean: remove what is listed")

    parser = command(_cost, "cost", "estimate hours and memory of a run before it starts")
    parser.add_argument("recipe", nargs="?", default="", help="for example casme3-7")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other values")
    parser.add_argument("--clips", type=int, help="of the task (default: as its card says)")
    parser.add_argument("--folds", type=int, help="trainings (default: one for each subject)")
    parser.add_argument("--clips-per-second", type=float, help="training speed; else measured here")

    parser = command(_test, "test", "run the tests; further arguments go to pytest")
    parser.set_defaults(takes_rest=True)


def _add_json(parser: ArgumentParser) -> None:
    """The choice of JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(given: Namespace) -> int:
    from merclip_lib.study import notebooks

    try:
        notebooks.run(given.profile, in_place=given.in_place, only=given.only)
    except notebooks.NotebookError as error:
        return _failed(error)
    return 0


def _sweep(given: Namespace) -> int:
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import sweeps

    selection = sweeps.Selection(seeds=given.seeds, only=given.only)
    execution = Execution(given.executor, given.workers, given.address)
    failures = sweeps.sweep(given.grid, given.runs_dir, selection, execution)
    return max([_failed(failure) for failure in failures], default=0)


def _failed(error: Exception | str) -> int:
    """Say what failed; the exit code for it."""
    print(f"merclip: error: {error}", file=sys.stderr)
    return 1


def _pretrain(given: Namespace) -> int:
    from merclip_lib.study.checkout import default_runs
    from merclip_lib.synthme.draw import draw_set
    from merclip_lib.synthme.plan import MACRO
    from merclip_lib.training.pretrain import PretrainSettings, pretrain

    keys = ("steps", "seed", "frames", "temporal", "text")
    chosen = {key: value for key in keys if (value := getattr(given, key)) is not None}
    store = draw_set(MACRO, default_runs() / MACRO.name.lower())
    pretrain(store, PretrainSettings(**chosen), out=given.out)
    print(f"weights: {given.out}")
    return 0


def _score(given: Namespace) -> int:
    from merclip_lib.scores.predictions_file import as_json, as_text, score_file

    classes = [name.strip() for name in given.classes.split(",") if name.strip()]
    report = score_file(given.predictions, classes)
    print(as_json(report) if given.json else as_text(report))
    return 0


def _weights(given: Namespace) -> int:
    from merclip_lib.weights.inspect import inspect_file
    from merclip_lib.weights.load import named_file

    path = named_file(given.file, given.size) if given.size else Path(given.file)
    content = inspect_file(path, given.size)
    report = content.pop("report", None)
    if given.json:
        print(json.dumps(content | ({"report": report.counts()} if report else {}), indent=1))
        return 0
    for name, value in content.items():
        if isinstance(value, dict):
            print(name, *(f"  {key:<15}{_plain(inner)}" for key, inner in value.items()), sep="\n")
        else:
            print(f"{name:<17}{_plain(value)}")
    if report:
        print(report.table())
    return 0


def _plain(value: object) -> str:
    """A value in one line, without the marks of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _recipe(given: Namespace) -> int:
    from merclip_lib.recipes import RECIPES, recipe
    from merclip_lib.study.recipe_report import as_dict, as_text

    if given.name is None:
        print(json.dumps(RECIPES) if given.json else "\n".join(RECIPES))
        return 0
    config = recipe(given.name, given.protocol)
    if given.json:
        print(json.dumps(as_dict(given.name, config), indent=1))
    else:
        print(as_text(given.name, config))
    return 0


def _runs(given: Namespace) -> int:
    from merclip_lib.runs import overview
    from merclip_lib.study.checkout import default_runs

    folder = given.runs_dir or default_runs()
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; name the run store with --runs-dir")
    if (given.action == "show") != (given.run is not None):
        raise ValueError("name a run for `show`, and only for it")
    if given.action == "list":
        print(overview.runs_text(overview.list_runs(folder)))
    elif given.action == "show":
        print(overview.run_text(overview.find_run(folder, given.run)))
    else:
        print(overview.clean(folder, given.yes))
    return 0


def _cost(given: Namespace) -> int:
    import yaml

    from merclip_lib.recipes import recipe
    from merclip_lib.study.cost import as_text, counts_of, measure_speed

    for pair in given.set:
        if "=" not in pair:
            raise ValueError(f"--set {pair!r} is not KEY=VALUE, such as batch_size=4")
    changes = {key: yaml.safe_load(value) for key, value in (p.split("=", 1) for p in given.set)}
    config = recipe(given.recipe or changes.pop("task", "synthme-7"), **changes)
    clips, folds = counts_of(config, given.clips, given.folds)
    speed = given.clips_per_second
    if speed is None:
        steps = f"4 steps of {config.batch_size} clips in one thread"
        print(f"measuring the training speed of this machine ({steps}) ...", file=sys.stderr)
        speed = measure_speed(config)
    print(as_text(config, clips, folds, speed))
    return 0


def _test(given: Namespace) -> int:
    from merclip_lib.study.checkout import root_with

    command = [sys.executable, "-m", "pytest", *given.rest]
    return subprocess.call(command, cwd=root_with("tests"))
