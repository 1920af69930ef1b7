"""Action units: from an annotation such as `4+7+L10` to a sentence that CLIP can read.

An annotation is parsed to an ordered list of action units (FACS numbers, each with a side, an
intensity and a qualifier); every unit has a phrase; the phrases make one sentence fragment that a
prompt template completes. Because a sentence may name a side, a mirrored clip needs a mirrored
annotation: `swap_sides` does that. Paper: the AU-to-text step of MER-CLIP.
"""

import re
from dataclasses import dataclass
from numbers import Integral, Real

# number: (FACS name, phrase for both sides, phrase for one side, muscle)
_UNITS = {
    1: (
        "Inner Brow Raiser",
        "raising the inner part of the brows",
        "raising the inner part of the {} brow",
        "medial frontalis",
    ),
    2: (
        "Outer Brow Raiser",
        "raising the outer part of the brows",
        "raising the outer part of the {} brow",
        "lateral frontalis",
    ),
    4: ("Brow Lowerer", "lowering the brows", "lowering the {} brow", "corrugator supercilii"),
    5: (
        "Upper Lid Raiser",
        "raising the upper lids",
        "raising the {} upper lid",
        "levator palpebrae superioris",
    ),
    6: ("Cheek Raiser", "raising the cheeks", "raising the {} cheek", "orbital orbicularis oculi"),
    7: (
        "Lid Tightener",
        "tightening the lids",
        "tightening the {} lid",
        "palpebral orbicularis oculi",
    ),
    9: (
        "Nose Wrinkler",
        "wrinkling the nose",
        "wrinkling the {} side of the nose",
        "levator labii superioris alaeque nasi",
    ),
    10: (
        "Upper Lip Raiser",
        "raising the upper lip",
        "raising the {} upper lip",
        "levator labii superioris",
    ),
    11: (
        "Nasolabial Deepener",
        "deepening the nasolabial furrows",
        "deepening the {} nasolabial furrow",
        "zygomaticus minor",
    ),
    12: (
        "Lip Corner Puller",
        "pulling the corners of the lips",
        "pulling the {} corner of the lips",
        "zygomaticus major",
    ),
    13: (
        "Sharp Lip Puller",
        "pulling the corners of the lips sharply upwards",
        "pulling the {} corner of the lips sharply upwards",
        "levator anguli oris",
    ),
    14: ("Dimpler", "creating the dimples", "creating the {} dimple", "buccinator"),
    15: (
        "Lip Corner Depressor",
        "depressing the corners of the lips",
        "depressing the {} corner of the lips",
        "depressor anguli oris",
    ),
    16: (
        "Lower Lip Depressor",
        "depressing the lower lip",
        "depressing the {} lower lip",
        "depressor labii inferioris",
    ),
    17: ("Chin Raiser", "raising the chin", "raising the chin to the {}", "mentalis"),
    18: ("Lip Pucker", "puckering the lips", "puckering the lips to the {}", "incisivus labii"),
    20: (
        "Lip Stretcher",
        "stretching the lips",
        "stretching the lips down and to the {}",
        "risorius",
    ),
    21: ("Neck Tightener", "tightening the neck", "tightening the {} side of the neck", "platysma"),
    22: (
        "Lip Funneler",
        "pursing the lips into a funnel shape",
        "pursing the {} side of the lips into a funnel shape",
        "orbicularis oris",
    ),
    23: (
        "Lip Tightener",
        "tightening the lips",
        "tightening the {} side of the lips",
        "orbicularis oris",
    ),
    24: (
        "Lip Presser",
        "pressing the lips",
        "pressing the {} side of the lips",
        "orbicularis oris",
    ),
    25: (
        "Lips Part",
        "parting the lips",
        "parting the {} side of the lips",
        "relaxed orbicularis oris",
    ),
    26: ("Jaw Drop", "dropping the jaw", "dropping the jaw to the {}", "relaxed masseter"),
    27: (
        "Mouth Stretch",
        "stretching the mouth open",
        "stretching the {} side of the mouth open",
        "lateral pterygoid",
    ),
    28: ("Lip Suck", "sucking the lips", "sucking the {} side of the lips", "orbicularis oris"),
    31: ("Jaw Clencher", "clenching the jaw", "clenching the {} side of the jaw", "masseter"),
    38: ("Nostril Dilator", "dilating the nostrils", "dilating the {} nostril", "alar nasalis"),
    39: (
        "Nostril Compressor",
        "compressing the nostrils",
        "compressing the {} nostril",
        "transverse nasalis",
    ),
    43: (
        "Eyes Closed",
        "closing the eyes",
        "closing the {} eye",
        "relaxed levator palpebrae superioris",
    ),
    45: (
        "Blink",
        "blinking",
        "blinking the {} eye",
        "briefly relaxed levator palpebrae superioris",
    ),
}


NAMES = {number: unit[0] for number, unit in _UNITS.items()}


PHRASES = {number: unit[1] for number, unit in _UNITS.items()}


MUSCLES = {number: unit[3] for number, unit in _UNITS.items()}


# Head and eye positions, and 8: parsed and kept, but no part of a sentence.
UNSAID = frozenset({8, *range(51, 67)})


_UNIT = re.compile(
    r"(?:AU\s*)?(?:A\s*/?\s*)?(?P<part>[LRTB])?\s*(?:AU\s*)?(?P<number>[0-9]{1,3})"
    r"\s*(?P<intensity>[A-E](?:\s*/\s*[A-E])?|\(\s*[A-E]\s*\))?\s*(?P<kept>\(\s*K\s*\))?"
    r"\s*(?P<doubt>\?)?",
    re.IGNORECASE,
)


_GROUP = re.compile(
    r"(?P<ref>ref)?\s*\((?P<inner>(?:[^()]|\([^()]*\))*)\)\s*(?P<doubt>\?)?", re.IGNORECASE
)


_OR = re.compile(r"\s+or\s+", re.IGNORECASE)


_SOFT_FOCUS = re.compile(r"soft\s*focus", re.IGNORECASE)


# Not the R of "4 OR 7"; an AU may stand between the side and the number.
_SIDE_LETTER = re.compile(r"(?<!O)[LR](?=\s*(?:AU\s*)?[0-9])", re.IGNORECASE)


_OPPOSITE = str.maketrans("LRlr", "RLrl")


# Full-width signs of East Asian keyboards; one sign each, so places in the text stay.
_HALF_WIDTH = str.maketrans("＋，（）？", "+,()?")


NOT_CODED = frozenset({"", "?", "nan", "/", "-", "none"})


@dataclass(frozen=True)
class ActionUnit:
    """One coded unit.

    side: "" (both), "left" or "right". intensity: "A".."E", "A/B" (coder undecided) or None.
    qualifier: "certain"; "maybe" (said "might be present"); "or" (an alternative to the unit
    before it in the list); "or maybe" (both). kept: 4DME's mark (k); public readers of 4DME take
    such a unit for absent, and so it is not said.
    """

    number: int
    side: str = ""
    intensity: str | None = None
    qualifier: str = "certain"
    kept: bool = False


def parse(annotation: str | int | float | None, where: str = "") -> list[ActionUnit]:
    """Parse one annotation; the order and the repeats of the annotation are kept.

    Read are, for instance, `4+7+L10`, `12A`, `10A/B`, `L12 or L14`, `(R6 or R12)+R15`,
    `ref(7B)+43C`, `4?`, `A/L12`, `T18`, `soft focus`; of 4DME and CAS(ME)3 also `AU4+AU7(k)`,
    `4,7`, full-width signs, lower case, `12(C)` and a plus at the end. None, NaN, "", "?", "/",
    "-", "nan" and "none" give [].
    `where` (file and row) opens the message of the ValueError that anything else raises.
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
            units.append(_parse_unit(alternative.strip(), doubt, joined, text, where))
            joined = True
    return units


def _parse_unit(piece: str, doubt: bool, joined: bool, text: str, where: str) -> ActionUnit:
    group = _GROUP.fullmatch(piece)  # `ref(7B)` as one of several alternatives
    if group:
        doubt = doubt or bool(group["ref"] or group["doubt"])
        piece = group["inner"].strip()
    match = _UNIT.fullmatch(piece)
    if match is None:
        raise _error(where, text, f"{piece!r} is not an action unit")
    number = int(match["number"])
    if number not in NAMES and number not in UNSAID:
        raise _error(where, text, f"there is no action unit {number}")
    qualifier = " ".join(["or"] * joined + ["maybe"] * (doubt or match["doubt"] is not None))
    intensity = match["intensity"] and re.sub(r"[\s()]", "", match["intensity"]).upper()
    side = {"L": "left", "R": "right"}.get((match["part"] or "").upper(), "")
    return ActionUnit(number, side, intensity, qualifier or "certain", bool(match["kept"]))


def _as_text(annotation, where: str) -> str:
    """The annotation as text; spreadsheets hand over ints, floats and NaN as well."""
    if annotation is None or type(annotation).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, Real) and not isinstance(annotation, bool):
        if annotation != annotation:
            return ""
        if isinstance(annotation, Integral) and 0 <= annotation < 1000:
            return str(int(annotation))
        if isinstance(annotation, float) and annotation.is_integer() and 0 <= annotation < 1000:
            return str(int(annotation))
    kind = type(annotation).__name__
    value = f"{annotation:g}" if isinstance(annotation, float) else f"a value of type {kind}"
    raise _error(where, value, "neither text nor an action unit number")


def _error(where: str, text: str, reason: str) -> ValueError:
    place = f"{where}: " if where else ""
    return ValueError(
        f"{place}cannot read the action units {text!r} ({reason}); write them like '4+7+L10', "
        "'12A', 'L12 or L14' or '4?', or leave the cell empty where nothing was coded"
    )


def swap_sides(annotation, where: str = "") -> str:
    """The annotation of the mirrored face: L and R exchanged, all else as written.

    Applied twice it gives the text back. The reference program flips frames and keeps the
    sentence, which makes every one-sided sentence of a flipped clip wrong. Raises ValueError for
    an annotation that `parse` cannot read.
    """
    parse(annotation, where)
    return _SIDE_LETTER.sub(lambda side: side[0].translate(_OPPOSITE), _as_text(annotation, where))


def codes(annotation: str) -> list[str]:
    """Codes of an annotation: "4+L12" -> ["4", "L12"]."""
    side = {"": "", "left": "L", "right": "R"}
    return [f"{side[unit.side]}{unit.number}" for unit in parse(annotation)]
