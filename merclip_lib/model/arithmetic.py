"""How products and attention are computed on a CPU: several ways to the same numbers.

They differ in rounding and in speed, and which is the fastest depends on the processor. What a
run uses is tried out once and recorded (`merclip_lib.runs.arithmetic`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.model import plain

# Names, and torch's switch for float32 products. "torch": as torch does of itself, attention in one
# fused operation. The others compute attention as product, softmax, product: the fused one may
# lose in its backward pass many times over what it gains in the forward pass, where its products
# are in bfloat16 or go through oneDNN. "bf16" routes products to oneDNN, which may round, or not.
ARITHMETICS = {"torch": "none", "matmul": "none", "onednn": "bf16"}
_current = ["torch"]  # the last one counts


@contextlib.contextmanager
def arithmetic(name: str) -> Iterator[None]:
    """Within: products and attention of this process are computed in this way.

    Args:
        name: one of ARITHMETICS.
    """
    switch = cast(Any, torch.backends.mkldnn).matmul
    before, switch.fp32_precision = switch.fp32_precision, ARITHMETICS[name]
    _current.append(name)
    try:
        yield
    finally:
        _current.pop()
        switch.fp32_precision = before


def current() -> str:
    """The name of the arithmetic in use."""
    return _current[-1]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """`plain.attend`, in the way that is in use.

    Args:
        q: Queries (N, S, D); their number may differ from that of the keys.
        k: Keys (N, S, D).
        v: Values (N, S, D).
        heads: H.

    Returns:
        (N, S, D).
    """
    if current() != "torch":
        return plain.attend(q, k, v, heads)
    q, k, v = (plain.split_heads(part, heads) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
