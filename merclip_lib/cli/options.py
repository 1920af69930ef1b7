"""Words of the command line as values."""

from typing import Any


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


def yaml_value(text: str) -> Any:
    """A value as YAML reads it."""
    import yaml

    return yaml.safe_load(text)
