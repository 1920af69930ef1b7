"""Commands that train: notebooks, sweeps, the starts, the frozen study, the paper's figures.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from merclip_lib.cli.options import pairs, yaml_value


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


def _add_paper(parser: ArgumentParser) -> None:
    """Where clips come from and where tables and figures go."""
    help_ = "the clip store of a task, such as samm-5=stores/samm (default: SynthME)"
    parser.add_argument("--store", nargs="+", default=[], metavar="TASK=FOLDER", help=help_)
    parser.add_argument("--out", type=Path, default=Path("paper"), help="folder to write (paper)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other values")


def add_study(command: Callable[..., ArgumentParser]) -> None:
    """`merclip study`: the frozen study."""
    parser = command(_study, "study", "plan, run, score, show or verify the frozen study")
    actions = "plan run status score references readme verify".split()
    parser.add_argument("action", choices=actions)
    parser.add_argument("--block", type=int, help="run: which block, counted from 1")
    parser.add_argument("--sample", type=int, default=3, help="verify: how many trainings")
    parser.add_argument("--seed", type=int, default=0, help="verify: draws them")
    parser.add_argument("--design", type=Path, help="its blocks are beside it (default: in study/)")
    parser.add_argument("--figures-dir", type=Path, help="score, references: where tables go")
    parser.add_argument("--runs-dir", type=Path, help="populations and unfinished blocks")


def _run(given: Namespace) -> int:
    from merclip_lib.study import notebooks

    try:
        notebooks.run(given.profile, in_place=given.in_place, only=given.only)
    except notebooks.NotebookError as error:
        return _failed(error)
    return 0


def _sweep(given: Namespace) -> int:
    from merclip_lib.config import files_from
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import sweeps

    changes = {key: yaml_value(value) for key, value in given.p}
    overrides = files_from("", changes)
    selection = sweeps.Selection(given.seeds, overrides, given.only)
    execution = Execution(given.executor, given.workers, given.address)
    failures = sweeps.sweep(given.grid, given.runs_dir, selection, execution)
    return max([_failed(failure) for failure in failures], default=0)


def _study(given: Namespace) -> int:
    from merclip_lib.study import blocks, design, notebooks
    from merclip_lib.study.answers import write_readme
    from merclip_lib.study.checkout import default_runs, root_with
    from merclip_lib.study.progress import Clock, progress_file
    from merclip_lib.study.reference_lines import write_references
    from merclip_lib.study.tables import archive_of, score_archive, write_tables

    folder, runs = root_with("notebooks") / "notebooks", given.runs_dir or default_runs()
    figures = given.figures_dir or folder.parent / "figures"
    study = design.read_study(given.design or folder / "design.yaml")
    place = blocks.Workplace(archive_of(study.path.resolve()), runs.resolve() / "study")
    if (given.action == "run") != (given.block is not None):
        raise ValueError("name a block with --block for `run`, and only for it")
    if given.action == "plan":
        print(blocks.plan_text(study))
    elif given.action == "status":
        print(blocks.status(study, place).to_string(index=False))
    elif given.action == "verify":
        print(blocks.verify(study, place, given.sample, given.seed).to_string(index=False))
    elif given.action == "references":
        print(write_references(study, place, figures))
    elif given.action == "readme":
        print(write_readme(folder.parent / "README.md", figures))
    elif given.action == "score":
        print(*write_tables(score_archive(study, place.archive), figures), sep="\n")
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
    stores = pairs(given.store or [f"{Config().task}="], "--store", "samm-5=stores/samm")
    changes = pairs(given.set, "--set", "epochs=6")
    settings = {key: yaml_value(value) for key, value in changes.items()}
    missing = make_artefacts(stores, given.out, names, settings)
    print(*[f"not there: {line}" for line in missing], f"tables and figures: {given.out}", sep="\n")
    return 1 if missing else 0


def _pretrain(given: Namespace) -> int:
    from merclip_lib.files import output_place
    from merclip_lib.study.motion_start import CARD
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
    from merclip_lib.study.motion_start import MotionSettings, pretrain
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import STARTS

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
