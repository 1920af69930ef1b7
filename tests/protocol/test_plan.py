"""What a plan gives a training to learn from: sentences, or what stands in their place."""

import dataclasses

import numpy as np
import pytest
import tiny_runs
import torch

from merclip_lib.data.tasks import apply_task
from merclip_lib.protocol.plan import RunPlan

CONFIG = dataclasses.replace(tiny_runs.FAST, use_text=True)
WRITTEN = ["4+7", "L12", "R14", "1+2", "4+7", "15", "R14"]  # of each person


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    return tiny_runs.make_store(folder, action_units=WRITTEN * 3)


def plan(store, **changes):
    return RunPlan(dataclasses.replace(CONFIG, **changes), store)


def test_shuffled_sentences_are_those_of_other_clips(store):
    plain, shuffled, other = (
        plan(store, align_with=how, seed=seed).text
        for how, seed in (("sentences", 0), ("shuffled", 0), ("shuffled", 1))
    )
    assert torch.equal(plain.embeddings, shuffled.embeddings)
    assert sorted(shuffled.description) == sorted(plain.description)
    assert not np.array_equal(shuffled.description, plain.description)
    assert not np.array_equal(shuffled.description, other.description)
    mirror = dict(zip(plain.description, plain.mirrored, strict=True))
    assert [mirror[number] for number in shuffled.description] == shuffled.mirrored.tolist()


def test_random_vectors_say_which_clips_have_the_same_sentence_and_nothing_else(store):
    plain, made = (plan(store, align_with=how).text for how in ("sentences", "random"))
    assert np.array_equal(made.description, plain.description)
    torch.testing.assert_close(made.embeddings.norm(dim=-1), torch.ones(len(made.embeddings), 1))
    likeness = (made.embeddings[:, 0] @ made.embeddings[:, 0].T).fill_diagonal_(0)
    assert likeness.abs().max() < 0.9


def test_units_take_the_place_of_sentences(store):
    data = plan(store, align_with="units").training_data(np.arange(21))
    assert data.text is None
    rows = torch.arange(7)
    assert data.units.of(rows, torch.zeros(7, dtype=torch.bool)).sum(1).min() > 0


def test_a_crop_trains_on_larger_clips(store, tmp_path, monkeypatch):
    cropped = plan(store, crop=0.8)
    with pytest.raises(ValueError, match="64 x 64 .* with crop 0.8 wants 80; .* --size 80"):
        cropped.check()
    monkeypatch.setattr(tiny_runs, "SHAPE", (2, 80, 80, 3))
    larger = tiny_runs.make_store(tmp_path / "set", action_units=WRITTEN * 3)
    with pytest.raises(ValueError, match="80 x 80 pixels, but merclip-tiny wants 64; .*--size 64"):
        plan(larger).check()
    config = dataclasses.replace(tiny_runs.FAST, epochs=1, crop=0.8)
    runs = [tiny_runs.run(config, larger, tmp_path / k, executor="serial") for k in "ab"]
    assert runs[0].predictions.equals(runs[1].predictions)


def test_emotions_are_hidden_from_training_alone(store):
    part = plan(store, label_share=1 / 3)
    positions = np.arange(21)
    training, test = part.dataset(positions, training=True), part.dataset(positions)
    known = training.labels >= 0
    assert known.sum() == 7 and np.array_equal(training.labels[known], test.labels[known])
    assert np.array_equal(test.labels, part.labels)


def test_a_class_may_be_missing_only_where_that_was_said(store):
    few = store.table[store.table["emotion"] != "fear"]
    with pytest.raises(ValueError, match="no clip of class fear"):
        apply_task(few, CONFIG.task)
    assert len(apply_task(few, CONFIG.task, every_class=False)) == 18
    with pytest.raises(ValueError, match="no clip of class"):
        apply_task(few.assign(emotion="unheard"), CONFIG.task, every_class=False)
