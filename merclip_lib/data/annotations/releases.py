"""How each dataset writes its annotation file: headings, numbering, names of emotions, folders.

Headings and oddities are those of the official releases, as their papers and public programs that
read them describe; where releases differ, several headings are accepted.
"""

from collections.abc import Mapping
from typing import NamedTuple

# field -> accepted headings, as `sheets.normalise` makes them; "-": the field may be absent
_HEADINGS = {
    "onset": "onsetframe onset onsetf onsetf1 onsetnumber firstframe firstf",
    "apex": "apexframe apex apexf apexf1 apexnumber -",
    "offset": "offsetframe offset offsetf offsetf1 offsetnumber lastframe lastf",
    "subject": "subject subjectid subid subjectno participant sub",
    "clip": "filename foldname clip file video videoname name",
    "action_units": "actionunits actionunit aus au facs",
    "emotion": "estimatedemotion emotion emotions label emotionlabel",
    "fps": "fps framerate framespersecond -",
}


class Release(NamedTuple):
    """How one dataset writes its annotations.

    Attributes:
        dataset: its name in clip tables.
        fps: frames per second, where the file has no column of them.
        subject: format of the subject's number; "" keeps the text.
        frames: where a clip's pictures lie below the data root, `emotion` as the file has it.
        emotions: names that the set writes in more than one way.
        headings: field -> accepted headings; "-" among them marks a field that may be absent.
        order: the fields column by column, where the official file has no header; "" is skipped.
        folder_per_clip: a folder holds one clip alone, so that its first and last picture can stand
            in for an onset or offset that the file gets wrong.
        first_frame: the number of a video's first picture.
    """

    dataset: str
    fps: float
    subject: str = ""
    frames: str = "{subject}/{clip}"
    emotions: Mapping[str, str] = {"other": "others"}
    headings: Mapping[str, str] = _HEADINGS
    order: tuple[str, ...] = ()
    folder_per_clip: bool = True
    first_frame: int = 0


# Of a set that we do not know: without frame numbers the whole folder or video is the clip.
_SPLIT = {"split": "split set subset partition -"}
_PERHAPS = {name: f"{_HEADINGS[name]} -" for name in ("onset", "offset", "action_units")}
OWN_HEADINGS = _HEADINGS | _PERHAPS | _SPLIT
_SMIC = _HEADINGS | {"action_units": "-", "emotion": _HEADINGS["emotion"] + " -"}
_DFME = _HEADINGS | _SPLIT
_CASME2SQ = _HEADINGS | {"kind": "expressiontype type microormacro -"}
_NO_HEADER = ("subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "kind", "")
_REPRESSION = {"others": "repression", "other": "repression"}  # as the paper of MMEW says
RELEASES = {
    release.dataset: release
    for release in (
        Release("casme2", 200, "{:02d}", "sub{subject}/{clip}"),
        Release("samm", 200, "{:03d}", emotions={"others": "other"}),
        Release("smic", 100, "s{:d}", "{subject}/micro/{emotion}/{clip}", {}, _SMIC),
        Release("casme3", 30, "", "{subject}/{clip}/color", folder_per_clip=False, first_frame=1),
        Release("dfme", 200, frames="{clip}", headings=_DFME),
        Release("mmew", 90, "{:02d}", "{emotion}/{clip}", _REPRESSION),
        Release("4dme", 60),
        Release("casme", 60, "{:02d}", "sub{subject}/{clip}"),
        Release("casme2sq", 30, headings=_CASME2SQ, order=_NO_HEADER, folder_per_clip=False),
    )
}
# Patterns of clip or subject names, by which the file of another set is recognised.
NAMES = {
    "casme2": r"(?i)EP\d+_\d+f?",
    "samm": r"(?i)\d{3}_\d+_\d+",
    "smic": r"(?i)s\d+_(ne|po|sur)_\d+",
    "casme3": r"(?i)spNO\.\d+",
    "casme": r"(?i)EP\d+_\d+f?",
}
# Other spellings seen in the files.
EMOTIONS = {
    **dict.fromkeys(("happy", "happyness", "happyiness"), "happiness"),
    **dict.fromkeys(("surprised", "suprise"), "surprise"),
    **{"sad": "sadness", "angry": "anger", "disgusted": "disgust", "feared": "fear"},
}
# Classes of the sets, and what subjects of CASME, CAS(ME)^2 and 4DME reported.
KNOWN_EMOTIONS = tuple(
    "anger contempt disgust fear happiness sadness surprise others other repression negative "
    "positive tense confused helpless pain sympathy neutral".split()
)
# SMIC names its clips s1_ne_01, s1_po_01, s1_sur_01.
SMIC_EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
