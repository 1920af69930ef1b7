"""The estimate of memory agrees with what a real step keeps."""

import dataclasses

import pytest
import torch

from merclip_lib.config import Config, size_of
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.training.memory import CLASSES, PROCESS, SLACK, kept_for_backward, memory_bytes

TINY = Config()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_kept_tensors_are_those_of_a_real_step(precision):
    config = dataclasses.replace(TINY, batch_size=12, precision=precision)
    model = MERCLIP(size_of(config), CLASSES).train()
    video = torch.zeros(12, 3, config.frames, 64, 64)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        kept, largest = kept_for_backward(model, video)
    weights = 16 * sum(parameter.numel() for parameter in model.parameters())
    expected = PROCESS + weights + SLACK * (kept + 2 * video.nbytes + 3 * largest)
    assert memory_bytes(config) == pytest.approx(expected, rel=1e-3)


def test_memory_is_that_of_training_also_where_gradients_are_off():
    config = dataclasses.replace(TINY, batch_size=5)
    with torch.no_grad():
        off = memory_bytes(config)
    alike = dataclasses.replace(config, drop_path_unit="reference")  # drops nothing: rate 0
    assert memory_bytes(alike) == off > PROCESS


def test_memory_options_save_memory():
    whole = memory_bytes(TINY)
    for change in ({"accumulate": 4}, {"checkpoint_blocks": True}, {"precision": "bfloat16"}):
        assert memory_bytes(dataclasses.replace(TINY, **change)) < whole, change
    assert memory_bytes(dataclasses.replace(TINY, batch_size=32)) > whole


def test_prediction_takes_more_than_training_on_few_clips():
    one, two = (memory_bytes(dataclasses.replace(TINY, batch_size=n)) for n in (1, 2))
    assert one == pytest.approx(two, rel=0.02) and two < memory_bytes(TINY)
