"""The shape of the code: short functions, few parameters, few modules, formatted, linted, typed.

Each test names all offenders at once, as file:line. How wide a line may be, also in a notebook, is
`ruff check`'s matter.
"""

import ast
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "merclip_lib"
MODULES = sorted(LIBRARY.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

FUNCTION_LINES = 60  # without the docstring
PARAMETERS = 6  # without self and cls
LIBRARY_LINES = 13_039  # of code: no docstring, comment or blank line; it may only fall
METHOD_LINES = 2_400  # the same, of what a student of the method reads
METHOD = ("text", "augment", "model", "training", "protocol")


def none_of(offenders: list[str], rule: str) -> None:
    assert not offenders, "\n".join([f"{len(offenders)} x {rule}:", *offenders])


def functions():
    """Path, node and the node that holds it, of every function of the library."""
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for parent in ast.walk(tree):
            for node in ast.iter_child_nodes(parent):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield path.relative_to(ROOT), node, parent


def docstring_lines(node) -> range:
    """Lines of the docstring of a module, class or function."""
    if ast.get_docstring(node, clean=False) is None:
        return range(0)
    return range(node.body[0].lineno, node.body[0].end_lineno + 1)


def code_lines(path: Path) -> int:
    """Lines that hold code: no docstring, comment or blank line."""
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    no_code |= {tokenize.ENCODING, tokenize.ENDMARKER}
    lines: set[int] = set()
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type not in no_code:
                lines.update(range(token.start[0], token.end[0] + 1))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented):
            lines.difference_update(docstring_lines(node))
    return len(lines)


def test_functions_are_short():
    offenders = []
    for path, node, _ in functions():
        lines = node.end_lineno - node.lineno + 1 - len(docstring_lines(node))
        if lines > FUNCTION_LINES:
            offenders.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    none_of(offenders, f"more than {FUNCTION_LINES} lines")


def test_functions_have_few_parameters():
    offenders = []
    for path, node, parent in functions():
        given = node.args
        names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        names += [a.arg for a in (given.vararg, given.kwarg) if a]
        if isinstance(parent, ast.ClassDef) and names and names[0] in ("self", "cls"):
            names = names[1:]
        if len(names) > PARAMETERS:
            offenders.append(f"{path}:{node.lineno} {node.name}: {len(names)} parameters")
    none_of(offenders, f"more than {PARAMETERS} parameters")


def test_functions_return_records_not_long_tuples():
    offenders = []
    for path, node, _ in functions():
        returned = node.returns
        if isinstance(returned, ast.Subscript) and ast.unparse(returned.value) == "tuple":
            parts = getattr(returned.slice, "elts", [])
            if len(parts) > 2 and len({ast.unparse(part) for part in parts}) > 1:
                offenders.append(f"{path}:{node.lineno} {node.name}: {ast.unparse(returned)}")
    none_of(offenders, "more than two unlike things returned")


def test_at_most_eight_modules_stand_outside_a_room():
    assert len(list(LIBRARY.glob("*.py"))) <= 8


def test_the_library_stays_small():
    rooms: dict[str, int] = {}
    for path in MODULES:
        room = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
        rooms[room] = rooms.get(room, 0) + code_lines(path)
    assert sum(rooms.values()) <= LIBRARY_LINES, rooms
    assert sum(rooms[room] for room in METHOD) <= METHOD_LINES, rooms


def test_formatting_is_left_to_the_formatter():
    folders = (LIBRARY, ROOT / "tests", ROOT / "benchmarks")
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    marks = tuple(f"# fmt: {word}" for word in ("skip", "off"))
    offenders = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in [*paths, *NOTEBOOKS]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    none_of(offenders, "laid out by hand")


@pytest.mark.parametrize(
    "command",
    ["ruff format --check", "ruff check --output-format concise", "mypy merclip_lib"],
)
def test_formatted_linted_typed(command):
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
