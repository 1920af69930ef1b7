"""Augmentations of a batch of clips: pure functions with an explicit generator.

LocalStaticFaceMix (paper section on augmentation) blends one region of each clip with the first
frame of another clip: a new identity, no new motion. The flip exchanges left and right, so the
sentence must follow. Photometric jitter and the place of a random crop are the same for all frames
of a clip, or they would look like motion. Mixup and CutMix, which bring in another clip's motion
and so its label, are there for comparison.
"""

from typing import NamedTuple

import torch

REGIONS = ("forehead", "chin", "left_cheek", "right_cheek")
WHOLE = "whole"  # all four together


def region_slices(region: str, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a region: top quarter, bottom quarter, halves of the middle half; whole.

    The cheeks are named as they stand in the image. Raises ValueError for an unknown region.
    """
    top, bottom = height // 4, 3 * height // 4
    middle = slice(top, bottom)
    slices = {
        "forehead": (slice(0, top), slice(0, width)),
        "chin": (slice(bottom, height), slice(0, width)),
        "left_cheek": (middle, slice(0, width // 2)),
        "right_cheek": (middle, slice(width // 2, width)),
        WHOLE: (slice(0, height), slice(0, width)),
    }
    if region not in slices:
        raise ValueError(f"unknown region {region!r}; choose one of {REGIONS}")
    return slices[region]


class MixDraw(NamedTuple):
    """Clip `clip` of the batch receives the static first frame of clip `face` in `region`."""

    clip: int
    face: int
    region: str


def draw_mixes(
    subjects: torch.Tensor,
    probability: float,
    generator: torch.Generator,
    region: str = "",
    own: bool = False,
) -> list[MixDraw]:
    """Draw which clips are mixed, with whose face and where (paper, LocalStaticFaceMix).

    The face comes from another subject where the batch has one, else from another clip. (The
    paper's program may also draw the clip itself, which changes nothing.) A batch of one clip is
    left alone.

    Args:
        subjects: (N,) numbers that tell faces apart.
        probability: that a clip is mixed.
        generator: the source of the draws.
        region: always this one; empty = one of REGIONS, drawn anew for each clip.
        own: the face is the clip's own (an ablation: less motion, no other identity).
    """
    draws = []
    for i in _chosen(len(subjects), probability, generator):
        face = _another(subjects, i, generator)
        drawn = REGIONS[int(torch.randint(len(REGIONS), (1,), generator=generator))]
        draws.append(MixDraw(i, i if own else face, region or drawn))
    return draws


def _chosen(count: int, probability: float, generator: torch.Generator) -> list[int]:
    """Which clips of a batch are mixed; a clip that is alone is not."""
    coins = torch.rand(count, generator=generator)
    return [i for i in range(count) if coins[i] < probability and count > 1]


def _another(subjects: torch.Tensor, i: int, generator: torch.Generator) -> int:
    """A clip of another subject than clip i's where there is one, else another clip."""
    others = torch.nonzero(subjects != subjects[i]).flatten()
    if len(others) == 0:
        others = torch.tensor([j for j in range(len(subjects)) if j != i])
    return int(others[torch.randint(len(others), (1,), generator=generator)])


def local_static_face_mix(
    video: torch.Tensor,
    draws: list[MixDraw],
    alpha: float = 0.5,
    invert: bool = False,
    moving: bool = False,
) -> torch.Tensor:
    """Blend a region of each drawn clip with a static face, in place.

    Inside the region every frame of clip i becomes alpha * frame + (1 - alpha) * first frame of
    clip j, taken before any mixing. The added term is constant in time: motion is scaled by alpha
    there and unchanged elsewhere. Labels and text stay those of clip i. Only the mixed pixels
    are touched; nothing is copied but the static faces.

    Args:
        video: (N, T, 3, H, W), floating point, normalised.
        draws: which clips, with whose face and where, see `draw_mixes`.
        alpha: share of the clip's own frame (the paper: 0.5).
        invert: mix outside the region instead.
        moving: with the other clip as it moves, not its first frame (an ablation: the other
            expression comes in, without its label).

    Returns:
        `video` itself.
    """
    height, width = video.shape[-2:]
    faces = {draw.face: video[draw.face, slice(None) if moving else 0].clone() for draw in draws}
    for draw in draws:
        rows, columns = region_slices(draw.region, height, width)
        for r, c in _outside(rows, columns, height, width) if invert else [(rows, columns)]:
            face = faces[draw.face][..., r, c]
            video[draw.clip, :, :, r, c].mul_(alpha).add_(face, alpha=1 - alpha)
    return video


def _outside(rows: slice, columns: slice, height: int, width: int) -> list[tuple[slice, slice]]:
    """The complement of a rectangle as at most four rectangles."""
    parts = [
        (slice(0, rows.start), slice(0, width)),
        (slice(rows.stop, height), slice(0, width)),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, width)),
    ]
    return [(r, c) for r, c in parts if r.stop > r.start and c.stop > c.start]


class PairDraw(NamedTuple):
    """Clip `clip` of the batch is mixed with clip `other`, in the rectangle `rows` x `columns`."""

    clip: int
    other: int
    rows: slice = slice(None)
    columns: slice = slice(None)


def draw_pairs(
    subjects: torch.Tensor, probability: float, generator: torch.Generator
) -> list[PairDraw]:
    """Draw which clips are mixed with which, over the whole frame (for `mixup`).

    Clips are chosen as `draw_mixes` does, so that the methods differ in the mixing alone.
    """
    chosen = _chosen(len(subjects), probability, generator)
    return [PairDraw(i, _another(subjects, i, generator)) for i in chosen]


def draw_boxes(
    pairs: list[PairDraw], alpha: float, height: int, width: int, generator: torch.Generator
) -> list[PairDraw]:
    """Give each pair a rectangle of a share 1 - alpha of the frame, anywhere inside (`cutmix`).

    Sides sqrt(1 - alpha) of the frame's, rounded to pixels (Yun et al. 2019, eq. 2; theirs is
    centred anywhere and clipped at the border, ours keeps its size).
    """
    h, w = round(height * (1 - alpha) ** 0.5), round(width * (1 - alpha) ** 0.5)
    drawn = []
    for pair in pairs:
        top = int(torch.randint(height - h + 1, (1,), generator=generator))
        left = int(torch.randint(width - w + 1, (1,), generator=generator))
        box = slice(top, top + h), slice(left, left + w)
        drawn.append(PairDraw(pair.clip, pair.other, *box))
    return drawn


def mixup(video: torch.Tensor, pairs: list[PairDraw], alpha: float) -> torch.Tensor:
    """Mix in place and return `video` (N, T, 3, H, W): alpha * clip + (1 - alpha) * other.

    Frame by frame, so the other clip's motion comes in too, and its label with a share 1 - alpha
    (Zhang et al. 2018, eq. 1, with alpha fixed instead of drawn from a Beta distribution, as
    LocalStaticFaceMix has it fixed). Clips enter as they were before any mixing.
    """
    others = video[[pair.other for pair in pairs]]
    for pair, other in zip(pairs, others, strict=True):
        video[pair.clip].mul_(alpha).add_(other, alpha=1 - alpha)
    return video


def cutmix(video: torch.Tensor, pairs: list[PairDraw]) -> torch.Tensor:
    """Paste in place and return `video` (N, T, 3, H, W): the other clip inside the rectangle.

    The same rectangle in all frames, so the other clip moves inside it (Yun et al. 2019).
    """
    others = video[[pair.other for pair in pairs]]
    for pair, other in zip(pairs, others, strict=True):
        video[pair.clip, ..., pair.rows, pair.columns] = other[..., pair.rows, pair.columns]
    return video


def own_share(
    pairs: list[PairDraw], video: torch.Tensor, alpha: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which other clip's label counts, and how much the own does.

    Args:
        pairs: who is mixed with whom.
        video: (N, T, 3, H, W).
        alpha: share of the own clip in `mixup`; without it the part of the frame outside the
            rectangle (`cutmix`).

    Returns:
        Positions (N,) and shares in [0, 1] (N,). A clip that is not mixed is its own other, with
        share 1.
    """
    other, share = torch.arange(len(video)), torch.ones(len(video))
    for pair in pairs:
        other[pair.clip] = pair.other
        pasted = video[0, 0, 0, pair.rows, pair.columns].numel() / video[0, 0, 0].numel()
        share[pair.clip] = 1 - pasted if alpha is None else alpha
    return other, share


def random_crop(video: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Cut a square out of each clip (N, T, 3, H, H), `share` as wide, at a place that is drawn.

    One place per clip, the same for all its frames, or the face would seem to jump.
    """
    side = round(share * video.shape[-1])
    spare = video.shape[-1] - side  # pixels that are left out, in rows and in columns
    places = torch.randint(spare + 1, (len(video), 2), generator=generator).tolist()
    cut = [
        clip[..., y : y + side, x : x + side] for clip, (y, x) in zip(video, places, strict=True)
    ]
    return torch.stack(cut)


def centre_crop(video: torch.Tensor, share: float) -> torch.Tensor:
    """Cut the square in the middle out of pictures (..., H, H), `share` as wide (in testing)."""
    side = round(share * video.shape[-1])
    first = (video.shape[-1] - side) // 2
    return video[..., first : first + side, first : first + side]


def flip(video: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
    """Mirror the clips (N, T, 3, H, W) where `flipped` (N,) is True; the caller swaps the text.

    Two of the released configurations flip the frames and leave "left brow" in the sentence.
    """
    return torch.where(flipped.view(-1, 1, 1, 1, 1).to(video.device), video.flip(-1), video)


def photometric_jitter(
    video: torch.Tensor, strength: float, generator: torch.Generator
) -> torch.Tensor:
    """Change contrast, brightness and colour of normalised clips (N, T, 3, H, W).

    One draw per clip, the same for all its frames: contrast 1 + U(-s, s), brightness and each
    colour channel shifted by U(-s, s) standard deviations.
    """
    if strength == 0:
        return video
    draws = torch.rand(len(video), 5, generator=generator).to(video) * 2 - 1
    contrast = 1 + strength * draws[:, 0].view(-1, 1, 1, 1, 1)
    shift = strength * (draws[:, 1:2] + 0.5 * draws[:, 2:]).view(-1, 1, 3, 1, 1)
    return video * contrast + shift
