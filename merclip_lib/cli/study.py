"""Commands that train: notebooks, sweeps, the starts, the frozen study, the paper's figures.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import sys
from argparse import Namespace

from merclip_lib.cli.options import Commands, given_of, pairs, yaml_value


def _run(given: Namespace) -> None:
    from merclip_lib.study import notebooks

    notebooks.run(given.profile, in_place=given.in_place, only=given.only)


def _sweep(given: Namespace) -> int:
    from merclip_lib.config import files_from
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import sweeps

    words = pairs(["=".join(both) for both in given.p], "-p", "KEY VALUE")
    changes = {key: yaml_value(value) for key, value in words.items()}
    overrides = files_from("", changes)
    selection = sweeps.Selection(given.seeds, overrides, given.only)
    execution = Execution(given.executor, given.workers, given.address)
    failures = sweeps.sweep(given.grid, given.runs_dir, selection, execution)
    return max([_failed(failure) for failure in failures], default=0)


def _study(given: Namespace) -> None:
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import blocks, design, notebooks
    from merclip_lib.study.answers import write_readme
    from merclip_lib.study.checkout import default_runs, root_with
    from merclip_lib.study.progress import Clock, progress_file
    from merclip_lib.study.reference_lines import write_references
    from merclip_lib.study.tables import score_archive, write_tables

    folder, runs = root_with("notebooks") / "notebooks", given.runs_dir or default_runs()
    path = given.design or folder / "design.yaml"
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path}: no such design; one is notebooks/design.yaml")
    ours = path.resolve() == (folder / "design.yaml").resolve()  # so are the committed tables
    figures = given.figures_dir or (folder.parent if ours else runs) / "figures"
    study = design.read_study(path)
    drawn, side_by_side = runs.resolve() / "study", Execution("processes", given.workers)
    place = blocks.Workplace(study.archive, drawn, side_by_side, device=given.device)
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
        parameters = {"block": given.block, "device": given.device, "workers": given.workers}
        parameters |= {"design": str(study.path.resolve()), "runs_dir": str(runs.resolve())}
        copy = runs / "notebooks" / study.archive.name / f"block-{given.block:03d}.ipynb"
        with progress_file(copy.parent, Clock({copy.stem: 1.0})):
            notebooks.execute(folder / "study_block.ipynb", copy, parameters)


def _failed(error: str) -> int:
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
    make_text_tower(given.out, TextSettings(**given_of(given, "steps", "seed")))


def _pretrain_motion(given: Namespace) -> None:
    from merclip_lib.study.checkout import default_runs
    from merclip_lib.study.motion_start import MotionSettings, pretrain
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import STARTS

    store = draw_population(STARTS["motion"], default_runs() / "starts" / "motion")
    settings = MotionSettings(**given_of(given, "steps", "seed", "frames", "temporal"))
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
    changes = given_of(given, "seed", "use_text", "use_eim", "mix", "device")
    make_dfme_start(store, fresh, given.out, **changes)


COMMANDS: Commands = {
    "run": _run,
    "sweep": _sweep,
    "figures": _figures,
    "figure": _figures,
    "pretrain": _pretrain,
    "study": _study,
}
