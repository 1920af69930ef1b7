"""The text bank: every sentence encoded once by the frozen text tower."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.config import Config, ModelSize
from merclip_lib.text.sentences import TEMPLATES


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


@dataclass(frozen=True)
class TextTargets:
    """The sentences of a data set: the text bank and where each clip finds its own.

    `bank` (descriptions, templates, E); `description` and `mirrored` (rows of the table,) give
    the description of each clip and of its left-right mirror image.
    """

    bank: Tensor
    description: np.ndarray
    mirrored: np.ndarray


def draw_sentences(
    text: TextTargets, rows: Tensor, flipped: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One template per clip: sentence embeddings (N, E) and description numbers (N,)."""
    groups = torch.as_tensor(text.description)[rows]
    if config.flip_swap:
        groups = torch.where(flipped, torch.as_tensor(text.mirrored)[rows], groups)
    template = torch.randint(text.bank.shape[1], (len(rows),), generator=generator)
    return text.bank[groups, template], groups


TOKENIZER = "ViT-B-16-quickgelu"  # CLIP's own byte-pair encoding, shipped with open_clip


def tokenizer():
    """CLIP's tokenizer: list of sentences -> (N, 77) token numbers."""
    import open_clip

    return open_clip.get_tokenizer(TOKENIZER)
