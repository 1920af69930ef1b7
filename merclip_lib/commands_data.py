"""Commands about data: from a student's own copy of a set to clips, and the synthetic faces.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

from pathlib import Path

from merclip_lib import facs

ROOT = Path(__file__).resolve().parents[1]


def add(command) -> None:
    """Declare the commands; `command(function, name, help)` returns the parser of one."""
    one = command(_describe, "describe", "say an action-unit annotation as a sentence")
    one.add_argument("annotation", help='for example "4+7+L10"')
    one.add_argument("--style", choices=facs.STYLES, default="phrases")
    one.add_argument("--emotion", help="the class name, for the style emotion_only")

    one = command(_prepare, "prepare", "decode your own copy of a set into a clip store")
    one.add_argument("--table", type=Path, required=True, help="the clip table (CSV)")
    one.add_argument("--data-root", type=Path, required=True, help="where its frames lie")
    one.add_argument("--out", type=Path, required=True, help="the store to write")
    one.add_argument("--size", type=int, default=224, help="pixels of both sides")
    one.add_argument("--frames", type=int, default=32, help="frames kept of each clip")
    one.add_argument("--workers", type=int, help="processes (default: all cores)")
    one.add_argument("--skip-bad", action="store_true", help="leave unreadable clips out")

    one = command(_synth, "synth", "draw the synthetic face sets")
    one.add_argument("--set", choices=("study", "macro", "both"), default="study")
    one.add_argument("--out", type=Path, help="folder of the clip stores (default: runs)")
    one.add_argument("--workers", type=int, help="processes (default: all cores)")


def _describe(given) -> int:
    print(facs.describe(given.annotation, style=given.style, emotion=given.emotion))
    return 0


def _synth(given) -> int:
    from merclip_lib import synthetic

    wanted = {"study": ["STUDY"], "macro": ["MACRO"], "both": ["STUDY", "MACRO"]}[given.set]
    for face_set in (getattr(synthetic, name) for name in wanted):
        folder = (given.out or ROOT / "runs") / face_set.name.lower()
        store = synthetic.draw_set(face_set, folder, workers=given.workers)
        print(f"{face_set.name}: {len(store.table)} clips in {folder}")
    return 0


def _prepare(given) -> int:
    from merclip_lib.frames import prepare
    from merclip_lib.manifests import read_table

    store = prepare(
        read_table(given.table), given.data_root, given.out, given.size, given.frames,
        given.workers, given.skip_bad,
    )  # fmt: skip
    print(f"{len(store)} clips in {given.out}")
    return 0
