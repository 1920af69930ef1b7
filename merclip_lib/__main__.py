"""The command line: `merclip ...` or `python -m merclip_lib ...`."""

import argparse
import sys

from merclip_lib.cli import data, look, study


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `merclip`; None: those of this process.

    Returns:
        The exit code: 0 fine, 1 something failed, 2 bad input.
    """
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and not given.takes_rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    given.rest = rest
    try:
        return given.command(given)
    except ValueError as error:
        print(f"merclip: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    parser = argparse.ArgumentParser(
        prog="merclip", description="MER-CLIP: micro-expressions and sentences about action units"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function, takes_rest=False)
        return sub

    for add in (data.add_describe, data.add_tables, data.add_clips, look.add_look):
        add(command)
    study.add_trainings(command)
    study.add_study(command)
    study.add_reports(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
