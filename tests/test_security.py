"""Nothing that comes from outside is run: no parameter, no name in a table."""

import nbformat
import pytest
import tiny_runs
from nbformat.v4 import new_code_cell, new_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from merclip_lib.config import config_from
from merclip_lib.protocol.folds import make_folds
from merclip_lib.protocol.plan import RunPlan

CODE = "'); import os; os.abort(); ('"


def test_a_parameter_stays_text_in_the_notebook(tmp_path):
    cell = new_code_cell("task = 'x'", metadata={"tags": ["parameters"]})
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": ""}}
    nbformat.write(new_notebook(cells=[cell], metadata=metadata), tmp_path / "a.ipynb")
    notebook = parameterize_notebook(load_notebook_node(str(tmp_path / "a.ipynb")), {"task": CODE})
    values = {}
    exec(notebook.cells[1].source, values)
    assert values["task"] == CODE


@pytest.mark.parametrize("key", ["size", "description", "held_out", "selection", "device"])
def test_a_configuration_takes_known_words_only(key):
    with pytest.raises(ValueError, match="choose one of"):
        config_from({key: CODE})


@pytest.mark.parametrize("value", [["sgd"], {"a": 1}, None, b"x", object()])
def test_a_configuration_takes_plain_values_only(value):
    with pytest.raises(ValueError, match="'task' wants str"):
        config_from({"task": value})


def test_names_in_a_table_stay_inside_the_run_store(tmp_path):
    store = tiny_runs.make_store(tmp_path / "set", subject=["../../../up", "/etc", ".."] * 7)
    config = tiny_runs.FAST
    table = RunPlan(config, store).table
    for fold in make_folds(table):
        path = (tmp_path / "run" / fold.name).resolve()
        assert path.parent == tmp_path / "run"
