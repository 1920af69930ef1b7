"""What every notebook does in its first cell and in its last."""

import ast
import itertools
import math
import os
import platform
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from merclip_lib.config import Config, config_from, files_from
from merclip_lib.data.store import open_store
from merclip_lib.study.checkout import NOTEBOOKS
from merclip_lib.study.errors import explain, is_ours
from merclip_lib.study.notebooks import check_values

INJECTED = "# Parameters\n"  # how the cell begins that papermill adds
PARAMETERS = re.compile(r"^runs_dir *=", re.MULTILINE)  # every cell of parameters has it


class InjectedError(ValueError):
    """A parameter that the notebook does not have, or of another type; shown as one line."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"ValueError: {self}"]


CALLED_FROM = Path.cwd()  # before `setup` leaves it

# on paper (the print of JupyterLab, HTML of nbconvert) long lines and wide tables are not cut
PRINT_STYLE = """<style>@media print {
  .jp-Notebook pre, .jp-RenderedText pre {
    white-space: pre-wrap !important; overflow-wrap: anywhere; font-size: 7.5pt !important; }
  .jp-OutputArea-output, .jp-RenderedHTMLCommon { overflow: visible !important; }
  .jp-Notebook table { font-size: 7pt !important; max-width: 100%; }
  .jp-Notebook td, .jp-Notebook th { padding: 2px 4px !important; overflow-wrap: anywhere; }
  .jp-Notebook img { max-width: 100%; break-inside: avoid; }
}</style>"""


def setup() -> None:
    """Prepare the kernel of a notebook.

    Figures appear in the page, tables show whole sentences with words at the left, nothing is cut
    where the page is printed, tqdm does not ask for a widget, and relative paths start in
    notebooks/, wherever papermill was called (in a notebook that stands alone: where it is). A
    parameter that papermill injects and the notebook does not know stops it, and an error that the
    library explains is one line, without its traceback.
    """
    warnings.filterwarnings("ignore", message="IProgress not found")
    ipython = sys.modules.get("IPython")
    if shell := ipython and ipython.get_ipython():
        shell.run_line_magic("matplotlib", "inline")
        shell.input_transformers_post.append(_check_injected)
        shell.set_custom_exc((ValueError, RuntimeError, OSError, MemoryError), _show)
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, _as_html)
        shell.display_pub.publish({"text/html": PRINT_STYLE, "text/plain": ""})
    pd.set_option("display.max_colwidth", None)
    if NOTEBOOKS.is_dir():
        os.chdir(NOTEBOOKS)


def given(names: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a notebook's parameters make; absent ones have their default.

    Args:
        names: `globals()` of the notebook. A file is looked for in notebooks/, then where
            papermill was called.
    """
    values = {field.name: names.get(field.name, field.default) for field in fields(Config)}
    return files_from(CALLED_FROM, files_from("", values))


def above_zero(**parameters: float) -> None:
    """Raise ValueError for a parameter of a notebook that is not above 0, or infinite."""
    for name, value in parameters.items():
        if not 0 < value < math.inf:
            raise ValueError(f"parameter {name!r} is {value}; it must be above 0")


def versions(*packages: str) -> None:
    """Print the version of Python and of each package, a line each."""
    print("python", platform.python_version())
    for package in packages:
        print(package, version(package))


def _as_html(table: pd.DataFrame) -> str:
    """A table with its words and their headings at the left; numbers stay at the right."""
    html = table._repr_html_()
    words = [not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    if html.count("<td>") != table.size or table.columns.nlevels > 1:  # not all of it is shown
        return html
    head, body = html.split("</thead>")
    head = _aligned(head, "th", [False] * table.index.nlevels + words)
    return head + "</thead>" + _aligned(body, "td", words)


def _aligned(html: str, tag: str, words: list[bool]) -> str:
    """Rows of HTML in which the cells of columns of words are at the left."""
    column = itertools.cycle(words)
    left = f'<{tag} style="text-align: left;">'
    return re.sub(f"<{tag}>", lambda cell: left if next(column) else cell[0], html)


def _check_injected(lines: list[str]) -> list[str]:
    """The lines of a cell as they are; InjectedError if it is papermill's and does not fit."""
    cell = "".join(lines)
    if cell.startswith(INJECTED):
        run_before = sys.modules["__main__"].__dict__.get("In", [])
        ours = [text for text in run_before if PARAMETERS.search(text) and INJECTED not in text]
        try:
            if ours:
                values = check_values(_assigned(ours[-1]), _assigned(cell), "this notebook")
                options = values.get("options") or {}
                other = [key for key in options if values.get(key, options[key]) != options[key]]
                if other:
                    raise ValueError(f"options give another {other[0]}; leave out one of the two")
                known = values.keys() & Config.__dataclass_fields__.keys()
                config_from({key: values[key] for key in known} | options)
                for folder in (values.get("stores") or {}).values():
                    open_store(folder)
        except ValueError as error:
            raise InjectedError(str(error)) from None
    return lines


def _assigned(cell: str) -> dict[str, Any]:
    """Names and values of the assignments of a cell; what is no literal (nan) is a float."""
    values = {}
    for statement in ast.parse(cell).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                value = ast.literal_eval(statement.value)
            except ValueError:
                value = math.nan
            values[statement.targets[0].id] = value
    return values


def _show(shell, kind, error, trace, tb_offset=None) -> list[str]:
    """In a notebook: the line about an error if our library says one, else the traceback."""
    if is_ours(error):
        lines = [f"{kind.__name__}: {explain(error).line}"]
    else:
        lines = shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=tb_offset)
    shell._showtraceback(kind, error, lines)
    return lines
