"""Options that several commands have, and words of the command line as values."""

from argparse import ArgumentParser
from typing import Any


def add_pairs(parser: ArgumentParser, option: str, form: str, text: str) -> None:
    """An option of A=B words, see `pairs`."""
    parser.add_argument(option, nargs="+", default=[], metavar=form, help=text)


def add_json(parser: ArgumentParser) -> None:
    """The choice of JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def pairs(words: list[str], option: str, form: str) -> dict[str, str]:
    """A=B words as a dictionary.

    Raises:
        ValueError: a word without "="; `option` and `form` say where, and what was wanted.
    """
    for word in words:
        if "=" not in word:
            raise ValueError(f"{option} {word!r} is not of the form {form}")
    return dict(word.split("=", 1) for word in words)


def yaml_value(text: str) -> Any:
    """A value as YAML reads it."""
    import yaml

    return yaml.safe_load(text)
