"""The answers of notebook 06 that no other page needs, each from the numbers above it."""

from IPython.display import Markdown

LITTLE = 0.1  # share of clips in which a shortcut is followed, beyond chance


def mark(followed):
    """Why the control of the mix against a mark came out as it did."""
    if followed.empty:
        return Markdown("**Answer.** There is no such control in this study.")
    without, mixed = (followed.loc[entry] for entry in ("mark", "mark_mix"))
    beyond = "{beyond:.1%} [{low:.1%}, {high:.1%}] of the clips beyond chance".format_map
    little = (
        " So there was little for the mix to take away, and UF1 could hardly show it. Why the mark "
        "was hardly learnt is not known: it is small, and without the mix the training is short "
        "and slow (the table of section 4)."
    )
    return Markdown(
        f"**Answer.** Trained without the mix, the networks follow the mark in {beyond(without)}, "
        f"of {without.most:.0%} possible ({without.right:.0%} of clips are read right where the "
        f"mark tells the truth, {without.lies:.0%} where it lies); trained with it, in "
        f"{beyond(mixed)} ({mixed.right:.0%} and {mixed.lies:.0%})."
        + (little if without.beyond < LITTLE else "")
        + " This was looked at after scoring, and so was the limit of what is called little "
        f"({LITTLE:.0%}) set: the control counts as it came out."
    )
