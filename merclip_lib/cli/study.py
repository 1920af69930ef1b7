"""Commands about experiments: notebooks, runs, weights, scores and tests.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def add(command) -> None:
    """Declare the commands; `command(function, name, help)` returns the parser of one."""
    one = command(_run, "run", "execute all notebooks in order")
    one.add_argument("--profile", default="standard", help="smoke, quick, standard or paper")
    one.add_argument("--in-place", action="store_true", help="write the executed notebooks back")
    one.add_argument("--only", default="", metavar="NN", help="just the notebooks that begin so")

    one = command(_sweep, "sweep", "run the training notebook over a grid of parameters")
    one.add_argument("grid", type=Path, metavar="GRID.yaml")
    one.add_argument("--seeds", type=int, nargs="+", help="instead of the grid's seeds")
    one.add_argument("--only", nargs="+", metavar="NAME", help="just these entries")
    one.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")
    one.add_argument(
        "--executor",
        default="serial",
        help="serial: one entry at a time; processes or ray: entries side by side",
    )
    one.add_argument("--workers", type=int, help="entries side by side (default: one per core)")
    one.add_argument("--address", default="", help="of a Ray cluster, host:port or auto")

    one = command(_pretrain, "pretrain", "train the tiny weights again on SynthME-macro")
    one.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    one.add_argument("--steps", type=int, help="training steps")
    one.add_argument("--seed", type=int, help="random seed")
    one.add_argument("--frames", type=int, help="frames of a clip (default: 8)")
    one.add_argument(
        "--no-temporal",
        dest="temporal",
        action="store_false",
        default=None,
        help="CLIP's image tower frame by frame, without temporal modules",
    )
    one.add_argument("--text", help="a weights file whose text tower stays as it is")

    one = command(_score, "score", "score a file of predictions and warn of visible traps")
    one.add_argument("predictions", type=Path, metavar="PREDICTIONS.csv")
    one.add_argument("--classes", default="", metavar="A,B,C", help="all classes of the task")
    one.add_argument("--json", action="store_true", help="print JSON instead of text")

    one = command(_weights, "weights", "say what a weights file holds and where it fits")
    one.add_argument("action", choices=("inspect",))
    one.add_argument("file", metavar="FILE", help="a file, or with --size a name like openai")
    one.add_argument("--size", default="", help="report loading into it, for example ViT-B-16")
    one.add_argument("--json", action="store_true", help="all of it as JSON")

    one = command(_recipe, "recipe", "print the values that belong together for a task")
    one.add_argument("name", nargs="?", help="for example casme3-7; without it, the list")
    one.add_argument("--protocol", choices=("honest", "reference"), default="honest")
    one.add_argument("--json", action="store_true", help="print JSON instead of text")

    one = command(_runs, "runs", "list or show what the run store holds, or clean it up")
    one.add_argument("action", choices=("list", "show", "clean"))
    one.add_argument("run", nargs="?", help="for show: the run's name, or how it begins")
    one.add_argument("--runs-dir", type=Path, default=ROOT / "runs", help="the run store")
    one.add_argument("--yes", action="store_true", help="clean: remove what is listed")

    one = command(_cost, "cost", "estimate hours and memory of a run before it starts")
    one.add_argument("recipe", nargs="?", default="", help="for example casme3-7")
    one.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other values")
    one.add_argument("--clips", type=int, help="of the task (default: as its card says)")
    one.add_argument("--folds", type=int, help="trainings (default: one for each subject)")
    one.add_argument("--clips-per-second", type=float, help="training speed; else measured here")

    one = command(_test, "test", "run the tests; further arguments go to pytest")
    one.set_defaults(takes_rest=True)


def _run(given) -> int:
    from merclip_lib.study import notebooks
    from merclip_lib.study.notebooks import NotebookError

    try:
        notebooks.run(given.profile, in_place=given.in_place, only=given.only)
    except NotebookError as error:
        print(f"merclip: error: {error}", file=sys.stderr)
        return 1
    return 0


def _sweep(given) -> int:
    from merclip_lib.study.sweeps import sweep

    failures = sweep(
        given.grid,
        runs_dir=given.runs_dir,
        seeds=given.seeds,
        only=given.only,
        executor=given.executor,
        workers=given.workers,
        address=given.address,
    )
    for failure in failures:
        print(f"merclip: error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _pretrain(given) -> int:
    from merclip_lib.synthme.draw import draw_set
    from merclip_lib.synthme.plan import MACRO
    from merclip_lib.training.pretrain import PretrainSettings, pretrain

    keys = ("steps", "seed", "frames", "temporal", "text")
    chosen = {key: getattr(given, key) for key in keys}
    settings = PretrainSettings(
        **{key: value for key, value in chosen.items() if value is not None}
    )
    pretrain(draw_set(MACRO, ROOT / "runs" / MACRO.name.lower()), settings, out=given.out)
    print(f"weights: {given.out}")
    return 0


def _score(given) -> int:
    from merclip_lib.scores import predictions_file

    classes = [name.strip() for name in given.classes.split(",") if name.strip()]
    found = predictions_file.score_file(given.predictions, classes)
    print(predictions_file.as_json(found) if given.json else predictions_file.as_text(found))
    return 0


def _plain(value) -> str:
    """A value in one line, without the marks of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _weights(given) -> int:
    from merclip_lib.weights.inspect import inspect_file
    from merclip_lib.weights.load import named_file

    path = named_file(given.file, given.size) if given.size else Path(given.file)
    found = inspect_file(path, given.size)
    report = found.pop("report", None)
    if given.json:
        found |= {"report": report.counts()} if report else {}
        print(json.dumps(found, indent=1))
        return 0
    for name, value in found.items():
        if isinstance(value, dict):
            print(name, *(f"  {key:<15}{_plain(inner)}" for key, inner in value.items()), sep="\n")
        else:
            print(f"{name:<17}{_plain(value)}")
    if report:
        print(report.table())
    return 0


def _recipe(given) -> int:
    from merclip_lib.recipes import RECIPES, recipe
    from merclip_lib.study import recipe_report

    if given.name is None:
        print(json.dumps(RECIPES) if given.json else "\n".join(RECIPES))
        return 0
    config = recipe(given.name, given.protocol)
    if given.json:
        print(json.dumps(recipe_report.as_dict(given.name, config), indent=1))
    else:
        print(recipe_report.as_text(given.name, config))
    return 0


def _runs(given) -> int:
    from merclip_lib.runs import overview
    from merclip_lib.runs.overview import find_run, list_runs, show_run

    if not given.runs_dir.is_dir():
        raise ValueError(f"{given.runs_dir}: no such folder; name the run store with --runs-dir")
    if (given.action == "show") != (given.run is not None):
        raise ValueError("name a run for `show`, and only for it")
    if given.action == "list":
        print(overview.as_text(list_runs(given.runs_dir)))
    elif given.action == "show":
        print(show_run(find_run(given.runs_dir, given.run)))
    else:
        print(overview.clean(given.runs_dir, given.yes))
    return 0


def _cost(given) -> int:
    import yaml

    from merclip_lib.recipes import recipe
    from merclip_lib.study import cost as run_cost
    from merclip_lib.study.cost import counts_of, measure_speed

    for pair in given.set:
        if "=" not in pair:
            raise ValueError(f"--set {pair!r} is not KEY=VALUE, such as batch_size=4")
    changes = {key: yaml.safe_load(value) for key, value in (p.split("=", 1) for p in given.set)}
    config = recipe(given.recipe or changes.pop("task", "synthme-7"), **changes)
    clips, folds = counts_of(config, given.clips, given.folds)
    speed = given.clips_per_second
    if speed is None:
        print("measuring the training speed of this machine ...", file=sys.stderr)
        speed = measure_speed(config)
    print(run_cost.as_text(config, clips, folds, speed))
    return 0


def _test(given) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *given.rest], cwd=ROOT)
