"""The network as the paper draws it and its fast equals compute the same, part by part.

Outputs agree to 1e-5 of their scale and gradients to 1e-4, with random numbers in all parameters
and running statistics. Axes as in `merclip_lib.model.plain`.
"""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_size import SMALL
from safetensors.torch import load_file

from merclip_lib.config import ModelSize
from merclip_lib.model import encoder, head, merclip, perceptron, plain

TINY = ModelSize(
    resolution=16,
    patch=4,
    frames=4,
    width=24,
    layers=3,
    heads=3,
    embed_dim=16,
    token_dim=20,
    global_layers=(1, 2),
    mlp_dropout=0.0,
    eim_dropout=0.0,
)
VARIANTS = [
    {},
    {"temporal_downsample": False},
    {"lmhra": 0},
    {"lmhra": 1},
    {"lmhra_reduction": 1.7},
    {"global_layers": ()},
    {"global_layers": (0,)},
    {"global_layers": (2, 0)},
    {"frames": 5},
    {"frames": 1},
    {"resolution": 18},
    {"width": 50, "heads": 5},
    {"eim_layers": 1},
    {"eim_layers": 3, "eim_heads": 2},
    {"layers": 1, "global_layers": (0,)},
    {"temporal_downsample": False, "lmhra": 0, "global_layers": (), "frames": 3},
]


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(module):
    """Random numbers everywhere, so that nothing hides behind a zero or one at the start."""
    for k, parameter in enumerate(module.parameters()):
        parameter.data = 0.3 * noise(*parameter.shape, seed=k)
    for k, (name, buffer) in enumerate(module.named_buffers()):
        if name.endswith("running_mean"):
            buffer.copy_(0.3 * noise(*buffer.shape, seed=k))
        elif name.endswith("running_var"):
            buffer.copy_(0.5 + noise(*buffer.shape, seed=k).abs())
    return module


def alike(fast, slow):
    """Both in evaluation mode, the plain one with the weights of the fast one, randomised."""
    slow.load_state_dict(randomised(fast).state_dict())
    return fast.eval(), slow.eval()


def both_forms(part):
    """A part of the plain encoder in its fast form, and as it is."""
    return alike(encoder.use_fast_forms(deepcopy(part)), part)


def assert_near(found, expected, tolerance, what=""):
    assert found.shape == expected.shape, what
    error = (found - expected).norm() / expected.norm().clamp(min=1e-3)
    assert error < tolerance, f"{what}: {error:.1e}"


def assert_same(fast, slow, *inputs, run_fast=None, run_slow=None):
    """Equal outputs (a tensor or several), and equal gradients of all parameters and inputs.

    `run_fast` and `run_slow` compute the outputs from the inputs; by default the modules do.
    """
    grads, outputs = [], []
    for module, run in ((fast, run_fast or fast), (slow, run_slow or slow)):
        module.zero_grad()
        given = [x.clone().requires_grad_() for x in inputs]
        results = run(*given)
        results = (results,) if isinstance(results, torch.Tensor) else tuple(results)
        sum((y * noise(*y.shape, seed=9)).sum() for y in results).backward()
        named = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        grads.append(named | {f"input {k}": x.grad for k, x in enumerate(given)})
        outputs.append(results)
    assert len(outputs[0]) == len(outputs[1])
    for k, (ours, expected) in enumerate(zip(*outputs, strict=True)):
        assert_near(ours, expected, 1e-5, f"output {k}")
    assert grads[0].keys() == grads[1].keys()
    for name, expected in grads[1].items():
        assert_near(grads[0][name], expected, 1e-4, name)


def encoders(**change):
    size = replace(TINY, **change)
    return alike(encoder.VideoEncoder(size), plain.VideoEncoder(size))


def video_for(size, clips=2):
    return noise(clips, 3, size.frames, size.resolution, size.resolution)


# ---- Part by part


@pytest.mark.parametrize(
    "change", [{}, {"temporal_downsample": False}, {"frames": 5}, {"resolution": 18}], ids=str
)
def test_stem(change):
    fast, slow = encoders(**change)
    video = video_for(fast.size)
    assert slow.stem(video).shape == (2, fast.size.times, fast.size.grid**2, 24)
    assert_same(fast, slow, video, run_fast=fast.stem, run_slow=slow.stem)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_perceptron(dropout):
    assert_same(*alike(perceptron.MLP(24, dropout), plain.MLP(24, dropout)), noise(2, 5, 24))


def test_attention_is_what_multi_head_attention_computes():
    attention, x = randomised(torch.nn.MultiheadAttention(24, 3, batch_first=True)), noise(2, 7, 24)
    qkv = torch.nn.functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    found = attention.out_proj(plain.attend(*qkv.chunk(3, dim=2), heads=3))
    assert_near(found, attention(x, x, x)[0], 1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_lmhra(training, times):
    fast, slow = alike(encoder.LMHRA(24, 1.5), plain.LMHRA(24, 1.5))
    assert_same(fast.train(training), slow.train(training), noise(2, times, 16, 24))
    for (name, ours), expected in zip(fast.named_buffers(), slow.buffers(), strict=True):
        assert_near(ours.float(), expected.float(), 1e-5, name)


@pytest.mark.parametrize("lmhra", [0, 1, 2])
def test_local_block(lmhra):
    block = plain.LocalBlock(replace(TINY, lmhra=lmhra), 0.2)
    assert_same(*both_forms(block), noise(2, 3, 17, 24))


@pytest.mark.parametrize("times", [1, 2, 4])
def test_position_encoding(times):
    assert_same(*alike(encoder.DPE(24), plain.DPE(24)), noise(2, times, 16, 24))


def test_layouts_of_patches_are_inverse():
    p = noise(2, 3, 16, 5)
    volume = plain.to_volume(p)
    assert volume.shape == (2, 5, 3, 4, 4)
    assert torch.equal(volume[1, 2, 0, 3, 1], p[1, 0, 4 * 3 + 1, 2])
    assert torch.equal(plain.to_tokens(volume), p)


def test_global_block():
    q, y = noise(2, 1, 24), noise(2, 34, 24, seed=2)
    assert_same(*both_forms(plain.GlobalBlock(TINY, 0.2)), q, y)


@pytest.mark.parametrize("layers", [(), (0,), (2, 0)], ids=str)
def test_blocks_and_fusion(layers):
    transformer = plain.Transformer(replace(TINY, global_layers=layers))
    assert_same(*both_forms(transformer), noise(2, 2, 17, 24))


@pytest.mark.parametrize("b, wanted", [(-50.0, "query"), (50.0, "class tokens"), (0.0, "both")])
@torch.no_grad()
def test_fusion_weighs_the_query_and_the_class_tokens(b, wanted):
    slow = randomised(plain.Transformer(TINY)).eval()
    slow.balance.fill_(b)
    seen = []
    slow.dec[-1].register_forward_hook(lambda module, inputs, q: seen.append(q[:, 0]))
    o, x = slow(noise(2, 2, 17, 24))
    q, c = seen[0], x[:, :, 0].mean(1)
    expected = {"query": q, "class tokens": c, "both": (q + c) / 2}[wanted]
    assert_near(o, slow.norm(expected), 1e-5)


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_video_encoder(change):
    fast, slow = encoders(**change)
    assert slow(video_for(fast.size))._fields == fast(video_for(fast.size))._fields
    assert_same(fast, slow, video_for(fast.size))  # z, o, inference tokens, patches


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_emotion_inference(layers):
    fast, slow = alike(head.EmotionInference(20, 5, layers), plain.EmotionInference(20, 5, layers))
    tokens = noise(3, 9, 20)
    assert_same(fast, slow, tokens)
    assert_same(fast, slow, tokens, run_fast=fast.layer_logits, run_slow=slow.layer_logits)


def test_linear_head():
    linear, tokens = randomised(plain.LinearHead(20, 5)), noise(3, 9, 20)
    expected = tokens[:, 0] @ linear.fc_cls.weight.T + linear.fc_cls.bias
    assert_near(linear(tokens), expected, 1e-5)


def test_every_part_of_the_network_has_its_fast_form():
    """A part that stays plain would give the same numbers, later."""
    fast, slow = merclip.MERCLIP(TINY, 5), plain.PlainMERCLIP(TINY, 5)
    names = {name for module in (encoder, head, perceptron) for name in vars(module)}
    for ours, drawn in zip(fast.modules(), slow.modules(), strict=True):
        if type(drawn).__name__ in names:
            assert type(ours) is not type(drawn), type(drawn)
    assert isinstance(fast.cls_head.blocks[-1], head.LastEmotionBlock)


# ---- The whole network


def networks(eim=True, **change):
    size = replace(TINY, **change)
    return alike(merclip.MERCLIP(size, 5, eim), plain.PlainMERCLIP(size, 5, eim))


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_whole_network(change):
    fast, slow = networks(**change)
    assert_same(fast, slow, video_for(fast.vision_encoder.size))


@pytest.mark.parametrize("change", VARIANTS, ids=str)
@pytest.mark.parametrize("eim", [True, False])
def test_weights_load_both_ways(eim, change):
    fast, slow = networks(eim, **change)
    fast.load_state_dict(slow.state_dict(), strict=True)  # the other way in `alike`
    assert [n for n, _ in fast.named_parameters()] == [n for n, _ in slow.named_parameters()]
    video = video_for(fast.vision_encoder.size)
    for ours, expected in zip(fast(video), slow(video), strict=True):
        assert_near(ours, expected, 1e-5)


@torch.no_grad()
def test_without_gradients():
    """`nn.MultiheadAttention` takes a way of its own here, where the number of heads is even."""
    fast, slow = networks(heads=4)
    for ours, expected in zip(fast(video_for(TINY)), slow(video_for(TINY)), strict=True):
        assert_near(ours, expected, 1e-5)


@pytest.mark.parametrize("eim", [True, False])
def test_the_same_seed_gives_the_same_start(eim):
    states = []
    for kind in (merclip.MERCLIP, plain.PlainMERCLIP):
        torch.manual_seed(0)
        states.append(kind(TINY, 5, eim).state_dict())
    for name, expected in states[1].items():
        torch.testing.assert_close(states[0][name], expected)


@pytest.mark.parametrize("lmhra", [1, 2])
def test_training_mode_with_batch_statistics(lmhra):
    fast, slow = networks(lmhra=lmhra)
    for _ in range(2):  # the second time with moved running statistics
        assert_same(fast.train(), slow.train(), video_for(TINY, clips=6))
    for (name, ours), expected in zip(fast.named_buffers(), slow.buffers(), strict=True):
        assert_near(ours.float(), expected.float(), 1e-4, name)


def seeded(network):
    def run(video):
        torch.manual_seed(3)
        return network(video)

    return run


@pytest.mark.parametrize("unit", ["clip", "reference"])
def test_training_mode_with_the_same_draws(unit):
    """Dropout and stochastic depth draw the same numbers in the same order, on one device."""
    fast, slow = networks(
        drop_path=0.5, global_drop_path=0.5, mlp_dropout=0.5, eim_dropout=0.3, drop_path_unit=unit
    )
    video = video_for(TINY, clips=6)
    still = slow(video).z
    assert_same(fast.train(), slow.train(), video, run_fast=seeded(fast), run_slow=seeded(slow))
    assert not torch.allclose(slow(video).z, slow(video).z, atol=1e-2)
    slow.load_state_dict(networks()[0].state_dict())
    assert_near(slow.eval()(video).z, still, 1e-5)  # gone in evaluation


def test_stochastic_depth_drops_per_clip_per_position_or_all():
    torch.manual_seed(0)
    x = torch.ones(40, 3, 30, 2)
    clip, position = (plain.DropPath(0.5, axis=axis).train()(x) for axis in (0, 2))
    assert torch.equal(clip, clip[:, :1, :1, :1].expand_as(x))
    assert torch.equal(position, position[:1, :1, :, :1].expand_as(x))
    for dropped in (clip, position):
        assert set(dropped.unique().tolist()) == {0.0, 2.0}
    everything = [plain.DropPath(0.5, axis=None).train()(x) for _ in range(20)]
    assert {len(dropped.unique()) for dropped in everything} == {1}
    assert {dropped.mean().item() for dropped in everything} == {0.0, 2.0}
    assert torch.equal(plain.DropPath(0.5).eval()(x), x)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"global_layers \[3\] do not exist: there are 3 blocks"):
        plain.VideoEncoder(replace(TINY, global_layers=(1, 3)))
    with pytest.raises(ValueError, match=r"expected \(N, \*\(3, 4, 16, 16\)\)"):
        plain.PlainMERCLIP(TINY, 5)(torch.zeros(2, 3, 5, 16, 16))


# ---- Numbers made with the authors' program


@pytest.fixture
def vision(golden):
    network = plain.VideoEncoder(SMALL)
    network.load_state_dict(load_file(golden / "vision_small_state.safetensors"))
    vectors = np.load(golden / "vision_small.npz")
    return network, {key: vectors[key] for key in vectors.files}


def weighted_sum(encoded, vectors):
    """The scalar whose gradients were stored; tokens enter as their mean over the positions."""
    w_clip, w_tokens = (torch.from_numpy(vectors[key]) for key in ("w_clip", "w_tokens"))
    return (encoded.z * w_clip).sum() + (encoded.tokens * w_tokens).sum() / w_tokens.shape[1]


def test_golden_video_encoder(vision, golden):
    network, vectors = vision
    encoded = network.eval()(torch.from_numpy(vectors["video"]))
    np.testing.assert_allclose(encoded.z.detach(), vectors["eval_clip"], atol=1e-5)
    np.testing.assert_allclose(encoded.tokens.detach(), vectors["eval_tokens"], atol=1e-5)
    weighted_sum(encoded, vectors).backward()
    expected = load_file(golden / "vision_small_evalgrads.safetensors")
    for name, parameter in network.named_parameters():
        assert_near(parameter.grad, expected[name], 1e-4, name)


def test_golden_video_encoder_in_training(vision):
    network, vectors = vision
    encoded = network.train()(torch.from_numpy(vectors["video"]))
    np.testing.assert_allclose(encoded.z.detach(), vectors["train_clip"], atol=1e-5)
    np.testing.assert_allclose(encoded.tokens.detach(), vectors["train_tokens"], atol=1e-5)
    state = network.state_dict()
    after = torch.cat([state[str(name)].flatten() for name in vectors["bn_after_name"]])
    np.testing.assert_allclose(after, vectors["bn_after_cat"], rtol=1e-5, atol=1e-6)


def test_golden_emotion_inference(golden):
    head = plain.EmotionInference(32, 5).eval()
    head.load_state_dict(load_file(golden / "head_state.safetensors"))
    vectors = np.load(golden / "head.npz")
    tokens = torch.from_numpy(vectors["tokens"])
    np.testing.assert_allclose(head(tokens).detach(), vectors["logits"], atol=1e-5)
    last = head.layer_logits(tokens)[-1].detach()
    np.testing.assert_allclose(last, vectors["logits_single"], atol=1e-5)
