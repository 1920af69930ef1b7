"""Fixtures shared by all test modules."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with numbers made by the authors' released program; not part of the repository."""
    if not GOLDEN.is_dir():
        pytest.skip("reference numbers (../shared/golden) are not on this machine")
    return GOLDEN
