"""The command line: `merclip ...` or `python -m merclip_lib ...`.

Each command imports what it needs when it is called, so that `merclip --help` answers
at once.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from merclip_lib import facs


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (0 fine, 1 something failed, 2 bad input)."""
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and given.command is not _test:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    given.rest = rest
    try:
        return given.command(given)
    except ValueError as error:
        print(f"merclip: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="merclip", description="MER-CLIP: micro-expressions and sentences about action units"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, name, text):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=function)
        return one

    one = command(_run, "run", "execute all notebooks in order")
    one.add_argument("--profile", default="standard", help="smoke, quick, standard or paper")
    one.add_argument("--in-place", action="store_true", help="write the executed notebooks back")
    one.add_argument("--only", default="", metavar="NN", help="just the notebooks that begin so")

    one = command(_sweep, "sweep", "run the training notebook over a grid of parameters")
    one.add_argument("grid", type=Path, metavar="GRID.yaml")
    one.add_argument("--seeds", type=int, nargs="+", help="instead of the grid's seeds")
    one.add_argument("--only", nargs="+", metavar="NAME", help="just these entries")
    one.add_argument("--runs-dir", type=Path, help="the run store (default: runs)")

    one = command(_synth, "synth", "draw the synthetic face sets")
    one.add_argument("--set", choices=("study", "macro", "both"), default="study")
    one.add_argument("--out", type=Path, help="folder of the clip stores (default: runs)")
    one.add_argument("--workers", type=int, help="processes (default: all cores)")

    one = command(_prepare, "prepare", "decode your own copy of a set into a clip store")
    one.add_argument("--table", type=Path, required=True, help="the clip table (CSV)")
    one.add_argument("--data-root", type=Path, required=True, help="where its frames lie")
    one.add_argument("--out", type=Path, required=True, help="the store to write")
    one.add_argument("--size", type=int, default=224, help="pixels of both sides")
    one.add_argument("--frames", type=int, default=32, help="frames kept of each clip")
    one.add_argument("--workers", type=int, help="processes (default: all cores)")
    one.add_argument("--skip-bad", action="store_true", help="leave unreadable clips out")

    one = command(_pretrain, "pretrain", "train the tiny weights again on SynthME-macro")
    one.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    one.add_argument("--steps", type=int, help="training steps")
    one.add_argument("--seed", type=int, help="random seed")

    one = command(_describe, "describe", "say an action-unit annotation as a sentence")
    one.add_argument("annotation", help='for example "4+7+L10"')
    one.add_argument("--style", choices=facs.STYLES, default="phrases")
    one.add_argument("--emotion", help="the class name, for the style emotion_only")

    command(_test, "test", "run the tests; further arguments go to pytest")
    return parser


def _run(given) -> int:
    from merclip_lib import pipeline

    try:
        pipeline.run(given.profile, in_place=given.in_place, only=given.only)
    except pipeline.NotebookError as error:
        print(f"merclip: error: {error}", file=sys.stderr)
        return 1
    return 0


def _sweep(given) -> int:
    from merclip_lib import pipeline

    failures = pipeline.sweep(
        given.grid, runs_dir=given.runs_dir, seeds=given.seeds, only=given.only
    )
    for failure in failures:
        print(f"merclip: error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _synth(given) -> int:
    from merclip_lib import synthetic

    wanted = {"study": ["STUDY"], "macro": ["MACRO"], "both": ["STUDY", "MACRO"]}[given.set]
    for face_set in (getattr(synthetic, name) for name in wanted):
        folder = (given.out or _root() / "runs") / face_set.name.lower()
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


def _pretrain(given) -> int:
    from merclip_lib.pretrain import Settings, pretrain
    from merclip_lib.synthetic import MACRO, draw_set

    chosen = {key: getattr(given, key) for key in ("steps", "seed")}
    settings = Settings(**{key: value for key, value in chosen.items() if value is not None})
    pretrain(draw_set(MACRO, _root() / "runs" / MACRO.name.lower()), settings, out=given.out)
    print(f"weights: {given.out}")
    return 0


def _describe(given) -> int:
    print(facs.describe(given.annotation, style=given.style, emotion=given.emotion))
    return 0


def _test(given) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *given.rest], cwd=_root())


def _root() -> Path:
    return Path(__file__).resolve().parents[1]


if __name__ == "__main__":
    sys.exit(main())
