"""Describing action units: phrases, styles and prompt templates (paper, AU-to-text step).

Every unit has a phrase; the phrases of an annotation make one fragment of a sentence
(`describe`), and a template of `TEMPLATES` makes it a sentence that CLIP can read. Other styles
than the paper's phrases are ablations.
"""

from merclip_lib.text.facs import MUSCLES, NAMES, ActionUnit, parse

Phrases = dict[int, tuple[str, str]]  # number: (phrase for both sides, phrase for one side)
PAIRS: Phrases = {
    1: ("raising the inner part of the brows", "raising the inner part of the {} brow"),
    2: ("raising the outer part of the brows", "raising the outer part of the {} brow"),
    4: ("lowering the brows", "lowering the {} brow"),
    5: ("raising the upper lids", "raising the {} upper lid"),
    6: ("raising the cheeks", "raising the {} cheek"),
    7: ("tightening the lids", "tightening the {} lid"),
    9: ("wrinkling the nose", "wrinkling the {} side of the nose"),
    10: ("raising the upper lip", "raising the {} upper lip"),
    11: ("deepening the nasolabial furrows", "deepening the {} nasolabial furrow"),
    12: ("pulling the corners of the lips", "pulling the {} corner of the lips"),
    13: (
        "pulling the corners of the lips sharply upwards",
        "pulling the {} corner of the lips sharply upwards",
    ),
    14: ("creating the dimples", "creating the {} dimple"),
    15: ("depressing the corners of the lips", "depressing the {} corner of the lips"),
    16: ("depressing the lower lip", "depressing the {} lower lip"),
    17: ("raising the chin", "raising the chin to the {}"),
    18: ("puckering the lips", "puckering the lips to the {}"),
    20: ("stretching the lips", "stretching the lips down and to the {}"),
    21: ("tightening the neck", "tightening the {} side of the neck"),
    22: (
        "pursing the lips into a funnel shape",
        "pursing the {} side of the lips into a funnel shape",
    ),
    23: ("tightening the lips", "tightening the {} side of the lips"),
    24: ("pressing the lips", "pressing the {} side of the lips"),
    25: ("parting the lips", "parting the {} side of the lips"),
    26: ("dropping the jaw", "dropping the jaw to the {}"),
    27: ("stretching the mouth open", "stretching the {} side of the mouth open"),
    28: ("sucking the lips", "sucking the {} side of the lips"),
    31: ("clenching the jaw", "clenching the {} side of the jaw"),
    38: ("dilating the nostrils", "dilating the {} nostril"),
    39: ("compressing the nostrils", "compressing the {} nostril"),
    43: ("closing the eyes", "closing the {} eye"),
    45: ("blinking", "blinking the {} eye"),
}
PHRASES = {number: both for number, (both, _) in PAIRS.items()}

STYLES = ("phrases", "facs_names", "codes", "anatomy", "emotion_only")
NOTHING = "no visible facial movement"
TEMPLATES = (
    "This micro-expression involves {}.",
    "Key features of this micro-expression are {}.",
    "This micro-expression is characterized by {}.",
    "One can identify this micro-expression by {}.",
    "This micro-expression typically manifests as {}.",
    "The hallmark of this micro-expression is {}.",
    "An identifiable trait of this micro-expression is {}.",
)


def phrase(number: int, side: str = "", phrases: Phrases = PAIRS) -> str:
    """The phrase of one unit: 12, "left" -> "pulling the left corner of the lips".

    Args:
        number: FACS number, a key of `PHRASES`.
        side: "" (both), "left" or "right".
        phrases: of all units.

    Raises:
        ValueError: the unit has no phrase, or the side is another.
    """
    if number not in phrases:
        raise ValueError(
            f"action unit {number!r} has no phrase; sentences.PHRASES lists those that do"
        )
    if side not in ("", "left", "right"):
        raise ValueError(f"side {side!r} is unknown; use '', 'left' or 'right'")
    both, one_sided = phrases[number]
    return one_sided.format(side) if side else both


def describe(
    annotation: object,
    style: str = "phrases",
    emotion: str | None = None,
    where: str = "",
    phrases: Phrases = PAIRS,
) -> str:
    """The sentence fragment of an annotation, to be put into one of `TEMPLATES`.

    One unit gives its phrase alone, more give `a combination of P1, P2 and P3` in annotation
    order. What has been said is not said again; what `is_mentioned` refuses is left out.

    Args:
        annotation: as for `facs.parse`.
        style: `phrases` (the paper's), `facs_names`, `codes`, `anatomy` (units of one muscle
            become one) or `emotion_only` (the class name; the annotation is not read).
        emotion: the class name, for `emotion_only`.
        where: file and row, for the message of the error.
        phrases: what the style `phrases` says; the paper's, or of `data.prompts.read_prompts`.

    Returns:
        The fragment; "no visible facial movement" where there is nothing to say.

    Raises:
        ValueError: the style is unknown, the emotion is missing, or `facs.parse` cannot read the
            annotation.
    """
    if style not in STYLES:
        raise ValueError(f"description style {style!r} is unknown; use one of {', '.join(STYLES)}")
    if style == "emotion_only":
        if not emotion:
            raise ValueError("style 'emotion_only' needs emotion=, the name of the class")
        return emotion
    parts = []
    for alternatives in _alternatives(parse(annotation, where)):
        mentioned = filter(is_mentioned, alternatives)
        wordings = dict.fromkeys(_word(unit, style, phrases) for unit in mentioned)
        parts.append(" or ".join(wordings))
    parts = list(dict.fromkeys(part for part in parts if part))
    if not parts:
        return NOTHING
    if len(parts) == 1:
        return parts[0]
    listed = ", ".join(parts[:-1]) + " and " + parts[-1]
    return listed if style == "codes" else "a combination of " + listed


def is_mentioned(unit: ActionUnit) -> bool:
    """Whether a sentence mentions the unit: no head and eye positions, nor units marked (k)."""
    return unit.number in PHRASES and not unit.marked_k


def _alternatives(units: list[ActionUnit]) -> list[list[ActionUnit]]:
    """Units grouped so that alternatives to each other share a group."""
    groups: list[list[ActionUnit]] = []
    for unit in units:
        if unit.qualifier.startswith("or"):
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def _word(unit: ActionUnit, style: str, phrases: Phrases) -> str:
    """One unit in words."""
    side = f"{unit.side} " if unit.side else ""
    if style == "phrases":
        words = phrase(unit.number, unit.side, phrases)
    elif style == "facs_names":
        words = side.capitalize() + NAMES[unit.number]
    elif style == "codes":
        words = f"{side}AU{unit.number}"
    else:
        words = side + MUSCLES[unit.number]
    return f"{words} might be present" if unit.qualifier.endswith("maybe") else words
