"""The answers of notebook 07, what the model sees, each from the numbers above it."""

from IPython.display import Markdown

from merclip_lib import explain, scores


def neighbours(purity):
    """What neighbours in *z* share before training here, beyond chance."""
    beyond = purity.drop(columns="chance").sub(purity.chance, axis=0)
    shared = ", ".join(f"{name} {value:+.2f}" for name, value in beyond["z, before"].items())
    return Markdown(
        f"**Answer.** Beyond chance, in *z*: {shared}; most of all the "
        f"{beyond['z, before'].idxmax()}."
    )


def pointing(found):
    """Which maps point to skin that moved; None where nobody knows which did."""
    unknown = "Nobody knows which skin moved in these clips, so the maps cannot be scored here."
    known = found is not None
    return Markdown(explain.answer_localisation(found) if known else f"**Answer.** {unknown}")


def retrieval(z, bank, own, table, people, resampling, retrieved):
    """How often the nearest sentence is right, before and after."""
    first = {when: explain.rank_of_sentence(x, bank, own) == 1 for when, x in z.items()}
    share = scores.subject_interval(first["after"].astype(float), people, resampling)
    change = {"With training this share": first["after"].astype(float) - first["before"]}
    compared = scores.clip_differences(change, people, resampling)
    (changed,) = scores.claims(compared, "rises", "falls", "does not clearly change")
    ways = "sentence of a clip", "clips of a sentence"
    of_clips, of_sentences = (retrieved.loc[("after", "all", way)] for way in ways)
    return Markdown(
        "**Answer.** After training the nearest sentence is right for "
        f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of {len(table)} clips (chance "
        f"{of_clips['chance R@1']:.0%}; 95 % interval over people). {changed}. The nearest "
        f"clip is right for {of_sentences['R@1']:.0%} of {of_sentences.questions:.0f} "
        f"sentences (chance {of_sentences['chance R@1']:.0%}; several people share a sentence, "
        "so no interval over people stands here). A near miss counts as a miss: `4+7` for "
        "`4+7+10` is wrong."
    )


def units_read(read, units):
    """Which action units are read by their sentence alone, before and after."""
    old, new_read = (rows.set_index("name") for rows in read.values())
    change = (new_read.auc - old.auc).dropna()
    sure = (new_read.low > 0.5).sum()
    return Markdown(
        f"**Answer.** Mean area over {len(units)} units: {old.auc.mean():.2f} before, "
        f"{new_read.auc.mean():.2f} after training. After training, {sure} of {len(units)} "
        f"intervals lie above chance, each taken alone. Read best: {new_read.auc.idxmax()} "
        f"({new_read.auc.max():.2f}); worst: {new_read.auc.idxmin()} "
        f"({new_read.auc.min():.2f}). {(change > 0).sum()} units are read better than before, "
        f"{(change < 0).sum()} worse. A unit with few clips moves a lot by chance."
    )
