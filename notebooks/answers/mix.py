"""The answers of notebook 03, LocalStaticFaceMix, each from the numbers above it."""

import torch
from IPython.display import Markdown

from merclip_lib import augment, scores
from merclip_lib.text import describe, swap_sides


def regions(video, alpha):
    """How much of the picture the regions and their inverse change."""
    covered = {}
    for region in augment.REGIONS:
        inside = torch.zeros(video.shape[-2:], dtype=torch.bool)
        inside[augment.region_slices(region, *inside.shape)] = True
        covered[region] = float(inside.float().mean())
    return Markdown(
        f"**Answer.** The inverted mix: no region covers more than {max(covered.values()):.0%} of "
        f"the picture, so the inverse changes {1 - max(covered.values()):.0%} or more. Inside the "
        f"outline two people are visible at once, with {alpha:.0%} of clip *i*. The seam is easy "
        "to see, also for a network; it does not move, so it says nothing about the emotion. The "
        "paper mixes inside; the inverse is an ablation of notebook 06."
    )


def motion_left(video, motions, as_filmed, steps, alpha):
    """How much of whose motion is left in a region after the mix."""
    left, likeness = motions.iloc[:, 0], motions.iloc[:, 1]
    corner = 255 * float(steps(video[0])[..., :16, :16].abs().mean())  # no face there
    return Markdown(
        f"**Answer.** Only the one with the still face: {left['still face mixed in']:.2f} of the "
        f"motion inside is left (alpha is {alpha}), and its likeness to the motion of clip *j* "
        f"stays ({likeness['as filmed']:.2f} before, {likeness['still face mixed in']:.2f} after). "
        f"With the moving face it is {likeness['moving face mixed in']:.2f}: motion of *j* has "
        "come in, while the label is *i*'s alone. Outside the curves lie on each other.\n\nMuch of "
        "what the curves show is no expression: from frame to frame the region changes by "
        f"{255 * float(as_filmed):.1f} grey levels, and a corner without a face by {corner:.1f} "
        "(flicker of the light, noise). The mix scales nuisance and expression alike."
    )


def share_of_regions(share, alpha):
    """How much motion of which unit forehead and chin hold."""
    mean = share.mean()
    left = (1 - (1 - alpha) * share[["forehead", "chin"]]).agg(["idxmin", "min"])
    return Markdown(
        f"**Answer.** The forehead holds {mean['forehead']:.0%} of the motion, the chin "
        f"{mean['chin']:.0%}: the brows lie just below the top quarter, in the regions called "
        f"cheeks. Mixing the forehead takes most from {left.forehead['idxmin']}, and "
        f"{left.forehead['min']:.0%} of its motion is left; mixing the chin takes most from "
        f"{left.chin['idxmin']}, and {left.chin['min']:.0%} is left. The mix draws its region "
        "without looking at the annotation; a mix that spares the annotated region would be easy "
        "to write, and is not in the paper."
    )


def identity(predicted, right, classes):
    """What knowing the people is worth, and what mixed copies change."""

    def uf1(split, name):
        return scores.score(predicted[split, name], classes).uf1

    def difference_of(a, b):
        return scores.paired_difference([predicted[a]], [predicted[b]], classes)

    known = difference_of(("by clip", "as filmed"), ("by person", "as filmed"))
    mixed = difference_of(("by person", "with mixed copies"), ("by person", "as filmed"))
    as_found, of_mixed, blind = right.values()
    return Markdown(
        f"**Answer.** The person is read from {as_found:.0%} of the clips, and from {of_mixed:.0%} "
        f"of mixed ones; always naming the most frequent person is right in {blind:.0%}. Split by "
        f"clip, the emotion comes out at UF1 {uf1('by clip', 'as filmed'):.2f}; by person, at "
        f"{uf1('by person', 'as filmed'):.2f}. "
        f"{scores.verdict('Knowing the people', known.mean, known.low, known.high)}. For people "
        "whom it has never seen: "
        f"{scores.verdict('training on mixed copies', mixed.mean, mixed.low, mixed.high)}."
    )


def flip(annotation, sided):
    """How many sentences name a side, so that a mirrored clip needs the other."""
    return Markdown(
        f"**Answer.** *{describe(swap_sides(annotation))}*: only the swapped sentence says where "
        f"the smile is. {sided.mean():.0%} of the SynthME clips name a side; of the 74 different "
        "sentences of CASME II, 30 do. The difference also shows hair and eyes, as the head has "
        "drifted between the two frames. Notebook 08 measures what the trap costs."
    )
