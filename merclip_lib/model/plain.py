"""The network of MER-CLIP as the paper draws it, layer by layer, to be read from top to bottom.

Its fast equals stand beside it: `merclip_lib.encoder` and `merclip_lib.model` compute the same
numbers in less time and memory, and their parameters have the same names, so that weights load
both ways; `tests/test_plain.py` compares the two, part by part. The text tower is CLIP's own,
frozen, and not repeated here (`merclip_lib.model.text_tower`).

Paper, video encoder (x all tokens, p the patch tokens among them, += a residual branch):
  stem             x = LN([class; Conv3d(video)] + position)
  LMHRA(p)         = W2 DWConv(W1 BN(p)), the convolution over neighbouring times only
  local UniBlock   p += LMHRA1(p);  x += MHSA(LN1 x);  p += LMHRA2(p);  x += MLP(LN2 x)
  global UniBlock  y = [class; p + DPE(p)];  q += MHA(LN1 q, LN3 y);  q += MLP(LN2 q)
  fusion           o = LN((1 - w) q + w c), w = sigmoid(b), c the mean over time of class tokens
  outputs          z = LN(o P), compared with sentences;  F = LN([o; p] C), inference tokens
Paper, Emotion Inference Module (EIM):
  logits           = mean over the layers of W LN(token 0 after that layer)

Axes: N clips, T frames, t times after the stem (T' in the paper), L = g*g patches of a frame,
D width, E embed (shared with the text), C token width, K classes, H heads, S tokens of any number.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from merclip_lib.config import ModelSize


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention, softmax(q k' / sqrt(D/H)) v in each head: three (N, S, D) -> (N, S, D).

    `nn.MultiheadAttention` of the blocks below is this between its linear layers.
    """
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # (N, H, S, D/H)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])  # (N, H, S, S)
    weights = scores.softmax(dim=3)  # (N, H, S, S), rows sum to one
    return (weights @ v).transpose(1, 2).flatten(2)  # (N, S, D)


class MLP(nn.Module):
    """CLIP's two-layer perceptron; QuickGELU(x) = x sigmoid(1.702 x)."""

    def __init__(self, width: int, dropout: float = 0.0):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.dropout = nn.Dropout(dropout)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:  # (..., D)
        x = self.c_fc(x)  # (..., 4*D)
        x = x * torch.sigmoid(1.702 * x)  # (..., 4*D)
        return self.c_proj(self.dropout(x))  # (..., D)


class DropPath(nn.Module):
    """Stochastic depth, in training: a residual branch x is dropped, or enlarged to keep the mean.

    One draw per position of `axis` (0: per clip; None: one in all), see `drop_path_unit`.
    """

    def __init__(self, rate: float, axis: int | None = 0):
        super().__init__()
        self.rate, self.axis = rate, axis

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0 or not self.training:
            return x
        shape = [length if i == self.axis else 1 for i, length in enumerate(x.shape)]
        return x * (torch.rand(shape, device=x.device) >= self.rate) / (1 - self.rate)


def rising(last: float, count: int) -> list[float]:
    """Rates of `count` blocks, from 0 to `last` in equal steps."""
    return [last * i / max(count - 1, 1) for i in range(count)]


def zeroed(layer: nn.Module) -> nn.Module:
    """`layer` with all its parameters at zero: what it adds is nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def to_volume(p: Tensor) -> Tensor:
    """Patch tokens (N, t, L, D) -> (N, D, t, g, g), as a 3-D convolution wants them."""
    return p.permute(0, 3, 1, 2).unflatten(3, (math.isqrt(p.shape[2]), -1))


def to_tokens(volume: Tensor) -> Tensor:
    """(N, D, t, g, g) -> (N, t, L, D), and back."""
    return volume.flatten(3).permute(0, 2, 3, 1)


class LMHRA(nn.Module):
    """Local temporal mixing of each patch with its neighbours in time; starts at zero."""

    def __init__(self, width: int, reduction: float):
        super().__init__()
        inner = int(width // reduction)
        self.pos_embed = nn.Sequential(
            nn.BatchNorm3d(width),
            nn.Conv3d(width, inner, 1),  # W1, reduce
            nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0), groups=inner),  # over 3 times
            zeroed(nn.Conv3d(inner, width, 1)),  # W2, expand
        )

    def forward(self, p: Tensor) -> Tensor:  # (N, t, L, D)
        return to_tokens(self.pos_embed(to_volume(p)))  # (N, t, L, D)


class LocalBlock(nn.Module):
    """Local UniBlock: CLIP's transformer block within each time, armed with LMHRA across times."""

    def __init__(self, size: ModelSize, drop: float):
        super().__init__()
        width, reduction = size.width, size.lmhra_reduction
        self.lmhra1 = LMHRA(width, reduction) if size.lmhra >= 1 else None
        self.lmhra2 = LMHRA(width, reduction) if size.lmhra == 2 else None
        self.attn = nn.MultiheadAttention(width, size.heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.ln_2 = nn.LayerNorm(width)
        self.drop_lmhra = DropPath(drop)
        self.drop = DropPath(drop, axis=2 if size.drop_path_unit == "reference" else 0)

    def forward(self, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        x = self.mix_times(self.lmhra1, x)  # (N, t, 1 + L, D)
        y = self.ln_1(x).flatten(0, 1)  # (N*t, 1 + L, D), each time on its own
        y, _ = self.attn(y, y, y, need_weights=False)  # (N*t, 1 + L, D)
        x = x + self.drop(y.view_as(x))  # (N, t, 1 + L, D)
        x = self.mix_times(self.lmhra2, x)  # (N, t, 1 + L, D)
        return x + self.drop(self.mlp(self.ln_2(x)))  # (N, t, 1 + L, D)

    def mix_times(self, lmhra: LMHRA | None, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        if lmhra is None:
            return x
        cls, p = x[:, :, :1], x[:, :, 1:]  # (N, t, 1, D), (N, t, L, D)
        p = p + self.drop_lmhra(lmhra(p))  # (N, t, L, D)
        return torch.cat([cls, p], dim=2)  # (N, t, 1 + L, D)


class GlobalBlock(nn.Module):
    """Global UniBlock: the clip query reads the tokens of all times; starts as the identity."""

    def __init__(self, size: ModelSize, drop: float):
        super().__init__()
        self.attn = nn.MultiheadAttention(size.width, size.heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(size.width)  # of the query
        self.ln_3 = nn.LayerNorm(size.width)  # of the tokens
        self.mlp = MLP(size.width, size.mlp_dropout)
        self.ln_2 = nn.LayerNorm(size.width)
        self.drop = DropPath(drop, axis=None if size.drop_path_unit == "reference" else 0)
        zeroed(self.attn.out_proj)
        zeroed(self.mlp.c_proj)

    def forward(self, q: Tensor, y: Tensor) -> Tensor:  # (N, 1, D), (N, t*(1 + L), D)
        y = self.ln_3(y)  # (N, t*(1 + L), D), keys and values
        attended, _ = self.attn(self.ln_1(q), y, y, need_weights=False)  # (N, 1, D)
        q = q + self.drop(attended)  # (N, 1, D)
        return q + self.drop(self.mlp(self.ln_2(q)))  # (N, 1, D)


class Transformer(nn.Module):
    """The local blocks, the global blocks that read them, and their fusion."""

    def __init__(self, size: ModelSize):
        super().__init__()
        bad = [i for i in size.global_layers if not 0 <= i < size.layers]
        if bad:
            raise ValueError(f"global_layers {bad} do not exist: there are {size.layers} blocks")
        d, self.global_layers = size.width, sorted(size.global_layers)
        rates = rising(size.drop_path, size.layers)
        self.resblocks = nn.ModuleList([LocalBlock(size, rate) for rate in rates])
        if not self.global_layers:
            return
        rates = rising(size.global_drop_path, len(self.global_layers))
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, d))  # the query q
        self.dpe = nn.ModuleList([nn.Conv3d(d, d, 3, padding=1, groups=d) for _ in rates])
        for conv in self.dpe:
            nn.init.zeros_(conv.get_parameter("bias"))
        self.dec = nn.ModuleList([GlobalBlock(size, rate) for rate in rates])
        self.norm = nn.LayerNorm(d)
        self.balance = nn.Parameter(torch.zeros(d))  # b

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, t, 1 + L, D)
        if self.global_layers:
            q = self.temporal_cls_token.expand(len(x), 1, -1)  # (N, 1, D)
        for i, block in enumerate(self.resblocks):
            x = block(x)  # (N, t, 1 + L, D)
            if i in self.global_layers:
                j = self.global_layers.index(i)
                cls, p = x[:, :, :1], x[:, :, 1:]  # (N, t, 1, D), (N, t, L, D)
                p = p + to_tokens(self.dpe[j](to_volume(p)))  # (N, t, L, D), a copy: x stays
                y = torch.cat([cls, p], dim=2).flatten(1, 2)  # (N, t*(1 + L), D)
                q = self.dec[j](q, y)  # (N, 1, D)
        c = x[:, :, 0].mean(dim=1)  # (N, D)
        if not self.global_layers:
            return c, x
        w = torch.sigmoid(self.balance)  # (D,)
        return self.norm((1 - w) * q[:, 0] + w * c), x  # (N, D), (N, t, 1 + L, D)


class Encoded(NamedTuple):
    """What the video encoder knows of a clip."""

    z: Tensor  # (N, E) alignment embedding, compared with sentences
    o: Tensor  # (N, D) clip vector; without global blocks the mean of the class tokens
    tokens: Tensor  # (N, 1 + t*L, C) inference tokens F for the EIM, clip token first
    patches: Tensor  # (N, t, L, D) patch tokens of the last local block


class VideoEncoder(nn.Module):
    """CLIP ViT armed with UniFormerV2 blocks (paper, video encoder).

    Args:
        size: Sizes and structural options; ValueError for global layers that do not exist.
    """

    def __init__(self, size: ModelSize):
        super().__init__()
        self.size, p, d, scale = size, size.patch, size.width, size.width**-0.5
        taps, stride = (3, 2) if size.temporal_downsample else (1, 1)  # over time
        self.conv1 = nn.Conv3d(3, d, (taps, p, p), (stride, p, p), (taps // 2, 0, 0), bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(d))
        self.positional_embedding = nn.Parameter(scale * torch.randn(size.grid**2 + 1, d))
        self.ln_pre = nn.LayerNorm(d)
        self.transformer = Transformer(size)
        self.proj = nn.Parameter(scale * torch.randn(d, size.embed_dim))  # P
        self.ln_post1 = nn.LayerNorm(size.embed_dim)
        self.to_cls_decoder = nn.Linear(d, size.token_dim, bias=False)  # C
        self.ln_final = nn.LayerNorm(size.token_dim)

    def stem(self, video: Tensor) -> Tensor:  # (N, 3, T, height, width)
        return to_tokens(self.conv1(video))  # (N, t, L, D)

    def forward(self, video: Tensor) -> Encoded:
        """Encode clips.

        Args:
            video: Normalised clips (N, 3, T, height, width).

        Returns:
            `Encoded`: z (N, E), o (N, D), tokens (N, 1 + t*L, C) and patches (N, t, L, D).

        Raises:
            ValueError: The video has another size than the network was built for.
        """
        expected = (3, self.size.frames, self.size.resolution, self.size.resolution)
        if tuple(video.shape[1:]) != expected:
            raise ValueError(f"video has shape {tuple(video.shape)}, expected (N, *{expected})")
        p = self.stem(video)  # (N, t, L, D)
        cls = self.class_embedding.expand(*p.shape[:2], 1, -1)  # (N, t, 1, D)
        x = torch.cat([cls, p], dim=2)  # (N, t, 1 + L, D)
        x = self.ln_pre(x + self.positional_embedding)  # (N, t, 1 + L, D)
        o, x = self.transformer(x)  # (N, D), (N, t, 1 + L, D)
        p = x[:, :, 1:]  # (N, t, L, D)
        z = self.ln_post1(o @ self.proj)  # (N, E)
        tokens = torch.cat([o[:, None], p.flatten(1, 2)], dim=1)  # (N, 1 + t*L, D)
        return Encoded(z, o, self.ln_final(self.to_cls_decoder(tokens)), p)


class EmotionBlock(nn.Module):
    """One layer of the EIM: a pre-LayerNorm transformer layer."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=1e-6)
        qkv, proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attn = nn.ModuleDict({"to_qkv": qkv, "proj": proj})  # names as in checkpoints
        self.norm_ffn = nn.LayerNorm(width, eps=1e-6)
        mlp = (nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width))
        self.ffn = nn.ModuleDict({"net": nn.Sequential(*mlp)})

    def forward(self, x: Tensor) -> Tensor:  # (N, S, C)
        q, k, v = self.attn["to_qkv"](self.norm(x)).chunk(3, dim=2)  # each (N, S, C)
        x = x + self.attn["proj"](attend(q, k, v, self.heads))  # (N, S, C)
        return x + self.ffn["net"](self.norm_ffn(x))  # (N, S, C)


class EmotionInference(nn.Module):
    """Emotion Inference Module (paper, EIM): transformer layers that read the emotion.

    Args:
        width: C.
        classes: K.
        layers: Number of transformer layers.
        heads: H of each.
        dropout: On token 0 before the classifier, in training.
    """

    def __init__(
        self, width: int, classes: int, layers: int = 2, heads: int = 4, dropout: float = 0.1
    ):
        super().__init__()
        self.blocks = nn.ModuleList([EmotionBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(width, classes)  # W
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Inference tokens (N, S, C), clip token first -> logits (N, K)."""
        return self.layer_logits(tokens).mean(dim=0)  # (N, K)

    def layer_logits(self, tokens: Tensor) -> Tensor:
        """The logits of each layer, (layers, N, K)."""
        logits = []
        for block in self.blocks:
            tokens = block(tokens)  # (N, S, C)
            first = self.norm(tokens[:, 0])  # (N, C)
            logits.append(self.fc_cls(self.dropout(first)))  # (N, K)
        return torch.stack(logits)  # (layers, N, K)


class LinearHead(nn.Module):
    """One linear layer on the clip token, `width` C to `classes` K: no EIM (an ablation)."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.fc_cls = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.fc_cls.weight, std=0.02)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Inference tokens (N, S, C), clip token first -> logits (N, K)."""
        return self.fc_cls(tokens[:, 0])  # (N, K)


class Output(NamedTuple):
    """What the losses see of a clip."""

    z: Tensor  # (N, E) alignment embedding
    logits: Tensor  # (N, K)


class PlainMERCLIP(nn.Module):
    """The trained network: video encoder, classifier and the scale of the alignment.

    Args:
        size: Sizes and structural options, as for `VideoEncoder`.
        classes: K.
        eim: False puts a `LinearHead` in the place of the EIM.
    """

    def __init__(self, size: ModelSize, classes: int, eim: bool = True):
        super().__init__()
        self.vision_encoder = VideoEncoder(size)
        c, sizes = size.token_dim, (size.eim_layers, size.eim_heads, size.eim_dropout)
        head = EmotionInference(c, classes, *sizes) if eim else LinearHead(c, classes)
        self.cls_head: nn.Module = head
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, video: Tensor) -> Output:
        """Encode clips and read their emotions.

        Args:
            video: Normalised clips (N, 3, T, height, width).

        Returns:
            `Output`: z (N, E) and logits (N, K).

        Raises:
            ValueError: The video has another size than the network was built for.
        """
        encoded = self.vision_encoder(video)
        return Output(encoded.z, self.cls_head(encoded.tokens))
