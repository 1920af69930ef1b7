"""Prompts from your own files in the place of the paper's (paper, AU-to-text step, templates).

Phrases are a csv with a row per action unit; units that it does not name keep their phrase. Where
a row has no `one_sided` phrase, one side is said as "... on the left":

    action_unit,phrase,one_sided
    4,drawing the brows together,drawing the {} brow inwards
    12,smiling,

Templates are a text file with a sentence a line, each with one {} for the description.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from merclip_lib.text.sentences import PAIRS, TEMPLATES, Phrases

_COLUMNS = ("action_unit", "phrase", "one_sided")


class Prompts(NamedTuple):
    """What sentences are made of.

    Attributes:
        phrases: number of an action unit -> its phrase for both sides and for one side.
        templates: sentences with one {} each.
    """

    phrases: Phrases = PAIRS
    templates: tuple[str, ...] = TEMPLATES


def own_prompts(prompts: Prompts) -> dict:
    """What is not the paper's, as run.json keeps it; empty where all is."""
    pairs = [item for item in prompts.phrases.items() if item[1] != PAIRS[item[0]]]
    own: dict = {f"phrase of {number}": " | ".join(pair) for number, pair in pairs}
    if prompts.templates != TEMPLATES:
        own["words of templates"] = prompts.templates
    return own


def read_prompts(phrases: str | Path = "", templates: str | Path = "") -> Prompts:
    """The prompts of two files; of an empty name those of the paper.

    Args:
        phrases: a csv of action units and phrases.
        templates: a text file with a template a line; empty lines are skipped.

    Raises:
        ValueError: for a file that cannot be read; it names the row and what to write there.
    """
    return Prompts(
        PAIRS | _phrases(Path(phrases)) if phrases else PAIRS,
        _templates(Path(templates)) if templates else TEMPLATES,
    )


def _phrases(path: Path) -> Phrases:
    """The phrases of a csv."""
    lines = _lines(path)
    rows = csv.reader(lines, delimiter=max(",;\t", key="".join(lines[:1]).count))
    header = [name.strip().lower() for name in next(rows, [])]
    if not {"action_unit", "phrase"} <= set(header) <= set(_COLUMNS):
        raise ValueError(f"{path}, row 1: columns {header}; write {','.join(_COLUMNS)}")
    found: Phrases = {}
    for row in filter(any, rows):
        where = f"{path}, row {rows.line_num}"
        cells = dict(zip(header, map(str.strip, row), strict=False))
        number = cells["action_unit"].upper().removeprefix("AU")
        both, side = cells.get("phrase", ""), cells.get("one_sided", "")
        if not number.isdecimal() or int(number) not in PAIRS:
            raise ValueError(
                f"{where}: {cells['action_unit']!r} is no action unit that sentences mention; "
                f"these are {', '.join(map(str, PAIRS))}"
            )
        if int(number) in found:
            raise ValueError(f"{where}: action unit {number} occurs before; leave one row for it")
        if len(row) > len(header):
            raise ValueError(f"{where}: {len(row)} cells; quote a phrase that has a comma in it")
        if not both or "{" in both or "}" in both:
            raise ValueError(f"{where}: phrase {both!r}; write some words, without braces")
        if side:
            _check_place(side, f"{where}: one_sided", "left or right")
        found[int(number)] = both, side or both + " on the {}"
    return found


def _templates(path: Path) -> tuple[str, ...]:
    """The templates of a text file."""
    lines = [(number, line.strip()) for number, line in enumerate(_lines(path), 1) if line.strip()]
    if not lines:
        raise ValueError(f"{path}: no templates; write one a line, such as {TEMPLATES[0]!r}")
    for number, line in lines:
        _check_place(line, f"{path}, row {number}: template", "the description")
    return tuple(line for _, line in lines)


def _check_place(text: str, what: str, filling: str) -> None:
    """ValueError unless the text has one {} and no other brace."""
    if text.count("{}") != 1 or text.count("{") + text.count("}") != 2:
        raise ValueError(f"{what} {text!r}; write one {{}} where {filling} goes, no other braces")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text; save it as such"
        raise ValueError(f"{path.absolute()}: cannot be read ({why})") from None
