"""The same seeds give the same predictions as in version 0.1 (tests/fixtures/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import tiny_runs

from merclip_lib.config import config_from
from merclip_lib.scores.metrics import read_predictions
from merclip_lib.synthme.draw import draw_set
from merclip_lib.synthme.plan import FaceSet

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "v01"
SET = FaceSet("SynthME", 1, 4242, 6, 12, "s", (0.15, 0.45))
BASE = {"task": "synthme-3", "folds": 2, "epochs": 2, "batch_size": 8}
CHANGES = {
    "full": {},
    "no_text": {"use_text": False},
    "inner": {"selection": "inner_validation"},
    "names": {"description": "facs_names"},
}
# Processors round differently, by 3e-7 at most where we looked; `soft_targets` off and `flip_swap`
# off, the smallest change of the method that we know, moves a probability by 2.5e-3.
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return draw_set(SET, tmp_path_factory.mktemp("drawn") / "set", workers=1)


@pytest.mark.parametrize("name", CHANGES)
def test_predictions_are_those_of_version_01(name, store, tmp_path):
    expected = read_predictions(FIXTURES / f"{name}.csv")
    config = config_from(BASE | CHANGES[name])
    ours = tiny_runs.run(config, store, tmp_path, executor="serial").predictions
    columns = [column for column in expected if column.startswith("p_")]
    assert list(ours["clip_id"]) == list(expected["clip_id"])
    assert list(ours["truth"]) == list(expected["truth"])
    np.testing.assert_allclose(ours[columns], expected[columns], rtol=0, atol=TOLERANCE)
    ranked = np.sort(expected[columns].to_numpy(), axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * TOLERANCE
    assert clear.any()
    assert list(ours["prediction"][clear]) == list(expected["prediction"][clear])
