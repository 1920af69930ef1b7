"""What every notebook does in its first cell and in its last."""

import os
import platform
import sys
import warnings
from importlib.metadata import version

from merclip_lib.study.checkout import NOTEBOOKS


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


def versions(*packages: str) -> None:
    """Print the version of Python and of each package, a line each."""
    print("python", platform.python_version())
    for package in packages:
        print(package, version(package))
