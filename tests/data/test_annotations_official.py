"""Every official layout, its oddities, and cells that nobody should have written (made-up)."""

import json
import re
import string

import official_annotations as official
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_annotations import clip

from merclip_lib.__main__ import main
from merclip_lib.data.annotations import sheets
from merclip_lib.data.annotations.read import read_annotations, read_folders
from merclip_lib.data.annotations.releases import RELEASES
from merclip_lib.data.table import COLUMNS, read_table, write_table
from merclip_lib.text.sentences import NOTHING, describe

# dataset: (writer, subject and frames of subject 3, clip "a", emotion as written)
SETS = {
    "casme2": (official.write_casme2, "03", "sub03/a"),
    "samm": (official.write_samm, "003", "003/a"),
    "smic": (official.write_smic, "s3", "s3/micro/negative/a"),
    "casme3": (official.write_casme3, "spNO.3", "spNO.3/a/color"),
    "dfme": (official.write_dfme, "3", "a"),
    "mmew": (official.write_mmew, "03", "others/a"),
    "4dme": (official.write_4dme, "3", "3/a"),
    "casme": (official.write_casme, "03", "sub03/a"),
    "casme2sq": (official.write_casme2sq, "s17", "s17/a"),
}
EMOTION = {"smic": "negative", "mmew": "others"}


def write(dataset, folder, clips):
    return SETS[dataset][0](folder / ("DFME.csv" if dataset == "dfme" else "a.xlsx"), clips)


@pytest.mark.parametrize("dataset", RELEASES)
def test_every_official_release(dataset, tmp_path):
    emotion = EMOTION.get(dataset, "Disgust")
    rows = [
        clip(3, "a", emotion=emotion, action_units="4+L10"),
        clip(3, "b", emotion=emotion, action_units=12),
        clip(9, "a", emotion=emotion),
    ]
    reading = read_annotations(write(dataset, tmp_path, rows), dataset)
    assert reading.counts() == {"read": 3, "kept": 3, "repaired": 0, "dropped": 0}
    table = reading.table
    assert list(table) == COLUMNS
    _, subject, frames = SETS[dataset]
    first = table.iloc[0]
    assert (first["subject"], first["frames"]) == (subject, frames)
    assert first["clip_id"] == f"{dataset}_{subject}_a_10"
    assert table["clip_id"].is_unique and (table["dataset"] == dataset).all()
    assert table[["onset", "offset"]].values.tolist() == [[10, 30]] * 3
    assert first["emotion"] == {"smic": "negative", "mmew": "repression"}.get(dataset, "disgust")
    if dataset == "smic":
        assert table["apex"].isna().all() and not any(table["action_units"])
    else:
        assert table["apex"].tolist() == [20] * 3
        assert table["action_units"].tolist() == ["4+L10", "12", "4"]


@pytest.mark.parametrize("dataset", RELEASES)
def test_command_writes_a_table_that_reads_back(dataset, tmp_path, capsys):
    file = write(dataset, tmp_path, [clip(3, "a", emotion="negative"), clip(3, "b", offset="x")])
    out = tmp_path / "table.csv"
    arguments = ["manifest", dataset, "--annotations", str(file), "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"]["read"] == 2 and said["rows"]["dropped"] == 1
    assert said["changes"][0]["reason"] == "offset 'x' is not a frame number"
    assert said["table"]["frames_per_clip"] == {"shortest": 21, "median": 21.0, "longest": 21}
    assert len(read_table(out)) == 1
    before = out.read_bytes()
    assert main([*arguments, "--strict"]) == (0 if dataset == "dfme" else 2)
    error = capsys.readouterr().err
    assert dataset == "dfme" or ("nothing is written" in error and error.count("\n") == 1)
    assert out.read_bytes() == before
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "2 rows read, 1 kept" in text and "dropped: offset 'x'" in text


def test_casme3_repairs_and_drops(tmp_path):
    """Three rows cannot be mended; subject 216 clip e starts before the first picture."""
    rows = [
        clip(216, "d", 3647, 2650, 2655),
        clip(40, "e", 1812, 0, 0),
        clip(40, "e", 2327, 1, 0),
        clip(216, "e", 0, 0, 9),
        clip(1, "a", 5, 90, 9, emotion="Others"),
        clip(1, "a", 50, 60, 90),
    ]
    for version in (1, 2):
        path = official.write_casme3(tmp_path / f"{version}.xlsx", rows, version)
        reading = read_annotations(path, "casme3")
        assert reading.report["outcome"].tolist() == ["dropped"] * 3 + ["repaired"] * 2 + ["kept"]
        assert reading.table["clip_id"].tolist() == [
            "casme3_spNO.216_e_1",
            "casme3_spNO.1_a_5",
            "casme3_spNO.1_a_50",
        ]
        assert reading.table["apex"].isna().tolist() == [False, True, False]
        assert reading.table["emotion"].tolist() == ["disgust", "others", "disgust"]


def test_samm_subjects_that_lost_their_zeros_and_bad_apexes(tmp_path):
    rows = [
        clip("6", "006_1_2"),
        clip(28.0, "028_4_1", 10, 99, 30),
        clip("032", "032_3_1", apex=-1),
    ]
    reading = read_annotations(official.write_samm(tmp_path / "s.xlsx", rows), "samm")
    assert reading.table["subject"].tolist() == ["006", "028", "032"]
    assert reading.table["apex"].isna().tolist() == [False, True, True]
    assert reading.counts()["repaired"] == 2
    assert "header in row 14" in reading.notes[0]
    assert reading.report["row"].tolist() == [15, 16, 17]


def test_smic_sheet_with_two_expressions_in_a_video(tmp_path):
    rows = [
        clip(1, "s1_ne_01", 5, None, 9, emotion=None),
        clip(1, "s1_ne_01", 15, None, 19),
        clip(14, "s14_sur_02", 5, None, 9, emotion=None),
    ]
    reading = read_annotations(official.write_smic(tmp_path / "m.xlsx", rows), "smic")
    assert reading.table["clip_id"].tolist() == [
        "smic_s1_s1_ne_01_5",
        "smic_s1_s1_ne_01_15",
        "smic_s14_s14_sur_02_5",
    ]
    assert reading.table["emotion"].tolist() == ["negative", "negative", "surprise"]
    assert reading.report["row"].tolist() == [2, 2, 3]


def pictures(folder, numbers, name="reg_image{:06d}.bmp"):
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / name.format(number)).write_bytes(b"made up")


def test_smic_from_its_folders_alone(tmp_path, capsys):
    hs = tmp_path / "SMIC_all_cropped" / "HS"
    pictures(hs / "s1" / "micro" / "negative" / "s1_ne_01", range(200, 230))
    pictures(hs / "s14" / "micro" / "surprise" / "s14_sur_02", range(7, 9))
    pictures(hs / "s14" / "non_micro" / "s14_01", range(7, 9))
    pictures(hs / "s14" / "micro" / "positive" / "s14_po_01", [])
    reading = read_folders(hs, "smic")
    assert reading.report["outcome"].tolist() == ["kept", "dropped", "kept"]
    assert reading.table["frames"].tolist()[0] == "s1/micro/negative/s1_ne_01"
    assert reading.table[["onset", "offset"]].values.tolist() == [[200, 229], [7, 8]]
    out, root = tmp_path / "smic.csv", tmp_path / "SMIC_all_cropped"
    assert main(["manifest", "smic", "--data-root", str(root), "--out", str(root / "s.csv")]) == 2
    assert main(["manifest", "smic", "--data-root", str(root), "--out", str(out)]) == 0
    assert "2 clips found, 0 not" in capsys.readouterr().out
    assert read_table(out)["frames"].str.startswith("HS/s").all()
    with pytest.raises(ValueError, match="no folder subject/micro"):
        read_folders(hs / "s14" / "non_micro", "smic")
    assert main(["manifest", "samm", "--data-root", str(hs), "--out", str(out)]) == 2
    assert main(["manifest", "smic", "--out", str(out)]) == 2


def test_pictures_mend_what_the_sheet_has_wrong(tmp_path):
    pictures(tmp_path / "Cropped" / "Sub1" / "epa", range(12, 40), "img{}.jpg")
    pictures(tmp_path / "spNO.1" / "a" / "color", range(900), "{}.jpg")
    path = official.write_casme2(
        tmp_path / "c.xlsx", [clip(1, "EPa", 12, 20, 9), clip(1, "EPb", 12, 20, 9), clip(1, "EPc")]
    )
    assert read_annotations(path, "casme2").counts()["dropped"] == 2
    reading = read_annotations(path, "casme2", data_root=tmp_path)
    assert reading.report["outcome"].tolist() == ["repaired", "dropped", "kept"]
    assert "offset 39 from the pictures" in reading.report["reason"][0]
    assert reading.table[["onset", "apex", "offset"]].values.tolist()[0] == [12, 20, 39]
    # A folder of CAS(ME)3 is a whole video and says nothing about one expression.
    path = official.write_casme3(tmp_path / "3.xlsx", [clip(1, "a", 12, 20, 9), clip(1, "a")])
    assert read_annotations(path, "casme3", data_root=tmp_path).counts()["dropped"] == 1


def test_casme2sq_without_header_takes_micro_expressions(tmp_path):
    rows = [
        clip(1, "anger1_1", emotion="negative"),
        clip(1, "Onset", kind="macro-expression"),
        clip(2, "happy2_1", offset=0),
    ]
    reading = read_annotations(official.write_casme2sq(tmp_path / "2.xlsx", rows), "casme2sq")
    assert reading.table["subject"].tolist() == ["s15"]
    assert reading.report["reason"].tolist() == [
        "",
        "a macro-expression",
        "offset 0 is before onset 10",
    ]
    assert "no header" in reading.notes[0] and "Sheet2" in reading.notes[1]


def test_headings_are_found_on_a_later_sheet(tmp_path):
    header = [
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
    ]
    path = official.workbook(
        tmp_path / "c.xlsx",
        [["About"], ["nothing here"]],
        [[], [], header, [1, "EPa", 1, 2, 3, "4", "fear"]],
    )
    reading = read_annotations(path, "casme2")
    assert reading.report["row"].tolist() == [4]
    assert reading.notes[0] == "c.xlsx, sheet 'Sheet2': header in row 3"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_and_delimiters(tmp_path, encoding, delimiter):
    rows = [
        ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "情绪"],
        ["1.0", "EPa", "1", "2.0", " 3", "4＋L10", "Fear"],
    ]
    path = tmp_path / "c.csv"
    path.write_text("\n".join(delimiter.join(row) for row in rows), encoding=encoding)
    table = read_annotations(path, "casme2", columns={"emotion": "情绪"}).table
    assert table.iloc[0].tolist()[:9] == [
        "casme2_01_EPa_1",
        "casme2",
        "01",
        "EPa",
        1,
        2,
        3,
        200.0,
        "4＋L10",
    ]
    assert describe(table["action_units"][0]).startswith("a combination of lowering")


def test_latin_1_is_read_too(tmp_path):
    path = tmp_path / "c.csv"
    text = "subject,filename,onset,offset,AU,emotion,note\n1,a,1,3,4,fear,né\xff"
    path.write_bytes(text.encode("latin-1"))
    assert len(read_annotations(path, "dfme").table) == 1


def test_columns_option(tmp_path, capsys):
    path = tmp_path / "d.csv"
    path.write_text("person,filename,onset,apex,offset,AU,label\np1,x1,1,2,3,4+7,fear\n")
    arguments = ["manifest", "dfme", "--annotations", str(path), "--out", str(tmp_path / "t.csv")]
    assert main(arguments) == 2
    assert "--columns subject=HEADING" in capsys.readouterr().err
    for wrong in ("subject", "who=person", "subject=?!", "subject=nobody"):
        assert main([*arguments, "--columns", wrong]) == 2
    assert main([*arguments, "--columns", "subject=person", "--split", "train"]) == 0
    assert read_table(tmp_path / "t.csv")["split"].tolist() == ["train"]


def test_files_that_cannot_be_read(tmp_path, capsys):
    out = tmp_path / "t.csv"
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "no.docx").write_text("x")
    for name, word in [
        ("old.xls", "save it"),
        ("empty.csv", "is empty"),
        ("no.docx", "xlsx or csv"),
        ("gone.xlsx", "no such file"),
    ]:
        arguments = ["manifest", "casme2", "--annotations", str(tmp_path / name), "--out", str(out)]
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert name in error and word in error and error.count("\n") == 1
    assert not out.exists()


CELL = st.one_of(
    st.none(),
    st.integers(-5, 10**12),
    st.floats(width=32),
    st.booleans(),
    st.text(string.printable + "é表＋\u00a0\u2028", max_size=12),
    st.sampled_from(["nan", "/", "4+L10", "12.0", "sub01", "disgust", "..", "../../x", "=1/0"]),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(RELEASES)), st.data())
def test_mangled_cells_give_a_table_or_one_error(tmp_path, dataset, data):
    """Whatever a cell holds: kept, repaired or dropped with a reason, or one ValueError."""
    emotion = EMOTION.get(dataset, "disgust")
    rows = [clip(3, "a", emotion=emotion)]
    for k in range(data.draw(st.integers(1, 3))):
        row = clip(4 + k, f"b{k}", emotion=emotion)
        for field in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=4)):
            row[field] = data.draw(CELL)
        rows.append(row)
    try:
        path = write(dataset, tmp_path, rows)
    except (openpyxl.utils.exceptions.IllegalCharacterError, TypeError, ValueError):
        return  # the spreadsheet itself cannot hold such a cell
    try:
        reading = read_annotations(path, dataset)
    except ValueError as error:  # a text such as "=0" becomes a formula in a workbook
        assert re.search(r"sheet .*, cell [A-Z]+\d+: \w+ is the formula '=", str(error))
        return
    assert set(reading.report["outcome"]) <= {"kept", "repaired", "dropped"}
    assert (reading.report["reason"] != "").equals(reading.report["outcome"] != "kept")
    assert len(reading.table) == reading.counts()["kept"]
    write_table(reading.table, tmp_path / "t.csv")
    back = read_table(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(back, reading.table, check_dtype=False)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode),
    st.sampled_from(["csv", "xlsx", "xls", "tsv"]),
)
def test_any_bytes_give_sheets_or_one_error(tmp_path, content, suffix):
    path = tmp_path / f"any.{suffix}"
    path.write_bytes(content)
    try:
        read_annotations(path, "casme2")
    except ValueError as error:
        assert f"any.{suffix}" in str(error)


def test_sentences_of_a_table(tmp_path, capsys):
    rows = [
        clip(1, "a", action_units="4+51"),
        clip(1, "b", action_units="54"),
        clip(1, "c", action_units=None),
        clip(1, "d", action_units="AU4+L7(k)"),
    ]
    table = read_annotations(official.write_casme2(tmp_path / "c.xlsx", rows), "casme2").table
    write_table(table, tmp_path / "t.csv")
    out = tmp_path / "sentences.csv"
    arguments = ["describe", "--table", str(tmp_path / "t.csv"), "--out", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "not said in sentences: 51 1, 54 1, 7(k) 1 (clips)" in said
    assert "clips without action units: 1" in said and "unsaid units alone: 1" in said
    written = sheets.read_sheets(out)[0].rows
    assert written[0] == ["clip_id", "action_units", "sentence"]
    assert [row[2] for row in written[1:]] == [
        "lowering the brows",
        NOTHING,
        NOTHING,
        "lowering the brows",
    ]
    assert main([*arguments, "--style", "emotion_only"]) == 0
    assert sheets.read_sheets(out)[0].rows[1][2] == "disgust"
    for wrong in (["describe"], ["describe", "4", *arguments[1:]], arguments[:3]):
        assert main(wrong) == 2


def test_a_file_of_another_set_is_refused_by_its_names(tmp_path):
    path = tmp_path / "codes.xlsx"
    official.write_casme2(path, [clip("01", "EP02_01f"), clip("02", "EP03_02f")])
    with pytest.raises(ValueError, match="'EP02_01f' is a name of casme2, not of samm; give"):
        read_annotations(path, "samm")


def test_two_spellings_of_a_subject_are_one_person_and_said(tmp_path):
    path = tmp_path / "labels.xlsx"
    clips = [clip("spNO.1", "a"), clip("SPNO.01", "b"), clip("spNO.2", "a")]
    official.write_casme3(path, clips)
    reading = read_annotations(path, "casme3")
    assert sorted(set(reading.table.subject)) == ["spNO.1", "spNO.2"]
    assert reading.report.reason[1] == "subject 'SPNO.01' is the 'spNO.1' of row 2"
    assert reading.counts()["repaired"] == 1
