"""Sentences about action units: phrases, styles and prompt templates (paper, AU-to-text step)."""

from merclip_lib.text.facs import _UNITS, MUSCLES, NAMES, PHRASES, ActionUnit, parse

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


def phrase(number: int, side: str = "") -> str:
    """The phrase of one unit; side is "", "left" or "right".

    Raises ValueError for a unit without a phrase or another side.
    """
    if number not in _UNITS:
        raise ValueError(f"action unit {number!r} has no phrase; facs.PHRASES lists those that do")
    if side not in ("", "left", "right"):
        raise ValueError(f"side {side!r} is unknown; use '', 'left' or 'right'")
    return _UNITS[number][2].format(side) if side else PHRASES[number]


def describe(
    annotation, style: str = "phrases", emotion: str | None = None, where: str = ""
) -> str:
    """The sentence fragment of an annotation, to be put into one of TEMPLATES.

    One unit gives its phrase alone, more give `a combination of P1, P2 and P3` in annotation
    order; what has been said is not said again; what `is_said` refuses is left out. Nothing to
    say gives "no visible facial movement". Styles: `phrases` (the paper's), `facs_names`,
    `codes`, `anatomy` (units of one muscle become one), `emotion_only` (the class name, `emotion`;
    the annotation is not read). Raises ValueError for an unknown style, a missing emotion, or an
    annotation that `parse` cannot read.
    """
    if style not in STYLES:
        raise ValueError(f"description style {style!r} is unknown; use one of {', '.join(STYLES)}")
    if style == "emotion_only":
        if not emotion:
            raise ValueError("style 'emotion_only' needs emotion=, the name of the class")
        return emotion
    groups: list[list[str]] = []
    for alternatives in _alternatives(parse(annotation, where)):
        said = [_say(unit, style) for unit in alternatives if is_said(unit)]
        groups.append(list(dict.fromkeys(said)))
    parts = list(dict.fromkeys(" or ".join(said) for said in groups if said))
    if not parts:
        return NOTHING
    if len(parts) == 1:
        return parts[0]
    listed = ", ".join(parts[:-1]) + " and " + parts[-1]
    return listed if style == "codes" else "a combination of " + listed


def is_said(unit: ActionUnit) -> bool:
    """Whether a sentence mentions the unit: not head and eye positions, nor units marked (k)."""
    return unit.number in NAMES and not unit.kept


def _alternatives(units: list[ActionUnit]) -> list[list[ActionUnit]]:
    """Units grouped so that alternatives to each other share a group."""
    groups: list[list[ActionUnit]] = []
    for unit in units:
        if unit.qualifier.startswith("or"):
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def _say(unit: ActionUnit, style: str) -> str:
    side = f"{unit.side} " if unit.side else ""
    if style == "phrases":
        said = phrase(unit.number, unit.side)
    elif style == "facs_names":
        said = side.capitalize() + NAMES[unit.number]
    elif style == "codes":
        said = f"{side}AU{unit.number}"
    else:
        said = side + MUSCLES[unit.number]
    return f"{said} might be present" if unit.qualifier.endswith("maybe") else said
