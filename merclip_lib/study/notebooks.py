"""Run the notebooks, as they stand or with other parameters.

The notebooks are the experiments; this module only drives them through papermill. A *profile*
(profiles.yaml) runs all of them with small or large parameters. Parameters are checked before
anything starts, because papermill only warns about a misspelt one. Grids of runs: `sweeps`.
"""

import ast
import contextlib
import reprlib
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from merclip_lib.config import Config
from merclip_lib.files import did_you_mean, write_text
from merclip_lib.progress import say
from merclip_lib.runs.executors import GIB, Execution, run_jobs, workers_for
from merclip_lib.study.checkout import root_with
from merclip_lib.study.grids import check_seeds
from merclip_lib.study.progress import Clock, progress_file
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.workers import QUIET, environment

CELL_SECONDS = 6 * 3600  # no single cell may take longer
# Notebooks at a time, as most cells keep one core busy; bytes that one needs with its folds.
SIDE_BY_SIDE, MEMORY = 2, 3.0 * GIB

_SETTINGS = yaml.safe_load(Path(__file__).with_name("profiles.yaml").read_text(encoding="utf-8"))
PROFILES: dict[str, dict[str, dict]] = _SETTINGS["profiles"]
SHARES: dict[str, dict[str, float]] = _SETTINGS["shares"]


class NotebookError(RuntimeError):
    """A notebook stopped with an error; the message says where and why."""


def run(
    profile: str = "standard", in_place: bool = False, only: str = "", root: Path | None = None
) -> Path:
    """Execute the notebooks with a profile's parameters, two at a time where memory allows it.

    They begin in order; none needs another, and what two of them train is trained once.
    Executed copies go to `root/runs/notebooks/<profile>/`, figures to `runs/figures/<profile>`.
    Profiles other than `standard` keep their runs in `runs/<profile>`.

    Args:
        profile: a key of PROFILES.
        in_place: for maintainers: also write each clean executed notebook back, and the figures
            over the committed ones in `root/figures` (standard only).
        only: the beginning of a notebook's name, such as "05".
        root: folder of the copy of the repository; None: the one that is found.

    Returns:
        The folder of the executed copies.

    Raises:
        ValueError: for bad input, before anything starts.
        NotebookError: when a cell fails.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if in_place and profile != "standard":
        raise ValueError("--in-place is for the standard profile: it rewrites the notebooks")
    root = Path(root or root_with("notebooks"))
    paths = sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb"))
    paths = [path for path in paths if path.name.startswith(only)]
    if not paths:
        raise ValueError(f"no numbered notebook in {root / 'notebooks'} begins with {only!r}")
    output = root / "runs" / "notebooks" / profile
    figures = root / "figures" if in_place else root / "runs" / "figures" / profile
    runs = root / "runs" / ("" if profile == "standard" else profile)
    common = {"figures_dir": str(figures), "runs_dir": str(runs)}
    changes = PROFILES[profile]
    jobs = [(path, output / path.name, changes.get(path.stem, {}) | common) for path in paths]
    for path, _, parameters in jobs:
        check_parameters(path, parameters)

    workers = min(SIDE_BY_SIDE, workers_for(len(jobs), Execution(), "cpu", MEMORY))
    weights = {path.stem: SHARES[profile].get(path.stem[:2], 10.0) for path in paths}
    clock = Clock(weights, output / "seconds.json", workers)
    execution = Execution("processes" if workers > 1 else "serial", workers)
    with progress_file(output, clock):
        if workers > 1:  # none is to find it half drawn by another
            draw_population(EXAMPLE, runs / "synthme")
        for k, seconds in run_jobs(_timed, jobs, execution):
            if in_place:
                write_clean(output / paths[k].name, paths[k])
            clock.finish(paths[k].stem, seconds)
    for name in ("results.csv", "parts.csv"):
        if (figures / name).is_file():
            clock(f"\n{name}\n{pd.read_csv(figures / name).round(3).to_string(index=False)}")
    clock(f"\nnotebooks: {root / 'notebooks' if in_place else output}\nfigures:   {figures}")
    return output


def _timed(job: tuple[Path, Path, dict[str, Any]]) -> float:
    """The seconds that `execute` takes with these arguments."""
    began = time.monotonic()
    say(f"{job[0].name} begins")
    execute(*job)
    return time.monotonic() - began


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Names and default values in the cell tagged `parameters` of a notebook.

    Raises:
        ValueError: when there is no such notebook or cell, or a default is not a plain literal.
    """
    import papermill

    name = Path(notebook).name
    if not Path(notebook).is_file():
        raise ValueError(f"no notebook {notebook}")
    entries = papermill.inspect_notebook(str(notebook))
    if not entries:
        raise ValueError(f"{name} has no parameters: tag one cell `parameters`")
    defaults = {}
    for key, default in ((key, entry["default"]) for key, entry in entries.items()):
        try:
            defaults[key] = ast.literal_eval(default)
        except (ValueError, SyntaxError):
            unread = f"{name}: the default of parameter {key!r} is {default!r}"
            raise ValueError(f"{unread}; write a plain literal") from None
    return defaults


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they will be in the notebook, defaults filled in.

    An int may stand for a float and a list for a tuple; a default of None takes any value.

    Raises:
        ValueError: unless every parameter exists in the notebook and has its type, and no seed is
            given twice.
    """
    return check_values(parameters_of(notebook), parameters, Path(notebook).name)


def check_values(
    defaults: Mapping[str, Any], parameters: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """As `check_parameters`, for a notebook called `name` with these `defaults`."""
    for key, value in parameters.items():
        if key not in defaults:
            remedy = did_you_mean(key, defaults)
            if key in Config.__dataclass_fields__:
                line = f"{key} = {getattr(Config, key)!r}"
                remedy = f": write the line `{line}` into its cell of parameters"
            raise ValueError(f"{name} has no parameter {key!r}{remedy}")
        kind = type(defaults[key])
        fits = {float: (float, int), tuple: (tuple, list), list: (tuple, list)}.get(kind, (kind,))
        if defaults[key] is None or type(value) in fits:
            continue
        hint = _as_float(value) if kind is float and isinstance(value, str) else ""
        wrong = f"{name}: parameter {key!r} is {reprlib.repr(value)[:80]} ({type(value).__name__})"
        right = f"{kind.__name__}, as in the default {defaults[key]!r}{hint}"
        raise ValueError(f"{wrong} but should be {right}")
    filled = {**defaults, **parameters}
    for key in {"seeds", "reference_seeds", "extra_seeds"} & filled.keys():
        first = [filled.get("seed")] * (key == "extra_seeds")  # they come beside `seed`
        check_seeds([*first, *filled[key]], f"{name}, {key}")
    return filled


def _as_float(text: str) -> str:
    """How to write a number that YAML reads as text, such as 1e-4."""
    with contextlib.suppress(ValueError):
        mantissa, _, exponent = f"{float(text):e}".partition("e")
        return f"; write {float(mantissa)}e{int(exponent)}"
    return ""


def papermill_command(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> str:
    """The shell line that runs a notebook with these parameters, as YAML so that lists arrive."""
    values = yaml.safe_dump(dict(parameters), default_flow_style=True, sort_keys=False, width=10**6)
    line = ["papermill", str(notebook), str(output), "-y", values.strip()]
    return shlex.join([*line, "--cwd", str(Path(notebook).parent)])


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any], starts: int = 3) -> None:
    """Run one notebook in its own folder through papermill.

    Args:
        notebook: the notebook.
        output: where its executed copy is written, also when a cell fails.
        parameters: those that differ from the notebook's.
        starts: how often a kernel is started anew that died before the first cell.

    Raises:
        NotebookError: names the notebook, the cell, the last line of the error and the copy.
        RuntimeError: no kernel starts.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    cell = {"kernel_name": "python3", "execution_timeout": CELL_SECONDS}
    silent: dict[str, Any] = {"progress_bar": False, "extra_arguments": ["--log-level=CRITICAL"]}
    paths = {"input_path": str(notebook), "output_path": str(output), "cwd": str(notebook.parent)}
    try:
        with environment(QUIET):
            papermill.execute_notebook(**paths, parameters=parameters, **cell, **silent)
        return
    except papermill.PapermillExecutionError as error:
        where, kind, text = f"cell [{error.exec_count}]", error.ename, error.evalue
    except (CellTimeoutError, DeadKernelError) as error:
        where, kind, text = "a cell", type(error).__name__, str(error)
    except RuntimeError as error:  # before the first cell: another kernel was quicker at its port
        if not starts or "before replying" not in str(error):
            raise
        return execute(notebook, output, parameters, starts - 1)
    why = f"{kind}: {(text.strip().splitlines() or [''])[-1]}"
    raise NotebookError(f"{notebook.name} failed in {where}: {why} (partial output: {output})")


def attempt(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> str:
    """Run a notebook as `execute` does; returns what went wrong, or nothing."""
    try:
        execute(notebook, output, parameters)
    except NotebookError as error:
        return str(error)
    return ""


def write_clean(executed: Path, target: Path) -> None:
    """Write an executed notebook without papermill's metadata, injected cell and timings."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    # without Python's version, which is the machine's
    notebook.metadata.update(kernelspec=kernel, language_info={"name": "python"})
    cells = notebook.cells
    notebook.cells = [c for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]
    added, number = ("papermill", "execution", "ExecuteTime"), 0
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k not in added and v != []}
        if cell.get("execution_count"):
            number += 1  # the injected cell had counted
            for counted in (cell, *cell.outputs):
                if "execution_count" in counted:
                    counted.execution_count = number
    write_text(target, nbformat.writes(notebook) + "\n")
