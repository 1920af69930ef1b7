"""Commands about data: from a student's own copy of a set to clips, and the synthetic faces.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from merclip_lib.cli.options import pairs
from merclip_lib.text.sentences import STYLES, describe


def add_describe(command: Callable[..., ArgumentParser]) -> None:
    """`merclip describe`: annotations as sentences."""
    parser = command(_describe, "describe", "say an action-unit annotation as a sentence")
    parser.add_argument("annotation", nargs="?", help='for example "4+7+L10"')
    parser.add_argument("--table", type=Path, help="say those of a whole clip table instead")
    parser.add_argument("--out", type=Path, help="with --table: the sentences to write (CSV)")
    _add_force(parser)
    parser.add_argument("--style", choices=STYLES, default="phrases")
    parser.add_argument("--emotion", help="the class name, for the style emotion_only")
    parser.add_argument("--phrases", default="", help="your own: a csv action_unit,phrase")
    parser.add_argument("--templates", default="", help="your own: a text file, one a line")


def add_tables(command: Callable[..., ArgumentParser]) -> None:
    """`merclip manifest` and `merclip task`: clip tables and what a task makes of them."""
    parser = command(_manifest, "manifest", "make a clip table of a set's own annotation file")
    parser.add_argument(
        "dataset", help="casme2, samm, smic, casme3, dfme, mmew, 4dme, casme, casme2sq, or your own"
    )
    parser.add_argument("--annotations", type=Path, nargs="+", default=[], help="xlsx or csv")
    parser.add_argument("--data-root", type=Path, help="its pictures: looked up, used for repairs")
    parser.add_argument("--out", type=Path, required=True, help="the clip table to write (CSV)")
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="FIELD=HEADING",
        help="a heading that your release names otherwise; of a set of your own, all",
    )
    parser.add_argument("--fps", type=float, help="of a set of your own: frames per second")
    parser.add_argument("--pictures", help="of your own: where clips lie, such as {subject}/{clip}")
    parser.add_argument(
        "--emotions", nargs="+", default=[], metavar="YOURS=OURS", help="such as joy=happiness"
    )
    parser.add_argument("--split", default="", help="value of the column split (DFME)")
    _add_force(parser)
    _add_report_options(parser)

    parser = command(_task, "task", "say which clips of clip tables a task takes, and check totals")
    parser.add_argument("task", help="for example casme2-5 or megc2019-3")
    parser.add_argument("--table", type=Path, action="append", required=True, help="repeatable")
    parser.add_argument("--out", type=Path, help="write the clips it takes, with their class (CSV)")
    _add_force(parser)
    _add_report_options(parser)


def add_clips(command: Callable[..., ArgumentParser]) -> None:
    """`merclip prepare` and `merclip synth`: clip stores, decoded or drawn."""
    parser = command(_prepare, "prepare", "decode your own copy of a set into a clip store")
    parser.add_argument("--table", type=Path, required=True, help="the clip table (CSV)")
    parser.add_argument("--data-root", type=Path, required=True, help="where its frames lie")
    parser.add_argument("--out", type=Path, required=True, help="the store to write")
    parser.add_argument("--size", type=int, default=224, help="pixels of both sides")
    parser.add_argument("--frames", type=int, default=32, help="frames kept of each clip")
    parser.add_argument(
        "--align",
        choices=("none", "mesh"),
        default="none",
        help="none for the cropped version of a set, mesh for whole pictures",
    )
    parser.add_argument("--margin", type=float, default=0.15, help="share around aligned faces")
    parser.add_argument("--stabilise", action="store_true", help="take rigid head motion out")
    parser.add_argument("--grey", action="store_true", help="take colour away")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--skip-bad", action="store_true", help="leave unreadable clips out")

    parser = command(_synth, "synth", "draw a population of synthetic faces, or move a photograph")
    parser.add_argument("--preset", default="", help="such as casme3-like (default: the example's)")
    parser.add_argument("--seed", type=int, help="another population (default: the example's)")
    parser.add_argument("--people", type=int, help="how many (default: as in the real set)")
    parser.add_argument("--clips", type=int, help="of all people (default: as in the real set)")
    parser.add_argument("--face", type=Path, metavar="PHOTO", help="move this face instead")
    parser.add_argument("--units", default="4+7+L10", help="with --face: what it shows")
    parser.add_argument("--intensity", type=float, default=0.3, help="with --face: 1 = strongest")
    parser.add_argument("--out", type=Path, help="folder of the clip store (default: below runs)")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")


def _add_force(parser: ArgumentParser) -> None:
    """The choice to lose a file."""
    parser.add_argument("--force", action="store_true", help="replace a file of another kind")


def _add_report_options(parser: ArgumentParser) -> None:
    """How a report is printed, and what its differences mean."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--strict", action="store_true", help="unexpected totals are an error")


def _describe(given: Namespace) -> int:
    if (given.annotation is None) == (given.table is None):
        raise ValueError("give one annotation, or a clip table with --table, not both")
    from merclip_lib.data.prompts import check_length, read_prompts

    phrases, templates = read_prompts(given.phrases, given.templates)
    if given.table is None:
        words = describe(given.annotation, given.style, given.emotion, phrases=phrases)
        sentences = [t.format(words) for t in templates] if given.templates else []
        for sentence in sentences:
            check_length(sentence, given.templates)
        print("\n".join(sentences or [words]))
        return 0
    if given.out is None:
        raise ValueError("--table needs --out SENTENCES.csv")
    from merclip_lib.data.annotations.report import SENTENCES, sentences_of, unsaid_text
    from merclip_lib.data.table import read_table
    from merclip_lib.files import output_place, write_csv

    place = output_place(given.out, SENTENCES, [given.table], force=given.force)
    table = read_table(given.table)
    write_csv(sentences_of(table, given.style, str(given.table), phrases), place)
    print(unsaid_text(table))
    print(f"{len(table)} sentences in {given.out}")
    return 0


def _manifest(given: Namespace) -> int:
    import yaml

    from merclip_lib.data.annotations.own_release import own_release, own_values
    from merclip_lib.data.annotations.read import join, read_annotations, read_folders
    from merclip_lib.data.annotations.releases import RELEASES
    from merclip_lib.data.annotations.report import manifest_report
    from merclip_lib.data.table import TABLE, write_table
    from merclip_lib.files import output_place, write_text

    place = output_place(given.out, TABLE, given.annotations, given.data_root, given.force)
    columns = pairs(given.columns, "--columns", "FIELD=HEADING, such as emotion=Label")
    emotions = pairs(given.emotions, "--emotions", "YOURS=OURS, such as joy=happiness")
    own = {"fps": given.fps, "pictures": given.pictures, "emotions": emotions}
    file, known = given.out.with_name(f"{given.dataset}.release.yaml"), given.dataset in RELEASES
    if known and any(own.values()):
        raise ValueError("--fps, --pictures and --emotions are for a set of your own")
    if not known:
        own = own_values(file, own | {"columns": columns})
    if given.annotations:
        release = given.dataset if known else own_release(file, own)
        options = release, columns if known else {}, given.split, given.data_root
        reading = join([read_annotations(path, *options) for path in given.annotations])
    elif given.data_root and known:
        reading = read_folders(given.data_root, given.dataset)
    else:
        raise ValueError("give --annotations FILE (for smic alone --data-root DIR is enough)")
    report = manifest_report(reading, given.dataset, given.data_root)
    _refuse_differences(given, report)
    write_table(reading.table, place)
    written = f"{len(reading.table)} clips in {given.out}"
    if not known:
        write_text(file, yaml.safe_dump(own, sort_keys=False, allow_unicode=True))
        written += f"; what you named is in {file} and found again there"
    _print_report(given, report, written)
    return 0


def _task(given: Namespace) -> int:
    import pandas as pd

    from merclip_lib.data.annotations.report import task_report
    from merclip_lib.data.table import TABLE, check_table, read_table, write_table
    from merclip_lib.files import output_place

    if given.out:
        place = output_place(given.out, TABLE, given.table, force=given.force)
    tables = [read_table(path) for path in given.table]
    table = check_table(pd.concat(tables, ignore_index=True), "the tables together")
    report, chosen = task_report(table, given.task)
    _refuse_differences(given, report)
    if given.out:
        write_table(chosen, place)
    _print_report(given, report, f"{len(chosen)} clips in {given.out}" if given.out else "")
    return 0


def _refuse_differences(given: Namespace, report: dict) -> None:
    """With --strict, ValueError for totals other than expected, before anything is written."""
    from merclip_lib.data.annotations.report import differences

    wrong = differences(report)
    if given.strict and wrong:
        raise ValueError(f"{len(wrong)} totals differ, nothing is written: {'; '.join(wrong)}")


def _print_report(given: Namespace, report: dict, written: str) -> None:
    """A report as JSON, or in lines with what was written."""
    from merclip_lib.data.annotations.report import differences, manifest_text

    if given.json:
        print(json.dumps(report | {"differences": differences(report)}, indent=1))
    else:
        print("\n".join(line for line in (manifest_text(report), written) if line))


def _prepare(given: Namespace) -> int:
    from merclip_lib.data.frames.decode import PictureSettings
    from merclip_lib.data.frames.prepare import prepare, prepare_report
    from merclip_lib.data.store import STORE
    from merclip_lib.data.table import read_table
    from merclip_lib.files import output_place

    inputs = [given.table]
    output_place(given.out, STORE, inputs, given.data_root)
    settings = PictureSettings(
        size=given.size,
        length=given.frames,
        align=given.align,
        margin=given.margin,
        grey=given.grey,
        stabilise=given.stabilise,
    )
    table = read_table(given.table)
    store = prepare(table, given.data_root, given.out, settings, given.workers, given.skip_bad)
    print(prepare_report(store.meta))
    print(f"{len(store)} clips in {given.out}")
    return 0


def _synth(given: Namespace) -> int:
    from merclip_lib.study.checkout import default_runs
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import EXAMPLE, population

    if given.face:
        return _move(given, given.out or default_runs() / "moved" / given.face.stem)
    people, name = EXAMPLE, "synthme"
    if given.preset or given.seed is not None or given.people or given.clips:
        seed = EXAMPLE.seed if given.seed is None else given.seed
        people = population(given.preset or EXAMPLE.preset, seed, given.people, given.clips)
        name = people.name.lower()
    folder = given.out or default_runs() / name
    store = draw_population(people, folder, workers=given.workers)
    print(f"{people.name}: {len(store.table)} clips of {people.people} people in {folder}")
    return 0


def _move(given: Namespace, out: Path) -> int:
    try:
        from merclip_lib.look.photo import Moved, write_moved
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is not installed: pip install 'merclip[look]'") from None

    frames = write_moved(given.face, out, Moved(given.units, given.intensity))
    print(f"{given.face.name} shows {given.units}: {len(frames)} frames, GIF and table in {out}")
    return 0
