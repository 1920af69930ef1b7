"""Commands about experiments: notebooks, runs, weights, scores and tests.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_trainings(command: Callable[..., ArgumentParser]) -> None:
    """`merclip run`, `sweep`, `figures`, `figure` and `pretrain`: what trains."""
    parser = command(_run, "run", "execute all notebooks in order")
    parser.add_argument("--profile", default="standard", help="smoke, quick, standard or paper")
    parser.add_argument("--in-place", action="store_true", help="write the executed notebooks back")
    parser.add_argument("--only", default="", metavar="NN", help="just the notebooks that begin so")

    parser = command(_sweep, "sweep", "run the training notebook over a grid of parameters")
    parser.add_argument("grid", type=Path, metavar="GRID.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the grid's seeds")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="just these entries")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="for all entries"
    )
    parser.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")
    parser.add_argument("--executor", default="serial", help="processes, ray: side by side")
    parser.add_argument("--workers", type=int, help="entries side by side (default: one per core)")
    parser.add_argument("--address", default="", help="of a Ray cluster, host:port or auto")

    parser = command(_figures, "figures", "list what the paper shows, or make all of it")
    parser.add_argument("--paper", action="store_true", help="run the notebooks and collect")
    _add_paper(parser)
    parser = command(_figures, "figure", "make one table or figure of the paper")
    parser.add_argument("name", help="as `merclip figures` lists it")
    _add_paper(parser)

    parser = command(_pretrain, "pretrain", "make the tiny starts again, as they come with us")
    parser.add_argument("--part", choices=("text", "motion", "dfme"), default="motion")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--force", action="store_true", help="replace files of another kind")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--steps", type=int, help="text, motion: training steps")
    parser.add_argument("--frames", type=int, help="motion: frames of a clip (default: 8)")
    parser.add_argument(
        "--no-temporal",
        dest="temporal",
        action="store_false",
        default=None,
        help="motion: CLIP's image encoder frame by frame, without temporal modules",
    )
    parser.add_argument(
        "--no-text", dest="use_text", action="store_false", help="dfme: without sentences"
    )
    parser.add_argument("--no-eim", dest="use_eim", action="store_false", help="dfme: linear head")
    parser.add_argument("--no-mix", dest="mix", action="store_false", help="dfme: faces not mixed")


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


def _add_paper(parser: ArgumentParser) -> None:
    """Where clips come from and where tables and figures go."""
    help_ = "the clip store of a task, such as samm-5=stores/samm (default: SynthME)"
    parser.add_argument("--store", nargs="+", default=[], metavar="TASK=FOLDER", help=help_)
    parser.add_argument("--out", type=Path, default=Path("paper"), help="folder to write (paper)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other values")


def add_study(command: Callable[..., ArgumentParser]) -> None:
    """`merclip study`: the frozen study."""
    parser = command(_study, "study", "plan, run, score or verify the frozen study")
    parser.add_argument("action", choices=("plan", "run", "status", "score", "verify"))
    parser.add_argument("--block", type=int, help="run: which block, counted from 1")
    parser.add_argument("--sample", type=int, default=3, help="verify: how many trainings")
    parser.add_argument("--seed", type=int, default=0, help="verify: draws them")
    parser.add_argument("--design", type=Path, help="its blocks are beside it, in study/")
    parser.add_argument("--figures-dir", type=Path, help="score: where its tables go")
    parser.add_argument("--runs-dir", type=Path, help="populations and unfinished blocks")


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
    import yaml

    from merclip_lib.config import files_from
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import sweeps

    changes = {key: yaml.safe_load(value) for key, value in given.p}
    overrides = files_from("", changes)
    selection = sweeps.Selection(given.seeds, overrides, given.only)
    execution = Execution(given.executor, given.workers, given.address)
    failures = sweeps.sweep(given.grid, given.runs_dir, selection, execution)
    return max([_failed(failure) for failure in failures], default=0)


def _study(given: Namespace) -> int:
    from merclip_lib.study import blocks, design, notebooks
    from merclip_lib.study.checkout import default_runs, root_with
    from merclip_lib.study.progress import Clock, progress_file
    from merclip_lib.study.tables import write_tables

    folder, runs = root_with("notebooks") / "notebooks", given.runs_dir or default_runs()
    study = design.read_study(given.design or folder / "design.yaml")
    place = blocks.Workplace(study.path.resolve().parent / "study", runs.resolve() / "study")
    if (given.action == "run") != (given.block is not None):
        raise ValueError("name a block with --block for `run`, and only for it")
    if given.action == "plan":
        print(blocks.plan(study))
    elif given.action == "status":
        print(blocks.status(study, place).to_string(index=False))
    elif given.action == "verify":
        print(blocks.verify(study, place, given.sample, given.seed).to_string(index=False))
    elif given.action == "score":
        figures = given.figures_dir or folder.parent / "figures"
        print(*write_tables(study, place.archive, figures), sep="\n")
    else:
        blocks.check_block(study, given.block)
        parameters = {"block": given.block, "design": str(study.path.resolve())}
        parameters |= {"archive": str(place.archive), "runs_dir": str(runs.resolve())}
        copy = runs / "notebooks" / "study" / f"block-{given.block:03d}.ipynb"
        try:
            with progress_file(copy.parent, Clock({copy.stem: 1.0})):
                notebooks.execute(folder / "study_block.ipynb", copy, parameters)
        except notebooks.NotebookError as error:
            return _failed(error)
    return 0


def _failed(error: Exception | str) -> int:
    """Say what failed; the exit code for it."""
    print(f"merclip: error: {error}", file=sys.stderr)
    return 1


def _figures(given: Namespace) -> int:
    from merclip_lib.config import Config
    from merclip_lib.study.paper import ARTEFACTS, make_artefacts

    names = [given.name] if "name" in given else []
    if not names and not given.paper:
        for name, artefact in ARTEFACTS.items():
            print(f"{name:<14}{artefact['shows']} ({artefact['notebook']}: {artefact['call']})")
        return 0
    stores = _pairs(given.store or [f"{Config().task}="], "--store", "samm-5=stores/samm")
    settings = {key: _yaml(value) for key, value in _pairs(given.set, "--set", "epochs=6").items()}
    missing = make_artefacts(stores, given.out, names, settings)
    print(*[f"not there: {line}" for line in missing], f"tables and figures: {given.out}", sep="\n")
    return 1 if missing else 0


def _pairs(words: list[str], option: str, example: str) -> dict[str, str]:
    """KEY=VALUE words as a dictionary."""
    for word in words:
        if "=" not in word:
            raise ValueError(f"{option} {word!r} is not of the form {example}")
    return dict(word.split("=", 1) for word in words)


def _yaml(text: str) -> Any:
    """A value of the command line as YAML reads it."""
    import yaml

    return yaml.safe_load(text)


def _pretrain(given: Namespace) -> int:
    from merclip_lib.files import output_place
    from merclip_lib.training.pretrain import CARD
    from merclip_lib.weights.files import WEIGHTS

    if given.out.suffix != ".safetensors":
        raise ValueError(f"{given.out}: name the weights to write something.safetensors")
    output_place(given.out, WEIGHTS, force=given.force)
    output_place(given.out.with_suffix(".json"), CARD, force=given.force)
    parts = {"text": _pretrain_text, "motion": _pretrain_motion, "dfme": _pretrain_dfme}
    parts[given.part](given)
    print(f"weights: {given.out}")
    return 0


def _pretrain_text(given: Namespace) -> None:
    from merclip_lib.weights.text_tower import TextSettings, make_text_tower

    if given.frames or given.temporal is not None:
        raise ValueError("--part text takes --steps, --seed and --out alone: it sees no pictures")
    make_text_tower(given.out, TextSettings(**_given(given, "steps", "seed")))


def _pretrain_motion(given: Namespace) -> None:
    from merclip_lib.study.checkout import default_runs
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import STARTS
    from merclip_lib.training.pretrain import MotionSettings, pretrain

    store = draw_population(STARTS["motion"], default_runs() / "starts" / "motion")
    settings = MotionSettings(**_given(given, "steps", "seed", "frames", "temporal"))
    pretrain(store, settings, given.out)


def _pretrain_dfme(given: Namespace) -> None:
    from merclip_lib.study.checkout import default_runs
    from merclip_lib.study.dfme_start import make_dfme_start
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import STARTS

    store, fresh = (
        draw_population(STARTS[name], default_runs() / "starts" / name)
        for name in ("dfme", "dfme-fresh")
    )
    make_dfme_start(store, fresh, given.out, **_given(given, "seed", "use_text", "use_eim", "mix"))


def _given(given: Namespace, *names: str) -> dict:
    """Those options that were given."""
    return {name: value for name in names if (value := getattr(given, name)) is not None}


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
    from merclip_lib.recipes import recipe
    from merclip_lib.study.cost import as_text, counts_of, measure_speed

    pairs = _pairs(given.set, "--set", "KEY=VALUE, such as batch_size=4")
    changes = {key: _yaml(value) for key, value in pairs.items()}
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
