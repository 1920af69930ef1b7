"""One row of an annotation file to one row of a clip table, or the reason why not.

Values are text as `sheets` reads them. What can be mended is mended and reported (an apex outside
its clip is left empty, an onset or offset that cannot be right is taken from the pictures); what
cannot be is refused with a ValueError that the reader puts into its report.
"""

import contextlib
import re
from unicodedata import normalize

from merclip_lib.data.annotations.releases import EMOTIONS, SMIC_EMOTIONS, Release
from merclip_lib.data.annotations.sheets import normalise
from merclip_lib.data.frames.find import DataRoot, picture_span
from merclip_lib.data.table import person_key
from merclip_lib.text import facs

_MISSING = frozenset({"", "/", "-", "?", "-1", "nan", "n/a", "na", "none", "null", "#n/a"})
_NUMBER_AT_END = re.compile(r"(?:^|[^0-9.,]|[^0-9][.,])([0-9]{1,9})$")  # not the 5 of 1.5
_LONGEST = 200  # signs of a cell; a name of a folder has at most 255 bytes
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(  # what spreadsheet programs make of 2-1, 4/7, 1:20 and 1E5
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}( .*)?|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}|"
    rf"[0-9]{{1,2}}[-. ]{_MONTH}|{_MONTH}[-. ][0-9]{{2,4}}|"
    r"([0-9]+ days?, )?[0-9]{1,2}:[0-9]{2}(:[0-9]{2}.*)?|[0-9.]+e\+[0-9]+",
    re.IGNORECASE,
)
_FPS = re.compile(r"([0-9]+(?:[.,][0-9]+)?)\s*(?:fps|hz)?", re.IGNORECASE)


def clip_row(values: dict[str, str], release: Release, root: DataRoot | None) -> tuple[dict, str]:
    """Make the row of a clip table from a row of an annotation file.

    Args:
        values: field -> text of its cell, as `sound_values` returns them.
        release: how the dataset writes its annotations.
        root: the pictures, by which wrong frame numbers are repaired.

    Returns:
        The row (column -> value) and what was repaired, "" if nothing.

    Raises:
        ValueError: with the reason why the row cannot be taken.
    """
    clip = values["clip"]
    if not clip:
        raise ValueError("no clip name")
    if values.get("kind", "").lower().startswith("macro"):
        raise ValueError("a macro-expression")
    subject = _subject(values["subject"], release.subject)
    written = _written_emotion(values, release.dataset)
    emotion = EMOTIONS.get(written, written)
    frames = release.frames.format(subject=subject, clip=clip, emotion=written)
    pictures = root if release.folder_per_clip else None
    numbers, repairs = _frame_numbers(values, release, pictures, frames)
    if values.get("emotion", "").isdecimal():
        repairs.append(f"emotion {values['emotion']} is a code, {written!r} is in the clip's name")
    action_units = values.get("action_units", "")
    facs.parse(action_units)
    row = {
        "clip_id": f"{release.dataset}_{subject}_{clip}_{numbers['onset']}",
        "dataset": release.dataset,
        "subject": subject,
        "clip": clip,
        **numbers,
        "fps": _fps(values.get("fps", ""), release.fps),
        "action_units": action_units,
        "emotion": release.emotions.get(emotion, emotion),
        "frames": frames,
    }
    if "split" in values:
        row["split"] = split_named(values["split"]) or values["split"]
        repairs += ["no split given: where it decides, the clip is held out"] * (not row["split"])
    return row, "; ".join(repairs)


def sound_values(values: dict[str, str]) -> dict[str, str]:
    """The cells of a row with plain digits and letters, "" where a cell says that there is nothing.

    The name of a clip stays as its folder's.

    Raises:
        ValueError: for a cell that a spreadsheet program has spoilt, or that is too long.
    """
    values = {k: text if k == "clip" else _plain_signs(text) for k, text in values.items()}
    values = {k: "" if text.lower() in _MISSING else text for k, text in values.items()}
    for name, text in values.items():
        if text.startswith("="):
            remedy = "open the file in a spreadsheet program and save it"
            raise ValueError(f"{name} is the formula {text!r} without its value; {remedy}")
        if re.fullmatch("#[A-Z/0]+[!?]", text):
            raise ValueError(f"{name} is the error {text} of a formula; mend it in the file")
        if len(text) > _LONGEST:
            raise ValueError(f"{name} has {len(text)} signs, at most {_LONGEST} can be right")
        if name in ("subject", "clip", "action_units", "emotion") and _DATE.fullmatch(text):
            wrong = "is a date or number that a spreadsheet program made of the text"
            remedy = "write it again in a column of the format `text`"
            raise ValueError(f"{name} {text!r} {wrong}; {remedy}")
    return values


def _plain_signs(text: str) -> str:
    """Full-width and circled digits and letters as plain ones; other signs as written."""
    return "".join(normalize("NFKC", sign) if sign.isalnum() else sign for sign in text)


def _fps(text: str, usual: float) -> float:
    """Frames per second of a row, those of the release where the cell is empty."""
    if not text:
        return usual
    number = _FPS.fullmatch(text)
    fps = float(number[1].replace(",", ".")) if number else 0
    if not 0 < fps <= 100_000:
        raise ValueError(f"fps {text!r} is not a number of frames per second")
    return fps


def _subject(text: str, form: str) -> str:
    """The subject in the release's form: 5, "5", "05" and "sub05" are one person."""
    if not text:
        raise ValueError("no subject")
    number = _NUMBER_AT_END.search(text)
    if form and not number:
        raise ValueError(f"subject {text!r} has no number")
    return form.format(int(number[1])) if form and number else text


def subject_key(text: str, form: str) -> str:
    """What two spellings of one subject share: "1", "01" and "sub01", or "spNO.1" and "spno.01"."""
    if form and (number := _NUMBER_AT_END.search(text)):
        return str(int(number[1]))
    return person_key(text)


def _written_emotion(values: dict[str, str], dataset: str) -> str:
    """The emotion as the file has it, in lower case; SMIC's may be in the clip's name alone."""
    written = values.get("emotion", "").lower()
    if dataset == "smic" and (not written or written.isdecimal()):
        part = re.search(r"_(ne|po|sur)_", values["clip"].lower())
        written = SMIC_EMOTIONS[part[1]] if part else ""
    if not written:
        raise ValueError("no emotion")
    if not any(map(str.isalpha, written)):
        raise ValueError(f"emotion {written!r} is not the name of one")
    return written


def _frame_numbers(
    values: dict[str, str], release: Release, root: DataRoot | None, frames: str
) -> tuple[dict[str, int | None], list[str]]:
    """Onset, apex (None: not annotated) and offset that can be right, and what was repaired."""
    onset, offset = _frame_number(values, "onset"), _frame_number(values, "offset")
    repairs = []
    try:
        apex = _frame_number(values, "apex")
    except ValueError as problem:
        apex = None
        repairs.append(f"{problem}, left empty")
    if onset is not None and onset < release.first_frame:
        repairs.append(f"onset {onset} becomes {release.first_frame}, the first picture")
        apex = release.first_frame if apex == onset else apex
        onset = release.first_frame
    if onset is None or offset is None or offset < onset:
        wrong = f"offset {offset} is before onset {onset}"
        wrong = "no onset" if onset is None else "no offset" if offset is None else wrong
        if (span := _span_below(root, frames)) is None:
            raise ValueError(wrong)
        onset, offset = span
        repairs.append(f"{wrong}: onset {onset} and offset {offset} from the pictures")
    if values.get("apex") == "":
        repairs.append("no apex given")
    elif apex is not None and not onset <= apex <= offset:
        repairs.append(f"apex {apex} outside {onset}-{offset}, left empty")
        apex = None
    return {"onset": onset, "apex": apex, "offset": offset}, repairs


def _frame_number(values: dict[str, str], name: str) -> int | None:
    """A frame number, None where the cell is empty."""
    text = values.get(name, "")
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{name} {text!r} is not a frame number")
    return int(text) if text else None


def _span_below(root: DataRoot | None, frames: str) -> tuple[int, int] | None:
    """The span of a clip's folder, None where it is not found or is a video."""
    with contextlib.suppress(ValueError):
        if root and (folder := root.find(frames, "")).is_dir():
            return picture_span(folder)
    return None


def split_named(text: str) -> str:
    """`train`, `test_a` or `test_b` where the text says so ("testA", "DFME_test_B"), else ""."""
    splits = ("test_a", "test_b", "train")
    return next((name for name in splits if name.replace("_", "") in normalise(text)), "")
