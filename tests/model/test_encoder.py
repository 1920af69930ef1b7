"""The video encoder: fast forms equal plain ones, every option trains, it starts as CLIP."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from merclip_lib.config import SIZES, ModelSize
from merclip_lib.model.encoder import DPE, LMHRA, GlobalBlock, VideoEncoder
from merclip_lib.model.head import EmotionInference
from merclip_lib.model.perceptron import MLP
from merclip_lib.model.plain import DropPath
from merclip_lib.text.bank import text_tower
from merclip_lib.weights.adapt import load_into

TINY = ModelSize(
    resolution=16,
    patch=4,
    frames=4,
    width=24,
    layers=3,
    heads=3,
    embed_dim=16,
    token_dim=16,
    global_layers=(1, 2),
    mlp_dropout=0.0,
)
close = torch.testing.assert_close


def randomised(module, seed=0):
    """Random numbers in every parameter, so that nothing hides behind a zero at the start."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return module


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("downsample", [True, False])
def test_stem_is_the_strided_convolution(downsample):
    encoder = VideoEncoder(replace(TINY, temporal_downsample=downsample))
    video = noise(2, 3, 4, 16, 16)
    plain = encoder.conv1(video).flatten(3).permute(0, 2, 3, 1)  # (N, t, L, D)
    assert plain.shape[1] == (2 if downsample else 4)
    close(encoder.stem(video), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_lmhra_is_its_sequence_of_convolutions(training, times):
    fast, plain = (randomised(LMHRA(12, 1.5)).train(training) for _ in range(2))
    x = noise(2, times, 16, 12)
    grid = x.permute(0, 3, 1, 2).unflatten(3, (4, 4))  # (N, D, t, g, g)
    for _ in range(2):  # the second time with moved running statistics
        found = fast(x)
        close(found, plain.pos_embed(grid).flatten(3).permute(0, 2, 3, 1), atol=1e-5, rtol=1e-5)
    for a, b in zip(fast.buffers(), plain.buffers(), strict=True):
        close(a, b)
    if training:
        assert fast.pos_embed[0].num_batches_tracked == 2


def test_one_query_attention_is_multi_head_attention():
    block = randomised(GlobalBlock(TINY, 0.0))
    q, tokens = noise(2, 1, 24), noise(2, 33, 24, seed=2)
    plain, _ = block.attn(q, tokens, tokens)
    close(block.attend(q, tokens), plain, atol=1e-5, rtol=1e-5)
    fast = torch.autograd.grad(block.attend(q, tokens).pow(2).sum(), block.attn.parameters())
    slow = torch.autograd.grad(
        block.attn(q, tokens, tokens)[0].pow(2).sum(), block.attn.parameters()
    )
    for a, b in zip(fast, slow, strict=True):
        close(a, b, atol=1e-4, rtol=1e-4)


def test_local_attention_is_multi_head_attention_within_a_time():
    block = randomised(VideoEncoder(TINY).transformer.resblocks[0])
    x = noise(2, 3, 17, 24)
    flat = x.flatten(0, 1)
    plain, _ = block.attn(flat, flat, flat)
    close(block.attend(x), plain.view_as(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_position_encoding_is_the_convolution(times):
    dpe, patches = randomised(DPE(6)), noise(2, times, 16, 6)
    volume = patches.permute(0, 3, 1, 2).unflatten(3, (4, 4))  # (N, D, t, g, g)
    plain = nn.Conv3d.forward(dpe, volume).flatten(3).permute(0, 2, 3, 1)
    close(dpe(patches), plain, atol=1e-5, rtol=1e-5)


def plain_mlp(mlp, x):
    """CLIP's perceptron with QuickGELU written out."""
    inner = mlp.c_fc(x)
    return mlp.c_proj(inner * torch.sigmoid(1.702 * inner))


def test_perceptron_is_two_layers_with_quick_gelu():
    mlp, x = randomised(MLP(8)), noise(5, 8)
    close(mlp(x), plain_mlp(mlp, x), atol=1e-5, rtol=1e-5)
    fast, slow = (
        torch.autograd.grad(y.pow(2).sum(), mlp.parameters()) for y in (mlp(x), plain_mlp(mlp, x))
    )
    for a, b in zip(fast, slow, strict=True):
        close(a, b, atol=1e-4, rtol=1e-4)


def test_checkpointing_changes_nothing():
    size = replace(TINY, lmhra=0)
    encoder = randomised(VideoEncoder(size))
    video = noise(2, 3, 4, 16, 16)
    plain = torch.autograd.grad(encoder(video).z.pow(2).sum(), encoder.conv1.weight)
    encoder.recompute_blocks(True)
    close(torch.autograd.grad(encoder(video).z.pow(2).sum(), encoder.conv1.weight), plain)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"temporal_downsample": False},
        {"lmhra": 0},
        {"lmhra": 1},
        {"global_layers": ()},
        {"global_layers": (0,)},
        {"global_layers": (2, 0)},
        {"token_dim": 20},
        {"embed_dim": 40},
        {"width": 30, "heads": 5},
        {"resolution": 24, "patch": 8},
        {"frames": 8, "layers": 4},
        {"drop_path": 0.2, "global_drop_path": 0.2, "mlp_dropout": 0.5},
        {"temporal_downsample": False, "lmhra": 0, "global_layers": (), "frames": 3},
    ],
    ids=str,
)
def test_every_option_runs_and_trains_every_parameter(change):
    size = replace(TINY, **change)
    torch.manual_seed(0)
    encoder = randomised(VideoEncoder(size)).train()
    video = noise(6, 3, size.frames, size.resolution, size.resolution)
    z, o, tokens, patches = encoder(video)
    patch_count = size.grid**2
    assert z.shape == (6, size.embed_dim) and o.shape == (6, size.width)
    assert tokens.shape == (6, 1 + size.times * patch_count, size.token_dim)
    assert patches.shape == (6, size.times, patch_count, size.width)
    ((z * noise(*z.shape)).sum() + (tokens * noise(*tokens.shape)).sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_global_layer_that_does_not_exist():
    with pytest.raises(ValueError, match=r"global_layers \[3\] do not exist: there are 3 blocks"):
        VideoEncoder(replace(TINY, global_layers=(1, 3)))


@pytest.mark.parametrize("shape", [(3, 5, 16, 16), (3, 4, 16, 20), (4, 3, 16, 16), (1, 4, 16, 16)])
def test_video_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(N, \*\(3, 4, 16, 16\)\)"):
        VideoEncoder(TINY)(torch.zeros(2, *shape))


def clip_tower():
    """A small CLIP image tower with QuickGELU and random weights."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    return VisionTransformer(
        image_size=16,
        patch_size=4,
        width=24,
        layers=3,
        heads=3,
        mlp_ratio=4.0,
        output_dim=16,
        act_layer=QuickGELU,
    ).eval()


def class_tokens(module, layers, run):
    """Class token after each block, seen by hooks: a list of (..., D)."""
    seen = []
    hooks = [b.register_forward_hook(lambda m, i, out: seen.append(out)) for b in layers]
    run()
    for hook in hooks:
        hook.remove()
    return [out[..., 0, :] for out in seen]


@pytest.mark.parametrize("downsample", [True, False])
@torch.no_grad()
def test_starts_as_the_image_tower_of_clip(downsample):
    tower = randomised(clip_tower())
    encoder = VideoEncoder(replace(TINY, temporal_downsample=downsample)).eval()
    report = load_into(encoder, tower.state_dict(), "clip")
    assert not any("resblocks" in name and "lmhra" not in name for name in report.initial)
    frames = noise(2, 3, 4, 16, 16)
    ours = class_tokens(encoder, encoder.transformer.resblocks, lambda: encoder(frames))
    for t in range(encoder.size.times):  # the centre tap of time position t is frame 2 t
        frame = frames[:, :, 2 * t if downsample else t]
        clip = class_tokens(tower, tower.transformer.resblocks, lambda f=frame: tower(f))
        for block in range(3):
            close(ours[block][:, t], clip[block], atol=1e-5, rtol=1e-5)
    static = frames[:, :, :1].expand(-1, -1, 4, -1, -1)
    last = class_tokens(encoder, encoder.transformer.resblocks, lambda: encoder(static))[-1]
    assert (last - last[:, :1]).abs().max() < 2e-6


def test_parameter_counts_of_the_paper():
    with torch.device("meta"):
        encoder = VideoEncoder(SIZES["ViT-B-16"])
        assert count(encoder) == 163_647_488
        assert count(text_tower(SIZES["ViT-B-16"])) == 63_428_096
        assert count(EmotionInference(512, 5)) == 6_308_357
        large = VideoEncoder(SIZES["ViT-L-14"])
    blocks = encoder.transformer.resblocks
    assert round(sum(count(m) for m in encoder.modules() if isinstance(m, LMHRA)) / 1e6, 1) == 19.0
    assert round(count(encoder.transformer.dec) / 1e6, 1) == 56.7
    assert round(count(encoder.transformer.dpe) / 1e6, 2) == 0.17
    assert len(blocks) == 12 and len(large.transformer.resblocks) == 24
    assert large.positional_embedding.shape == (257, 1024)


def test_stochastic_depth_rises_with_the_block():
    transformer = VideoEncoder(replace(TINY, drop_path=0.2, global_drop_path=0.4)).transformer
    for block, rate in zip(transformer.resblocks, [0, 0.1, 0.2], strict=True):
        assert block.drop.rate == block.drop_lmhra.rate == pytest.approx(rate)
    assert [block.drop.rate for block in transformer.dec] == pytest.approx([0, 0.4])


def test_stochastic_depth_drops_whole_clips_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3)
    dropped = DropPath(0.3)(x)
    per_clip = dropped.flatten(1)
    assert (per_clip == per_clip[:, :1]).all()
    assert sorted(set(per_clip[:, 0].tolist())) == pytest.approx([0, 1 / 0.7])
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(DropPath(0.3).eval()(x), x)
    assert torch.equal(DropPath(0.0)(x), x)


def dropped(axis):
    torch.manual_seed(0)
    return (DropPath(0.5, axis)(torch.ones(40, 3, 30, 2)) == 0).float()


def test_stochastic_depth_of_the_authors_program():
    tokens, everything = dropped(2), [dropped(None) for _ in range(2)]
    assert torch.equal(tokens, tokens[:1, :1, :, :1].expand_as(tokens))  # alike in clips and times
    assert 0.2 < tokens.mean() < 0.8
    for draw in everything:
        assert draw.mean() in (0, 1)
    encoder = VideoEncoder(replace(TINY, drop_path_unit="reference")).transformer
    assert {block.drop.axis for block in encoder.resblocks} == {2}
    assert {block.drop_lmhra.axis for block in encoder.resblocks} == {0}
    assert {block.drop.axis for block in encoder.dec} == {None}
    assert {block.drop.axis for block in VideoEncoder(TINY).transformer.dec} == {0}


def test_local_block_of_the_authors_program_drops_positions_and_clips():
    size = replace(TINY, drop_path=0.5, drop_path_unit="reference", layers=2, global_layers=())
    block = randomised(VideoEncoder(size)).transformer.resblocks[1].train()
    x = noise(12, 2, 17, 24)
    torch.manual_seed(0)
    lmhra = DropPath(0.5)(torch.ones(12))  # the same draws, in the order of the block
    attention = DropPath(0.5, 2)(torch.ones(1, 1, 17, 1))
    lmhra2 = DropPath(0.5)(torch.ones(12))
    perceptron = DropPath(0.5, 2)(torch.ones(1, 1, 17, 1))
    assert 0 in lmhra and 0 in attention and 0 in perceptron and 2 in perceptron
    y = x.clone()
    y[:, :, 1:] += lmhra.view(-1, 1, 1, 1) * block.lmhra1(x[:, :, 1:])
    y = y + attention * block.attend(block.ln_1(y))
    z = y.clone()
    z[:, :, 1:] += lmhra2.view(-1, 1, 1, 1) * block.lmhra2(y[:, :, 1:])
    z = z + perceptron * block.mlp(block.ln_2(z))
    torch.manual_seed(0)
    close(block(x), z, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 5},
        {"resolution": 18},
        {"width": 50, "heads": 5},
        {"lmhra_reduction": 1.7},
    ],
    ids=str,
)
def test_odd_sizes(change):
    size = replace(TINY, **change)
    encoder = VideoEncoder(size)
    video = noise(2, 3, size.frames, size.resolution, size.resolution)
    plain = encoder.conv1(video).flatten(3).permute(0, 2, 3, 1)
    close(encoder.stem(video), plain, atol=1e-5, rtol=1e-5)
    assert encoder(video).patches.shape == (2, size.times, size.grid**2, size.width)
    inner = encoder.transformer.resblocks[0].lmhra1.pos_embed[1].out_channels
    assert inner == int(size.width // size.lmhra_reduction)


def test_randomness_of_training_vanishes_in_evaluation():
    size = replace(TINY, drop_path=0.5, global_drop_path=0.5, mlp_dropout=0.5)
    encoder = randomised(VideoEncoder(size))
    still = randomised(VideoEncoder(TINY))
    video = noise(2, 3, 4, 16, 16)
    torch.manual_seed(0)
    assert not torch.equal(encoder.train()(video).z, encoder(video).z)
    encoder.load_state_dict(still.state_dict())  # running statistics included
    close(encoder.eval()(video).z, still.eval()(video).z, atol=0, rtol=0)
    assert torch.equal(encoder(video).z, encoder(video).z)


def test_dropout_in_the_perceptron_keeps_the_mean():
    mlp = randomised(MLP(8, dropout=0.5)).train()
    x = noise(1, 8).expand(20000, 8)
    torch.manual_seed(0)
    mean = mlp(x).mean(0)
    close(mean, mlp.eval()(x[0]), atol=0.1, rtol=0.1)
    still = randomised(MLP(8)).train()
    close(still(x), plain_mlp(still, x), atol=1e-5, rtol=1e-5)  # no rate, no dropout


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_mlp_computes_what_it_does_not_keep(dropout):
    mlp = MLP(6, dropout).double()
    x = torch.randn(2, 3, 6, dtype=torch.double, requires_grad=True)
    given = [x, *mlp.parameters()]

    def formula():
        hidden = mlp.c_fc(x)
        active = hidden * torch.sigmoid(1.702 * hidden)  # QuickGELU
        return mlp.c_proj(F.dropout(active, dropout))

    slope, found = torch.randn(2, 3, 6, dtype=torch.double), []
    for compute in (lambda: mlp(x), formula):
        torch.manual_seed(7)
        y = compute()
        found.append([y, *torch.autograd.grad(y, given, slope)])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)

    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t
    ):
        mlp.eval()(x)
    weights = sum(p.numel() for p in mlp.parameters() if p.ndim == 2)
    assert sum(t.numel() for t in kept.values()) <= 5 * x.numel() + weights
