"""Mixed precision gives the same numbers on processors with and without bfloat16."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from merclip_lib.config import SIZES, Config
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import ClipStore
from merclip_lib.model import precision
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.model.precision import products
from merclip_lib.training.loop import TrainingData, fit, predict

MIXED = Config(precision="bfloat16", frames=4, use_text=False, mix=False, epochs=2, batch_size=3)
SIZE = replace(
    SIZES["merclip-tiny"],
    resolution=16,
    frames=4,
    width=16,
    heads=2,
    layers=2,
    embed_dim=8,
    token_dim=8,
    global_layers=(1,),
    eim_heads=2,
)


@pytest.fixture
def plain_processor(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)


class Seen(TorchDispatchMode):
    """Notes the products that reach torch, with the type of their factors."""

    def __init__(self):
        super().__init__()
        self.products = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        if name in ("mm", "addmm", "linear", "matmul"):
            self.products.append((name, args[1].dtype))
        return operation(*args, **kwargs or {})


def dataset():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 16, 16, 3), np.uint8)
    numbers = np.arange(7)
    store = ClipStore(None, None, pixels, None, {})
    return ClipDataset(store, numbers, numbers % 3, Sampling(4, training=True))


def trained(config):
    torch.manual_seed(0)
    model = MERCLIP(SIZE, 3)
    return model, fit(model, TrainingData(dataset(), np.arange(7)), config).history


def test_products_are_rounded_sums_of_float32(plain_processor):
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    x, weight, bias = (draw(*shape).bfloat16() for shape in ((5, 40), (7, 40), (7,)))
    wide = F.linear(x.float(), weight.float(), bias.float())
    with products(MIXED):
        for found, expected in (
            (x @ weight.T, x.float() @ weight.float().T),
            (F.linear(x, weight, bias), wide),
        ):
            assert found.dtype == torch.bfloat16
            assert torch.equal(found, expected.bfloat16())
        assert torch.equal(F.linear(x.float(), weight.float(), bias.float()), wide)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_no_slow_product_is_left(accumulate, plain_processor):
    config = replace(MIXED, accumulate=accumulate)
    with Seen() as seen:
        model, _ = trained(config)
    trainings = len(seen.products)
    with seen:
        predict(model, dataset(), config=config)
    assert 0 < trainings < len(seen.products)
    assert {dtype for _, dtype in seen.products} == {torch.float32}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_both_processors_train_alike(accumulate, monkeypatch):
    config, found = replace(MIXED, accumulate=accumulate), []
    for have in (True, False):
        monkeypatch.setattr(precision, "has_bfloat16", lambda have=have: have)
        model, history = trained(config)
        answers = predict(model, dataset(), config=config)
        found.append((torch.tensor([epoch["loss"] for epoch in history]), answers))
    exact = trained(replace(config, precision="float32"))[1][0]["loss"]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3)
    assert found[1][0][0].item() == pytest.approx(exact, rel=5e-3)
    assert found[1][0][0].item() != exact


def test_nothing_is_changed_where_nothing_is_slow(plain_processor, monkeypatch):
    mode = type(products(MIXED))
    for change in ({"precision": "float32"}, {"device": "cuda"}, {"compile": True}):
        assert not isinstance(products(replace(MIXED, **change)), mode)
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    assert not isinstance(products(MIXED), mode)
