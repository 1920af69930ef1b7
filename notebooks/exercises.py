"""The checks of the exercises: each prints "right", "not yet" or what is wrong, and never raises.

A check takes the function that you wrote, tries it on small examples, and compares it with the
library's own or with the formula. Read one after you have solved its exercise, not before.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from merclip_lib import augment, explain, figures, look, protocol, scores, text, training
from merclip_lib.config import SIZES, Config
from merclip_lib.data.dataset import uniform_sample
from merclip_lib.model import LMHRA, PlainMERCLIP


class NotYetError(Exception):
    """The answer is still the placeholder."""


def exercise(find_fault: Callable[[Any], str]) -> Callable[[Any], None]:
    """A check: print what `find_fault` says of an answer, or that it stops with an error."""

    @functools.wraps(find_fault)
    def check(answer: Any) -> None:
        try:
            print(find_fault(answer) or "right")
        except NotYetError:
            print("not yet")
        except Exception as error:
            print(f"it stops with {type(error).__name__}: {error}")

    return check


def differs(case: str, answer: Any, expected: Any) -> str:
    """What is wrong with an answer: "" if nothing is. Numbers may differ in the fifth digit."""
    if answer is None:
        raise NotYetError
    if isinstance(expected, str):
        return "" if answer == expected else f"{case}: {answer!r}, but it should be {expected!r}"
    given, wanted = np.asarray(answer, float), np.asarray(expected, float)
    if given.shape != wanted.shape:
        return f"{case}: the shape is {given.shape}, but it should be {wanted.shape}"
    if np.allclose(given, wanted, rtol=1e-5, atol=1e-6, equal_nan=True):
        return ""
    if wanted.size > 12:
        worst = np.nanmax(np.abs(given - wanted))
        return f"{case}: the largest difference from what it should be is {worst:.3g}"
    return f"{case}: {given.round(4).tolist()}, but it should be {wanted.round(4).tolist()}"


def first_fault(faults) -> str:
    """The first of several faults that is one."""
    return next((fault for fault in faults if fault), "")


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random numbers, the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Notebook 00


@exercise
def check_change(change):
    """The signed change of brightness between two frames."""
    rng = np.random.default_rng(0)
    first, frame = rng.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    cases = {"a random pair": (first, frame), "the pair the other way": (frame, first)}
    return first_fault(
        differs(name, change(*pair), figures.difference(*pair)) for name, pair in cases.items()
    )


@exercise
def check_strongest(strongest):
    """The frame that differs most from the onset, and by how much."""
    rng = np.random.default_rng(0)
    for apex in (2, 4):
        frames = rng.integers(100, 104, (6, 4, 5, 3)).astype(np.uint8)
        frames[apex] -= 60
        size = np.abs(figures.difference(frames[:1], frames)).mean((1, 2))
        fault = differs(f"apex in frame {apex}", strongest(frames), (apex, size[apex]))
        if fault:
            return fault
    return ""


@exercise
def check_nearest(nearest):
    """The sentence that is nearest to each clip."""
    clips, sentences = numbers(6, 8), numbers(4, 8, seed=1) * torch.tensor([[0.1], [1], [9], [1]])
    likeness = F.normalize(clips, dim=1) @ F.normalize(sentences, dim=1).T
    given = nearest(clips.numpy(), sentences.numpy())
    fault = differs("six clips, four sentences", given, likeness.argmax(1))
    longest = (clips @ sentences.T).argmax(1).numpy()
    if fault and np.array_equal(np.asarray(given), longest):
        return "a long vector wins over a near one: divide each by its length first"
    return fault


# Notebook 01


@exercise
def check_join(join):
    """Phrases joined to a sentence fragment."""
    cases = [[12], [1, 2], [4, 7, 9], [1, 2, 5, 26]]
    return first_fault(
        differs(
            f"{len(case)} phrases",
            join([text.PHRASES[number] for number in case]),
            text.describe("+".join(map(str, case))),
        )
        for case in cases
    )


@exercise
def check_other_side(other_side):
    """An annotation with left and right exchanged."""
    cases = ["L12", "R4", "1+2", "4+7+L10", "R6+L12"]
    return first_fault(differs(case, other_side(case), text.swap_sides(case)) for case in cases)


@exercise
def check_numbers_style(numbers_style):
    """A sentence style of one's own: the numbers in words."""

    def wanted(annotation):
        codes = text.describe(annotation, style="codes").replace("AU", "action unit ")
        return codes if "+" not in annotation else f"a combination of {codes}"

    cases = ["4", "L12", "1+2", "4+7+L10"]
    return first_fault(differs(case, numbers_style(case), wanted(case)) for case in cases)


@exercise
def check_effective_number(effective_number):
    """How many equally frequent sentences would repeat as often."""
    cases = {"four alike": [5, 5, 5, 5], "one alone": [7], "one of three rules": [8, 1, 1]}
    return first_fault(
        differs(name, effective_number(counts), sum(counts) ** 2 / sum(n * n for n in counts))
        for name, counts in cases.items()
    )


# Notebook 02


@exercise
def check_fold(fold):
    """Positions of the clips of training and of test when one person is held out."""
    table = pd.DataFrame({"subject": ["a", "b", "a", "c", "b"], "dataset": "x"})
    for right in protocol.make_folds(table):
        person = table.subject[right.test[0]]
        answer = fold(list(table.subject), person)
        if answer is None:
            raise NotYetError
        for name, given, wanted in zip(
            ("train", "test"), answer, (right.train, right.test), strict=True
        ):
            if fault := differs(f"{person} held out, {name}", given, wanted):
                return fault
    return ""


@exercise
def check_frame_numbers(frame_numbers):
    """Which frames of a long clip are read in evaluation."""
    cases = [(16, 16), (33, 16), (68, 16), (100, 8)]
    return first_fault(
        differs(f"{n} frames, {k} chosen", frame_numbers(n, k), uniform_sample(n, k))
        for n, k in cases
    )


@exercise
def check_class_weights(class_weights):
    """Chance of each clip to be drawn so that all classes come equally often."""
    cases = [["a", "a", "a", "b"], ["a", "b", "c"], ["x"] * 5 + ["y"] * 2 + ["z"]]
    return first_fault(
        differs(
            f"{labels}",
            class_weights(labels),
            [1 / labels.count(label) / len(set(labels)) for label in labels],
        )
        for labels in cases
    )


@exercise
def check_effective_clips(effective_clips):
    """How many independent clips the clips of a few people are worth."""
    cases = [([10, 10, 10], 0.0), ([10, 10, 10], 1.0), ([2, 8, 30], 0.3)]
    return first_fault(
        differs(
            f"clips {counts}, correlation {rho}",
            effective_clips(counts, rho),
            sum(counts) / (1 + rho * (sum(n * n for n in counts) / sum(counts) - 1)),
        )
        for counts, rho in cases
    )


# Notebook 03


@exercise
def check_mix(mix):
    """One region of a clip blended with the first frame of another clip."""
    clips = numbers(2, 4, 3, 8, 8)
    for region, alpha in (("chin", 0.5), ("left_cheek", 0.8)):
        draw = [augment.MixDraw(clip=0, face=1, region=region)]
        wanted = augment.local_static_face_mix(clips.clone(), draw, alpha)[0]
        place = augment.region_slices(region, 8, 8)
        given = mix(clips[0].clone(), clips[1].clone(), *place, alpha)
        if fault := differs(f"{region}, alpha {alpha}", given, wanted):
            moving = augment.local_static_face_mix(clips.clone(), draw, alpha, moving=True)[0]
            if torch.is_tensor(given) and given.shape == moving.shape:
                if torch.allclose(given, moving):
                    return "the other clip moves: take its first frame, face[0]"
            return fault
    return ""


@exercise
def check_region(region):
    """Rows and columns of each region of the mix."""
    for name in augment.REGIONS:
        for height, width in ((8, 8), (64, 48)):
            answer = region(name, height, width)
            if answer is None:
                raise NotYetError
            wanted = augment.region_slices(name, height, width)
            given = [(part.start or 0, part.stop) for part in answer]
            case = f"{name} of {height} x {width}, first and last of rows and columns"
            if fault := differs(case, given, [(part.start, part.stop) for part in wanted]):
                return fault
    return ""


@exercise
def check_mirrored(mirrored):
    """A batch of which some clips are flipped, with the annotations that fit."""
    clips, annotations = numbers(3, 4, 3, 6, 6), ["L12", "4+R10", "1+2"]
    for flipped in ([True, False, True], [False, True, False]):
        answer = mirrored(clips.clone(), list(annotations), flipped)
        if answer is None:
            raise NotYetError
        wanted = augment.flip(clips, torch.tensor(flipped))
        if fault := differs(f"flipped {flipped}, the clips", answer[0], wanted):
            return fault
        for given, annotation, flip in zip(answer[1], annotations, flipped, strict=True):
            right = text.swap_sides(annotation) if flip else annotation
            if fault := differs(f"{annotation}, flipped {flip}", given, right):
                return fault
    return ""


@exercise
def check_other_faces(other_faces):
    """Whose faces may be mixed into a clip."""
    for subjects in ([1, 1, 2, 2, 3], [1, 2], [5, 5, 5]):
        for i in range(len(subjects)):
            generator = torch.Generator().manual_seed(i)
            draws = [
                draw.face
                for _ in range(60)
                for draw in augment.draw_mixes(torch.tensor(subjects), 1.0, generator)
                if draw.clip == i
            ]
            given = other_faces(subjects, i)
            if given is None:
                raise NotYetError
            if fault := differs(f"subjects {subjects}, clip {i}", sorted(given), sorted({*draws})):
                return fault
    return ""


# Notebook 04


@exercise
def check_fuse(fuse):
    """The clip vector from the query and the class tokens: the encoder's own."""
    torch.manual_seed(0)
    encoder = PlainMERCLIP(SIZES["merclip-tiny"], classes=3).eval().vision_encoder
    stack, queries = encoder.transformer, []
    stack.dec[-1].register_forward_hook(lambda module, inputs, q: queries.append(q[:, 0]))
    with torch.no_grad():
        stack.balance.copy_(numbers(96))
        stack.temporal_cls_token.copy_(numbers(*stack.temporal_cls_token.shape, seed=1))
        wanted, x = stack(numbers(2, 4, 65, 96, seed=2))
        given = fuse(queries[0], x[:, :, 0], stack.balance)
    return differs("two clips", given, wanted)


@exercise
def check_soft_targets(soft_targets):
    """The targets of clips of which some carry the same description."""
    for groups in ([0, 1, 2], [0, 0, 1], [3, 1, 3, 3]):
        same = np.equal.outer(groups, groups)
        given = soft_targets(groups)
        if fault := differs(f"descriptions {groups}", given, same / same.sum(1, keepdims=True)):
            return fault
        z, v = numbers(len(groups), 8), numbers(len(groups), 8, seed=1)
        similarity = F.normalize(z, dim=1) @ F.normalize(v, dim=1).T
        target = torch.as_tensor(np.asarray(given), dtype=torch.float32)
        ours = sum(F.cross_entropy(s, target) for s in (similarity, similarity.T)) / 2
        library = training.alignment_loss(z, v, torch.tensor(0.0), torch.tensor(groups))
        if fault := differs("the loss with these targets", ours, library):
            return fault
    return ""


@exercise
def check_contrast(contrast):
    """The contrastive loss with the paper's targets."""
    for n, s in ((2, 1.0), (5, 14.3)):
        z, v = numbers(n, 8), numbers(n, 8, seed=1)
        wanted = training.alignment_loss(z, v, torch.tensor(s).log())
        if fault := differs(f"{n} clips, s = {s}", contrast(z, v, s), wanted):
            return fault
    return ""


@exercise
def check_focal(focal):
    """The focal loss of a batch from its logits."""
    logits, labels = numbers(5, 3), torch.tensor([0, 2, 1, 1, 0])
    for gamma in (2.0, 0.0, 5.0):
        wanted = training.focal_loss(logits, labels, gamma)
        if fault := differs(f"5 clips, gamma = {gamma}", focal(logits, labels, gamma), wanted):
            return fault
    return ""


@exercise
def check_lmhra_parameters(lmhra_parameters):
    """How many numbers an LMHRA learns."""
    for width, inner in ((96, 64), (768, 512)):
        wanted = sum(p.numel() for p in LMHRA(width, width / inner).parameters())
        if fault := differs(f"D = {width}", lmhra_parameters(width, inner), wanted):
            return fault
    return ""


# Notebook 05


@exercise
def check_weights_of(weights_of):
    """The weights of both losses in an epoch."""
    for start, end, epochs in ((2.0, 1.0, 55), (1.5, 1.0, 6)):
        config = replace(Config(), epochs=epochs, align_start=start, align_end=end)
        for epoch in (0, 1, epochs - 1, epochs + 3):
            align = training.alignment_weight(epoch, config)
            case = f"epoch {epoch} of {epochs}, from {start} to {end}"
            given = weights_of(epoch, epochs, start, end)
            if fault := differs(case, given, (align, 2 - align)):
                return fault
    return ""


def as_predictions(matrix: np.ndarray) -> pd.DataFrame:
    """A table of predictions whose confusion matrix is this one; classes are called 0, 1, ..."""
    pairs = [(a, b) for (a, b), n in np.ndenumerate(matrix) for _ in range(n)]
    truth, prediction = zip(*pairs, strict=True)
    table = pd.DataFrame({"truth": truth, "prediction": prediction}).astype(str)
    clips = [f"c{i}" for i in range(len(table))]
    return table.assign(clip_id=clips, subject="s")


@exercise
def check_uf1_and_uar(uf1_and_uar):
    """UF1 and UAR from the confusion matrix of all folds together."""
    matrices = (
        [[8, 2], [1, 4]],
        [[5, 0, 1], [2, 3, 0], [1, 1, 7]],
        [[6, 1, 0], [2, 2, 0], [1, 0, 0]],
    )
    for matrix in map(np.array, matrices):
        score = scores.score(as_predictions(matrix), [str(i) for i in range(len(matrix))])
        given = uf1_and_uar(matrix)
        if fault := differs(f"{matrix.tolist()}", given, (score.uf1, score.uar)):
            return fault
    return ""


@exercise
def check_resample(resample):
    """Positions of the clips of one bootstrap sample: people are drawn, not clips."""
    subjects = np.array(list("aaabbcddddd"))
    rng, drawn_before = np.random.default_rng(0), set()
    for _ in range(20):
        positions = resample(subjects, rng)
        if positions is None:
            raise NotYetError
        times = np.bincount(np.asarray(positions, int), minlength=len(subjects))
        each = [set(times[subjects == person].tolist()) for person in "abcd"]
        if any(len(counts) > 1 for counts in each):
            return "the clips of a person must come together: draw people, then take all of theirs"
        drawn = [counts.pop() for counts in each]
        if sum(drawn) != 4:
            return f"{sum(drawn)} people are drawn, but there are 4, so draw 4 (with replacement)"
        drawn_before.add(tuple(drawn))
    if len(drawn_before) == 1:
        return "every sample is the same: draw with replacement, from the generator"
    return ""


@exercise
def check_holm(holm):
    """p-values corrected for asking several questions."""
    cases = [[0.01], [0.04, 0.01, 0.03], [0.5, 0.6, 0.001, 0.02], [0.02, 0.02, 0.9]]
    return first_fault(differs(f"p = {case}", holm(case), scores.holm(case)) for case in cases)


# Notebook 06


@exercise
def check_drawn_uf1(drawn_uf1):
    """Pooled UF1 when each person is taken as often as she was drawn."""
    counts = np.random.default_rng(0).integers(0, 5, (4, 3, 3))
    for times in ([1, 1, 1, 1], [2, 0, 1, 1], [0, 4, 0, 0]):
        wanted = scores.pooled_uf1(counts, np.array([times]))[0]
        given = drawn_uf1(counts, np.array(times))
        if fault := differs(f"4 people drawn {times} times", given, wanted):
            alone = [scores.pooled_uf1(each[None], np.ones((1, 1)))[0] for each in counts]
            if np.allclose(given, np.dot(times, alone) / sum(times)):
                return "this is a mean of people's UF1: add up the counts first"
            return fault
    return ""


@exercise
def check_two_way(two_way):
    """A difference and its interval, populations and test people drawn."""
    rules = scores.Rules(samples=400)
    for number in (4, 16):
        rng = np.random.default_rng(number)
        values = rng.normal(0.03, 0.02, number) + rng.normal(0, 0.01, (401, number))
        times = rules.populations.draw(number)
        wanted = scores.two_way_interval(values, rules)
        given = two_way(values, times)
        if fault := differs(f"{number} populations", given, wanted):
            people = values.copy()
            people[1:] = values[0]  # as if nobody were drawn
            if np.allclose(given, scores.two_way_interval(people, rules)):
                return "test people are drawn too: the rows of values from 1 on"
            plain = np.quantile((values[1:] * times).mean(1), [0.025, 0.975])
            if np.allclose(given, [values[0].mean(), *plain]):
                return "too narrow: what the drawn populations add is widened by k"
            return fault
    return ""


@exercise
def check_step_down(step_down):
    """Which of several differences are not zero, by Holm's steps."""
    cases = [([0.01], [-1]), ([0.04, 0.01, 0.03], [1, 1, -1]), ([0.02, 0.001, 0.5], [-1, 1, 1])]
    for p, change in cases:
        answer = step_down(p, change, 0.05)
        if answer is None:
            raise NotYetError
        clear = scores.holm(p) < 0.05
        words = np.where(clear, np.where(np.array(change) > 0, "helps", "hurts"), "-")
        fault = differs(f"p = {p}, changes {change}", ", ".join(answer), ", ".join(words))
        if fault:
            return fault
    return ""


@exercise
def check_populations_needed(populations_needed):
    """How many populations find a difference with a certain power."""
    for effect, spread, level, power in ((0.05, 0.05, 0.05, 0.8), (0.02, 0.03, 0.01, 0.9)):
        number, found = 1, np.inf
        while found > effect:
            number += 1
            unit = np.resize([-1.0, 1.0], number)
            values = spread * (unit - unit.mean()) / (unit - unit.mean()).std(ddof=1)
            found = scores.smallest_findable(values, level, power)
        given = populations_needed(effect, spread, level, power)
        if fault := differs(f"difference {effect}, spread {spread}, power {power}", given, number):
            if isinstance(given, int) and 1 < given < number:
                return f"{fault}: ask for power, an interval that excludes zero is only even odds"
            return fault
    return ""


# Notebook 07


@exercise
def check_integrated(integrated):
    """Integrated gradients between a start and a point."""
    w = numbers(5)

    def curved(x):  # of (w * x * x).sum() + x[0] * x[1]
        return 2 * w * x + torch.stack([x[1], x[0], *torch.zeros(len(x) - 2)])

    for name, gradient in {"a linear function": lambda x: w, "a curved one": curved}.items():
        x, start, steps = numbers(5, seed=1), numbers(5, seed=2), 6
        at = [start + (k + 0.5) / steps * (x - start) for k in range(steps)]
        wanted = (x - start) * torch.stack([gradient(each) for each in at]).mean(0)
        given = integrated(gradient, x, start, steps)
        if fault := differs(name, given, wanted):
            if torch.is_tensor(given) and torch.allclose(given, (x - start) * gradient(x)):
                return f"{name}: this is the gradient at the end alone: take the mean on the way"
            if torch.is_tensor(given) and torch.allclose(given * (x - start), wanted, atol=1e-6):
                return f"{name}: the mean gradient is there; times what is missing?"
            return fault
    return ""


@exercise
def check_hit(hit):
    """The pointing game on one map."""
    region = np.zeros((4, 4), bool)
    region[1, 1:3] = True
    one, tied, outside = np.zeros((3, 4, 4))
    one[1, 2], tied[[1, 3], [1, 3]], outside[0, 0] = 2.0, 1.0, 3.0
    for name, map_ in {"inside": one, "two maxima, one inside": tied, "outside": outside}.items():
        wanted = explain.pointing_game(map_[None], region[None])[0]
        if fault := differs(f"the maximum: {name}", hit(map_, region), wanted):
            return fault
    return ""


@exercise
def check_person_interval(person_interval):
    """A mean over clips and its interval when people are drawn."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(5), (2, 9, 4, 1, 6))
    values = rng.random(len(person)) + 0.2 * person
    resampling = scores.Resampling(samples=200)
    times = resampling.draw(5)
    wanted = scores.subject_interval(values, person, resampling)
    given = person_interval(values, person, times)
    if fault := differs("22 clips of 5 people", given, wanted):
        means = np.array([values[person == k].mean() for k in range(5)])
        if np.allclose(given, [values.mean(), *np.quantile(times @ means / 5, [0.025, 0.975])]):
            return "a mean of people's means: a person who is drawn brings all her clips"
        return fault
    return ""


@exercise
def check_alike(alike):
    """Of each clip's nearest clips, the share that carries its label."""
    x, labels = numbers(8, 4).numpy(), np.array(list("aabbabab"))
    x[0] *= 20  # only the angle counts
    for k in (1, 3):
        fault = differs(f"k = {k}", alike(x, labels, k), explain.alike_neighbours(x, labels, k))
        if fault:
            return fault
    return ""


# Notebook 08


@exercise
def check_best_epoch(best_epoch):
    """What choosing the epoch on the held-out clips adds to the accuracy."""
    fold = np.array([0, 0, 0, 1, 1, 2])
    for seed in (0, 1, 2):
        right = np.random.default_rng(seed).random((4, 6)) < 0.5
        chosen = sum(right[:, fold == k].sum(1).max() for k in range(3)) / 6
        given = best_epoch(right, fold)
        if fault := differs("4 epochs, 3 folds", given, (right[-1].mean(), chosen)):
            if np.allclose(given, (right[-1].mean(), right.mean(1).max())):
                return "one epoch for all folds: the trap chooses in each fold anew"
            return fault
    return ""


@exercise
def check_leaked(leaked):
    """Who is in training and in test of a fold."""
    table = pd.DataFrame({"subject": list("aabbccd"), "dataset": "x"})
    split = protocol.make_folds(table, 3, "clip", 0)
    folds = {"clips dealt out": split[0], "people held out": protocol.make_folds(table)[1]}
    for name, fold in folds.items():
        both = set(table.subject[fold.train]) & set(table.subject[fold.test])
        answer = leaked(list(table.subject), fold.train, fold.test)
        if answer is None:
            raise NotYetError
        if fault := differs(name, ", ".join(answer), ", ".join(sorted(both))):
            return fault
    return ""


@exercise
def check_exchanged(exchanged):
    """UAR, and what comes out when truth and prediction change places."""
    for matrix in ([[8, 2], [1, 4]], [[5, 0, 1], [2, 3, 0], [1, 1, 7]], [[3, 0], [2, 0]]):
        counts, everyone = np.array([matrix]), np.ones((1, 1))
        wanted = [
            rule(counts, everyone)[0] for rule in (scores.pooled_uar, scores.precision_as_uar)
        ]
        if fault := differs(f"{matrix}", exchanged(counts[0]), wanted):
            return fault
    return ""


@exercise
def check_fold_means(fold_means):
    """The mean of the folds' UF1, absent classes counted and dropped."""
    rules = scores.mean_of_folds, scores.mean_of_folds_present
    for seed in (0, 1):
        counts = np.random.default_rng(seed).integers(0, 4, (3, 3, 3))
        counts[0, 1], counts[0, :, 1] = 0, 0  # class 1 is absent from fold 0
        wanted = [rule(counts, np.ones((1, 3)))[0] for rule in rules]
        if fault := differs("3 folds, 3 classes", fold_means(counts), wanted):
            return fault
    return ""


# Notebook 09


@exercise
def check_ledger_cell(ledger_cell):
    """What stands in a cell of the ledger."""
    absent = float("nan")
    cells = [(0.86029, 0.8475, ""), (0.7832, absent, ""), (absent, absent, "")]
    for uf1, uar, note in [*cells, (absent, absent, "not run here: needs the licensed set")]:
        row = {"task": "casme3-3", "part": "all", "method": "a", "uf1": uf1, "uar": uar}
        words = {"note": note, "source": "", "protocol": "", "selection": ""}
        table = pd.DataFrame([row | words])
        (wanted,) = scores.ledger_of_task(table, "casme3-3")["all"]
        if fault := differs(f"{uf1}, {uar}, {note!r}", ledger_cell(uf1, uar, note), wanted):
            return fault
    return ""


@exercise
def check_composite_uf1(composite_uf1):
    """UF1 of several databases together, and the mean of theirs."""
    rng = np.random.default_rng(0)
    for sizes in ((9, 9, 9), (30, 6, 2)):
        matrices = [rng.integers(0, size, (3, 3)) for size in sizes]
        classes = [str(k) for k in range(3)]
        together, *each = (
            scores.score(as_predictions(matrix), classes).uf1
            for matrix in (sum(matrices), *matrices)
        )
        answer = composite_uf1([matrix.copy() for matrix in matrices])
        if fault := differs("three databases", answer, (together, np.mean(each))):
            if np.allclose(answer, np.mean(each)):
                return "the first is a mean of UF1 too: add up the matrices, then count once"
            return fault
    return ""


@exercise
def check_undecidable(undecidable):
    """The share of clips that no rule from the list of units gets right."""
    cases = {
        "one list, three emotions": (["4"] * 5, list("aabbc"), 3 / 5),
        "every list its emotion": (["4", "12", "4"], list("aba"), 0.0),
        "two lists, one clear": (["4", "4", "12", "12", "12"], list("abccc"), 1 / 5),
    }
    return first_fault(
        differs(name, undecidable(units, emotions), share)
        for name, (units, emotions, share) in cases.items()
    )


@exercise
def check_paired_change(paired_change):
    """A change and its interval, the same people on both sides."""
    rng = np.random.default_rng(0)
    people = rng.normal(0.6, 0.05, 1001)  # what a draw of people does to both numbers
    for gain, spread in ((0.04, 0.005), (0.0, 0.02)):
        before, after = people, people + gain + rng.normal(0, spread, 1001)
        resampling = scores.Resampling(samples=1000)
        wanted = (after[0] - before[0], *resampling.interval((after - before)[1:]))
        if fault := differs("1000 samples", paired_change(before, after), wanted):
            ends = [np.quantile(each[1:], [0.025, 0.975]) for each in (before, after)]
            apart = ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]
            if np.allclose(paired_change(before, after)[1:], apart):
                return "these are differences of two intervals: subtract in each sample first"
            return fault
    return ""


# Notebook 10


@exercise
def check_overlap(overlap):
    """Intersection over union of two intervals."""
    cases = {
        "half of each": ((0.0, 2.0), (1.0, 3.0), 1 / 3),
        "one within the other": ((0.0, 4.0), (1.0, 2.0), 1 / 4),
        "apart": ((0.0, 1.0), (2.0, 3.0), 0.0),
        "the later one first": ((2.0, 3.0), (0.0, 2.5), 1 / 6),
        "the same": ((1.0, 2.0), (1.0, 2.0), 1.0),
    }
    return first_fault(differs(name, overlap(a, b), share) for name, (a, b, share) in cases.items())


@exercise
def check_spotting_f1(spotting_f1):
    """F1 of proposals against true intervals."""
    cases = {
        "one right of two": ([(1.0, 1.4), (3.3, 3.6)], [(1.1, 1.5), (3.0, 3.4)]),
        "none proposed": ([], [(1.0, 2.0)]),
        "two proposals of one expression": ([(1.0, 2.0), (1.1, 2.0)], [(1.0, 2.0)]),
        "a face at rest": ([(1.0, 2.0)], []),
        "all right": ([(1.0, 2.0), (4.0, 5.0)], [(4.0, 5.2), (1.0, 2.0)]),
    }
    for name, (proposed, true) in cases.items():
        found = [look.Interval(a, a, b, 1.0, 0.9, "chin") for a, b in proposed]
        score = look.score_spotting([found], [[(a, a, b) for a, b in true]])
        if fault := differs(name, spotting_f1(list(proposed), list(true)), score.f1):
            if name.startswith("two"):
                return f"{fault}: an expression that is taken is not there for the next proposal"
            return fault
    return ""


@exercise
def check_stands_out(stands_out):
    """A course against the mean of where it was and where it will be."""
    times = np.arange(40)
    bump, drift = np.exp(-0.5 * ((times - 20) / 3) ** 2), 0.02 * times
    for name, course in {"a bump": bump, "a drift": drift, "both": bump + drift}.items():
        before, after = np.maximum(times - 8, 0), np.minimum(times + 8, 39)
        wanted = course - (course[before] + course[after]) / 2
        given = stands_out(course, 8)
        if fault := differs(name, given, wanted):
            rolled = course - (np.roll(course, 8) + np.roll(course, -8)) / 2
            if np.shape(given) == rolled.shape and np.allclose(given, rolled):
                return "the end of the video is not before its beginning: clip the indices"
            return fault
    return ""


@exercise
def check_without_head(without_head):
    """A field of displacements less the motion of the head."""
    y, x = (np.mgrid[:12, :12] - 6) / 12
    still = np.ones((12, 12), bool)
    still[7:11, 3:9] = False  # where a mouth would be
    mouth = np.where(still[..., None], 0.0, [0.0, -0.8])
    turned = np.stack([0.3 + 0.1 * x - 0.2 * y, -0.5 + 0.2 * x + 0.1 * y], -1)
    shifted = np.broadcast_to([0.3, -0.5], turned.shape)
    for name, head in {"the head shifts": shifted, "it turns and comes nearer": turned}.items():
        given = without_head(head + mouth, still)
        if fault := differs(name, given, mouth):
            everywhere = head + mouth - (head + mouth).mean((0, 1))
            if np.shape(given) == mouth.shape and np.allclose(given, everywhere):
                return "the mouth is in the mean of the head: fit where the face is still"
            return fault
    return ""


@exercise
def check_unit_scores(unit_scores):
    """What a movement did to the likeness with each unit's sentence."""
    z, units = numbers(2, 8), numbers(5, 8, seed=1) * torch.arange(1, 6)[:, None]
    moving, still = F.normalize(z, dim=1) @ F.normalize(units, dim=1).T
    given = unit_scores(z[0].numpy(), z[1].numpy(), units.numpy())
    fault = differs("five units", given, moving - still)
    if fault and np.shape(given) == (5,) and np.allclose(given, moving, atol=1e-5):
        return "the still face scores, too: take its cosines away"
    return fault
