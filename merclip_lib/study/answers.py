"""What the tables of a study say, in words: an answer under each figure of notebook 06.

Every sentence follows from the rows it is given. A verdict is never made here: `scores.families`
decides it by Holm and the equivalence test, and the tables hold it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from merclip_lib.files import write_text
from merclip_lib.scores.families import Rules
from merclip_lib.scores.verdicts import answer, finding_in_words, in_numbers, side_of_change
from merclip_lib.study.reference_lines import read_references

NOTHING = "**Answer.** None yet: there are no rows."
PLACE = ["preset", "start"]
PARTS = {"text": "text", "eim": "EIM", "mix": "LSFM"}
FORBIDS = {
    "positive": "the study would not see such an effect, so where it sees none there may be one",
    "negative": "differences up to the far end of its interval may be seen where nothing is",
}
MARKS = ("<!-- results -->", "<!-- end of results -->")
SIDES = {1: "beats", -1: "loses to", 0: "cannot be told from"}


def set_name(parts: Mapping[str, Any]) -> str:
    """What parts there are: "text + LSFM", or "none"."""
    return " + ".join(name for key, name in PARTS.items() if parts[key]) or "none"


def named(asked: pd.DataFrame) -> pd.DataFrame:
    """Differences or controls with a `name`: what was changed or controlled, and where."""
    form = "{kind} control: {control}" if "control" in asked else "{change}"
    form += " ({preset} from {start})"
    return asked.assign(name=[form.format_map(row) for row in asked.to_dict("records")])


def with_doubts(asked: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """The rows with `doubt`: what failed controls of their part, or of no part, forbid."""
    if controls.empty:
        return asked
    failed = named(controls[~controls["passed"].astype(bool)]).to_dict("records")
    doubts = [
        "; ".join(
            f"the {control['name']} failed: {FORBIDS[control['kind']]}"
            for control in failed
            if control["part"] in ("", part)
        )
        for part in asked["part"]
    ]
    return asked.assign(doubt=doubts)


def _answer(head: str, lines: list[str], doubts: str = "") -> str:
    """As `answer`, with what `_doubts` says; NOTHING where there are no lines."""
    return answer(head, lines) + doubts if lines else NOTHING


def _doubts(asked: pd.DataFrame) -> str:
    """What may not be concluded of each part; that no control failed; nothing without controls."""
    if "doubt" not in asked:
        return ""
    pairs = asked.loc[asked["doubt"] != "", ["part", "doubt"]].drop_duplicates()
    lines = [f"* {PARTS.get(part, 'the rest')}: {doubt}." for part, doubt in pairs.to_numpy()]
    head = "What failed controls forbid to conclude:" if lines else "No control of these failed."
    return "\n".join(["", "", head, "", *lines])


def references_in_words(references: pd.DataFrame) -> str:
    """What is reached without the method at each preset and start; "" where that is not known."""
    places = references.groupby(PLACE, sort=False)
    means = [f"{preset}, from {start}: {_means(rows)}" for (preset, start), rows in places]
    return f"Without the method, mean UF1. {'; '.join(means)}." if means else ""


def _with_interval(row: Mapping[str, float]) -> str:
    """UF1 and its interval."""
    return f"{row['uf1']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _means(references: pd.DataFrame) -> str:
    means = references.groupby("reference", sort=False)["uf1"].mean()
    return ", ".join(f"{name} {value:.3f}" for name, value in means.items())


def with_full(parts: pd.DataFrame) -> pd.DataFrame:
    """The sets of parts, named, at those presets and starts where there is the full method too."""
    both = parts.merge(parts.loc[parts[list(PARTS)].all(axis=1), PLACE], on=PLACE)
    return both.assign(name=[set_name(row) for row in both.to_dict("records")])


def answer_parts(parts: pd.DataFrame, references: pd.DataFrame) -> str:
    """What the full method reaches, beside the other sets of parts and the references."""
    lines = []
    for (preset, start), rows in with_full(parts).groupby(PLACE, sort=False):
        whole = rows[list(PARTS)].all(axis=1)
        full, rest = rows[whole].iloc[0], rows.loc[~whole, "uf1"]
        here = references[(references["preset"] == preset) & (references["start"] == start)]
        line = f"{preset}, from {start}: the full method has UF1 {_with_interval(full)}"
        line += f", the others {rest.min():.3f} to {rest.max():.3f}" if len(rest) else ""
        above = here.groupby("reference")["uf1"].transform("mean") > full["uf1"]
        for word, side in (("above", here[above]), ("below", here[~above])):
            line += f"; {word} it: {_means(side)}" if len(side) else ""
        lines.append(f"{line}.")
    return _answer("Means, not paired; section 4 tests the parts, nothing the references.", lines)


def answer_differences(differences: pd.DataFrame, rules: Rules) -> str:
    """How many questions have which verdict, the sentence of each, and what controls forbid."""
    counts = differences["verdict"].value_counts()
    counted = ", ".join(f"{verdict}: {number}" for verdict, number in counts.items())
    rows = named(differences).to_dict("records")
    lines = [f"{finding_in_words(row['name'], row, rules)}." for row in rows]
    return _answer(f"{counted}; Holm's correction for {len(rows)}.", lines, _doubts(differences))


def answer_controls(controls: pd.DataFrame) -> str:
    """Which controls passed, and what those that failed forbid to conclude."""
    lines = []
    for row in named(controls).to_dict("records"):
        outcome = "passed" if row["passed"] else f"failed: {FORBIDS[row['kind']]}"
        p = row["p_holm"] if row["kind"] == "positive" else None  # a negative one has its bounds
        numbers = in_numbers(row["difference"], row["low"], row["high"], p)
        lines.append(f"{row['name']} {outcome} (UF1 {numbers}).")
    return _answer(f"{controls['passed'].sum()} of {len(controls)} controls passed.", lines)


def answer_curves(when: pd.DataFrame) -> str:
    """The levels of each factor at which a part helps, hurts, is equivalent, or is not told."""
    lines = []
    for (factor, part), rows in when.groupby(["factor", "part"], sort=False):
        groups = rows.groupby("verdict", sort=False)["level"]
        by_verdict = [f"{verdict} at {', '.join(levels)}" for verdict, levels in groups]
        of = ", ".join(filter(None, [part, str(factor).replace("_", " ")]))
        lines.append(f"{of}: {'; '.join(by_verdict)}.")
    return _answer("After Holm's correction:", lines, _doubts(when))


def answer_development(courses: pd.DataFrame, rules: Rules) -> str:
    """Whether the full method is ahead of that without a part early in training, and late.

    Args:
        courses: [preset, start, entry, epoch, uf1], entries "full" and "no_" and a part.
        rules: `exclude` is the difference that counts as ahead.
    """
    lines = []
    for (preset, start), rows in courses.groupby(PLACE, sort=False):
        uf1 = rows.pivot(index="epoch", columns="entry", values="uf1")
        quarter = max(len(uf1) // 4, 1)
        for entry in dict.fromkeys(rows["entry"][rows["entry"] != "full"]):
            gap = uf1["full"] - uf1[entry]
            parts = gap.iloc[:quarter], gap.iloc[-quarter:]
            early, late = (bool(part.mean() >= rules.exclude) for part in parts)
            gaps = [f"{p.mean():+.3f} in epochs {p.index[0]} to {p.index[-1]}" for p in parts]
            gaps[1] += "; ahead early and not late, as if the part bought speed" * (early > late)
            name = PARTS[entry.removeprefix("no_")]
            lines.append(f"{name}, {preset} from {start}: {', '.join(gaps)}.")
    head = "One training of each on one development population: no verdict. The full method minus "
    head += f"that without the part; {rules.exclude:g} and more counts as ahead:"
    return _answer(head, lines)


def answer_here(here: pd.DataFrame, loso: bool) -> str:
    """What was trained here; of held-out people also what their p-values allow."""
    if here.empty:
        return "**Answer.** Nothing was trained here."
    first, lines = here["entry"].iloc[0], []
    for number, row in enumerate(here.to_dict("records")):
        line = f"{row['entry']}: UF1 {_with_interval(row)}"
        if number and pd.notna(row["difference"]):
            verb = SIDES[side_of_change(row["difference"], row["p_holm"])] if loso else "minus"
            p = row["p_holm"] if loso else None
            numbers = in_numbers(row["difference"], row["from"], row["to"], p)
            line += f"; it {verb} {first} ({numbers})"
        lines.append(f"{line}.")
    head = "One training of each on one population is an illustration: the verdicts are those of "
    held_out = "People held out, p-values after Holm's correction:"
    return answer(held_out if loso else f"{head}the frozen study alone.", lines)


def results_table(parts: pd.DataFrame, references: pd.DataFrame) -> str:
    """UF1 in Markdown, places across: sets of parts with intervals and the number of populations,
    then references, means of as many as the design has.
    """
    held = with_full(parts)
    held["cell"] = [f"{_with_interval(r)}, {r['populations']}" for r in held.to_dict("records")]
    beside = references.groupby([*PLACE, "reference"], sort=False)["uf1"].mean().reset_index()
    beside["name"] = "*" + beside["reference"].astype(str) + "*"
    held = pd.concat([held, beside.assign(cell=beside["uf1"].map("{:.3f}".format))])
    held["place"] = held["preset"] + ", from " + held["start"]
    rows, columns = (list(dict.fromkeys(held[key])) for key in ("name", "place"))
    cells = held.pivot(index="name", columns="place", values="cell").fillna("").loc[rows, columns]
    lines = [["parts", *columns], ["---"] * (1 + len(columns)), *cells.reset_index().to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_readme(readme: Path, figures: Path) -> Path:
    """Put `results_table` between the two marks; ValueError where a mark is missing."""
    begin, end = MARKS
    text = readme.read_text(encoding="utf-8")
    if not 0 <= text.find(begin) < text.find(end):
        raise ValueError(f"{readme} has no lines {begin} and {end}, between which results go")
    before, after = text.split(begin)[0], text.split(end)[1]
    references = read_references(figures / "references.csv")
    table = results_table(pd.read_csv(figures / "parts.csv"), references)
    write_text(readme, f"{before}{begin}\n\n{table}\n\n{end}{after}")
    return readme
