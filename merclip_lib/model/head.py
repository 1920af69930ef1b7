"""The Emotion Inference Module (EIM), and the linear layer in its place (paper, EIM)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.model.encoder import split_heads


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


class LinearHead(nn.Module):
    """One linear layer on the clip token."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.fc_cls = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.fc_cls.weight, std=0.02)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc_cls(tokens[:, 0])
