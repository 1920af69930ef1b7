"""Run the notebooks, as they stand or with other parameters.

The notebooks are the experiments; this module only drives them through papermill. A *profile*
runs all of them with small or large parameters. Parameters are checked before anything starts,
because papermill only warns about a misspelt one. Grids of runs: `merclip_lib.sweeps`.
"""

import ast
import contextlib
from pathlib import Path

from merclip_lib.files import did_you_mean, write_text
from merclip_lib.study.progress import Clock, progress_file

ROOT = Path(__file__).resolve().parents[2]


NOTEBOOKS = ROOT / "notebooks"


CELL_SECONDS = 6 * 3600  # no single cell may take longer


# What each profile injects, by notebook. `standard` is what the parameter cells already say.
PROFILES: dict[str, dict[str, dict]] = {
    "smoke": {
        "05_train_loso": {"subjects": 3, "epochs": 1, "folds": 2, "extra_seeds": []},
        "06_ablations": {
            "entries": ["full", "no_text"],
            "seeds": [0],
            "head_epochs": 1,
            "penalties": [10.0],
            "overrides": {"subjects": 3, "epochs": 1, "folds": 2},
        },
        "04_model_shape_by_shape": {"fresh_subjects": 12},
        "07_what_the_model_sees": {"subjects": 4, "epochs": 1, "folds": 2},
        "08_protocol_traps": {"subjects": 4, "epochs": 1, "folds": 2, "seeds": [0]},
        "09_paper_and_us": {"subjects": 3, "epochs": 1, "folds": 2, "seeds": [0]},
    },
    "quick": {
        "05_train_loso": {"subjects": 10, "epochs": 5, "folds": 4, "extra_seeds": []},
        "06_ablations": {
            "entries": ["full", "no_text", "linear_head", "no_mix", "from_scratch"],
            "seeds": [0],
            "overrides": {"subjects": 10, "epochs": 5},
        },
        "07_what_the_model_sees": {"subjects": 10, "epochs": 5},
        "08_protocol_traps": {"subjects": 10, "epochs": 5, "seeds": [0]},
        "09_paper_and_us": {"subjects": 10, "epochs": 5, "folds": 4, "seeds": [0]},
    },
    "standard": {},
    "paper": {
        "05_train_loso": {
            "size": "ViT-B-16",
            "frames": 16,
            "epochs": 55,
            "batch_size": 8,
            "warmup_epochs": 5.0,
            "lr": 5.0e-5,
            "head_lr_scale": 1.0,
            "drop_path": 0.2,
            "global_drop_path": 0.4,
            "normalisation": "imagenet",
        },
    },
}


# Share of each notebook in the time of a whole run, for the estimate of the time left.
WEIGHTS = {
    "05_train_loso": 20.0,
    "06_ablations": 90.0,
    "07_what_the_model_sees": 4.0,
    "08_protocol_traps": 8.0,
    "09_paper_and_us": 8.0,
}


class NotebookError(RuntimeError):
    """A notebook stopped with an error; the message says where and why."""


def notebook_paths(notebooks: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks, in order; ValueError where there are none."""
    paths = sorted(Path(notebooks).glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise ValueError(f"no numbered notebooks in {notebooks}; install with `pip install -e .`")
    return paths


def parameters_of(notebook: Path) -> dict:
    """Names and default values in the cell tagged `parameters` of a notebook.

    Raises ValueError when there is no such cell or a default is not a plain literal.
    """
    import papermill

    if not Path(notebook).is_file():
        raise ValueError(f"no notebook {notebook}")
    found = papermill.inspect_notebook(str(notebook))
    if not found:
        raise ValueError(f"{Path(notebook).name} has no parameters: tag one cell `parameters`")
    defaults = {}
    for name, entry in found.items():
        try:
            defaults[name] = ast.literal_eval(entry["default"])
        except (ValueError, SyntaxError):
            raise ValueError(
                f"{Path(notebook).name}: the default of parameter {name!r} is "
                f"{entry['default']!r}; write a plain literal"
            ) from None
    return defaults


def check_parameters(notebook: Path, parameters: dict) -> dict:
    """Raise ValueError unless every parameter exists in the notebook and has its type.

    An int may stand for a float and a list for a tuple; a default of None takes any value.
    Returns the parameters as they will be in the notebook (defaults filled in).
    """
    defaults = parameters_of(notebook)
    name = Path(notebook).name
    for key, value in parameters.items():
        if key not in defaults:
            raise ValueError(f"{name} has no parameter {key!r}{did_you_mean(key, defaults)}")
        kind = type(defaults[key])
        allowed = {float: (float, int), tuple: (tuple, list), list: (tuple, list)}.get(kind, kind)
        boolean = isinstance(value, bool) and kind is not bool
        if defaults[key] is None or (isinstance(value, allowed) and not boolean):
            continue
        hint = ""
        if kind is float and isinstance(value, str):
            with contextlib.suppress(ValueError):  # YAML reads 1e-4 as text
                mantissa, _, exponent = f"{float(value):e}".partition("e")
                hint = f"; write {float(mantissa)}e{int(exponent)}"
        raise ValueError(
            f"{name}: parameter {key!r} is {value!r} ({type(value).__name__}) but should be "
            f"{kind.__name__}, as in the default {defaults[key]!r}{hint}"
        )
    return {**defaults, **parameters}


def run(
    profile: str = "standard",
    in_place: bool = False,
    only: str = "",
    notebooks: Path = NOTEBOOKS,
    root: Path = ROOT,
) -> Path:
    """Execute the notebooks in order with a profile's parameters; returns the outputs' folder.

    Executed copies go to `root/runs/notebooks/<profile>/`. Profiles other than `standard` keep
    their runs in `runs/<profile>` and figures in `runs/figures/<profile>`, so the committed
    figures stay. `in_place` (standard only) also writes each clean executed notebook back.
    `only` is the beginning of a notebook's name, such as "05".
    Raises ValueError for bad input before anything starts, NotebookError when a cell fails.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if in_place and profile != "standard":
        raise ValueError("--in-place is for the standard profile: it rewrites the notebooks")
    paths = [p for p in notebook_paths(notebooks) if p.name.startswith(only)]
    if not paths:
        raise ValueError(f"no notebook begins with {only!r}")
    runs, figures, common = Path(root) / "runs", Path(root) / "figures", {}
    output = runs / "notebooks" / profile
    if profile != "standard":
        figures, runs = runs / "figures" / profile, runs / profile
        common = {"runs_dir": str(runs), "figures_dir": str(figures)}
    jobs = [(path, {**PROFILES[profile].get(path.stem, {}), **common}) for path in paths]
    for path, parameters in jobs:
        check_parameters(path, parameters)

    say = Clock([WEIGHTS.get(path.stem, 1.0) for path in paths])
    with progress_file(output, say):
        for path, parameters in jobs:
            say.start(path.name)
            execute(path, output / path.name, parameters)
            if in_place:
                write_clean(output / path.name, path)
            say.finish()
    for name in ("results.csv", "ablations.csv"):
        if (figures / name).is_file():
            import pandas as pd

            say(f"\n{name}\n{pd.read_csv(figures / name).round(3).to_string(index=False)}")
    say(f"\nnotebooks: {notebooks if in_place else output}\nfigures:   {figures}")
    return output


def execute(notebook: Path, output: Path, parameters: dict) -> None:
    """Run one notebook in its own folder through papermill.

    Raises NotebookError that names the notebook, the cell, the last line of the error and the
    partial output.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            parameters,
            cwd=str(Path(notebook).parent),
            kernel_name="python3",
            execution_timeout=CELL_SECONDS,
            progress_bar=False,
            extra_arguments=["--log-level=ERROR"],
        )
        return
    except papermill.PapermillExecutionError as error:
        where, kind, text = f"cell [{error.exec_count}]", error.ename, error.evalue
    except (CellTimeoutError, DeadKernelError) as error:
        where, kind, text = "a cell", type(error).__name__, str(error)
    why = f"{kind}: {(text.strip().splitlines() or [''])[-1]}"
    name = Path(notebook).name
    raise NotebookError(f"{name} failed in {where}: {why} (partial output: {output})")


def write_clean(executed: Path, target: Path) -> None:
    """Write an executed notebook without papermill's metadata, injected cell and timings."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}  # its version is the machine's
    kept = []
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            continue
        for key in ("papermill", "execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        kept.append(cell)
    notebook.cells = kept
    write_text(target, nbformat.writes(notebook) + "\n")
