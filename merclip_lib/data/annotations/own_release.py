"""A set that we do not know: how its annotation file is written, named once and found again.

What you name is kept as NAME.release.yaml beside the clip table, a few lines to read and to edit:

    fps: 100
    pictures: "{subject}/{clip}"
    columns: {subject: Person, clip: Video, onset: Start, offset: End, emotion: Label}
    emotions: {joy: happiness}
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from merclip_lib.data.annotations import releases
from merclip_lib.data.annotations.sheets import with_headings
from merclip_lib.files import did_you_mean

MAPPINGS = ("columns", "emotions")
START: dict[str, Any] = {"fps": None, "pictures": "{subject}/{clip}", "columns": {}, "emotions": {}}


def own_values(file: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a release file says, with changes.

    Args:
        file: NAME.release.yaml; it need not be there yet.
        changes: of the keys fps, pictures, columns and emotions; the latter two are added to.

    Raises:
        ValueError: the file cannot be read, or neither it nor the changes name a column.
    """
    name, kept = _name(file), {}
    if file.is_file():
        try:
            kept = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{file}: cannot be read ({error}); delete it and name all") from None
        sound = isinstance(kept, dict) and {*MAPPINGS} <= kept.keys() <= START.keys()
        if not sound or not all(isinstance(kept[key], dict | None) for key in MAPPINGS):
            raise ValueError(f"{file}: has other keys than {', '.join(START)}; mend or delete it")
    elif not changes.get("columns"):
        wrong = f"dataset {name!r} is unknown{did_you_mean(name, releases.RELEASES)}"
        remedy = "of a set of your own name the headings once, such as --columns subject=Person"
        raise ValueError(f"{wrong}; {remedy} clip=Video emotion=Label --fps 100")
    values = START | kept | {key: value for key, value in changes.items() if value is not None}
    for key in MAPPINGS:
        values[key] = (kept.get(key) or {}) | dict(changes.get(key, {}))
    return values


def own_release(file: Path, values: Mapping[str, Any]) -> releases.Release:
    """The release that `own_values` describe; `file` is named in messages.

    Raises:
        ValueError: for a value that cannot be right.
    """
    fps, pictures = values["fps"], str(values["pictures"])
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise ValueError(f"{file}: fps is {fps}; give the frames per second, such as --fps 100")
    try:
        pictures.format(subject="1", clip="a", emotion="fear")
    except (ValueError, LookupError, AttributeError):
        hint = f"write such as {START['pictures']!r}"
        raise ValueError(f"{file}: pictures is {pictures!r}; {hint}") from None
    emotions = {"other": "others"}
    emotions |= {str(a).lower(): str(b).lower() for a, b in values["emotions"].items()}
    for theirs, ours in emotions.items():
        if releases.EMOTIONS.get(ours, ours) not in releases.KNOWN_EMOTIONS:
            hint = did_you_mean(ours, releases.KNOWN_EMOTIONS)
            raise ValueError(f"{file}: emotions makes {theirs!r} {ours!r}, which is unknown{hint}")
    release = releases.Release(_name(file), fps, "", pictures, emotions, releases.OWN_HEADINGS)
    return with_headings(release, values["columns"], f"{file}: columns")


def _name(file: Path) -> str:
    """The data set's name, from that of its release file."""
    name = file.name.removesuffix(".release.yaml")
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name in ("synthme", "any"):
        raise ValueError(f"dataset {name!r}: name it in small letters and digits, such as mine")
    return name
