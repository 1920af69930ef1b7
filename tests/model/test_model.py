"""The whole network: Emotion Inference Module, text bank, shapes and gradients."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from merclip_lib.config import SIZES
from merclip_lib.model.head import EmotionInference
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text.bank import build_text_bank, text_tower, tokenizer
from merclip_lib.text.sentences import TEMPLATES

TINY = replace(
    SIZES["merclip-tiny"],
    resolution=16,
    frames=4,
    width=24,
    heads=3,
    layers=2,
    embed_dim=16,
    token_dim=20,
    global_layers=(1,),
    text_width=16,
    text_layers=1,
    text_heads=2,
)
close = torch.testing.assert_close


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(module):
    for k, parameter in enumerate(module.parameters()):
        parameter.data = 0.3 * noise(*parameter.shape, seed=k)
    return module


def plain_layer(block, x):
    """One pre-LayerNorm transformer layer over all tokens, as in the paper."""
    n, s, c = x.shape
    qkv = block.attn.to_qkv(block.norm(x)).view(n, s, 3, block.attn.heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    x = x + block.attn.proj((weights @ v).transpose(1, 2).reshape(n, s, c))
    first, last = block.ffn.net[0], block.ffn.net[3]
    return x + last(F.gelu(first(block.norm_ffn(x))))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_first_token_alone_gives_the_same_logits(layers):
    head = randomised(EmotionInference(16, 5, layers)).eval()
    tokens = noise(3, 9, 16)
    x, expected = tokens, []
    for block in head.blocks:
        x = plain_layer(block, x)
        expected.append(head.fc_cls(head.norm(x[:, 0])))
    close(head.layer_logits(tokens), torch.stack(expected), atol=1e-5, rtol=1e-5)
    close(head(tokens), torch.stack(expected).mean(0), atol=1e-5, rtol=1e-5)


def test_emotion_inference_starts_small_and_drops_out_only_in_training():
    torch.manual_seed(0)
    head = EmotionInference(64, 7)
    for name, parameter in head.named_parameters():
        if name.endswith("weight") and parameter.ndim == 2:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.2), name
        elif name.endswith("bias"):
            assert parameter.abs().max() == 0, name
    tokens = noise(2, 5, 64)
    assert not torch.equal(head.train()(tokens), head(tokens))
    assert torch.equal(head.eval()(tokens), head(tokens))


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return text_tower(TINY)


def test_text_bank(tower):
    sentences = ["raising the cheeks", "lowering the brows", "raising the chin"]
    bank = build_text_bank(tower.train(), tokenizer(), sentences)
    assert bank.shape == (3, len(TEMPLATES), 16) and not bank.requires_grad
    close(bank.norm(dim=-1), torch.ones(3, len(TEMPLATES)))
    for i, text in enumerate(sentences):
        for k, template in enumerate(TEMPLATES):
            alone = tower(tokenizer()([template.format(text)]))[0]
            close(bank[i, k], F.normalize(alone, dim=-1), atol=1e-5, rtol=1e-5)


def test_text_bank_longer_than_one_batch(tower):
    sentences = [f"number {i}" for i in range(300)]
    bank = build_text_bank(tower, tokenizer(), sentences, ["{}"])
    assert bank.shape == (300, 1, 16)
    for i in (0, 255, 256, 299):
        close(bank[i], build_text_bank(tower, tokenizer(), [sentences[i]], ["{}"])[0])


@pytest.mark.parametrize("eim", [True, False])
def test_network_gives_embedding_and_logits(eim):
    model = MERCLIP(TINY, classes=5, eim=eim)
    assert model.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    z, logits = model(noise(2, 3, 4, 16, 16))
    assert z.shape == (2, 16) and logits.shape == (2, 5)


@pytest.mark.parametrize("eim", [True, False])
def test_classifier_reaches_the_encoder_and_not_the_embedding(eim):
    model = randomised(MERCLIP(TINY, classes=5, eim=eim))
    F.cross_entropy(model(noise(4, 3, 4, 16, 16)).logits, torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        only_for_alignment = name == "logit_scale" or name.endswith(
            ("encoder.proj", "post1.weight", "post1.bias")
        )
        assert (parameter.grad is None) == only_for_alignment, name


def test_emotion_inference_reads_the_patches_and_the_linear_head_does_not():
    tokens = noise(2, 9, 20)
    changed = tokens.clone()
    changed[:, 5] = noise(2, 20, seed=9)
    for eim, same in ((True, False), (False, True)):
        head = randomised(MERCLIP(TINY, 3, eim)).eval().cls_head
        assert torch.equal(head(tokens), head(changed)) == same
