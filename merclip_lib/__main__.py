"""The command line: `merclip ...` or `python -m merclip_lib ...`."""

import argparse
import logging
import os
import sys

from merclip_lib.cli import data, reports, start, study
from merclip_lib.cli.options import add_options, read_commands

FUNCTIONS = (*start.COMMANDS, *data.COMMANDS, *study.COMMANDS, *reports.COMMANDS)
COMMANDS = {function.__name__.removeprefix("_"): function for function in FUNCTIONS}
STOPPED = "stopped; start the same command again: what is finished stays, and it goes on from there"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error that an input or the machine can cause is one line.

    Args:
        arguments: the words after `merclip`; None: those of this process.

    Returns:
        The exit code: 0 fine, 1 something failed, 2 bad input or a want of the machine, 130
        stopped by Ctrl-C. With --debug the traceback comes before the line.
    """
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return _command(arguments)
        finally:
            if sys.stdout:
                sys.stdout.flush()  # that nobody reads it shows here, not when Python ends
    except BrokenPipeError:  # as in `merclip runs list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        logging.disable()  # what libraries leave undone now is no news
        line, code = STOPPED, 130
    except Exception as error:
        from merclip_lib.study.errors import explain

        if debug:
            sys.excepthook(type(error), error, error.__traceback__)
        verdict = explain(error)
        line, code = f"error: {verdict.line}", 2 if verdict.caused else 1
    print(f"merclip: {line}", file=sys.stderr)
    return code


def _command(arguments: list[str] | None) -> int:
    """Read the arguments and do what they say; a command that returns nothing is fine."""
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and not given.takes_rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    given.rest = rest
    return given.command(given) or 0


def _parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", help="show the traceback of an error")
    what = "MER-CLIP: micro-expressions and sentences about action units"
    parser = argparse.ArgumentParser(prog="merclip", description=what, parents=[debug])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, details in read_commands().items():
        text = details["help"]
        sub = commands.add_parser(name, help=text, description=text, parents=[debug])
        sub.set_defaults(command=COMMANDS[name], takes_rest=name == "test")
        add_options(sub, details["options"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
