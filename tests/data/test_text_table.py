"""Tables in text files are read rightly or refused in one line, whatever a program made of them."""

import codecs
import csv
import os

import pandas as pd
import pytest

from merclip_lib.data.table import COLUMNS, check_table, read_table, write_table
from merclip_lib.data.text_table import read_text_table

ROWS = [
    COLUMNS,
    ["c1", "dfme", "Müller", "a", "3", "", "8", "200", "4+7", "fear", "01/a"],
    ["c2", "dfme", "李", "b", "3", "5", "8", "200", '12, "weak"', "fear", "01/b"],
]


def text(rows=ROWS, delimiter=",", end="\n"):
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]
    return end.join(map(delimiter.join, quoted)) + end


def plain(rows):
    return "\n".join(map(",".join, rows)) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-16-be marked"],
)
def test_encodings_delimiters_and_line_ends(tmp_path, encoding, delimiter, end):
    raw = text(delimiter=delimiter, end=end).encode(encoding.split()[0])
    raw = codecs.BOM_UTF16_BE + raw if "marked" in encoding else raw
    (tmp_path / "t.csv").write_bytes(raw)
    assert read_text_table(tmp_path / "t.csv").rows == ROWS


def test_a_clip_table_that_a_spreadsheet_program_saved_again(tmp_path):
    """Semicolons, a byte order mark, blanks in headings, empty rows and columns at the end."""
    rows = [[f" {name} " for name in COLUMNS], *ROWS[1:]]
    rows[2] = [*rows[2][:8], "12", *rows[2][9:]]
    rows = [[*row, "", ""] for row in [*rows, [""] * 11]]
    (tmp_path / "t.csv").write_bytes(text(rows, ";").encode("utf-8-sig"))
    table = read_table(tmp_path / "t.csv")
    assert list(table.columns) == COLUMNS and table["subject"].tolist() == ["Müller", "李"]
    assert table["frames"].tolist() == ["01/a", "01/b"] and table["onset"].dtype == "int64"


def test_subjects_stay_text_also_under_a_heading_with_blanks(tmp_path):
    rows = [[f" {name}" for name in COLUMNS], [*ROWS[1][:2], "01", *ROWS[1][3:]]]
    (tmp_path / "t.csv").write_text(plain(rows))
    assert read_table(tmp_path / "t.csv")["subject"].tolist() == ["01"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": is empty"),
        (b" \n\n", ": is empty"),
        (b',,,\n""\n', ": all its cells are empty"),
        (
            plain([*ROWS[:2], [*ROWS[1][:8], "(" * 2000, *ROWS[1][9:]]]).encode(),
            "row 3: action_units: 2,000 signs of a cell, the limit is 1,000",
        ),
        (b"PK\x03\x04" + b"x" * 50, "is a workbook, not text; save it as `CSV UTF-8`"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"x" * 50, "is a workbook, not text"),
        (text().encode("latin-1", "replace"), "its text is not Unicode"),
        (b"a,b\n1,\0\n", "is not a text file"),
        (text().replace('"c2"', '"c2').encode(), "row 3: .*quotation mark without its partner"),
        (plain([*ROWS[:2], [*ROWS[1], "x"]]).encode(), "row 3: 12 cells under 11 headings"),
        (plain([*ROWS[:2], ROWS[1][:10]]).encode(), "row 3: 10 cells under 11 headings"),
        (plain([*ROWS[:2], [], ROWS[1][:10]]).encode(), "row 4: 10 cells under 11 headings"),
        (plain([[*COLUMNS, "emotion"], [*ROWS[1], "sadness"]]).encode(), "two columns .*'emotion'"),
        (("a" * 200_000).encode(), "row 1: field larger than field limit"),
        (b"x," * 2_000, r"2,001 columns, the limit is 1,000; .*MERCLIP_MAX_COLUMNS=2001"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"t.csv.*{message}") as told:
        read_table(tmp_path / "t.csv")
    assert "\n" not in str(told.value)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match="no such clip table"):
        read_table(tmp_path / ("x" * 300))
    for name in ("pipe.csv", ".", "absent.csv"):
        with pytest.raises(ValueError, match="no such file"):
            read_text_table(tmp_path / name)
        with pytest.raises(ValueError, match="no such clip table"):
            read_table(tmp_path / name)
    with pytest.raises(ValueError, match="cannot be read .File name too long"):
        read_text_table(tmp_path / ("x" * 300))


def test_a_limit_is_named_and_can_be_lifted(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(text())
    monkeypatch.setenv("MERCLIP_MAX_ROWS", "2")
    with pytest.raises(ValueError, match="t.csv: 3 rows, the limit is 2; .*MERCLIP_MAX_ROWS=3"):
        read_text_table(tmp_path / "t.csv")
    monkeypatch.setenv("MERCLIP_MAX_ROWS", "3")
    assert read_text_table(tmp_path / "t.csv").rows == ROWS
    monkeypatch.setenv("MERCLIP_MAX_ROWS", "1e6")
    assert read_text_table(tmp_path / "t.csv").rows == ROWS
    monkeypatch.setenv("MERCLIP_MAX_ROWS", "many")
    with pytest.raises(ValueError, match="MERCLIP_MAX_ROWS is 'many' in the environment"):
        read_text_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("casme2", "01"), ("casme2", "1")),
        (("casme2", "sub01"), ("casme2", "01")),
        (("casme3", "spNO.7"), ("casme3", "spno.07")),
        (("dfme", "sub 12"), ("dfme", "Sub_12")),
        (("dfme", "５"), ("dfme", "5")),
        (("dfme", "Ann"), ("dfme", "ann ")),
        (("casme2", "01"), ("CASME2", "01")),
        (("casme2", "1"), ("casme2", "1.0")),
        (("casme3", "sub02.0"), ("casme3", "2")),
    ],
)
def test_one_person_in_two_spellings_is_refused(tmp_path, first, second):
    """Else the person would be in training and in test at once."""
    rows = [["c1", *first, *ROWS[1][3:]], ["c2", *second, *ROWS[1][3:]]]
    (tmp_path / "t.csv").write_text(plain([COLUMNS, *rows]))
    with pytest.raises(ValueError, match="t.csv, row 3: subject .* in another spelling"):
        read_table(tmp_path / "t.csv")


def test_two_persons_with_like_names_stay_two(tmp_path):
    subjects = ["1", "10", "11", "0", "1-2", "12", "p1", "a1", "a-1", "1.5", "1.0.2"]
    table = pd.DataFrame([ROWS[1]] * len(subjects), columns=COLUMNS)
    table = table.assign(subject=subjects, clip_id=[f"c{k}" for k in range(len(subjects))])
    table.to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv")["subject"].nunique() == len(subjects)


def test_line_breaks_in_cells(tmp_path):
    """In what says whose clip it is they are refused; in a note they come back as read."""
    table = pd.DataFrame([ROWS[1]], columns=COLUMNS)
    for name in ("clip_id", "subject", "emotion", "action_units", "frames"):
        for sign in "\r\n":
            broken = table.assign(**{name: f"4{sign}4"})
            with pytest.raises(ValueError, match=f"row 2: {name} '4.*4' has a line break"):
                check_table(broken)
    (tmp_path / "t.csv").write_text(text(ROWS[:2]))
    noted = read_table(tmp_path / "t.csv").assign(note="a\nb", split="01", label="1.0")
    noted.to_csv(tmp_path / "t.csv", index=False, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    raw = (tmp_path / "t.csv").read_bytes().replace(b"a\nb", b"a\rb")
    (tmp_path / "t.csv").write_bytes(raw)
    write_table(read_table(tmp_path / "t.csv"), tmp_path / "again.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "again.csv"), noted)
