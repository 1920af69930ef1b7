"""Making the tiny text tower from text alone: the part that CLIP's text tower has in the paper.

The tower learns what a sentence says, whoever says it: its embedding is drawn towards the sum of
fixed, orthogonal directions of the units it names, e for the unit and s for its side:

    t = sum over units of (e + 0.7 k s),  k = 1 left, -1 right, 0 both;  loss = 1 - cos(t, tower)

so the cosine of two sentences falls with the units and sides they do not share: left and right of
one unit have 0.34, one side and both 0.82, two units 0. No picture and no emotion is looked at.
Words that the training text has not share a few random embeddings; in an action-unit sentence they
are passed over, alone each has a direction of its own. Not in the paper, which starts from CLIP.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.config import SIZES, Config
from merclip_lib.files import write_text
from merclip_lib.progress import track
from merclip_lib.text.bank import build_text_bank, text_tower, tokenizer
from merclip_lib.text.facs import parse
from merclip_lib.text.sentences import PHRASES, is_mentioned
from merclip_lib.weights.files import TOKENS, save_weights
from merclip_lib.weights.load import load_text_tower
from merclip_lib.weights.wordings import WHATEVER, Example, pair_items, training_text

SIZE = SIZES["merclip-tiny"]
UNKNOWN = 512  # embeddings that the words outside the training text share
SIDE = 0.7  # length of a side's direction, where the unit's is 1
DATA = "text alone: text_words.yaml and the sentences of the library; no picture, no emotion"


@dataclass(frozen=True)
class TextSettings:
    """How the text tower was made; stored in its header."""

    sentences: int = 100_000
    steps: int = 4500
    batch_size: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.01
    seed: int = 0


def meaning(annotation: str) -> Tensor:
    """Weights (2 units + 1,): a unit, its side, ..., nothing moves; what is in doubt is halved."""
    weights = torch.zeros(len(PHRASES), 2)
    for unit in filter(is_mentioned, parse(annotation)):
        weight = 1.0 if unit.qualifier == "certain" else 0.5
        side = {"": 0.0, "left": SIDE, "right": -SIDE}[unit.side]
        weights[list(PHRASES).index(unit.number)] += weight * torch.tensor([1.0, side])
    return torch.cat([weights.flatten(), torch.tensor([float(not weights.any())])])


class Material(NamedTuple):
    """The training text in numbers."""

    places: Tensor  # (vocabulary,) row of each of CLIP's tokens in the table of embeddings
    tokens: Tensor  # (N, 77) rows of that table
    targets: Tensor  # (N, E) unit vectors


def material(text: list[Example], seed: int) -> Material:
    """Tokens and targets of the training text.

    The table has UNKNOWN rows that the tokens outside the text share (a sentence's WHATEVER is
    one of them), then a row for each token of the text in CLIP's order: of its numbers the end of
    the text, where the tower reads its embedding, must stay the highest.
    """
    generator, encode = torch.Generator().manual_seed(seed), tokenizer()
    said = encode([example.sentence for example in text])
    whatever = encode([WHATEVER])[0, 1]
    known = said[said != whatever].unique()
    places = torch.arange(SIZE.vocabulary) % UNKNOWN
    places[known] = UNKNOWN + torch.arange(len(known))
    word = torch.randint(UNKNOWN, (len(text),), generator=generator)
    tokens = torch.where(said == whatever, word[:, None], places[said])

    square = nn.init.orthogonal_(torch.empty(SIZE.embed_dim, SIZE.embed_dim), generator=generator)
    unknown = torch.randn(UNKNOWN, SIZE.embed_dim, generator=generator)[word]
    alone = torch.tensor([example.annotation == WHATEVER for example in text])[:, None]
    weights = [meaning(example.annotation.replace(WHATEVER, "")) for example in text]
    units = torch.stack(weights) @ square[: len(weights[0])]
    return Material(places, tokens, F.normalize(torch.where(alone, unknown, units), dim=-1))


def batches(lengths: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Numbers of sentences of about the same length, without end."""
    while True:
        near = (lengths + 8 * torch.rand(len(lengths), generator=generator)).argsort().split(size)
        for k in torch.randperm(len(near), generator=generator).tolist():
            yield near[k]


def train(tower: nn.Module, data: Material, settings: TextSettings) -> list[float]:
    """Train a text tower; the loss at every 50th step."""
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(tower.parameters(), weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.lr, settings.steps)
    lengths, causal, curve = data.tokens.argmax(1) + 1, tower.get_buffer("attn_mask"), []
    source = batches(lengths, settings.batch_size, generator)
    for step in track(range(settings.steps), "steps", settings.steps):
        chosen = next(source)
        length = int(lengths[chosen].max())
        tower.attn_mask = causal[:length, :length]
        embedded = tower(data.tokens[chosen, :length])
        loss = 1 - F.cosine_similarity(embedded, data.targets[chosen]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        curve += [round(loss.item(), 4)] * (step % 50 == 0)
    tower.attn_mask = causal
    return curve


def make_text_tower(out: Path, settings: TextSettings) -> dict:
    """Train the text tower and write weights and card.

    Args:
        out: the weights file; the card stands beside it.
        settings: how; the defaults are those of the bundled one.

    Returns:
        The card: settings, curve, and the test of the file as it is loaded.

    Raises:
        ValueError: fewer than 10 steps, or it cannot be written.
    """
    started = time.monotonic()
    if settings.steps < 10:
        raise ValueError(f"steps is {settings.steps}; the learning rate needs 10 to rise and fall")
    count = min(settings.sentences, settings.steps * settings.batch_size)
    data = material(training_text(count, settings.seed), settings.seed)
    torch.manual_seed(settings.seed)
    tower = text_tower(replace(SIZE, vocabulary=int(data.tokens.max()) + 1))
    command = f"merclip pretrain --part text --seed {settings.seed} --steps {settings.steps}"
    card: dict = {"name": out.stem, "data": DATA, "command": command, "settings": asdict(settings)}
    card |= {"curve": train(tower, data, settings), "threads": torch.get_num_threads()}
    card["seconds"] = round(time.monotonic() - started)
    state = {f"text_encoder.{name}": tensor.half() for name, tensor in tower.state_dict().items()}
    state[f"text_encoder.{TOKENS}"] = state[f"text_encoder.{TOKENS}"][data.places]
    save_weights(out, state, {"size": asdict(SIZE), "settings": asdict(settings)})
    card["pairs"] = pair_figures(load_text_tower(Config(text_weights=str(out))))
    write_text(out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card


def pair_figures(tower: nn.Module) -> dict[str, dict]:
    """The test of a text tower, see text_pairs.yaml.

    Returns:
        By kind: number of items, share of the eight comparisons of each item that are right, share
        of items with all eight right, and the first sentences of the other items.
    """
    figures, partner = {}, torch.tensor([1, 0, 3, 2])
    others = torch.tensor([[2, 3], [2, 3], [0, 1], [0, 1]])
    for kind, items in pair_items().items():
        bank = build_text_bank(tower, tokenizer(), sum(items, []), ("{}",))
        embedded = bank.view(len(items), 4, -1)
        cosine, each = embedded @ embedded.mT, torch.arange(4)
        right = cosine[:, each, partner][..., None] > cosine[:, each[:, None], others]
        whole = right.flatten(1).all(1)
        figures[kind] = {
            "items": len(items),
            "comparisons_right": round(right.float().mean().item(), 3),
            "items_right": round(whole.float().mean().item(), 3),
            "failed": [item[0] for item, passed in zip(items, whole, strict=True) if not passed],
        }
    return figures
