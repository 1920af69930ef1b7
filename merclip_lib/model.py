"""MER-CLIP: video encoder, bank of action-unit sentences, Emotion Inference Module.

A clip becomes an embedding z that is compared with sentences, and tokens from which the Emotion
Inference Module (EIM) reads the emotion. The text tower is frozen, so its output for each pair
(description, template) is a constant: it is computed once per run as the text bank. (The paper's
program encodes the text anew at every step.) Axes as in `merclip_lib.encoder`.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.config import Config, ModelSize
from merclip_lib.encoder import VideoEncoder, split_heads
from merclip_lib.facs import TEMPLATES
from merclip_lib.precision import mixed, products


class Output(NamedTuple):
    z: Tensor  # (N, E) alignment embedding
    logits: Tensor  # (N, classes)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, first_only: bool) -> Tensor:  # (N, S, C)
        wq, wkv = self.to_qkv.weight.tensor_split([x.shape[-1]])
        bq, bkv = self.to_qkv.bias.tensor_split([x.shape[-1]])
        q = F.linear(x[:, :1] if first_only else x, wq, bq)
        k, v = F.linear(x, wkv, bkv).chunk(2, dim=-1)
        q, k, v = (split_heads(part, self.heads) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v)  # (N, H, 1 or S, C/H)
        return self.proj(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        # Positions 0 and 3 hold the weights, as in the published checkpoints.
        self.net = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class EmotionBlock(nn.Module):
    """Pre-LayerNorm transformer layer (eps 1e-6)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm_ffn = nn.LayerNorm(width, eps=1e-6)
        self.ffn = FeedForward(width)

    def forward(self, x: Tensor, first_only: bool = False) -> Tensor:
        """(N, S, C) -> (N, S, C), or (N, 1, C) when only token 0 is wanted."""
        kept = x[:, :1] if first_only else x
        y = kept + self.attn(self.norm(x), first_only)
        return y + self.ffn(self.norm_ffn(y))


class EmotionInference(nn.Module):
    """Emotion Inference Module (paper, EIM): transformer layers that read the emotion.

    After each layer token 0 passes a shared LayerNorm, dropout and a shared classifier; the
    layers' logits are averaged. Nothing reads the other tokens after the last layer, so that
    layer is computed for token 0 alone (equal output).
    """

    def __init__(self, width: int, classes: int, layers: int = 2, heads: int = 4, dropout=0.1):
        super().__init__()
        self.dropout = dropout
        self.blocks = nn.ModuleList([EmotionBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc_cls = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, S, C), clip token first -> logits (N, classes)."""
        return self.layer_logits(tokens).mean(0)

    def layer_logits(self, tokens: Tensor) -> Tensor:
        """Logits of each layer, (layers, N, classes)."""
        logits = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, first_only=i + 1 == len(self.blocks))
            first = F.dropout(self.norm(tokens[:, 0]), self.dropout, self.training)
            logits.append(self.fc_cls(first))
        return torch.stack(logits)


def text_tower(size: ModelSize) -> nn.Module:
    """CLIP's text transformer (open_clip's), with QuickGELU, at the given size.

    open_clip takes seconds to import, and only this needs it.
    """
    from open_clip.transformer import QuickGELU, TextTransformer

    return TextTransformer(
        context_length=size.context_length,
        vocab_size=size.vocabulary,
        width=size.text_width,
        heads=size.text_heads,
        layers=size.text_layers,
        output_dim=size.embed_dim,
        act_layer=QuickGELU,
    )


@torch.no_grad()
def build_text_bank(
    tower: nn.Module,
    tokenizer: Callable[[list[str]], Tensor],
    descriptions: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """Encode every description in every template: (descriptions, templates, E), unit length."""
    tower.eval()
    sentences = [template.format(text) for text in descriptions for template in templates]
    device = next(tower.parameters()).device
    parts = [
        F.normalize(tower(tokenizer(sentences[i : i + 256]).to(device)), dim=-1)
        for i in range(0, len(sentences), 256)
    ]
    return torch.cat(parts).view(len(descriptions), len(templates), -1)


class MERCLIP(nn.Module):
    """The trained network: video encoder, classifier and the scale of the alignment.

    `eim=False` puts a plain linear layer on the clip token instead of the EIM (an ablation).
    """

    def __init__(self, size: ModelSize, classes: int, eim: bool = True):
        super().__init__()
        self.vision_encoder = VideoEncoder(size)
        if eim:
            self.cls_head = EmotionInference(
                size.token_dim, classes, size.eim_layers, size.eim_heads, size.eim_dropout
            )
        else:
            self.cls_head = LinearHead(size.token_dim, classes)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, video: Tensor) -> Output:
        """`video` (N, 3, T, H, W), normalised."""
        encoded = self.vision_encoder(video)
        return Output(encoded.z, self.cls_head(encoded.tokens))


class LinearHead(nn.Module):
    """One linear layer on the clip token."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.fc_cls = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.fc_cls.weight, std=0.02)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc_cls(tokens[:, 0])


def forward(network: nn.Module, video: Tensor, config: Config) -> Output:
    """Outputs (float32) for `video` (N, T, 3, H, W), computed in `config.precision`.

    "bfloat16" is mixed precision (see `merclip_lib.precision`; a backward pass wants `products`
    too): the loss agrees to one part in a thousand.
    """
    with mixed(config), products(config):
        output = network(video.transpose(1, 2))
    return Output(output.z.float(), output.logits.float())


def device_of(config: Config) -> torch.device:
    """Where the network runs. Raises ValueError when that is a GPU and torch sees none."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            'device is "cuda", but torch sees no GPU here; set device to "cpu", or install a '
            "torch built for the GPU's driver"
        )
    return torch.device(config.device)
