"""The training text of the text tower: action units, sides and combinations, said in many ways.

Two fifths are what `text.sentences` makes of an annotation, in every style and template; the rest
is put together from the words in text_words.yaml, as people might say it. No emotion is named.
Nothing is drawn that has four words in a row in common with the tower's test (text_pairs.yaml).
"""

import random
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from merclip_lib.text.facs import MUSCLES, NAMES, parse
from merclip_lib.text.sentences import PHRASES, TEMPLATES, describe

STYLES = ("phrases", "phrases", "phrases", "facs_names", "codes", "anatomy")
UNITS_OF_A_SENTENCE = (3, 36, 28, 16, 9, 5, 3)  # weights of none, one, ... six
SIDES_OF_A_SENTENCE = ("L", "R", " ", "LR", "LR", "LR  ", "LR  ", "LR  ")  # left, right, both
OTHER = {"left": "right", "right": "left"}
WHATEVER = "whatever"  # stands for a word outside the text, in a sentence or instead of units
NEUTRAL = "neutral"  # the side is said elsewhere in the sentence


class Example(NamedTuple):
    """A sentence, and the annotation that it says: "" where nothing moves, or WHATEVER."""

    sentence: str
    annotation: str


@cache
def _data(name: str) -> dict[str, Any]:
    """A YAML file beside this module."""
    return yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8"))


def pair_items() -> dict[str, list[list[str]]]:
    """The items of the test by kind, four sentences each, see text_pairs.yaml."""
    return _data("text_pairs.yaml")


def four_words(sentence: str) -> set[tuple[str, ...]]:
    """All runs of four words, in lower case without punctuation; a shorter sentence is its own."""
    plain = re.findall(r"[a-z0-9]+", sentence.lower())
    return {tuple(plain[start : start + 4]) for start in range(max(1, len(plain) - 3))}


def training_text(count: int, seed: int) -> list[Example]:
    """Sentences with the annotations they say.

    Args:
        count: number of sentences.
        seed: of the draws; with the same seed the shorter text begins the longer one.
    """
    tested = [sentence for items in pair_items().values() for item in items for sentence in item]
    refused = set().union(*map(four_words, tested))
    text: list[Example] = []
    rng = random.Random(seed)
    while len(text) < count:
        example = _library_example(rng) if rng.random() < 0.4 else _free_example(rng)
        if refused.isdisjoint(four_words(example.sentence)):
            text.append(_with_whatever(example, rng))
    return text


def _with_whatever(example: Example, rng: random.Random) -> Example:
    """The sentence with a word outside the text in one of seven; one of twenty has nothing else."""
    if rng.random() < 0.05:
        return Example(rng.choice(TEMPLATES).format(WHATEVER), WHATEVER)
    words = example.sentence.split()
    if rng.random() < 0.15:
        words.insert(rng.randint(0, len(words)), WHATEVER)
    return example._replace(sentence=" ".join(words))


def _annotation(rng: random.Random, doubt: float) -> str:
    """None to six units, two of three one-sided; with some `doubt` `4?`, or `4 or 7`."""
    units = rng.sample(list(PHRASES), rng.choices(range(7), UNITS_OF_A_SENTENCE)[0])
    sides = rng.choice(SIDES_OF_A_SENTENCE)
    text = ""
    for unit in units:
        text += (" or " if rng.random() < doubt else "+") * bool(text)
        text += f"{rng.choice(sides)}{unit}".strip() + "?" * (rng.random() < doubt)
    return text


def _library_example(rng: random.Random) -> Example:
    """A sentence as the study says it."""
    annotation = _annotation(rng, doubt=0.03)
    sentence = rng.choice(TEMPLATES).format(describe(annotation, rng.choice(STYLES)))
    return Example(sentence, annotation)


def _free_example(rng: random.Random) -> Example:
    """A sentence in other words."""
    annotation, words = _annotation(rng, doubt=0), _data("text_words.yaml")
    units = parse(annotation)
    side = units[0].side if len({unit.side for unit in units}) == 1 else ""
    said = rng.choice(words["nothing"]) if not units else annotation
    if side and rng.random() < 0.35:
        said = _join([_clause(unit.number, NEUTRAL, rng) for unit in units], rng)
        how = "still" if len(units) == 1 and rng.random() < 0.7 else "scope"
        if how == "still" and rng.random() < 0.6:
            said = _clause(units[0].number, side, rng)
        bare = _bare(rng.choice(rng.choice(words["units"][units[0].number]["moves"])["part"]))
        filled = {"said": said, "side": side, "other": OTHER[side], "bare": bare}
        said = rng.choice(words[how]).format(**filled)
    elif units and rng.random() < 0.96:
        said = _join([_clause(unit.number, unit.side, rng) for unit in units], rng)
    return Example(rng.choice(words["frames"]).format(said), annotation)


def _join(clauses: list[str], rng: random.Random) -> str:
    """Clauses with something drawn between each two."""
    joins = _data("text_words.yaml")["joins"]
    return clauses[0] + "".join(rng.choice(joins) + clause for clause in clauses[1:])


def _clause(number: int, side: str, rng: random.Random) -> str:
    """One unit in words: `side` is "", "left", "right" or NEUTRAL."""
    words = _data("text_words.yaml")
    unit = words["units"][number]
    if rng.random() < 0.65:
        return _move(rng.choice(unit["moves"]), side, rng)
    names = {"number": number, "name": NAMES[number], "muscle": MUSCLES[number]}
    coded = rng.choice(words["codes"]).format(**names)
    noun = coded if rng.random() < 0.4 else rng.choice(unit["nouns"])
    group = "one" if side in OTHER else side or "both"
    return rng.choice(words["nouns"][group]).format(noun=noun, side=side)


def _move(move: dict[str, list[str]], side: str, rng: random.Random) -> str:
    """What moves and how, as a clause; grammar is kept where it costs nothing."""
    part = _part(rng.choice(move["part"]), side, rng)
    many = bool(re.search(r"(?<!hi)s\b|teeth", part)) and not part.startswith(("each", "either"))
    be = "are" if many else "is"
    kind = rng.choice([kind for kind in ("do", "go", "is") if kind in move])
    how = rng.choice([how for how in move[kind] if side in OTHER or "{side}" not in how])
    if kind == "is":
        return rng.choice((f"{part} {how}", f"{part} {be} {how}"))
    verb, _, rest = how.partition(" ")
    third, ing, participle = _data("text_words.yaml")["verbs"][verb]
    if kind == "go":
        return f"{part} {rng.choice((verb if many else third, ing))} {rest}".strip()
    active, passive = rest.format(part, side=side), rest.format("", side=side)
    forms = [f"{form} {active}" for form in (ing, ing, third, verb)]
    forms += [f"{part} {be} {participle} {passive}", f"{part} {participle} {passive}"]
    return " ".join(rng.choice(forms).split())


def _bare(part: str) -> str:
    """`corner of the {} brow|...` without its place for the side, for one."""
    return part.partition("|")[0].replace("{} ", "")


def _part(part: str, side: str, rng: random.Random) -> str:
    """A part of the face, `one|both` or `once`, with its side."""
    one, paired, both = part.partition("|")
    group = ("one" if paired else "side of") if side in OTHER else side
    group = group or ("both" if paired else "all of")
    named = one.format(side) if "{}" in one else f"{side} {one}"
    filled = {"part": named, "bare": _bare(part), "many": both, "side": side}
    return rng.choice(_data("text_words.yaml")["parts"][group]).format(**filled)
