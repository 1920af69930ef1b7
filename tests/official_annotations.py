"""Annotation files in the layout of each official release, filled with rows that tests make up.

Each writer takes a list of dicts with subject, clip, onset, apex, offset, action_units, emotion
(and split for DFME) and returns the path. Subjects are numbers as the release counts them; a cell
may hold anything, so that a test can write a bad one. No row of a licensed set is in here.
"""

import csv

import openpyxl


def workbook(path, *sheets):
    """Write sheets, each a list of rows; returns the path."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet{number}")
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def clip(subject, name, onset=10, apex=20, offset=30, action_units="4", emotion="disgust", **more):
    """One made-up clip as the writers take it."""
    return {
        "subject": subject,
        "clip": name,
        "onset": onset,
        "apex": apex,
        "offset": offset,
        "action_units": action_units,
        "emotion": emotion,
        **more,
    }


def _row(one, *fields):
    return [one.get(field) if field else None for field in fields]


def write_casme2(path, clips, coding=2019):
    """CASME II: CASME2-coding-20140508.xlsx (subjects as text) or CASME2-coding-20190701.xlsx."""
    fields = ["subject", "clip", "", "onset", "apex", "offset", "", "action_units"]
    header = [
        "Subject",
        "Filename",
        None,
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        None,
        "Action Units",
    ]
    if coding == 2014:
        rows = [
            _row(one | {"subject": f"{one['subject']:02d}"}, *fields, "emotion") for one in clips
        ]
        return workbook(path, [[*header, "Estimated Emotion"], *rows])
    rows = [_row(one, *fields, "objective", "emotion") for one in clips]
    return workbook(path, [[*header, "Objective Classes", "Estimated Emotion"], *rows])


def write_samm(path, clips):
    """SAMM_Micro_FACS_Codes_v2.xlsx: thirteen rows of text, then the header in row 14."""
    preamble = [
        ["SAMM Micro-Movements (made up)"],
        *[[f"Line {n} of text"] for n in range(2, 13)],
        [None],
    ]
    header = [
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Duration",
        "Micro",
        "Action Units",
        "Estimated Emotion",
        "Objective Classes",
        "Notes",
    ]
    rows = []
    for one in clips:
        subject = one["subject"]
        subject = f"{subject:03d}" if isinstance(subject, int) else subject
        rows.append(
            [
                subject,
                one["clip"],
                1,
                one["onset"],
                one["apex"],
                one["offset"],
                21,
                "1/2",
                one["action_units"],
                str(one["emotion"] or "").capitalize(),
                7,
                None,
            ]
        )
    return workbook(path, [*preamble, header, *rows])


def write_smic(path, clips):
    """SMIC-HS-E_annotation.xlsx: one row a video, a second expression in further columns."""
    header = ["Subject", "Filename", None, "OnsetF", "OffsetF", "OnsetF2", "OffsetF2", "Emotion"]
    videos = {}
    for one in clips:
        videos.setdefault((one["subject"], one["clip"]), []).append(one)
    rows = []
    for (subject, name), parts in videos.items():
        spans = [number for one in parts for number in (one["onset"], one["offset"])]
        rows.append(
            [subject, name, None, *spans[:4], *[None] * (4 - len(spans)), parts[0]["emotion"]]
        )
    return workbook(path, [header, *rows])


def write_casme3(path, clips, version=2):
    """cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx; version 1 has all cells as text, no class."""
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    rows = []
    for one in clips:
        subject = one["subject"]
        subject = f"spNO.{subject}" if isinstance(subject, int) else subject
        row = [
            subject,
            one["clip"],
            one["onset"],
            one["apex"],
            one["offset"],
            one["action_units"],
            "VII",
            one["emotion"],
        ]
        rows.append([None if cell is None else str(cell) for cell in row])
    if version == 1:
        header = [*header[:6], "emotion"]
        rows = [[*row[:6], row[7]] for row in rows]
    return workbook(path, [header, *rows])


def write_dfme(path, clips):
    """DFME: a csv per split, or one with a column `split` where the clips carry one."""
    fields = ["subject", "clip", "onset", "apex", "offset", "action_units", "emotion"]
    header = ["subject", "filename", "onset", "apex", "offset", "AUs", "emotion"]
    if any("split" in one for one in clips):
        fields, header = [*fields, "split"], [*header, "split"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *[_row(one, *fields) for one in clips]])
    return path


def write_mmew(path, clips):
    """MMEW_Micro_Exp.xlsx; what the paper calls repression is written `others`."""
    header = [
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
        "remarks",
    ]
    rows = [
        _row(one, "subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "")
        for one in clips
    ]
    return workbook(path, [header, *rows])


def write_4dme(path, clips):
    """4DME_Labelling_Micro_release v1.xlsx: emotions also as columns of 0 and 1."""
    classes = ["Positive", "Negative", "Surprise", "Repression", "Others"]
    header = [
        "sub_ID",
        "fold",
        "fold_name",
        "Onset",
        "Apex",
        "Offset",
        "AUs",
        "eye blink",
        *classes,
        "Emotion",
    ]
    rows = []
    for one in clips:
        marks = [int(name.lower() in str(one["emotion"]).lower()) for name in classes]
        rows.append(
            [
                one["subject"],
                1,
                one["clip"],
                one["onset"],
                one["apex"],
                one["offset"],
                one["action_units"],
                0,
                *marks,
                one["emotion"],
            ]
        )
    return workbook(path, [header, *rows])


def write_casme(path, clips):
    """CASME: two apex columns, blank columns between."""
    header = [
        "Subject",
        "Filename",
        None,
        "OnsetF",
        "ApexF1",
        "ApexF2",
        "OffsetF",
        None,
        "AU",
        "Emotion",
    ]
    fields = ["subject", "clip", "", "onset", "apex", "", "offset", "", "action_units", "emotion"]
    return workbook(path, [header, *[_row(one, *fields) for one in clips]])


def write_casme2sq(path, clips):
    """CAS(ME)^2code_final.xlsx: no header; further sheets name the folders of subjects and videos.

    Subject n of the first sheet is folder s(n + 14) here. `kind` is micro-expression unless given;
    `emotion` is the class of four, `reported` what the subject said.
    """
    rows = [
        [
            one["subject"],
            one["clip"],
            one["onset"],
            one["apex"],
            one["offset"],
            one["action_units"],
            one["emotion"],
            one.get("kind", "micro-expression"),
            one.get("reported", one["emotion"]),
        ]
        for one in clips
    ]
    people = sorted({one["subject"] for one in clips if isinstance(one["subject"], int)})
    folders = [[n, f"s{n + 14}", n] for n in people]
    return workbook(path, rows, folders, [["0101", "disgust1"], ["0502", "happy2"]])
