"""Commands that tell and check: scores, weights, recipes, runs, one clip, costs, tests.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from merclip_lib.cli.options import pairs, yaml_value


def add_reports(command: Callable[..., ArgumentParser]) -> None:
    """`merclip score`, `weights`, `recipe`, `runs`, `why`, `cost`, `test`: what tells or checks."""
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

    parser = command(_runs, "runs", "list, show or compare what the run store holds, or clean")
    parser.add_argument("action", choices=("list", "show", "compare", "clean"))
    parser.add_argument("run", nargs="*", help="show: a run's name, or how it begins; compare: two")
    parser.add_argument("--sort", choices=("date", "uf1", "task"), default="date", help="of list")
    parser.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")
    parser.add_argument("--yes", action="store_true", help="clean: remove what is listed")

    parser = command(_why, "why", "write a page about one clip: what a run predicted, and why")
    parser.add_argument("run", help="a finished run that kept its networks, or how it begins")
    parser.add_argument("clip", help="a clip id, or how it begins")
    parser.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")
    parser.add_argument("--store", type=Path, help="its clips (default: where they were)")

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
    from merclip_lib.runs.compare import compare_text
    from merclip_lib.study.checkout import default_runs

    folder = given.runs_dir or default_runs()
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; name the run store with --runs-dir")
    if len(given.run) != {"show": 1, "compare": 2}.get(given.action, 0):
        raise ValueError("name one run for `show`, two for `compare`, none for `list` and `clean`")
    runs = [overview.find_run(folder, name) for name in given.run]
    if given.action == "list":
        print(overview.runs_text(overview.list_runs(folder, given.sort)))
    elif given.action == "show":
        print(overview.run_text(runs[0]))
    elif given.action == "compare":
        print(compare_text(runs[0], runs[1]))
    else:
        print(overview.clean(folder, given.yes))
    return 0


def _why(given: Namespace) -> int:
    from merclip_lib.data.store import open_store
    from merclip_lib.explain.why import clip_page
    from merclip_lib.runs.overview import find_run
    from merclip_lib.runs.store import read_run
    from merclip_lib.study.checkout import default_runs

    run = read_run(find_run(given.runs_dir or default_runs(), given.run))
    page = clip_page(run, given.clip, given.store and open_store(given.store))
    print(f"{page}\n{page.with_suffix('.gif')}")
    return 0


def _cost(given: Namespace) -> int:
    from merclip_lib.config import Config
    from merclip_lib.recipes import recipe
    from merclip_lib.study.cost import as_text, counts_of, measure_speed

    given_values = pairs(given.set, "--set", "KEY=VALUE, such as batch_size=4")
    changes = {key: yaml_value(value) for key, value in given_values.items()}
    config = recipe(given.recipe or changes.pop("task", Config().task), **changes)
    clips, folds = counts_of(config, given.clips, given.folds)
    speed = given.clips_per_second
    if speed is None:
        print("measuring the training speed of this machine in one thread ...", file=sys.stderr)
        speed = measure_speed(config)
    print(as_text(config, clips, folds, speed))
    return 0


def _test(given: Namespace) -> int:
    from merclip_lib.study.checkout import root_with

    command = [sys.executable, "-m", "pytest", *given.rest]
    return subprocess.call(command, cwd=root_with("tests"))
