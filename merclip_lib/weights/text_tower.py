"""Making the tiny text tower from text alone: the part that CLIP's text tower has in the paper.

The tower learns what a sentence says, whoever says it: its embedding is drawn towards the sum of
fixed, orthogonal directions of the units it names, e for the unit and s for its side:

    t = sum over units of w (e + 0.7 k s),   k = 1 left, -1 right, 0 both,   loss = 1 - cos(t, tower)

so the cosine of two sentences falls with the units and sides that they do not share: left and right
of one unit have 0.34, one side and both 0.82, two units 0. No picture and no emotion is looked at.
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
from merclip_lib.text.sentences import PHRASES, TEMPLATES, describe, is_mentioned
from merclip_lib.weights.files import save_weights
from merclip_lib.weights.load import BUNDLED, load_text_tower
from merclip_lib.weights.wordings import Example, pair_items, training_text

SIZE = SIZES["merclip-tiny"]
UNKNOWN = 512  # embeddings that the words outside the training text share
SIDE = 0.7  # length of a side's direction, where the unit's is 1
BUNDLED_TEXT = BUNDLED.with_name("text-tiny.safetensors")


@dataclass(frozen=True)
class TextSettings:
    """How the text tower was made; stored in its header."""

    sentences: int = 100_000
    steps: int = 2000
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 0.01
    unknown: float = 0.2  # share of the sentences that get an unknown word
    alone: float = 0.3  # share of these that have nothing but the unknown word
    seed: int = 0


class Frame(NamedTuple):
    """The directions towards which sentences are drawn."""

    units: Tensor  # (2 units + 1, E) orthogonal: unit, its side, ..., nothing moves
    unknown: Tensor  # (UNKNOWN, E) unit vectors


def make_frame(generator: torch.Generator) -> Frame:
    """Directions drawn anew."""
    square = nn.init.orthogonal_(torch.empty(SIZE.embed_dim, SIZE.embed_dim), generator=generator)
    unknown = torch.randn(UNKNOWN, SIZE.embed_dim, generator=generator)
    return Frame(square[: 2 * len(PHRASES) + 1], F.normalize(unknown, dim=-1))


def meaning(annotation: str) -> Tensor:
    """Weights (2 units + 1,) of an annotation's directions: `maybe` halves, `or` shares."""
    weights, numbers = torch.zeros(len(PHRASES), 2), list(PHRASES)
    groups: list[list] = []
    for unit in filter(is_mentioned, parse(annotation)):
        groups = groups if unit.qualifier.startswith("or") and groups else [*groups, []]
        groups[-1].append(unit)
    for group in groups:
        for unit in group:
            weight = (0.5 if unit.qualifier.endswith("maybe") else 1.0) / len(group)
            side = {"": 0.0, "left": SIDE, "right": -SIDE}[unit.side]
            weights[numbers.index(unit.number)] += weight * torch.tensor([1.0, side])
    return torch.cat([weights.flatten(), torch.tensor([0.0 if groups else 1.0])])


class Material(NamedTuple):
    """The training text in numbers."""

    tokens: Tensor  # (N, 77) rows of the table of tokens
    targets: Tensor  # (N, E) unit vectors
    templates: Tensor  # (templates, 77) the same of empty templates
    unknown: Tensor  # (UNKNOWN, E) unit vectors


def token_places(tokens: Tensor) -> Tensor:
    """The row of each of CLIP's tokens: UNKNOWN shared ones, then one for each token of the text.

    In the order of CLIP's numbers, of which the end of the text, where the tower reads its
    embedding, is the highest.
    """
    known = tokens.unique()
    places = torch.arange(SIZE.vocabulary) % UNKNOWN
    places[known] = UNKNOWN + torch.arange(len(known))
    return places


def insert_unknown(
    chosen: Tensor, material: Material, settings: TextSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sentences and targets of a batch, an unknown word put into some sentences and templates.

    Args:
        chosen: (N,) numbers of sentences.
        material: the training text.
        settings: the shares.
        generator: the source of the draws.

    Returns:
        Rows of the table of tokens (N, S), S the longest sentence, and unit vectors (N, E).
    """
    count, drawn = len(chosen), torch.rand(len(chosen), generator=generator)
    alone = (drawn < settings.unknown * settings.alone)[:, None]
    template = torch.randint(len(material.templates), (count,), generator=generator)
    tokens = torch.where(alone, material.templates[template], material.tokens[chosen])
    word = torch.randint(UNKNOWN, (count,), generator=generator)
    targets = torch.where(alone, material.unknown[word], material.targets[chosen])
    end, column = tokens.argmax(1), torch.arange(tokens.shape[1])
    anywhere = 1 + (torch.rand(count, generator=generator) * end).long()
    place = torch.where(alone[:, 0], end - 1, anywhere)[:, None]  # alone: before the full stop
    moved = tokens.gather(1, column - (column > place).long()).scatter(1, place, word[:, None])
    some = (drawn < settings.unknown) & (end + 1 < tokens.shape[1])
    tokens = torch.where(some[:, None], moved, tokens)
    return tokens[:, : tokens.argmax(1).max() + 1], targets


def batches(lengths: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Numbers of sentences of about the same length, without end."""
    while True:
        near = (lengths + 8 * torch.rand(len(lengths), generator=generator)).argsort().split(size)
        for k in torch.randperm(len(near), generator=generator).tolist():
            yield near[k]


def train(tower: nn.Module, material: Material, settings: TextSettings) -> list[float]:
    """Train a text tower on its material; the loss at every 50th step."""
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(tower.parameters(), weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.lr, settings.steps)
    source = batches(material.tokens.argmax(1), settings.batch_size, generator)
    causal, curve = tower.attn_mask, []
    for step in track(range(settings.steps), "steps", settings.steps):
        tokens, targets = insert_unknown(next(source), material, settings, generator)
        tower.attn_mask = causal[: tokens.shape[1], : tokens.shape[1]]
        loss = 1 - F.cosine_similarity(tower(tokens), targets).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        curve += [round(loss.item(), 4)] * (step % 50 == 0)
    tower.attn_mask = causal
    return curve


def make_text_tower(out: Path = BUNDLED_TEXT, settings: TextSettings | None = None) -> dict:
    """Train the text tower and write weights and card.

    Args:
        out: the weights file; the card stands beside it.
        settings: how; by default as the bundled one was made.

    Returns:
        The card: settings, curve, and the figures of the file as it is loaded.

    Raises:
        ValueError: a file cannot be written.
    """
    settings, started = settings or TextSettings(), time.monotonic()
    torch.manual_seed(settings.seed)
    text, encode = training_text(settings.sentences, settings.seed), tokenizer()
    said = encode([example.sentence for example in text])
    frame, places = make_frame(torch.Generator().manual_seed(settings.seed)), token_places(said)
    tower = text_tower(replace(SIZE, vocabulary=int(places.max()) + 1))
    targets = torch.stack([meaning(example.annotation) for example in text]) @ frame.units
    templates = places[encode([template.format("") for template in TEMPLATES])]
    material = Material(places[said], F.normalize(targets, dim=-1), templates, frame.unknown)
    curve = train(tower, material, settings)
    state = {f"text_encoder.{name}": tensor.half() for name, tensor in tower.state_dict().items()}
    state["text_encoder.token_embedding.weight"] = tower.token_embedding.weight.half()[places]
    card = {
        "name": out.stem,
        "data": "text alone: text_words.yaml and the library's sentences, no picture, no emotion",
        "settings": asdict(settings),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - started),
    }
    save_weights(out, state, {"size": asdict(SIZE), **card})
    shipped = load_text_tower(Config(text_weights=str(out)))
    fresh = training_text(400, settings.seed + 1)
    card |= {"tokens": int(places.max()) + 1 - UNKNOWN, "curve": curve}
    card |= {"pairs": pair_figures(shipped), "geometry": geometry(shipped, fresh)}
    write_text(out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card


def _embed(tower: nn.Module, sentences: list[str]) -> Tensor:
    """Unit vectors (N, E) of sentences as they stand."""
    return build_text_bank(tower, tokenizer(), sentences, ("{}",))[:, 0]


def pair_figures(tower: nn.Module) -> dict[str, dict]:
    """The test of a text tower, see text_pairs.yaml.

    Returns:
        By kind: number of items, share of the eight comparisons of each item that are right, share
        of items with all eight right, and the first sentences of the other items.
    """
    figures, partner = {}, torch.tensor([1, 0, 3, 2])
    others = torch.tensor([[2, 3], [2, 3], [0, 1], [0, 1]])
    for kind, items in pair_items().items():
        embedded = _embed(tower, sum(items, [])).unflatten(0, (len(items), 4))
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


def geometry(tower: nn.Module, fresh: list[Example]) -> dict[str, float]:
    """How the embeddings lie.

    Args:
        tower: the text tower.
        fresh: sentences that it was not trained on.

    Returns:
        Mean and greatest cosine of left and right of one unit, of one side and both, of two units
        (phrases, mean over the templates); rank correlation of the cosine of fresh sentences with
        the Jaccard index of their sided units.
    """
    bank = build_text_bank(tower, tokenizer(), [describe(f"{s}{u}") for s in "LR " for u in PHRASES])
    left, right, both = F.normalize(bank.mean(1), dim=-1).chunk(3)
    sides, whole = (left * right).sum(1), (left * both).sum(1)
    units = (both @ both.T)[~torch.eye(len(both), dtype=torch.bool)]
    pairs = {"left_right": sides, "side_both": whole, "two_units": units}
    figures = {f"{name}_mean": cosine.mean().item() for name, cosine in pairs.items()}
    figures |= {f"{name}_greatest": cosine.max().item() for name, cosine in pairs.items()}
    embedded = _embed(tower, [example.sentence for example in fresh])
    cells = [_sided_units(example.annotation) for example in fresh]
    jaccard = [len(a & b) / max(1, len(a | b)) for a in cells for b in cells]
    both_measures = torch.stack([(embedded @ embedded.T).flatten(), torch.tensor(jaccard)])
    figures["jaccard_correlation"] = both_measures.corrcoef()[0, 1].item()
    return {name: round(figure, 3) for name, figure in figures.items()}


def _sided_units(annotation: str) -> set[tuple[int, str]]:
    """Number and side of all that moves; both sides are two."""
    sides = {"": ("left", "right"), "left": ("left",), "right": ("right",)}
    return {(unit.number, side) for unit in parse(annotation) for side in sides[unit.side]}
