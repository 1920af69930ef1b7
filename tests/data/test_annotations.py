"""Readers of annotation files. All rows here are invented; none is of a licensed set."""

import openpyxl
import pytest

from merclip_lib.data.annotations.read import read_annotations
from merclip_lib.data.table import read_table, write_table
from merclip_lib.data.tasks import CASME2_CODINGS

CASME2 = [
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
]


def workbook(path, *rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    book.save(path)
    return path


def casme2(path, *rows):
    """Rows are (subject, clip, onset, apex, offset, action units, emotion)."""
    return workbook(
        path, CASME2, *[(s, c, None, on, ap, off, None, au, e) for s, c, on, ap, off, au, e in rows]
    )


def test_rows_kept_repaired_and_dropped(tmp_path):
    path = casme2(
        tmp_path / "invented.xlsx",
        (1, "EPx", 10, 20, 30, "4+L10", "Disgust"),
        ("sub02", "EPy", 10, "/", 30, 4, "others"),
        (3, "EPz", 10, 40, 30, "12", "happiness"),
        (None, None, None, None, None, None, None),
        (4, "EPa", 10, 20, None, "12", "happiness"),
        (4, "EPb", 30, 20, 10, "12", "happiness"),
        (4, "EPc", 10, 20, 30, "4+what", "happiness"),
        (4, "EPd", 10, 20, 30, "12", None),
        ("01", "EPx", 10, 20, 30, "4", "disgust"),
        (4, "EPe", "ten", 20, 30, "12", "disgust"),
    )
    reading = read_annotations(path, "casme2")
    assert reading.counts() == {"read": 9, "kept": 3, "repaired": 2, "dropped": 6}
    report = reading.report.set_index("row")["reason"].to_dict()
    assert report == {
        2: "",
        3: "no apex given",
        4: "apex 40 outside 10-30, left empty",
        6: "no offset",
        7: "offset 10 is before onset 30",
        8: report[8],
        9: "no emotion",
        10: "same clip as row 2",
        11: "onset 'ten' is not a frame number",
    }
    assert "'what' is not an action unit" in report[8]
    table = reading.table
    assert table["clip_id"].tolist() == ["casme2_01_EPx_10", "casme2_02_EPy_10", "casme2_03_EPz_10"]
    assert table["frames"].tolist()[0] == "sub01/EPx"
    assert table["action_units"].tolist() == ["4+L10", "4", "12"]
    assert table["emotion"].tolist() == ["disgust", "others", "happiness"]
    assert table["apex"].isna().tolist() == [False, True, True]
    write_table(table, tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv")["subject"].tolist() == ["01", "02", "03"]


@pytest.mark.parametrize("counts, coding", [*CASME2_CODINGS.items(), ((1, 1), "unknown")])
def test_coding_of_casme2(tmp_path, counts, coding):
    emotions = ["sadness"] * counts[0] + ["surprise"] * counts[1]
    rows = [(1, f"e{i}", 1, 2, 3, "4", emotion) for i, emotion in enumerate(emotions)]
    assert read_annotations(casme2(tmp_path / "c.xlsx", *rows), "casme2").coding == coding


def test_samm_with_lines_above_the_header(tmp_path):
    path = workbook(
        tmp_path / "s.xlsx",
        ["Invented preamble"],
        [],
        ["Subject", "is explained here"],
        [
            "Subject",
            "Filename",
            "Inducement Code",
            "Onset Frame",
            "Apex Frame",
            "Offset Frame",
            "Duration",
            "Micro",
            "Action Units",
            "Estimated Emotion",
            "Objective Classes",
            "Notes",
        ],
        ["099", "099_1_1", 1, 5, -1, 9, 5, "1/2", "R14A or 17A", "Other", 7, None],
    )
    reading = read_annotations(path, "samm")
    row = reading.table.iloc[0]
    assert (row["subject"], row["emotion"], row["action_units"]) == ("099", "other", "R14A or 17A")
    assert reading.report["row"].tolist() == [5]
    assert reading.counts()["repaired"] == 1


def test_smic_has_neither_apex_nor_action_units(tmp_path):
    path = workbook(
        tmp_path / "m.xlsx",
        ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion"],
        [9, "s9_x_1", 5, 9, "negative"],
    )
    reading = read_annotations(path, "smic")
    row = reading.table.iloc[0]
    assert (row["subject"], row["action_units"]) == ("s9", "")
    assert row["frames"] == "s9/micro/negative/s9_x_1"
    assert reading.counts() == {"read": 1, "kept": 1, "repaired": 0, "dropped": 0}


def test_casme3_has_several_expressions_in_one_video(tmp_path):
    path = workbook(
        tmp_path / "3.xlsx",
        ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "emotion"],
        ["spNO.x", "a", 5, 6, 9, "4", "Happy"],
        ["spNO.x", "a", 15, 16, 19, "4", "sad"],
    )
    table = read_annotations(path, "casme3").table
    assert table["clip_id"].tolist() == ["casme3_spNO.x_a_5", "casme3_spNO.x_a_15"]
    assert table["emotion"].tolist() == ["happiness", "sadness"]


def test_csv_with_own_headings_and_a_split(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("person,filename,onset,apex,offset,AU,label\np1,x1,1,2,3,4+7,fear\n")
    with pytest.raises(ValueError, match="d.csv: .*heading for subject; .*columns="):
        read_annotations(path, "dfme")
    reading = read_annotations(path, "dfme", columns={"subject": "person"}, split="test_a")
    assert reading.table.loc[0, ["subject", "split"]].tolist() == ["p1", "test_a"]
    with pytest.raises(ValueError, match="columns= names 'person'"):
        read_annotations(path, "dfme", columns={"person": "subject"})


def test_unusable_files(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'casme'"):
        read_annotations(tmp_path / "x.xlsx", "casme4")
    with pytest.raises(ValueError, match="no such file"):
        read_annotations(tmp_path / "x.xlsx", "casme2")
    (tmp_path / "x.xlsx").write_text("no workbook")
    with pytest.raises(ValueError, match="x.xlsx: cannot be read"):
        read_annotations(tmp_path / "x.xlsx", "casme2")
    path = casme2(tmp_path / "e.xlsx", (1, "EPx", None, 20, 30, "4", "disgust"))
    with pytest.raises(ValueError, match="row 2: no onset"):
        read_annotations(path, "casme2")
