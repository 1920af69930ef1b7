"""What papermill alone injects is checked in the kernel; errors are one line there."""

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from papermill import PapermillExecutionError

from merclip_lib.study import above_zero

SETUP = "from merclip_lib import study\nstudy.setup()"
PARAMETERS = 'runs_dir = "../runs"\nepochs = 6\nlr = 2e-4\nseeds = [0]\ntask = ""\nfolds = 4\n'
PARAMETERS += "shown = 0.5\noptions = {}\nstores = {}"
BODY = """from merclip_lib.scores import score_file
reached = True
if task == "ours":
    score_file("none.csv")
if task == "python's":
    int("x")"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    cells = [new_code_cell(SETUP), new_code_cell(PARAMETERS), new_code_cell(BODY)]
    cells[1].metadata["tags"] = ["parameters"]
    path = tmp_path_factory.mktemp("notebook") / "tiny.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def run(notebook, parameters):
    """Run by papermill alone, as its own command does; the cells of the copy."""
    copy = notebook.with_name("copy.ipynb")
    options = {"kernel_name": "python3", "language": "python", "progress_bar": False}
    papermill.execute_notebook(str(notebook), str(copy), parameters, **options)
    return nbformat.read(copy, 4).cells


REFUSED = [
    ("epoch = 2", "this notebook has no parameter 'epoch'; did you mean 'epochs'"),
    ('config = {"epochs": 2}', "this notebook has no parameter 'config'; known"),
    ("seeds = 0", "this notebook: parameter 'seeds' is 0 (int) but should be"),
    ('lr = "1e-4"', "write 1.0e-4"),
    ("folds = 1", "folds must be 0 (leave one subject out) or at least 2"),
    ('options = {"mix_alpha": 2.0}', "mix_alpha is 2.0; it must lie in"),
    ('options = {"epochs": 3}', "options give another epochs; leave out"),
    ('stores = {"casme2": "none"}', "none: no clip store here"),
]


def test_a_bad_parameter_is_one_line(notebook):
    """One kernel for all of them, as each takes seconds to start."""
    cells = nbformat.read(notebook, 4).cells[:2]
    cells += [new_code_cell(f"# Parameters\n{text}\n") for text, _ in REFUSED]
    NotebookClient(new_notebook(cells=cells), kernel_name="python3", allow_errors=True).execute()
    for cell, (_, line) in zip(cells[2:], REFUSED, strict=True):
        (error,) = cell.outputs
        assert error.output_type == "error" and len(error.traceback) == 1, error
        assert error.traceback[0].startswith("ValueError: ") and line in error.traceback[0]


@pytest.mark.parametrize(
    "parameters, line",
    [
        ({"epoch": 2}, "ValueError: this notebook has no parameter 'epoch'; did you mean 'epochs'"),
        ({"task": "ours"}, "ValueError: none.csv: no such file"),
    ],
)
def test_papermill_stops_with_one_line(notebook, parameters, line):
    with pytest.raises(PapermillExecutionError) as caught:
        run(notebook, parameters)
    said = str(caught.value).strip().splitlines()
    assert len(said) == 3 and line in said[-1], said  # a rule, the number of the cell, the line


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_number_that_must_be_above_zero(value):
    above_zero(seconds=1.5)
    with pytest.raises(ValueError, match=f"'seconds' is {value}; it must be above 0"):
        above_zero(seconds=value)


def test_a_python_error_keeps_its_traceback(notebook):
    with pytest.raises(PapermillExecutionError, match="Traceback") as caught:
        run(notebook, {"task": "python's"})
    assert 'int("x")' in caught.value.traceback[-2] or "int(" in str(caught.value)


def test_good_parameters_arrive(notebook):
    cells = run(
        notebook, {"epochs": 2, "shown": float("nan"), "seeds": [1], "options": {"epochs": 2}}
    )
    assert "injected-parameters" in cells[2].metadata.tags
    assert cells[3].execution_count == 4 and not cells[3].outputs


def test_words_in_tables_are_at_the_left(tmp_path):
    table = 'import pandas as pd\npd.DataFrame({"word": ["one"], "number": [1]})'
    path = tmp_path / "table.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(SETUP), new_code_cell(table)]), path)
    shown = run(path, {})[1].outputs[0].data["text/html"]
    assert '<th style="text-align: left;">word</th>' in shown and "<th>number</th>" in shown
    assert '<td style="text-align: left;">one</td>' in shown and "<td>1</td>" in shown
