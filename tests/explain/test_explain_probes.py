"""Sentences as probes: scores checked against made-up embeddings and against chance."""

import numpy as np
import pytest

from merclip_lib.explain.sentences import (
    au_readout,
    counterfactuals,
    prefers_truth,
    rank_of_sentence,
    retrieval,
    retrieval_within,
)


def test_retrieval_both_ways():
    bank = np.eye(3, 6)
    z = np.array([bank[0], bank[0] + 0.1 * bank[1], bank[1] + 2 * bank[2], bank[2]])
    own = np.array([0, 0, 1, 2])  # clip 2 looks more like sentence 2
    table = retrieval(z, bank, own)
    forth, back = table.loc["sentence of a clip"], table.loc["clips of a sentence"]
    assert forth["R@1"] == 3 / 4 and forth["R@5"] == 1
    assert forth["mAP"] == pytest.approx((1 + 1 + 1 / 2 + 1) / 4)
    assert back["R@1"] == 1 and back["questions"] == 3 and back["candidates"] == 4
    assert rank_of_sentence(z, bank, own).tolist() == [1, 1, 2, 1]
    asked = retrieval(z, bank, own, among=own == 1)
    assert asked.loc["sentence of a clip", "R@1"] == 0
    assert asked["questions"].tolist() == [1, 1] and asked["candidates"].tolist() == [3, 4]
    with pytest.raises(ValueError, match="no clip"):
        retrieval(z, bank, own, among=own == 9)


def test_retrieval_within_networks_averages_over_questions():
    bank = np.eye(2, 4)
    z = np.array([bank[0], bank[1], bank[1], bank[1]])  # clip 1 speaks for the wrong sentence
    own, networks = np.array([0, 0, 1, 1]), ["a", "a", "b", "b"]
    table = retrieval_within(z, bank, own, networks)
    assert table.loc["sentence of a clip", "R@1"] == 3 / 4
    assert table["questions"].tolist() == [4, 2] and table["candidates"].tolist() == [2, 2]
    only = retrieval_within(z, bank, own, networks, among=[False, True, False, False])
    assert only.loc["sentence of a clip", "R@1"] == 0 and only["questions"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="no clip"):
        retrieval_within(z, bank, own, networks, among=np.zeros(4, bool))


def test_retrieval_chance_is_what_random_embeddings_reach():
    generator = np.random.default_rng(0)
    own = np.repeat([0, 1, 2, 3, 4, 5, 6], [1, 1, 2, 3, 4, 5, 8])
    draws = [
        retrieval(generator.normal(size=(len(own), 9)), generator.normal(size=(7, 9)), own)
        for _ in range(400)
    ]
    mean = sum(draws) / len(draws)
    for score in ("R@1", "R@5", "mAP"):
        np.testing.assert_allclose(mean[score], mean[f"chance {score}"], atol=0.025)


def test_counterfactuals_change_one_thing():
    table = counterfactuals(["4+L12", "4", ""], ["4", "12", "14", "25"], draws=3)
    kinds = table.groupby(["clip", "kind"]).annotation.apply(list)
    assert kinds[0, "left for right"] == ["4+R12"]
    assert kinds[0, "unit left out"][0] in ("4", "L12")
    exchanged = [text.split("+") for text in kinds[0, "unit exchanged"]]
    assert len(exchanged) == 3
    for first, second in exchanged:
        assert (first in ("14", "25") and second == "L12") or (
            first == "4" and second in ("L14", "L25")
        )
    assert set(kinds[1, "unit exchanged"]) <= {"12", "14", "25"}
    assert (1, "left for right") not in kinds and (1, "unit left out") not in kinds
    assert 2 not in set(table["clip"])
    assert table.equals(counterfactuals(["4+L12", "4", ""], ["4", "12", "14", "25"], 3))
    assert len(counterfactuals(["4"], ["4", "12"])) == 4  # draws where nothing is said


def test_what_is_left_out_is_one_unit_and_the_others_stay_in_order():
    table = counterfactuals(["1+2+L4"] * 30, [], draws=2)
    left = table.annotation[table.kind == "unit left out"]
    assert set(left) == {"2+L4", "1+L4", "1+2"} and len(left) == 30
    assert set(table.kind) == {"unit left out", "left for right"}  # none to exchange with


def test_a_clip_prefers_the_nearer_sentence():
    z, near, far = np.array([[1.0, 0.2]]), np.array([[2.0, 0.0]]), np.array([[0.0, 9.0]])
    assert prefers_truth(z, near, far) == [1]
    assert prefers_truth(z, far, near) == [0]
    assert prefers_truth(z, near, near) == [0.5]


def test_au_readout_compares_clips_of_one_network_only():
    targets = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    scores = np.array([[0.2, 0.5, 0.1], [0.1, 0.4, 0.3], [0.9, 0.5, 0.2], [0.8, 0.1, 0.1]])
    networks, subjects = [0, 0, 1, 1], ["a", "b", "a", "b"]
    table = au_readout(scores, targets, networks, subjects)
    assert table.auc[0] == 1  # though 0.2 < 0.8 across networks
    assert np.isnan(table.auc[1]) and np.isnan(table.auc[2])  # no pair within a network
    assert table.clips.tolist() == [2, 2, 0]
    single = au_readout(np.array([[0.2], [0.1]]), np.array([[1], [0]]), [0, 0], ["a", "b"])
    assert single.auc[0] == 1  # one pair
    one = au_readout(scores, targets, [0] * 4, subjects)
    assert one.auc[0] == 0.75 and one.auc[1] == pytest.approx((0.5 + 1 + 0 + 1) / 4)


def test_au_readout_agrees_with_sklearn_and_its_interval_holds_the_estimate():
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, (80, 2))
    scores = targets * [0.8, 0.0] + generator.normal(size=(80, 2))
    table = au_readout(scores, targets, [0] * 80, np.repeat(range(10), 8))
    for k in range(2):
        assert table.auc[k] == pytest.approx(roc_auc_score(targets[:, k], scores[:, k]))
    assert (table.low < table.auc).all() and (table.auc < table.high).all()
    assert table.low[0] > 0.5 > table.low[1]
