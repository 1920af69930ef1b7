"""LocalStaticFaceMix against the loop over frames and channels.

    python -m benchmarks.training.mix

A batch of 8 clips of 16 frames, 224 x 224. The loop writes each channel of each frame anew, as a
plain reading of the paper does; ours blends a region of all frames at once, in place. Both mix
all clips with the same draws and give the same numbers. Seconds are the least of several rounds
that take turns. Memory is what torch allocates during one call, which no copy of the batch fits.
"""

import time

import torch
from torch.profiler import ProfilerActivity, profile

from merclip_lib.augment import MixDraw, draw_mixes, local_static_face_mix, region_slices

SHAPE = (8, 16, 3, 224, 224)
MIB = 2**20


def by_loop(video: torch.Tensor, draws: list[MixDraw], alpha: float = 0.5) -> torch.Tensor:
    """Each channel of each frame: the pixels under the region's mask, into a new batch."""
    mixed = video.clone()
    for draw in draws:
        mask = torch.zeros(SHAPE[-2:], dtype=torch.bool)
        mask[region_slices(draw.region, *SHAPE[-2:])] = True
        for frame in range(SHAPE[1]):
            for channel in range(SHAPE[2]):
                own, face = video[draw.clip, frame, channel], video[draw.face, 0, channel]
                blend = own.clone()
                blend[mask] = alpha * own[mask] + (1 - alpha) * face[mask]
                mixed[draw.clip, frame, channel] = blend
    return mixed


def by_products(video: torch.Tensor, draws: list[MixDraw], alpha: float = 0.5) -> torch.Tensor:
    """The same loop with a mask of zeros and ones that is multiplied."""
    mixed = video.clone()
    for draw in draws:
        mask = torch.zeros(SHAPE[-2:])
        mask[region_slices(draw.region, *SHAPE[-2:])] = 1
        for frame in range(SHAPE[1]):
            for channel in range(SHAPE[2]):
                own, face = video[draw.clip, frame, channel], video[draw.face, 0, channel]
                blend = alpha * own + (1 - alpha) * face
                mixed[draw.clip, frame, channel] = own * (1 - mask) + blend * mask
    return mixed


def allocated(function, *arguments) -> float:
    """MiB that a call allocates, in all."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        function(*arguments)
    return sum(max(event.self_cpu_memory_usage, 0) for event in found.key_averages()) / MIB


def main(arguments: list[str] | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(SHAPE, generator=generator)
    draws = draw_mixes(torch.arange(SHAPE[0]), 1.0, generator)
    expected, given = by_loop(video, draws), video.clone()
    ours = local_static_face_mix(given, draws)
    print(
        f"largest difference {(ours - expected).abs().max():.1e}; "
        f"ours is the batch it was given: {ours.data_ptr() == given.data_ptr()}"
    )
    ways = {
        "loop, pixels under a mask": by_loop,
        "loop, products with a mask": by_products,
        "ours": local_static_face_mix,
    }
    seconds = {name: [] for name in ways}
    for _ in range(7):
        for name, function in ways.items():
            start = time.process_time()
            function(given, draws)
            seconds[name].append(time.process_time() - start)
    print(
        f"{'':<28}{'ms':>8}{'times ours':>12}{'MiB allocated':>15}, the batch is "
        f"{video.nbytes / MIB:.0f} MiB"
    )
    for name, function in ways.items():
        print(
            f"{name:<28}{1000 * min(seconds[name]):>8.1f}"
            f"{min(seconds[name]) / min(seconds['ours']):>12.1f}"
            f"{allocated(function, given, draws):>15.1f}"
        )
    ours_alone = min(seconds.pop("ours"))
    return {
        f"LocalStaticFaceMix: {name}, to ours": min(s) / ours_alone for name, s in seconds.items()
    }


if __name__ == "__main__":
    main()
