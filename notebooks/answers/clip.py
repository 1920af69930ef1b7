"""The answers of notebook 10, your own clip, each from the numbers above it."""

import numpy as np
from IPython.display import Markdown

from merclip_lib.text import parse


def strongest(seen, factor):
    """Where the face moves most."""
    peak = seen.intervals[0] if seen.intervals else None
    return Markdown(
        f"**Answer.** Most of all the {peak.region}, {peak.strength:.3f} eye distances at "
        f"{peak.apex:.2f} s: where the heat is in the right picture. The third picture shows the "
        f"same frame with {factor:g} times the way."
        if peak
        else "**Answer.** Nothing rises above the noise."
    )


def apex(seen):
    """How far the strongest motion goes, and how near its apex is to the coder's."""
    if not seen.intervals:
        return Markdown("**Answer.** Nothing rose above the noise.")
    best, truth = seen.intervals[0], seen.footage.truth
    late = f", {1000 * (best.apex - truth['apex']):+.0f} ms from the coder's" if truth else ""
    return Markdown(
        f"**Answer.** The strongest motion is at the {best.region}: {best.strength:.3f} eye "
        f"distances, which are {best.strength * seen.motion.eye_pixels:.1f} pixels of the video. "
        f"Its apex is put at {best.apex:.2f} s{late}. Sensor noise and drift of the head are in "
        "the clip, too."
    )


def exactness(exact):
    """How exact displacement and apex are on drawn clips."""
    missed, deaf = exact[~exact.spotted].true.mean(), "None is missed."
    if missed == missed:
        deaf = (
            f"The clips without a proposal truly move by {missed:.3f} eye distances on average: "
            "the rule is deaf to what it cannot tell from its own error."
        )
    times = exact.true.mean() / exact.error.mean()
    return Markdown(
        f"**Answer.** Over {len(exact)} clips and fifteen regions each, the displacement is off by "
        f"{exact.error.mean():.4f} eye distances on average; the strongest region of a clip truly "
        f"moves by {exact.true.mean():.3f}, {times:.0f} times as far. A proposal is made for "
        f"{exact.spotted.mean():.0%} of the clips, its apex off by "
        f"{exact['apex error, ms'].abs().median():.0f} ms (median). {deaf}"
    )


def spotting(score, alarms):
    """What spotting reaches, and its limits."""
    errors = 1000 * np.array(score.apex_errors or [np.nan])
    return Markdown(
        f"**Answer.** F1 at IoU 0.5 is {score.f1:.2f} ({score.right} of {score.true} expressions, "
        f"{score.proposed - score.right} false alarms, {alarms} of them in a video of a face at "
        f"rest); the apex of the right ones is off by {errors.mean():.0f} ms on average. "
        "**Limits.** These are drawn faces on a quiet background. On films of people, the best "
        "programs of the MEGC challenges stay far below such figures: people talk, turn their "
        "heads and chew, and all that comes and goes, too. A blink is left out by leaving out the "
        "lids, and with it whatever the lids alone show (units 5 and 7); two expressions within a "
        "quarter of a second count as one."
    )


def on_skin(on_skin):
    """What is spotted of movements of a photograph."""
    spotted, missed = on_skin.dropna(), on_skin.asked[on_skin.isna().any(axis=1)]
    all_but = f" (not {', '.join(missed)})" if len(missed) else ""
    return Markdown(
        f"**Answer.** At intensity 0.3, {len(spotted)} of {len(on_skin)} movements of the "
        f"photograph are spotted{all_but}, the apex off by "
        f"{spotted['apex error, ms'].abs().mean():.0f} ms on average. The videos went through "
        "H.264 on the way. Compare the region with what you asked for: the motion is measured on "
        "real skin as well as on drawn skin, because nothing was learnt."
    )


def reading(reading, seen):
    """What a network of drawn faces reads, beside the coder."""
    truth = {"action_units": "", "emotion": "nothing"} | seen.footage.truth
    shown_units = {unit.number for unit in parse(truth["action_units"])}
    top = reading.units.head(len(shown_units)).unit.astype(int)
    emotion, probability = next(iter(reading.emotions.items()))
    return Markdown(
        f"**Answer.** Units that the coder wrote: {len(shown_units)}; of as many with the highest "
        f"scores, {len(shown_units & set(top))} agree. The nearest sentence: "
        f"*{reading.sentences.sentence[0]}*. The emotion is called {emotion} with probability "
        f"{probability:.2f}; the coder wrote {truth['emotion']}. A probability that small or that "
        "large says how the network divides its drawn world, not what a person feels."
    )
