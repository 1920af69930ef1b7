"""Figures: every drawing function draws, and a saved figure is reproducible and says where from."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

import merclip_lib
from merclip_lib.augment import REGIONS
from merclip_lib.config import Config, config_hash
from merclip_lib.data.tasks import TASKS
from merclip_lib.figures.charts import interval_dots, results_bars
from merclip_lib.figures.effects import (
    DOUBTED,
    VERDICT_COLOURS,
    build_up,
    effect_curves,
    training_courses,
    verdict_forest,
)
from merclip_lib.figures.faces import (
    animation,
    clip_strip,
    difference,
    image_grid,
    mix_grid,
    montage,
    overview,
    relevance_overlay,
)
from merclip_lib.figures.steps import (
    au_emotion_map,
    confusion_matrix,
    counts,
    curves,
    loso_split,
    motion_plot,
    similarity_matrix,
    tsne_panels,
)
from merclip_lib.figures.style import CLASS_COLOURS, REGION_COLOURS, Provenance, save_figure

RNG = np.random.default_rng(0)
CLASSES = ["anger", "disgust", "others"]
FRAMES = RNG.integers(0, 255, (8, 16, 16, 3), dtype=np.uint8)
SUBJECTS = np.repeat(["01", "02", "03"], 4)
LABELS = np.array(CLASSES * 4)
HISTORY = pd.DataFrame(
    {
        "fold": ["01"] * 3 + ["02"] * 3,
        "epoch": [0, 1, 2] * 2,
        "step": [0, 9, 18] * 2,
        "align": RNG.random(6),
        "emotion": RNG.random(6),
    }
)
INTERVALS = pd.DataFrame(
    {
        "name": ["full", "no text"],
        "mean": [0.0, -0.1],
        "value": [0.5, 0.4],
        "low": [-0.1, -0.2],
        "high": [0.6, -0.05],
        "metric": "UF1",
    }
)
PLACE = {"preset": "a-like", "start": "motion", "low": 0.1, "high": 0.9}
PARTS = pd.DataFrame(
    [
        PLACE | {"name": "text + EIM", "uf1": 0.6},
        PLACE | {"name": "none", "uf1": 0.2},
        PLACE | {"name": "none", "uf1": 0.3, "start": "dfme"},
    ]
)
REFERENCES = pd.DataFrame(
    [PLACE | {"reference": "true units", "uf1": uf1} for uf1 in (0.7, 0.9)]
    + [PLACE | {"reference": "most frequent class", "uf1": 0.1}]
)
COURSES = pd.DataFrame(
    [
        (start, entry, epoch, 0.01 * epoch)
        for start in ("motion", "dfme")
        for entry in ("full", "no_text")
        for epoch in (5, 10)
    ],
    columns=["start", "entry", "epoch", "uf1"],
)
VERDICTS = pd.DataFrame({"verdict": [*VERDICT_COLOURS], "difference": 0.01}).assign(
    name=lambda table: "is " + table["verdict"], low=-0.1, high=0.2, smallest_findable=0.05
)
EFFECTS = pd.DataFrame(
    [
        ("people", "8", "text", "helps"),
        ("people", "16", "text", "cannot tell"),
        ("people", "16", "mix", "equivalent"),
        ("description", "only the emotion", "text", "hurts"),
    ],
    columns=["factor", "level", "part", "verdict"],
).assign(difference=0.1, low=0.0, high=0.2)
ENERGY = pd.DataFrame(
    [
        (step, region, state, 0.1 * step)
        for step in range(3)
        for region in ("inside", "outside")
        for state in ("plain", "mixed")
    ],
    columns=["step", "region", "state", "energy"],
)
SQUARE = pd.DataFrame(np.eye(3), CLASSES, CLASSES)

DRAWINGS = {
    "image grid": lambda: image_grid([FRAMES[:2]], ["a"], ["x", "y"]),
    "mix grid": lambda: mix_grid([FRAMES[:2]], ["a"], ["x", "y"], [None, "chin"]),
    "clip strip": lambda: clip_strip(FRAMES, {0: "onset", 4: "apex", 7: "offset"}),
    "montage": lambda: montage(FRAMES[:2], FRAMES[2:4], ["subject 1", "subject 2"]),
    "relevance": lambda: relevance_overlay(
        FRAMES[None, :3], RNG.random((1, 3, 4, 4)), ["onset", "apex", "offset"]
    ),
    "overview": lambda: overview(FRAMES[:3], "4+7", "lowering\nthe brows"),
    "counts": lambda: counts(pd.Series([3, 4, 5], CLASSES), pd.Series([1, 2, 3], [1, 9, 12])),
    "action units and emotions": lambda: au_emotion_map(SQUARE.set_axis([1, 4, 7], axis=1)),
    "similarity": lambda: similarity_matrix(SQUARE, "SynthME sentences"),
    "motion": lambda: motion_plot(ENERGY),
    "learning curves": lambda: curves(HISTORY, ["align", "emotion"], "Training losses on SynthME"),
    "pretraining curves": lambda: curves(
        HISTORY, ["align"], "Pretraining on SynthME-macro", "step", "stage"
    ),
    "confusion": lambda: confusion_matrix(np.diag([3, 0, 5]), CLASSES),
    "folds": lambda: loso_split(SUBJECTS, LABELS, np.arange(12).reshape(3, 4)),
    "results": lambda: results_bars(INTERVALS),
    "build-up": lambda: build_up(PARTS, REFERENCES, "SynthME: parts"),
    "verdicts": lambda: verdict_forest(VERDICTS, "SynthME: parts left out"),
    "effects": lambda: effect_curves(EFFECTS, "SynthME: when"),
    "courses of training": lambda: training_courses(COURSES, REFERENCES, "SynthME: development"),
    "t-SNE": lambda: tsne_panels(
        {"z": RNG.random((12, 2)), "o": RNG.random((12, 2))},
        {"emotion": LABELS, "subject": SUBJECTS, "clip": np.arange(12)},
    ),
    "dots": lambda: interval_dots(
        INTERVALS.assign(group=["before", "after"]), "SynthME: units", "AUC", chance=0.5
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_says_synthme_and_renders(name):
    figure = DRAWINGS[name]()
    assert isinstance(figure, Figure)
    assert "SynthME" in figure.get_suptitle()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert np.ptp(np.asarray(canvas.buffer_rgba())) > 0


def test_drawing_the_data_it_was_given():
    figure = counts(pd.Series([3, 4, 5], CLASSES), pd.Series([1, 7], [1, 12]))
    assert [bar.get_width() for bar in figure.axes[0].patches] == [3, 4, 5]
    assert [bar.get_height() for bar in figure.axes[1].patches] == [1, 7]
    matrix = confusion_matrix(np.array([[3, 1], [0, 0]]), ["anger", "others"])
    assert [t.get_text() for t in matrix.axes[0].texts] == ["3", "1", "0", "0"]
    assert [t.get_text() for t in matrix.axes[1].texts] == ["75", "25", "0", "0"]


def test_colours_are_verdicts_and_the_smallest_effect_is_a_band():
    axes = verdict_forest(VERDICTS, "SynthME").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1] * len(VERDICTS)
    dots = [dot for dot in axes.collections if hasattr(dot, "get_sizes")]
    drawn = {VERDICTS["verdict"][round(d.get_offsets()[0, 1])]: d.get_facecolor()[0] for d in dots}
    assert {name: to_hex(colour).upper() for name, colour in drawn.items()} == VERDICT_COLOURS
    assert {text.get_text() for text in axes.texts} == {
        "+0.010 [\N{MINUS SIGN}0.100, +0.200]",
    }
    assert [tick.get_ha() for tick in axes.get_yticklabels()] == ["left"] * len(VERDICTS)


def test_build_up_has_a_panel_per_place_and_the_means_of_references():
    here = pd.DataFrame([PLACE | {"name": "your entry", "uf1": 0.5}])
    motion, dfme = build_up(PARTS, REFERENCES, "SynthME", here).axes
    assert [panel.get_title() for panel in (motion, dfme)] == [
        "a-like, from motion",
        "a-like, from dfme",
    ]
    names = [tick.get_text() for tick in motion.get_yticklabels()]
    assert names == ["none", "text + EIM", "your entry"]
    at = {line.get_label(): line.get_xdata()[0] for line in motion.lines}
    assert at == {"true units": pytest.approx(0.8), "most frequent class": 0.1}
    assert not dfme.lines, "no reference was scored there"


def test_parts_of_which_a_control_failed_have_a_dagger():
    doubts = ["a control failed", *[""] * (len(VERDICTS) - 1)]
    figure = verdict_forest(VERDICTS.assign(doubt=doubts), "SynthME")
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert [name.endswith(DOUBTED) for name in names] == [True] + [False] * (len(names) - 1)
    assert "a control failed" in figure.legends[0].get_texts()[-1].get_text()
    doubted = EFFECTS.assign(doubt=["", "", "failed", ""])
    keys = [text.get_text() for text in effect_curves(doubted, "SynthME").legends[0].get_texts()]
    assert "text" in keys and "mix" + DOUBTED in keys


def test_a_training_stands_over_the_references_of_its_start():
    motion, dfme = training_courses(COURSES, REFERENCES, "SynthME").axes
    level = {line.get_label(): line.get_ydata()[0] for line in motion.lines[2:]}
    assert level == {"true units": pytest.approx(0.8), "most frequent class": 0.1}
    assert [line.get_label() for line in dfme.lines] == ["full", "no text"]


def test_effects_are_filled_where_holm_tells_them_from_zero():
    people, words = effect_curves(EFFECTS, "SynthME").axes
    filled = [
        bool((colour[:3] != 1).any())
        for dots in people.collections
        if len(dots.get_offsets()) and hasattr(dots, "get_sizes")
        for colour in dots.get_facecolor()
    ]
    assert filled == [True, False, False]
    assert [tick.get_text() for tick in people.get_xticklabels()] == ["8", "16"]
    assert words.get_xticklabels()[0].get_rotation() > 0 and words.get_xlabel() == "description"


def test_the_full_method_stands_at_zero_among_the_levels():
    levels = EFFECTS.assign(level=["8", "32", "10", "only the emotion"])
    figure = effect_curves(levels, "SynthME", {"people": "16", "description": "phrases", "no": "1"})
    people, words = figure.axes
    assert [tick.get_text() for tick in people.get_xticklabels()] == ["8", "10", "16", "32"]
    assert [tick.get_text() for tick in words.get_xticklabels()] == ["phrases", "only the emotion"]
    x, y = people.lines[0].get_data()
    np.testing.assert_allclose(x, np.array([0, 2, 3]) - 0.08)
    assert list(y) == [0.1, 0, 0.1]
    assert "the full method" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("level", ["", "(1, 2)", "1e-4"])
def test_any_text_can_be_a_level(level):
    panel = effect_curves(EFFECTS.assign(level=level), "SynthME").axes[0]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == [level]


def test_seeds_of_a_fold_are_lines_of_their_own():
    seeds = pd.concat([HISTORY, HISTORY])  # two folds, two seeds
    panel = curves(seeds, ["align"], "SynthME").axes[0]
    assert len(panel.lines) == 4 + 1
    assert all(len(line.get_xdata()) == 3 for line in panel.lines)


def test_a_training_of_one_epoch_is_a_dot_at_a_whole_number():
    panel = curves(HISTORY[HISTORY["epoch"] == 0], ["align"], "SynthME").axes[0]
    assert panel.lines[-1].get_marker() == "o" and (panel.get_xticks() % 1 == 0).all()
    assert curves(HISTORY, ["align"], "SynthME").axes[0].lines[-1].get_marker() == ""


def test_names_of_levels_are_words():
    named = EFFECTS.assign(level="left_cheek")
    ticks = effect_curves(named, "SynthME").axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["left cheek"]


def test_difference_is_signed_and_does_not_wrap():
    dark, light = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 250, np.uint8)
    assert (difference(light, dark) == -240).all()


def test_animation_plays_the_frames_in_order():
    dark_to_light = np.repeat(np.arange(4, dtype=np.uint8) * 60, 16 * 16 * 3).reshape(4, 16, 16, 3)
    text = animation(dark_to_light, milliseconds=50)
    gif = Image.open(io.BytesIO(base64.b64decode(text.split("base64,")[1].rstrip('">'))))
    seen = [np.asarray(page.convert("L")).mean() for page in ImageSequence.Iterator(gif)]
    np.testing.assert_allclose(seen, [0, 60, 120, 180], atol=8)
    assert gif.info["duration"] == 50


def test_mix_grid_outlines_the_region():
    figure = mix_grid([FRAMES[:2]], ["a"], ["x", "y"], [None, "chin"])
    assert [len(axes.patches) for axes in figure.axes] == [0, 1]
    assert figure.axes[1].patches[0].get_bbox().bounds == (-0.5, 11.5, 16, 4)


def test_every_class_and_region_has_a_colour_of_its_own():
    for task in TASKS.values():
        colours = [CLASS_COLOURS[name] for name in task.classes]
        assert len(set(colours)) == len(colours), task.name
    assert set(REGION_COLOURS) == set(REGIONS)


def test_saved_twice_gives_the_same_bytes(tmp_path):
    for folder in ("first", "second"):
        save_figure(DRAWINGS["counts"](), "counts", tmp_path / folder, Provenance(), "Counts.")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == [".figures.lock", "counts.pdf", "counts.png", "figures.json"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert b"CreationDate" not in (tmp_path / "first" / "counts.pdf").read_bytes()


def test_a_folder_that_another_process_holds_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "merclip_lib.figures.style.FileLock", lambda path, timeout: FileLock(path, timeout=0.1)
    )
    with FileLock(tmp_path / ".figures.lock"):
        with pytest.raises(ValueError, match="figures.lock: held by a process, .*; end it"):
            save_figure(DRAWINGS["motion"](), "b", tmp_path, Provenance(), "Caption.")
    save_figure(DRAWINGS["motion"](), "b", tmp_path, Provenance(), "Caption.")


def test_figures_json_keeps_other_entries_and_replaces_its_own(tmp_path):
    figure = DRAWINGS["motion"]()
    save_figure(figure, "b", tmp_path, Provenance(), "Old.")
    save_figure(figure, "a", tmp_path, Provenance(), "Other.")
    settings = Config()
    source = Provenance("03", {"seed": 0}, config_hash(settings))
    save_figure(figure, "b", tmp_path, source, "New.")
    entries = json.loads((tmp_path / "figures.json").read_text())
    assert list(entries) == ["a", "b"]
    assert entries["b"] == {
        "caption": "New.",
        "command": "merclip run --only 03",
        "commit": "",
        "config_hash": config_hash(settings),
        "notebook": "03",
        "parameters": {"seed": 0},
        "synthetic": True,
        "version": merclip_lib.__version__,
    }


def test_title_must_agree_with_the_data(tmp_path):
    plain = curves(HISTORY, ["align"], "CASME II: losses")
    with pytest.raises(ValueError, match="SynthME"):
        save_figure(plain, "x", tmp_path, Provenance(), "c")
    save_figure(plain, "x", tmp_path, Provenance(synthetic=False), "c")
    with pytest.raises(ValueError, match="disagree"):
        save_figure(DRAWINGS["motion"](), "y", tmp_path, Provenance(synthetic=False), "c")
    assert not (tmp_path / "y.png").exists()
