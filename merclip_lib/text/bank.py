"""The text bank: every sentence encoded once by the frozen text tower (paper, text encoder).

The text tower does not learn, so what it makes of a description in a template is a constant. It
is computed once per run and looked up in every step; the authors' program encodes the text anew
at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.config import ModelSize
from merclip_lib.text.facs import swap_sides
from merclip_lib.text.sentences import PAIRS, TEMPLATES, Phrases, describe

if TYPE_CHECKING:
    import pandas as pd

TOKENIZER = "ViT-B-16-quickgelu"  # CLIP's own byte-pair encoding, shipped with open_clip


def text_tower(size: ModelSize) -> nn.Module:
    """CLIP's text transformer (open_clip's), with QuickGELU, at the given size, untrained.

    open_clip takes seconds to import, and only this and `tokenizer` need it.
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


def tokenizer() -> Callable[[list[str]], Tensor]:
    """CLIP's tokenizer: list of sentences -> (N, 77) token numbers."""
    import open_clip

    return open_clip.get_tokenizer(TOKENIZER)


@torch.no_grad()
def build_text_bank(
    tower: nn.Module,
    encode: Callable[[list[str]], Tensor],
    descriptions: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """Encode every description in every template.

    Args:
        tower: a text tower; it is put into evaluation mode.
        encode: sentences to token numbers, see `tokenizer`.
        descriptions: sentence fragments, as `describe` gives them.
        templates: prompts with one `{}` each.

    Returns:
        Unit vectors (descriptions, templates, E).
    """
    tower.eval()
    sentences = [template.format(text) for text in descriptions for template in templates]
    device = next(tower.parameters()).device
    parts = [
        F.normalize(tower(encode(sentences[i : i + 256]).to(device)), dim=-1)
        for i in range(0, len(sentences), 256)
    ]
    return torch.cat(parts).view(len(descriptions), len(templates), -1)


@dataclass(frozen=True)
class TextBank:
    """The sentences of a data set, encoded, and where each clip finds its own.

    Attributes:
        embeddings: unit vectors (descriptions, templates, E).
        description: (rows of the store,) number of each clip's description.
        mirrored: (rows of the store,) that of its left-right mirror image.
    """

    embeddings: Tensor
    description: np.ndarray
    mirrored: np.ndarray

    def draw(
        self, rows: Tensor, mirror: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """One sentence per clip, in a template drawn anew (paper, prompt templates).

        Args:
            rows: (N,) rows of the store.
            mirror: (N,) bool, the clips whose sentence has left and right exchanged.
            generator: the source of the draws.

        Returns:
            Sentence embeddings (N, E) and description numbers (N,).
        """
        description, mirrored = torch.as_tensor(self.description), torch.as_tensor(self.mirrored)
        groups = torch.where(mirror, mirrored[rows], description[rows])
        template = torch.randint(self.embeddings.shape[1], (len(rows),), generator=generator)
        return self.embeddings[groups, template], groups


class ClipSentences(NamedTuple):
    """What is said of each clip of a table, and of its left-right mirror image."""

    plain: list[str]
    mirrored: list[str]


def clip_sentences(table: pd.DataFrame, style: str, phrases: Phrases = PAIRS) -> ClipSentences:
    """The description of every clip.

    Args:
        table: clips with `clip_id`, `action_units` and `label`.
        style: one of `sentences.STYLES`.
        phrases: what the style `phrases` says.

    Raises:
        ValueError: an annotation that cannot be read; the clip is named.
    """
    said = ClipSentences([], [])
    columns = (table[name] for name in ("clip_id", "action_units", "label"))
    for clip, annotation, emotion in zip(*columns, strict=True):
        where = f"clip {clip}"
        said.plain.append(describe(annotation, style, emotion, where, phrases))
        said.mirrored.append(describe(swap_sides(annotation), style, emotion, where, phrases))
    return said


def bank_of_clips(
    tower: nn.Module, said: ClipSentences, rows: np.ndarray, templates: Sequence[str] = TEMPLATES
) -> TextBank:
    """Encode each distinct description once.

    Args:
        tower: the text tower.
        said: the descriptions of the clips.
        rows: the row of the store of each clip.
        templates: prompts with one `{}` each.
    """
    distinct = sorted({*said.plain, *said.mirrored})
    number = {text: k for k, text in enumerate(distinct)}
    own, mirror = (np.zeros(rows.max() + 1, int) for _ in range(2))
    own[rows] = [number[text] for text in said.plain]
    mirror[rows] = [number[text] for text in said.mirrored]
    return TextBank(build_text_bank(tower, tokenizer(), distinct, templates), own, mirror)


def shuffled_bank(text: TextBank, rows: np.ndarray, seed: int) -> TextBank:
    """The sentences of each clip given to another clip (a control).

    Args:
        text: the sentences.
        rows: the rows of the store among which they are shuffled.
        seed: of the permutation.
    """
    other = np.random.default_rng(seed).permutation(rows)
    own, mirror = text.description.copy(), text.mirrored.copy()
    own[rows], mirror[rows] = text.description[other], text.mirrored[other]
    return TextBank(text.embeddings, own, mirror)


def random_bank(text: TextBank, seed: int) -> TextBank:
    """A random unit vector for each description in the place of its sentences (an ablation).

    What is left of a sentence is which clips have the same one.
    """
    generator = torch.Generator().manual_seed(seed)
    count, _, width = text.embeddings.shape
    vectors = torch.randn(count, 1, width, generator=generator)
    return TextBank(F.normalize(vectors, dim=-1), text.description, text.mirrored)
