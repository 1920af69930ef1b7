"""A tiny network and a batch of noise for tests of the gradient of a whole batch: not a test."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from merclip_lib.config import SIZES
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.training.losses import Targets

TINY = replace(
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
    mlp_dropout=0.0,
    eim_dropout=0.0,
)
NOISY = replace(TINY, mlp_dropout=0.5, eim_dropout=0.5, drop_path=0.5, global_drop_path=0.5)
close = torch.testing.assert_close


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(size=TINY):
    torch.manual_seed(3)
    model = MERCLIP(size, 3)
    for k, parameter in enumerate(model.parameters()):
        if parameter.ndim:
            parameter.data += 0.1 * noise(*parameter.shape, seed=k)
    return model


def batch(count):
    groups = torch.arange(count) % 3
    sentences = F.normalize(noise(3, 8, seed=2), dim=-1)[groups]
    targets = Targets(torch.arange(count) % 3, None, sentences, groups)
    return noise(count, 4, 3, 16, 16), targets


def same_gradients(found, expected, rtol=1e-5):
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, name
        else:
            error = (found[name] - gradient).norm()
            assert error <= rtol * gradient.norm() + 1e-7, (name, error, gradient.norm())
