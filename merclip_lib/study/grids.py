"""The grid file of a sweep: read and checked, every value of it, before anything starts."""

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from merclip_lib.study.checkout import MARK

GRID_BYTES = 10**6
NAME = re.compile(r"\w[\w+.-]{0,49}")  # of an entry; with seed and ending at most 255 bytes
GIVEN = {  # parameters that a grid cannot set
    "seed": "write `seeds:`",
    "runs_dir": "use --runs-dir",
    "figures_dir": "it is a folder of its own for every run",
}


def read_grid(grid: str | Path) -> dict[str, Any]:
    """A grid file: entries (name, question, parameters), and perhaps notebook, base and seeds.

    The notebook is looked for beside the grid, then in notebooks/; by default it is the training
    notebook. Files that parameters name are looked for beside the grid, too.

    Returns:
        The content; what may be left out is filled in (no base, seed 0, no parameters).

    Raises:
        ValueError: when the file cannot be read, a key is missing, unknown or given twice, a value
            is of another kind, or a name is given twice or cannot name a file.
    """
    content = _read_yaml(grid)
    _check_keys(content, {"entries"}, {"notebook", "base", "seeds"}, f"{grid}")
    content = {"notebook": MARK.name, "base": {}, "seeds": [0], **content}
    _check_kind(content["notebook"], str, f"{grid}: notebook", "the name of a notebook")
    _check_kind(content["entries"], list, f"{grid}: entries", "a list of entries")
    check_parameters(content["base"], f"{grid}: base")
    check_seeds(content["seeds"], f"{grid}")
    names: dict[str, str] = {}
    for k, entry in enumerate(content["entries"]):
        where = f"{grid}, entry {k + 1}"
        _check_keys(entry, {"name"}, {"question", "parameters"}, where)
        name = entry["name"]
        _check_kind(name, str, f"{where}: name", "a text; quote it where YAML reads it otherwise")
        if not NAME.fullmatch(name):
            why = f"{where}: the name {name[:80]!r} becomes that of a file"
            raise ValueError(f"{why}; use up to 50 letters, digits, _, + and -")
        if before := names.get(name.casefold()):
            raise ValueError(f"{where}: the name {name!r} is given twice (before: {before!r})")
        names[name.casefold()] = name
        for key, usual in (("question", "-"), ("parameters", {})):
            entry[key] = usual if entry.get(key) is None else entry[key]
        _check_kind(entry["question"], str, f"{where}: question", "a text")
        check_parameters(entry["parameters"], f"{where}: parameters")
    return content


def _read_yaml(grid: str | Path) -> Any:
    """The content of a grid file; ValueError if it cannot be read or gives a key twice."""
    try:
        if not Path(grid).is_file():
            raise ValueError("no such file")
        if Path(grid).stat().st_size > GRID_BYTES:
            raise ValueError(f"it has more than {GRID_BYTES:,} bytes")
        with open(grid, "rb") as file:
            return yaml.load(file, UniqueKeys)
    except (OSError, yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        why = f"cannot read the grid {grid}: {' '.join(str(error).split())}"
        wanted = "a grid is a small file of YAML in UTF-8, such as notebooks/ablations.yaml"
        raise ValueError(f"{why}; {wanted}") from None


class UniqueKeys(yaml.SafeLoader):
    """Refuses what YAML would take without a word: a key given twice, and numbers such as 1:30."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        if again := [key for key, _ in node.value if keys.count(key.value) > 1]:
            raise yaml.YAMLError(f"the key {again[0].value!r} is given twice{again[0].start_mark}")
        return node

    def construct_number(self, node):
        number = self.construct_yaml_int(node)
        if re.match(r"[-+]?0[0-9_]|.*:", node.value):
            raise yaml.YAMLError(f"{node.value} would be read as {number}; write that, or quote it")
        return number


UniqueKeys.add_constructor("tag:yaml.org,2002:int", UniqueKeys.construct_number)


def check_seeds(seeds: Any, where: str) -> None:
    """ValueError unless `seeds` is a list of different numbers from 0."""
    good = isinstance(seeds, list | tuple | range) and len(seeds) > 0
    if not good or any(type(seed) is not int or not 0 <= seed < 2**63 for seed in seeds):
        wanted = "it must be a list of whole numbers from 0, such as [0, 1, 2]"
        raise ValueError(f"{where}: seeds is {reprlib.repr(seeds)[:80]}; {wanted}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{where}: seeds {list(seeds)} has a number twice; leave it out")


def _check_keys(mapping: Any, required: set[str], optional: set[str], where: str) -> None:
    """ValueError for what is no mapping, and for a key that is missing or unknown."""
    known = ", ".join(sorted(required | optional))
    _check_kind(mapping, dict, where, f"a mapping with the keys {known}")
    if missing := required - set(mapping):
        raise ValueError(f"{where}: the key {min(missing)!r} is missing; keys: {known}")
    if unknown := set(mapping) - required - optional:
        raise ValueError(f"{where}: unknown key {min(unknown, key=str)!r}; keys: {known}")


def check_parameters(parameters: Any, where: str) -> None:
    """ValueError unless these are parameters by name, and none that the sweep itself gives."""
    _check_kind(parameters, dict, where, "a mapping such as {epochs: 2}")
    for name, remedy in GIVEN.items():
        if name in parameters:
            raise ValueError(f"{where}: {name} is given by the sweep; {remedy}")


def _check_kind(value: Any, kind: type, where: str, wanted: str) -> None:
    """ValueError for a value of another kind, and for one that is empty where it must not be."""
    if not isinstance(value, kind) or value in ("", []):
        raise ValueError(f"{where}: {reprlib.repr(value)[:80]} must be {wanted}")
