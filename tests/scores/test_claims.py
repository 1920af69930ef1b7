"""Sentences follow the numbers: the verdict itself, and the claims of everything committed."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from merclip_lib.scores.verdicts import (
    answer,
    in_numbers,
    p_in_words,
    side_of_change,
    side_of_zero,
    verdict,
)
from merclip_lib.study.answers import MARKS, results_table, with_full
from merclip_lib.study.design import read_study
from merclip_lib.study.reference_lines import read_references

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SIDES = {
    1: ("helps", "raises", "rises", "beats", "is better", "falls further"),
    -1: ("hurts", "lowers", "falls", "loses", "is worse"),
    0: (
        "does not show a difference",
        "makes no difference",
        "cannot tell",
        "cannot be told",
        "stays",
    ),
}
SIDE_OF = {verb: side for side, verbs in SIDES.items() for verb in verbs}
VERB = re.compile("|".join(rf"\b{re.escape(verb)}\b" for verb in sorted(SIDE_OF, key=len)[::-1]))
P_VALUE = re.compile(r", p ([<=]) (0\.\d+|1\.000)")
NUMBER = r"([+\-−]?\d+\.\d+)"
INTERVAL = re.compile(rf"{NUMBER} \[{NUMBER}, {NUMBER}\]")
TEXTS = [
    path
    for name in ("README.md", "MODEL_CARD.md", "docs/protocol.md")
    if (path := ROOT / name).is_file()
]


def false_claims(text):
    """Sentences with a verdict's verb and a signed interval that do not agree.

    Looked at are lines of the form `... <verb> ... +0.030 [+0.010, +0.050]`, where the mean has a
    sign; the last verb before the interval counts. Where a p-value follows, it takes the place of
    the interval. An interval that does not hold its own mean is
    false whatever the verb says.
    """
    wrong = []
    for line in re.split(r"\n|(?<=[.;])\s+(?=[A-Z*`])", text):
        start = 0
        for match in INTERVAL.finditer(line):
            before, start = line[start : match.start()], match.end()
            mean, low, high = (float(part.replace("−", "-")) for part in match.groups())
            verbs = VERB.findall(before)
            signed = match[1][0] in "+-−"
            side = side_of_zero(low, high)
            if p := P_VALUE.match(line, match.end()):  # corrected: it decides
                side = side_of_change(mean, 0.0 if p[1] == "<" else float(p[2]))
            agrees = not verbs or SIDE_OF[verbs[-1]] == side
            if not low <= mean <= high or (signed and not agrees):
                wrong.append(line.strip())
    return wrong


def test_small_p_values_and_ends_at_zero_are_said():
    assert p_in_words(0.0123) == "p = 0.012" and p_in_words(0.00099) == "p < 0.001"
    assert p_in_words(0.0497) == "p < 0.050" and p_in_words(0.05) == "p = 0.050"
    assert in_numbers(0.1, 0.0004, 0.2) == "+0.100 [+0.000, +0.200], the interval touches zero"
    assert in_numbers(-0.1, -0.2, -0.0004, 0.0) == (
        "-0.100 [-0.200, -0.000], p < 0.001, the interval touches zero"
    )
    assert in_numbers(0.1, 0.0006, 0.2, 0.04) == "+0.100 [+0.001, +0.200], p = 0.040"
    assert [side_of_change(0.1, p) for p in (0.049, 0.05)] == [1, 0]
    assert side_of_change(-0.1, 0.01) == -1


def test_a_single_interval_says_what_it_allows():
    assert verdict("it", 0.1, 0.02, 0.2) == "it helps (UF1 +0.100 [+0.020, +0.200])"
    assert verdict("it", -0.1, -0.2, -0.02).startswith("it hurts")
    for low, high in ((-0.1, 0.2), (0.0, 0.2)):
        assert verdict("it", 0.1, low, high).startswith("it does not show a difference")
    for low, high in ((0.02, 0.2), (-0.1, 0.2)):
        assert not false_claims(verdict("it", 0.1, low, high))


def test_an_answer_is_a_head_and_a_line_for_each_question():
    assert answer("Of two:", ["a rises", "b falls"]) == (
        "**Answer.** Of two:\n\n* a rises\n* b falls"
    )


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("* `no_mix` lowers UF1 (-0.030 [-0.050, -0.010]): it helps.", 0),
        ("* `no_mix` raises UF1 (-0.030 [-0.050, -0.010]).", 1),
        ("* `no_mix` makes no difference (-0.030 [-0.050, -0.010]).", 1),
        ("A helps (+0.030 [+0.010, +0.050]). B hurts (UF1 +0.030 [+0.010, +0.050]).", 1),
        ("A helps (+0.030 [-0.010, +0.050]) and B helps (+0.030 [+0.010, +0.050]).", 1),
        ("A helps (UF1 +0.030 [-0.010, +0.050], p = 0.012).", 0),
        ("A: the study cannot tell (UF1 +0.030 [+0.010, +0.050], p = 0.112).", 0),
        ("A helps (UF1 +0.030 [+0.010, +0.050], p = 0.112).", 1),
        ("A helps (UF1 +0.030 [+0.010, +0.050], p < 0.050).", 0),
        ("A hurts (UF1 +0.030 [+0.010, +0.050], p < 0.001).", 1),
        ("UF1 0.681 [0.603, 0.752] of one seed rises with nothing.", 0),
        ("UF1 0.781 [0.603, 0.752]", 1),
        ("probe minus full method +0.075 [+0.036, +0.125]", 0),
    ],
)
def test_false_claims_are_found(text, false):
    assert len(false_claims(text)) == false


def said(path):
    """Markdown cells, and what code cells printed or showed as markdown."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        parts.append(cell.source if cell.cell_type == "markdown" else "")
        for output in cell.get("outputs", []):
            parts.append(output.get("text", "") or output.get("data", {}).get("text/markdown", ""))
    return "\n".join(parts)


@pytest.mark.parametrize("path", [*NOTEBOOKS, *TEXTS], ids=lambda path: path.stem)
def test_committed_texts_agree_with_their_intervals(path):
    text = said(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    assert false_claims(text) == []


def test_captions_agree_with_their_intervals():
    ledger = ROOT / "figures" / "figures.json"
    if not ledger.is_file():
        pytest.skip("no figures in this copy")
    for name, entry in json.loads(ledger.read_text(encoding="utf-8")).items():
        assert false_claims(entry["caption"]) == [], name


def test_sentences_on_parts_give_the_numbers_of_the_table():
    table, notebook = (
        ROOT / "figures" / "differences.csv",
        ROOT / "notebooks" / "06_ablations.ipynb",
    )
    if not (table.is_file() and notebook.is_file()):
        pytest.skip("the study was not run in this copy")
    rows = pd.read_csv(table)
    rows = rows[rows["family"] == "primary"]
    lines = said(notebook).splitlines()
    for row in rows.itertuples():
        numbers = f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        name = f"* {row.change} ({row.preset} from {row.start})"
        assert any(line.startswith(name) and numbers in line for line in lines), name


def test_the_results_in_the_readme_are_those_of_the_study():
    table, readme = ROOT / "figures" / "parts.csv", (ROOT / "README.md").read_text("utf-8")
    begin, end = MARKS
    shown = readme.split(begin)[1].split(end)[0].strip()
    if not table.is_file():
        assert shown == "", "results without a table of them"
        pytest.skip("the study was not run in this copy")
    references = read_references(table.with_name("references.csv"))
    assert len(references), "`merclip study references` makes the reference lines"
    held = with_full(pd.read_csv(table))[["preset", "start"]].drop_duplicates()
    assert set(held.itertuples(index=False, name=None)) == set(
        references[["preset", "start"]].itertuples(index=False, name=None)
    ), "reference lines at every start of the full method"
    written = results_table(pd.read_csv(table), references)
    assert shown == written, "`merclip study readme` writes it"


def test_findings_in_the_readme_stand_in_the_tables():
    figures, readme = ROOT / "figures", (ROOT / "README.md").read_text("utf-8")
    text = " ".join(readme.split("## Results")[1].split(MARKS[0])[0].split())
    if not (figures / "parts.csv").is_file():
        pytest.skip("the study was not run in this copy")
    tables = [pd.read_csv(figures / f"{name}.csv") for name in ("differences", "controls", "when")]
    rows = pd.concat(tables)[["difference", "low", "high", "p_holm"]].to_numpy()
    known = {in_numbers(*row[:3], p) for row in rows for p in (row[3], None)}
    pairs = {in_numbers(*row) for row in rows}
    asked = tables[0]["family"].value_counts()
    assert f" {asked['when']} questions on *when*" in text
    assert f"(parts {asked['primary']} questions, " in text
    found = list(INTERVAL.finditer(text))
    assert found
    for match in found:
        start, told = match.start(), P_VALUE.match(text, match.end())
        rows_said = pairs if told else known
        assert any(text.startswith(said, start) for said in rows_said), text[start : start + 50]
    references = read_references(figures / "references.csv")
    means = references.groupby(["preset", "start", "reference"])["uf1"].mean()
    means = {f"{value:.3f}" for value in [*means, *pd.read_csv(figures / "parts.csv")["uf1"]]}
    rules = read_study(ROOT / "notebooks" / "design.yaml").design.rules
    means |= {f"{rules.margin:g}", f"{rules.exclude:g}"}
    alone = re.findall(r"\b0\.\d+", P_VALUE.sub("", INTERVAL.sub("", text)))
    assert set(alone) <= means


def test_headline_figures_on_the_page_of_the_protocol_are_those_of_the_results_table():
    table, page = ROOT / "figures" / "results.csv", ROOT / "docs" / "protocol.md"
    if not (table.is_file() and page.is_file()):
        pytest.skip("no results in this copy")
    figures = r"UF1 (0\.\d+)(?: \[[^]]*\])?\W+UAR (0\.\d+), accuracy (0\.\d+)"
    found = re.search(figures, page.read_text(encoding="utf-8"))
    if found is None:
        pytest.skip("the page states no UF1, UAR and accuracy")
    means = pd.read_csv(table)[["UF1", "UAR", "accuracy"]].mean()
    assert [f"{value:.3f}" for value in means] == list(found.groups())


def test_what_the_page_says_of_the_two_protocols_is_in_the_ledger():
    page = " ".join((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split())
    found = re.search(r"it gives UF1 (0\.\d+) where the honest protocol gives (0\.\d+)", page)
    rows = pd.read_csv(ROOT / "figures" / "ledger.csv")
    ours = rows[(rows["task"] == "synthme-5") & (rows["method"] == "ours")].set_index("protocol")
    assert found is not None
    assert [f"{ours.loc[name, 'uf1']:.3f}" for name in ("reference", "honest")] == [*found.groups()]
