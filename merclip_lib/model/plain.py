"""The network of MER-CLIP as the paper draws it, layer by layer, to be read from top to bottom.

This file needs no other, but for the sizes in `config`. Its fast equals stand beside it:
`encoder`, `perceptron` and `head` take the classes below with their parameters and compute the
same numbers in less time and memory, so weights load both ways; `tests/model/test_plain.py`
compares the two, part by part. The text tower is CLIP's own, frozen, and not repeated here
(`merclip_lib.text.bank.text_tower`).

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


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., S, D) -> (..., H, S, D/H): each of the H heads has its own share of the channels."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention in each head, softmax(q k' / sqrt(D/H)) v.

    `nn.MultiheadAttention` of the blocks below is this between its linear layers.

    Args:
        q: Queries (N, S, D); their number may differ from that of the keys.
        k: Keys (N, S, D).
        v: Values (N, S, D).
        heads: H.

    Returns:
        For each query the mean of the values under its weights, (N, S, D).
    """
    q, k, v = (split_heads(x, heads) for x in (q, k, v))  # (N, H, S, D/H)
    scores = (q / math.sqrt(q.shape[3])) @ k.transpose(2, 3)  # (N, H, S, S)
    weights = scores.softmax(dim=3)  # (N, H, S, S), rows sum to one
    return (weights @ v).transpose(1, 2).flatten(2)  # (N, S, D)


class MLP(nn.Module):
    """CLIP's two-layer perceptron; QuickGELU(x) = x sigmoid(1.702 x).

    Args:
        width: D; four times as wide inside.
        dropout: Of the inside, in training.
    """

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

    Differs from the paper's program, which drops along axis 0 of whatever layout it is in;
    `drop_path_unit="reference"` of `ModelSize` does the same here. Attention and MLP of the local
    blocks then drop a token position in all clips and times (layout (1 + L, N*t, D) there), the
    LMHRA a clip, a global block the whole batch (layout (1, N, D)).

    Args:
        rate: Share of branches that are dropped.
        axis: One draw for each position of this axis of x (0: each clip), or None: one for all.
    """

    def __init__(self, rate: float, axis: int | None = 0):
        super().__init__()
        self.rate, self.axis = rate, axis

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0 or not self.training:
            return x
        shape = [length if i == self.axis else 1 for i, length in enumerate(x.shape)]
        stays = (torch.rand(shape, device=x.device) >= self.rate).to(x.dtype)  # zeros and ones
        return x * (stays / (1 - self.rate))


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
    """Local temporal mixing of each patch with its neighbours in time; starts at zero.

    Args:
        width: D.
        reduction: The convolution over time has D / reduction channels.
    """

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


class DPE(nn.Conv3d):
    """Position in space and time, from a 3x3x3 convolution of each channel with itself alone.

    Args:
        width: D.
    """

    def __init__(self, width: int):
        super().__init__(width, width, 3, padding=1, groups=width)
        nn.init.zeros_(self.get_parameter("bias"))

    def forward(self, p: Tensor) -> Tensor:  # (N, t, L, D)
        return to_tokens(super().forward(to_volume(p)))  # (N, t, L, D)


class LocalBlock(nn.Module):
    """Local UniBlock: CLIP's transformer block within each time, armed with LMHRA across times.

    Args:
        size: Sizes and structural options.
        drop: Rate of stochastic depth.
    """

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
        x = x + self.drop(self.attend(self.ln_1(x)))  # (N, t, 1 + L, D)
        x = self.mix_times(self.lmhra2, x)  # (N, t, 1 + L, D)
        return x + self.drop(self.mlp(self.ln_2(x)))  # (N, t, 1 + L, D)

    def attend(self, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        y = x.flatten(0, 1)  # (N*t, 1 + L, D), each time on its own
        y, _ = self.attn(y, y, y, need_weights=False)  # (N*t, 1 + L, D)
        return y.view_as(x)  # (N, t, 1 + L, D)

    def mix_times(self, lmhra: LMHRA | None, x: Tensor) -> Tensor:  # (N, t, 1 + L, D)
        if lmhra is None:
            return x
        cls, p = x.split([1, x.shape[2] - 1], dim=2)  # (N, t, 1, D), (N, t, L, D)
        p = p + self.drop_lmhra(lmhra(p))  # (N, t, L, D)
        return torch.cat([cls, p], dim=2)  # (N, t, 1 + L, D)


class GlobalBlock(nn.Module):
    """Global UniBlock: the clip query reads the tokens of all times; starts as the identity.

    Args:
        size: Sizes and structural options.
        drop: Rate of stochastic depth.
    """

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
        q = q + self.drop(self.attend(self.ln_1(q), self.ln_3(y)))  # (N, 1, D)
        return q + self.drop(self.mlp(self.ln_2(q)))  # (N, 1, D)

    def attend(self, q: Tensor, y: Tensor) -> Tensor:  # (N, 1, D), (N, t*(1 + L), D)
        return self.attn(q, y, y, need_weights=False)[0]  # (N, 1, D); y: keys and values


class Transformer(nn.Module):
    """The local blocks, the global blocks that read them, and their fusion.

    Args:
        size: Sizes and structural options.

    Raises:
        ValueError: Global layers are asked for that do not exist.
    """

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
        self.dpe = nn.ModuleList([DPE(d) for _ in rates])
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
                cls, p = x.split([1, x.shape[2] - 1], dim=2)  # (N, t, 1, D), (N, t, L, D)
                p = p + self.dpe[j](p)  # (N, t, L, D), a copy: x stays
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

    With CLIP's weights loaded and all else at its initial value, the class token of a time
    position equals CLIP's image tower on the frame in the centre tap of the stem.

    Args:
        size: Sizes and structural options.

    Raises:
        ValueError: Global layers are asked for that do not exist.
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


class Attention(nn.Module):
    """Multi-head self-attention of the EIM; its layers have other names than those of `torch`.

    Args:
        width: C.
        heads: H.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (N, S, C)
        q, k, v = self.to_qkv(x).chunk(3, dim=2)  # each (N, S, C)
        return self.proj(attend(q, k, v, self.heads))  # (N, S, C)


class EmotionBlock(nn.Module):
    """One layer of the EIM: a pre-LayerNorm transformer layer.

    Args:
        width: C.
        heads: H.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm_ffn = nn.LayerNorm(width, eps=1e-6)
        mlp = (nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width))
        self.ffn = nn.ModuleDict({"net": nn.Sequential(*mlp)})  # names as in checkpoints

    def forward(self, x: Tensor) -> Tensor:  # (N, S, C)
        x = x + self.attn(self.norm(x))  # (N, S, C)
        return x + self.ffn["net"](self.norm_ffn(x))  # (N, S, C)


class EmotionInference(nn.Module):
    """Emotion Inference Module (paper, EIM): transformer layers that read the emotion.

    After each layer token 0 passes a LayerNorm, dropout and a classifier, the same for all layers.

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
