"""The two-layer perceptron of CLIP's blocks, with little memory.

Its inside is four times as wide as a token, so it is a large part of what a training step would
keep for the backward pass. Here only the inside before the activation is kept.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """CLIP's two-layer perceptron, four times as wide inside.

    Its activation QuickGELU(x) = x sigmoid(1.702 x) equals silu(1.702 x) / 1.702; the two factors
    are multiplied into the small weight matrices instead of the large activations.
    """

    def __init__(self, width: int):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, dropout: float = 0.0) -> Tensor:
        kept = None
        if self.training and dropout:
            kept = F.dropout(x.new_ones(*x.shape[:-1], self.c_fc.out_features), dropout)
        up, down = self.c_fc, self.c_proj
        return _LeanMLP.apply(x, up.weight, up.bias, down.weight, down.bias, kept)


class _LeanMLP(torch.autograd.Function):
    """down(silu(up(x))) that keeps x and up(x) for the backward pass and nothing else.

    Left to itself, autograd also keeps silu(up(x)), four times as wide as x, and the scaled
    matrices. They are computed again instead: the same numbers, a few products more.
    """

    @staticmethod
    def forward(ctx, x, up, up_bias, down, down_bias, kept):
        hidden = F.linear(x, 1.702 * up, 1.702 * up_bias)
        ctx.save_for_backward(x, hidden, up, down, kept)
        return F.linear(_dropped(F.silu(hidden), kept), down / 1.702, down_bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        x, hidden, up, down, kept = ctx.saved_tensors
        # Mixed precision: hidden and slope are bfloat16, x and the matrices float32.
        flat = slope.flatten(0, -2)
        to_active = _dropped(slope @ (down / 1.702).to(slope.dtype), kept)
        to_hidden = torch.ops.aten.silu_backward(to_active, hidden)
        to_x = to_hidden @ (1.702 * up).to(slope.dtype)
        to_up = to_hidden.flatten(0, -2).T @ x.flatten(0, -2).to(slope.dtype)
        to_down = flat.T @ _dropped(F.silu(hidden), kept).flatten(0, -2)
        return (
            to_x.to(x.dtype),
            1.702 * to_up.to(up.dtype),
            1.702 * to_hidden.flatten(0, -2).sum(0).to(up.dtype),
            to_down.to(down.dtype) / 1.702,
            flat.sum(0).to(down.dtype),
            None,
        )


def _dropped(x: Tensor, kept: Tensor | None) -> Tensor:
    """Dropout by what is `kept`: 0, or one over the share of ones."""
    return x if kept is None else x * kept.to(x.dtype)
