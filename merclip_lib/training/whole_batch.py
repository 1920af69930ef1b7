"""The gradient of a whole batch that is computed in parts, one after another or side by side.

The contrastive loss compares every clip with every sentence of the batch, so the mean of the
parts' losses is another loss. But the loss needs no more of the network than its outputs, and
these are small. Hence three steps: the outputs of all parts, without gradient; the loss of the
whole batch and its gradient at the outputs; then the network once more, part by part, with that
gradient put in (Gao et al. 2021, GradCache). The sum over the parts is the gradient of the batch:

    dL/dw = sum over parts p of (dL/dz_p)(dz_p/dw) + (dL/dlogits_p)(dlogits_p/dw)

The parts of one process follow each other (`accumulate`, less memory, one more forward); those
of several processes (`merclip_lib.protocol.several_gpus`) are summed by DistributedDataParallel.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from merclip_lib.config import Config
from merclip_lib.model.encoder import batch_norms, held_statistics
from merclip_lib.model.merclip import MERCLIP, Output, forward
from merclip_lib.model.precision import products
from merclip_lib.training.losses import Losses


def process() -> tuple[int, int]:
    """Number of this process among those that train together, and how many they are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def wait_for_all() -> None:
    """Go on when all processes that train together have come to this point."""
    if dist.is_initialized():
        dist.barrier()


def share_statistics(model: MERCLIP) -> None:
    """Give all processes the running statistics of the first, so that they predict the same."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def in_parts(config: Config) -> bool:
    """Whether a batch is computed in parts: one after another, or by several processes."""
    return config.accumulate > 1 or process()[1] > 1


def prepare(model: MERCLIP, config: Config) -> nn.Module:
    """The network as it is run: compiled, and wrapped where several processes train it.

    Its blocks are recomputed in the backward pass where `config.checkpoint_blocks` says so.
    Synchronised BatchNorm exists on GPUs only; on CPUs each process normalises its share of the
    batch by that share's statistics, and the running statistics are those of the first process.
    """
    network: nn.Module = model
    model.vision_encoder.recompute_blocks(config.checkpoint_blocks)
    if process()[1] > 1:
        if config.device == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        # Each process has the gradient of the scale for the whole batch: nothing to sum.
        model.logit_scale.requires_grad_(False)
        network = nn.parallel.DistributedDataParallel(
            model, find_unused_parameters=not config.use_text
        )
        model.logit_scale.requires_grad_(True)
    return cast(nn.Module, torch.compile(network)) if config.compile else network


def gradient(
    model: MERCLIP,
    network: nn.Module,
    video: Tensor,
    losses: Callable[[Output], Losses],
    config: Config,
) -> tuple[Output, Losses]:
    """Add the gradient of the batch's loss to the parameters.

    The parts' random draws are the same in both passes. Two things are of a part and not of the
    batch: BatchNorm in training normalises a part by its own mean and variance (its running
    statistics move once per batch, by the mean over the parts), and dropout draws other numbers
    than it would for the whole batch. Without both the gradient is the whole batch's, to rounding.

    Args:
        model: the network.
        network: what `prepare` made of it.
        video: (N, T, 3, H, W), the whole batch, in every process the same; each computes its
            share in `config.accumulate` parts.
        losses: of the whole batch, from its outputs.
        config: accumulate, precision, device.

    Returns:
        Outputs and losses of the whole batch.
    """
    rank, world = process()
    own = torch.arange(len(video)).tensor_split(world)[rank]
    idle = len(own) == 0  # more processes than clips: work along on one clip that does not count
    clips = torch.arange(1) if idle else own
    pieces = clips.tensor_split(min(config.accumulate, len(clips)))
    in_one = len(pieces) == 1  # nothing to save, one pass is enough
    seed = int(torch.randint(2**62, ())) + rank  # the same stream of draws in both passes
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(gpus), products(config):
        torch.manual_seed(seed)
        if in_one:
            seen = [forward(network, video[pieces[0]], config)]
        else:
            with torch.no_grad(), held_statistics(model):
                seen = [forward(model, video[piece], config) for piece in pieces]
        whole = Output(*(_of_all(part, own, len(video)) for part in zip(*seen, strict=True)))
        result = losses(whole)
        result.total.backward()  # reaches the outputs, and the scale of the alignment itself
        slopes = {k: part.grad for k, part in enumerate(whole) if part.grad is not None}
        torch.manual_seed(seed)
        for k, piece in enumerate(pieces):
            later = sum(map(len, pieces[k + 1 :]))
            with (
                _summed_later(network, later),
                counted_as_one(model, len(piece), later, len(clips)),
            ):
                output = seen[0] if in_one else forward(network, video[piece], config)
                share = 0 if idle else world  # DistributedDataParallel divides by their number
                slopes_here = [share * slope[piece] for slope in slopes.values()]
                torch.autograd.backward([output[k] for k in slopes], slopes_here)
    return whole, result


def _summed_later(network: nn.Module, later: int) -> contextlib.AbstractContextManager:
    """Gradients are summed over the processes with the last part alone."""
    if later and isinstance(network, nn.parallel.DistributedDataParallel):
        return network.no_sync()
    return contextlib.nullcontext()


def _of_all(parts: tuple[Tensor, ...], own: Tensor, count: int) -> Tensor:
    """The rows of all processes, (count, ...), of which `parts` are the `own` ones; a new leaf."""
    here = torch.cat(parts).detach()
    whole = here.new_zeros(count, *here.shape[1:])
    whole[own] = here[: len(own)]
    if dist.is_initialized():
        dist.all_reduce(whole)  # the rows of the others are zero here
    return whole.requires_grad_()


@contextlib.contextmanager
def counted_as_one(model: nn.Module, here: int, later: int, total: int) -> Iterator[None]:
    """Within: BatchNorm's running statistics move so that all parts together count as one batch.

    With momentum m a batch moves r to (1 - m) r + m s, s being the mean of the parts' statistics
    weighted by their clips. So the part of `here` clips before `later` others of `total` moves r
    with the momentum m here / (total - m later).
    """
    norms = batch_norms(model)
    before = [cast(float, norm.momentum) for norm in norms]
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum * here / (total - momentum * later)
        if later:
            norm.get_buffer("num_batches_tracked").sub_(1)
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
