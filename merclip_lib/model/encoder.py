"""The video encoder: CLIP's image transformer at every time, armed with temporal modules.

Axes: N clips, T frames, t time positions after the stem (T' in the paper), L patches of a frame,
S tokens, D encoder width, E embedding shared with the text, C inference-token width, H heads.
Temporal modules are UniFormerV2's (Li et al. 2022; MER-CLIP, section on the video encoder).
Parameter names are those of the published checkpoints. Tokens are kept batch-first,
(N, t, 1 + L, D), and work that cannot change the output is left out: see `GlobalBlock.attend`.
"""

import contextlib
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from merclip_lib.config import ModelSize
from merclip_lib.model.perceptron import MLP


class Encoded(NamedTuple):
    """What the video encoder knows of a clip."""

    z: Tensor  # (N, E) alignment embedding, compared with sentences
    o: Tensor  # (N, D) clip vector before the projections
    tokens: Tensor  # (N, 1 + t*L, C) inference tokens for the EIM, clip token first
    patches: Tensor  # (N, t, L, D) patch tokens of the last local block


def drop_path(x: Tensor, rate: float, training: bool, axis: int | None = 0) -> Tensor:
    """Stochastic depth: a residual branch is dropped with `rate`, else rescaled to keep the mean.

    One draw per position of `axis`, by default per clip; None is one draw for all of x.
    Differs from the paper's program, which drops along axis 0 of whatever layout it is in:
    `drop_path_unit="reference"` of `ModelSize` does the same here. Attention and MLP of the local
    blocks then drop a token position in all clips and times (layout (1 + L, N*t, D) there), the
    LMHRA a clip, a global block the whole batch (layout (1, N, D)).
    """
    if rate == 0.0 or not training:
        return x
    shape = [1] * x.dim()
    if axis is not None:
        shape[axis] = x.shape[axis]
    return x * ((torch.rand(shape, device=x.device) >= rate).to(x.dtype) / (1 - rate))


def rising(last: float, count: int) -> list[float]:
    """Stochastic depth rates from 0 for the first of `count` blocks to `last`, in equal steps."""
    return [last * i / max(count - 1, 1) for i in range(count)]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., S, D) -> (..., H, S, D/H)"""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


class LMHRA(nn.Module):
    """Local temporal mixing: BatchNorm, reduce, depthwise convolution over 3 times, expand.

    Works on patches (N, t, L, D); the class token skips it. The 1x1x1 convolutions are matrix
    products over channels, so they are computed as such; the last one starts at zero.
    """

    def __init__(self, width: int, reduction: float):
        super().__init__()
        inner = int(width // reduction)
        self.pos_embed = nn.Sequential(
            nn.BatchNorm3d(width),
            nn.Conv3d(width, inner, 1),
            nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0), groups=inner),
            nn.Conv3d(inner, width, 1),
        )
        nn.init.zeros_(self.pos_embed[3].weight)
        nn.init.zeros_(self.pos_embed[3].bias)

    def forward(self, x: Tensor) -> Tensor:  # (N, t, L, D)
        norm, reduce, temporal, expand = self.pos_embed
        y = batch_norm_last(norm, x)
        y = F.linear(y, reduce.weight.flatten(1), reduce.bias)
        before, here, after = temporal.weight.flatten(1).unbind(1)  # each (inner,)
        mixed = y * here + temporal.bias
        mixed = mixed + F.pad(y[:, :-1] * before, (0, 0, 0, 0, 1, 0))
        mixed = mixed + F.pad(y[:, 1:] * after, (0, 0, 0, 0, 0, 1))
        return F.linear(mixed, expand.weight.flatten(1), expand.bias)


def batch_norm_last(norm: nn.BatchNorm3d, x: Tensor) -> Tensor:
    """`norm` over the last axis of x (..., D): the statistics run over all other axes."""
    if isinstance(norm, nn.SyncBatchNorm):  # several GPUs, see merclip_lib.protocol.several_gpus
        return norm(x.flatten(0, -2)).view_as(x)
    if norm.training and norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
    momentum = norm.momentum if norm.track_running_stats else 0.0  # see `held_statistics`
    flat = F.batch_norm(
        x.flatten(0, -2),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        norm.training,
        momentum,
        norm.eps,
    )
    return flat.view_as(x)


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """All BatchNorm layers inside `module`."""
    kinds = (nn.BatchNorm3d, nn.SyncBatchNorm)
    return [part for part in module.modules() if isinstance(part, kinds)]


@contextlib.contextmanager
def held_statistics(module: nn.Module):
    """Within: BatchNorm does as before, but its running statistics stay as they are.

    For a forward pass that repeats, or will be repeated: a batch counts once.
    """
    norms = [norm for norm in batch_norms(module) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def recompute(block: nn.Module, x: Tensor) -> Tensor:
    """`block(x)` that keeps x alone and computes the rest once more in the backward pass.

    The same gradients from less memory (gradient checkpointing). Random numbers are replayed and
    running statistics count the batch once.
    """

    def contexts():
        return contextlib.nullcontext(), held_statistics(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


class LocalBlock(nn.Module):
    """CLIP's transformer block within each time position, with temporal modules around it."""

    def __init__(self, size: ModelSize, drop: float):
        super().__init__()
        self.heads, self.drop = size.heads, drop
        self.drop_axis = 2 if size.drop_path_unit == "reference" else 0  # a token, or a clip
        if size.lmhra >= 1:
            self.lmhra1 = LMHRA(size.width, size.lmhra_reduction)
        if size.lmhra == 2:
            self.lmhra2 = LMHRA(size.width, size.lmhra_reduction)
        self.attn = nn.MultiheadAttention(size.width, size.heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(size.width)
        self.mlp = MLP(size.width)
        self.ln_2 = nn.LayerNorm(size.width)

    def forward(self, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        if hasattr(self, "lmhra1"):
            x = self.mix_times(self.lmhra1, x)
        x = x + drop_path(self.attention(self.ln_1(x)), self.drop, self.training, self.drop_axis)
        if hasattr(self, "lmhra2"):
            x = self.mix_times(self.lmhra2, x)
        return x + drop_path(self.mlp(self.ln_2(x)), self.drop, self.training, self.drop_axis)

    def mix_times(self, lmhra: LMHRA, x: Tensor) -> Tensor:
        mixed = x[:, :, 1:] + drop_path(lmhra(x[:, :, 1:]), self.drop, self.training)
        return torch.cat([x[:, :, :1], mixed], dim=2)

    def attention(self, x: Tensor) -> Tensor:
        """Multi-head self-attention among the tokens of one time position."""
        qkv = F.linear(x, self.attn.in_proj_weight, self.attn.in_proj_bias)
        q, k, v = (split_heads(part.flatten(0, 1), self.heads) for part in qkv.chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v)  # (N*t, H, 1 + L, D/H)
        y = y.transpose(1, 2).reshape(x.shape)
        return self.attn.out_proj(y)


class GlobalBlock(nn.Module):
    """One clip query attends to the tokens of all times, then passes an MLP."""

    def __init__(self, size: ModelSize, drop: float):
        super().__init__()
        self.heads, self.drop, self.dropout = size.heads, drop, size.mlp_dropout
        self.drop_axis = None if size.drop_path_unit == "reference" else 0  # all, or a clip
        self.attn = nn.MultiheadAttention(size.width, size.heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(size.width)  # of the query
        self.ln_3 = nn.LayerNorm(size.width)  # of the tokens
        self.mlp = MLP(size.width)
        self.ln_2 = nn.LayerNorm(size.width)
        for linear in (self.attn.out_proj, self.mlp.c_proj):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, q: Tensor, tokens: Tensor) -> Tensor:  # (N, D), (N, S, D)
        attended = self.attend(self.ln_1(q), self.ln_3(tokens))
        q = q + drop_path(attended, self.drop, self.training, self.drop_axis)
        moved = self.mlp(self.ln_2(q), self.dropout)
        return q + drop_path(moved, self.drop, self.training, self.drop_axis)

    def attend(self, q: Tensor, y: Tensor) -> Tensor:
        """Attention of one query without projecting all S tokens to keys and values.

        With one query per head h, score = (Wq q) . (Wk y) = (Wk' Wq q) . y and
        sum_s a_s (Wv y_s) = Wv (sum_s a_s y_s): the same numbers (the key bias shifts all
        scores alike and drops out; attention weights sum to one, so the value bias is added
        once), for two products of S x D instead of two of S x D x D.
        """
        wq, wk, wv = self.attn.in_proj_weight.chunk(3)
        bq, _, bv = self.attn.in_proj_bias.chunk(3)
        head = q.shape[-1] // self.heads
        query = F.linear(q, wq, bq).view(len(q), self.heads, head) * head**-0.5
        query = torch.einsum("nhe,hed->nhd", query, wk.view(self.heads, head, -1))
        weights = (query @ y.transpose(1, 2)).softmax(-1)  # (N, H, S)
        pooled = weights @ y  # (N, H, D)
        value = torch.einsum("nhd,hed->nhe", pooled, wv.view(self.heads, head, -1)).flatten(1)
        return self.attn.out_proj(value + bv)


def position_encode(conv: nn.Conv3d, patches: Tensor) -> Tensor:
    """Depthwise 3x3x3 convolution (DPE) of patches (N, t, g, g, D), as three 2-D ones.

    Equal to `conv`; channels-last 2-D depthwise kernels are several times faster on CPU.
    """
    n, t, g, _, d = patches.shape
    frames = patches.reshape(n * t, g, g, d).permute(0, 3, 1, 2)  # channels-last view
    total = 0
    for tap, (lost, pads) in enumerate([((0, t - 1), (1, 0)), ((0, t), (0, 0)), ((1, t), (0, 1))]):
        bias = conv.bias if tap == 1 else None
        y = F.conv2d(frames, conv.weight[:, :, tap], bias, padding=1, groups=d)
        y = y.permute(0, 2, 3, 1).view(n, t, g, g, d)[:, lost[0] : lost[1]]
        total = total + F.pad(y, (0, 0, 0, 0, 0, 0, *pads))
    return total


class Transformer(nn.Module):
    """The local blocks, the global blocks that read them, and their fusion."""

    def __init__(self, size: ModelSize):
        super().__init__()
        bad = [i for i in size.global_layers if not 0 <= i < size.layers]
        if bad:
            raise ValueError(f"global_layers {bad} do not exist: there are {size.layers} blocks")
        rates = rising(size.drop_path, size.layers)
        self.resblocks = nn.ModuleList([LocalBlock(size, rate) for rate in rates])
        self.global_layers = sorted(size.global_layers)
        self.use_checkpoint = False  # gradient checkpointing: less memory, one more forward
        if not self.global_layers:
            return
        count = len(self.global_layers)
        rates = rising(size.global_drop_path, count)
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.dpe = nn.ModuleList(
            [
                nn.Conv3d(size.width, size.width, 3, padding=1, groups=size.width)
                for _ in range(count)
            ]
        )
        for conv in self.dpe:
            nn.init.zeros_(conv.bias)
        self.dec = nn.ModuleList([GlobalBlock(size, rate) for rate in rates])
        self.norm = nn.LayerNorm(size.width)
        self.balance = nn.Parameter(torch.zeros(size.width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, t, 1 + L, D)
        n, t, s, d = x.shape
        g = round((s - 1) ** 0.5)
        q = self.temporal_cls_token[0].expand(n, d) if self.global_layers else None
        for i, block in enumerate(self.resblocks):
            again = self.use_checkpoint and torch.is_grad_enabled()
            x = recompute(block, x) if again else block(x)
            if i in self.global_layers:
                j = self.global_layers.index(i)
                patches = x[:, :, 1:]
                position = position_encode(self.dpe[j], patches.unflatten(2, (g, g))).flatten(2, 3)
                tokens = torch.cat([x[:, :, :1], patches + position], dim=2)
                q = self.dec[j](q, tokens.flatten(1, 2))
        frame_average = x[:, :, 0].mean(1)  # (N, D), class tokens over time
        if not self.global_layers:
            return frame_average, x
        w = torch.sigmoid(self.balance)
        return self.norm((1 - w) * q + w * frame_average), x


class VideoEncoder(nn.Module):
    """CLIP ViT armed with UniFormerV2 blocks (paper, video encoder).

    Structural options are those of `ModelSize`. With CLIP's weights loaded and all else at its
    initial value, the class token of a time position equals CLIP's image tower on the frame in
    the centre tap of the stem. Without global blocks the clip vector is the mean over time of
    the class tokens.
    """

    def __init__(self, size: ModelSize):
        super().__init__()
        self.size = size
        p, scale = size.patch, size.width**-0.5
        taps = 3 if size.temporal_downsample else 1
        stride = 2 if size.temporal_downsample else 1
        self.conv1 = nn.Conv3d(
            3, size.width, (taps, p, p), (stride, p, p), (taps // 2, 0, 0), bias=False
        )
        self.class_embedding = nn.Parameter(scale * torch.randn(size.width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(size.grid**2 + 1, size.width))
        self.ln_pre = nn.LayerNorm(size.width)
        self.transformer = Transformer(size)
        self.proj = nn.Parameter(scale * torch.randn(size.width, size.embed_dim))
        self.ln_post1 = nn.LayerNorm(size.embed_dim)
        self.to_cls_decoder = nn.Linear(size.width, size.token_dim, bias=False)
        self.ln_final = nn.LayerNorm(size.token_dim)

    def stem(self, video: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, t, L, D): the strided convolution as one matrix product."""
        p, (taps, stride) = self.size.patch, (self.conv1.kernel_size[0], self.conv1.stride[0])
        n, c, _, height, width = video.shape
        x = F.pad(video, (0, -(width % p), 0, -(height % p), taps // 2, taps // 2))
        x = x.unfold(2, taps, stride)  # pixels beyond the last whole patch are left out
        x = x.unflatten(3, (height // p, p)).unflatten(5, (width // p, p))
        x = x.permute(0, 2, 3, 5, 1, 7, 4, 6)  # (N, t, rows, columns, 3, taps, p, p)
        return F.linear(x.flatten(4).flatten(2, 3), self.conv1.weight.flatten(1))

    def forward(self, video: Tensor) -> Encoded:
        """`video` (N, 3, T, H, W), normalised. Raises ValueError for another size than built."""
        expected = (3, self.size.frames, self.size.resolution, self.size.resolution)
        if tuple(video.shape[1:]) != expected:
            raise ValueError(f"video has shape {tuple(video.shape)}, expected (N, *{expected})")
        patches = self.stem(video).to(self.class_embedding.dtype)  # the trunk is not rounded
        cls = self.class_embedding.expand(*patches.shape[:2], 1, -1)
        x = torch.cat([cls, patches], dim=2)  # (N, t, 1 + L, D)
        x = self.ln_pre(x + self.positional_embedding)
        o, x = self.transformer(x)
        z = self.ln_post1(o @ self.proj)
        tokens = torch.cat([o[:, None], x[:, :, 1:].flatten(1, 2)], dim=1)
        return Encoded(z, o, self.ln_final(self.to_cls_decoder(tokens)), x[:, :, 1:])
