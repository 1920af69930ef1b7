"""All that can be said about one clip, on one HTML page that needs no other file."""

import html
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from merclip_lib import figures
from merclip_lib.files import Kind, output_place, write_bytes, write_text
from merclip_lib.look.face import Aligned, align_footage, show_marks
from merclip_lib.look.flow import REGIONS, Motion, measure
from merclip_lib.look.magnification import edge_fade, magnify, shown_frames
from merclip_lib.look.network import load_network
from merclip_lib.look.reading import Reader, Reading
from merclip_lib.look.spotting import Interval, spot
from merclip_lib.look.video import MOST_FRAMES, Footage, open_footage, write_video
from merclip_lib.progress import say
from merclip_lib.runs.executors import in_one_thread

SLOW = 12  # frames per second of the animations
TEMPLATE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
PAGE = Kind(("<!doctype html>", ".summary {"))
DRAWN_ONLY = "THESE WEIGHTS HAVE SEEN DRAWN FACES ONLY"


@dataclass(frozen=True)
class LookSettings:
    """How a clip is looked at.

    Attributes:
        align: `mesh`, `none`, or "" to choose by the source.
        factor: of the magnification.
        fps: of a folder of pictures.
        network: whether a network reads the clip.
        run: a run's folder, or run/fold, whose network reads; "" is the library's.
    """

    align: str = ""
    factor: float = 8.0
    fps: float = 30.0
    network: bool = True
    run: str = ""


@dataclass(frozen=True)
class Look:
    """What was seen in a clip.

    Attributes:
        footage: where it came from.
        aligned: its face in one place.
        motion: how the skin moved.
        intervals: proposed expressions, the strongest first.
        magnified: (M, S, S, 3) uint8, the strongest one magnified.
        plain: the same frames as they are.
        reading: of a network, or None.
        stamp: what must be known before believing the reading.
    """

    footage: Footage
    aligned: Aligned
    motion: Motion
    intervals: list[Interval]
    magnified: np.ndarray
    plain: np.ndarray
    reading: Reading | None
    stamp: str


def look(source: str, settings: LookSettings | None = None, folder: Path | None = None) -> Look:
    """Look at a clip.

    Args:
        source: a video, a folder of pictures, STORE:CLIP or synthme:PERSON/CLIP.
        settings: how.
        folder: where its page will go; what may not be replaced there is said at once, and of a
            video or a folder of pictures that the work has begun. None is silent.

    Raises:
        ValueError: there is no such clip, no face in it, or no such network; or as `page_place`.
    """
    settings = settings or LookSettings()
    footage = open_footage(source, settings.fps)
    if folder:
        page_place(folder, footage)
    network = load_network(settings.run) if settings.network else None
    if folder and footage.source:
        say(f"{footage.name}: following the face frame by frame; {MOST_FRAMES} frames take minutes")
    aligned = align_footage(footage, settings.align)
    motion = measure(aligned)
    intervals = spot(motion)
    strongest = intervals[0] if intervals else None
    shown = shown_frames(aligned, strongest)
    onset = int(np.searchsorted(aligned.times, strongest.onset)) if strongest else int(shown[0])
    magnified = magnify(aligned, motion, shown, onset, settings.factor)
    reading = in_one_thread(lambda: Reader(network).read(aligned, strongest)) if network else None
    stamp = DRAWN_ONLY if network and network.drawn_only else ""
    if network and footage.people in network.people:
        stamp += "; AND THIS PERSON WAS SEEN IN TRAINING"
    plain = aligned.frames[shown]
    return Look(footage, aligned, motion, intervals, magnified, plain, reading, stamp.strip("; "))


def page_place(folder: Path, footage: Footage) -> Path:
    """Where the page of a clip goes; its GIF and its MP4 lie beside it under the same name.

    Raises:
        ValueError: one of them would replace what is looked at, or another file of the user's.
    """
    inputs, place = [footage.source] if footage.source else [], folder / f"{footage.name}.html"
    page = output_place(place, PAGE, inputs)
    for path in (place.with_suffix(".gif"), place.with_suffix(".mp4")):
        output_place(path, Kind() if page.exists() else PAGE, inputs)
    return place


def write_page(seen: Look, folder: Path, settings: LookSettings) -> Path:
    """Write page, GIF and MP4 of a clip.

    Returns:
        The page.

    Raises:
        ValueError: as `page_place`, or the folder cannot be written.
    """
    page = page_place(folder, seen.footage)
    moving = figures.gif(seen.magnified, 1000 // SLOW)
    aligned, motion = seen.aligned, seen.motion
    marks = "no" if aligned.marks is None else len(aligned.marks)
    facts = [f"{len(aligned.frames)} frames, {aligned.fps:.3g} per second; {marks} landmarks"]
    facts += [f"eyes {motion.eye_pixels:.0f} pixels apart", *map(html.escape, aligned.notes)]
    parts = {
        "name": html.escape(seen.footage.name),
        "summary": summary(seen),
        "plain": figures.animation(seen.plain, 1000 // SLOW),
        "magnified": figures.embedded(moving, "gif"),
        "factor": f"{settings.factor:g}",
        "course": figures.embedded(figures.png(course_figure(seen))),
        "faces": figures.embedded(figures.png(faces_figure(seen))),
        "intervals": _table(interval_table(seen.intervals, motion)),
        "reading": _reading(seen),
        "facts": "; ".join(facts),
        "truth": _truth(seen.footage),
    }
    write_text(page, TEMPLATE.substitute(parts))  # first: it marks the others as ours
    write_bytes(page.with_suffix(".gif"), moving)
    write_video(page.with_suffix(".mp4"), seen.magnified, SLOW)
    return page


def write_gif(seen: Look, file: Path, height: int) -> None:
    """Write the magnified motion as a GIF of a height in pixels."""
    write_bytes(file, figures.gif(seen.magnified, 1000 // SLOW, height))


def summary(seen: Look) -> str:
    """The strongest expression in words."""
    if not seen.intervals:
        return "Nothing rises above the noise: no expression is proposed."
    best = seen.intervals[0]
    pixels = best.strength * seen.motion.eye_pixels
    where = f"The face moves most at {best.apex:.2f} s, at the {best.region}: {best.strength:.3f}"
    when = f"from {best.onset:.2f} to {best.offset:.2f} s; confidence {best.confidence:.2f}."
    return f"{where} eye distances ({pixels:.2f} pixels of the video), {when}"


def interval_table(intervals: list[Interval], motion: Motion) -> pd.DataFrame:
    """The proposed expressions as a table: seconds, strength in eye distances and in pixels."""
    pixels = motion.eye_pixels
    rows = [asdict(i) | {"micro": i.micro, "pixels": i.strength * pixels} for i in intervals]
    return pd.DataFrame(rows).round(3)


def course_figure(seen: Look) -> Figure:
    """How far each region has moved over time, with the proposed expressions."""
    table = pd.DataFrame(seen.motion.strength, columns=list(REGIONS))
    spans = [(i.onset, i.apex, i.offset) for i in seen.intervals]
    title = f"{seen.footage.name}: how far the skin has moved"
    return figures.courses(seen.aligned.times, table, spans, title, "eye distances")


def faces_figure(seen: Look) -> Figure:
    """First frame with landmarks; apex, magnified apex and where the skin moves at the apex."""
    aligned, best = seen.aligned, seen.intervals[0] if seen.intervals else None
    times, size, shown = aligned.times, len(aligned.frames[0]), shown_frames(aligned, best)
    apex = int(np.abs(times - best.apex).argmin()) if best else len(times) // 2
    strength = np.linalg.norm(seen.motion.fields[apex].astype(np.float32), axis=-1)
    heat = cv2.resize(strength, (size, size)) * edge_fade(size)
    plain, magnified = aligned.frames[apex], seen.magnified[np.abs(shown - apex).argmin()]
    pictures = np.stack([show_marks(aligned), plain, magnified, plain])
    heats = np.stack([0 * heat, 0 * heat, 0 * heat, heat])
    names = ["first frame", "apex", "apex, magnified", "motion at the apex"]
    title = f"{seen.footage.name}: the face, and where it moves"
    return figures.relevance_overlay(pictures[None], heats[None], names, title=title, cell=1.7)


def relevance_figure(seen: Look, reading: Reading) -> Figure:
    """Which movement moved the network's answer, over the frames that it saw."""
    pictures, heats = reading.pictures[None], reading.relevance[None]
    names = [f"time {k + 1}" for k in range(len(reading.pictures))]
    title = f"{seen.footage.name}: what spoke for {next(iter(reading.emotions))}"
    return figures.relevance_overlay(pictures, heats, names, title=title, cell=1.7)


def _reading(seen: Look) -> str:
    reading = seen.reading
    if reading is None:
        return "<p>No network was asked.</p>"
    stamp = f'<p class="stamp">{html.escape(seen.stamp)}</p>' if seen.stamp else ""
    tables = {
        "Nearest sentences": reading.sentences,
        "Action units, highest first: cosine less that of the still face": reading.units.head(6),
        "Emotion": pd.DataFrame(reading.emotions.items(), columns=["emotion", "probability"]),
    }
    parts = [f"<div><h3>{name}</h3>{_table(each.round(3))}</div>" for name, each in tables.items()]
    figure = figures.embedded(figures.png(relevance_figure(seen, reading)))
    return f'{stamp}<div class="tables">{"".join(parts)}</div>{figure}'


def _truth(footage: Footage) -> str:
    if not footage.truth:
        return ""
    known = {k: f"{v:.2f} s" if isinstance(v, float) else v for k, v in footage.truth.items()}
    text = ", ".join(f"{name} {value}" for name, value in known.items()).replace("_", " ")
    return f"<p><b>Known of this clip:</b> {html.escape(text)}.</p>"


def _table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0) if len(table) else "<p>None.</p>"
