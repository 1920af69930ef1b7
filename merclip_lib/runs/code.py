"""Which code made a run: a fingerprint of the source that decides predictions.

A phrase, an augmentation or a loss that is edited makes other predictions, so the fingerprint is
part of a run's hash. It is taken over the syntax trees without docstrings, comments and the words
of error messages, and without the fields of the configuration, whose values are hashed
themselves: none of these changes a prediction.
"""

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path

from merclip_lib import IMPORTED

PACKAGE = Path(__file__).resolve().parents[1]
# Files and rooms (every file of it) that make predictions, below merclip_lib.
SOURCES = (
    "config.py augment.py text model training data/dataset.py weights/load.py weights/sizes.py "
    "weights/key_layouts.py weights/adapt.py weights/transfer.py protocol/folds.py "
    "protocol/one_fold.py protocol/plan.py protocol/predictions.py"
).split()
RECORDS = ("Method", "Optimisation", "Computing", "Protocol")  # fields hashed by value
BESIDE = ("training/memory.py", "training/checkpoint.py")  # make no run


def source_files(package: Path = PACKAGE) -> list[Path]:
    """The files that the fingerprint covers, in order of their names."""
    paths = [package / name for name in SOURCES]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    left_out = {package / name for name in BESIDE}
    return sorted(file for file in files if file not in left_out and file.name != "__init__.py")


def fingerprint(package: Path = PACKAGE) -> str:
    """12 hex digits that change when code that makes predictions changes.

    Args:
        package: folder of the library.
    """
    sources = {file.relative_to(package).as_posix(): _read(file) for file in source_files(package)}
    whole = "".join(f"{name} {_digest(source)}\n" for name, source in sources.items())
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def loaded_code() -> str:
    """The fingerprint of the code that this process has loaded.

    Raises:
        ValueError: a file was edited since, so that this process does not compute what it says.
    """
    for file, source in _LOADED.items():
        if file in _EDITED or not file.is_file() or _digest(_read(file)) != _digest(source):
            name = file.relative_to(PACKAGE.parent)
            raise ValueError(f"{name} was edited after it had been loaded; restart the kernel")
    return fingerprint()


def _was_edited(file: Path) -> bool:
    """Whether a module that is loaded already was edited since the library was first imported."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts) in sys.modules and file.stat().st_mtime > IMPORTED


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


_LOADED = {file: _read(file) for file in source_files()}
_EDITED = {file for file in _LOADED if _was_edited(file)}  # before this module was loaded


@cache
def _digest(source: str) -> str:
    """The digest of a syntax tree without what changes no prediction."""
    tree = _Essence().visit(ast.parse(source))
    # As Python 3.11 writes a tree: 3.12 added a list to it, 3.13 leaves empty lists out.
    empty_lists = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    dumped = ast.dump(tree, **empty_lists).replace(", type_params=[]", "")
    return hashlib.sha256(dumped.encode()).hexdigest()


class _Essence(ast.NodeTransformer):
    """Leaves out docstrings, the words of errors, and the fields of a configuration."""

    def _without_docstring(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return self.generic_visit(node)

    visit_Module = visit_FunctionDef = _without_docstring

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if node.name in RECORDS:
            node.body = [part for part in node.body if not isinstance(part, ast.AnnAssign)]
        return self._without_docstring(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc, None)
