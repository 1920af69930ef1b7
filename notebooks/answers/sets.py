"""The answers of notebook 02, data and manifests, each from the numbers above it."""

import numpy as np
from IPython.display import Markdown

from merclip_lib import data, figures


def motion(speed, chosen, seen, corner):
    """How far skin moves, and how much of the change of brightness is no motion."""
    strong = speed[chosen.index]
    return Markdown(
        "**Answer.** In these strongest clips of each class the patch that moves most moves by "
        f"{strong.min():.1f} to {strong.max():.1f} pixels; in half of all clips no patch moves by "
        f"more than {np.median(speed):.1f}. The difference shows where, and outlines and noise as "
        "well (each column has its own scale). In the middle of a clip the brightness has changed "
        f"by {np.median(seen):.1f} grey levels a pixel, but by {np.median(corner):.1f} in a corner "
        "of the picture too: much of the change is noise, flicker and drift. This is why frame "
        "differences alone make a poor classifier."
    )


def classes(table, units, class_counts):
    """How uneven classes, people and units are, and how often the annotator is wrong."""
    wrong = table.emotion != table.true_emotion
    missed = table.action_units != table.true_action_units
    lacking = int((table.groupby("subject").label.nunique() < len(class_counts)).sum())
    clips_of = table.subject.value_counts()
    unit = units.value_counts().index[0]
    with_it = table.label[units[units == unit].index.unique()].nunique()
    return Markdown(
        f"**Answer.** In {class_counts.iloc[0] / len(table):.0%} of the {len(table)} clips "
        f"(`{class_counts.index[0]}`), so accuracy flatters; UF1 and UAR give each class the same "
        f"weight. The largest class has {class_counts.iloc[0] / class_counts.iloc[-1]:.1f} times "
        f"the clips of the smallest, a person {clips_of.min()} to {clips_of.max()} clips. "
        f"{lacking} of {table.subject.nunique()} people lack at least one class: an F1 per fold "
        f"would be undefined there, so all folds are pooled before scoring. AU {unit} is the most "
        f"frequent unit; it is written in clips of {with_it} of the {len(class_counts)} classes. "
        f"The annotator wrote another emotion than was felt in {wrong.sum()} clips "
        f"({wrong.mean():.0%}) and other units than were shown in {missed.sum()} "
        f"({missed.mean():.0%}): a perfect reader of faces would be marked wrong there."
    )


def folds(table, folds, worth):
    """How many independent clips the table is worth, and what the folds cost."""
    return Markdown(
        f"**Answer.** As much as {worth[0.1]:.0f} independent clips instead of {len(table)}. The "
        f"{len(folds)} folds test every clip once, by a network that knows nothing of its subject; "
        "as many trainings as people are the price."
    )


def jpeg(copied, embedded, cost, at, moments):
    """What JPEG does to motion that is this weak."""
    share = np.median(cost.iloc[:, 1] / cost.iloc[:, 0])
    both = [figures.difference(clips[:, 0], at(clips, moments)) for clips in (copied, embedded)]
    alike = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*both, strict=True)])
    return Markdown(
        f"**Answer.** JPEG changes a frame by {share:.0%} (median) of what expression, drift and "
        "noise do to it between onset and apex. The difference pictures of both ways still agree "
        f"(correlation {alike:.2f}), but JPEG is not free where motion is this weak. Written as "
        "PNG or BMP, the same way gives back the very bytes. Do not compress a set again, and do "
        "not train on one version and test on another."
    )


def eyes(rooms, speed):
    """How far the eyes found wander with noise alone, beside the motion of an expression."""
    noisy = [
        np.clip(rooms[0] + rng.normal(0, 3, rooms[0].shape), 0, 255).astype(np.uint8)
        for rng in map(np.random.default_rng, range(8))
    ]
    jitter = np.std([data.find_eyes(picture) for picture in noisy], axis=0).max()
    still = data.crop_pictures([rooms[0]] * 8, data.PictureSettings(96, 8, "mesh"))[0]
    unmoved = all((still == still[0]).all((1, 2, 3)))
    return Markdown(
        "**Answer.** It would tremble: with fresh noise on the same face, the eyes found wander by "
        f"{jitter:.2f} pixels, while in half of the clips no patch moves by more than "
        f"{np.median(speed):.2f} (section 3). With one transform for the clip a still face "
        f"{'stays still, byte for byte' if unmoved else 'does not stay still'}. Aligned faces have "
        "their eyes in one place, so their mean looks like a face. What one transform cannot do is "
        "take out a head that moves within the clip: `--stabilise` does."
    )


def calibration(calibration, real):
    """What a reader of units reaches on the drawn and on the real label lists."""
    value = calibration.set_index(["preset", "figure"]).value
    return Markdown(
        "**Answer.** The regression reads the emotion from the written units at UF1 "
        f"{value['casme2-like', 'reader']:.2f} with CASME II's classes and at "
        f"{value['casme3-like', 'reader']:.2f} with CAS(ME)3's, of whose emotions "
        f"{value['casme3-like', 'undecidable']:.0%} no list of units could decide; on the real "
        f"lists at {real['casme2-like']['reader']} and {real['casme3-like']['reader']}. That is a "
        "property of the annotations: no network that reads faces can be better than they allow. "
        "The noise in the written units is ours, and nobody knows that of a real set: of the units "
        f"of a clip {value['casme2-like', 'unit_noise']:.0%} and "
        f"{value['casme3-like', 'unit_noise']:.0%} are shown or written and not both, on average "
        "(section 4 counts clips instead)."
    )
