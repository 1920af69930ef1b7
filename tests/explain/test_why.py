"""The page of a clip: what it says is what the run predicted, and what it cannot say is refused."""

import dataclasses
import json
import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_runs
from PIL import Image

from merclip_lib import figures
from merclip_lib.__main__ import main
from merclip_lib.data.store import write_store
from merclip_lib.explain import why
from merclip_lib.explain.embeddings import embed, similarity
from merclip_lib.explain.why import clip_page, clip_view
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.transfer import NETWORK

OTHERS = [
    {"use_text": False},
    {"temporal": False, "pretrained": False},
    {"held_out": "clip"},
    {"frames": 2},
]
CONFIG = dataclasses.replace(
    tiny_runs.FAST, frames=4, epochs=1, use_text=True, normalisation="imagenet"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Moving noise of three people, whose true motion is in the upper half."""
    folder = tmp_path_factory.mktemp("data")
    plain = tiny_runs.make_store(folder / "plain")
    units = ["4+7", "12", "L1+2", "9", "15", "20", "25"] * 3
    table = plain.table.assign(action_units=units, onset=10, apex=16, offset=17)
    generator = np.random.default_rng(0)
    motion = np.zeros((8, 8, 8, 2), np.float16)
    motion[4:, :4] = 0.02
    shape = (8, 64, 64, 3)
    clips = ((generator.integers(0, 256, shape, dtype=np.uint8), motion) for _ in units)
    meta = {"name": "SynthME", "hash": "moving"}
    return write_store(folder / "set", table, clips, meta, shape, motion.shape)


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    return tiny_runs.run(CONFIG, store, runs_dir, keep_network=True, executor="serial")


def test_the_page_stands_alone_and_says_what_was_predicted(run, capsys):
    row = run.predictions.iloc[0]
    where = ["--runs-dir", str(run.folder.parent)]
    assert main(["why", run.hash[:6], row["clip_id"], *where]) == 0
    page, reel = map(Path, capsys.readouterr().out.split())
    text = page.read_text(encoding="utf-8")
    assert f"<b>{row['prediction']}</b> ({row['p_' + row['prediction']]:.2f})" in text
    for name in tiny_runs.CLASSES:
        assert f"{row['p_' + name]:.2f}" in text
    assert "has never seen this person" in text and "true motion" in text
    assert not re.findall(r"(?:src|href)=.(?!data:)", text) and "$" not in text
    with Image.open(reel) as gif:
        assert gif.n_frames == 4 and gif.size == (600, 200) and gif.info["duration"] == 120


def test_a_run_of_other_code_is_stamped(run, monkeypatch):
    assert "were changed since" not in clip_page(run, "SynthME/s1/anger").read_text()
    monkeypatch.setattr("merclip_lib.protocol.plan.loaded_code", lambda: "of last year")
    assert "code, weights or words were changed since" in (
        clip_page(run, "SynthME/s1/anger").read_text()
    )


def test_what_the_pictures_show(run, store, monkeypatch):
    drawn = {}

    def keep(name):
        real = getattr(figures, name)
        return lambda *arguments: drawn.update({name: arguments}) or real(*arguments)

    for name in ("clip_strip", "relevance_overlay", "montage"):
        monkeypatch.setattr(figures, name, keep(name))
    text = clip_page(run, "SynthME/s1/anger").read_text(encoding="utf-8")
    view = clip_view(run, RunPlan(CONFIG, store), "SynthME/s1/anger")
    frames, marks = drawn["clip_strip"][:2]  # one for each of the two times, of four frames
    assert np.array_equal(frames, view.frames[::2]) and marks == {0: "time 1", 1: "time 2"}
    heats = drawn["relevance_overlay"][1]
    assert np.array_equal(heats[0], np.maximum(view.maps["relevance"], 0))
    onset, apex, labels = drawn["montage"][:3]
    rows = [view.clip.name, *view.nearest.index]
    assert np.array_equal(onset, store.frames[rows][:, 0])
    assert np.array_equal(apex, store.frames[rows][:, 6])  # 6 of 7 steps after the onset
    assert labels[0].startswith("this clip\n") and len(labels) == 6
    for p in view.scores:  # bars are as long as the probabilities
        assert f"width:{16 * p:.2f}em" in text


def test_a_network_with_a_crop_is_shown_what_it_saw(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_runs, "SHAPE", (4, 80, 80, 3))
    larger = tiny_runs.make_store(tmp_path / "set")
    config = dataclasses.replace(CONFIG, crop=0.8, use_text=False)
    run = tiny_runs.run(config, larger, tmp_path / "runs", keep_network=True, executor="serial")
    plan = RunPlan(config, larger)
    view = clip_view(run, plan, "SynthME/s1/anger")
    whole = plan.dataset(np.flatnonzero(plan.table["clip_id"] == "SynthME/s1/anger"))[0]["video"]
    assert np.array_equal(view.frames, whole[:, 8:72, 8:72])
    assert view.maps["relevance"].shape == (2, 8, 8)


def test_what_the_view_holds(run, store):
    plan = RunPlan(CONFIG, store)
    view = clip_view(run, plan, "SynthME/s1/anger")
    assert view.clip["subject"] == "s1" and "s1" not in set(view.nearest["subject"])
    assert view.nearest["cosine"].is_monotonic_decreasing and len(view.nearest) == 5
    model = plan.network()
    model.load_state_dict(read_weights(run.folder / view.fold.name / NETWORK)[0])
    z, known = (
        embed(model, plan.dataset(rows), config=CONFIG)[0]
        for rows in (view.fold.test, view.fold.train)
    )
    at = plan.table.iloc[view.fold.test]["clip_id"].tolist().index("SynthME/s1/anger")
    cosine = np.sort(similarity(z[[at]], known)[0])[::-1][:5]
    np.testing.assert_allclose(view.nearest["cosine"], cosine, atol=1e-5)
    assert view.scores.sum() == pytest.approx(1, abs=1e-5)
    assert view.frames.shape == (4, 64, 64, 3)
    assert {name: each.shape for name, each in view.maps.items()} == {
        "relevance": (2, 8, 8),
        "true motion": (2, 8, 8),
    }
    assert not view.maps["true motion"][:, 4:].any()
    said = view.sentences["sentence"]
    assert set(said) == set(plan.sentences.plain) and said.is_unique
    assert view.sentences["cosine"].is_monotonic_decreasing


def test_what_spoke_for_a_class_and_against_it_is_summed_by_hand(run, monkeypatch):
    maps = np.zeros((1, 2, 8, 8))
    maps[0, 1, 0, 0], maps[0, 1, 7, 7], maps[0, 0, 4, 4] = 3.0, 0.25, -1.5
    monkeypatch.setattr(why, "motion_relevance", lambda *_: maps)
    text = " ".join(clip_page(run, "SynthME/s1/anger").read_text(encoding="utf-8").split())
    assert "by +1.75: +3.25 from what spoke for it (shown), -1.50 from what spoke against" in text
    assert "The most relevant patch lies where the face truly moved, and 92% of" in text
    assert "chance would be 50%" in text  # the upper half moves
    maps[0, 1, 7, 7] = 4.0
    text = clip_page(run, "SynthME/s1/anger").read_text(encoding="utf-8")
    assert "patch does not lie where the face truly moved, and 43% of the relevance does" in text


@pytest.mark.parametrize("changes", OTHERS)
def test_other_runs_have_a_page_too(store, tmp_path, changes):
    config = dataclasses.replace(CONFIG, **changes)
    other = tiny_runs.run(config, store, tmp_path, keep_network=True, executor="serial")
    text = clip_page(other, "SynthME/s1/fear").read_text(encoding="utf-8")
    assert ("trained without sentences" in text) == (not config.use_text)
    known = config.held_out == "clip"
    assert ("has been trained on other clips of this person" in text) == known
    assert ("people in both training and test" in text) == known


def test_a_set_without_known_motion_and_without_an_apex(tmp_path):
    plain = tiny_runs.make_store(tmp_path / "set", dataset="ours&co", apex=pd.NA, action_units="")
    config = dataclasses.replace(CONFIG, frames=2, task="any-7")
    other = tiny_runs.run(config, plain, tmp_path / "runs", keep_network=True, executor="serial")
    text = clip_page(other, "ours&co/s1/fear").read_text(encoding="utf-8")
    assert "true motion" not in text and "none coded" in text and "ours&amp;co" in text


def test_clips_are_named_by_how_they_begin(run, store):
    plan = RunPlan(CONFIG, store)
    assert clip_view(run, plan, "SynthME/s1/an").clip["clip_id"] == "SynthME/s1/anger"
    for clip, message in (
        ("SynthME/s1", "7 clips of run"),
        ("x", "0 clips of run .*predictions.csv has"),
    ):
        with pytest.raises(ValueError, match=message):
            clip_page(run, clip)


def test_what_is_missing_is_named(run, store, tmp_path):
    other = tiny_runs.make_store(tmp_path / "other")
    with pytest.raises(ValueError, match="other: not the clips of run .*name theirs .moving."):
        clip_page(run, "SynthME/s1/anger", other)
    moved = dataclasses.replace(run, folder=shutil.copytree(run.folder, tmp_path / run.hash))
    record = json.loads((moved.folder / "run.json").read_text())
    record["data"]["folder"] = str(tmp_path / "elsewhere")
    (moved.folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="elsewhere: the clips of run .* are gone; say where"):
        clip_page(moved, "SynthME/s1/anger")
    config = dataclasses.replace(CONFIG, use_text=False, use_eim=False)
    bare = tiny_runs.run(config, store, tmp_path / "runs", executor="serial")
    with pytest.raises(ValueError, match="kept no networks; run it again with keep_network=True"):
        clip_page(bare, "SynthME/s1/anger")


def test_heat_leaves_a_frame_grey_where_nothing_is_relevant():
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    maps = np.zeros((2, 2, 2))
    maps[1, 0, 0] = 3.0
    shown = figures.heated(frames, maps).astype(int)
    assert shown.shape == frames.shape and np.ptp(shown[0], axis=-1).max() == 0
    assert np.ptp(shown[1, :4, :4], axis=-1).min() > 0 and np.ptp(shown[1, -4:, -4:]) < 256


def test_a_gif_is_enlarged_and_keeps_its_shape():
    frames = np.zeros((3, 8, 16, 3), np.uint8)
    with Image.open(BytesIO(figures.gif(frames, 50, 24))) as reel:
        assert reel.size == (48, 24)
