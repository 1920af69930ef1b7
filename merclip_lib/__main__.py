"""The command line: `merclip ...` or `python -m merclip_lib ...`."""

import argparse
import sys

from merclip_lib.cli import data, study


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (0 fine, 1 something failed, 2 bad input)."""
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
    parser = argparse.ArgumentParser(
        prog="merclip", description="MER-CLIP: micro-expressions and sentences about action units"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, name, text):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=function, takes_rest=False)
        return one

    data.add(command)
    study.add(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
