"""Clip tables, tasks and cards."""

import pandas as pd
import pytest

from merclip_lib.data.table import hash_ids, read_table, write_table
from merclip_lib.data.tasks import TASKS, apply_task, compare_totals, read_card

REAL = [name for name in TASKS if not name.startswith("synthme")]


def clip_table(emotions, dataset="synthme"):
    """An invented table with one clip per emotion given, two subjects in turn."""
    count = len(emotions)
    return pd.DataFrame(
        {
            "clip_id": [f"{dataset}_{i:03d}" for i in range(count)],
            "dataset": dataset,
            "subject": [f"0{i % 2}" for i in range(count)],
            "clip": [f"e{i}" for i in range(count)],
            "onset": 10,
            "apex": 20,
            "offset": 30,
            "fps": 200.0,
            "action_units": "4+L10",
            "emotion": emotions,
            "frames": "",
        }
    )


def write_raw(path, **cells):
    """A table on disk whose second data row (row 3 of the file) has the given cells."""
    table = clip_table(["anger", "fear", "anger"]).astype(object)
    for column, value in cells.items():
        table.loc[1, column] = value
    table.to_csv(path, index=False)
    return path


def test_round_trip_keeps_text_and_further_columns(tmp_path):
    table = clip_table(["anger", "fear"]).assign(
        action_units=["4", ""], intensities=["4:0.31;L12:0.22", ""], noise=[0.5, 0.25]
    )
    write_table(table, tmp_path / "table.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    back = read_table(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    assert back["subject"].tolist() == ["00", "01"]
    assert back["onset"].dtype == "int64"


def test_empty_apex_is_allowed(tmp_path):
    table = read_table(write_raw(tmp_path / "t.csv", apex=""))
    assert table["apex"].isna().tolist() == [False, True, False]
    assert table["apex"].iloc[0] == 20
    write_table(table, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "again.csv"), table)


@pytest.mark.parametrize(
    "cells, message",
    [
        ({"clip_id": "synthme_000"}, "clip_id 'synthme_000' occurs before"),
        ({"subject": " "}, "subject ' ' must not be empty"),
        ({"onset": "ten"}, "onset 'ten' is not a number"),
        ({"onset": 10.5}, "onset 10.5|onset '10.5'"),
        ({"onset": ""}, "onset '' is missing"),
        ({"onset": -1}, "onset -1 must not be negative"),
        ({"offset": 9}, "offset 9 is before the onset"),
        ({"apex": 31}, "apex 31 is not between"),
        ({"fps": 0}, "fps 0.0 must be"),
        ({"fps": "inf"}, "fps 'inf' is not a number"),
        ({"emotion": "Anger"}, "emotion 'Anger' must be written in lower case"),
        ({"action_units": "4+x"}, r"'4\+x'.*write them like"),
    ],
)
def test_bad_cells_name_file_and_row(tmp_path, cells, message):
    path = write_raw(tmp_path / "bad.csv", **cells)
    with pytest.raises(ValueError, match=r"bad\.csv, row 3: .*(" + message + ")"):
        read_table(path)


def test_bad_tables_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such clip table"):
        read_table(tmp_path / "absent.csv")
    table = clip_table(["anger"])
    with pytest.raises(ValueError, match="apex, fps are missing"):
        write_table(table.drop(columns=["apex", "fps"]), tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no rows"):
        write_table(table.iloc[:0], tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())


def test_hash_of_ids():
    ids = ["b", "a", "c"]
    assert hash_ids(ids) == hash_ids(sorted(ids))
    assert hash_ids(ids) != hash_ids(ids[:2])
    assert len(hash_ids(ids)) == 12


def test_apply_task_labels_rows_and_keeps_positions():
    table = clip_table(["others", "fear", "happiness", "surprise", "anger"])
    chosen = apply_task(table, "synthme-3")
    assert chosen.index.tolist() == [1, 2, 3, 4]
    assert chosen["label"].tolist() == ["negative", "positive", "surprise", "negative"]
    assert "label" not in table
    assert apply_task(table, "synthme-4")["label"].iloc[0] == "others"


def test_apply_task_refuses():
    table = clip_table(["fear", "happiness"])
    with pytest.raises(ValueError, match="no clip of class surprise"):
        apply_task(table, "synthme-3")
    with pytest.raises(ValueError, match="use the table of casme3"):
        apply_task(table, "casme3-3")
    with pytest.raises(ValueError, match="did you mean 'synthme-7'"):
        apply_task(table, "synthme7")


def test_composite_rules_differ_per_database():
    """CASME II's fear and sadness stay out, SAMM's are negative, SMIC has no emotions."""
    casme = clip_table(
        ["fear", "sadness", "disgust", "repression", "disgust", "happiness"], "casme2"
    )
    casme.loc[4, ["subject", "clip"]] = ["sub05", "EP09_05f"]
    samm = clip_table(["fear", "sadness", "other", "contempt", "surprise"], "samm")
    smic = clip_table(["negative", "positive", "surprise"], "smic")
    chosen = apply_task(pd.concat([casme, samm, smic], ignore_index=True), "megc2019-3")
    assert chosen["clip_id"].tolist() == [
        "casme2_002",
        "casme2_003",
        "casme2_005",
        "samm_000",
        "samm_001",
        "samm_003",
        "samm_004",
        "smic_000",
        "smic_001",
        "smic_002",
    ]
    assert (chosen["label"] == "negative").sum() == 6


@pytest.mark.parametrize("name", TASKS)
def test_every_label_is_a_class_and_every_class_has_an_emotion(name):
    assert set(TASKS[name].label_map.values()) == set(TASKS[name].classes)
    assert TASKS[name].name == name


@pytest.mark.parametrize("name", REAL)
def test_cards_state_totals_that_add_up(name):
    totals = read_card(name.rsplit("-", 1)[0])["tasks"][name]
    if "classes" in totals:
        assert list(totals["classes"]) == list(TASKS[name].classes)
        assert sum(totals["classes"].values()) == totals["clips"]
    for parts in totals.get("parts", {}).values():
        for quantity in ("clips", "subjects"):
            assert sum(part[quantity] for part in parts.values()) == totals[quantity]


def test_compare_totals():
    emotions = ["disgust"] * 63 + ["repression"] * 27 + ["happiness"] * 32 + ["surprise"] * 25
    table = clip_table([*emotions, "others", "sadness"], "casme2")
    report = compare_totals(table, "casme2-3").set_index("quantity")
    assert report.loc["clips", ["expected", "found"]].tolist() == [150, 147]
    assert report.loc["subjects", ["expected", "found"]].tolist() == [24, 2]
    assert report.loc["negative", ["expected", "found"]].tolist() == [90, 90]
    assert report.loc["surprise", ["expected", "found"]].tolist() == [28, 25]


def test_compare_totals_by_split():
    table = clip_table(list(TASKS["dfme-7"].classes), "dfme")
    with pytest.raises(ValueError, match="no column 'split'"):
        compare_totals(table, "dfme-7")
    report = compare_totals(table.assign(split="test_a"), "dfme-7").set_index(["part", "quantity"])
    assert report.loc[("test_a", "clips"), ["expected", "found"]].tolist() == [474, 7]
    assert report.loc[("train", "clips"), "found"] == 0


def test_card_of_an_unknown_dataset():
    with pytest.raises(ValueError, match="no such card; did you mean 'casme'"):
        read_card("casme4")
    with pytest.raises(ValueError, match="no totals"):
        compare_totals(clip_table(["anger"]), "synthme-7")
