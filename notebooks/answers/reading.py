"""The answers of notebook 06 that no other page needs, each from the numbers above it."""

from IPython.display import Markdown

WEAK = 0.1  # a shortcut that is followed in fewer clips beyond chance is called weak


def mark(followed, controls):
    """Why the control of the mix against a mark came out as it did."""
    if followed.empty:
        return Markdown("**Answer.** There is no such control in this study.")
    without, mixed = (followed.loc[entry] for entry in ("mark", "mark_mix"))
    beyond = "{beyond:.1%} [{low:.1%}, {high:.1%}] of the clips beyond chance".format_map
    taken = mixed.low <= 0 <= mixed.high
    weak = ", but that was little. The mark was too weak a shortcut to be a control in UF1"
    larger = controls[controls["passed"] & controls["control"].str.startswith("masking")]
    if len(larger):
        weak += "; a whole background that tells the emotion is learnt (masking it passes)"
    return Markdown(
        f"**Answer.** Trained without the mix, the networks follow the mark in {beyond(without)} "
        f"({without.right:.0%} of the clips are read right where the mark tells the truth, "
        f"{without.lies:.0%} where it lies); trained with it, in {beyond(mixed)} "
        f"({mixed.right:.0%} and {mixed.lies:.0%}). "
        + ("The mix takes away what the mark had" if taken else "The mix leaves some of it")
        + (weak if without.beyond < WEAK else "")
        + ". This was looked at after scoring: the control counts as it came out."
    )
