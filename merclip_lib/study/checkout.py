"""Where the notebooks and the tests are: in a copy of the repository, not in the package.

A copy is looked for in the current folder and those above it, then beside the package (so an
editable installation finds its own from anywhere).
"""

from pathlib import Path

MARK = Path("notebooks", "05_train_loso.ipynb")


def find_root() -> Path | None:
    """The folder of the copy of the repository, or None where there is none."""
    places = (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[2])
    return next((folder for folder in places if (folder / MARK).is_file()), None)


def root_with(folder: str) -> Path:
    """The folder of the copy of the repository that has `folder`, such as "tests".

    Raises:
        ValueError: where there is none.
    """
    root = find_root()
    if root and (root / folder).is_dir():
        return root
    nowhere = f"there is none from {Path.cwd()} upwards"
    raise ValueError(f"{folder}/ is only in a copy of the repository: call this in one ({nowhere})")


def default_runs() -> Path:
    """The run store that is used when none is named: `runs` in the copy, else in this folder."""
    return (find_root() or Path.cwd()) / "runs"


NOTEBOOKS = (find_root() or Path.cwd()) / MARK.parent
