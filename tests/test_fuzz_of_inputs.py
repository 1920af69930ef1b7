"""Whatever is handed over is read or refused in one line; `benchmarks.fuzz` does it for longer."""

import shutil

import pytest
from fuzz_checks import KINDS
from hypothesis import HealthCheck, given, settings

few = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("kind", KINDS)
def test_any_input_is_read_or_refused_in_one_line(kind, tmp_path):
    @few
    @given(KINDS[kind].inputs)
    def one(content):
        folder = tmp_path / "input"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        KINDS[kind].check(folder, content)

    one()
