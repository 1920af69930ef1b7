"""The video encoder in its fast forms: the network of `plain`, in less time and memory.

A class here is the class of the same name in `plain` with one method written in another way; its
docstring says why the numbers are the same and what is gained. Parameters, their names and their
first values are `plain`'s, and so is the order of the parts. Tokens stay (N, t, 1 + L, D), with
channels last, where `plain` turns them to (N, D, t, g, g) for its convolutions and back.
Axes as in `plain`.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from merclip_lib.config import ModelSize
from merclip_lib.model import plain
from merclip_lib.model.arithmetic import attend
from merclip_lib.model.perceptron import MLP


def batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """BatchNorm of x with channels last, (..., D): the statistics run over all other axes.

    Equals `norm` on channels first. Under `held_statistics` the running ones do not move.
    """
    if isinstance(norm, nn.SyncBatchNorm):  # several GPUs, see `protocol.several_gpus`
        return norm(x.flatten(0, -2)).view_as(x)
    assert isinstance(norm, nn.BatchNorm3d) and norm.momentum is not None
    if norm.training and norm.track_running_stats:
        norm.get_buffer("num_batches_tracked").add_(1)
    flat = F.batch_norm(
        x.flatten(0, -2),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        norm.training,
        momentum=norm.momentum if norm.track_running_stats else 0.0,
        eps=norm.eps,
    )
    return flat.view_as(x)


def batch_norms(module: nn.Module) -> list[nn.BatchNorm3d | nn.SyncBatchNorm]:
    """All BatchNorm layers inside `module`."""
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm3d | nn.SyncBatchNorm)]


@contextlib.contextmanager
def held_statistics(module: nn.Module) -> Iterator[None]:
    """Within: BatchNorm does as before, but its running statistics stay as they are.

    For a forward pass that repeats, or will be repeated: a batch counts once.

    Args:
        module: All its BatchNorm layers are meant.
    """
    norms = [norm for norm in batch_norms(module) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def pointwise(conv: nn.Module, x: Tensor) -> Tensor:
    """The 1x1x1 convolution `conv` of x (..., D): a product over the channels."""
    return F.linear(x, conv.get_parameter("weight").flatten(1), conv.get_parameter("bias"))


class LMHRA(plain.LMHRA):
    """`plain.LMHRA` with channels last throughout.

    The 1x1x1 convolutions are products over channels, the one over time is a 2-D convolution over
    (t, L) whose kernel has one column: no tensor is turned to channels first and back in memory.
    """

    def forward(self, p: Tensor) -> Tensor:  # (N, t, L, D)
        norm, reduce, temporal, expand = self.pos_embed
        y = pointwise(reduce, batch_norm(norm, p))
        kernel, bias = temporal.get_parameter("weight"), temporal.get_parameter("bias")
        y = y.to(kernel.dtype).permute(0, 3, 1, 2)  # (N, D', t, L), a view, channels last in memory
        with torch.autocast(y.device.type, enabled=False):  # numbers per channel are not rounded
            y = F.conv2d(y, kernel.flatten(3), bias, padding=(1, 0), groups=y.shape[1])
        return pointwise(expand, y.permute(0, 2, 3, 1))


class DPE(plain.DPE):
    """`plain.DPE` as three 2-D convolutions, one for each tap over time, which are added.

    With channels last their depthwise kernels are several times faster on CPUs than a 3-D one.
    """

    def forward(self, p: Tensor) -> Tensor:  # (N, t, L, D)
        n, t, patches, d = p.shape
        g = math.isqrt(patches)
        frames = p.reshape(n * t, g, g, d).permute(0, 3, 1, 2)  # a view, channels last in memory
        taps = []
        for k, bias in enumerate((None, self.bias, None)):
            y = F.conv2d(frames, self.weight[:, :, k], bias, padding=1, groups=d)
            taps.append(y.permute(0, 2, 3, 1).view(p.shape))
        before, here, after = taps
        here = here + F.pad(before, (0, 0, 0, 0, 1, -1))  # a time later; outside the clip is zero
        return here + F.pad(after, (0, 0, 0, 0, -1, 1))


class LocalBlock(plain.LocalBlock):
    """`plain.LocalBlock` with what `nn.MultiheadAttention` computes, without its copies.

    That module puts tokens before clips, and lays out queries, keys and values anew.

    With `recompute` it keeps its input alone and computes the rest once more in the backward pass:
    the same gradients from less memory (gradient checkpointing). Random numbers are replayed and
    running statistics count the batch once.
    """

    recompute = False

    def forward(self, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        if not (self.recompute and torch.is_grad_enabled()):
            return super().forward(x)

        def contexts():
            return contextlib.nullcontext(), held_statistics(self)

        return checkpoint(super().forward, x, use_reentrant=False, context_fn=contexts)

    def attend(self, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        qkv = F.linear(x, self.attn.in_proj_weight, self.attn.in_proj_bias)
        q, k, v = qkv.flatten(0, 1).chunk(3, dim=-1)  # (N*t, 1 + L, D), each time on its own
        return self.attn.out_proj(attend(q, k, v, self.attn.num_heads).view_as(x))


class GlobalBlock(plain.GlobalBlock):
    """`plain.GlobalBlock` without projecting all S tokens to keys and values.

    With one query per head h, score = (Wq q) . (Wk y) = (Wk' Wq q) . y and
    sum_s a_s (Wv y_s) = Wv (sum_s a_s y_s): the same numbers (the key bias shifts all scores alike
    and drops out; attention weights sum to one, so the value bias is added once), for two products
    of S x D instead of two of S x D x D.
    """

    def attend(self, q: Tensor, y: Tensor) -> Tensor:  # (N, 1, D), (N, S, D)
        wq, wk, wv = self.attn.in_proj_weight.chunk(3)
        bq, _, bv = self.attn.in_proj_bias.chunk(3)
        heads, head_dim = self.attn.num_heads, self.attn.head_dim
        query = F.linear(q, wq, bq).view(len(q), heads, head_dim) * head_dim**-0.5
        query = torch.einsum("nhe,hed->nhd", query, wk.view(heads, head_dim, -1))
        weights = (query @ y.transpose(1, 2)).softmax(-1)  # (N, H, S)
        pooled = weights @ y  # (N, H, D)
        value = torch.einsum("nhd,hed->nhe", pooled, wv.view(heads, head_dim, -1)).flatten(1)
        return self.attn.out_proj((value + bv)[:, None])


def use_fast_forms(network: nn.Module) -> nn.Module:
    """Let the parts of a network of `plain` compute in their fast forms.

    Only their classes change: parameters and buffers stay as they are.

    Args:
        network: `plain.VideoEncoder`, or a part of it.

    Returns:
        The same `network`.
    """
    forms: dict[type[nn.Module], type[nn.Module]] = {
        plain.MLP: MLP,
        plain.LMHRA: LMHRA,
        plain.DPE: DPE,
        plain.LocalBlock: LocalBlock,
        plain.GlobalBlock: GlobalBlock,
    }
    for part in network.modules():
        part.__class__ = forms.get(type(part), type(part))
    return network


class VideoEncoder(plain.VideoEncoder):
    """`plain.VideoEncoder` with all its parts in their fast forms.

    Args:
        size: Sizes and structural options.

    Raises:
        ValueError: Global layers are asked for that do not exist.
    """

    def __init__(self, size: ModelSize):
        super().__init__(size)
        use_fast_forms(self)

    def stem(self, video: Tensor) -> Tensor:
        """The strided convolution as one product: its kernels do not overlap in a frame."""
        p, (taps, stride) = self.size.patch, (self.conv1.kernel_size[0], self.conv1.stride[0])
        height, width = video.shape[3:]
        x = F.pad(video, (0, -(width % p), 0, -(height % p), taps // 2, taps // 2))
        x = x.unfold(2, taps, stride)  # pixels beyond the last whole patch are left out
        x = x.unflatten(3, (height // p, p)).unflatten(5, (width // p, p))
        x = x.permute(0, 2, 3, 5, 1, 7, 4, 6)  # (N, t, rows, columns, 3, taps, p, p)
        x = F.linear(x.flatten(4).flatten(2, 3), self.conv1.weight.flatten(1))  # (N, t, L, D)
        return x.to(self.class_embedding.dtype)  # the trunk is not rounded to bfloat16

    def recompute_blocks(self, on: bool) -> None:
        """Gradient checkpointing of the local blocks: less memory, one more forward pass.

        Args:
            on: Whether they are computed again in the backward pass.
        """
        for block in self.transformer.resblocks:
            assert isinstance(block, LocalBlock)
            block.recompute = on
