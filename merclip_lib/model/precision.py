"""Mixed precision, also on processors that have no bfloat16.

Factors of matrix products are rounded to bfloat16 (8 bits of mantissa) and products are summed in
float32; weights, trunk and losses stay float32. Where no instruction does this, torch imitates it
number by number, some three times slower than float32. There we multiply the rounded factors in
float32 and round the result: the same up to the order of the sums, as fast as float32.
"""

import contextlib

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from merclip_lib.config import Computing

_PRODUCTS = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
}


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by itself (AVX-512 BF16, AMX, Arm BF16).

    Returns:
        True where torch has to imitate nothing.
    """
    return any(have for name, have in torch.cpu.get_capabilities().items() if "bf16" in name)


def mixed(computing: Computing) -> contextlib.AbstractContextManager:
    """For a forward pass: the precision of the run. Needs `products` as well.

    Args:
        computing: Its `precision` and `device` are read.

    Returns:
        A context; float32 is left as it is.
    """
    return torch.autocast(
        computing.device, torch.bfloat16, enabled=computing.precision == "bfloat16"
    )


def products(computing: Computing) -> contextlib.AbstractContextManager:
    """For forward and backward passes: fast products of bfloat16 on a processor without it.

    Does nothing for float32, on GPUs, and for compiled networks, whose products are no longer
    seen one by one. Not for use in `torch.inference_mode`, which hides the products inside larger
    operations; `torch.no_grad` does not.

    Args:
        computing: Its `precision`, `device` and `compile` are read.

    Returns:
        A context, for both passes.
    """
    on_cpu = computing.device == "cpu" and not computing.compile
    slow = computing.precision == "bfloat16" and on_cpu
    return _InFloat32() if slow and not has_bfloat16() else contextlib.nullcontext()


class _InFloat32(TorchDispatchMode):
    """Within, products of bfloat16 are computed in float32 and rounded."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation not in _PRODUCTS or args[1].dtype is not torch.bfloat16:
            return operation(*args, **kwargs or {})
        result = operation(*tree_map_only(Tensor, Tensor.float, args), **kwargs or {})
        return tree_map_only(Tensor, Tensor.bfloat16, result)
