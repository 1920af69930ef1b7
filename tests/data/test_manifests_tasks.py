"""Tasks on tables read from annotation files with exactly the published counts (made-up rows)."""

import json

import pandas as pd
import pytest
from official_annotations import (
    clip,
    write_casme2,
    write_casme3,
    write_dfme,
    write_samm,
    write_smic,
)

from merclip_lib.__main__ import main
from merclip_lib.data import tasks
from merclip_lib.data.annotations import report as annotation_report
from merclip_lib.data.annotations.read import join, read_annotations
from merclip_lib.data.annotations.report import manifest_report
from merclip_lib.data.table import hash_ids, read_table, write_table
from merclip_lib.data.tasks import TASKS


def deal(subjects, **counts):
    """Made-up clips: so many of each emotion, dealt to the subjects in turn."""
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    return [
        clip(
            subjects[k % len(subjects)],
            f"{emotion[:2]}{k}",
            onset=5 + k,
            apex=9 + k,
            offset=60 + k,
            emotion=emotion,
        )
        for k, emotion in enumerate(emotions)
    ]


def casme2_clips(coding):
    """255 clips: 24 of 26 people with a class of three, two clips of MEGC2019 without an apex."""
    people = [n for n in range(1, 27) if n not in (10, 18)]
    others = [n for n in people if n != 24]
    dealt = [
        *deal(people, disgust=61, repression=27, happiness=32),
        *deal(others, surprise=25, sadness=4, fear=2),
        *deal([10, 18, *people], others=99),
    ]
    dealt += [clip(4, "EP12_01f", apex="/"), clip(5, "EP09_05f", apex=None)]
    emotion = "sadness" if coding == 2014 else "surprise"
    return [*dealt, *[clip(24, f"EP77_0{k}", emotion=emotion) for k in range(3)]]


def samm_clips():
    return [
        *deal(range(6, 32), anger=57, contempt=12, happiness=26, surprise=15),
        *deal([32, *range(6, 32)], other=26),
        *deal([33, 34], disgust=9, fear=8, sadness=6),
    ]


def casme3_clips():
    people = list(range(1, 89))
    bad = [
        clip(40, "e", onset=1812, apex=0, offset=0),
        clip(40, "e", 2327, 2330, 0),
        clip(216, "d", onset=3647, apex=2650, offset=2655),
    ]
    return [
        *deal(people, anger=64, disgust=250, fear=86, happiness=55, sadness=57, surprise=187),
        *deal([*range(89, 95), *people], Others=100),
        *deal(people, others=58),
        *bad,
    ]


def dfme_clips():
    splits = {"train": (1856, 176, 0), "test_a": (474, 42, 200), "test_b": (299, 41, 300)}
    names = list(TASKS["dfme-7"].classes)
    return [
        clip(first + k % people, f"{split}{k}", emotion=names[k % 7], split=split)
        for split, (count, people, first) in splits.items()
        for k in range(count)
    ]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The table of each set, read from a file in its official layout."""
    folder = tmp_path_factory.mktemp("official")
    files = {
        "casme2": write_casme2(folder / "2019.xlsx", casme2_clips(2019)),
        "casme2-2014": write_casme2(folder / "2014.xlsx", casme2_clips(2014), coding=2014),
        "samm": write_samm(folder / "samm.xlsx", samm_clips()),
        "smic": write_smic(
            folder / "smic.xlsx", deal(range(1, 17), negative=70, positive=51, surprise=43)
        ),
        "casme3": write_casme3(folder / "casme3.xlsx", casme3_clips()),
        "dfme": write_dfme(folder / "dfme.csv", dfme_clips()),
    }
    for name, file in files.items():
        dataset = name.split("-")[0]
        reading = read_annotations(file, dataset)
        wrong = annotation_report.differences(manifest_report(reading, dataset))
        # The casme2 tasks are about the coding of 2019; the table itself agrees with its own.
        assert all(line.startswith("casme2-") for line in wrong), wrong
        assert bool(wrong) == (name == "casme2-2014")
        write_table(reading.table, folder / f"{name}.csv")
    return {name: folder / f"{name}.csv" for name in files}


@pytest.mark.parametrize("task", [name for name in TASKS if name[:5] not in ("synth", "megc2")])
def test_published_counts_agree(tables, task, capsys, tmp_path):
    dataset = task.rsplit("-", 1)[0]
    out = tmp_path / "chosen.csv"
    arguments = ["task", task, "--table", str(tables[dataset]), "--out", str(out), "--json"]
    assert main([*arguments, "--strict"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["differences"] == [] and said["expected"]
    assert all(line["expected"] == line["found"] for line in said["expected"])
    chosen = read_table(out)
    assert said["clips"] == len(chosen) == sum(said["classes"].values())
    assert said["ids"] == hash_ids(chosen["clip_id"])
    assert set(chosen["label"]) == set(TASKS[task].classes)


@pytest.mark.parametrize("coding", ["2019", "2014"])
def test_composite_of_three_tables(tables, coding, capsys):
    names = ["casme2" if coding == "2019" else "casme2-2014", "samm", "smic"]
    arguments = [part for name in names for part in ("--table", str(tables[name]))]
    assert main(["task", "megc2019-3", *arguments, "--json", "--strict"]) == 0
    said = json.loads(capsys.readouterr().out)
    held = said["databases"]
    assert (held["casme2"]["clips"], held["casme2"]["subjects"]) == (145, 24)
    assert (held["samm"]["clips"], held["samm"]["subjects"]) == (133, 28)
    assert (held["smic"]["clips"], held["smic"]["subjects"]) == (164, 16)
    assert said["classes"] == {"negative": 250, "positive": 109, "surprise": 83}
    assert said["coding"] == coding
    relabelled = [f"casme2_24_EP77_0{k}_10" for k in range(3)]
    assert said["relabelled"] == relabelled
    by_name = {"casme2_04_EP12_01f_10", "casme2_05_EP09_05f_10"}
    assert set(said["left_out_by_name"]) == by_name | set(relabelled if coding == "2019" else [])


def test_the_coding_of_2014_differs_and_says_so(tables, capsys, tmp_path):
    out = tmp_path / "out.csv"
    arguments = ["task", "casme2-5", "--table", str(tables["casme2-2014"]), "--out", str(out)]
    assert main([*arguments, "--strict"]) == 2
    assert "surprise expected 28, found 25" in capsys.readouterr().err
    assert not out.exists()
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "coding of 2014" in said and "casme2_24_EP77_00_10" in said
    assert "clips expected 249, found 246" in said
    assert len(read_table(out)) == 246


def test_relabelled_clips_that_cannot_be_told_are_not_guessed():
    def marked(subject, *emotions, surprise=26):
        people = ["1"] * surprise + [subject] * len(emotions)
        rows = {
            "dataset": "casme2",
            "subject": people,
            "emotion": ["surprise"] * surprise + list(emotions),
        }
        return tasks.relabelled(pd.DataFrame(rows))[surprise:].tolist()

    three = ["surprise"] * 3
    assert marked("24", *three, "disgust") == [True, True, True, False]
    assert marked("sub24", *["sadness"] * 3, surprise=1) == [True] * 3
    assert not any(marked("24", *three, "surprise"))  # four: which three?
    assert not any(marked("24", *three, surprise=10))  # of either coding
    assert not any(marked("4", *three))


def test_one_split_of_dfme_is_compared_alone(tables, tmp_path, capsys):
    table = read_table(tables["dfme"])
    write_table(table[table["split"] == "test_b"], tmp_path / "b.csv")
    assert main(["task", "dfme-7", "--table", str(tmp_path / "b.csv"), "--strict"]) == 0
    said = capsys.readouterr().out
    assert "only test_b is in this table" in said and "2 of 2 agree" in said


def test_tables_that_do_not_fit_are_refused(tables, capsys):
    twice = ["--table", str(tables["samm"]), "--table", str(tables["samm"])]
    assert main(["task", "samm-5", *twice]) == 2
    assert "occurs before" in capsys.readouterr().err
    assert main(["task", "samm-5", "--table", str(tables["smic"])]) == 2
    assert main(["task", "samm-6", "--table", str(tables["samm"])]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_files_of_one_set_are_joined(tmp_path):
    files = [tmp_path / "DFME_train.csv", tmp_path / "DFME_testA.csv"]
    write_dfme(files[0], [clip(1, "a", emotion="fear")])
    write_dfme(files[1], [clip(2, "b", emotion="Sad")])
    reading = join([read_annotations(file, "dfme") for file in files])
    assert reading.table[["subject", "emotion", "split"]].values.tolist() == [
        ["1", "fear", "train"],
        ["2", "sadness", "test_a"],
    ]
    assert reading.counts()["read"] == 2
