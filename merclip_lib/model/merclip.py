"""MER-CLIP: video encoder, bank of action-unit sentences, Emotion Inference Module.

A clip becomes an embedding z that is compared with sentences, and tokens from which the Emotion
Inference Module (EIM) reads the emotion. The text tower is frozen, so its output for each pair
(description, template) is a constant: it is computed once per run as the text bank. (The paper's
program encodes the text anew at every step.) Axes as in `merclip_lib.encoder`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from merclip_lib.config import Config, ModelSize
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.head import EmotionInference, LinearHead
from merclip_lib.model.precision import mixed, products


class Output(NamedTuple):
    z: Tensor  # (N, E) alignment embedding
    logits: Tensor  # (N, classes)


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
