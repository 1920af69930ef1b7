"""Attention rollout: which patches does a logit depend on, through all layers of attention?

Gradient-weighted attention after Chefer et al. 2021 (Generic Attention-model Explainability),
written for this network: attention within each time (local blocks), of one query over all times
(global blocks), their fusion, and the EIM. Attention weights are worked out again from what goes
into each layer, so the forward pass stays as it is. N clips, t time positions, L = g * g patches.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.explain.relevance import class_gradients, classes_asked
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.model.plain import EmotionBlock, GlobalBlock, LocalBlock, split_heads

Block = LocalBlock | GlobalBlock | EmotionBlock


def attention_rollout(
    model: MERCLIP, video: Tensor, classes: Tensor | None = None, batch_size: int = 8
) -> np.ndarray:
    """Gradient-weighted attention, followed from a logit back to the patches.

    Each attention layer weighs A = mean over heads of relu(attention * d logit_c / d attention);
    what its tokens know of the stem's tokens grows by it: R <- R + A R. What moves between tokens
    without attention (convolutions over time, position encoding) is not followed: a map of where
    the network *reads*, as all attention maps are. Not in the paper, which shows plain attention.

    Args:
        model: the network; it is put into evaluation mode.
        video: (N, 3, T, H, W), normalised.
        classes: (N,) class numbers; None is the predicted ones.
        batch_size: clips at once.

    Returns:
        (N, t, g, g), not negative.
    """
    classes = classes_asked(model, video, classes)
    parts = zip(video.split(batch_size), classes.split(batch_size), strict=True)
    return np.concatenate([_rollout(model, *part).numpy() for part in parts])


def _rollout(model: MERCLIP, video: Tensor, classes: Tensor) -> Tensor:
    """The maps (N, t, g, g): R of frames, of the clip vector o, and of the EIM's tokens in turn."""
    trunk = model.vision_encoder.transformer
    # Its items have no type of their own in torch; a linear head has no blocks.
    local_blocks = cast(list[LocalBlock], list(trunk.resblocks))
    global_blocks = cast(list[GlobalBlock], list(getattr(trunk, "dec", [])))
    head_blocks = cast(list[EmotionBlock], list(getattr(model.cls_head, "blocks", [])))
    inputs, slopes = _trace(model, video, classes, [*local_blocks, *global_blocks, *head_blocks])
    with torch.no_grad():
        tokens = inputs[local_blocks[0].ln_1]
        frames = torch.eye(tokens.shape[2]).expand(*tokens.shape[:2], -1, -1)
        after = []  # each local block: R of the frames' tokens, (N, t, 1 + L, 1 + L)
        for block in local_blocks:
            x = inputs[block.ln_1]
            frames = frames + weighted_attention(block, x, x, slopes[block]) @ frames
            after.append(frames)
        clip = torch.zeros_like(frames[:, :, 0])  # R of the clip vector, (N, t, 1 + L)
        for layer, reader in zip(trunk.global_layers, global_blocks, strict=True):
            query, tokens = inputs[reader.ln_1], inputs[reader.ln_3]
            read = weighted_attention(reader, query, tokens, slopes[reader])
            clip = clip + (read.view_as(clip)[:, :, None] @ after[layer])[:, :, 0]
        share = torch.sigmoid(trunk.balance).mean() if global_blocks else 1.0  # of the fusion
        clip = (1 - share) * clip + share * frames[:, :, 0] / frames.shape[1]
        known = torch.eye(1 + clip[..., 1:].numel() // len(clip)).expand(len(clip), -1, -1)
        for inference in head_blocks:
            x, slope = inputs[inference.norm], slopes[inference]
            read = weighted_attention(inference, x[:, : slope.shape[1]], x, slope)
            known = known[:, : slope.shape[1]] + read @ known
        patches = known[:, 0, 1:].view(*clip.shape[:2], 1, -1) @ frames[:, :, 1:, 1:]
        total = known[:, 0, :1, None] * clip[..., 1:] + patches[:, :, 0]
    grid = model.vision_encoder.size.grid
    return total.unflatten(2, (grid, grid))


def _trace(
    model: MERCLIP, video: Tensor, classes: Tensor, blocks: Sequence[Block]
) -> tuple[dict[nn.Module, Tensor], dict[Block, Tensor]]:
    """Forward and backward once.

    Returns:
        LayerNorm -> its output, which an attention reads; and block -> d logit_c / d outputs of
        the heads, side by side.
    """
    inputs: dict[nn.Module, Tensor] = {}
    outputs: dict[nn.Module, Tensor] = {}
    names = ("norm", "ln_1", "ln_3")  # of the layers whose outputs an attention reads
    norms = [getattr(block, name) for block in blocks for name in names if hasattr(block, name)]
    hooks = [norm.register_forward_hook(lambda m, _, y: inputs.update({m: y})) for norm in norms]
    for layer in map(_projection, blocks):
        hooks.append(layer.register_forward_pre_hook(lambda m, x: outputs.update({m: x[0]})))
    try:
        with torch.enable_grad():
            logits = model(video.detach().clone().requires_grad_()).logits
    finally:
        for hook in hooks:
            hook.remove()
    slopes = class_gradients(logits, classes, [outputs[_projection(block)] for block in blocks])
    return inputs, dict(zip(blocks, slopes, strict=True))


def _projection(block: Block) -> nn.Module:
    """The layer that reads the heads' outputs side by side."""
    return block.attn.proj if isinstance(block, EmotionBlock) else block.attn.out_proj


def weighted_attention(block: Block, query: Tensor, tokens: Tensor, slope: Tensor) -> Tensor:
    """Mean over heads of relu(attention * its gradient).

    Args:
        block: whose attention it is.
        query: (..., Q, D), has passed the norm.
        tokens: (..., S, D), has passed the norm.
        slope: gradient with respect to y = attention @ values, of the shape of `query`; that of
            the attention is then slope @ values'.

    Returns:
        (..., Q, S).
    """
    w: Tensor
    b: Tensor
    if isinstance(block, EmotionBlock):
        w, b, heads = block.attn.to_qkv.weight, block.attn.to_qkv.bias, block.attn.heads
    else:
        w, b, heads = block.attn.in_proj_weight, block.attn.in_proj_bias, block.attn.num_heads
    q, k, v = map(F.linear, (query, tokens, tokens), w.chunk(3), b.chunk(3))
    q, k, v, slope = (split_heads(x, heads) for x in (q, k, v, slope.view_as(q)))
    attention = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return (attention * (slope @ v.transpose(-1, -2))).clamp(min=0).mean(-3)
