"""The answers of notebook 01, from action units to sentences, each from the numbers above it."""

from IPython.display import Markdown


def emotions_of_units(plan, shares):
    """Which units give the emotion away, and which do not."""
    owners = {n: shares.index[shares[n] > 0.05].tolist() for n in shares.columns}
    alone = [f"AU {n} ({classes[0]})" for n, classes in owners.items() if len(classes) == 1]
    most = max(owners, key=lambda n: len(owners[n]))
    wrong = int((plan.action_units != plan.true_action_units).sum())
    return Markdown(
        f"**Answer.** Some units give the emotion away, at a share above 5 %: {', '.join(alone)}. "
        f"AU {most} does not: {', '.join(owners[most])} share it. No model that reads faces can "
        f"undo that. The annotator wrote other units than were shown in {wrong} of {len(plan)} "
        "clips; some of the small numbers are such mistakes."
    )


def equal_pairs(plan, share, equal, several):
    """How often a batch holds a sentence twice, and how many sentences there are in effect."""
    return Markdown(
        f"**Answer.** In {equal:.0%} of the batches. The {len(plan)} clips carry {len(share)} "
        f"sentences, the most frequent {share.iloc[0]:.0%} of them; they repeat as often as "
        f"{1 / (share**2).sum():.1f} equally frequent ones would. {several:.0%} of the sentences "
        "occur with more than one emotion: text cannot tell those emotions apart."
    )


def likeness(similarity):
    """Whether `L12` is nearer to the other side of its unit or to another unit on its side."""

    def alike(a, b):
        return similarity.loc[a, b]

    nearer = "R12" if alike("L12", "R12") > alike("L12", "L14") else "L14"
    return Markdown(
        f"**Answer.** `L12` is nearer to `{nearer}`: {alike('L12', 'R12'):.2f} to the other side "
        f"of its unit, {alike('L12', 'L14'):.2f} to the other unit on its side. Both sides and one "
        f"(`12` and `L12`) have {alike('12', 'L12'):.2f}. Pulling and depressing the corners of "
        "the lips share most of their words and not their meaning; the tower gives them "
        f"{alike('12', '15'):.2f}. A sentence that names the wrong side (section 4) is a different "
        "sentence to this tower."
    )


def card(test):
    """The hardest group of the tower's test pairs, and those that are all right."""
    hard, sure = test.index[:2], test.index[test.items_right == 1]
    return Markdown(
        f"**Answer.** The hardest are *{hard[0]}* ({test.items_right.iloc[0]:.2f} of the items "
        f"right) and *{hard[1]}* ({test.items_right.iloc[1]:.2f}); all items are right of: "
        f"{', '.join(sure)}."
    )
