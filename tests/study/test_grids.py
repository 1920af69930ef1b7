"""Grid files as people write them: refused in one line before anything starts, or right."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from merclip_lib.runs.executors import Execution
from merclip_lib.study.grids import read_grid
from merclip_lib.study.sweeps import Selection, plan_jobs, sweep

CELL = 'runs_dir = "../runs"\nfigures_dir = "../f"\nseed = 0\nepochs = 6\nlr = 2e-4\nfolds = 0'
GOOD = "notebook: tiny.ipynb\nbase: {folds: 2}\nseeds: [3]\nentries:\n- {name: a}\n"


@pytest.fixture
def folder(tmp_path):
    cell = new_code_cell(CELL, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python"}
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    return tmp_path


def plan(folder, text, selection=None):
    path = folder / "grid.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return plan_jobs(path, folder / "runs", selection or Selection())


def test_what_may_be_left_out_is_filled_in(folder):
    (job,) = plan(folder, "notebook: tiny.ipynb\nentries:\n- name: a\n- name: b\n"[:-10])
    assert job.name == "a-seed0" and job.config.folds == 0
    (job,) = plan(folder, GOOD)
    assert (job.name, job.config.seed, job.config.folds) == ("a-seed3", 3, 2)
    assert job.output.parent == folder / "runs" / "notebooks" / "sweep"
    (entry,) = read_grid(folder / "grid.yaml")["entries"]
    assert entry == {"name": "a", "question": "-", "parameters": {}}
    both = GOOD.encode("utf-16"), b"\xef\xbb\xbf" + GOOD.encode()
    assert [plan(folder, text)[0].name for text in both] == ["a-seed3", "a-seed3"]


def test_an_entry_may_take_over_the_parameters_of_another(folder):
    text = GOOD.replace("- {name: a}", "- name: a\n  parameters: &a {epochs: 2, lr: 0.1}\n")
    text += "- {name: b, parameters: &b {<<: *a, lr: 0.2}}\n- {name: c, parameters: {<<: *b}}\n"
    configs = [job.config for job in plan(folder, text)]
    assert [config.epochs for config in configs] == [2, 2, 2]
    assert [config.lr for config in configs] == [0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("base: {folds: 2}", "base:", "base: None must be a mapping"),
        ("base: {folds: 2}", "base: [folds]", r"base: \['folds'\] must be a mapping"),
        ("base: {folds: 2}", "base: folds", "base: 'folds' must be a mapping"),
        ("base: {folds: 2}", "base: {seed: 2}", "base: seed is given by the sweep; write `seeds:`"),
        ("base: {folds: 2}", "base: {figures_dir: x}", "figures_dir is given by the sweep"),
        ("base: {folds: 2}", "base: {folds: 2, folds: 3}", "'folds' is given twice .*line 2"),
        ("base: {folds: 2}", "base: {folds: 2020-01-01}", "'folds' is .*date.* should be int"),
        ("base: {folds: 2}", "base: {no: 2}", "has no parameter False"),
        ("[3]", "3", r"seeds is 3; it must be a list of whole numbers from 0"),
        ("[3]", "", "seeds is None"),
        ("[3]", "[]", r"seeds is \[\]"),
        ("[3]", "[-1]", r"seeds is \[-1\]"),
        ("[3]", "[yes]", r"seeds is \[True\]"),
        ("[3]", "[010]", "010 would be read as 8; write that"),
        ("base: {folds: 2}", "base: {folds: 1:30}", "1:30 would be read as 90"),
        ("- {name: a}", f"- {{name: {'图' * 51}}}", "use up to 50 letters"),
        ("[3]", "[1, 2, 1]", r"\[1, 2, 1\] has a number twice"),
        ("- {name: a}", "", "entries: None must be a list"),
        ("\n- {name: a}", " []", r"entries: \[\] must be a list"),
        ("- {name: a}", "  name: a", "entries: {'name': 'a'} must be a list"),
        ("- {name: a}", "- a", "entry 1: 'a' must be a mapping with the keys name"),
        ("{name: a}", "{name: [a, b]}", "name: .'a', 'b'. must be a text"),
        ("{name: a}", "{name: no}", "name: False must be a text; quote it"),
        ("{name: a}", "{name: 2020-01-01}", "name: datetime.date.* must be a text"),
        ("{name: a}", "{name: 7}", "name: 7 must be a text"),
        ("{name: a}", "{name: ''}", "name: '' must be a text"),
        ("{name: a}", "{name: a/../../../x}", "becomes that of a file"),
        ("{name: a}", "{name: ..}", "becomes that of a file"),
        ("{name: a}", "{name: " + "x" * 300 + "}", "becomes that of a file"),
        ("- {name: a}", "- {name: full}\n- {name: Full}", "'Full' is given twice .before: 'full'"),
        ("{name: a}", "{name: a, parameters: epochs}", "parameters: 'epochs' must be a mapping"),
        ("{name: a}", "{name: a, parameters: [epochs, 1]}", "parameters: .* must be a mapping"),
        ("{name: a}", "{name: a, parameters: []}", r"parameters: \[\] must be a mapping"),
        ("{name: a}", "{name: a, parameters: no}", "parameters: False must be a mapping"),
        ("{name: a}", "{name: a, question: no}", "question: False must be a text"),
        ("[3]", "[99999999999999999999]", "seeds is .9999"),
        ("{name: a}", "{name: a, parameters: {seed: 1}}", "seed is given by the sweep"),
        ("{name: a}", "{name: a, question: [x]}", "question: .'x'. must be a text"),
        ("- {name: a}", "- {name: a}\nentries:\n- {name: b}", "the key 'entries' is given twice"),
        ("tiny.ipynb", "[tiny.ipynb]", "notebook: .* must be the name of a notebook"),
        ("tiny.ipynb", "none.ipynb", "no notebook .*none.ipynb, nor .*; put the grid beside it"),
        ("notebook:", "? [a]\n: b\nnotebook:", "cannot read the grid .*unhashable"),
        ("notebook:", "x: !!python/object:os.system y\nnotebook:", "could not determine a const"),
        ("notebook:", "--- 1\n--- 2\nnotebook:", "single document"),
    ],
)
def test_a_grid_that_is_wrong_is_one_line(folder, old, new, message):
    with pytest.raises(ValueError, match=message) as caught:
        plan(folder, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)
    assert "grid" in str(caught.value) or "tiny.ipynb" in str(caught.value)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "None must be a mapping"),
        (b"- 1", "must be a mapping with the keys base, entries"),
        ("notebook: Größe".encode("latin-1"), "unacceptable character .*YAML in UTF-8"),
        (b"a: {", "expected"),
        (b"[" * 5000, "recursion|nested|expected"),
        (b"a: " + b"x" * 10**6, "more than 1,000,000 bytes"),
        (b"a: 2020-13-45", "month must be in"),
    ],
)
def test_what_is_no_grid_at_all_is_one_line(folder, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        plan(folder, content)
    assert "\n" not in str(caught.value) and "grid.yaml" in str(caught.value)
    with pytest.raises(ValueError, match="cannot read the grid .*no such file"):
        read_grid(folder / "absent.yaml")
    with pytest.raises(ValueError, match="cannot read the grid"):
        read_grid(folder)


def test_aliases_that_would_fill_the_memory_are_cut_short(folder):
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n"
    for k in "bcdefgh":
        before = chr(ord(k) - 1)
        bomb += f"{k}: &{k} [" + ", ".join([f"*{before}"] * 8) + "]\n"
    with pytest.raises(ValueError, match="name: .* must be a text") as caught:
        plan(folder, "entries:\n- name:\n    " + bomb.replace("\n", "\n    ") + "\nnotebook: n")
    assert len(str(caught.value)) < 1000


def test_selections_are_checked_as_the_grid_is(folder):
    with pytest.raises(ValueError, match="seeds is .-1."):
        plan(folder, GOOD, Selection(seeds=[-1]))
    with pytest.raises(ValueError, match="the overrides: seed is given by the sweep"):
        plan(folder, GOOD, Selection(overrides={"seed": 1}))
    assert [job.name for job in plan(folder, GOOD, Selection(seeds=range(2)))] == [
        "a-seed0",
        "a-seed1",
    ]


def test_a_grid_elsewhere_takes_the_notebook_of_the_copy(tmp_path):
    job = plan(tmp_path, GOOD.replace("tiny.ipynb", "05_train_loso.ipynb"))[0]
    assert job.notebook.parent.name == "notebooks" and job.config.folds == 2


@pytest.mark.parametrize("largest", [0, 1])
def test_memory_is_that_of_the_largest_entry(tmp_path, largest):
    entries = ["- {name: a}", "- {name: b}"]
    entries[largest] = f"- {{name: large, parameters: {{batch_size: {10**7}}}}}"
    path = tmp_path / "grid.yaml"
    path.write_text("\n".join(["entries:", *entries]))
    with pytest.raises(ValueError, match="2 workers need about [0-9]{5,}"):
        sweep(path, tmp_path, execution=Execution("processes", 2))
    assert not (tmp_path / "notebooks").exists()
