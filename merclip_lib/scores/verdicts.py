"""Sentences about differences that follow from the numbers.

A difference with its interval allows three verdicts: it helps, it hurts, or this data does not
show a difference.
"""

WORDS = {1: "helps", -1: "hurts", 0: "does not show a difference"}


def side_of_zero(low: float, high: float) -> int:
    """On which side of zero an interval lies: 1 above, -1 below, 0 where it holds zero."""
    return 1 if low > 0 else -1 if high < 0 else 0


def verdict(name: str, mean: float, low: float, high: float, measure: str = "UF1") -> str:
    """One sentence on a paired difference (larger is better): what its interval allows, no more.

    Args:
        name: what was changed; the sentence begins with it.
        mean: the difference.
        low: lower end of its interval.
        high: upper end of its interval.
        measure: what differs.

    Raises:
        ValueError: when low <= mean <= high does not hold.
    """
    if not low <= mean <= high:
        raise ValueError(f"{name}: {mean} lies outside its interval [{low}, {high}]")
    word = WORDS[side_of_zero(low, high)]
    return f"{name} {word} ({measure} {mean:+.3f} [{low:+.3f}, {high:+.3f}])"
