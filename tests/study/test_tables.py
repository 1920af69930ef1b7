"""The tables of a study: scored once all blocks are there, and what they say is so."""

import numpy as np
import pandas as pd
import pytest
import study_stand_in
from study_stand_in import CLASSES, place, write_design

from merclip_lib.__main__ import main
from merclip_lib.scores.bootstrap import holm
from merclip_lib.scores.families import p_value
from merclip_lib.scores.metrics import score
from merclip_lib.study.answers import MARKS, results_table
from merclip_lib.study.archive import (
    MADE_BY,
    block_file,
    predictions_of,
    read_blocks,
    row_of,
    write_block,
)
from merclip_lib.study.blocks import plan_blocks, run_block
from merclip_lib.study.design import read_study
from merclip_lib.study.reference_lines import read_references
from merclip_lib.study.tables import COLUMNS, read_results, score_archive, write_tables

R = 5
ENTRIES = {
    "full": {},
    "no_mix": {"config": {"mix": False}},
    "full_again": {"config": {"seed": 1000}},
    "eight": {"population": {"people": 8, "clips": 56}},
    "eight_no_mix": {"population": {"people": 8, "clips": 56}, "config": {"mix": False}},
    "jitter": {"config": {"mix": False, "jitter": 0.2}},
}
CELLS = {"casme2-like": {"tiny": R}}
MIX = {"change": "mix", "a": "full", "b": "no_mix"}
FAMILIES = {
    "primary": {
        "primary": True,
        "cells": {"casme2-like": {"tiny": R, "scratch": R}},
        "comparisons": [MIX],
    },
    "when": {
        "cells": CELLS,
        "comparisons": [
            MIX | {"part": "mix", "points": {"people": 3, "start": "tiny"}},
            MIX
            | {"change": "mix, 8 people", "a": "eight", "b": "eight_no_mix"}
            | {"part": "mix", "points": {"people": 8}},
        ],
    },
    "positive controls": {
        "cells": CELLS,
        "comparisons": [
            MIX | {"control": "positive"},
            MIX | {"change": "the other way", "a": "no_mix", "b": "full", "control": "positive"},
            MIX | {"change": "jitter", "a": "no_mix", "b": "jitter", "control": "positive"},
        ],
    },
    "negative controls": {
        "cells": CELLS,
        "comparisons": [
            {"change": "seed", "a": "full", "b": "full_again"}
            | {"control": "negative", "within": [-0.3, 0.3]},
            {"change": "no help", "a": "no_mix", "b": "full"}
            | {"control": "negative", "within": [-1.0, 0.05]},
            MIX | {"control": "negative", "within": [-0.3, 0.3]},
        ],
    },
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of six entries, all of it run, and its folder."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        study_stand_in.install(patch.setattr)
        study = read_study(
            write_design(folder, entries=ENTRIES, families=FAMILIES, block_minutes=10)
        )
        for number in range(1, len(plan_blocks(study)) + 1):
            run_block(study, number, place(folder))
    return study, folder


@pytest.fixture(scope="module")
def tables(done):
    study, folder = done
    files = write_tables(score_archive(study, folder / "study"), folder / "figures")
    assert [file.name for file in files] == [
        "parts.csv",
        "differences.csv",
        "controls.csv",
        "when.csv",
    ]
    return {file.stem: pd.read_csv(file) for file in files}


def test_another_file_of_such_a_name_stays(tmp_path):
    (tmp_path / "when.csv").write_text("two years of work")
    empty = {name: pd.DataFrame(columns=COLUMNS[name]) for name in COLUMNS}
    with pytest.raises(ValueError, match="when.csv: holds something else, which stays"):
        write_tables(empty, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["when.csv"]
    (tmp_path / "when.csv").unlink()
    for _ in range(2):  # ours are replaced
        assert len(write_tables(empty, tmp_path)) == len(list(tmp_path.iterdir())) == len(COLUMNS)


def uf1(done, entry: str, start: str = "tiny") -> np.ndarray:
    """UF1 of an entry at each population, scored one by one."""
    study, folder = done
    rows = read_blocks(study, folder / "study", len(plan_blocks(study)))
    rows = rows[(rows["entry"] == entry) & (rows["start"] == start)].sort_values("population")
    answers = [predictions_of(row, folder / "study") for _, row in rows.iterrows()]
    return np.array([score(answer, CLASSES).uf1 for answer in answers])


def test_parts_are_means_over_populations(done, tables):
    parts = tables["parts"]
    assert list(parts) == "preset start text eim mix uf1 low high populations".split()
    assert len(parts) == 4, "other populations, and more than parts left out, are no parts"
    row = parts.set_index(["start", "mix"]).loc[("scratch", True)]
    assert row["uf1"] == pytest.approx(uf1(done, "full", "scratch").mean(), abs=1e-6)
    assert not row["text"] and not row["eim"] and (parts["low"] < parts["high"]).all()
    assert row["populations"] == len(uf1(done, "full", "scratch"))


def test_differences_are_those_of_their_family(done, tables):
    table = tables["differences"]
    columns = "family preset start change part difference low high p_holm smallest_findable"
    assert list(table) == [*columns.split(), "equivalent"]
    assert set(table["part"].fillna("")) == {"mix", ""}, "what its entries differ in"
    family = table[table["family"] == "primary"].set_index("start")
    by_hand = {s: uf1(done, "full", s) - uf1(done, "no_mix", s) for s in ("tiny", "scratch")}
    p = holm([p_value(d, 0.0, "two-sided", done[0].design.rules) for d in by_hand.values()])
    for corrected, (start, values) in zip(p, by_hand.items(), strict=True):
        row = family.loc[start]
        assert row["difference"] == pytest.approx(values.mean(), abs=1e-6)
        assert row["p_holm"] == pytest.approx(corrected, rel=1e-5)
        assert 0 < row["low"] < row["difference"] < row["high"]
    assert not table["equivalent"].any()


def test_curves_hold_their_points(tables):
    when = tables["when"]
    assert list(when) == ["factor", "level", "part", "difference", "low", "high"]
    points = list(when[["factor", "level", "part"]].itertuples(index=False, name=None))
    assert points == [("people", "3", "mix"), ("people", "8", "mix"), ("start", "tiny", "mix")]


def test_controls_pass_by_holm_or_by_their_bound(tables):
    controls = tables["controls"].set_index(["control", "kind"])
    columns = "preset start part difference low high p_holm passed"
    assert list(controls) == columns.split()
    assert controls["passed"].to_dict() == {
        ("mix", "positive"): True,
        ("the other way", "positive"): False,  # clear, but of the wrong sign
        ("seed", "negative"): True,
        ("no help", "negative"): True,  # it hurts, and was only not to help
        ("mix", "negative"): False,
        ("jitter", "positive"): False,  # nothing there
    }


def test_nothing_is_scored_before_all_blocks_are_there(done, tmp_path):
    study, folder = done
    archive = tmp_path / "study"
    archive.mkdir()
    for file in (folder / "study").iterdir():
        if file.name not in ("block-001.csv.gz", "block-003.csv.gz"):
            (archive / file.name).write_bytes(file.read_bytes())
    assert len(plan_blocks(study)) >= 3
    with pytest.raises(ValueError, match="block 1, 3 of .* missing; nothing is scored"):
        score_archive(study, archive)


def test_results_are_read_with_what_made_them_or_what_is_missing(done, tables):
    study, folder = done
    with pytest.MonkeyPatch.context() as patch:
        study_stand_in.install(patch.setattr)
        whole = read_results(study.path)
        assert f"trainings, made by: design {study.hash}; code " in whole.sentence
        assert whole.tables["differences"]["verdict"].tolist()[:2] == ["helps", "helps"]
        for name, table in tables.items():
            assert list(whole.tables[name])[:-1] == list(table)
        away = folder / "study" / "block-002.csv.gz"
        away.rename(folder / "away")
        partly = read_results(study.path)
        (folder / "away").rename(away)
        assert "block 2 of" in partly.sentence and "merclip study run --design" in partly.sentence
        nothing = read_results(folder / "exploratory.yaml")
        assert "There is no" in nothing.sentence
    for empty in (partly.tables, nothing.tables):
        assert all(table.empty for table in empty.values())
        assert {name: list(table) for name, table in empty.items()} == {
            name: list(table) for name, table in whole.tables.items()
        }


def test_tables_of_answers_counted_by_hand(tmp_path):
    """Two entries, two populations, four people with one clip each, and all of it on paper."""
    design = write_design(
        tmp_path,
        families={"primary": {**FAMILIES["primary"], "cells": {"casme2-like": {"tiny": 2}}}},
        entries={"full": {}, "no_mix": {"config": {"mix": False}}},
    )
    with pytest.MonkeyPatch.context() as patch:
        study_stand_in.install(patch.setattr)
        study = read_study(design)
    first, second = CLASSES[:2]
    truth = [first, first, second, second]
    said = {
        ("full", 0): [first, first, second, second],  # F1 1 and 1
        ("full", 1): [first, first, second, first],  # F1 4/5 and 2/3
        ("no_mix", 0): [first, second, second, first],  # F1 1/2 and 1/2
        ("no_mix", 1): [first] * 4,  # F1 2/3 and 0
    }
    for number, part in enumerate(plan_blocks(study), 1):
        rows = []
        for trial in part:
            answers = pd.DataFrame({"subject": list("abcd"), "truth": truth}).assign(
                clip_id=[f"c{k}" for k in range(4)],
                prediction=said[trial.cell.entry, trial.cell.population],
            )
            row = row_of(trial, answers, tmp_path / "study" / "test.csv")
            rows.append(row | dict.fromkeys(MADE_BY, "x") | {"design": study.hash})
        write_block(block_file(tmp_path / "study", number), rows)
    made = score_archive(study, tmp_path / "study")
    many = len(CLASSES)  # a class that nobody shows counts as 0
    full, without = (2 + 4 / 5 + 2 / 3) / 2 / many, (1 / 2 + 1 / 2 + 2 / 3) / 2 / many
    assert made["parts"].set_index("mix")["uf1"].to_dict() == pytest.approx(
        {True: full, False: without}
    )
    (row,) = made["differences"].to_dict("records")
    assert row["difference"] == pytest.approx(full - without)
    spread = np.array([1.0, 4 / 5 + 2 / 3 - 2 / 3]) / many
    t = spread.mean() / (spread.std(ddof=1) / np.sqrt(2))
    assert row["p_holm"] == pytest.approx(2 * (0.5 - np.arctan(t) / np.pi))  # t with 1 degree
    assert row["verdict"] == "cannot tell" and row["low"] <= row["difference"] <= row["high"]


def test_the_commands_score_the_archive_and_fill_the_readme(done, tmp_path, monkeypatch, capsys):
    study, folder = done
    study_stand_in.install(monkeypatch.setattr)
    monkeypatch.setattr("merclip_lib.study.checkout.root_with", lambda name: tmp_path)
    (tmp_path / "README.md").write_text("# Title\n" + "\n".join(MARKS) + "\n")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "design.yaml").write_text("of the committed tables")
    command = ["study", "--design", str(study.path), "--runs-dir", str(tmp_path / "runs")]
    assert main([*command, "score"]) == 0
    figures = tmp_path / "runs" / "figures"  # not over the committed ones
    assert f"{figures / 'when.csv'}" in capsys.readouterr().out
    assert not (tmp_path / "figures").exists()
    assert main([*command, "readme"]) == 2
    assert "leave out --design" in capsys.readouterr().err
    (tmp_path / "notebooks" / "design.yaml").write_bytes(study.path.read_bytes())
    assert main(["study", "readme", "--figures-dir", str(figures)]) == 0
    parts, references = pd.read_csv(figures / "parts.csv"), read_references(figures / "none.csv")
    text = (tmp_path / "README.md").read_text()
    assert results_table(parts, references) in text and text.startswith("# Title\n")
