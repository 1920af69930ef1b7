"""Reading action units: an annotation such as `4+7+L10` becomes a list of `ActionUnit`.

The Facial Action Coding System (FACS) numbers what single face muscles do. Coders write these
numbers in many ways; `parse` reads those found in the files of the public data sets and refuses
the rest. `swap_sides` mirrors an annotation, as a clip that is flipped needs. What a unit is
called in a sentence is in `sentences`.
"""

import re
from dataclasses import dataclass
from numbers import Integral, Real

# number: (FACS name, muscle)
_UNITS = {
    1: ("Inner Brow Raiser", "medial frontalis"),
    2: ("Outer Brow Raiser", "lateral frontalis"),
    4: ("Brow Lowerer", "corrugator supercilii"),
    5: ("Upper Lid Raiser", "levator palpebrae superioris"),
    6: ("Cheek Raiser", "orbital orbicularis oculi"),
    7: ("Lid Tightener", "palpebral orbicularis oculi"),
    9: ("Nose Wrinkler", "levator labii superioris alaeque nasi"),
    10: ("Upper Lip Raiser", "levator labii superioris"),
    11: ("Nasolabial Deepener", "zygomaticus minor"),
    12: ("Lip Corner Puller", "zygomaticus major"),
    13: ("Sharp Lip Puller", "levator anguli oris"),
    14: ("Dimpler", "buccinator"),
    15: ("Lip Corner Depressor", "depressor anguli oris"),
    16: ("Lower Lip Depressor", "depressor labii inferioris"),
    17: ("Chin Raiser", "mentalis"),
    18: ("Lip Pucker", "incisivus labii"),
    20: ("Lip Stretcher", "risorius"),
    21: ("Neck Tightener", "platysma"),
    22: ("Lip Funneler", "orbicularis oris"),
    23: ("Lip Tightener", "orbicularis oris"),
    24: ("Lip Presser", "orbicularis oris"),
    25: ("Lips Part", "relaxed orbicularis oris"),
    26: ("Jaw Drop", "relaxed masseter"),
    27: ("Mouth Stretch", "lateral pterygoid"),
    28: ("Lip Suck", "orbicularis oris"),
    31: ("Jaw Clencher", "masseter"),
    38: ("Nostril Dilator", "alar nasalis"),
    39: ("Nostril Compressor", "transverse nasalis"),
    43: ("Eyes Closed", "relaxed levator palpebrae superioris"),
    45: ("Blink", "briefly relaxed levator palpebrae superioris"),
}
NAMES = {number: name for number, (name, _) in _UNITS.items()}
MUSCLES = {number: muscle for number, (_, muscle) in _UNITS.items()}

# Parsed, but no part of a sentence: 8 (lips towards each other), action descriptors such as 19
# (tongue show) and 29-37 (jaw and cheeks), lids (41-46), head and eyes (50-69), visibility (70-74),
# gross behaviour (80-98).
WITHOUT_PHRASE = frozenset({8, 19, 29, 30, *range(32, 38), 40, 41, 42, 44, 46, *range(50, 75)})
WITHOUT_PHRASE |= {*range(80, 86), 91, 92, 97, 98}

# What stands in a cell where nothing was coded, in lower case.
NOT_CODED = frozenset({"", "?", "nan", "/", "-", "none"})

_UNIT = re.compile(
    r"(?:(?:AU|AD|M)\s*)?(?:A\s*/?\s*)?(?P<part>[LRTB])?\s*(?:(?:AU|AD|M)\s*)?(?P<number>[0-9]{1,3})"
    r"\s*(?P<intensity>[A-E](?:\s*/\s*[A-E])?|\(\s*[A-E]\s*\))?\s*(?P<k>\(\s*K\s*\))?"
    r"\s*(?P<doubt>\?)?",
    re.IGNORECASE,
)
_GROUP = re.compile(
    r"(?P<ref>ref)?\s*\((?P<inner>(?:[^()]|\([^()]*\))*)\)\s*(?P<doubt>\?)?", re.IGNORECASE
)
_OR = re.compile(r"\s+or\s+", re.IGNORECASE)
_SOFT_FOCUS = re.compile(r"soft\s*focus", re.IGNORECASE)

# Not the R of "4 OR 7"; AU, AD (action descriptor) or M (movement) may precede the number.
_SIDE_LETTER = re.compile(r"(?<!O)[LR](?=\s*(?:(?:AU|AD|M)\s*)?[0-9])", re.IGNORECASE)
_OPPOSITE = str.maketrans("LRlr", "RLrl")
_SIDES = {"L": "left", "R": "right"}

# Full-width signs of East Asian keyboards; one sign each, so places in the text stay.
_HALF_WIDTH = str.maketrans("＋，（）？", "+,()?")


@dataclass(frozen=True)
class ActionUnit:
    """One coded unit of an annotation.

    Attributes:
        number: FACS number.
        side: "" (both), "left" or "right".
        intensity: "A" (trace) to "E" (maximum), "A/B" where the coder was undecided, or None.
        qualifier: "certain"; "maybe" (the sentence says "might be present"); "or" (an alternative
            to the unit before it in the list); "or maybe" (both).
        marked_k: 4DME's mark (k). Public readers of 4DME take such a unit for absent, so no
            sentence mentions it.
    """

    number: int
    side: str = ""
    intensity: str | None = None
    qualifier: str = "certain"
    marked_k: bool = False


def parse(annotation: object, where: str = "") -> list[ActionUnit]:
    """Parse one annotation (paper, AU-to-text step).

    Read are, for instance, `4+7+L10`, `12A`, `10A/B`, `L12 or L14`, `(R6 or R12)+R15`,
    `ref(7B)+43C`, `4?`, `A/L12`, `T18`, `soft focus`; of 4DME and CAS(ME)3 also `AU4+AU7(k)`,
    `4,7`, full-width signs, lower case, `12(C)` and a plus at the end; of DFME `AD38`, `M58`.

    Args:
        annotation: text, or a number as a spreadsheet hands it over. None, NaN, "", "?", "/",
            "-", "nan" and "none" mean that nothing was coded.
        where: file and row; it opens the message of the error.

    Returns:
        The units in the order of the annotation, repeats included; [] where nothing was coded.

    Raises:
        ValueError: the annotation is anything else.
    """
    text = _as_text(annotation, where)
    plain = " ".join(text.translate(_HALF_WIDTH).split())
    if plain.lower() in NOT_CODED:
        return []
    units = []
    for part in re.split(r"[+,]", re.sub(r" ?[+,]$", "", plain)):
        group = _GROUP.fullmatch(part.strip())
        # `ref(...)` and `(...)?` put every unit inside in doubt.
        doubt = bool(group and (group["ref"] or group["doubt"]))
        joined = False
        for alternative in _OR.split(group["inner"] if group else part):
            if _SOFT_FOCUS.fullmatch(alternative.strip()):
                continue
            try:
                units.append(_parse_unit(alternative.strip(), doubt, joined))
            except ValueError as error:
                raise _unreadable(where, text, str(error)) from None
            joined = True
    return units


def _parse_unit(piece: str, doubt: bool, joined: bool) -> ActionUnit:
    """One unit; `joined` by an `or` to the unit before it. ValueError says what is wrong."""
    group = _GROUP.fullmatch(piece)  # `ref(7B)` as one of several alternatives
    if group:
        doubt = doubt or bool(group["ref"] or group["doubt"])
        piece = group["inner"].strip()
    match = _UNIT.fullmatch(piece)
    if match is None:
        raise ValueError(f"{piece!r} is not an action unit")
    number = int(match["number"])
    if number not in NAMES and number not in WITHOUT_PHRASE:
        raise ValueError(f"there is no action unit {number}")
    qualifier = " ".join(["or"] * joined + ["maybe"] * (doubt or match["doubt"] is not None))
    intensity = match["intensity"] and re.sub(r"[\s()]", "", match["intensity"]).upper()
    side = _SIDES.get((match["part"] or "").upper(), "")
    return ActionUnit(number, side, intensity, qualifier or "certain", bool(match["k"]))


def _as_text(annotation: object, where: str) -> str:
    """The annotation as text; spreadsheets hand over ints, floats and NaN as well."""
    if annotation is None or type(annotation).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, Real) and annotation != annotation:  # NaN
        return ""
    number = annotation
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, Integral) and not isinstance(number, bool) and int(number) in range(1000):
        return str(int(number))
    kind = type(annotation).__name__
    value = f"{annotation:g}" if isinstance(annotation, float) else f"a value of type {kind}"
    raise _unreadable(where, value, "neither text nor an action unit number")


def _unreadable(where: str, text: str, reason: str) -> ValueError:
    """The error for an annotation: place, text, reason and remedy in one line."""
    place = f"{where}: " if where else ""
    return ValueError(
        f"{place}cannot read the action units {text!r} ({reason}); write them like '4+7+L10', "
        "'12A', 'L12 or L14' or '4?', or leave the cell empty where nothing was coded"
    )


def swap_sides(annotation: object, where: str = "") -> str:
    """The annotation of the mirrored face: L and R exchanged, all else as written.

    Two of the released configurations flip frames without it, which makes every one-sided sentence
    of a flipped clip wrong.

    Args:
        annotation: as for `parse`.
        where: file and row, for the message of the error.

    Returns:
        The annotation as text; swapped twice it is the text given.

    Raises:
        ValueError: `parse` cannot read the annotation.
    """
    parse(annotation, where)
    return _SIDE_LETTER.sub(lambda side: side[0].translate(_OPPOSITE), _as_text(annotation, where))


def codes(annotation: object) -> list[str]:
    """Number and side of each unit: "A4B+L12" -> ["4", "L12"].

    Args:
        annotation: as for `parse`.

    Returns:
        One code per unit, in the order of the annotation.

    Raises:
        ValueError: `parse` cannot read the annotation.
    """
    letters = {"": "", "left": "L", "right": "R"}
    return [f"{letters[unit.side]}{unit.number}" for unit in parse(annotation)]
