"""Long SynthME videos with known truth: a face at rest that shows an expression now and then.

To try spotting on. The fall of an expression is a rise drawn backwards, so that the face comes
back to rest; drift of the head, flicker, noise and blinks go on all the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from merclip_lib.look.video import DRAWN, Footage
from merclip_lib.synthme.draw import SENSOR_NOISE
from merclip_lib.synthme.face import draw_face
from merclip_lib.synthme.motion import Expression, Nuisance, perform, wander
from merclip_lib.synthme.populations import EXAMPLE

SHOWN = ("4", "12", "1+2", "4+7", "14", "10", "15", "9", "6+12", "17")  # drawn from these
DRIFT = 2.0  # of the head, in those of a SynthME clip
BLINK = 0.06  # seconds, standard deviation


@dataclass(frozen=True)
class LongVideo:
    """How a video is drawn.

    Attributes:
        subject: number of the person; those from 16 on are not in SynthME.
        seconds: how long it is, about.
        expressions: how many it shows; 0 is a face at rest.
        fps: frames per second.
        intensity: range of the units' intensities.
        seed: of all draws.
    """

    subject: int = 16
    seconds: float = 8.0
    expressions: int = 3
    fps: float = 60.0
    intensity: tuple[float, float] = (0.2, 0.45)
    seed: int = 0


def draw_long(video: LongVideo) -> tuple[Footage, list[tuple[float, float, float]]]:
    """Draw a video.

    Returns:
        The footage, whose frames are drawn as they are read, and onset, apex and offset of each
        expression, in seconds.
    """
    rng = np.random.default_rng([video.seed, video.subject])
    count = round(video.seconds * video.fps)
    nuisance = _nuisance(count, video.fps, rng)
    room, parts, truth = count // max(1, video.expressions), [], []
    if video.expressions and room < 0.5 * video.fps + 3:
        raise ValueError(f"{video.expressions} expressions need more than {video.seconds} seconds")
    for k in range(video.expressions):
        rise, fall = (round(video.fps * rng.uniform(0.1, 0.25)) for _ in range(2))
        onset = k * room + int(rng.integers(1, room - rise - fall - 1))
        apex, offset = onset + rise, onset + rise + fall
        units = [(int(unit), "") for unit in str(rng.choice(SHOWN)).split("+")]
        strengths = [float(rng.uniform(*video.intensity)) for _ in units]
        parts.append((onset, apex, offset, Expression(units, strengths, 0.5)))
        truth.append((onset / video.fps, apex / video.fps, offset / video.fps))
    timed = ((k / video.fps, frame) for k, frame in enumerate(_frames(video, parts, nuisance)))
    name = f"{EXAMPLE.name}-long-{video.subject}-{video.seed}"
    return Footage(name, timed, cropped=True), truth


def _nuisance(count: int, fps: float, rng: np.random.Generator) -> Nuisance:
    """Drift and light of a whole video, and a blink every three seconds or so."""
    times = np.arange(count) / fps
    blinks = rng.uniform(0, times[-1], max(1, round(times[-1] / 3)))
    blink = np.exp(-(((times[:, None] - blinks) / (2 * BLINK)) ** 4)).max(1)
    return replace(wander(count, rng, DRIFT, SENSOR_NOISE), blink=blink)


def _frames(video: LongVideo, parts: list, nuisance: Nuisance) -> Iterator[np.ndarray]:
    """Rest, rise, fall, rest ..., one frame after the other."""
    face, begun = draw_face(EXAMPLE.seed, video.subject, DRAWN), 0
    rest = Expression([(4, "")], [0.0], 0.5)

    def shown(expression: Expression, first: int, last: int, way: int, seed: int) -> np.ndarray:
        """Frames first .. last - 1: the first half of a symmetric clip, or (-1) it backwards."""
        order = np.arange(first, last)[::way]
        whole = np.concatenate([order, order[-2::-1]])
        drift, light, blink = nuisance.drift, nuisance.light, nuisance.blink
        around = Nuisance(drift[whole], light[whole], blink[whole], nuisance.noise)
        rng = np.random.default_rng([video.seed, seed])
        return perform(face, expression, around, rng, grid=1)[0][: len(order)][::way]

    for k, (onset, apex, offset, expression) in enumerate(parts):
        yield from shown(rest, begun, onset, 1, 2 * k)
        yield from shown(expression, onset, apex + 1, 1, 2 * k + 1)
        yield from shown(expression, apex, offset + 1, -1, 2 * k + 1)[1:]
        begun = offset + 1
    if begun < len(nuisance.light):
        yield from shown(rest, begun, len(nuisance.light), 1, 2 * len(parts))
