"""Commands that tell and check: scores, weights, recipes, runs, one clip, costs, tests.

What a command takes stands in commands.toml. It imports what it needs when it is called, so that
`merclip --help` answers at once.
"""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from merclip_lib.cli.options import Commands, settings_of
from merclip_lib.config import Config
from merclip_lib.workers import ENVIRONMENT, environment


def _score(given: Namespace) -> None:
    from merclip_lib.scores.predictions_file import as_json, as_text, score_file

    classes = [name.strip() for name in given.classes.split(",") if name.strip()]
    report = score_file(given.predictions, classes)
    print(as_json(report) if given.json else as_text(report))


def _weights(given: Namespace) -> None:
    from merclip_lib.weights.inspect import inspect_file
    from merclip_lib.weights.load import named_file

    path = named_file(given.file, given.size) if given.size else Path(given.file)
    content = inspect_file(path, given.size)
    report = content.pop("report", None)
    if given.json:
        print(json.dumps(content | ({"report": report.counts()} if report else {}), indent=1))
        return
    for name, value in content.items():
        if isinstance(value, dict):
            print(name, *(f"  {key:<15}{_plain(inner)}" for key, inner in value.items()), sep="\n")
        else:
            print(f"{name:<17}{_plain(value)}")
    if report:
        print(report.table())


def _plain(value: object) -> str:
    """A value in one line, without the marks of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _recipe(given: Namespace) -> None:
    from merclip_lib.recipes import RECIPES, recipe
    from merclip_lib.study.recipe_report import as_dict, as_text

    if given.name is None:
        print(json.dumps(RECIPES) if given.json else "\n".join(RECIPES))
        return
    config = recipe(given.name, given.protocol)
    report = as_dict(given.name, config) if given.json else as_text(given.name, config)
    print(json.dumps(report, indent=1) if given.json else report)


def _runs(given: Namespace) -> None:
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


def _why(given: Namespace) -> None:
    from merclip_lib.data.store import open_store
    from merclip_lib.explain.why import clip_page
    from merclip_lib.runs.overview import find_run
    from merclip_lib.runs.store import read_run
    from merclip_lib.study.checkout import default_runs

    run = read_run(find_run(given.runs_dir or default_runs(), given.run))
    page = clip_page(run, given.clip, given.store and open_store(given.store))
    print(f"{page}\n{page.with_suffix('.gif')}")


def _cost(given: Namespace) -> None:
    from merclip_lib.recipes import recipe
    from merclip_lib.study.cost import as_text, counts_of, estimate, measure_speed

    changes = settings_of(given.set, "--set", "KEY=VALUE, such as batch_size=4")
    config = recipe(given.recipe or changes.pop("task", Config().task), **changes)
    clips, folds = counts_of(config, given.clips, given.folds)
    speed = given.clips_per_second
    estimate(config, clips, folds, 1.0 if speed is None else speed)  # refuses counts at once
    if speed is None:
        print("measuring the training speed of this machine in one thread ...", file=sys.stderr)
        speed = measure_speed(config)
    print(as_text(config, clips, folds, speed))


def _test(given: Namespace) -> int:
    from merclip_lib.study.checkout import root_with

    options = ["-n", "2", "--dist", "worksteal", *(["-m", ""] if given.all else [])]
    command = [sys.executable, "-m", "pytest", *options, *given.rest]
    with environment(ENVIRONMENT):
        return subprocess.call(command, cwd=root_with("tests"))


COMMANDS: Commands = _score, _weights, _recipe, _runs, _why, _cost, _test
