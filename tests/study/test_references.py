"""Reference lines: each learns from one population and is asked about another."""

import numpy as np
import pytest
from tiny_runs import FAST, make_store

from merclip_lib.protocol.plan import RunPlan
from merclip_lib.scores.metrics import score
from merclip_lib.study import references


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Two stores of noise in which the written units tell the emotion."""
    folder, made = tmp_path_factory.mktemp("stores"), []
    for name, people in (("a", 4), ("b", 3)):
        units = ["4", "9", "5", "12", "14", "15", "1+2"] * people
        store = make_store(folder / name, people, action_units=units, true_action_units="4")
        made.append(RunPlan(FAST, store))
    return made


def test_every_reference_predicts_every_clip(plans):
    found = references.references(*plans)
    assert list(found) == [
        "most frequent class",
        "units as written",
        "sentence similarities",
        "frozen encoder",
        "optical flow, linear",
        "true units",
        "optical flow, CNN",
    ]
    for predictions in found.values():
        assert predictions["clip_id"].tolist() == plans[1].table["clip_id"].tolist()
    assert score(found["units as written"], plans[1].classes).uf1 == 1
    for blind in ("most frequent class", "true units"):  # here the true units are all alike
        assert found[blind]["prediction"].nunique() == 1


def test_flow_of_a_picture_that_moves(plans):
    frames = np.zeros((1, 2, 64, 64, 3), np.uint8)
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (20, 20)), np.ones((4, 4))).astype(np.uint8)
    frames[0, 0], frames[0, 1] = picture[8:72, 8:72, None], picture[8:72, 6:70, None]
    table = plans[0].table.iloc[:1].assign(onset=0, apex=1, offset=1)

    class Plan:
        store = type("Store", (), {"frames": frames})

    Plan.table = table.set_axis([0])
    flow = references.onset_apex_flow(Plan)
    assert flow.shape == (1, 64, 64, 2)
    assert np.median(flow[..., 0]) == pytest.approx(2, abs=0.2)
    assert np.median(flow[..., 1]) == pytest.approx(0, abs=0.2)
    means = references.cell_means(flow)
    assert means.shape == (1, 128) and np.median(means[0, ::2]) == pytest.approx(2, abs=0.3)
