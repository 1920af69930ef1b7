"""A batch in parts has the gradient of the whole; less memory and less precision change no more
than they say."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_batch import NOISY, batch, close, network, same_gradients

from merclip_lib.config import Config
from merclip_lib.model.encoder import batch_norms
from merclip_lib.model.merclip import forward
from merclip_lib.model.precision import products
from merclip_lib.training import whole_batch
from merclip_lib.training.loop import fit, predict
from merclip_lib.training.losses import batch_losses


def run(model, config, count=5):
    """Gradients, outputs and losses of one batch."""
    video, targets = batch(count)
    if not config.use_text:
        targets = targets._replace(sentences=None)
    compare = partial(
        batch_losses,
        targets=targets,
        logit_scale=model.logit_scale,
        weight=1.3,
    )
    model.zero_grad(set_to_none=True)
    torch.manual_seed(9)
    if whole_batch.in_parts(config):
        output, found = whole_batch.gradient(model, model, video, compare, config)
    else:
        output = forward(model, video, config)
        found = compare(output)
        with products(config):
            found[0].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients, output, found


@pytest.mark.parametrize("use_text", [True, False])
@pytest.mark.parametrize("parts", [2, 3, 5, 8])
def test_parts_have_the_gradient_of_the_whole_batch(parts, use_text):
    model = network().eval()  # frozen statistics
    whole, output, losses = run(model, Config(use_text=use_text))
    found, output_of_parts, losses_of_parts = run(
        model, Config(use_text=use_text, accumulate=parts)
    )
    same_gradients(found, whole)
    close(output_of_parts.z, output.z)
    close(output_of_parts.logits, output.logits)
    close(losses_of_parts, losses)


def test_mean_of_the_parts_is_another_gradient():
    model = network().eval()
    whole, _, _ = run(model, Config())
    parts = [run(model, Config(), count)[0] for count in (2, 3)]
    name = "vision_encoder.proj"
    mean = (2 * parts[0][name] + 3 * parts[1][name]) / 5
    assert (mean - whole[name]).norm() > 0.1 * whole[name].norm()


def test_both_passes_draw_the_same():
    # With other draws in the second pass the outputs would not be those the loss was made for.
    model = network(NOISY).train()
    seen = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(output))
    run(model, Config(accumulate=2))
    assert len(seen) == 4
    for first, second in zip(seen[:2], seen[2:], strict=True):
        assert torch.equal(first.z, second.z) and torch.equal(first.logits, second.logits)
    again = torch.rand(3)
    run(model, Config(accumulate=2))
    assert torch.equal(torch.rand(3), again)


@pytest.mark.parametrize("parts", [2, 3])
def test_running_statistics_move_once_by_the_mean_of_the_parts(parts):
    video, _ = batch(5)
    together = network().train()
    before = batch_norms(together)[0].running_mean.clone()
    run(together, Config(accumulate=parts))
    norm = batch_norms(together)[0]  # reads the patches of the stem, which no training changed
    seen = []
    for piece in video.tensor_split(parts):
        alone = network().train()
        forward(alone, piece, Config())
        moved = (batch_norms(alone)[0].running_mean - 0.9 * before) / 0.1
        seen.append(len(piece) / 5 * moved)
    close(norm.running_mean, 0.9 * before + 0.1 * sum(seen))
    for norm in batch_norms(together):
        assert norm.num_batches_tracked == 1 and norm.momentum == 0.1
        assert norm.track_running_stats


@pytest.mark.parametrize("parts", [1, 2])
def test_recomputed_blocks_change_neither_gradients_nor_statistics(parts):
    models = [network(NOISY).train() for _ in range(2)]
    models[1].vision_encoder.recompute_blocks(True)
    (plain, _, _), (saved, _, _) = (run(model, Config(accumulate=parts)) for model in models)
    same_gradients(saved, plain, rtol=1e-6)
    for a, b in zip(models[0].buffers(), models[1].buffers(), strict=True):
        assert torch.equal(a, b)
    assert batch_norms(models[1])[0].num_batches_tracked == 1


def test_half_precision_stays_close():
    model = network().train()
    exact, output, (loss, _, _) = run(model, Config())
    found, rounded, (rounded_loss, _, _) = run(model, Config(precision="bfloat16"))
    assert rounded.z.dtype == rounded.logits.dtype == torch.float32
    assert not torch.equal(rounded.z, output.z)
    assert rounded_loss.item() == pytest.approx(loss.item(), rel=5e-3)
    close(rounded.z, output.z, atol=0.05, rtol=0.05)
    for name, gradient in exact.items():
        assert found[name].dtype == torch.float32
        if gradient.ndim > 1:
            assert F.cosine_similarity(found[name].flatten(), gradient.flatten(), 0) > 0.98, name


def test_compiled_network_gives_the_same_outputs(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    model = network().eval()
    compiled = whole_batch.prepare(model, Config(compile=True))
    assert compiled is not model and whole_batch.prepare(model, Config()) is model
    video, _ = batch(3)
    for a, b in zip(*(forward(net, video, Config()) for net in (model, compiled)), strict=True):
        close(a, b)


def test_absent_gpu_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for call in (
        lambda c: predict(network(), None, config=c),
        lambda c: fit(network(), None, c),
    ):
        with pytest.raises(ValueError, match='device is "cuda", but torch sees no GPU.*"cpu"'):
            call(Config(device="cuda"))
