"""The text tower made from text alone: its training text, its making in small, the shipped one."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from merclip_lib.__main__ import main
from merclip_lib.config import SIZES, Config
from merclip_lib.data.tasks import TASKS
from merclip_lib.text.bank import bank_of_clips, build_text_bank, clip_sentences, tokenizer
from merclip_lib.text.facs import parse
from merclip_lib.text.sentences import PHRASES, TEMPLATES, describe
from merclip_lib.weights.files import read_weights, save_weights
from merclip_lib.weights.load import build_model, bundled, load_text_tower
from merclip_lib.weights.text_tower import (
    TextSettings,
    make_text_tower,
    meaning,
    pair_figures,
)
from merclip_lib.weights.wordings import WHATEVER, four_words, pair_items, training_text

BUNDLED_TEXT = bundled("text-tiny")
SHIPPED = Config(text_weights="text-tiny")
FEW = TextSettings(sentences=400, steps=12, batch_size=32)
FEELINGS = """amused angry annoyed anxious ashamed afraid bored contemptuous cheerful delighted
depressing disgusted embarrassed excited fearful furious glad happy hate hatred hostile joy joyful
love mad miserable pain proud rage sad scared scorn shame shock shocked sorrow surprised
surprising terrified unhappy upset worried""".split()


@pytest.fixture(scope="module")
def card():
    return json.loads(BUNDLED_TEXT.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def text(card):
    """The whole training text of the shipped text tower."""
    return training_text(card["settings"]["sentences"], card["settings"]["seed"])


@pytest.fixture(scope="module")
def tower():
    return load_text_tower(SHIPPED)


def embed(tower, *sentences):
    return build_text_bank(tower, tokenizer(), sentences, ("{}",))[:, 0]


def words_of(text):
    return set(re.findall(r"[a-z]+", " ".join(text).lower()))


def test_test_has_sixty_items_of_six_kinds_each_sentence_another():
    items = [item for kind in pair_items().values() for item in kind]
    assert len(items) >= 60 and len(pair_items()) >= 6
    assert all(len(set(item)) == 4 for item in items)


def test_no_wording_of_the_test_is_in_the_training_text(text):
    tested = [sentence for kind in pair_items().values() for item in kind for sentence in item]
    refused = set().union(*map(four_words, tested))
    assert four_words("A smile!") <= refused  # also sentences of fewer than four words
    assert not [e.sentence for e in text if not refused.isdisjoint(four_words(e.sentence))]


def test_training_text_names_no_emotion(text):
    named = {name for task in TASKS.values() for name in (*task.classes, *task.label_map)}
    emotions = {name.split("/")[-1] for name in named} - {"other", "others"}
    # "depressing the corners of the lips" is the paper's phrase.
    emotions |= set(FEELINGS) - {"depressing"}
    assert not words_of(example.sentence for example in text) & emotions


def test_training_text_says_every_unit_on_every_side_in_many_ways(text):
    for number in PHRASES:
        for side in ("", "L", "R"):
            ways = {e.sentence for e in text if e.annotation == f"{side}{number}"}
            assert len(ways) > 50, (side, number)


def test_shorter_text_begins_the_longer_and_another_seed_is_another_text():
    assert training_text(50, 3) == training_text(80, 3)[:50] != training_text(50, 4)


def test_meaning_adds_units_and_sides():
    plain = {text: F.normalize(meaning(text), dim=0) for text in ("L12", "R12", "12", "4", "")}
    assert plain["L12"] @ plain["R12"] == pytest.approx(0.51 / 1.49)
    assert plain["L12"] @ plain["12"] == pytest.approx(1.49**-0.5)
    assert plain["12"] @ plain["4"] == plain["12"] @ plain[""] == 0
    torch.testing.assert_close(meaning("4+L12"), meaning("L12+4"))
    torch.testing.assert_close(meaning("4?"), meaning("4") / 2)
    torch.testing.assert_close(meaning("4 or 12"), meaning("4") + meaning("12") / 2)
    torch.testing.assert_close(meaning("51"), meaning(""))  # a head position is not said


def test_twelve_steps_write_a_text_tower_that_loads_and_the_same_one_again(tmp_path):
    out = tmp_path / "text.safetensors"
    made = make_text_tower(out, FEW)
    assert made == json.loads(out.with_suffix(".json").read_text())
    state, header = read_weights(out)
    assert header["settings"] == made["settings"] and all(
        name.startswith("text_encoder.") for name in state
    )
    assert state["text_encoder.token_embedding.weight"].shape == (49408, 64)
    assert out.stat().st_size < 2_000_000
    load_text_tower(Config(text_weights=str(out)))
    again = make_text_tower(tmp_path / "again.safetensors", FEW)
    assert again["curve"] == made["curve"] and again["pairs"] == made["pairs"]


def test_text_part_of_pretrain_refuses_what_it_cannot_use_at_once(tmp_path, capsys):
    out = tmp_path / "text.safetensors"
    assert main(["pretrain", "--part", "text", "--out", str(out), "--frames", "4"]) == 2
    assert "--part text does not use" in capsys.readouterr().err
    assert main(["pretrain", "--part", "text", "--out", str(out), "--steps", "3"]) == 2
    assert "steps is 3" in capsys.readouterr().err
    assert main(["pretrain", "--part", "text", "--out", str(tmp_path / "text.pt")]) == 2
    assert "safetensors" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_table_of_tokens_with_equal_rows_is_stored_once_and_read_whole(tmp_path):
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).half()
    table = rows[torch.arange(5000) % 3]
    save_weights(tmp_path / "t.safetensors", {"token_embedding.weight": table}, {})
    assert (tmp_path / "t.safetensors").stat().st_size < table.nbytes
    assert torch.equal(read_weights(tmp_path / "t.safetensors")[0]["token_embedding.weight"], table)
    unlike = torch.arange(20.0).view(10, 2)
    save_weights(tmp_path / "u.safetensors", {"token_embedding.weight": unlike}, {})
    assert torch.equal(
        read_weights(tmp_path / "u.safetensors")[0]["token_embedding.weight"], unlike
    )


def test_table_of_tokens_whose_places_do_not_exist_is_refused(tmp_path):
    damaged = {
        "token_embedding.weight": torch.zeros(2, 4),
        "token_embedding.weight.places": torch.tensor([0, 1, 2], dtype=torch.int32),
    }
    save_weights(tmp_path / "t.safetensors", damaged, {})
    with pytest.raises(ValueError, match="t.safetensors"):
        read_weights(tmp_path / "t.safetensors")


def test_shipped_text_tower_encodes_a_table_as_unit_vectors(tower):
    table = pd.DataFrame(
        {"clip_id": ["a", "b"], "action_units": ["4+L12", "R12"], "label": ["x", "y"]}
    )
    bank = bank_of_clips(tower, clip_sentences(table, "phrases"), np.arange(2))
    assert bank.embeddings.shape == (4, len(TEMPLATES), SIZES["merclip-tiny"].embed_dim)
    torch.testing.assert_close(bank.embeddings.norm(dim=-1), torch.ones(4, len(TEMPLATES)))
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert BUNDLED_TEXT.stat().st_size < 1_000_000


def test_shipped_text_tower_stands_beside_an_encoder_of_another_file():
    config = Config(weights="motion-four", frames=4, text_weights="text-tiny")
    built = build_model(config, classes=7)
    assert not built.report.initial and not built.report.skipped
    state, tower = read_weights(BUNDLED_TEXT)[0], load_text_tower(config)
    table = state["text_encoder.token_embedding.weight"].float()
    assert torch.equal(tower.token_embedding.weight, table)


def test_shipped_text_tower_is_as_good_as_its_card_says(tower, card):
    found = pair_figures(tower)
    for kind, figures in card["pairs"].items():
        assert found[kind]["items"] == figures["items"] == len(pair_items()[kind])
        # an item may turn on rounding
        for share in ("comparisons_right", "items_right"):
            assert abs(found[kind][share] - figures[share]) <= 1 / figures["items"] + 1e-3


def test_left_and_right_are_apart_yet_nearer_than_other_units(tower):
    phrases = [describe(f"{side}{unit}".strip()) for side in "LR " for unit in PHRASES]
    bank = build_text_bank(tower, tokenizer(), phrases).mean(1)
    left, right, both = F.normalize(bank, dim=-1).chunk(3)
    sides, one_of_both = (left * right).sum(1), (left * both).sum(1)
    units = (both @ both.T)[~torch.eye(len(both), dtype=torch.bool)]
    assert sides.max() < 0.6
    assert units.max() < sides.min()
    assert sides.max() < one_of_both.min()


def test_cosine_falls_with_the_sided_units_that_two_sentences_do_not_share(tower):
    fresh = [e for e in training_text(300, seed=77) if e.annotation != WHATEVER]
    embedded = embed(tower, *(example.sentence for example in fresh))
    sides = {"": ("left", "right"), "left": ("left",), "right": ("right",)}
    cells = [
        {(unit.number, side) for unit in parse(e.annotation) for side in sides[unit.side]}
        for e in fresh
    ]
    jaccard = [[len(a & b) / max(1, len(a | b)) for b in cells] for a in cells]
    measures = torch.stack([embedded @ embedded.T, torch.tensor(jaccard)]).flatten(1)
    assert measures.corrcoef()[0, 1] > 0.8


def test_words_it_never_read_do_not_disturb_and_differ_alone(tower):
    plain, more = embed(
        tower,
        TEMPLATES[0].format("lowering the left brow"),
        TEMPLATES[0].format("lowering the left sandwich brow"),
    )
    assert plain @ more > 0.8
    names = ("happiness", "sadness", "anger", "fear", "disgust", "surprise", "contempt")
    emotions = embed(tower, *map(TEMPLATES[0].format, names))
    cosine = (emotions @ emotions.T)[~torch.eye(len(names), dtype=torch.bool)]
    assert cosine.max() < 0.9
