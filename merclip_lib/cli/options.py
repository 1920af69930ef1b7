"""The options of the commands, and words of the command line as values."""

import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from os.path import expanduser
from pathlib import Path
from typing import Any

# A shell leaves `--out=~/store` as it is, and a folder called ~ is a trap for its owner.
TYPES = {"path": lambda text: Path(expanduser(text)), "int": int, "float": float}
# What commands do, `_name` the command of this name: an exit code, or nothing where all is well.
Commands = tuple[Callable[[Namespace], int | None], ...]


def read_commands() -> dict[str, Any]:
    """What stands in commands.toml."""
    return tomllib.loads(Path(__file__).with_name("commands.toml").read_text(encoding="utf-8"))


def add_options(parser: ArgumentParser, options: dict[str, Any]) -> None:
    """The options of a command, as commands.toml says them."""
    for name, details in options.items():
        values: dict[str, Any] = {"type": TYPES[details["type"]]} if "type" in details else {}
        if details.get("nargs") == 2:  # a name for each of the two words
            values["metavar"] = tuple(details["metavar"])
        if details.get("nargs") == "+":
            values["action"] = "extend"  # given again, it adds
        parser.add_argument(name, **details | values)


def pairs(words: list[str], option: str, form: str) -> dict[str, str]:
    """A=B words as a dictionary.

    Raises:
        ValueError: a word without "=", or one name twice; `option` and `form` say where, and what
            was wanted.
    """
    for word in words:
        if "=" not in word:
            raise ValueError(f"{option} {word!r} is not of the form {form}")
    values = dict(word.split("=", 1) for word in words)
    if len(values) < len(words):
        raise ValueError(f"{option} {' '.join(words)}: a name stands there twice; name each once")
    return values


def given_of(given: Namespace, *names: str) -> dict[str, Any]:
    """Those of some options that were given."""
    return {name: value for name in names if (value := getattr(given, name)) is not None}


def settings_of(words: list[str], option: str, form: str) -> dict[str, Any]:
    """As `pairs`, values as YAML reads them with the care of a grid: 010 and 1:30 are refused.

    Raises:
        ValueError: as `pairs`, and for a value that is not YAML.
    """
    import yaml

    from merclip_lib.study.grids import UniqueKeys

    values = pairs(words, option, form)
    try:
        return {key: yaml.load(text, UniqueKeys) for key, text in values.items()}
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{option} {' '.join(words)}: a value is not YAML; {error}") from None
