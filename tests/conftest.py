"""Fixtures shared by all test modules, and the order in which tests begin."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from merclip_lib.data.store import ClipStore
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"
# These take longest. They begin first, so that no process works alone at the end.
FIRST = ("tests/study/", "tests/notebooks/", "tests/protocol/", "tests/house/")


def pytest_configure():
    """One thread, as `merclip test` says: several wait for each other by spinning."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ("run_again" not in item.name, not item.nodeid.startswith(FIRST)))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with numbers made by the authors' released program; not part of the repository."""
    if not GOLDEN.is_dir():
        pytest.skip("reference numbers (../shared/golden) are not on this machine")
    return GOLDEN


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: the folder that `make` filled, made by the first process that asks.

    Tests run in several processes, and what is dear is made in one of them alone: the others wait
    for it. Nobody may change what is in the folder.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder = base / "once" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                part = tmp_path_factory.mktemp(name)
                make(part)
                part.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def synthme(once) -> ClipStore:
    """The example population, drawn once for all tests; copy it to change it."""
    made = once("synthme", lambda folder: draw_population(EXAMPLE, folder / "synthme"))
    return draw_population(EXAMPLE, made / "synthme")
