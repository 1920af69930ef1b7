"""Sentences about a study: each says what its row of the table says, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merclip_lib.scores.families import Rules, judge_family
from merclip_lib.scores.verdicts import finding_in_words
from merclip_lib.study.answers import (
    FORBIDS,
    MARKS,
    NOTHING,
    answer_controls,
    answer_curves,
    answer_development,
    answer_differences,
    answer_here,
    answer_parts,
    named,
    references_in_words,
    results_table,
    with_doubts,
    write_readme,
)

RULES = Rules(samples=50)
SAYS = {
    "helps": " helps (",
    "hurts": " hurts (",
    "equivalent": " makes no difference of 0.02 or more (",
    "cannot tell": ": the study cannot tell (",
}
PARTS = pd.DataFrame(
    [
        ("a-like", "motion", True, True, True, 0.5, 0.45, 0.55, 16, ""),
        ("a-like", "motion", False, True, True, 0.4, 0.35, 0.45, 16, ""),
        ("a-like", "motion", False, False, False, 0.2, 0.15, 0.25, 8, ""),
        ("a-like", "dfme", True, True, True, 0.6, 0.55, 0.65, 8, ""),
        ("a-like", "dfme-no-text", False, True, True, 0.1, 0.0, 0.2, 8, ""),
    ],
    columns="preset start text eim mix uf1 low high populations verdict".split(),
)
REFERENCES = pd.DataFrame(
    [("a-like", "motion", k, "true units", 0.7 + 0.1 * k) for k in (0, 1)]
    + [("a-like", "motion", k, "most frequent class", 0.1) for k in (0, 1)],
    columns="preset start population reference uf1".split(),
)


def differences(means: list[float], spread: float) -> pd.DataFrame:
    """A family of made-up differences, judged as a study judges them."""
    generator = np.random.default_rng(0)
    values = [mean + spread * generator.standard_normal((51, 8)) for mean in means]
    findings = [vars(finding) for finding in judge_family(values, RULES)]
    table = pd.DataFrame(findings)
    return table.assign(change=[f"part {k}" for k in range(len(means))], preset="p", start="s")


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=4), st.sampled_from([0.001, 0.01, 0.1]))
def test_a_sentence_has_the_verdict_of_its_row(means, spread):
    table = differences(means, spread)
    lines = answer_differences(table, RULES).splitlines()[2:]
    for row, line in zip(table.itertuples(), lines, strict=True):
        said = [verdict for verdict, words in SAYS.items() if words in line]
        assert said == [row.verdict], line
        assert line.startswith(f"* part {row.Index} (p from s)")
        assert f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]" in line


def test_every_verdict_occurs_and_is_counted():
    rows = differences([0.2, -0.2, 0.0, 0.0], 0.005)
    rows.loc[3, ["verdict", "smallest_findable"]] = "cannot tell", 0.123
    text = answer_differences(rows, RULES)
    assert all(words in text for words in SAYS.values())
    assert "it finds 0.123 with a power of 0.8" in text
    assert "helps: 1, hurts: 1, equivalent: 1, cannot tell: 1; Holm's correction for 4" in text


def test_holm_decides_not_the_interval():
    finding = {"difference": 0.03, "low": 0.01, "high": 0.05, "p_holm": 0.2}
    finding |= {"smallest_findable": 0.04, "equivalent": False, "verdict": "cannot tell"}
    assert "cannot tell (UF1 +0.030 [+0.010, +0.050], p = 0.200)" in finding_in_words(
        "it", finding, RULES
    )


@pytest.mark.parametrize(("low", "unsure"), [(-0.006, True), (0.001, False)])
def test_a_verdict_beside_an_interval_that_holds_zero_is_of_these_people(low, unsure):
    finding = {"difference": 0.008, "low": low, "high": 0.022, "p_holm": 0.0004}
    text = finding_in_words("it", finding | {"verdict": "helps"}, RULES)
    assert text.startswith("it helps (UF1 +0.008 [") and (", p < 0.001)" in text)
    assert ("for these test people" in text) == unsure


def test_a_failed_control_says_what_it_forbids():
    rows = [("mark", "positive", True), ("xor", "positive", False), ("seed", "negative", False)]
    table = pd.DataFrame(rows, columns=["control", "kind", "passed"])
    table = table.assign(preset="p", start="s", difference=0.1, low=0.0, high=0.2, p_holm=0.23)
    head, _, *lines = answer_controls(table).splitlines()
    assert "1 of 3 controls passed" in head
    assert " passed (" in lines[0] and not any(words in lines[0] for words in FORBIDS.values())
    for line, kind in zip(lines[1:], ("positive", "negative"), strict=True):
        assert " failed: " in line and FORBIDS[kind] in line
        assert ("p = 0.230" in line) == (kind == "positive"), "a negative one has its bounds"
    assert named(table)["name"][0] == "positive control: mark (p from s)"


def test_failed_controls_are_said_of_the_part_that_they_are_about():
    rows = [("mark", "positive", "mix", False), ("xor", "positive", "eim", True)]
    rows += [("seed", "negative", "", False)]
    controls = pd.DataFrame(rows, columns=["control", "kind", "part", "passed"])
    controls = controls.assign(preset="p", start="s")
    asked = differences([0.2, 0.0, 0.1], 0.01).assign(part=["mix", "eim", ""])
    doubted = with_doubts(asked, controls)
    mix, eim, rest = doubted["doubt"]
    assert FORBIDS["positive"] in mix and FORBIDS["negative"] in mix
    assert "mark" not in eim and "seed" in eim, "a control of no part is about every part"
    assert rest == eim, "a control of one part says nothing of comparisons of no part"
    text = answer_differences(doubted, RULES)
    told = text.split("What failed controls forbid to conclude:")[1].split()
    assert {"LSFM:", "EIM:", "rest:"} <= set(told)
    passed = with_doubts(asked, controls.assign(passed=True))
    assert answer_differences(passed, RULES).endswith("No control of these failed.\n")
    without = answer_differences(with_doubts(asked, controls[:0]), RULES)
    assert without == answer_differences(asked, RULES) and "control" not in without
    rows = pd.DataFrame({"factor": "people", "level": ["8"], "part": "mix", "verdict": "helps"})
    assert f"* LSFM: {mix}." in answer_curves(with_doubts(rows, controls)).splitlines()


def test_a_part_that_is_ahead_early_alone_buys_speed():
    full = [0.3, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    behind = {"no_text": [0.1, 0.2, *full[2:]], "no_eim": [u - 0.1 for u in full], "no_mix": full}
    rows = [
        ("p", "s", entry, 5 * (k + 1), uf1)
        for entry, course in ({"full": full} | behind).items()
        for k, uf1 in enumerate(course)
    ]
    courses = pd.DataFrame(rows, columns=["preset", "start", "entry", "epoch", "uf1"])
    text, eim, mix = answer_development(courses, RULES).splitlines()[2:]
    assert text.startswith("* text, p from s: +0.200 in epochs 5 to 10, +0.000 in epochs 35 to 40")
    assert "bought speed" in text and "bought speed" not in eim + mix
    assert "no verdict" in answer_development(courses, RULES)
    assert answer_development(courses[:0], RULES) == NOTHING


def test_references_are_said_with_their_places():
    assert references_in_words(REFERENCES) == (
        "Without the method, mean UF1. a-like, from motion: true units 0.750, most frequent class "
        "0.100."
    )
    assert references_in_words(REFERENCES[:0]) == ""


def test_curves_list_levels_by_verdict():
    rows = [("people", "8", "text", "helps"), ("people", "16", "text", "cannot tell")]
    rows += [("people", "32", "text", "helps"), ("label_share", "0.1", "mix", "hurts")]
    columns = ["factor", "level", "part", "verdict"]
    text = answer_curves(pd.DataFrame(rows, columns=columns))
    assert "* text, people: helps at 8, 32; cannot tell at 16." in text
    assert "* mix, label share: hurts at 0.1." in text
    rows = pd.DataFrame([("templates", "4", "", "helps")], columns=columns)
    assert "* templates: helps at 4." in answer_curves(rows), "a curve of no part"


def test_the_full_method_stands_beside_references_on_the_right_side():
    first, second = answer_parts(PARTS, REFERENCES).splitlines()[2:]
    assert "motion: the full method has UF1 0.500 [0.450, 0.550], the others 0.200 to" in first
    assert "above it: true units 0.750; below it: most frequent class 0.100." in first
    assert "from dfme: the full method has UF1 0.600 [0.550, 0.650]." in second
    assert "dfme-no-text" not in first + second, "no full method starts there"


def test_nothing_is_said_of_nothing():
    empty = PARTS[:0].assign(change="", control="", kind="", passed=True, factor="", part="")
    assert answer_parts(empty, REFERENCES) == answer_differences(empty, RULES) == NOTHING
    assert answer_controls(empty) == answer_curves(empty.assign(level="")) == NOTHING
    assert "Nothing was trained" in answer_here(pd.DataFrame(), loso=False)


@pytest.mark.parametrize(("p", "verb"), [(0.01, "beats"), (0.06, "cannot be told from")])
def test_trainings_made_here_get_a_verdict_from_held_out_people_alone(p, verb):
    rows = [("full", 0.5, 0.4, 0.6, 0.0, 0.0, 0.0, np.nan), ("x", 0.6, 0.5, 0.7, 0.1, 0.02, 0.2, p)]
    columns = "entry uf1 low high difference from to p_holm".split()
    here = pd.DataFrame(rows, columns=columns)
    assert f"it {verb} full (+0.100 [+0.020, +0.200], p = {p:.3f})" in answer_here(here, loso=True)
    alone = answer_here(here, loso=False)
    assert "it minus full (+0.100 [+0.020, +0.200])" in alone and verb not in alone
    assert "verdicts are those of the frozen study alone" in alone


def test_the_readme_gets_the_table_between_its_marks(tmp_path):
    PARTS.to_csv(tmp_path / "parts.csv", index=False)
    REFERENCES.to_csv(tmp_path / "references.csv", index=False)
    readme = tmp_path / "README.md"
    with pytest.raises(ValueError, match="has no lines"):
        readme.write_text("text\n")
        write_readme(readme, tmp_path)
    readme.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    for _ in range(2):  # the second time changes nothing
        write_readme(readme, tmp_path)
        text = readme.read_text()
        assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
        assert results_table(PARTS, REFERENCES) in text
    lines = results_table(PARTS, REFERENCES).splitlines()
    assert lines[0] == "| parts | a-like, from motion | a-like, from dfme |"
    assert "| text + EIM + LSFM | 0.500 [0.450, 0.550], 16 | 0.600 [0.550, 0.650], 8 |" in lines
    assert "| none | 0.200 [0.150, 0.250], 8 |  |" in lines
    assert "| *true units* | 0.750 |  |" in lines  # the mean over populations
    assert results_table(PARTS, REFERENCES[:0]).splitlines() == lines[:-2]
