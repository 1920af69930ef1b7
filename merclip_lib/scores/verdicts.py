"""Sentences about differences that follow from the numbers.

Where several questions are asked at once, a p-value corrected for all of them decides; an interval
shows the size. In a study the verdict is that of its family (`families`), here it gets its words.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from merclip_lib.scores.families import Rules

CLEAR = 0.05  # below it a p-value says that a difference is there


def side_of_zero(low: float, high: float) -> int:
    """On which side of zero an interval lies: 1 above, -1 below, 0 where it holds zero."""
    return 1 if low > 0 else -1 if high < 0 else 0


def verdict(name: str, mean: float, low: float, high: float) -> str:
    """One sentence on a single paired difference in UF1: what its interval allows, no more."""
    word = {1: "helps", -1: "hurts", 0: "does not show a difference"}[side_of_zero(low, high)]
    return f"{name} {word} (UF1 {in_numbers(mean, low, high)})"


def finding_in_words(name: str, finding: Mapping[str, Any], rules: Rules) -> str:
    """One sentence on a difference of a family: its verdict (Holm, equivalence), and the numbers.

    Args:
        name: what a has and b has not, and where; the sentence begins with it.
        finding: the fields of `families.Finding`.
        rules: of the study.
    """
    numbers = in_numbers(finding["difference"], finding["low"], finding["high"], finding["p_holm"])
    if finding["verdict"] in ("helps", "hurts"):
        unsure = "; for these test people: if others are drawn, the interval holds zero"
        unsure *= side_of_zero(finding["low"], finding["high"]) == 0
        return f"{name} {finding['verdict']} (UF1 {numbers}){unsure}"
    if finding["verdict"] == "equivalent":
        return f"{name} makes no difference of {rules.exclude:g} or more (UF1 {numbers})"
    finds = f"{finding['smallest_findable']:.3f} with a power of {rules.power:g}"
    return f"{name}: the study cannot tell (UF1 {numbers}); it finds {finds}"


def side_of_change(change: float, p: float) -> int:
    """The side of zero that a (corrected) p-value allows: 0 unless it is below CLEAR."""
    return 0 if p >= CLEAR else 1 if change > 0 else -1


def claims(differences: pd.DataFrame, more: str, less: str, unclear: str) -> list[str]:
    """A sentence for each question of `bootstrap.clip_differences`, decided by `p_holm`.

    Args:
        differences: the table.
        more: what is said of a question whose difference is above zero, after its name.
        less: of one below zero.
        unclear: where these people do not tell.
    """
    words, many = {1: more, -1: less, 0: unclear}, len(differences) > 1
    after = f" after Holm's correction for {len(differences)} questions" if many else ""
    return [
        f"{name} {words[side_of_change(mean, p_holm)]} ({in_numbers(mean, low, high)}; "
        f"{p_in_words(p_holm)}{after})"
        for name, mean, low, high, _, p_holm in differences.itertuples(index=False)
    ]


def answer(head: str, lines: Iterable[str]) -> str:
    """The answer under a figure: what holds of all of it, then a line for each question."""
    return "\n".join([f"**Answer.** {head}", "", *(f"* {line}" for line in lines)])


def in_numbers(change: float, low: float, high: float, p: float | None = None) -> str:
    """A change, its interval and p as all sentences write them.

    An end of the interval that is zero to the digits shown is said to touch zero: its sign cannot
    be read off the page.
    """
    text = f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"
    if p is not None:
        text += f", {p_in_words(p)}"
    return f"{text}, the interval touches zero" if 0 in (round(low, 3), round(high, 3)) else text


def p_in_words(p: float) -> str:
    """ "p = 0.012"; what is smaller than 0.001, or would be rounded up to CLEAR, is written so."""
    return "p < 0.001" if p < 0.001 else "p < 0.050" if 0.0495 <= p < CLEAR else f"p = {p:.3f}"
