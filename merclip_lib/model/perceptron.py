"""The two-layer perceptron of CLIP's blocks, with little memory.

Its inside is four times as wide as a token, so it is a large part of what a training step would
keep for the backward pass. Here only the inside before the activation is kept.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.model import plain


class MLP(plain.MLP):
    """`plain.MLP` with QuickGELU(x) = x sigmoid(1.702 x) as silu(1.702 x) / 1.702.

    The two factors are multiplied into the small weight matrices instead of the large activations.
    """

    def forward(self, x: Tensor) -> Tensor:  # (..., D)
        mask = None
        if self.training and self.dropout.p:
            ones = x.new_ones(*x.shape[:-1], self.c_fc.out_features)
            mask = F.dropout(ones, self.dropout.p)
        up, down = self.c_fc, self.c_proj
        return _LeanMLP.apply(x, mask, up.weight, up.bias, down.weight, down.bias)


class _LeanMLP(torch.autograd.Function):
    """down(silu(up(x))) that keeps x and up(x) for the backward pass and nothing else.

    Left to itself, autograd also keeps silu(up(x)), four times as wide as x, and the scaled
    matrices. They are computed again instead: the same numbers, a few products more.
    """

    @staticmethod
    def forward(ctx, x, mask, *parameters):
        up, up_bias, down, down_bias = parameters
        hidden = F.linear(x, 1.702 * up, 1.702 * up_bias)
        ctx.save_for_backward(x, hidden, up, down, mask)
        return F.linear(_dropped(F.silu(hidden), mask), down / 1.702, down_bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        x, hidden, up, down, mask = ctx.saved_tensors
        # Mixed precision: hidden and slope are bfloat16, x and the matrices float32.
        flat = slope.flatten(0, -2)
        to_active = _dropped(slope @ (down / 1.702).to(slope.dtype), mask)
        to_hidden = torch.ops.aten.silu_backward(to_active, hidden)
        to_x = to_hidden @ (1.702 * up).to(slope.dtype)
        to_up = to_hidden.flatten(0, -2).T @ x.flatten(0, -2).to(slope.dtype)
        to_down = flat.T @ _dropped(F.silu(hidden), mask).flatten(0, -2)
        return (
            to_x.to(x.dtype),
            None,
            1.702 * to_up.to(up.dtype),
            1.702 * to_hidden.flatten(0, -2).sum(0).to(up.dtype),
            to_down.to(down.dtype) / 1.702,
            flat.sum(0).to(down.dtype),
        )


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    """Dropout by `mask`, which holds 0 or 1 / (1 - rate); None drops nothing."""
    return x if mask is None else x * mask.to(x.dtype)
