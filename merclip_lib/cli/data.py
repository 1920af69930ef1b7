"""Commands about data: from a student's own copy of a set to clips, and the synthetic faces.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
from pathlib import Path

from merclip_lib.text.sentences import STYLES, describe

ROOT = Path(__file__).resolve().parents[2]


def add(command) -> None:
    """Declare the commands; `command(function, name, help)` returns the parser of one."""
    one = command(_describe, "describe", "say an action-unit annotation as a sentence")
    one.add_argument("annotation", nargs="?", help='for example "4+7+L10"')
    one.add_argument("--table", type=Path, help="say those of a whole clip table instead")
    one.add_argument("--out", type=Path, help="with --table: the sentences to write (CSV)")
    one.add_argument("--style", choices=STYLES, default="phrases")
    one.add_argument("--emotion", help="the class name, for the style emotion_only")

    one = command(_manifest, "manifest", "make a clip table of a set's own annotation file")
    one.add_argument(
        "dataset", help="casme2, samm, smic, casme3, dfme, mmew, 4dme, casme, casme2sq"
    )
    one.add_argument("--annotations", type=Path, nargs="+", default=[], help="xlsx, xls or csv")
    one.add_argument("--data-root", type=Path, help="the pictures: looked up, and used for repairs")
    one.add_argument("--out", type=Path, required=True, help="the clip table to write (CSV)")
    one.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="FIELD=HEADING",
        help="a heading that your release names otherwise",
    )
    one.add_argument("--split", default="", help="value of the column split (DFME)")
    _add_report_options(one)

    one = command(_task, "task", "say which clips of clip tables a task takes, and check totals")
    one.add_argument("task", help="for example casme2-5 or megc2019-3")
    one.add_argument("--table", type=Path, action="append", required=True, help="repeatable")
    one.add_argument("--out", type=Path, help="write the clips it takes, with their class (CSV)")
    _add_report_options(one)

    one = command(_prepare, "prepare", "decode your own copy of a set into a clip store")
    one.add_argument("--table", type=Path, required=True, help="the clip table (CSV)")
    one.add_argument("--data-root", type=Path, required=True, help="where its frames lie")
    one.add_argument("--out", type=Path, required=True, help="the store to write")
    one.add_argument("--size", type=int, default=224, help="pixels of both sides")
    one.add_argument("--frames", type=int, default=32, help="frames kept of each clip")
    one.add_argument(
        "--align",
        choices=("none", "opencv", "mediapipe"),
        default="none",
        help="none for the cropped version of a set",
    )
    one.add_argument("--margin", type=float, default=0.15, help="share left around aligned faces")
    one.add_argument("--landmark-model", default="", metavar="FILE", help="for mediapipe")
    one.add_argument("--stabilise", action="store_true", help="take rigid head motion out")
    one.add_argument("--grey", action="store_true", help="take colour away")
    one.add_argument("--workers", type=int, help="processes (default: all cores)")
    one.add_argument("--skip-bad", action="store_true", help="leave unreadable clips out")

    one = command(_synth, "synth", "draw the synthetic face sets")
    one.add_argument("--set", choices=("study", "macro", "both"), default="study")
    one.add_argument("--out", type=Path, help="folder of the clip stores (default: runs)")
    one.add_argument("--workers", type=int, help="processes (default: all cores)")


def _add_report_options(one) -> None:
    one.add_argument("--json", action="store_true", help="print the report as JSON")
    one.add_argument(
        "--strict", action="store_true", help="totals other than expected are an error"
    )


def _describe(given) -> int:
    if (given.annotation is None) == (given.table is None):
        raise ValueError("give one annotation, or a clip table with --table, not both")
    if given.table is None:
        print(describe(given.annotation, style=given.style, emotion=given.emotion))
        return 0
    if given.out is None:
        raise ValueError("--table needs --out SENTENCES.csv")
    from merclip_lib.data.annotations import report as annotation_report
    from merclip_lib.data.table import read_table
    from merclip_lib.files import write_csv

    table = read_table(given.table)
    write_csv(annotation_report.sentences_of(table, given.style, str(given.table)), given.out)
    print(annotation_report.unsaid_text(table))
    print(f"{len(table)} sentences in {given.out}")
    return 0


def _manifest(given) -> int:
    from merclip_lib.data.annotations import read
    from merclip_lib.data.annotations.read import read_annotations, read_folders
    from merclip_lib.data.annotations.report import manifest_report
    from merclip_lib.data.table import write_table

    for pair in given.columns:
        if "=" not in pair:
            raise ValueError(f"--columns {pair!r} is not FIELD=HEADING, such as emotion=Label")
    columns = dict(pair.split("=", 1) for pair in given.columns)
    if given.annotations:
        reading = read.join(
            [
                read_annotations(path, given.dataset, columns, given.split, given.data_root)
                for path in given.annotations
            ]
        )
    elif given.data_root:
        reading = read_folders(given.data_root, given.dataset)
    else:
        raise ValueError("give --annotations FILE (for smic alone --data-root DIR is enough)")
    found = manifest_report(reading, given.dataset, given.data_root)
    _refuse_differences(given, found)
    write_table(reading.table, given.out)
    _print_report(given, found, f"{len(reading.table)} clips in {given.out}")
    return 0


def _task(given) -> int:
    import pandas as pd

    from merclip_lib.data.annotations.report import task_report
    from merclip_lib.data.table import check_table, read_table, write_table

    tables = [read_table(path) for path in given.table]
    table = check_table(pd.concat(tables, ignore_index=True), "the tables together")
    found, chosen = task_report(table, given.task)
    _refuse_differences(given, found)
    if given.out:
        write_table(chosen, given.out)
    _print_report(given, found, f"{len(chosen)} clips in {given.out}" if given.out else "")
    return 0


def _refuse_differences(given, found: dict) -> None:
    """With --strict, ValueError for totals other than expected, before anything is written."""
    from merclip_lib.data.annotations import report as annotation_report

    wrong = annotation_report.differences(found)
    if given.strict and wrong:
        raise ValueError(f"{len(wrong)} totals differ, nothing is written: {'; '.join(wrong)}")


def _print_report(given, found: dict, written: str) -> None:
    from merclip_lib.data.annotations import report as annotation_report

    if given.json:
        print(json.dumps(found | {"differences": annotation_report.differences(found)}, indent=1))
    else:
        print("\n".join(line for line in (annotation_report.manifest_text(found), written) if line))


def _synth(given) -> int:
    from merclip_lib.synthme.draw import draw_set
    from merclip_lib.synthme.plan import MACRO, STUDY

    wanted = {"study": [STUDY], "macro": [MACRO], "both": [STUDY, MACRO]}[given.set]
    for face_set in wanted:
        folder = (given.out or ROOT / "runs") / face_set.name.lower()
        store = draw_set(face_set, folder, workers=given.workers)
        print(f"{face_set.name}: {len(store.table)} clips in {folder}")
    return 0


def _prepare(given) -> int:
    from merclip_lib.data.frames.decode import PictureSettings
    from merclip_lib.data.frames.prepare import prepare, prepare_report
    from merclip_lib.data.table import read_table

    settings = PictureSettings(
        given.size,
        given.frames,
        given.align,
        given.margin,
        given.grey,
        given.stabilise,
        given.landmark_model,
    )
    table = read_table(given.table)
    store = prepare(table, given.data_root, given.out, settings, given.workers, given.skip_bad)
    print(prepare_report(store.meta))
    print(f"{len(store)} clips in {given.out}")
    return 0
