"""How much memory a training step takes, said before it starts.

The network is not computed: under torch's fake tensors every operation runs on shapes alone, so
the paper's size takes a few seconds and no memory.
"""

import math
from functools import cache

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from merclip_lib.config import Config, Method, ModelSize, size_of
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.weights.load import empty_network

GIB = 2**30
PROCESS = 0.6 * GIB  # Python, torch and what else is imported
SLACK = 1.33  # the allocator's holes; ViT-B/16 with 2 clips: 6.5 GiB here, 6.8 measured
PREDICTED = 32  # clips at once in `loop.predict`; ViT-B/16: 4.6 GiB here, 4.1 measured
CLASSES = 7  # a class more or less is not to be seen in the sums


def memory_bytes(config: Config) -> int:
    """Memory at the peak of a fold: an estimate, of a training step or of the prediction.

    In training: weights, gradients and AdamW's two moments (16 bytes a parameter), what the
    forward pass of one batch (or one of its `accumulate` parts) keeps for the backward pass, the
    batch itself, and room for the largest gradients under way. In prediction: weights, the clips
    and the inside of one block; more than in training where batches are small.

    Returns:
        Bytes of one fold, those of the process itself included.
    """
    clips = math.ceil(config.batch_size / config.accumulate)
    computed = config.precision == "bfloat16", config.checkpoint_blocks
    return _at_the_peak(size_of(config), config.use_eim, clips, *computed)


@cache  # runs differ in much else
def _at_the_peak(size: ModelSize, eim: bool, clips: int, bfloat16: bool, recompute: bool) -> int:
    with torch.device("meta"):
        model = MERCLIP(size, CLASSES, eim).train()
    weights = sum(parameter.nbytes for parameter in model.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.autocast("cpu", enabled=bfloat16):
        model.to_empty(device="cpu")
        trunk = model.vision_encoder.transformer
        model.vision_encoder.recompute_blocks(recompute)
        video = empty_video(size, clips)
        saved, largest = kept_for_backward(model, video)
        model.vision_encoder.recompute_blocks(False)
        tokens = torch.empty(clips, size.times, 1 + size.grid**2, size.width)
        inside, largest_inside = kept_for_backward(trunk.resblocks[-1], tokens)
        if recompute:  # each block keeps its input and, one at a time, its inside
            largest = largest_inside
            saved += len(trunk.resblocks) * tokens.nbytes + inside
    trained = 4 * weights + SLACK * (saved + 2 * video.nbytes + 3 * largest)
    predicted = weights + PREDICTED / clips * (2 * video.nbytes + tokens.nbytes + inside)
    return int(PROCESS + max(trained, predicted))


def kept_for_backward(module: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """What a forward pass of `module` on `x` keeps for the backward pass, weights left out.

    Returns:
        Bytes of all these tensors, and of the largest.
    """
    state = [*module.parameters(), *module.buffers()]
    seen = {tensor.untyped_storage()._cdata: None for tensor in state}
    sizes = []

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen[storage._cdata] = storage  # held, so that its address is not used again
            sizes.append(storage.nbytes())
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.enable_grad(), hooks:
        module(x)
    return sum(sizes), max(sizes)


def shapes_only(method: Method) -> MERCLIP:
    """The network of a configuration without its numbers (on torch's `meta` device)."""
    with torch.device("meta"):
        return empty_network(method, CLASSES)


def empty_video(size: ModelSize, clips: int) -> torch.Tensor:
    """A batch (clips, 3, frames, height, width) of which only the shape counts."""
    return torch.empty(clips, 3, size.frames, size.resolution, size.resolution)
