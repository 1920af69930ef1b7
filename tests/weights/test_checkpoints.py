"""Published key layouts: each, under its own names, must give the outputs it was saved with."""

import json
import sys
import types
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import tiny_runs
import torch
from golden_size import SMALL
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from whole_checkpoint import load_checkpoint

from merclip_lib.__main__ import main
from merclip_lib.config import SIZES, Config
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.head import EmotionInference
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text.bank import text_tower
from merclip_lib.weights import key_layouts
from merclip_lib.weights import published as published_weights
from merclip_lib.weights.files import read_weights, save_weights
from merclip_lib.weights.inspect import dry_run, inspect_file
from merclip_lib.weights.load import (
    build_model,
    load_text_tower,
    load_vision,
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
    global_layers=(0, 1),
    text_width=16,
    text_layers=1,
    text_heads=2,
)
CONFIG = Config(task="synthme-7", frames=4)
close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


@pytest.fixture(autouse=True)
def tiny_sizes(monkeypatch):
    """Small networks under the names of the big ones."""
    monkeypatch.setitem(SIZES, "merclip-tiny", TINY)
    published_weights.fetch.cache_clear()


def randomised(module, seed=0):
    """Every parameter and running statistic random, so that each counts in the output."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(0, 0.3, generator=generator)
            if "running_var" in name:
                tensor.abs_().add_(0.5)
            if ".ln_" in name or name.startswith("ln_") or "norm.weight" in name:
                tensor.add_(1.0)
    return module.eval()


def noise(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def video(size=TINY, clips=2):
    return noise(clips, 3, size.frames, size.resolution, size.resolution)


def ids(length=12):
    numbers = torch.zeros(3, 77, dtype=torch.long)
    numbers[:, :length] = torch.randint(1, 900, (3, length), generator=torch.Generator())
    numbers[:, length] = 49407  # end of the sentence
    return numbers


def same_state(found, expected):
    """Every tensor of `expected` bit for bit; outputs may differ in the last bits by processor."""
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def saved(path, content):
    torch.save(content, path)
    return str(path)


def uniformerv2(encoder, last_norm):
    """An encoder's state under UniFormerV2's names, without what MER-CLIP adds to it."""
    ours = ("proj", "ln_post1.", "to_cls_decoder.", "ln_final.")
    return {
        name.replace("transformer.norm", last_norm): tensor
        for name, tensor in encoder.state_dict().items()
        if not name.startswith(ours)
    }


def original_names(layers, blocks, lmhra=("lmhra1", "lmhra2")):
    """What UniFormerV2's published program calls its parameters."""

    def pair(*stems):
        return [f"{stem}.{kind}" for stem in stems for kind in ("weight", "bias")]

    attention = [
        "attn.in_proj_weight",
        "attn.in_proj_bias",
        *pair("attn.out_proj", "mlp.c_fc", "mlp.c_proj", "ln_1", "ln_2"),
    ]
    names = ["conv1.weight", "class_embedding", "positional_embedding", *pair("ln_pre")]
    for i in range(layers):
        block = list(attention)
        for module in lmhra:
            block += pair(*[f"{module}.pos_embed.{k}" for k in range(4)])
            statistics = ("running_mean", "running_var", "num_batches_tracked")
            block += [f"{module}.pos_embed.0.{kind}" for kind in statistics]
        names += [f"transformer.resblocks.{i}.{name}" for name in block]
    for j in range(blocks):
        names += [f"transformer.dec.{j}.{name}" for name in attention + pair("ln_3")]
        names += pair(f"transformer.dpe.{j}")
    names += ["transformer.temporal_cls_token", "transformer.balance"]
    return names + pair("transformer.proj.0", "transformer.proj.2")


def classifier(stem, classes=400):
    return {f"{stem}.weight": noise(classes, TINY.width), f"{stem}.bias": noise(classes)}


@pytest.mark.parametrize("layout", ["UniFormerV2", "UniFormerV2 (OpenMMLab)"])
def test_uniformerv2(tmp_path, layout):
    source = randomised(VideoEncoder(TINY))
    if layout == "UniFormerV2":
        state = uniformerv2(source, "transformer.proj.0") | classifier("transformer.proj.2")
        assert sorted(state) == sorted(original_names(2, 2))
        content = {f"backbone.{name}": tensor for name, tensor in state.items()}
        skipped = ["transformer.proj.2.bias", "transformer.proj.2.weight"]
    else:
        state = uniformerv2(source, "transformer.norm")
        state = {f"backbone.{name}": t for name, t in state.items()} | classifier("cls_head.fc_cls")
        content = {"meta": {"epoch": 55, "dataset_meta": None}, "state_dict": state}
        skipped = ["cls_head.fc_cls.bias", "cls_head.fc_cls.weight"]
    config = replace(CONFIG, weights=saved(tmp_path / "u.pyth", content))
    _, report = build_model(config, 5)
    assert 'normalisation="imagenet"' in report.notes[0]
    model, report = build_model(replace(config, normalisation="imagenet"), 5)
    assert report.layout == layout and report.notes == []
    assert sorted(report.skipped) == skipped
    assert {name.split(".")[0] for name in report.initial} == {
        "proj",
        "ln_post1",
        "to_cls_decoder",
        "ln_final",
    }
    encoder, loaded = model.eval().vision_encoder, source.state_dict()
    same_state(encoder.state_dict(), {name: loaded[name] for name in report.loaded})
    close(encoder(video()).o, source(video()).o)


def test_kinetics_model_with_fewer_global_blocks(tmp_path):
    """No LMHRA, one tap, one global block at the end: the same answer to a clip at rest."""
    plain = replace(TINY, temporal_downsample=False, frames=2, lmhra=0, global_layers=(1,))
    source = randomised(VideoEncoder(plain))
    state = uniformerv2(source, "transformer.proj.0") | classifier("transformer.proj.2")
    assert sorted(state) == sorted(original_names(2, 1, lmhra=()))
    path = saved(tmp_path / "k400.pyth", {"model_state": state})
    config = replace(CONFIG, weights=path, normalisation="imagenet")
    model, report = build_model(config, 5)
    assert report.notes == ["1 global blocks in the file, 2 here: matched from the last one"]
    assert report.inflated == ["conv1.weight"]
    assert "transformer.dec.0.attn.in_proj_weight" in report.initial
    assert "transformer.dec.1.attn.in_proj_weight" in report.loaded
    assert "transformer.dpe.1.weight" in report.loaded
    still = noise(2, 3, 1, 16, 16)
    found = model.eval().vision_encoder(still.expand(-1, -1, 4, -1, -1)).o
    close(found, source(still.expand(-1, -1, 2, -1, -1)).o)


def test_more_global_blocks_than_here():
    small = VideoEncoder(replace(TINY, global_layers=(1,)))
    state = VideoEncoder(TINY).state_dict()
    report = load_vision(small, key_layouts.recognise(state, "f"), "f")
    assert "transformer.dec.0.attn.in_proj_weight" in report.skipped
    assert torch.equal(small.transformer.dec[0].ln_3.weight, state["transformer.dec.1.ln_3.weight"])
    close(small.transformer.dpe[0].weight.detach(), state["transformer.dpe.1.weight"])


def viclip_state(vision, text):
    """An image tower and a text tower under ViCLIP's names: one tap, positions in time, `temp`."""
    state = {f"vision_encoder.{name}": tensor for name, tensor in vision.items()}
    state["vision_encoder.conv1.weight"] = vision["conv1.weight"][:, :, None]
    state["vision_encoder.temporal_positional_embedding"] = noise(1, 8, TINY.width)
    state |= {f"text_encoder.{name}": tensor for name, tensor in text.items()}
    return state | {"temp": torch.tensor(0.01)}


def test_viclip_text_tower(tmp_path):
    source = randomised(text_tower(replace(TINY, context_length=32)))
    vision = open_clip_model().visual.state_dict()
    path = saved(tmp_path / "viclip.pth", {"model": viclip_state(vision, source.state_dict())})
    config = replace(CONFIG, weights="elsewhere.pt", text_weights=path)
    tower = load_text_tower(config)
    sentences = ids(length=20)
    close(tower(sentences), source(sentences[:, :32]))
    model, report = build_model(replace(CONFIG, weights=path), 5)
    assert report.layout == "ViCLIP" and report.inflated == ["conv1.weight"]
    assert "temporal_positional_embedding" in report.skipped
    assert model.logit_scale.item() == pytest.approx(np.log(100))
    found = inspect_file(tmp_path / "viclip.pth")
    assert found["sizes"]["vision"]["frames"] == 8
    assert found["sizes"]["text"]["context_length"] == 32


def open_clip_model():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=2, width=24, head_width=8, patch_size=4, image_size=16)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=16, heads=2, layers=1)
    return randomised(CLIP(16, vision, text, quick_gelu=True))


@pytest.mark.parametrize("kind", ["open_clip", "openai"])
def test_clip(tmp_path, kind):
    clip = open_clip_model()
    state, tolerance = clip.state_dict(), 1e-5
    if kind == "openai":  # half precision, and three sizes beside the weights
        state = {name: tensor.half() for name, tensor in state.items()}
        state |= {
            "input_resolution": torch.tensor(16),
            "context_length": torch.tensor(77),
            "vocab_size": torch.tensor(49408),
        }
        clip.load_state_dict(state, strict=False)
    path = saved(tmp_path / "clip.pt", state)
    config = replace(CONFIG, weights=path, temporal=False)
    model, report = build_model(config, 5)
    assert report.layout == "CLIP" and report.inflated == ["conv1.weight"]
    skipped = {"ln_post.weight", "ln_post.bias"}
    if kind == "openai":
        skipped |= {"input_resolution", "context_length", "vocab_size"}
    assert set(report.skipped) - {"attn_mask"} == skipped
    caught = []
    clip.visual.transformer.register_forward_hook(lambda *call: caught.append(call[-1]))
    frames = video()[:, :, 0]
    clip.encode_image(frames)
    still = frames[:, :, None].expand(-1, -1, 4, -1, -1)
    encoded = model.eval().vision_encoder(still)
    close(encoded.o, caught[0][:, 0], atol=tolerance, rtol=tolerance)
    close(encoded.patches[:, 1], caught[0][:, 1:], atol=tolerance, rtol=tolerance)
    tower = load_text_tower(config)
    close(tower(ids()), clip.encode_text(ids()), atol=tolerance, rtol=tolerance)


def test_towers_alone(tmp_path):
    clip = open_clip_model()
    path = saved(tmp_path / "vision.pth", clip.visual.state_dict())
    _, report = build_model(replace(CONFIG, weights=path), 5)
    assert report.layout == "image tower"
    source = randomised(text_tower(TINY))
    for prefix in ("", "text_encoder."):
        state = {prefix + name: tensor for name, tensor in source.state_dict().items()}
        config = replace(CONFIG, text_weights=saved(tmp_path / "text.pth", state))
        tower = load_text_tower(config)
        same_state(tower.state_dict(), source.state_dict())
        close(tower(ids()), source(ids()))
        with pytest.raises(ValueError, match=r"text.pth: no video or image encoder"):
            build_model(replace(CONFIG, weights=config.text_weights), 5)


def trained(classes=5, seed=0, **sizes):
    """A whole network with random weights, text tower included."""
    model = MERCLIP(replace(TINY, **sizes), classes)
    model.text_encoder = text_tower(TINY)
    return randomised(model, seed)


def test_reference_checkpoint(tmp_path):
    source = trained()
    state = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    path = saved(tmp_path / "epoch_60.pth", {"meta": {"epoch": 60}, "state_dict": state})
    model = trained(seed=1)
    report = load_checkpoint(model, path)
    assert report.layout == "MER-CLIP" and report.initial == report.skipped == report.notes == []
    assert sorted(report.loaded) == sorted(model.state_dict())
    same_state(model.state_dict(), source.state_dict())
    expected, found = source(video()), model(video())
    close(found.z, expected.z)
    close(found.logits, expected.logits)
    close(model.text_encoder(ids()), source.text_encoder(ids()))
    without = MERCLIP(TINY, 5)  # as trained here: the bank of sentences stands for the text tower
    report = load_checkpoint(without, path)
    assert all(name.startswith("text_encoder.") for name in report.skipped)


@pytest.mark.parametrize("change", [{"classes": 7}, {"eim_layers": 1}])
def test_classifier_of_another_task_is_left(tmp_path, change):
    path = saved(tmp_path / "w.pth", trained().state_dict())
    model = trained(seed=1, **change)
    before = {name: tensor.clone() for name, tensor in model.cls_head.state_dict().items()}
    report = load_checkpoint(model, path)
    for name, tensor in model.cls_head.state_dict().items():
        assert torch.equal(tensor, before[name]) and f"cls_head.{name}" in report.initial
    assert "classifier left at its start: 5 classes in the file" in report.notes[0]
    close(model(video()).z, trained()(video()).z)


def test_ours_with_header(tmp_path):
    source, path = trained(), tmp_path / "ours.safetensors"
    header = {"name": "mine", "size": asdict(TINY)}
    save_weights(path, source.state_dict(), header)
    found = inspect_file(path, "merclip-tiny")
    assert found["header"] == json.loads(json.dumps(header)) and found["size"] == "merclip-tiny"
    assert found["sizes"]["head"] == {"width": 16, "layers": 2, "classes": 5}
    count = sum(p.numel() for p in source.vision_encoder.parameters())
    buffers = sum(b.numel() for b in source.vision_encoder.buffers())
    assert found["parameters"]["vision"] == count + buffers
    assert found["report"].initial == [] and found["report"].skipped == []


WRAPS = st.lists(st.sampled_from(key_layouts.WRAPPERS), max_size=3)
PREFIXES = st.lists(st.sampled_from(key_layouts.PREFIXES), max_size=3)
LAYOUT_STATES = {
    "MER-CLIP": ["vision_encoder.conv1.weight", "text_encoder.ln_final.bias", "cls_head.a"],
    "CLIP": ["visual.class_embedding", "token_embedding.weight", "logit_scale"],
    "UniFormerV2": ["conv1.weight", "class_embedding", "transformer.proj.0.weight"],
    "UniFormerV2 (OpenMMLab)": ["conv1.weight", "class_embedding", "transformer.norm.weight"],
    "ViCLIP": ["vision_encoder.conv1.weight", "text_encoder.ln_final.bias", "temp"],
    "image tower": ["conv1.weight", "class_embedding", "ln_pre.bias"],
    "text tower": ["token_embedding.weight", "text_projection"],
    "video encoder": ["conv1.weight", "class_embedding", "to_cls_decoder.weight"],
}


@given(st.sampled_from(sorted(LAYOUT_STATES)), WRAPS, PREFIXES)
@settings(deadline=None)
def test_wrappers_and_prefixes(layout, wraps, prefixes):
    state = {name: torch.ones(1) for name in LAYOUT_STATES[layout]}
    content = {"".join(prefixes) + name: tensor for name, tensor in state.items()}
    for wrap in wraps:
        content = {"epoch": 3, wrap: content, "note": "x"}
    found = key_layouts.unwrap(content, "f")
    assert found.keys() == state.keys()
    assert key_layouts.recognise(found, "f").layout == layout
    assert set(LAYOUT_STATES) == set(key_layouts.LAYOUTS)


def test_unknown_layouts():
    for names in (["a.weight", "b.weight"], ["visual.layer1.0.conv1.weight"], ["vision_model.x"]):
        state = {name: torch.ones(1) for name in names}
        with pytest.raises(ValueError, match=r"^f: its \d names") as caught:
            key_layouts.recognise(state, "f")
        assert names[0] in str(caught.value)
        assert all(layout in str(caught.value) for layout in key_layouts.LAYOUTS)


def test_two_networks_in_one_file():
    with pytest.raises(ValueError, match=r"^f: holds a.weight twice"):
        key_layouts.unwrap({"a.weight": torch.ones(1), "module.a.weight": torch.ones(1)}, "f")


def meta_state(size, tower=VideoEncoder):
    with torch.device("meta"):
        return tower(size).state_dict()


def test_another_size_is_named():
    large = key_layouts.recognise(meta_state(SIZES["ViT-L-14"]), "large.pt")
    with pytest.raises(ValueError, match=r"width 1024 .*choose size ViT-L-14") as caught:
        dry_run(large, "ViT-B-16", "large.pt")
    assert "layers 24 (the network: 12)" in str(caught.value)
    text = key_layouts.recognise(meta_state(SIZES["ViT-L-14"], text_tower), "text.pt")
    with pytest.raises(ValueError, match=r"text tower has width 768 .*embed_dim 768 \(.* 512\)"):
        dry_run(text, "ViT-B-16", "text.pt")
    halved = meta_state(replace(SIZES["ViT-B-16"], lmhra_reduction=2.0))
    with pytest.raises(ValueError, match=r"lmhra_reduction 2.0 \(the network: 1.5\)"):
        dry_run(key_layouts.recognise(halved, "u.pyth"), "ViT-B-16", "u.pyth")


def test_text_tower_of_another_width_stops_a_run(tmp_path):
    source = text_tower(replace(TINY, embed_dim=20))
    path = saved(tmp_path / "text.pt", source.state_dict())
    with pytest.raises(ValueError, match=r"text.pt: its text tower has embed_dim 20"):
        load_text_tower(replace(CONFIG, text_weights=path))


def test_counts_at_the_papers_size():
    """Of open_clip's image tower 149 tensors fit as they are, 1 is inflated, 2 have no place."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    with torch.device("meta"):
        tower = VisionTransformer(224, 16, 768, 12, 12, 4.0, output_dim=512, act_layer=QuickGELU)
    state = {f"visual.{name}": tensor for name, tensor in tower.state_dict().items()}
    report = dry_run(key_layouts.recognise(state, "b16"), "ViT-B-16", "b16")
    counts = report.counts()
    assert (counts["loaded"], counts["inflated"], counts["skipped"]) == (149, 1, 2)
    encoder = meta_state(SIZES["ViT-B-16"])
    assert counts["loaded"] + counts["inflated"] + counts["initial"] == len(encoder)
    assert " 144  vision_encoder.transformer.resblocks\n" in report.table()
    assert "initial    264  vision_encoder.transformer.resblocks, lmhra" in report.table()


def test_incomplete_file(tmp_path):
    state = open_clip_model().visual.state_dict()
    del state["ln_pre.weight"], state["transformer.resblocks.1.ln_2.bias"]
    path = saved(tmp_path / "cut.pt", state)
    message = r"cut.pt: ln_pre.weight and 1 more of CLIP's parameters are missing"
    with pytest.raises(ValueError, match=message):
        build_model(replace(CONFIG, weights=path), 5)


def test_openmmlab_training_checkpoint(tmp_path, monkeypatch):
    """Loss histories lie beside the weights, as objects of a program that is not installed."""

    class HistoryBuffer:
        def __init__(self):
            self.values, self.current = np.arange(5.0), np.float64(3)
            self.methods = {"min": HistoryBuffer.smallest}

        def smallest(self):
            return self.values.min()

    HistoryBuffer.__module__ = "mmengine.logging.history_buffer"
    HistoryBuffer.__qualname__ = "HistoryBuffer"
    HistoryBuffer.smallest.__qualname__ = "HistoryBuffer.smallest"
    HistoryBuffer.smallest.__module__ = HistoryBuffer.__module__
    for name in ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[HistoryBuffer.__module__].HistoryBuffer = HistoryBuffer
    state = trained().state_dict()
    hub = {"log_scalars": {"train/loss": HistoryBuffer()}}
    path = saved(tmp_path / "epoch_3.pth", {"state_dict": state, "message_hub": hub})
    monkeypatch.undo()
    assert "mmengine" not in sys.modules
    found, _ = read_weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_other_objects_stay_refused(tmp_path):
    path = saved(tmp_path / "w.pt", {"state_dict": {"a": noise(2)}, "config": CONFIG})
    with pytest.raises(ValueError, match=r"holds more than tensors.*save its state dict alone"):
        read_weights(path)


@pytest.mark.parametrize(
    "start, message",
    [
        (b"\n<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "it is a Git LFS pointer"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_saved_instead_of_the_file(tmp_path, start, message, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(start * 4)
    with pytest.raises(ValueError, match=message):
        read_weights(path)


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory):
    """The same small state as a torch file and as safetensors."""
    folder, state = tmp_path_factory.mktemp("sound"), {"a.weight": noise(5, 4), "b": noise(9)}
    torch.save({"state_dict": state}, folder / "w.pt")
    save_weights(folder / "w.safetensors", state, {"step": 1})
    return folder


@given(st.sampled_from(["w.pt", "w.safetensors"]), st.floats(0, 0.999))
@settings(deadline=None, max_examples=40)
def test_file_cut_anywhere(sound_files, name, part):
    content = (sound_files / name).read_bytes()
    path = sound_files / f"cut-{name}"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: cannot be read as weights")
    assert "\n" not in str(caught.value)


def torchscript(path, state):
    """An archive as OpenAI publishes it: code, and a state under CLIP's names."""

    class Holder(torch.nn.Module):
        def forward(self, x):
            return x

    def nest(tree):
        holder = Holder()
        for name, value in tree.items():
            if isinstance(value, dict):
                holder.add_module(name, nest(value))
            else:
                holder.register_buffer(name, value)
        return holder

    tree = {}
    for name, tensor in state.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = tensor
    torch.jit.save(torch.jit.script(nest(tree)), path)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_torchscript_archives(tmp_path, monkeypatch):
    state = open_clip_model().state_dict()
    path = tmp_path / "ViT-B-16.pt"
    torchscript(path, state)
    with pytest.raises(ValueError, match=r"is a TorchScript archive.*state_dict\(\), \"state.pt\""):
        read_weights(path)
    monkeypatch.setattr(
        published_weights, "openai_files", lambda: {published_weights.sha256(path): "CLIP"}
    )
    found, _ = read_weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_public_files_are_open_clips(tmp_path):
    from open_clip.pretrained import get_pretrained_url

    address = get_pretrained_url("ViT-B-16", "openai")
    checksum = next(
        c for c, name in published_weights.openai_files().items() if name.endswith("ViT-B-16")
    )
    assert len(checksum) == 64 and f"/{checksum}/" in address
    assert published_weights.identify(tmp_path / "w.pt", checksum) == "OpenAI's CLIP ViT-B-16"
    published = tmp_path / "uniformerv2-base_kinetics400-rgb_20230313-e29fc968.pth"
    assert published_weights.identify(published, "e29fc968" + "0" * 56) == "as its name promises"
    assert "NOT what its name promises (e29fc968)" in published_weights.identify(
        published, "0" * 64
    )
    assert "not in the table" in published_weights.identify(
        tmp_path / "model_20230313.pth", "0" * 64
    )


def test_a_name_is_fetched_through_open_clip(tmp_path, monkeypatch):
    import open_clip.pretrained

    asked = []
    path = saved(tmp_path / "ViT-B-16.pt", open_clip_model().state_dict())

    def download(source, **_):
        asked.append(source["url"])
        return path

    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", download)
    monkeypatch.setitem(SIZES, "ViT-B-16", TINY)
    config = replace(CONFIG, size="ViT-B-16", weights="openai")
    assert str(weights_file(config)) == path
    _, report = build_model(config, 5)
    assert report.source == "ViT-B-16.pt" and asked[0].endswith("/ViT-B-16.pt")
    assert len(asked) == 1  # once, however often the file is needed


def test_what_to_do_without_network(monkeypatch):
    import open_clip.pretrained

    def fail(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", fail)
    config = replace(CONFIG, size="ViT-B-16", weights="openai")
    with pytest.raises(ValueError) as caught:
        weights_file(config)
    message = str(caught.value)
    checksum = next(
        k for k, name in published_weights.openai_files().items() if name.endswith("ViT-B-16")
    )
    for part in ("cannot be downloaded", "Name or service", "By hand", "ViT-B-16.pt", checksum):
        assert part in message
    assert "timm/vit_base_patch16_clip_224.openai" in message
    assert message.endswith("weights=/path/to/ViT-B-16.pt")


def test_names_that_do_not_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no such file.*known names: openai"):
        weights_file(replace(CONFIG, size="ViT-B-16", weights="laion2b_s34b_b88k"))
    with pytest.raises(ValueError, match="no weights are published for size merclip-tiny"):
        weights_file(replace(CONFIG, weights="openai"))
    (tmp_path / "openai").touch()  # a file of that name comes first
    found = weights_file(replace(CONFIG, size="ViT-B-16", weights="openai"))
    assert str(found) == "openai"


def test_run_hash_knows_the_text_file(tmp_path):
    from merclip_lib.protocol.plan import RunPlan

    store, path = tiny_runs.make_store(tmp_path / "set"), tmp_path / "text.pt"
    without = RunPlan(CONFIG, store).hash
    saved(path, {"a": noise(2)})
    config = replace(CONFIG, text_weights=str(path))
    before = RunPlan(config, store).hash
    assert before == RunPlan(config, store).hash != without
    saved(path, {"a": noise(3)})
    assert RunPlan(config, store).hash != before


def test_inspect_on_the_command_line(tmp_path, capsys):
    path = saved(tmp_path / "clip.pt", open_clip_model().state_dict())
    assert main(["weights", "inspect", path, "--size", "merclip-tiny"]) == 0
    shown = capsys.readouterr().out
    for part in ("layout           CLIP", "patch 4", "inflated     1  vision_encoder.conv1"):
        assert part in shown
    assert main(["weights", "inspect", path, "--size", "merclip-tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["report"]["inflated"] == 1 and found["sizes"]["vision"]["width"] == 24
    assert main(["weights", "inspect", str(tmp_path / "absent.pt")]) == 2
    assert main(["weights", "inspect", path, "--size", "ViT-B-16"]) == 2
    assert "width 24 (the network: 768)" in capsys.readouterr().err


def test_golden_text_tower(golden, tmp_path, monkeypatch):
    vectors = np.load(golden / "text.npz")
    state = load_file(golden / "text_state.safetensors")
    table = torch.zeros(49408, 32)
    table[torch.from_numpy(vectors["used_ids"]).long()] = state.pop("token_embedding.used_rows")
    state = {f"text_encoder.{k}": v for k, v in {**state, "token_embedding.weight": table}.items()}
    path = saved(tmp_path / "reference.pth", {"state_dict": state})
    monkeypatch.setitem(SIZES, "merclip-tiny", replace(SMALL, vocabulary=49408))
    tower = load_text_tower(replace(CONFIG, text_weights=path))
    np.testing.assert_allclose(
        tower(torch.from_numpy(vectors["ids"]).long()).detach(), vectors["emb"], atol=1e-5
    )


def test_golden_network(golden, tmp_path):
    """Video encoder and classifier of the authors' program in one of its checkpoints."""
    parts = {"vision_encoder": "vision_small_state", "cls_head": "head_state"}
    state = {
        f"{part}.{name}": tensor
        for part, file in parts.items()
        for name, tensor in load_file(golden / f"{file}.safetensors").items()
    }
    path = saved(tmp_path / "epoch_55.pth", {"state_dict": state})
    model = MERCLIP(SMALL, 5).eval()
    assert isinstance(model.cls_head, EmotionInference)
    report = load_checkpoint(model, path)
    assert report.initial == ["logit_scale"] and report.skipped == []
    vectors, head = np.load(golden / "vision_small.npz"), np.load(golden / "head.npz")
    encoded = model.vision_encoder(torch.from_numpy(vectors["video"]))
    np.testing.assert_allclose(encoded.z.detach(), vectors["eval_clip"], atol=1e-5)
    np.testing.assert_allclose(encoded.tokens.detach(), vectors["eval_tokens"], atol=1e-5)
    logits = model.cls_head(torch.from_numpy(head["tokens"])).detach()
    np.testing.assert_allclose(logits, head["logits"], atol=1e-5)
