"""Hypothesis strategies for what people hand over: annotations, sheets, tables, weights, pictures.

Each makes files as bytes, near to sound ones: a wrong cell, a lost byte, a stray name. What reads
them may refuse them with a ValueError, in one line, and nothing else.
"""

import io
import json

import numpy as np
import openpyxl
import yaml
from hypothesis import strategies as st
from PIL import Image

from merclip_lib.data.table import COLUMNS

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "gb18030")
HEADINGS = "Subject Filename OnsetFrame ApexFrame OffsetFrame".split()
HEADINGS += ["Action Units", "Estimated Emotion"]

_ODD = [
    "",
    " ",
    "nan",
    "-",
    "0",
    "-1",
    "1.5",
    "1e5",
    "９",
    "①",
    "²",
    "None",
    "=A1",
    "#REF!",
    "1-Feb",
]
_ODD += [
    "a,b",
    "a;b",
    'a"b',
    "a\nb",
    "a\rb",
    "a\r\nb",
    "01",
    "1.0",
    "İ",
    "ﷺ",
    "ǅ",
    "\u2028",
    "\ufeff",
    "x" * 300,
    "../a",
    "C:\\a",
    "\x1f",
]
odd_cells = st.one_of(st.sampled_from(_ODD), st.text(max_size=6))


def annotation_texts() -> st.SearchStrategy[str]:
    """Annotations of action units, most of them sound."""
    pieces = "4 7 12 L10 R 10A/B AU4 AD38 M58 + , ( ) ? or ref( soft focus (k) ＋ ４ 99 ١".split()
    return st.lists(st.sampled_from([*pieces, " "]), max_size=12).map("".join) | st.text(
        max_size=20
    )


@st.composite
def _rows(draw, headings: list[str], sound: list[list[str]]) -> list[list[str]]:
    """A table with a few cells, rows and headings that went wrong."""
    rows = [list(headings), *(list(row) for row in sound)]
    for _ in range(draw(st.integers(0, 4))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        if row:
            row[draw(st.integers(0, len(row) - 1))] = draw(odd_cells)
    for change in draw(
        st.lists(st.sampled_from("shorter longer empty again moved".split()), max_size=2)
    ):
        k = draw(st.integers(0, len(rows) - 1))
        if change == "shorter":
            rows[k] = rows[k][:-1]
        elif change == "longer":
            rows[k] = [*rows[k], draw(odd_cells)]
        else:
            rows.insert(k, {"empty": [], "again": rows[k], "moved": rows[-1]}[change])
    return rows


@st.composite
def _text_file(draw, rows: list[list[str]]) -> bytes:
    """Rows as a text file, quoted or not, in some encoding, now and then cut."""
    delimiter = draw(st.sampled_from(",,;\t|"))
    if draw(st.booleans()):
        rows = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = end.join(map(delimiter.join, rows))
    raw = text.encode(draw(st.sampled_from(ENCODINGS)), "replace")
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw


@st.composite
def clip_tables(draw) -> bytes:
    """A clip table in a text file."""
    row = ["c{}", "casme2", "0{}", "a", "3", "5", "8", "200", "4+7", "fear", "01/a"]
    sound = [[cell.format(k) for cell in row] for k in range(draw(st.integers(0, 4)))]
    return draw(_text_file(draw(_rows(COLUMNS, sound))))


@st.composite
def annotation_sheets(draw) -> tuple[str, bytes]:
    """Ending and content of an annotation file, xlsx or csv."""
    headings, row = list(HEADINGS), ["0{}", "EP0{}_01f", "46", "59", "86", "4+L10", "fear"]
    for heading, cell in (("Fps", "300"), ("Split", "test A"), ("Remark", "")):
        if draw(st.booleans()):
            headings, row = [*headings, heading], [*row, cell]
    emotions = ("fear", "anger", "Disgust", "happy", "others", "sad", "surprise")
    some = emotions[: draw(st.sampled_from([0, 1, 2, 3, 4, 7]))]
    sound = [[cell.format(k) for cell in row] for k in range(len(some))]
    for cells, emotion in zip(sound, some, strict=True):
        cells[6] = emotion
    rows = draw(_rows(headings, sound))
    if draw(st.booleans()):
        return draw(st.sampled_from([".csv", ".txt"])), draw(_text_file(rows))
    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        illegal = openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE
        book.active.append([illegal.sub("", cell) for cell in row])
    if draw(st.booleans()):
        book.active.merge_cells(draw(st.sampled_from(["A2:A4", "A1:C1", "B2:C9", "A2:A999"])))
    book.save(content)
    raw = content.getvalue()  # its length depends on the time that stands in it
    cut = draw(st.integers(0, 999)) if draw(st.integers(0, 9)) == 0 else 1000
    return ".xlsx", raw[: len(raw) * cut // 1000]


@st.composite
def weights_files(draw) -> bytes:
    """A safetensors file whose header may say anything of its tensors."""
    names = ["conv1.weight", "class_embedding", "positional_embedding", "logit_scale", "temp"]
    names += [
        "net.conv1.weight",
        "vision_encoder.conv1.weight",
        "visual.class_embedding",
        "x" * 999,
    ]
    header: dict = {}
    for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=5)):
        shape = draw(st.lists(st.integers(0, 3), max_size=5))
        kind = draw(st.sampled_from(["F32", "F32", "F64", "F16", "BF16", "BOOL", "I64", "X9"]))
        size = int(np.prod(shape)) * {"F64": 8, "I64": 8, "F32": 4, "BOOL": 1}.get(kind, 2)
        start = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, start + size]}
    length = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    odd = (
        st.none()
        | st.integers(-3, 99)
        | st.text(max_size=5)
        | st.lists(st.integers(0, 9), max_size=3)
    )
    if draw(st.booleans()):
        merclip = json.dumps(draw(odd)) if draw(st.booleans()) else draw(st.text(max_size=9))
        header["__metadata__"] = {"merclip": merclip}
    if header and draw(st.integers(0, 3)) == 0:
        header[draw(st.sampled_from(sorted(header)))] = draw(odd)
    text = json.dumps(header).encode()
    data = draw(st.sampled_from([b"\0", b"\x3f", b"\xff"])) * length
    claimed = len(text) if draw(st.integers(0, 9)) else draw(st.integers(0, 2**63))
    raw = claimed.to_bytes(8, "little") + text + data
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw


def _picture(kind: str, number: int) -> bytes:
    """A small picture that says its number, or something that is none."""
    grey = (np.add.outer(np.arange(9), np.arange(8)) * 7 + number) % 256
    values = {"L": np.uint8, "I;16": np.uint16, "F": np.float32, "I": np.int32}
    content = io.BytesIO()
    if kind in values:
        Image.fromarray(grey.astype(values[kind])).save(content, "TIFF")
    elif kind in ("P", "CMYK", "1", "RGB"):
        Image.fromarray(grey.astype(np.uint8)).convert(kind).save(content, "TIFF")
    return content.getvalue()[: 60 if kind == "cut" else None]


@st.composite
def picture_folders(draw) -> dict[str, bytes]:
    """The files of one clip by their names: frames of one form, and a few others."""
    forms = [
        "img{}.tif",
        "{}.jpg",
        "006_{:05d}.png",
        "f{}_crop224.tif",
        "f_{}_conf0.7.tif",
        "图{}.tif",
    ]
    form, first = draw(st.sampled_from(forms)), draw(st.integers(0, 3))
    kind = draw(st.sampled_from(["L", "L", "I;16", "F", "I", "P", "CMYK", "1", "RGB"]))
    files = {form.format(first + k): _picture(kind, 9 * k) for k in range(draw(st.integers(0, 9)))}
    names = [
        "apex.jpg",
        "img3 (1).tif",
        "img2_mask.tif",
        "._img1.tif",
        "².tif",
        "０.tif",
        "Thumbs.db",
    ]
    others = st.text(
        st.characters(blacklist_characters="/\0", codec="utf-8"), min_size=1, max_size=8
    )
    strays = st.sampled_from(names) | others.map("{}.tif".format)
    for name in draw(st.lists(strays, max_size=3)):
        files[name] = _picture(draw(st.sampled_from(["L", "RGB", "F", "empty", "cut"])), 1)
    return files


@st.composite
def score_files(draw) -> bytes:
    """A file of predictions, with or without probabilities and databases."""
    headings = ["clip_id", "subject", "truth", "prediction"]
    row = ["c{}", "0{}", "anger", "fear"]
    for more, cell in (("database", "casme2"), ("fold", "{}"), ("selection", "last")):
        if draw(st.booleans()):
            headings, row = [*headings, more], [*row, cell]
    if draw(st.booleans()):
        headings, row = [*headings, "p_anger", "p_fear"], [*row, "0.25", "0.75"]
    sound = [[cell.format(k) for cell in row] for k in range(draw(st.integers(0, 5)))]
    rows = _rows(headings, sound)
    labels = st.sampled_from(["anger", "fear", "Fear", "0", "1.0", "others", "other", ""])
    for cells in (made := draw(rows))[1:]:
        if len(cells) > 3:
            cells[2] = draw(labels | st.just(cells[2]))
    return draw(_text_file(made))


def grids() -> st.SearchStrategy[bytes]:
    """A grid file: near to a sound one, and now and then any text."""
    odd = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.dates() | odd_cells
    odd = st.recursive(odd, lambda inner: st.lists(inner, max_size=2), max_leaves=3)
    values = st.dictionaries(st.sampled_from(["epochs", "seed", "x", "no"]), odd, max_size=2)
    entry = st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "b", "../c", "no", "A"]) | odd},
        optional={"question": odd, "parameters": values | odd, "more": odd},
    )
    content = st.fixed_dictionaries(
        {"entries": st.lists(entry | odd, min_size=1, max_size=3) | odd},
        optional={
            "notebook": st.just("05_train_loso.ipynb") | odd,
            "base": values | odd,
            "seeds": st.lists(st.integers(-1, 3), max_size=3) | odd,
            "more": odd,
        },
    )
    dumped = content.map(lambda value: yaml.safe_dump(value, allow_unicode=True))
    lines = st.lists(st.sampled_from(["entries:", "- name: a", " x: &a [*a]", "<<: *a", "\t", "%"]))
    text = dumped | lines.map("\n".join) | st.text(max_size=30)
    return st.builds(lambda text, form: text.encode(form, "replace"), text, st.sampled_from(_FORMS))


_FORMS = ("utf-8", "utf-8", "utf-16", "latin-1")
