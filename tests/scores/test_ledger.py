"""Published figures with their sources, and ours beside them."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_runs
import yaml

from merclip_lib import recipes
from merclip_lib.config import config_from
from merclip_lib.data.tasks import TASKS
from merclip_lib.scores import metrics
from merclip_lib.scores.bootstrap import bootstrap_interval
from merclip_lib.scores.published import (
    COLUMNS,
    NOT_HERE,
    NOT_TRAINED,
    PUBLISHED,
    SELECTIONS,
    comparable_runs,
    ledger,
    ledger_of_task,
    licensed_rows,
    of_one_setting,
    our_rows,
    read_published,
    read_published_traps,
)

POLAR = ("negative", "positive", "surprise")


def run(folder, name="aaa", seed=0, right=0.6, classes=POLAR, databases=(), **config):
    """A finished run as the run store gives it, with made-up predictions."""
    path = folder / name
    path.mkdir()
    (path / "run.json").write_text(
        json.dumps({"data": {"hash": config.pop("data", "d1")}, "code": config.pop("code", "")})
    )
    generator = np.random.default_rng(seed)
    truth = np.arange(90) % len(classes)
    guess = np.where(generator.random(90) < right, truth, generator.integers(0, len(classes), 90))
    predictions = pd.DataFrame(
        {
            "clip_id": [f"c{k}" for k in range(90)],
            "subject": [f"s{k // 6}" for k in range(90)],
            "database": np.repeat(databases or ["casme3"], 90 // max(len(databases), 1)),
            "truth": [classes[k] for k in truth],
            "prediction": [classes[k] for k in guess],
        }
    )
    config = config_from({"task": "casme3-3", "seed": seed, **config})
    return SimpleNamespace(hash=name, folder=path, config=config, predictions=predictions)


def test_every_published_figure_is_a_share_with_a_source():
    figures, traps = read_published(), read_published_traps()
    assert figures.uf1.dropna().between(0, 1).all() and figures.uar.dropna().between(0, 1).all()
    assert traps.honest.between(0, 1).all() and traps.trapped.between(0, 1).all()
    known = figures[["uf1", "uar"]].notna().any(axis=1)
    assert figures.source[known].str.contains(r"arXiv|github\.com|doi").all()
    assert (figures.source[~known] == "").all()
    assert traps.source.str.contains(r"arXiv|github\.com|doi").all()
    assert not figures.duplicated(["task", "part", "method"]).any()
    assert set(figures.task) <= set(TASKS) and set(figures.selection) <= set(SELECTIONS)
    content = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    entries = content["methods"] + content["traps"] + content["confirmed"]
    used = {entry["source"] for entry in entries}
    assert used == set(content["sources"])


def test_the_paper_and_a_published_precision_are_in_it():
    figures, traps = read_published(), read_published_traps()
    paper = figures[figures.method == "MER-CLIP"].set_index("task").uf1
    assert paper.dropna().to_dict() == {"casme3-3": 0.7832, "casme3-4": 0.6544, "casme3-7": 0.4997}
    assert set(paper.index) == {name for name in TASKS if not name.startswith("synthme")}
    exchanged = traps[(traps.trap == "precision called recall") & (traps.trapped == 0.7605)]
    assert exchanged.honest.tolist() == [0.7186] and exchanged.change.tolist() == [0.0419]
    # the trapped number is the one that the comparison tables print as UAR
    printed = figures[(figures.method == "STSTNet") & (figures.part == "all")].uar
    assert printed.tolist() == [0.7605]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c["methods"][0].update(source="hearsay"), "LBP-TOP: source 'hearsay'"),
        (lambda c: c["methods"][0].update(selection="best"), "LBP-TOP: selection is one of last"),
        (
            lambda c: c["methods"][0]["figures"]["megc2019-3"].update(all=[58.8, 57.8]),
            "58.8 is no sha",
        ),
        (
            lambda c: c["methods"][0]["figures"]["megc2019-3"].update(mmew=[0.5, 0.5]),
            "no part 'mmew'",
        ),
        (lambda c: c["methods"][0]["figures"].update({"megc-3": {}}), "'megc-3' is unknown"),
    ],
)
def test_a_figure_that_cannot_be_kept_is_refused(tmp_path, change, message):
    content = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message):
        read_published(path)


def test_bad_trap_and_missing_file(tmp_path):
    content = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    content["traps"][0]["trapped"] = 1.7
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="1.7 is no share"):
        read_published_traps(path)
    with pytest.raises(ValueError, match="no such file"):
        read_published(tmp_path / "none.yaml")


def test_only_comparable_runs_stand_in_the_ledger(tmp_path):
    wanted = [run(tmp_path, "a0"), run(tmp_path, "a1", seed=1), run(tmp_path, "b", lr=1e-4)]
    others = [
        run(tmp_path, "c", folds=4),
        run(tmp_path, "d", subjects=5),
        run(tmp_path, "e", data="d2"),
        run(tmp_path, "f", selection="best_on_test"),
        run(tmp_path, "g", task="casme3-4"),
        run(tmp_path, "h", protocol="reference"),
        run(tmp_path, "i", held_out="clip", folds=4),
    ]
    found = comparable_runs([*others, *wanted], {"d1"}, "casme3-3", "honest")
    assert [each.hash for each in found] == ["a0", "a1", "b"]
    found = comparable_runs([*others, *wanted], {"d1"}, "casme3-3", "reference")
    assert [each.hash for each in found] == ["h"]


def test_runs_of_one_setting_differ_in_the_seed_alone(tmp_path):
    a0, a1 = run(tmp_path, "a0"), run(tmp_path, "a1", seed=1)
    others = [
        run(tmp_path, "b", lr=1e-4),
        run(tmp_path, "c", data="d2"),
        run(tmp_path, "d", code="made after a change"),  # else seed 0 would count twice
    ]
    groups = of_one_setting([a0, *others, a1, a0])  # a0 was trained, and then found
    assert [[each.hash for each in group] for group in groups] == [
        ["a0", "a1"],
        ["b"],
        ["c"],
        ["d"],
    ]


SEVEN = TASKS["dfme-7"].classes


def test_a_run_on_the_split_of_its_set_is_comparable_and_has_a_row_per_test_set(tmp_path):
    """DFME has fixed test sets, so that its recipe trains and tests once."""
    given = recipes.values_of("dfme-7") | {"classes": SEVEN}
    wanted = [run(tmp_path, "a", **given), run(tmp_path, "b", protocol="reference", **given)]
    left_out = run(tmp_path, "c", **(given | {"held_out": "subject"}))
    for each, protocol in zip(wanted, ("honest", "reference"), strict=True):
        each.predictions["split"] = ["test_a"] * 60 + ["test_b"] * 30
        assert comparable_runs([*wanted, left_out], {"d1"}, "dfme-7", protocol) == [each]
    rows = our_rows(wanted[:1], "dfme-7")
    assert [row["part"] for row in rows] == ["all", "test_a", "test_b"]
    table = wanted[0].predictions
    assert rows[2]["uf1"] == pytest.approx(metrics.score(table[60:], SEVEN).uf1)
    text = ledger_of_task(ledger(read_published(), rows), "dfme-7")
    assert list(text.columns) == ["all", "test_a", "test_b", "source"]
    assert text.iloc[0].tolist() == ["– / –"] * 3 + [""] and "–" not in text["test_b"].iloc[1]
    # of a copy without the second test set, and of one that left subjects out
    wanted[0].predictions = table[:60]
    assert [row["part"] for row in our_rows(wanted[:1], "dfme-7")] == ["all", "test_a"]
    assert [row["part"] for row in our_rows([left_out], "dfme-7")] == ["all"]


def test_our_rows_are_means_over_seeds_with_an_interval(tmp_path):
    runs = [run(tmp_path, "a0"), run(tmp_path, "a1", seed=1, right=0.8)]
    (row,) = our_rows(runs, "casme3-3")
    scores = [metrics.score(each.predictions, POLAR) for each in runs]
    assert row["uf1"] == pytest.approx(np.mean([score.uf1 for score in scores]))
    assert row["uar"] == pytest.approx(np.mean([score.uar for score in scores]))
    assert row["uf1_low"] < row["uf1"] < row["uf1_high"]
    assert (row["seeds"], row["source"], row["protocol"]) == (2, "run a0, a1", "honest")
    (row,) = our_rows(runs[:1], "casme3-3")
    interval = bootstrap_interval(runs[0].predictions, POLAR)
    assert (row["uf1_low"], row["uf1_high"]) == pytest.approx(interval)


def test_a_composite_has_a_row_per_database(tmp_path):
    names = ["casme2", "samm", "smic"]
    each = run(tmp_path, task="megc2019-3", databases=names)
    rows = our_rows([each], "megc2019-3")
    assert [row["part"] for row in rows] == ["all", *names]
    parts = [metrics.score(part, POLAR) for _, part in each.predictions.groupby("database")]
    assert [row["uf1"] for row in rows[1:]] == pytest.approx([part.uf1 for part in parts])


def test_a_set_that_is_not_here_has_words_and_no_number(tmp_path):
    rows = licensed_rows(read_published(), {}, [])
    assert {(row["note"], "uf1" in row) for row in rows} == {(NOT_HERE, False)}
    rows = [row for row in rows if (row["task"], row["protocol"]) == ("casme3-3", "honest")]
    rows += our_rows([run(tmp_path, task="synthme-3")], "synthme-3")
    table = ledger(read_published(), rows)
    assert list(table.columns) == COLUMNS
    empty = table[table.note != ""]
    assert empty[["uf1", "uar"]].isna().all(axis=None) and len(empty) == 1
    text = ledger_of_task(table, "samm-5")
    assert text["all"].tolist() == ["– / –"] and text["source"].tolist() == [""]
    text = ledger_of_task(table, "casme3-3")
    assert text["all"].tolist() == ["0.7832 / –", NOT_HERE]
    composite = ledger_of_task(table, "megc2019-3")
    assert list(composite.columns) == ["all", "casme2", "samm", "smic", "source"]
    assert composite.xs("CausalNet")["casme2"].tolist() == ["0.9811 / 0.9858"]
    assert (composite.drop("MER-CLIP", level="method")["smic"] != "").all()
    own = ledger_of_task(table, "synthme-3")
    assert own["all"].tolist() == [f"{rows[1]['uf1']:.4f} / {rows[1]['uar']:.4f}"]


def test_a_set_that_is_here_has_its_runs_or_says_that_none_was_made(tmp_path):
    store = tiny_runs.make_store(tmp_path / "casme3", subjects=2)
    honest = run(tmp_path, data=store.meta["hash"])
    rows = licensed_rows(read_published(), {"casme3": str(tmp_path / "casme3")}, [honest])
    of_set = {(row["task"], row["protocol"]): row for row in rows if "casme3" in row["task"]}
    assert of_set["casme3-3", "honest"]["source"] == "run aaa"
    notes = {key: row["note"] for key, row in of_set.items() if not row.get("source")}
    assert len(notes) == 5 and set(notes.values()) == {NOT_TRAINED}


def test_two_settings_of_one_task_stand_apart(tmp_path):
    rows = [
        *our_rows([run(tmp_path, "a")], "casme3-3"),
        *our_rows([run(tmp_path, "b", lr=1e-4, right=0.9)], "casme3-3"),
    ]
    text = ledger_of_task(ledger(read_published(), rows), "casme3-3")
    assert text["source"].tolist()[1:] == ["run a", "run b"]
    assert text["all"].nunique() == 3


def test_a_run_that_is_trained_and_then_found_stands_in_the_ledger_once(tmp_path):
    store = tiny_runs.make_store(tmp_path / "casme3", subjects=2)
    stores, data = {"casme3": str(tmp_path / "casme3")}, {"data": store.meta["hash"]}
    made, before = run(tmp_path, "a", **data), run(tmp_path, "b", seed=1, **data)
    ablation = run(tmp_path, "c", mix=False, **data)
    rows = licensed_rows(read_published(), stores, [made, before, ablation], [made])
    text = ledger_of_task(ledger(read_published(), rows), "casme3-3")
    assert text["source"].tolist()[1:] == ["run a, b", ""]  # and nothing under the reference
    rows = licensed_rows(read_published(), stores, [made, before, ablation])
    text = ledger_of_task(ledger(read_published(), rows), "casme3-3")
    assert text["source"].tolist()[1:] == ["run a, b", "run c", ""]
    # the store need not be named to show what was trained on it
    rows = licensed_rows(read_published(), {}, [made, before], [made])
    text = ledger_of_task(ledger(read_published(), rows), "casme3-3")
    assert text["source"].tolist()[1:] == ["run a, b", ""]


def test_runs_made_on_the_spot_stand_beside_published_figures_only_if_comparable(tmp_path):
    groups = run(tmp_path, "a", folds=4)
    rows = licensed_rows(read_published(), {}, [], [groups])
    assert {row["note"] for row in rows if row["task"] == "casme3-3"} == {NOT_TRAINED}
    drawn = run(tmp_path, "b", task="synthme-3", folds=4)  # of what nobody has published figures of
    (row,) = [
        r for r in licensed_rows(read_published(), {}, [], [drawn]) if r["task"] == "synthme-3"
    ]
    assert row["source"] == "run b"
    own = run(tmp_path, "c", task="any-3", folds=4)
    assert licensed_rows(read_published(), {}, [], [own])[-1]["source"] == "run c"
