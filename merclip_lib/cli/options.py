"""The options of the commands, and words of the command line as values."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TYPES = {"path": Path, "int": int, "float": float}
Command = Callable[[Namespace], int | None]  # the exit code, or nothing where all is well


@cache
def _commands() -> dict[str, Any]:
    """What stands in commands.yaml."""
    return yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text(encoding="utf-8"))


def add_command(
    command: Callable[..., ArgumentParser], name: str, function: Command
) -> ArgumentParser:
    """A command as commands.yaml describes it; `command` makes its parser."""
    told = _commands()[name]
    parser = command(function, name, told["help"])
    for option, said in told["options"].items():
        kind = {"type": TYPES[said["type"]]} if "type" in said else {}
        parser.add_argument(option, **said | kind)
    return parser


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
    return yaml.safe_load(text)
