"""The notebooks as lessons: what each of them has, and what they say of the library."""

import ast
import inspect
import re
from pathlib import Path

import nbformat
import pytest

from merclip_lib import training

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
CHECKED = "nbval-check-output"
QUESTION, ANSWER = "**Question.**", "**Answer.**"
ANSWERS = re.compile(r"^from answers import (\w+) as answers\b", re.MULTILINE)
ONE_CALL = r"(if words:\n    display\()?answers\.\w+\([^()]*\)\)?"
SAVED = re.compile(r'save_figure\(\s*figure,\s*"(\w+)"')

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in this copy")
each_lesson = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def code_cells(path):
    return [cell for cell in cells_of(path) if cell.cell_type == "code"]


def code_of(path):
    return "\n".join(cell.source for cell in code_cells(path))


def has_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def shown(cell):
    """The text that a code cell shows as Markdown."""
    outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
    return "\n".join(output.get("text/markdown", "") for output in outputs)


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@each_lesson
def test_begins_and_ends_with_links_to_its_neighbours(path):
    here = NOTEBOOKS.index(path)
    neighbours = {other.name for other in NOTEBOOKS[max(here - 1, 0) : here + 2]} - {path.name}
    cells = cells_of(path)
    for cell in (cells[0], cells[-1]):
        linked = set(re.findall(r"\((\w+\.ipynb)\)", cell.source))
        assert neighbours <= linked, f"no link to {neighbours - linked}"
        assert all((FOLDER / name).is_file() for name in linked)


@each_lesson
def test_has_a_formula_and_says_what_one_can_do_now(path):
    prose = [cell.source for cell in cells_of(path) if cell.cell_type == "markdown"]
    assert any(re.search(r"\$\$.+\$\$", text, re.DOTALL) for text in prose)
    assert sum("## What you can do now" in text for text in prose) == 1


@each_lesson
def test_asks_before_each_figure_and_answers_after_it(path):
    story = []
    for cell in cells_of(path):
        text = cell.source if cell.cell_type == "markdown" else ""
        if QUESTION in text:
            story.append("question")
        if has_picture(cell):
            story.append("figure")
        if ANSWER in cell.source or ANSWER in shown(cell):
            story.append("answer")
    for k, event in enumerate(story):
        if event == "figure":
            assert story[k - 1] == "question" and story[k + 1] == "answer", (k, story)


@each_lesson
def test_no_answer_has_a_number_that_nothing_computed(path):
    written = [cell.source for cell in cells_of(path) if cell.cell_type == "markdown"]
    answers = [text[text.index(ANSWER) :].split("\n\n")[0] for text in written if ANSWER in text]
    assert not [text for text in answers if re.search(r"\d\.\d|\d ?%", text)]


def test_a_notebook_has_one_title_wherever_it_is_linked():
    texts = {path.name: "\n".join(cell.source for cell in cells_of(path)) for path in NOTEBOOKS}
    titles = {}
    for name, text in texts.items():
        match = re.search(r"^# (\d\d) · (.+)$", text, re.MULTILINE)
        titles[name] = f"{match[1]} {match[2]}"
    tutorial = (FOLDER.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
    for page, text in {**texts, "tutorial.md": tutorial}.items():
        linked = re.findall(r"\[(?:← )?(\d\d [^\]]+?)(?: →)?\]\(\S*?([^/(\s]+\.ipynb)\)", text)
        assert linked, page
        assert not [(page, words) for words, name in linked if titles[name] != words]
    site = (FOLDER.parent / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r'- "(\d\d .+)": notebooks/(\S+)', site)
    assert {name: words for words, name in named} == titles


@each_lesson
def test_has_cells_whose_output_is_compared(path):
    tagged = [cell for cell in code_cells(path) if CHECKED in cell.metadata.get("tags", [])]
    assert len(tagged) >= 3 and all(cell.outputs for cell in tagged)


@each_lesson
def test_an_answer_is_one_call(path):
    assert not [cell.source for cell in code_cells(path) if ANSWER in cell.source]
    called = [cell.source for cell in code_cells(path) if "answer" in cell.metadata.get("tags", [])]
    assert all(re.fullmatch(ONE_CALL, source) for source in called), called
    for name in ANSWERS.findall(code_of(path)):  # 08 has its from the library
        module = ast.parse((FOLDER / "answers" / f"{name}.py").read_text(encoding="utf-8"))
        written = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
        assert written and re.findall(r"\banswers\.(\w+)\(", code_of(path)) == written


def test_every_module_of_answers_belongs_to_one_notebook():
    imported = [name for path in NOTEBOOKS for name in ANSWERS.findall(code_of(path))]
    modules = {path.stem for path in (FOLDER / "answers").glob("*.py")} - {"__init__"}
    assert modules and sorted(imported) == sorted(modules)


@each_lesson
def test_source_that_is_shown_is_compared_with_the_library(path):
    for cell in code_cells(path):
        if re.search(r"^ *(print\(inspect\.getsource|source)\(", cell.source, re.MULTILINE):
            assert CHECKED in cell.metadata.get("tags", []), cell.source


def test_the_loop_that_is_shown_is_the_loop():
    (cell,) = [c for c in code_cells(NOTEBOOKS[5]) if "getsource(training.train_epoch)" in c.source]
    assert printed(cell).rstrip() == inspect.getsource(training.train_epoch).rstrip()


def test_a_figure_stands_in_one_place_only():
    sources = [(cell.source, path.stem) for path in NOTEBOOKS for cell in code_cells(path)]
    saved = [(name, stem) for source, stem in sources for name in SAVED.findall(source)]
    names = [name for name, _ in saved]
    assert len(names) > 20 and len(names) == len(set(names)), sorted(saved)


def test_the_first_notebook_lists_all_of_them():
    text = "\n".join(cell.source for cell in cells_of(NOTEBOOKS[0]))
    missing = [path.name for path in NOTEBOOKS if f"({path.name})" not in text]
    assert not missing
    assert "90 minutes" in text and "week" in text


def test_the_heaviest_texts_stand_in_appendices():
    for path in (NOTEBOOKS[2], NOTEBOOKS[4]):
        titles = re.findall(r"^#+ .+", "\n".join(c.source for c in cells_of(path)), re.MULTILINE)
        now, appendix = titles.index("## What you can do now"), titles.index("# Appendix")
        assert now < appendix < len(titles) - 3


def test_the_study_names_the_blocks_that_its_archive_lacks():
    checked = [c for c in code_cells(NOTEBOOKS[6]) if CHECKED in c.metadata.get("tags", [])]
    (said,) = [printed(cell) for cell in checked if "frozen.sentence" in cell.source]
    there = {int(path.name[6:9]) for path in (FOLDER / "study").glob("block-*.csv.gz")}
    match = re.fullmatch(r"study: block ([\d, ]+) of (\d+) is missing; .+\n", said)
    named = {int(number) for number in match[1].split(",")} if match else set()
    blocks = int(match[2]) if match else len(there)
    assert named == {*range(1, blocks + 1)} - there
    assert match or "trainings, made by" in said
