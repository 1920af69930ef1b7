"""What the paper shows, for any task: its notebooks run, their tables and figures collected.

Nothing is computed or drawn here. paper.yaml says of each artefact which notebook makes it, by
which call and into which files; a table also becomes LaTeX.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from merclip_lib.config import config_from
from merclip_lib.data.store import open_store
from merclip_lib.files import Kind, did_you_mean, output_place, write_bytes, write_csv, write_text
from merclip_lib.progress import say
from merclip_lib.recipes import SYNTHME, values_of
from merclip_lib.study import notebooks
from merclip_lib.study.checkout import root_with
from merclip_lib.study.progress import Clock, progress_file

_TABLE = Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8")
ARTEFACTS: dict[str, dict[str, Any]] = yaml.safe_load(_TABLE)
MADE = "made"  # below the folder of a task: all that its notebooks write
OURS = Kind(files=(MADE,), more=("*",))  # the folder of a task


def make_artefacts(
    stores: Mapping[str, str],
    out: Path,
    names: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> list[str]:
    """Run the notebooks that make artefacts, for every task, and collect these in `out`/task.

    A task of the paper has the values of its recipe. Trainings that the run store holds are not
    repeated, and a notebook that fails does not stop the others.

    Args:
        stores: folder of the clip store by task; empty for SynthME.
        out: takes a folder for each task.
        names: of the artefacts, keys of ARTEFACTS; empty for all that are made of such clips.
        settings: fields of the configuration over those of the recipe.
        root: folder of the copy of the repository; None: the one that is found.

    Returns:
        A line for each file that could not be collected, with the reason.

    Raises:
        ValueError: for an unknown artefact, task or setting, a folder without a clip store, or
            one of a task that holds something else, before anything runs.
    """
    for name in names:
        if name not in ARTEFACTS:
            raise ValueError(f"no figure {name!r} of the paper{did_you_mean(name, ARTEFACTS)}")
    options = {task: {**_recipe_values(task), **(settings or {})} for task in stores}
    for task, store in stores.items():
        config_from({"task": task, **options[task]})
        if store or task not in SYNTHME:
            open_store(store)
    root, missing = Path(root or root_with("notebooks")), []
    folders = {task: output_place(Path(out) / task, OURS) for task in stores}
    for task, store in stores.items():
        kind, folder = "store" if store else "synthme", folders[task]
        of_kind = [name for name in ARTEFACTS if ARTEFACTS[name].get("made_of", kind) == kind]
        wanted = {name: ARTEFACTS[name] for name in names or of_kind}
        given = {"task": task, "runs_dir": str(root / "runs"), "figures_dir": str(folder / MADE)}
        given |= _of_store(task, str(Path(store).resolve()), wanted) if store else {}
        with progress_file(root / "runs" / "notebooks" / "paper", Clock({})):
            stopped = {
                stem: _run(root / "notebooks" / f"{stem}.ipynb", given, options[task])
                for stem in sorted({artefact["notebook"] for artefact in wanted.values()})
            }
        for name, artefact in wanted.items():
            reason = stopped[artefact["notebook"]]
            reasons = [reason] if reason else _collect(name, artefact, folder)
            missing += [f"{task}, {name}: {reason}" for reason in reasons]
    return missing


def _recipe_values(task: str) -> dict[str, Any]:
    """What the recipe of a task sets; how many groups of people is for each notebook to say."""
    return {key: value for key, value in values_of(task).items() if key not in ("task", "folds")}


def _of_store(task: str, folder: str, wanted: Mapping[str, Mapping]) -> dict[str, Any]:
    """What notebooks are given about a clip store, and about what is asked of it."""
    trained = [entry for artefact in wanted.values() for entry in artefact.get("trained", ())]
    questions = {name: made["questions"] for name, made in wanted.items() if "questions" in made}
    about = {"store_dir": folder, "stores": {task.rsplit("-", 1)[0]: folder}}
    return {**about, "trained": trained, "questions": questions}


def _run(notebook: Path, given: dict[str, Any], options: dict[str, Any]) -> str:
    """Run a notebook with what it takes of all this; says why there is nothing to collect."""
    defaults, output = notebooks.parameters_of(notebook), Path(given["figures_dir"]).parent
    offered = {**options, **given, "options": options, "overrides": options, "start": ""}
    parameters = {key: offered[key] for key in defaults if key in offered}
    Path(given["figures_dir"]).mkdir(parents=True, exist_ok=True)  # from now on it is ours
    say(f"{given['task']}: {notebook.name} begins")
    return notebooks.attempt(notebook, output / notebook.name, parameters)


def _collect(name: str, artefact: Mapping[str, Any], folder: Path) -> list[str]:
    """Copy the files of an artefact; says what is not there."""
    files = [f"{figure}.pdf" for figure in artefact.get("figures", ())]
    files += [f"{artefact['table']}.csv"] if "table" in artefact else []
    missing = []
    for file in (folder / MADE / each for each in files):
        if not file.is_file():
            missing.append(f"{artefact['notebook']} made no {file.name} of this set")
        elif file.suffix == ".pdf":
            write_bytes(folder / file.name, file.read_bytes())
        else:
            table, caption = pd.read_csv(file), f"{artefact['shows']} ({folder.name})"
            write_csv(table, folder / f"{name}.csv", "%.7g")
            write_text(folder / f"{name}.tex", as_latex(table, caption))
    return missing


def as_latex(table: pd.DataFrame, caption: str) -> str:
    """A table as LaTeX (booktabs) for an article of two columns.

    Numbers have three digits, a p-value below 0.001 says so, and what is not known is empty. Long
    texts are broken into lines.
    """
    style = table.style.hide(axis="index").format(precision=3, na_rep="", escape="latex")
    style = style.format_index(axis="columns", escape="latex")
    p_values = table.columns.intersection(["p", "p_holm"])
    style = style.format(lambda p: r"$<$0.001" if p < 0.001 else f"{p:.3f}", p_values, na_rep="")
    long = table.map(lambda cell: len(str(cell))).max() > 40
    kinds = ["p{45mm}" if long[name] else "lr"[table[name].dtype.kind in "if"] for name in table]
    caption = re.sub(r"([&%$#_{}])", r"\\\1", caption)  # the name of a set may have a sign
    look: dict[str, Any] = {"position_float": "centering", "environment": "table*"}
    latex = style.to_latex(column_format="".join(kinds), hrules=True, caption=caption, **look)
    small = r"\centering" + "\n" + r"\scriptsize\setlength{\tabcolsep}{2.5pt}"
    return latex.replace(r"\centering", small, 1) if len(kinds) > 8 else latex
