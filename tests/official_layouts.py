"""Synthetic clips on disk as each official release lays out its folders.

`lay_out` writes clips of SynthME as pictures and returns what `official_annotations` takes, so a
copy of any licensed set can be played through without a licence. Emotions of SynthME are renamed
to ones that the set has.
"""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import pandas as pd

_CASME2 = {"anger": "repression", "fear": "repression", "sadness": "repression"}
_SAMM = {"disgust": "contempt", "fear": "anger", "sadness": "other", "others": "other"}
_SMIC = dict.fromkeys(("anger", "disgust", "fear", "sadness", "others"), "negative")
_DFME = {"others": "contempt"}
_FOUR = {
    "anger": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sadness": "negative",
    "happiness": "positive",
}
_SHORT = {"negative": "ne", "positive": "po", "surprise": "sur"}


@dataclass(frozen=True)
class Release:
    """Folder of a clip and name of a picture below the data root; n is the subject, k the clip."""

    folder: str
    picture: str
    clip: str
    subject: str = ""  # as the annotation file has it, "" for the number
    emotions: dict = field(default_factory=dict)


RELEASES = {
    "casme2": Release(
        "CASME2/Cropped/sub{n:02d}/{clip}", "reg_img{frame}.jpg", "EP{k:02d}_01f", emotions=_CASME2
    ),
    "casme2-raw": Release(
        "CASME2-RAW/sub{n:02d}/{clip}", "img{frame}.jpg", "EP{k:02d}_01f", emotions=_CASME2
    ),
    "samm": Release(
        "SAMM/{n:03d}/{clip}", "{n:03d}_{frame:05d}.jpg", "{n:03d}_1_{k}", emotions=_SAMM
    ),
    "smic": Release(
        "SMIC_all_cropped/HS/s{n}/micro/{emotion}/{clip}",
        "reg_image{frame:06d}.bmp",
        "s{n}_{short}_{k:02d}",
        emotions=_SMIC | {"happiness": "positive"},
    ),
    "smic-long": Release(
        "HS_long/SMIC-HS-E/s{n:02d}/{clip}",
        "image{frame:06d}.jpg",
        "s{n}_{short}_{k:02d}",
        emotions=_SMIC | {"happiness": "positive"},
    ),
    "casme3": Release("part_A/spNO.{n}/{clip}/color", "{frame}.jpg", "{letter}"),
    "dfme": Release("train/{clip}", "{frame:05d}.png", "sub{n}_{k:03d}", "sub{n}", _DFME),
    "mmew": Release(
        "MMEW_Final/Micro_Expression/{emotion}/{clip}", "{frame}.jpg", "S{n:02d}-01-{k:03d}"
    ),
    "4dme": Release(
        "gray_micro_crop/{n:02d}/{clip}", "{frame:05d}.jpg", "{n:02d}_{k}", "{n:02d}", _FOUR
    ),
    "casme": Release(
        "CASME/Cropped/sub{n:02d}/{clip}",
        "reg_{clip}-{frame:03d}.jpg",
        "EP{k:02d}_02",
        emotions=_CASME2,
    ),
    "casme2sq": Release(
        "selectedpic/s{folder}/{clip}", "img{frame}.jpg", "{emotion}{k}_1", emotions=_FOUR
    ),
}


def lay_out(store, root: Path, release: str, suffix: str = "") -> list[dict]:
    """Write every clip of a synthetic store; the clips as the annotation writers take them.

    Frame numbers begin at the clip's own onset; `suffix` asks for another picture format.
    """
    style, clips = RELEASES[release], []
    for position, row in enumerate(store.table.to_dict("records")):
        n, k = int(row["subject"].rpartition("p")[2]), int(row["clip"].lstrip("c"))
        emotion = style.emotions.get(row["emotion"], row["emotion"])
        said = {
            "n": n,
            "k": k,
            "emotion": emotion,
            "short": _SHORT.get(emotion, ""),
            "letter": chr(96 + k),
            "folder": n + 14,
        }
        clip = style.clip.format(**said)
        folder = root / style.folder.format(clip=clip, **said)
        folder.mkdir(parents=True)
        onset, frames = int(row["onset"]), store.frames[position]
        for step, frame in enumerate(frames):
            name = style.picture.format(clip=clip, frame=onset + step, **said)
            path = (folder / name).with_suffix(suffix) if suffix else folder / name
            assert cv2.imwrite(str(path), frame[..., ::-1])
        rise = (row["apex"] - row["onset"]) / (row["offset"] - row["onset"])
        clips.append(
            {
                "subject": style.subject.format(n=n) if style.subject else n,
                "clip": clip,
                "onset": onset,
                "apex": onset + round(rise * (len(frames) - 1)),
                "offset": onset + len(frames) - 1,
                "action_units": row["action_units"],
                "emotion": emotion,
            }
        )
    return clips


def tables_agree(made: pd.DataFrame, clips: list[dict]) -> bool:
    """Whether a clip table says of onset, apex and offset what was written, in order.

    SMIC gives no apex.
    """
    names = ["onset", "offset"] if made["apex"].isna().all() else ["onset", "apex", "offset"]
    wanted = [[one[name] for name in names] for one in clips]
    return made[names].astype(int).to_numpy().tolist() == wanted
