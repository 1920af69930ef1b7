"""Sentences as probes of a clip: retrieval, counterfactual sentences, action units.

Clips and sentences share one space, so questions can be asked without any classifier: which
sentence does the clip prefer, the true one or one that differs in a word? Which action units does
it show? Arrays are numpy: z (N, E) clips, banks (S, E) of sentences, compared by cosine.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch.nn.functional as F

from merclip_lib.config import Method
from merclip_lib.data.prompts import read_prompts
from merclip_lib.explain.embeddings import similarity
from merclip_lib.scores.bootstrap import Resampling
from merclip_lib.text.bank import build_text_bank, tokenizer
from merclip_lib.text.facs import codes, swap_sides
from merclip_lib.text.sentences import describe
from merclip_lib.weights.load import load_text_tower

AU_RESAMPLING = Resampling(samples=500)  # there is an interval for each unit


def sentence_embeddings(method: Method, annotations: Sequence[str]) -> np.ndarray:
    """Encode annotations with the frozen text tower, templates averaged (paper, text encoder).

    Args:
        method: says text tower, style of the descriptions, phrases and templates.
        annotations: S annotations.

    Returns:
        Unit vectors (S, E).

    Raises:
        ValueError: an annotation cannot be read, or the text tower cannot be loaded.
    """
    phrases, templates = read_prompts(method.phrases, method.templates)
    texts = [describe(each, method.description, phrases=phrases) for each in annotations]
    bank = build_text_bank(load_text_tower(method), tokenizer(), texts, templates)
    return F.normalize(bank.mean(1), dim=-1).numpy()


def retrieval(
    z: np.ndarray, bank: np.ndarray, sentence: np.ndarray, among: np.ndarray | None = None
) -> pd.DataFrame:
    """Find the sentence of a clip and the clips of a sentence, by cosine.

    Args:
        z: (N, E) clips.
        bank: (S, E) different sentences.
        sentence: (N,) number of the sentence of each clip.
        among: (N,) bool limits the questions, never the candidates; None asks for all clips.

    Returns:
        A row for each of the two ways. R@k: a right answer is among the first k. mAP: mean
        average precision. Each with its chance level.

    Raises:
        ValueError: nothing is asked.
    """
    cosine, right = similarity(z, bank), sentence[:, None] == np.arange(len(bank))  # (N, S) both
    asked = np.ones(len(z), bool) if among is None else np.asarray(among, bool)
    if not asked.any():
        raise ValueError("no clip is among the questions; widen `among`")
    sentences = np.unique(sentence[asked])
    ways = {"sentence of a clip": _ranking(cosine[asked], right[asked])}
    ways["clips of a sentence"] = _ranking(cosine.T[sentences], right.T[sentences])
    return pd.DataFrame(ways).T


def rank_of_sentence(z: np.ndarray, bank: np.ndarray, sentence: np.ndarray) -> np.ndarray:
    """The rank of each clip's sentence among all sentences, by cosine: 1 is the nearest, (N,).

    Args:
        z: (N, E) clips.
        bank: (S, E) different sentences.
        sentence: (N,) number of the sentence of each clip.
    """
    cosine = similarity(z, bank)
    return 1 + (cosine > np.take_along_axis(cosine, sentence[:, None], 1)).sum(1)


def retrieval_within(
    z: np.ndarray,
    bank: np.ndarray,
    sentence: np.ndarray,
    networks: Sequence,
    among: Sequence | None = None,
) -> pd.DataFrame:
    """`retrieval` where each clip was seen by its own network: means over all questions.

    Args:
        z: (N, E) clips.
        bank: (S, E) different sentences.
        sentence: (N,) number of the sentence of each clip.
        networks: (N,) the network that saw each clip, such as its fold. The candidates of a
            question are the clips of one network, whose embeddings can be compared.
        among: (N,) bool, the questions; None asks for all clips.

    Returns:
        As `retrieval`; `candidates` is their mean number.

    Raises:
        ValueError: nothing is asked.
    """
    network = np.asarray(networks)
    asked = np.ones(len(z), bool) if among is None else np.asarray(among, bool)
    names = np.unique(network[asked] if asked.any() else network)
    groups = network == names[:, None]  # (networks, N)
    tables = [retrieval(z[rows], bank, sentence[rows], asked[rows]) for rows in groups]
    questions = sum(table["questions"] for table in tables)
    total = sum(table.mul(table["questions"], axis=0) for table in tables)
    return total.div(questions, axis=0).assign(questions=questions)


def _ranking(cosine: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Scores of ranked answers; rows are questions, columns candidates."""
    ranked = np.take_along_axis(right, np.argsort(-cosine, 1, kind="stable"), 1)
    n, m = ranked.shape[1], ranked.sum(1)  # candidates, and how many are right
    places = np.arange(1, n + 1)
    precision = (ranked * ranked.cumsum(1) / places).sum(1) / m
    result: dict[str, float] = {"questions": len(right), "candidates": n}
    for k in (1, 5):
        missed = np.prod([np.maximum(n - m - i, 0) / (n - i) for i in range(min(k, n))], axis=0)
        result |= {f"R@{k}": ranked[:, :k].any(1).mean(), f"chance R@{k}": (1 - missed).mean()}
    harmonic = (1 / places).sum()
    chance = (m - 1) / max(n - 1, 1) + (n - m) / (n * max(n - 1, 1)) * harmonic  # Bestgen 2015
    return result | {"mAP": precision.mean(), "chance mAP": chance.mean()}


def counterfactuals(
    annotations: Sequence[str], units: Sequence[str], draws: int = 4, seed: int = 0
) -> pd.DataFrame:
    """Sentences that are nearly true.

    Kinds: `left for right`, all sides exchanged, where the clip has a side; `unit exchanged`, one
    unit replaced by another that the clip does not show, on the same side; `unit left out`, where
    there are several.

    Args:
        annotations: of the clips.
        units: numbers of the units to exchange with.
        draws: how often a unit of a clip is exchanged.
        seed: of the draws.

    Returns:
        A table [clip, kind, annotation]; clip is the position in `annotations`.

    Raises:
        ValueError: an annotation cannot be read.
    """
    generator, rows = np.random.default_rng(seed), []
    for clip, annotation in enumerate(annotations):
        shown = codes(annotation)
        if (swapped := codes(swap_sides(annotation))) != shown:
            rows.append((clip, "left for right", "+".join(swapped)))
        others = sorted(set(units) - {code.lstrip("LR") for code in shown}, key=int)
        for _ in range(draws if shown and others else 0):
            place, other = generator.integers(len(shown)), generator.choice(others)
            side = shown[place].rstrip("0123456789")
            changed = [*shown[:place], f"{side}{other}", *shown[place + 1 :]]
            rows.append((clip, "unit exchanged", "+".join(changed)))
        if len(shown) > 1:
            place = generator.integers(len(shown))
            rows.append((clip, "unit left out", "+".join(shown[:place] + shown[place + 1 :])))
    return pd.DataFrame(rows, columns=["clip", "kind", "annotation"])


def prefers_truth(z: np.ndarray, true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """Is a clip nearer, by cosine, to its true than to its false sentence?

    Args:
        z: (N, E) clips.
        true: (N, E) the true sentence of each clip.
        false: (N, E) a false one.

    Returns:
        (N,): 1, 0, or 0.5 for a tie. Blind choice gives 0.5.
    """
    z, true, false = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, true, false))
    return (np.sign((z * true).sum(1) - (z * false).sum(1)) + 1) / 2


def au_readout(
    scores: np.ndarray,
    targets: np.ndarray,
    networks: Sequence,
    subjects: Sequence,
    resampling: Resampling = AU_RESAMPLING,
) -> pd.DataFrame:
    """A sentence of one action unit as its detector.

    The area under the ROC curve is the share of pairs (a clip with the unit, one without) in the
    right order; only pairs scored by the same network are compared.

    Args:
        scores: (N, U) cosines of clips with the units' sentences.
        targets: (N, U) in {0, 1}.
        networks: (N,) the network that saw each clip, such as its fold.
        subjects: (N,) the person in each clip.
        resampling: how subjects are drawn for the intervals.

    Returns:
        A row per unit [clips, auc, low, high]: 0.5 is chance; NaN without a pair, and no interval
        where a single person shows the unit, or a single one does not.
    """
    network, person = np.asarray(networks), pd.factorize(np.asarray(subjects))[0]
    drawn = resampling.draw(person.max() + 1)[:, person]
    drawn = np.vstack([np.ones(len(person)), drawn])  # (1 + samples, N): first as observed
    rows = []
    for score, truth in zip(scores.T, targets.T > 0, strict=True):
        won, pairs = np.zeros((2, len(drawn)))
        for name in np.unique(network):
            shows, lacks = truth & (network == name), ~truth & (network == name)
            order = (np.sign(score[shows, None] - score[lacks]) + 1) / 2
            won += (drawn[:, shows] @ order * drawn[:, lacks]).sum(1)
            pairs += drawn[:, shows].sum(1) * drawn[:, lacks].sum(1)
        auc = np.divide(won, pairs, out=np.full(len(drawn), np.nan), where=pairs > 0)
        several = min(len(set(person[truth])), len(set(person[~truth]))) > 1
        low, high = resampling.interval(auc[1:]) if pairs[0] and several else (np.nan, np.nan)
        rows.append({"clips": int(truth.sum()), "auc": auc[0], "low": low, "high": high})
    return pd.DataFrame(rows)
