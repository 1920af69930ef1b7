"""`merclip look`: one's own video on one page.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

from argparse import Namespace
from pathlib import Path

from merclip_lib.cli.options import Commands, given_of


def _look(given: Namespace) -> None:
    from merclip_lib.look.page import LookSettings, interval_table, look, summary, write_page
    from merclip_lib.study.checkout import default_runs

    options = given_of(given, "align", "factor", "fps", "run")
    settings = LookSettings(**options, network=not given.no_network)
    if "fps" in options and not Path(given.source).is_dir():
        raise ValueError("--fps is for a folder of pictures; what else there is says its own")
    if not (0 < settings.fps < 1e6 and 0 < settings.factor < 1e6):
        raise ValueError("--fps and --factor must be above 0 and below 1e6")
    folder = given.out or default_runs() / "look"
    seen = look(given.source, settings, folder)
    page = write_page(seen, folder, settings)
    for note in seen.aligned.notes:
        print(f"note: {note}")
    print(summary(seen))
    if len(seen.intervals) > 1:
        print(interval_table(seen.intervals, seen.motion).to_string(index=False))
    if seen.reading:
        emotion, probability = next(iter(seen.reading.emotions.items()))
        print(f"read as {emotion} ({probability:.2f}), {seen.reading.sentences['sentence'][0]}")
        print(seen.stamp)
    print(page)


COMMANDS: Commands = {"look": _look}
