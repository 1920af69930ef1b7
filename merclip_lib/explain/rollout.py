"""Attention rollout: which patches did the logit hear of, layer by layer?

Gradient-weighted attention after Chefer et al. 2021 (Generic Attention-model Explainability),
written for this network: attention within each time (local blocks), of one query over all times
(global blocks), their fusion, and the EIM. Attention weights are worked out again from what goes
into each layer, so the forward pass stays as it is. Axes as in `merclip_lib.encoder`.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.model.encoder import split_heads
from merclip_lib.model.head import EmotionBlock
from merclip_lib.model.merclip import MERCLIP


def attention_rollout(
    model: MERCLIP, video: Tensor, classes: Tensor | None = None, batch_size: int = 8
) -> np.ndarray:
    """Gradient-weighted attention, followed from a logit back to the patches: (N, t, g, g), >= 0.

    Each attention layer weighs A = mean over heads of relu(attention * d logit_c / d attention);
    what its tokens know of the stem's tokens grows by it: R <- R + A R. What moves between tokens
    without attention (convolutions over time, position encoding) is not followed: a map of where
    the network *reads*, as all attention maps are. `video` (N, 3, T, H, W), normalised; `classes`
    (N,) or None for the predicted ones. Not in the paper, which shows plain attention.
    """
    model.eval()
    if classes is None:
        with torch.no_grad():
            classes = model(video).logits.argmax(1)
    parts = zip(video.split(batch_size), classes.split(batch_size), strict=True)
    return np.concatenate([_rollout(model, *part).numpy() for part in parts])


def _rollout(model: MERCLIP, video: Tensor, classes: Tensor) -> Tensor:
    trunk = model.vision_encoder.transformer
    local, dec = trunk.resblocks, getattr(trunk, "dec", [])
    reader = getattr(model.cls_head, "blocks", [])  # a linear head has none
    inputs = [block.ln_1 for block in [*local, *dec]] + [block.ln_3 for block in dec]
    outputs = [block.attn.out_proj for block in [*local, *dec]]
    kept = _record(
        model,
        video,
        [*inputs, *(block.norm for block in reader)],
        [*outputs, *(block.attn.proj for block in reader)],
    )
    chosen = kept[model].gather(1, classes[:, None]).sum()
    mixed = [kept[_heads_output(block)] for block in [*local, *dec, *reader]]
    slopes = torch.autograd.grad(chosen, mixed)
    slope = dict(zip([*local, *dec, *reader], slopes, strict=True))
    with torch.no_grad():
        after = []  # R of the frames' tokens after each local block: (N, t, 1 + L, 1 + L)
        for block in local:
            x = kept[block.ln_1]
            known = after[-1] if after else torch.eye(x.shape[2]).expand(*x.shape[:2], -1, -1)
            after.append(known + weighted_attention(block, x, x, slope[block]) @ known)
        frames, share = after[-1], 1.0
        clip = torch.zeros_like(frames[:, :, 0])  # R of the clip vector o: (N, t, 1 + L)
        for layer, block in zip(trunk.global_layers, dec, strict=True):
            query, tokens = kept[block.ln_1][:, None], kept[block.ln_3]
            read = weighted_attention(block, query, tokens, slope[block][:, None])
            clip = clip + (read.view_as(clip)[:, :, None] @ after[layer])[:, :, 0]
            share = torch.sigmoid(trunk.balance).mean()
        clip = (1 - share) * clip + share * frames[:, :, 0] / frames.shape[1]

        known = torch.eye(1 + clip[..., 1:].numel() // len(clip)).expand(len(clip), -1, -1)
        for block in reader:
            x, y = kept[block.norm], slope[block]
            read = weighted_attention(block, x[:, : y.shape[1]], x, y)
            known = known[:, : y.shape[1]] + read @ known
        patches = known[:, 0, 1:].view(*clip.shape[:2], 1, -1) @ frames[:, :, 1:, 1:]
        total = known[:, 0, :1, None] * clip[..., 1:] + patches[:, :, 0]
    grid = model.vision_encoder.size.grid
    return total.unflatten(2, (grid, grid))


def _heads_output(block: nn.Module) -> nn.Module:
    """The layer that reads the heads' outputs side by side."""
    return block.attn.proj if isinstance(block, EmotionBlock) else block.attn.out_proj


def _record(
    model: MERCLIP, video: Tensor, after: Sequence[nn.Module], before: Sequence[nn.Module]
) -> dict[nn.Module, Tensor]:
    """Forward once: outputs of the modules `after`, inputs of `before`, logits under `model`."""
    kept, hooks = {}, []
    for module in after:
        hooks.append(module.register_forward_hook(lambda m, _, y: kept.update({m: y})))
    for module in before:
        hooks.append(module.register_forward_pre_hook(lambda m, x: kept.update({m: x[0]})))
    try:
        with torch.enable_grad():
            kept[model] = model(video.detach().clone().requires_grad_()).logits
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def weighted_attention(block: nn.Module, query: Tensor, tokens: Tensor, slope: Tensor) -> Tensor:
    """Mean over heads of relu(attention * its gradient): (..., queries, tokens).

    `query` and `tokens` (..., S, D) have passed the norm; `slope` is the gradient with respect to
    y = attention @ values, so that of the attention is slope @ values'.
    """
    if isinstance(block, EmotionBlock):
        w, b, heads = block.attn.to_qkv.weight, block.attn.to_qkv.bias, block.attn.heads
    else:
        w, b, heads = block.attn.in_proj_weight, block.attn.in_proj_bias, block.heads
    inputs, parts = (query, tokens, tokens), zip(w.chunk(3), b.chunk(3), strict=True)
    q, k, v = (F.linear(x, *part) for x, part in zip(inputs, parts, strict=True))
    q, k, v, slope = (split_heads(x, heads) for x in (q, k, v, slope.view_as(q)))
    attention = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return (attention * (slope @ v.transpose(-1, -2))).clamp(min=0).mean(-3)
