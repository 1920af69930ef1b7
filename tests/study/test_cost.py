"""Cost estimates agree with counting by hand."""

import dataclasses

import pytest
import torch

from merclip_lib.__main__ import main
from merclip_lib.config import SIZES, Config, size_of
from merclip_lib.recipes import recipe
from merclip_lib.study.cost import (
    counts_of,
    estimate,
    flops,
    growth,
    measure_speed,
    parameters,
)

TINY = Config()


@pytest.fixture
def two_sizes(monkeypatch):
    """Without the largest network, whose shapes alone take some seconds."""
    monkeypatch.delitem(SIZES, "ViT-L-14")


def test_operations_by_hand():
    size, found = size_of(TINY), flops(TINY)
    tokens, width = size.times * (1 + size.grid**2), size.width
    assert found["MLP"] == size.layers * tokens * 2 * (2 * width * 4 * width)
    scores = 2 * 2 * size.times * (1 + size.grid**2) ** 2 * width
    products = tokens * 2 * width * 4 * width  # query, key, value, output
    assert found["attention within a time"] == size.layers * (scores + products)
    inner = width / size.lmhra_reduction
    patches = tokens - size.times
    each = 2 * 2 * width * inner + 2 * 3 * inner  # reduce and expand, three times in between
    assert found["LMHRA"] == size.layers * 2 * patches * each


def test_operations_follow_the_configuration():
    whole = sum(flops(TINY).values())
    longer = sum(flops(dataclasses.replace(TINY, frames=16)).values())
    assert 1.95 < longer / whole < 2.3  # linear but for the Emotion Inference Module
    plain = flops(dataclasses.replace(TINY, temporal=False))
    assert plain["LMHRA"] == plain["DPE"] == plain["global blocks"] == 0
    assert flops(dataclasses.replace(TINY, use_eim=False))["emotion head"] < 2000


def test_parameters_of_the_paper_s_size():
    assert parameters(recipe("casme3-7")) == 163_647_488 + 6_309_383 + 1


def test_an_estimate_by_hand():
    config = dataclasses.replace(TINY, epochs=10, batch_size=8)
    found = estimate(config, clips=100, folds=5, clips_per_second=4.0)
    assert found.steps == 5 * 10 * 10  # 80 clips in batches of 8
    assert found.seconds == pytest.approx(10 * (400 + 100 / 3) / 4)
    assert "5 folds, 500 steps, about 0.3 core hours at the measured 4 clips/s" in str(found)
    single = estimate(config, clips=100, folds=1, clips_per_second=4.0)
    assert single.seconds == pytest.approx(250) and str(single).startswith("1 fold, 130 steps")
    cuda = dataclasses.replace(config, device="cuda", epochs=55)
    assert "GPU hours" in str(estimate(cuda, 857, 94, 12.0))


@pytest.mark.parametrize(
    "clips, folds, speed", [(0, 2, 1.0), (5, -1, 1.0), (5, 2, 0.0), (5, 2, float("nan"))]
)
def test_impossible_counts_are_refused(clips, folds, speed):
    with pytest.raises(ValueError, match="must be above 0"):
        estimate(TINY, clips, folds, speed)


def test_growth(two_sizes):
    rows = {row["what"]: row for row in growth(TINY, 256, 16)}
    assert rows["as given"]["time"] == rows["as given"]["memory"] == 1
    assert rows["twice the clips of every subject"]["time"] == 2
    assert rows["twice the subjects"]["time"] == pytest.approx(2 * 31 / 15)
    assert rows["size ViT-B-16"]["time"] > 400 and rows["size ViT-B-16"]["memory"] > 10
    assert len(growth(TINY, 256, 16, sizes=())) == len(rows) - 1


def test_speed_is_measured_whatever_the_memory(monkeypatch):
    threads = torch.get_num_threads()
    config = dataclasses.replace(TINY, batch_size=2)
    assert 0 < measure_speed(config) < 1e4
    assert torch.get_num_threads() == threads
    many = dataclasses.replace(TINY, batch_size=10**6)  # more than any memory holds
    whole = measure_speed(many)
    assert 0 < whole < 1e4
    assert 0 < measure_speed(dataclasses.replace(TINY, frames=10**6)) < 1  # as long as a day
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no GPU that torch can use"):
        measure_speed(dataclasses.replace(TINY, device="cuda"))


def test_counts_come_from_the_card_or_the_table():
    assert counts_of(recipe("casme3-7"), None, None) == (857, 94)
    assert counts_of(recipe("casme3-7", folds=5), None, None) == (857, 5)
    assert counts_of(recipe("dfme-7"), None, None) == (1856, 1)
    composite = recipe("megc2019-3", held_out="database")
    assert counts_of(composite, 400, None) == (400, 3)
    assert counts_of(TINY, None, None) == (160, 16)
    assert counts_of(recipe("synthme-5", subjects=4), None, None) == (40, 4)
    assert counts_of(recipe("casme3-7", subjects=47), None, None) == (428, 47)
    assert counts_of(recipe("casme3-7", subjects=200), None, None) == (857, 94)
    assert counts_of(recipe("synthme-dfme-7"), 1856, 1) == (1856, 1)  # no card is asked


def test_the_command(capsys):
    assert main(["cost", "synthme-5", "--folds", "94", "--clips-per-second", "12"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("synthme-5, merclip-tiny, 8 frames, 160 clips\n94 folds, ")
    assert "at the measured 12 clips/s" in text and "twice the subjects" in text
    twice = ["--set", "frames=16", "--clips-per-second", "1", "--set", "epochs=3"]
    assert main(["cost", "synthme-5", *twice]) == 0
    text = capsys.readouterr().out
    assert "16 frames" in text and f" {16 * 3 * 10} steps" in text  # 150 clips in batches of 16
    none = ["--clips", "0", "--clips-per-second", "2"]
    for wrong in (["--set", "epochs"], ["--set", "epoch=3"], ["--clips-per-second", "-1"], none):
        assert main(["cost", "synthme-5", *wrong]) == 2
    assert "must be above 0" in capsys.readouterr().err
