"""Action units: parsing, sentences, side swap."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merclip_lib.text.facs import NAMES, WITHOUT_PHRASE, ActionUnit, parse, swap_sides
from merclip_lib.text.sentences import NOTHING, STYLES, TEMPLATES, describe, phrase

SENTENCES = {
    "4": "lowering the brows",
    "4+7+L10": "a combination of lowering the brows, tightening the lids and raising the left "
    "upper lip",
    "ref(7B)+43C": "a combination of tightening the lids might be present and closing the eyes",
    "(R6 or R12)+R15": "a combination of raising the right cheek or pulling the right corner of "
    "the lips and depressing the right corner of the lips",
    "R14+17+soft focus": "a combination of creating the right dimple and raising the chin",
    "L12 or L14": "pulling the left corner of the lips or creating the left dimple",
    "R14A or 17A or 24A": "creating the right dimple or raising the chin or pressing the lips",
    "10A/B": "raising the upper lip",
    "4D+9B": "a combination of lowering the brows and wrinkling the nose",
    "7B+56": "tightening the lids",
    "4?": "lowering the brows might be present",
    "A12": "pulling the corners of the lips",
    "A/L12": "pulling the left corner of the lips",
    "A1B+A2C": "a combination of raising the inner part of the brows and raising the outer part "
    "of the brows",
    "T18+B18": "puckering the lips",
    "T23": "tightening the lips",
    "4+4A+4": "lowering the brows",
    "51 or 4": "lowering the brows",
    " 4 + L 12 ": "a combination of lowering the brows and pulling the left corner of the lips",
    # 4DME and CAS(ME)3 write so.
    "AU4+AU7": "a combination of lowering the brows and tightening the lids",
    "AUL12+LAU14": "a combination of pulling the left corner of the lips and creating the left "
    "dimple",
    "4,7": "a combination of lowering the brows and tightening the lids",
    "4＋7，": "a combination of lowering the brows and tightening the lids",
    "4+": "lowering the brows",
    "l12": "pulling the left corner of the lips",
    "12（C）": "pulling the corners of the lips",
    "AU12 (c)": "pulling the corners of the lips",
    "AU4+AU7(k)": "lowering the brows",
    "L7(k)": "no visible facial movement",
    "nan": "no visible facial movement",
    "/": "no visible facial movement",
    "soft focus": "no visible facial movement",
    "51+52": "no visible facial movement",
    "?": "no visible facial movement",
    "": "no visible facial movement",
    45: "blinking",
    4.0: "lowering the brows",
    None: "no visible facial movement",
    math.nan: "no visible facial movement",
}

ONE_SIDED = {
    "L1": "raising the inner part of the left brow",
    "R2": "raising the outer part of the right brow",
    "L4": "lowering the left brow",
    "L6": "raising the left cheek",
    "L7": "tightening the left lid",
    "L9": "wrinkling the left side of the nose",
    "R10": "raising the right upper lip",
    "L12": "pulling the left corner of the lips",
    "R14": "creating the right dimple",
    "R15": "depressing the right corner of the lips",
    "R17": "raising the chin to the right",
    "L18": "puckering the lips to the left",
    "L20": "stretching the lips down and to the left",
}


@st.composite
def annotations(draw):
    """Annotations that the notation allows."""
    number = st.sampled_from(sorted(NAMES) + sorted(WITHOUT_PHRASE))
    lead = st.sampled_from(
        ["", "", "L", "R", "A", "A/L", "A/R", "T", "B", "L ", "AU", "AUl", "r AU", "l"]
    )
    tail = st.sampled_from(["", "", "A", "C", "A/B", "?", "(c)", " (k)", "a/b?"])
    unit = st.builds("{}{}{}".format, lead, number, tail)
    either = st.lists(unit, min_size=1, max_size=3).map(
        lambda alternatives: "(" + " or ".join(alternatives) + ")"
    )
    loose = st.builds("{} OR {}".format, unit, unit)
    part = st.one_of(unit, either, loose, unit.map("ref({})".format), st.just("soft focus"))
    separator = draw(st.sampled_from(["+", " + ", "+ ", ",", "＋", " ， "]))
    return separator.join(draw(st.lists(part, min_size=1, max_size=5)))


@pytest.mark.parametrize("annotation", SENTENCES)
def test_sentence(annotation):
    assert describe(annotation) == SENTENCES[annotation]


@pytest.mark.parametrize("annotation", ONE_SIDED)
def test_one_sided_phrase(annotation):
    assert describe(annotation) == ONE_SIDED[annotation]


def test_every_one_sided_phrase_names_its_side_once():
    for number in NAMES:
        for side in ("left", "right"):
            assert phrase(number, side).split().count(side) == 1
        assert not {"left", "right"} & set(phrase(number).split())


def test_parsed_fields():
    assert parse("A/L12B+51") == [ActionUnit(12, "left", "B"), ActionUnit(51)]
    assert parse("10A/B") == [ActionUnit(10, "", "A/B")]
    assert parse("L12 or L14") == [ActionUnit(12, "left"), ActionUnit(14, "left", None, "or")]
    assert parse("ref(7B)+4?") == [
        ActionUnit(7, "", "B", "maybe"),
        ActionUnit(4, "", None, "maybe"),
    ]
    assert parse("4 or 7?") == [ActionUnit(4), ActionUnit(7, "", None, "or maybe")]
    assert parse("au l12 (c)+7(K)") == [ActionUnit(12, "left", "C"), ActionUnit(7, marked_k=True)]
    assert parse("T18") == [ActionUnit(18)]
    assert parse(8) == [ActionUnit(8)]


def test_styles():
    assert describe("4+7+L10", "facs_names") == (
        "a combination of Brow Lowerer, Lid Tightener and Left Upper Lip Raiser"
    )
    assert describe("4+7+L10", "codes") == "AU4, AU7 and left AU10"
    assert describe("4+R12", "anatomy") == (
        "a combination of corrugator supercilii and right zygomaticus major"
    )
    assert describe("22+23", "anatomy") == "orbicularis oris"
    assert describe("4+7", "emotion_only", emotion="anger") == "anger"
    for style in STYLES[:-1]:
        assert describe("", style) == NOTHING
    with pytest.raises(ValueError, match="facs_names"):
        describe("4", "prose")
    with pytest.raises(ValueError, match="emotion="):
        describe("4", "emotion_only")


def test_templates():
    sentences = [template.format(describe("4")) for template in TEMPLATES]
    assert sentences[0] == "This micro-expression involves lowering the brows."
    assert len(set(sentences)) == 7


@pytest.mark.parametrize(
    "annotation",
    [
        "4+foo",
        "99",
        "3",
        "4++7",
        "+4",
        "4+,",
        ",",
        "(4+7",
        "4 7",
        "4F",
        "or",
        "4 or",
        "L",
        "AU",
        "4-7",
        "12(F)",
        "12(k",
        "١٢",
        "１２",
        4.5,
        True,
        10**9,
        -4,
        math.inf,
        [4],
        "9" * 9999,
    ],
)
def test_unknown_text_is_refused(annotation):
    with pytest.raises(ValueError, match="casme2.csv, row 7: .* write them like"):
        parse(annotation, where="casme2.csv, row 7")


def test_message_quotes_the_text():
    with pytest.raises(ValueError, match=r"'4\+foo'.*'foo' is not an action unit"):
        describe("4+foo")


@pytest.mark.parametrize(
    "before, after",
    [
        ("4+L10", "4+R10"),
        ("A/L12", "A/R12"),
        ("(R6 or R12)+R15", "(L6 or L12)+L15"),
        ("L 12 OR 14", "R 12 OR 14"),
        ("L12+R12", "R12+L12"),
        ("aul12 or r14,", "aur12 or l14,"),
        ("LAU4＋R AU7(k)", "RAU4＋L AU7(k)"),
        ("ref(R7B)", "ref(L7B)"),
        ("4", "4"),
        (4, "4"),
        (None, ""),
    ],
)
def test_swap_sides(before, after):
    assert swap_sides(before) == after


def test_swap_sides_refuses_what_parse_refuses():
    with pytest.raises(ValueError, match="row 3"):
        swap_sides("L99", where="row 3")


@given(annotations())
def test_swap_is_an_involution_and_mirrors_the_sentence(annotation):
    assert swap_sides(swap_sides(annotation)) == annotation
    mirror = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    for style in STYLES[:-1]:
        words = describe(annotation, style).replace(",", " ,").split(" ")
        mirrored = " ".join(mirror.get(word, word) for word in words).replace(" ,", ",")
        assert describe(swap_sides(annotation), style) == mirrored


@given(
    st.one_of(
        st.text(),
        st.text("0123456789LRATBUor ()+?/ABCDErefk,＋", max_size=14),
        st.integers(),
        st.floats(),
        st.none(),
        st.booleans(),
        st.binary(),
        st.lists(st.integers()),
        st.fractions(),
    )
)
def test_any_input_gives_units_or_a_value_error(annotation):
    try:
        units = parse(annotation)
    except ValueError:
        return
    assert all(unit.number in NAMES or unit.number in WITHOUT_PHRASE for unit in units)
    assert isinstance(describe(annotation), str)


def test_import_is_light():
    code = (
        "import sys, merclip_lib.text.facs; "
        "print({'torch', 'numpy', 'pandas', 'open_clip'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
