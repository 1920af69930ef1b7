"""Whatever is handed over is read or refused in one line; `benchmarks.fuzz` does it for longer."""

import shutil

import pytest
from fuzz_checks import KINDS
from hypothesis import HealthCheck, given, settings

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("examples", [60, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
def test_any_input_is_read_or_refused_in_one_line(kind, examples, tmp_path):
    @settings(max_examples=examples, deadline=None, suppress_health_check=CHECKS)
    @given(KINDS[kind].inputs)
    def one(content):
        folder = tmp_path / "input"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        KINDS[kind].check(folder, content)

    one()
