"""MER-CLIP in the straightforward layout: what `benchmarks/step.py` compares with.

The method written down module by module, as most programs do it: Conv3d for stem, LMHRA and DPE,
`nn.MultiheadAttention` everywhere (the single query of the global blocks too), tokens first,
QuickGELU as its formula, all tokens through both EIM layers, the class token separated and put
back by copies, the text tower in each step. Same weights in, same numbers out as
`merclip_lib.model.MERCLIP`; no dropout and no stochastic depth, so that outputs can be compared.

Axes as in `merclip_lib.encoder`: N clips, t time positions, L = g*g patches, D width.
"""

import torch
from torch import Tensor, nn

from merclip_lib.config import ModelSize
from merclip_lib.text.bank import text_tower


def attend(attention: nn.MultiheadAttention, query: Tensor, tokens: Tensor) -> Tensor:
    return attention(query, tokens, tokens, need_weights=False)[0]


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class MLP(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc, self.gelu = nn.Linear(width, 4 * width), QuickGELU()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.gelu(self.c_fc(x)))


class LMHRA(nn.Module):
    def __init__(self, width: int, reduction: float):
        super().__init__()
        inner = int(width // reduction)
        self.pos_embed = nn.Sequential(
            nn.BatchNorm3d(width),
            nn.Conv3d(width, inner, 1),
            nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0), groups=inner),
            nn.Conv3d(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, D, t, g, g)
        return self.pos_embed(x)


class LocalBlock(nn.Module):
    def __init__(self, size: ModelSize):
        super().__init__()
        self.times, self.grid = size.times, size.grid
        self.lmhra1 = LMHRA(size.width, size.lmhra_reduction)
        self.lmhra2 = LMHRA(size.width, size.lmhra_reduction)
        self.attn = nn.MultiheadAttention(size.width, size.heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.mlp = MLP(size.width)

    def forward(self, x: Tensor) -> Tensor:  # (1 + L, N*t, D)
        x = self.mix_times(self.lmhra1, x)
        y = self.ln_1(x)
        x = x + attend(self.attn, y, y)
        x = self.mix_times(self.lmhra2, x)
        return x + self.mlp(self.ln_2(x))

    def mix_times(self, lmhra: LMHRA, x: Tensor) -> Tensor:
        cls, patches = x[:1], x[1:]
        length, count, width = patches.shape
        n, g = count // self.times, self.grid
        volume = patches.view(g, g, n, self.times, width).permute(2, 4, 3, 0, 1).contiguous()
        volume = volume + lmhra(volume)
        patches = volume.permute(3, 4, 0, 2, 1).reshape(length, count, width)
        return torch.cat([cls, patches])


class GlobalBlock(nn.Module):
    def __init__(self, size: ModelSize):
        super().__init__()
        self.attn = nn.MultiheadAttention(size.width, size.heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.ln_3, self.mlp = nn.LayerNorm(size.width), MLP(size.width)

    def forward(self, q: Tensor, tokens: Tensor) -> Tensor:  # (1, N, D), (S, N, D)
        q = q + attend(self.attn, self.ln_1(q), self.ln_3(tokens))
        return q + self.mlp(self.ln_2(q))


class Transformer(nn.Module):
    def __init__(self, size: ModelSize):
        super().__init__()
        self.size = size
        self.resblocks = nn.ModuleList([LocalBlock(size) for _ in range(size.layers)])
        count = len(size.global_layers)
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.dpe = nn.ModuleList(
            [
                nn.Conv3d(size.width, size.width, 3, padding=1, groups=size.width)
                for _ in range(count)
            ]
        )
        self.dec = nn.ModuleList([GlobalBlock(size) for _ in range(count)])
        self.norm = nn.LayerNorm(size.width)
        self.balance = nn.Parameter(torch.zeros(size.width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (1 + L, N*t, D)
        length, count, width = x.shape
        t, g = self.size.times, self.size.grid
        n = count // t
        q = self.temporal_cls_token.repeat(1, n, 1)
        for i, block in enumerate(self.resblocks):
            x = block(x)
            if i in self.size.global_layers:
                j = self.size.global_layers.index(i)
                tokens = x.view(length, n, t, width).permute(2, 0, 1, 3)  # (t, 1 + L, N, D)
                cls, patches = tokens[:, :1], tokens[:, 1:]
                volume = patches.permute(2, 3, 0, 1).reshape(n, width, t, g, g)
                volume = volume + self.dpe[j](volume)
                patches = volume.flatten(3).permute(2, 3, 0, 1)
                tokens = torch.cat([cls, patches], dim=1).flatten(0, 1)
                q = self.dec[j](q, tokens)
        w = torch.sigmoid(self.balance)
        frame_average = x[0].view(n, t, width).mean(1)
        return self.norm((1 - w) * q[0] + w * frame_average), x


class VideoEncoder(nn.Module):
    def __init__(self, size: ModelSize):
        super().__init__()
        p, self.size = size.patch, size
        self.conv1 = nn.Conv3d(3, size.width, (3, p, p), (2, p, p), (1, 0, 0), bias=False)
        self.class_embedding = nn.Parameter(torch.empty(size.width))
        self.positional_embedding = nn.Parameter(torch.empty(size.grid**2 + 1, size.width))
        self.ln_pre = nn.LayerNorm(size.width)
        self.transformer = Transformer(size)
        self.proj = nn.Parameter(torch.empty(size.width, size.embed_dim))
        self.ln_post1 = nn.LayerNorm(size.embed_dim)
        self.to_cls_decoder = nn.Linear(size.width, size.token_dim, bias=False)
        self.ln_final = nn.LayerNorm(size.token_dim)

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:  # (N, 3, T, H, W)
        x = self.conv1(video)  # (N, D, t, g, g)
        n, width, t = x.shape[:3]
        x = x.permute(0, 2, 3, 4, 1).reshape(n * t, -1, width)
        cls = self.class_embedding + torch.zeros(n * t, 1, width, device=x.device)
        x = self.ln_pre(torch.cat([cls, x], dim=1) + self.positional_embedding)
        o, x = self.transformer(x.permute(1, 0, 2).contiguous())
        z = self.ln_post1(o @ self.proj)
        patches = x[1:].view(-1, n, t, width).permute(1, 2, 0, 3).flatten(1, 2)
        tokens = torch.cat([o[:, None], patches], dim=1)
        return z, self.ln_final(self.to_cls_decoder(tokens))


class EmotionBlock(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_ffn = nn.LayerNorm(width, eps=1e-6)
        self.ffn = nn.ModuleDict(
            {
                "net": nn.Sequential(
                    nn.Linear(width, 4 * width),
                    nn.GELU(),
                    nn.Identity(),
                    nn.Linear(4 * width, width),
                )
            }
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, S, C)
        y = self.norm(x)
        x = x + attend(self.attn, y, y)
        return x + self.ffn["net"](self.norm_ffn(x))


class EmotionInference(nn.Module):
    def __init__(self, width: int, classes: int, layers: int, heads: int):
        super().__init__()
        self.blocks = nn.ModuleList([EmotionBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc_cls = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        logits = []
        for block in self.blocks:
            tokens = block(tokens)
            logits.append(self.fc_cls(self.norm(tokens[:, 0])))
        return torch.stack(logits).mean(0)


class Baseline(nn.Module):
    """Video encoder, Emotion Inference Module and the frozen text tower in one network."""

    def __init__(self, size: ModelSize, classes: int, text: bool = True):
        super().__init__()
        self.vision_encoder = VideoEncoder(size)
        self.cls_head = EmotionInference(size.token_dim, classes, size.eim_layers, size.eim_heads)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.text_encoder = text_tower(size).requires_grad_(False) if text else None

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:  # (N, 3, T, H, W)
        z, tokens = self.vision_encoder(video)
        return z, self.cls_head(tokens)


def load_ours(baseline: Baseline, state: dict[str, Tensor]) -> None:
    """Copy the state of a `MERCLIP` of the same size; only the EIM's attention is named otherwise.

    Raises RuntimeError when a parameter is missing or too many.
    """
    names = {
        ".attn.to_qkv.weight": ".attn.in_proj_weight",
        ".attn.to_qkv.bias": ".attn.in_proj_bias",
        ".attn.proj.": ".attn.out_proj.",
    }
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("cls_head."):
            for ours, plain in names.items():
                name = name.replace(ours, plain)
        renamed[name] = tensor
    if baseline.text_encoder is not None:
        text = baseline.text_encoder.state_dict()
        renamed |= {f"text_encoder.{name}": tensor for name, tensor in text.items()}
    baseline.load_state_dict(renamed)
