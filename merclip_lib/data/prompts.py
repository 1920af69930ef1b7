"""Prompts from your own files in the place of the paper's (paper, AU-to-text step, templates).

Phrases are a csv with a row per action unit; units that it does not name keep their phrase. Where
a row has no `one_sided` phrase, one side is said as "... on the left":

    action_unit,phrase,one_sided
    4,drawing the brows together,drawing the {} brow inwards
    12,smiling,

Templates are a text file with a sentence a line, each with one {} for the description. CLIP's text
tower reads TOKENS tokens and would cut what is longer, so phrases and templates have to leave room
for a sentence about UNITS action units.
"""

from pathlib import Path
from typing import NamedTuple

from merclip_lib.data.text_table import read_bytes, read_text_table
from merclip_lib.text.sentences import PAIRS, TEMPLATES, Phrases

_COLUMNS = ("action_unit", "phrase", "one_sided")
TOKENS = 77  # that the text tower reads, its start and end among them
UNITS = 3  # in a sentence that must fit; the paper's own words leave room for six


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
    pairs = PAIRS | _phrases(Path(phrases)) if phrases else PAIRS
    return Prompts(pairs, _templates(Path(templates), pairs) if templates else TEMPLATES)


def check_length(sentence: str, where: str) -> None:
    """Raise ValueError for a sentence of more than TOKENS tokens; `where` says whose it is."""
    from open_clip import get_tokenizer  # both take seconds to import

    from merclip_lib.text.bank import TOKENIZER

    count = len(get_tokenizer(TOKENIZER).encode(sentence)) + 2
    if count > TOKENS:
        raise ValueError(f"{where}: too long; {sentence!r} has {count} tokens, {TOKENS} are read")


def _phrases(path: Path) -> Phrases:
    """The phrases of a csv."""
    rows = read_text_table(path).rows
    header = [name.strip().lower() for name in rows[0]]
    names = set(header)
    if not {"action_unit", "phrase"} <= names <= set(_COLUMNS) or len(names) < len(header):
        raise ValueError(f"{path}, row 1: columns {header}; write {','.join(_COLUMNS)}")
    found: Phrases = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(map(str.strip, row)):
            continue
        where = f"{path}, row {number}"
        if len(row) > len(header):
            raise ValueError(f"{where}: {len(row)} cells; quote a phrase that has a comma in it")
        cells = dict.fromkeys(_COLUMNS, "") | dict(zip(header, map(str.strip, row), strict=False))
        written, both, side = (cells[name] for name in _COLUMNS)
        unit = written.upper().removeprefix("AU")
        if not unit.isdecimal() or int(unit) not in PAIRS:
            known = f"that sentences mention; these are {', '.join(map(str, PAIRS))}"
            raise ValueError(f"{where}: {written!r} is no action unit {known}")
        if int(unit) in found:
            raise ValueError(f"{where}: action unit {unit} occurs before; leave one row for it")
        if not both or "{" in both or "}" in both:
            raise ValueError(f"{where}: phrase {both!r}; write some words, without braces")
        side = side or both + " on the {}"
        _check_place(side, f"{where}: one_sided", "left or right")
        for words in (both, side.format("right")):
            check_length(TEMPLATES[-1].format(_listed([words] * UNITS)), f"{where}: {words!r}")
        found[int(unit)] = both, side
    return found


def _templates(path: Path, phrases: Phrases) -> tuple[str, ...]:
    """The templates of a text file, which must have room for the longest of the phrases."""
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: its text is not Unicode (UTF-8); save it as such") from None
    longest = sorted((side.format("right") for _, side in phrases.values()), key=len)[-UNITS:]
    templates = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line:
            where = f"{path}, row {number}: template"
            _check_place(line, where, "the description")
            check_length(line.format(_listed(longest)), where)
            templates.append(line)
    if not templates:
        raise ValueError(f"{path}: no templates; write one a line, such as {TEMPLATES[0]!r}")
    return tuple(templates)


def _listed(phrases: list[str]) -> str:
    """A description of several units, as `describe` puts it together."""
    return f"a combination of {', '.join(phrases[:-1])} and {phrases[-1]}"


def _check_place(text: str, what: str, filling: str) -> None:
    """ValueError unless the text has one {} and no other brace."""
    if text.count("{}") != 1 or text.count("{") + text.count("}") != 2:
        raise ValueError(f"{what} {text!r}; write one {{}} where {filling} goes, no other braces")
