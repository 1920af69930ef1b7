"""Sentences about differences that follow from the numbers, and a check of those already written.

A difference with its interval allows three verdicts: it helps, it hurts, or this data does not
show a difference. `verdict` writes the sentence; `false_claims` reads any text and returns the
sentences whose verb and interval disagree, so that a figure and its text cannot drift apart.
"""

import re

UP = ("helps", "raises", "rises", "beats", "is better")


DOWN = ("hurts", "lowers", "falls", "loses", "is worse")


NEITHER = ("does not show a difference", "makes no difference", "cannot be told", "stays")


_NUMBER = r"([+\-−]?\d+\.\d+)"


_INTERVAL = re.compile(rf"{_NUMBER} \[{_NUMBER}, {_NUMBER}\]")


_WORDS = {word: sign for sign, words in ((1, UP), (-1, DOWN), (0, NEITHER)) for word in words}


_VERB = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in sorted(_WORDS, key=len)[::-1]))


def sign_of(low: float, high: float) -> int:
    """1 or -1 where the interval excludes zero, else 0."""
    return 1 if low > 0 else -1 if high < 0 else 0


def verdict(name: str, mean: float, low: float, high: float, measure: str = "UF1") -> str:
    """One sentence on a paired difference (larger is better): what its interval allows, no more.

    Raises ValueError when low <= mean <= high does not hold.
    """
    if not low <= mean <= high:
        raise ValueError(f"{name}: {mean} lies outside its interval [{low}, {high}]")
    word = {1: UP[0], -1: DOWN[0], 0: NEITHER[0]}[sign_of(low, high)]
    return f"{name} {word} ({measure} {mean:+.3f} [{low:+.3f}, {high:+.3f}])"


def false_claims(text: str) -> list[str]:
    """Sentences with a verdict's verb and a signed interval that do not agree.

    Looked at are lines of the form `... <verb> ... +0.030 [+0.010, +0.050]`, where the mean has a
    sign; the last verb before the interval counts. An interval that does not hold its own mean is
    false whatever the verb says.
    """
    wrong = []
    for line in re.split(r"\n|(?<=[.;])\s+(?=[A-Z*`])", text):
        start = 0
        for found in _INTERVAL.finditer(line):
            before, start = line[start : found.start()], found.end()
            mean, low, high = (float(part.replace("−", "-")) for part in found.groups())
            verbs = _VERB.findall(before)
            signed = found[1][0] in "+-−"
            agrees = not verbs or _WORDS[verbs[-1]] == sign_of(low, high)
            if not low <= mean <= high or (signed and not agrees):
                wrong.append(line.strip())
    return wrong
