"""Commands that train: notebooks, sweeps, the starts, the frozen study, the paper's figures.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import sys
from argparse import Namespace

from merclip_lib.cli.options import Commands, given_of, pairs, settings_of
from merclip_lib.config import Config, files_from
from merclip_lib.files import output_place


def _run(given: Namespace) -> None:
    from merclip_lib.study import notebooks

    notebooks.run(given.profile, in_place=given.in_place, only=given.only)


def _sweep(given: Namespace) -> int:
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import sweeps

    changes = settings_of(["=".join(both) for both in given.p], "-p", "KEY VALUE")
    selection = sweeps.Selection(given.seeds, files_from("", changes), given.only)
    execution = Execution(given.executor, given.workers, given.address)
    failures = sweeps.sweep(given.grid, given.runs_dir, selection, execution)
    for failure in failures:
        print(f"merclip: error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _study(given: Namespace) -> None:
    from merclip_lib.runs.executors import Execution
    from merclip_lib.study import answers, blocks, checkout, design, notebooks, tables
    from merclip_lib.study.progress import Clock, progress_file
    from merclip_lib.study.reference_lines import write_references

    folder = checkout.root_with("notebooks") / "notebooks"
    runs = given.runs_dir or checkout.default_runs()
    path = given.design or folder / "design.yaml"
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path}: no such design; one is notebooks/design.yaml")
    ours = path.resolve() == (folder / "design.yaml").resolve()  # so are the committed tables
    figures = given.figures_dir or (folder.parent if ours else runs) / "figures"
    study = design.read_study(path)
    drawn, side_by_side = runs.resolve() / "study", Execution("processes", given.workers)
    place = blocks.Workplace(study.archive, drawn, side_by_side, device=given.device)
    if given.action == "readme" and not ours:
        raise ValueError("README tells of notebooks/design.yaml alone: leave out --design")
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
        print(answers.write_readme(folder.parent / "README.md", figures))
    elif given.action == "score":
        print(*tables.write_tables(tables.score_archive(study, place.archive), figures), sep="\n")
    else:
        blocks.check_block(study, given.block)
        parameters = {"block": given.block, "device": given.device, "workers": given.workers}
        parameters |= {"design": str(study.path.resolve()), "runs_dir": str(runs.resolve())}
        copy = runs / "notebooks" / study.archive.name / f"block-{given.block:03d}.ipynb"
        with progress_file(copy.parent, Clock({copy.stem: 1.0})):
            notebooks.execute(folder / "study_block.ipynb", copy, parameters)


def _figures(given: Namespace) -> int:
    from merclip_lib.study.paper import ARTEFACTS

    if given.paper:
        return _figure(given)
    for name, artefact in ARTEFACTS.items():
        print(f"{name:<14}{artefact['shows']} ({artefact['notebook']}: {artefact['call']})")
    return 0


def _figure(given: Namespace) -> int:
    from merclip_lib.study.paper import make_artefacts

    names = [given.name] if "name" in given else []
    stores = pairs(given.store or [f"{Config().task}="], "--store", "samm-5=stores/samm")
    missing = make_artefacts(stores, given.out, names, settings_of(given.set, "--set", "epochs=6"))
    print(*[f"not there: {line}" for line in missing], f"tables and figures: {given.out}", sep="\n")
    return 1 if missing else 0


def _pretrain(given: Namespace) -> None:
    from merclip_lib.study import checkout, dfme_start, motion_start
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import STARTS
    from merclip_lib.weights.files import WEIGHTS
    from merclip_lib.weights.text_tower import TextSettings, make_text_tower

    if given.out.suffix != ".safetensors":
        raise ValueError(f"{given.out}: name the weights to write something.safetensors")
    output_place(given.out, WEIGHTS, force=given.force)
    output_place(given.out.with_suffix(".json"), motion_start.CARD, force=given.force)
    usual = {"use_text": True, "use_eim": True, "mix": True, "device": "cpu"}
    uses = {"text": ["steps"], "motion": ["steps", "frames", "temporal"], "dfme": [*usual]}
    others = {name for names in uses.values() for name in names} - {*uses[given.part]}
    if passed := sorted(name for name in others if getattr(given, name) != usual.get(name)):
        raise ValueError(f"--part {given.part} does not use {', '.join(passed)}; leave it out")

    def drawn(name: str):
        return draw_population(STARTS[name], checkout.default_runs() / "starts" / name)

    if given.part == "text":
        make_text_tower(given.out, TextSettings(**given_of(given, "steps", "seed")))
    elif given.part == "motion":
        options = given_of(given, "steps", "seed", "frames", "temporal")
        motion_start.pretrain(drawn("motion"), motion_start.MotionSettings(**options), given.out)
    else:
        changes = given_of(given, "seed", "use_text", "use_eim", "mix", "device")
        dfme_start.make_dfme_start(drawn("dfme"), drawn("dfme-fresh"), given.out, **changes)
    print(f"weights: {given.out}")


COMMANDS: Commands = _run, _sweep, _figures, _figure, _pretrain, _study
