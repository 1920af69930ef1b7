"""How products and attention are computed on a CPU: several ways to the same numbers.

They differ in rounding and in speed, and which is the fastest depends on the processor. What a
run uses is tried out once and recorded (`merclip_lib.runs.arithmetic`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.model import plain


class Arithmetic(NamedTuple):
    """One way. What torch's fused attention gains in the forward pass it may lose in the backward
    pass, many times over where its products go through oneDNN or are in bfloat16."""

    products: str  # torch's switch for float32 products; "bf16": oneDNN, which may or may not round
    fused: bool  # attention in one operation; else product, softmax, product


ARITHMETICS = {
    "torch": Arithmetic("none", fused=True),  # as torch does of itself
    "matmul": Arithmetic("none", fused=False),
    "onednn": Arithmetic("bf16", fused=False),
}
_current = ["torch"]  # the last one counts


@contextlib.contextmanager
def arithmetic(name: str) -> Iterator[None]:
    """Within: products and attention of this process are computed in this way.

    Args:
        name: one of ARITHMETICS.
    """
    switch = cast(Any, torch.backends.mkldnn).matmul
    before, switch.fp32_precision = switch.fp32_precision, ARITHMETICS[name].products
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
    if not ARITHMETICS[current()].fused:
        return plain.attend(q, k, v, heads)
    q, k, v = (plain.split_heads(part, heads) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
