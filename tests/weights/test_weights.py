"""Weights files: round trips, layouts of others, and files that must be refused."""

import pickle
from dataclasses import asdict, replace

import pytest
import torch

from merclip_lib.config import SIZES, Config
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text.bank import text_tower
from merclip_lib.weights.adapt import load_into, resize_positions
from merclip_lib.weights.files import read_weights, save_weights
from merclip_lib.weights.key_layouts import recognise
from merclip_lib.weights.load import (
    BUNDLED,
    build_model,
    bundled,
    load_text_tower,
    text_file,
    weights_file,
)

TINY = replace(
    SIZES["merclip-tiny"],
    resolution=16,
    patch=4,
    frames=4,
    width=24,
    heads=3,
    layers=2,
    embed_dim=16,
    token_dim=16,
    global_layers=(1,),
    text_width=16,
    text_layers=1,
    text_heads=2,
)
close = torch.testing.assert_close


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def image_tower():
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(3)
    return VisionTransformer(
        image_size=16,
        patch_size=4,
        width=24,
        layers=2,
        heads=3,
        mlp_ratio=4.0,
        output_dim=16,
        act_layer=QuickGELU,
    )


def clip_state():
    """A whole CLIP state in OpenAI's layout: `visual.*`, text keys at the root."""
    state = {f"visual.{name}": t for name, t in image_tower().state_dict().items()}
    state |= text_tower(TINY).state_dict()
    return state | {"logit_scale": torch.tensor(4.6)}


def test_round_trip_with_header(tmp_path):
    torch.manual_seed(0)
    state = MERCLIP(TINY, 3).state_dict()
    header = {"size": asdict(TINY), "step": 7}
    path = tmp_path / "new" / "folder" / "w.safetensors"
    save_weights(path, state, header)
    read, found = read_weights(path)
    assert found["step"] == 7 and found["size"]["width"] == 24
    assert tuple(found["size"]["global_layers"]) == TINY.global_layers
    assert set(found["size"]) == set(asdict(TINY))
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype, name
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
    ],
)
def test_torch_files(tmp_path, wrap):
    state = {"a.weight": noise(2, 3), "b": noise(4)}
    torch.save(wrap(state), tmp_path / "w.pt")
    read, header = read_weights(tmp_path / "w.pt")
    assert header == {} and read.keys() == state.keys()
    assert torch.equal(read["a.weight"], state["a.weight"])


def refused(path, message):
    """Reading must fail with one sentence that begins with the file."""
    with pytest.raises(ValueError, match=message) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_absent_file(tmp_path):
    refused(tmp_path / "w.safetensors", "no such weights file")
    refused(tmp_path, "no such weights file")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99])
def test_damaged_file(tmp_path, suffix, damage):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save({"a": noise(50)}, path)
    else:
        save_weights(path, {"a": noise(50)}, {})
    path.write_bytes(damage(path.read_bytes()))
    refused(path, "cannot be read as weights.*fetch it again")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], noise(3), {}])
def test_file_without_a_state(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "holds no state dict of tensors")


class Evil:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return exec, (f"open({str(self.target)!r}, 'w').close()",)


@pytest.mark.parametrize("write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o, 2))])
def test_code_in_a_file_is_not_run(tmp_path, write):
    path, target = tmp_path / "w.pt", tmp_path / "ran"
    write({"state_dict": Evil(target)}, path)
    refused(path, "cannot be read as weights")
    assert not target.exists()
    with path.open("rb") as file:  # the file is dangerous indeed
        if write is not torch.save:
            pickle.load(file)
            assert target.exists()


def test_image_tower_is_inflated():
    tower = image_tower()
    encoder = VideoEncoder(TINY)
    report = load_into(encoder, tower.state_dict(), "clip.pt")
    assert report.inflated == ["conv1.weight"] and report.resized == []
    assert {"ln_post.weight", "ln_post.bias"} == set(report.skipped)
    assert "transformer.resblocks.1.attn.in_proj_weight" in report.loaded
    assert not any(".attn." in n for n in report.initial if "resblocks" in n)
    assert {"transformer.balance", "to_cls_decoder.weight"} <= set(report.initial)
    all_names = report.loaded + report.inflated + report.resized + report.initial
    assert sorted(all_names) == sorted(encoder.state_dict())
    assert str(report).startswith("clip.pt: ") and "1 inflated" in str(report)
    kernel = encoder.conv1.weight
    assert torch.equal(kernel[:, :, 1], tower.conv1.weight)
    assert kernel[:, :, [0, 2]].abs().max() == 0


def test_one_tap_sums_the_three():
    encoder = VideoEncoder(TINY)
    still = VideoEncoder(replace(TINY, temporal_downsample=False, lmhra=0, global_layers=()))
    report = load_into(still, encoder.state_dict(), "ours")
    assert report.resized == ["conv1.weight"] and report.initial == []
    assert any("lmhra1" in name for name in report.skipped)
    static = noise(2, 3, 1, 16, 16).expand(-1, -1, 4, -1, -1)
    inner = encoder.stem(static)[:, 1]  # the first time position looks at padding
    close(still.stem(static)[:, 1], inner, atol=1e-5, rtol=1e-5)


def test_positions_of_another_resolution():
    large = VideoEncoder(replace(TINY, resolution=32))
    report = load_into(large, VideoEncoder(TINY).state_dict(), "ours")
    assert report.resized == ["positional_embedding"] and report.initial == []
    positions = noise(17, 6)
    close(resize_positions(positions, 17), positions)
    resized = resize_positions(positions, 65)
    assert resized.shape == (65, 6) and torch.equal(resized[0], positions[0])
    flat = torch.cat([positions[:1], torch.full((16, 6), 2.5)])
    close(resize_positions(flat, 65)[1:], torch.full((64, 6), 2.5))
    slope = torch.arange(4.0).repeat(4)[:, None]  # rises along columns
    grid = resize_positions(torch.cat([torch.zeros(1, 1), slope]), 65)[1:].view(8, 8)
    assert (grid.diff(dim=1)[:, 1:-1] > 0).all() and grid.diff(dim=0).abs().max() < 1e-6


def test_weights_of_another_size_are_refused():
    state = VideoEncoder(TINY).state_dict()
    with pytest.raises(ValueError, match=r"big.pt: .* has shape .*the network wants .*`size`"):
        load_into(VideoEncoder(replace(TINY, width=30)), state, "big.pt")


@pytest.mark.parametrize("length, note", [(32, "positions 33 to 77"), (90, "first 77 of 90")])
def test_sentences_of_another_length(length, note):
    """ViCLIP's text tower has 32 positions; the authors' program fills it with zeros to 77."""
    state = text_tower(replace(TINY, context_length=length)).state_dict()
    tower = text_tower(TINY)
    report = load_into(tower, state, "other.pt")
    assert report.resized == ["positional_embedding"] and report.initial == []
    assert note in report.notes[0] and note in report.table()
    kept = min(length, 77)
    positions = tower.positional_embedding
    assert torch.equal(positions[:kept], state["positional_embedding"][:kept])
    assert positions[kept:].abs().sum() == 0


def test_towers_of_both_layouts():
    checkpoint = recognise(clip_state(), "f")
    vision, text = checkpoint.vision, checkpoint.text
    assert "conv1.weight" in vision and "positional_embedding" in vision
    assert vision["positional_embedding"].shape == (17, 24)
    assert text["positional_embedding"].shape == (77, 16)
    assert text.keys() == text_tower(TINY).state_dict().keys()
    ours = {f"vision_encoder.{k}": v for k, v in vision.items()}
    ours |= {f"text_encoder.{k}": v for k, v in text.items()}
    again = recognise(ours | {"cls_head.norm.weight": noise(3)}, "f")
    assert again.vision.keys() == vision.keys() and again.text.keys() == text.keys()


@pytest.fixture
def tiny_size(monkeypatch):
    monkeypatch.setitem(SIZES, "merclip-tiny", TINY)


def test_network_from_a_clip_file(tmp_path, tiny_size):
    state = clip_state()
    torch.save(state, tmp_path / "clip.pt")
    config = Config(weights=str(tmp_path / "clip.pt"), frames=4)
    model, report = build_model(config, 5)
    assert report.source == "clip.pt" and report.inflated == ["conv1.weight"]
    assert model.logit_scale.item() == pytest.approx(4.6)
    assert torch.equal(model.vision_encoder.class_embedding, state["visual.class_embedding"])
    tower = load_text_tower(config)
    assert torch.equal(tower.text_projection, state["text_projection"])
    assert not tower.training and not any(p.requires_grad for p in tower.parameters())


def test_network_without_pretraining_follows_the_seed(tiny_size):
    config = Config(pretrained=False, frames=4, weights="nowhere.pt")
    first, report = build_model(config, 5)
    assert report is None
    for seed, same in ((0, True), (1, False)):
        other, _ = build_model(replace(config, seed=seed), 5)
        assert torch.equal(other.vision_encoder.proj, first.vision_encoder.proj) == same


def test_file_that_lacks_a_tower(tmp_path, tiny_size):
    checkpoint = recognise(clip_state(), "f")
    vision, text = checkpoint.vision, checkpoint.text
    torch.save({f"visual.{k}": v for k, v in vision.items()}, tmp_path / "vision.pt")
    torch.save(text, tmp_path / "text.pt")
    config = Config(weights=str(tmp_path / "vision.pt"), frames=4)
    with pytest.raises(ValueError, match="vision.pt: no text tower"):
        load_text_tower(config)
    with pytest.raises(ValueError, match="text.pt: no video or image encoder"):
        build_model(replace(config, weights=str(tmp_path / "text.pt")), 5)


def test_the_papers_sizes_need_a_file():
    with pytest.raises(ValueError, match="size ViT-B-16 needs `weights`"):
        weights_file(Config(size="ViT-B-16"))
    assert weights_file(Config()) == BUNDLED


def test_encoders_that_come_with_us_are_known_by_name():
    assert weights_file(Config(frames=4)) == bundled("motion-four")
    assert weights_file(Config(temporal=False, frames=4)) == bundled("motion-frames")
    assert weights_file(Config(weights="motion-four")) == bundled("motion-four")
    assert text_file(Config()) == text_file(Config(weights="motion")) == bundled("text-tiny")
    given = Config(weights=str(BUNDLED))
    assert weights_file(given) == BUNDLED and text_file(given) == bundled("text-tiny")
