"""`merclip look`: one's own video on one page.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

from argparse import Namespace

from merclip_lib.cli.options import Commands


def _look(given: Namespace) -> int:
    from merclip_lib.look.page import LookSettings, interval_table, look, summary, write_page
    from merclip_lib.study.checkout import default_runs

    if not (given.fps > 0 and given.factor > 0):
        raise ValueError("--fps and --factor must be above 0")
    read = not given.no_network
    settings = LookSettings(given.align, given.factor, given.fps, read, given.run)
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
    return 0


COMMANDS: Commands = {"look": _look}
