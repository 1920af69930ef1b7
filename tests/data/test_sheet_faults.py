"""What people and programs do to annotation files is read rightly, or refused by row and column."""

import datetime
import re
import warnings
import zipfile

import openpyxl
import pytest

from merclip_lib.__main__ import main
from merclip_lib.data.annotations.read import read_annotations
from merclip_lib.data.annotations.sheets import read_sheets

HEAD = "Subject Filename OnsetFrame ApexFrame OffsetFrame".split()
HEAD += ["Action Units", "Estimated Emotion"]
ROW = ["01", "EP02_01f", 46, 59, 86, "4+7", "fear"]


def book(path, *sheets, change=lambda sheet: None):
    """A workbook of sheets, each a list of rows; `change` gets the first."""
    workbook = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = workbook.active if number == 0 else workbook.create_sheet()
        for row in rows:
            sheet.append(row)
    change(workbook.active)
    workbook.save(path)
    return path


def row(**changes):
    """A row with some cells changed, named s, c, on, apex, off, au, e."""
    names = "s c on apex off au e".split()
    return [changes.get(name, cell) for name, cell in zip(names, ROW, strict=True)]


def read(path, dataset="casme2"):
    """The table and, by row, outcome and reason."""
    reading = read_annotations(path, dataset)
    report = reading.report.set_index("row")
    return reading, report["outcome"].to_dict(), report["reason"].to_dict()


def csv(path, *rows, delimiter=","):
    path.write_text("\n".join(delimiter.join(map(str, cells)) for cells in rows), encoding="utf-8")
    return path


def test_a_shifted_row_is_refused_by_its_number(tmp_path):
    path = csv(tmp_path / "a.csv", HEAD, ROW, row(c="b", au="R4,5"), row(c="d"))
    reading, outcome, reason = read(path)
    assert (
        outcome == {2: "kept", 3: "dropped", 4: "kept"} and "more cells than heading" in reason[3]
    )
    assert reading.table["emotion"].tolist() == ["fear", "fear"]


def test_empty_cells_at_the_end_shift_nothing(tmp_path):
    path = csv(tmp_path / "a.csv", HEAD, [*ROW, "", ""], [*row(c="b"), " "])
    assert set(read(path)[1].values()) == {"kept"}


def test_a_comment_does_not_choose_the_delimiter(tmp_path):
    comment = "blink, head turns, then, after a pause, a smile, weak, left, short"
    rows = [[*HEAD, "Notes"], [*ROW, comment], [*row(c="b"), ""]]
    assert read(csv(tmp_path / "a.csv", *rows, delimiter=";"))[0].counts()["kept"] == 2


@pytest.mark.parametrize(
    "cell",
    [
        datetime.datetime(2026, 2, 1),
        datetime.date(2026, 7, 4),
        datetime.time(2, 1),
        datetime.timedelta(hours=30),
        "1-Feb",
        "Feb-01",
        "01.02.2026",
        "2/1/2026",
        "1E+05",
    ],
)
@pytest.mark.parametrize("column", ["s", "c", "au", "e"])
def test_what_became_a_date_is_refused(tmp_path, column, cell):
    path = book(tmp_path / "a.xlsx", [HEAD, row(c="b"), row(**{column: cell})])
    _, outcome, reason = read(path)
    assert outcome == {2: "kept", 3: "dropped"} and "is a date or number" in reason[3]


@pytest.mark.parametrize(
    "name", ["S01-01-003", "clip_2", "06-1-2", "1-2", "1_2_2026", "12.5", "may"]
)
def test_what_looks_like_a_date_and_is_none_is_kept(tmp_path, name):
    assert read(book(tmp_path / "a.xlsx", [HEAD, row(c=name)]), "mmew")[1] == {2: "kept"}


def test_two_columns_of_one_heading(tmp_path):
    twice = [[*HEAD, "Estimated emotion"], [*ROW, "fear"], [*row(c="b"), "anger"]]
    with pytest.raises(ValueError, match="'Sheet', row 3: columns G and H have the heading 'Est"):
        read(book(tmp_path / "a.xlsx", twice))
    for last in ("fear", ""):
        assert read(book(tmp_path / "a.xlsx", [*twice[:2], [*row(c="b"), last]]))[1][3] == "kept"


def test_another_column_or_sheet_that_fits_is_named(tmp_path):
    path = book(tmp_path / "a.xlsx", [[*HEAD, "Emotion"], [*ROW, "anger"]], [HEAD, row(e="anger")])
    reading, *_ = read(path)
    assert reading.table["emotion"].tolist() == ["fear"]
    notes = " ".join(reading.notes)
    assert "columns G and H, 'Estimated Emotion' and 'Emotion', could be the emotion" in notes
    assert "sheet 'Sheet1' has the headings too and is NOT read" in notes


def test_unknown_emotions_are_named_with_their_rows(tmp_path, capsys):
    rows = [row(c=c, e=e) for c, e in [("a", "Repressed"), ("b", "repressed"), ("d", "Other ")]]
    path = book(tmp_path / "a.xlsx", [HEAD, *rows])
    notes = read(path)[0].notes
    told = "emotion 'repressed' is unknown, no task takes it (row 2, 3); did you mean 'repression'?"
    assert told in notes and not any("other" in note for note in notes)
    out = str(tmp_path / "o.csv")
    assert main(["manifest", "casme2", "--annotations", str(path), "--out", out]) == 0
    assert main(["task", "casme2-5", "--table", out]) == 2
    assert "no task knows the emotions repressed" in capsys.readouterr().err


def test_a_column_of_something_else_does_not_fill_the_report(tmp_path):
    """Every row another emotion, as when the column of clip names is read for it."""
    rows = [row(c=f"c{k}", e=f"EP{k}_x") for k in range(200)]
    notes = read(csv(tmp_path / "a.csv", HEAD, *rows))[0].notes
    assert sum("is unknown, no task takes it" in note for note in notes) == 20
    assert notes[-1] == "180 more emotions are unknown"
    many = [row(c=f"c{k}", e="fearr") for k in range(50)]
    (note,) = read(csv(tmp_path / "a.csv", HEAD, *many))[0].notes[-1:]
    assert "20, 21, ...); did you mean 'fear'?" in note


def test_codes_are_no_emotions(tmp_path):
    path = book(tmp_path / "a.xlsx", [HEAD, row(), row(c="b", e=2), row(c="d", e="5?")])
    _, outcome, reason = read(path)
    assert list(outcome.values()) == ["kept", "dropped", "dropped"]
    assert reason[3] == "emotion '2' is not the name of one"
    head = "Subject Filename OnsetF OffsetF Label".split()
    rows = [["20", "s20_ne_01", 1, 9, 0], ["3", "s3_sur_01", 1, 9, 2], ["3", "clip4", 1, 9, 1]]
    reading, outcome, reason = read(book(tmp_path / "a.xlsx", [head, *rows]), "smic")
    assert reading.table["emotion"].tolist() == ["negative", "surprise"]
    assert list(outcome.values()) == ["repaired", "repaired", "dropped"] and "a code" in reason[2]


def test_merged_cells_fill_their_rows(tmp_path):
    rows = [HEAD, ROW, row(s=None, c="b"), row(s=None, c="d"), row(s="02"), row(s=None, c="b")]

    def merge(sheet):
        sheet.merge_cells("A2:A4")
        sheet.merge_cells("A5:A6")

    reading, *_ = read(book(tmp_path / "a.xlsx", rows, change=merge))
    assert reading.table["subject"].tolist() == ["01", "01", "01", "02", "02"]
    assert set(read(book(tmp_path / "b.xlsx", rows))[1].values()) == {"kept", "dropped"}


@pytest.mark.parametrize("two", [("Frames", "Onset"), ("", "OnsetFrame"), ("Onset", "Frame")])
def test_headings_in_two_rows(tmp_path, two):
    high, low = [*HEAD], [""] * 7
    high[2], low[2] = two
    high[3:5], low[3:5] = ["", ""], ["Apex", "Offset"]
    reading, *_ = read(book(tmp_path / "a.xlsx", [high, low, ROW]))
    assert reading.table[["onset", "apex", "offset"]].values.tolist() == [[46, 59, 86]]
    assert reading.report["row"].tolist() == [3]


def test_a_formula_without_its_value_is_named(tmp_path):
    path = book(tmp_path / "a.xlsx", [HEAD, row(c="b"), row(off="=C3+40")])
    _, outcome, reason = read(path)
    assert outcome == {2: "kept", 3: "dropped"} and "offset is the formula '=C3+40'" in reason[3]


def computed(path, value, kind=""):
    """The workbook with a value stored beside each of its formulas, as Excel does it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    cell = rb"<c r='\1'%s><f>\2</f><v>%s</v>"  # some programs write such quotation marks
    text = re.sub(rb'<c r="(\w+)"><f>(.*?)</f><v ?/>', cell, parts[name])
    parts[name] = text % ((kind.encode(), value.encode()) * text.count(b"<f>"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("column", "cell", "formula", "value"),
    [
        ("au", "F3", "=4+7", "11"),
        ("au", "F3", "=+4+7", "11"),
        ("c", "B3", "=2-1", "1"),
        ("s", "A3", "=A2", "1"),
        ("e", "G3", "=G2", "fear"),
    ],
)
def test_a_formula_in_a_column_of_text_is_refused(tmp_path, capsys, column, cell, formula, value):
    path = book(tmp_path / "a.xlsx", [HEAD, row(c="b"), row(**{column: formula})])
    computed(path, value, ' t="str"' * value.isalpha())
    out = tmp_path / "o.csv"
    assert main(["manifest", "casme2", "--annotations", str(path), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"a.xlsx, sheet 'Sheet', cell {cell}: " in said and f"{formula!r}; write what" in said
    assert said.count("\n") == 1 and not out.exists()


def test_formulas_elsewhere_are_read(tmp_path):
    below = [None, None, None, None, None, "=COUNTA(F2:F3)", None]
    path = book(tmp_path / "a.xlsx", [HEAD, row(c="b"), row(off="=C3+40"), below])
    reading, outcome, _ = read(computed(path, "99"))
    assert reading.table["offset"].tolist() == [86, 99] and outcome[4] == "dropped"


@pytest.mark.parametrize(
    ("changes", "outcome", "told"),
    [
        ({"apex": 59.5}, "repaired", "apex '59.5' is not a frame number, left empty"),
        ({"apex": "?59"}, "repaired", "left empty"),
        ({"on": "46 (?)"}, "dropped", "onset '46 (?)' is not a frame number"),
        ({"off": "68-70"}, "dropped", "offset '68-70'"),
        ({"on": "４６", "off": "⑧⑥", "apex": "５９"}, "kept", ""),
        ({"on": " 46 ", "off": "86.0"}, "kept", ""),
        ({"s": "０１", "au": "Ｌ４"}, "kept", ""),
        ({"s": "1.5"}, "dropped", "subject '1.5' has no number"),
        ({"e": "#VALUE!"}, "dropped", "emotion is the error #VALUE! of a formula"),
        ({"c": "#N/A"}, "dropped", "no clip name"),
        ({"c": "B"}, "dropped", "same clip as row 2"),
        ({"c": "x" * 300}, "dropped", "clip has 300 signs"),
        ({"s": "1" * 300}, "dropped", "subject has 300 signs"),
    ],
)
def test_odd_cells(tmp_path, changes, outcome, told):
    reading, outcomes, reason = read(book(tmp_path / "a.xlsx", [HEAD, row(c="b"), row(**changes)]))
    assert outcomes[3] == outcome and told in reason[3]
    if outcome == "kept":
        assert reading.table.loc[1, ["subject", "onset", "apex", "offset"]].tolist() == [
            "01",
            46,
            59,
            86,
        ]


def test_descriptors_and_the_column_of_frame_rates(tmp_path):
    rows = [("4+AD38", 500), ("AD39+L AD 19", "300 fps"), ("1+2+M58", ""), ("17+46", 0)]
    rows += [("8+29+30+32+33+34+35+36+37+40+41+42+44", "29,97")]
    path = book(
        tmp_path / "a.xlsx",
        [[*HEAD, "Fps"], *([*row(c=f"c{k}", au=au), fps] for k, (au, fps) in enumerate(rows))],
    )
    reading, outcome, reason = read(path, "dfme")
    assert reading.table["fps"].tolist() == [500, 300, 200, 29.97]
    assert reading.table["action_units"].tolist()[:2] == ["4+AD38", "AD39+L AD 19"]
    assert outcome[5] == "dropped" and reason[5] == "fps '0' is not a number of frames per second"


def test_a_row_without_a_split_among_others_is_said(tmp_path):
    rows = [[*row(c=c), split] for c, split in [("a", "Train"), ("b", "test A"), ("d", None)]]
    reading, outcome, reason = read(book(tmp_path / "a.xlsx", [[*HEAD, "Split"], *rows]), "dfme")
    assert reading.table["split"].tolist() == ["train", "test_a", ""]
    assert outcome[4] == "repaired" and "no split given: where it decides" in reason[4]


def test_people_in_two_spellings_become_one(tmp_path):
    rows = [row(c=c, s=s) for c, s in [("a", "1"), ("b", "01"), ("d", "sub 01"), ("e", "１")]]
    table = read(book(tmp_path / "a.xlsx", [HEAD, *rows]))[0].table
    assert set(table["subject"]) == {"01"} and len(table) == 4
    table = read(book(tmp_path / "a.xlsx", [HEAD, *rows]), "dfme")[0].table
    assert set(table["subject"]) == {"1"} and len(table) == 4


def test_endings_do_not_decide(tmp_path):
    workbook = book(tmp_path / "a.xlsx", [HEAD, ROW]).rename(tmp_path / "a.csv")
    text = csv(tmp_path / "b.csv", HEAD, ROW)
    assert read(workbook)[0].table.equals(read(text)[0].table)
    (tmp_path / "old.xlsx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    with pytest.raises(ValueError, match="old.xlsx: is an old xls or protected by a password"):
        read_sheets(tmp_path / "old.xlsx")


def far_away(sheet):
    sheet["XFD1048576"] = "x"


def wide(sheet):
    sheet["XFD1"] = "x"


def test_a_cell_far_away_is_refused_before_it_costs_memory(tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match="'Sheet': 1,048,576 rows, the limit is .*MERCLIP_MAX_ROWS"
    ):
        read_sheets(book(tmp_path / "a.xlsx", [HEAD, ROW], change=far_away))
    with pytest.raises(
        ValueError, match="'Sheet': 16,384 columns, the limit is .*MAX_COLUMNS=16384"
    ):
        read_sheets(book(tmp_path / "b.xlsx", [HEAD, ROW], change=wide))
    monkeypatch.setenv("MERCLIP_MAX_COLUMNS", "16384")
    assert len(read_sheets(tmp_path / "b.xlsx")[0].rows[0]) == 16384


def test_empty_cells_far_away_with_a_format_are_harmless(tmp_path):
    def form(sheet):
        sheet["XFD1048576"].number_format = "0.00"
        sheet["A3"].number_format = "@"

    (sheet,) = read_sheets(book(tmp_path / "a.xlsx", [HEAD, ROW], change=form))
    assert len(sheet.rows) == 2 and len(sheet.rows[0]) == len(HEAD)


@pytest.mark.parametrize(
    "part", ["xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/x.xml", "xl/sheets/one.bin"]
)
def test_what_unpacks_to_very_much_is_not_unpacked(tmp_path, part):
    book(tmp_path / "a.xlsx", [HEAD, ROW])
    with zipfile.ZipFile(tmp_path / "a.xlsx", "a", zipfile.ZIP_DEFLATED) as archive:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the part is there twice
            archive.writestr(part, b" " * 30_000_000)
    assert (tmp_path / "a.xlsx").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"a.xlsx: 30,.* unpacked bytes, the limit is 10,000,000"):
        read_sheets(tmp_path / "a.xlsx")


def test_a_text_that_many_cells_share_counts_in_each(tmp_path, monkeypatch):
    monkeypatch.setenv("MERCLIP_MAX_CHARACTERS", "1000000")
    rows = [row(c="x" * 30_000) for _ in range(50)]
    with pytest.raises(ValueError, match=r"1,50.* characters, the limit is 1,000,000"):
        read_sheets(book(tmp_path / "a.xlsx", [HEAD, *rows]))


def test_text_that_is_not_unicode_is_read_and_said(tmp_path):
    text = "\n".join(",".join(map(str, cells)) for cells in [[*HEAD, "备注"], [*ROW, "微"]])
    (tmp_path / "a.csv").write_bytes(text.encode("gb18030"))
    reading, outcome, _ = read(tmp_path / "a.csv")
    assert outcome == {2: "kept"} and any("read as gb18030" in note for note in reading.notes)


@pytest.mark.parametrize(
    "hostile", ['<c r="A1" ' * 30_000, "<c " + ' r="A1"' * 30_000, '<c r="A1">' + " " * 300_000]
)
def test_a_sheet_that_is_hard_to_search_is_read_at_once(tmp_path, hostile):
    plain, path = tmp_path / "plain.xlsx", tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["onset", "offset"])
    book.save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            text = old.read(name)
            if name.endswith("sheet1.xml"):
                text = text.replace(b"</worksheet>", f"<!--{hostile}--></worksheet>".encode())
            new.writestr(name, text)
    (sheet,) = read_sheets(path)  # went on for hours
    assert sheet.rows == [["onset", "offset"]]
