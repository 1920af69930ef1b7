"""MER-CLIP: video encoder, bank of action-unit sentences, Emotion Inference Module.

A clip becomes an embedding z that is compared with sentences, and tokens from which the Emotion
Inference Module (EIM) reads the emotion. The text tower is frozen, so its output for each pair
(description, template) is a constant: it is computed once per run as the text bank. (The paper's
program encodes the text anew at every step.) Axes as in `plain`.
"""

import math

import torch
from torch import Tensor, nn

from merclip_lib.config import Computing, ModelSize
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.head import EmotionInference
from merclip_lib.model.plain import LinearHead, Output
from merclip_lib.model.precision import mixed, products


class MERCLIP(nn.Module):
    """The trained network: `plain.MERCLIP` with encoder and EIM in their fast forms.

    Args:
        size: Sizes and structural options.
        classes: K.
        eim: False puts one linear layer on the clip token instead of the EIM (an ablation).
        units: Number U of unit labels that are read from z; 0 where sentences are compared.

    Raises:
        ValueError: `size` asks for global layers that do not exist.
    """

    def __init__(self, size: ModelSize, classes: int, eim: bool = True, units: int = 0):
        super().__init__()
        self.vision_encoder = VideoEncoder(size)
        c, sizes = size.token_dim, (size.eim_layers, size.eim_heads, size.eim_dropout)
        head = EmotionInference(c, classes, *sizes) if eim else LinearHead(c, classes)
        self.cls_head: nn.Module = head
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.unit_head = nn.Linear(size.embed_dim, units) if units else None

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


def forward(network: nn.Module, video: Tensor, computing: Computing) -> Output:
    """Run a network in the precision of the run.

    "bfloat16" is mixed precision (see `precision`; a backward pass wants `products` too): the loss
    agrees to one part in a thousand.

    Args:
        network: A `MERCLIP`, or what wraps one (compiled, in parallel).
        video: Normalised clips (N, T, 3, height, width), as they come from the dataset.
        computing: Its `precision` and `device` are read.

    Returns:
        The outputs in float32.
    """
    with mixed(computing), products(computing):
        output = network(video.transpose(1, 2))
    return Output(output.z.float(), output.logits.float())


def device_of(computing: Computing) -> torch.device:
    """Where the network runs.

    Args:
        computing: Its `device` is read.

    Returns:
        The CPU or the GPU.

    Raises:
        ValueError: It is a GPU, and torch sees none.
    """
    if computing.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            'device is "cuda", but torch sees no GPU here; set device to "cpu", or install a '
            "torch built for the GPU's driver"
        )
    return torch.device(computing.device)
