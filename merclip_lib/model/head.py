"""The Emotion Inference Module in its fast form; axes and parameters are those of `plain`."""

import torch.nn.functional as F
from torch import Tensor

from merclip_lib.model import plain
from merclip_lib.model.arithmetic import attend


class Attention(plain.Attention):
    """`plain.Attention` that never builds the weights (S, S), and may answer token 0 alone."""

    def forward(self, x: Tensor, first_only: bool = False) -> Tensor:  # (N, S, C)
        wq, wkv = self.to_qkv.weight.tensor_split([x.shape[-1]])
        bq, bkv = self.to_qkv.bias.tensor_split([x.shape[-1]])
        q = F.linear(x[:, :1] if first_only else x, wq, bq)
        k, v = F.linear(x, wkv, bkv).chunk(2, dim=-1)
        return self.proj(attend(q, k, v, self.heads))  # (N, 1 or S, C)


class LastEmotionBlock(plain.EmotionBlock):
    """`plain.EmotionBlock` for token 0 alone."""

    def forward(self, x: Tensor) -> Tensor:  # (N, S, C) -> (N, 1, C)
        y = x[:, :1] + self.attn(self.norm(x), first_only=True)
        return y + self.ffn["net"](self.norm_ffn(y))


class EmotionInference(plain.EmotionInference):
    """`plain.EmotionInference` whose last layer computes token 0 alone: nothing reads the others.

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
        super().__init__(width, classes, layers, heads, dropout)
        for block in self.blocks:  # other classes, the same parameters
            block.get_submodule("attn").__class__ = Attention
        self.blocks[-1].__class__ = LastEmotionBlock
