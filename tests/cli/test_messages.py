"""A message that names an option names one that there is."""

import ast
import re
from pathlib import Path

import pytest

import merclip_lib
from merclip_lib.__main__ import COMMANDS
from merclip_lib.cli.options import read_commands

PACKAGE = Path(merclip_lib.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_OTHERS = {"--no-deps", "--head"}  # pip's and Ray's
OPTIONS = {name: {"--debug", *told["options"]} for name, told in read_commands().items()}


def said(node: ast.AST) -> list[str]:
    """The texts in some code: no docstrings, and no single words for another program."""
    alone = [each.value for each in ast.walk(node) if isinstance(each, ast.Expr)]
    texts = []
    for each in ast.walk(node):
        if isinstance(each, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in each.values)
            texts.append("".join(parts))
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in alone:
            texts.append(each.value)
    return [text for text in texts if not re.fullmatch(r"--[\w-]+(=\S*)?", text)]


def reached(functions: dict[str, ast.AST], name: str) -> set[str]:
    """A function of a module with all functions of it that it calls, or that these call."""
    found, new = set[str](), {name}
    while new:
        found |= new
        used = [
            each.id for k in new for each in ast.walk(functions[k]) if isinstance(each, ast.Name)
        ]
        new = (set(used) & functions.keys()) - found
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_its_own_options(command):
    function = COMMANDS[command]
    tree = ast.parse(Path(function.__code__.co_filename).read_text(encoding="utf-8"))
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    names = reached(functions, function.__name__)
    named = {
        option
        for name in names
        for text in said(functions[name])
        for option in OPTION.findall(text)
    }
    assert named <= OPTIONS[command]


def test_elsewhere_options_are_those_of_some_command_and_examples_of_theirs():
    every, seen = set().union(OF_OTHERS, *OPTIONS.values()), 0
    for file in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.toml")]):
        content = file.read_text(encoding="utf-8")
        if file.name == "commands.toml":
            continue
        for text in said(ast.parse(content)) if file.suffix == ".py" else content.splitlines():
            assert set(OPTION.findall(text)) <= every, (file, text)
            for command, rest in re.findall(r"merclip ([a-z]+)\b([^`\"']*)", text):
                seen += command in OPTIONS
                assert set(OPTION.findall(rest)) <= OPTIONS.get(command, every), (file, text)
    assert seen > 10
