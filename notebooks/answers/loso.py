"""The answers of notebook 05, training leave-one-subject-out, each from the numbers above it."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from merclip_lib import scores


def classes_of_people(table, classes):
    """Whether everybody shows all classes."""
    lacking = (table.groupby("subject").label.nunique() < len(classes)).sum()
    people = table.subject.nunique()
    return Markdown(
        f"**Answer.** No: {lacking} of {people} lack at least one class."
        if lacking
        else f"**Answer.** Yes, all {people} of them."
    )


def training(history, given):
    """How the losses fell, and how far folds differ in training accuracy."""
    last = history[history.epoch == history.epoch.max()]
    falls = history.groupby("epoch")[["align", "emotion"]].mean()
    falls = falls.rename(columns={"align": "alignment"})
    moved = [name for name in falls if falls[name].iloc[0] > 0]  # no alignment without sentences
    changes = " and ".join(
        f"the {name} loss from {falls[name].iloc[0]:.2f} to {falls[name].iloc[-1]:.2f}"
        for name in moved
    )
    switches = {"mix": "mix", "flip_probability": "flip", "jitter": "jitter"}
    augmented = [word for name, word in switches.items() if given[name]]
    on = f"with {', '.join(augmented)} on" if augmented else "without augmentation"
    return Markdown(
        f"**Answer.** From the first epoch to the last goes, on average, {changes}. By then the "
        f"mean training accuracy is {last.accuracy.mean():.0%} ({on}); over the folds it goes from "
        f"{last.accuracy.min():.0%} to {last.accuracy.max():.0%}. How much folds differ in what "
        "counts, the held-out subject, comes next."
    )


def pooled(results, runs, table, classes, said):
    """The pooled scores, beside always naming the most frequent class."""
    mean, spread = results.mean(numeric_only=True), results.UF1.max() - results.UF1.min()
    majority = table.label.value_counts().iloc[0] / len(table)
    seeds_said = f"Seeds differ by {spread:.3f}; the" if len(runs) > 1 else "The"
    return Markdown(
        f"**Pooled UF1 {mean.UF1:.3f}, UAR {mean.UAR:.3f}, accuracy {mean.accuracy:.3f}**, "
        f"{said or 'last epoch'}, mean of {len(runs)} seed{'s' if len(runs) > 1 else ''}. Always "
        f"answering the most frequent class would give accuracy {majority:.3f} and UF1 "
        f"{2 * majority / (1 + majority) / len(classes):.3f}. {seeds_said} interval over subjects "
        f"of the first seed is [{results['UF1 low'][0]:.3f}, {results['UF1 high'][0]:.3f}]."
    )


def errors(matrix, runs, classes, drawn):
    """Which classes are taken for which, the best F1 and the worst."""
    off = pd.DataFrame(matrix, classes, classes).stack()
    off = off[[a != b for a, b in off.index]].sort_values(ascending=False)
    off = off[off > 0].head(2)
    errors = " and ".join(f"{a} taken for {b} ({n} times)" for (a, b), n in off.items())
    per_class = scores.score(runs[0].predictions, classes).per_class.set_index("class")
    best, worst = per_class.f1.idxmax(), per_class.f1.idxmin()
    return Markdown(
        f"**Answer.** The most frequent errors are: {errors or 'none'}. With the first seed {best} "
        f"has the best F1 ({per_class.f1[best]:.2f}) and {worst} the worst "
        f"({per_class.f1[worst]:.2f})."
        + (
            " Classes share action units and some labels are an annotator's mistake, so nobody can "
            "reach 1 here."
            if drawn
            else ""
        )
    )


def people(by_person, results, runs, classes):
    """How far people differ, and what a mean of F1 per person would say."""
    mean_of_person = by_person.mean(axis=1)
    per_fold = [
        scores.score(rows, classes).uf1 for _, rows in runs[0].predictions.groupby("subject")
    ]
    return Markdown(
        f"**Answer.** From {mean_of_person.min():.0%} to {mean_of_person.max():.0%} of their clips "
        "are right. What people prefer to feel, their habits and their asymmetry are their own; "
        "the interval over subjects stands for this variation. (A wrong way, to see the trap: the "
        f"mean of the UF1 of each person is {np.mean(per_fold):.3f}; pooled it is "
        f"{results.UF1[0]:.3f}. A person without a class scores 0 there.)"
    )
