"""What every notebook does in its first cell and in its last."""

import os
import platform
import sys
import warnings
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from merclip_lib.config import Config, files_from
from merclip_lib.study.checkout import NOTEBOOKS

CALLED_FROM = Path.cwd()  # before `setup` leaves it


def setup() -> None:
    """Prepare the kernel of a notebook.

    Figures appear in the page, tables show whole sentences, tqdm does not ask for a widget, and
    relative paths start in notebooks/, wherever papermill was called (in a notebook that stands
    alone: where it is).
    """
    import pandas as pd

    warnings.filterwarnings("ignore", message="IProgress not found")
    ipython = sys.modules.get("IPython")
    if shell := ipython and ipython.get_ipython():
        shell.run_line_magic("matplotlib", "inline")
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


def versions(*packages: str) -> None:
    """Print the version of Python and of each package, a line each."""
    print("python", platform.python_version())
    for package in packages:
        print(package, version(package))
