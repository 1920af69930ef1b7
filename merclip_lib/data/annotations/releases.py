"""How each dataset writes its annotation file: headings, numbering, names of emotions, folders.

Headings and oddities are those of the official releases, as their papers and public programs that
read them describe; where releases differ, several headings are accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Release:
    """How one dataset writes its annotations.

    columns: field -> accepted headings, plain (see `sheets.plain`); "" among them marks a field
    that may be absent. subject: format of the subject's number, "" keeps the text. frames: where
    a clip's pictures lie below the data root, `emotion` as the file has it. order: the fields
    column by column, where the official file has no header. emotions: names that the set writes
    in more than one way. own_folder: the folder holds this clip alone, so that its first and last
    picture can stand in for an onset or offset that the file gets wrong. first_frame: the number
    of a video's first picture. names: a pattern of the set's own clip or subject names, by which
    a file of another set is recognised.
    """

    columns: Mapping[str, tuple[str, ...]]
    fps: int
    subject: str = ""
    frames: str = "{subject}/{clip}"
    order: tuple[str, ...] = ()
    emotions: Mapping[str, str] = field(default_factory=dict)
    own_folder: bool = True
    first_frame: int = 0
    names: str = ""


_COMMON = {
    "onset": ("onsetframe", "onset", "onsetf", "onsetf1", "onsetnumber", "firstframe", "firstf"),
    "apex": ("apexframe", "apex", "apexf", "apexf1", "apexnumber", ""),
    "offset": (
        "offsetframe",
        "offset",
        "offsetf",
        "offsetf1",
        "offsetnumber",
        "lastframe",
        "lastf",
    ),
    "subject": ("subject", "subjectid", "subid", "subjectno", "participant", "sub"),
    "clip": ("filename", "foldname", "clip", "file", "video", "videoname", "name"),
    "action_units": ("actionunits", "actionunit", "aus", "au", "facs"),
    "emotion": ("estimatedemotion", "emotion", "emotions", "label", "emotionlabel"),
}


_CASME2SQ = ("subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "kind", "")


_OTHERS = {"other": "others"}


RELEASES = {
    "casme2": Release(
        _COMMON, 200, "{:02d}", "sub{subject}/{clip}", emotions=_OTHERS, names=r"EP\d+_\d+f?"
    ),
    "samm": Release(_COMMON, 200, "{:03d}", emotions={"others": "other"}, names=r"\d{3}_\d+_\d+"),
    "smic": Release(
        _COMMON | {"action_units": ("",), "emotion": (*_COMMON["emotion"], "")},
        100,
        "s{:d}",
        "{subject}/micro/{emotion}/{clip}",
        names=r"s\d+_(ne|po|sur)_\d+",
    ),
    "casme3": Release(
        _COMMON,
        30,
        frames="{subject}/{clip}/color",
        emotions=_OTHERS,
        own_folder=False,
        first_frame=1,
        names=r"spNO\.\d+",
    ),
    "dfme": Release(
        _COMMON | {"split": ("split", "set", "subset", "partition", "")},
        200,
        frames="{clip}",
        emotions=_OTHERS,
    ),
    # The sheet's `others` are the paper's repression.
    "mmew": Release(
        _COMMON,
        90,
        "{:02d}",
        "{emotion}/{clip}",
        emotions={"others": "repression", "other": "repression"},
    ),
    "4dme": Release(_COMMON, 60, emotions=_OTHERS),
    "casme": Release(
        _COMMON, 60, "{:02d}", "sub{subject}/{clip}", emotions=_OTHERS, names=r"EP\d+_\d+f?"
    ),
    "casme2sq": Release(
        _COMMON | {"kind": ("expressiontype", "type", "microormacro", "")},
        30,
        order=_CASME2SQ,
        emotions=_OTHERS,
        own_folder=False,
    ),
}


# Other spellings seen in the files.
EMOTIONS = {
    "happy": "happiness",
    "happyness": "happiness",
    "happyiness": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "disgusted": "disgust",
    "surprised": "surprise",
    "suprise": "surprise",
    "feared": "fear",
}


# SMIC names its clips s1_ne_01, s1_po_01, s1_sur_01.
SMIC_EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
