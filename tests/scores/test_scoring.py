"""`merclip score`: the figures of a file, and each trap that a file can show."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merclip_lib.__main__ import main
from merclip_lib.scores import metrics, predictions_file
from merclip_lib.scores.bootstrap import bootstrap_interval
from merclip_lib.scores.predictions_file import read_file

POLAR = ("negative", "positive", "surprise")


def honest(classes=("anger", "disgust", "others"), subjects=6, clips=9, right=0.6, seed=0):
    """Predictions of whole subjects as a run writes them, with probabilities."""
    generator = np.random.default_rng(seed)
    count = subjects * clips
    truth = np.arange(count) % len(classes)
    guess = np.where(
        generator.random(count) < right, truth, generator.integers(0, len(classes), count)
    )
    for first in range(0, count, clips):  # nobody gets one answer to everything
        guess[first], guess[first + 1] = truth[first], truth[first + 1]
    p = np.full((count, len(classes)), 0.1)
    p[np.arange(count), guess] = 0.8
    return pd.DataFrame(
        {
            "clip_id": [f"c{k:03d}" for k in range(count)],
            "subject": [f"{k // clips:02d}" for k in range(count)],
            "truth": [classes[k] for k in truth],
            "prediction": [classes[k] for k in guess],
            **{f"p_{name}": p[:, k] for k, name in enumerate(classes)},
        }
    )


@pytest.fixture
def traps_of(tmp_path):
    """Write a table to a file and return the traps seen in it, with their messages."""

    def look(table, classes=()):
        path = tmp_path / "predictions.csv"
        table.to_csv(path, index=False)
        return {
            warning.trap: warning.message
            for warning in predictions_file.score_file(path, classes, 20).warnings
        }

    return look


def without_p(table):
    return table[[name for name in table if not name.startswith("p_")]]


def test_an_honest_file_has_the_figures_and_no_warning(tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    table = honest()
    table.to_csv(path, index=False)
    assert main(["score", str(path)]) == 0
    text = capsys.readouterr().out
    expected = metrics.score(table, ("anger", "disgust", "others"))
    low, high = bootstrap_interval(table, ("anger", "disgust", "others"))
    assert f"UF1      {expected.uf1:.4f}   {low:.4f} to {high:.4f}" in text
    assert f"UAR      {expected.uar:.4f}" in text and f"accuracy {expected.accuracy:.4f}" in text
    assert f"(mean precision {expected.per_class.precision.mean():.4f}" in text
    assert "54 clips, 6 subjects" in text and "(from the p_ columns)" in text
    assert "warning" not in text and "No trap is visible" in text


def test_json_has_the_same_and_databases_apart(tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    table = honest().assign(database=["A"] * 27 + ["B"] * 27)
    table.to_csv(path, index=False)
    assert main(["score", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    classes = found["classes"]
    expected = metrics.score(table, classes)
    assert found["uf1"]["value"] == pytest.approx(expected.uf1)
    assert found["uf1"]["low"] <= found["uf1"]["value"] <= found["uf1"]["high"]
    assert found["macro_precision"] == pytest.approx(expected.per_class.precision.mean())
    parts = {name: metrics.score(part, classes) for name, part in table.groupby("database")}
    assert set(found["databases"]) == {"A", "B"}
    for name, score in parts.items():
        assert found["databases"][name]["uar"]["value"] == pytest.approx(score.uar)
    assert [row["class"] for row in found["per_class"]] == classes
    assert found["warnings"] == []
    assert main(["score", str(path)]) == 0
    assert f"\nB\nUF1      {parts['B'].uf1:.4f}" in capsys.readouterr().out


def test_classes_of_the_labels_are_said_aloud(tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    without_p(honest()).to_csv(path, index=False)
    main(["score", str(path)])
    assert "the labels found in the file; a class that is neither" in capsys.readouterr().out
    main(["score", str(path), "--classes", "anger, disgust,others,fear"])
    text = capsys.readouterr().out
    assert "anger, disgust, others, fear (as given)" in text
    assert "warning, absent class: never true in this file: fear" in text


def test_swapped_columns_show_in_the_probabilities(traps_of):
    table = honest()
    turned = table.rename(columns={"truth": "prediction", "prediction": "truth"})
    assert "seem exchanged" in traps_of(turned)["swapped columns"]
    assert set(traps_of(turned)) == {"swapped columns"}


def test_swapped_columns_show_in_the_counts_of_a_known_list(traps_of):
    truth = ["negative"] * 90 + ["positive"] * 32 + ["surprise"] * 28  # the totals of casme2-3
    table = honest(POLAR, 25, 6).assign(truth=truth)
    table = without_p(table).assign(prediction=["surprise"] * 60 + truth[60:])
    assert "swapped columns" not in traps_of(table)
    turned = table.rename(columns={"truth": "prediction", "prediction": "truth"})
    assert "the list of casme2-3" in traps_of(turned)["swapped columns"]


def test_predictions_that_are_not_the_highest_probability(traps_of):
    table = honest()
    table["prediction"] = np.roll(table.prediction, 1)
    assert "joined by row order" in traps_of(table)["row order"]


def test_duplicate_clips_are_scored_once(tmp_path, traps_of):
    table = honest()
    twice = pd.concat([table, honest(seed=1)])  # two seeds in one file
    assert "54 row(s) repeat a clip, such as 'c000' in row 56" in traps_of(twice)["duplicate clips"]
    once = predictions_file.score_file(tmp_path / "predictions.csv", samples=5)
    assert once.clips == 54
    assert once.values["uf1"][0] == metrics.score(table, once.classes).uf1


def test_clip_ids_that_every_subject_has_are_different_clips(tmp_path, traps_of):
    table = honest()
    numbered = table.assign(clip_id=[f"e{k % 9}" for k in range(54)])
    assert set(traps_of(numbered)) == {"clip ids"}
    found = predictions_file.score_file(tmp_path / "predictions.csv", samples=5)
    assert found.clips == 54
    assert found.values["uf1"][0] == metrics.score(table, found.classes).uf1


@pytest.mark.parametrize(
    "stamp, trap",
    [
        ({"selection": "best_on_test"}, "epoch chosen on the test"),
        ({"protocol": "reference"}, "epoch chosen on the test"),
        ({"held_out": "clip"}, "subject in both parts"),
        ({"selection": "last", "protocol": "honest", "held_out": "subject"}, None),
    ],
)
def test_stamps_are_read(traps_of, stamp, trap):
    assert list(traps_of(honest().assign(**stamp))) == ([trap] if trap else [])


def test_a_subject_in_several_folds(traps_of):
    table = honest()
    torn = table.assign(fold=[f"group{k % 4}" for k in range(len(table))])
    assert "6 subject(s), such as 00" in traps_of(torn)["subject in both parts"]
    assert traps_of(table.assign(fold=table.subject)) == {}


def test_subjects_made_of_clips(traps_of):
    assert "clip as subject" in traps_of(honest().assign(subject=honest().clip_id))
    assert "one subject" in traps_of(honest().assign(subject="s1"))


def test_absent_classes(traps_of):
    table = without_p(honest())
    table.loc[table.truth == "others", "truth"] = "anger"
    message = traps_of(table)["absent class"]
    assert "others; predicted all the same: others" in message and "at most 0.667" in message


def test_one_answer_to_all_clips_of_a_subject(traps_of):
    table = without_p(honest())
    table.loc[table.subject == "03", "prediction"] = "disgust"
    message = traps_of(table)["one answer"]
    assert "1 of 6 subjects" in message and "03 (9 clips of 3 classes, all disgust)" in message
    few = table[(table.subject != "03") | (table.clip_id < "c031")]  # four clips say little
    assert traps_of(few) == {}


def test_no_error_at_all(traps_of):
    table = without_p(honest())
    assert "copy of `truth`" in traps_of(table.assign(prediction=table.truth))["no error"]


def test_other_clips_than_the_published_list(traps_of):
    table = without_p(honest(POLAR)).assign(database=["CASME II", "SAMM", "SMIC-HS"] * 18)
    message = traps_of(table)["other clips"]
    assert "megc2019-3: negative 18 (250)" in message
    assert "other clips" not in traps_of(table.assign(database="SynthME"))
    assert "casme3-3" in traps_of(table.assign(database="CAS(ME)3"))["other clips"]


def test_classes_without_a_published_list_are_scored_too(traps_of):
    seven = "anger contempt disgust fear happiness sadness surprise".split()
    table = without_p(honest(seven)).assign(database="DFME")
    assert "other clips" not in traps_of(table)


@settings(max_examples=15, deadline=None)
@given(st.randoms())
def test_order_of_rows_changes_no_figure(tmp_path_factory, random):
    table = honest()
    order = random.sample(range(len(table)), len(table))
    folder = tmp_path_factory.mktemp("order")
    table.to_csv(folder / "a.csv", index=False)
    table.iloc[order].to_csv(folder / "b.csv", index=False)
    a, b = (predictions_file.score_file(folder / name, samples=20) for name in ("a.csv", "b.csv"))
    assert (a.values, a.warnings) == (b.values, b.warnings)


GOOD = "clip_id,subject,truth,prediction\nk1,01,a,a\nk2,02,b,a\n"


def test_ids_stay_text_and_a_byte_order_mark_is_no_column(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("01", "1").encode())
    table = read_file(tmp_path / "p.csv")
    assert table.subject.tolist() == ["1", "02"] and table.index.tolist() == [2, 3]


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_as_spreadsheet_programs_save_it(tmp_path, delimiter, encoding):
    text = GOOD.replace(",", delimiter).replace("\n", "\r\n")
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    table = read_file(tmp_path / "p.csv")
    assert table.subject.tolist() == ["01", "02"] and table.prediction.tolist() == ["a", "a"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty; write or copy it again"),
        ("k1,01,a,a\nk2,02,b,a\n", "no column clip_id, subject, truth, prediction; needed are"),
        ("clip_id,subject,truth,prediction\n", "no predictions below"),
        (GOOD.replace("subject", "truth", 1), "no column subject"),
        (GOOD.replace("k2,02,b,a", "k2,02,b"), "row 3: not as many cells"),
        (GOOD.replace("k2,02,b,a", "k2,02,b,a,a"), "row 3: not as many cells"),
        (GOOD.replace("02,b", "02,"), "row 3: truth is empty"),
        (GOOD.replace("k2,02", "k1,01"), "row 2: clip 'k1' has two different truths"),
        (GOOD.replace("b,a", "A,a"), "'A' is written in two ways|'a' is written in two ways"),
        ("clip_id,subject,truth,prediction,p_a\nk1,1,a,a,nan\n", "row 2: p_a 'nan' is no prob"),
        ("clip_id,subject,truth,prediction,p_a\nk1,1,a,a,1.5\n", "row 2: p_a '1.5' is no prob"),
        (
            "clip_id,subject,truth,prediction,p_a\nk1,1,a,b,1\n",
            "row 2: 'b' is no class of the task",
        ),
        (GOOD + "k3,1,a,a\n", "row 4: subject '1' is '01' in a row before"),
        (GOOD + "k3,S 3,a,a\nk4,s_03,a,a\n", "row 5: subject 's_03' is 'S 3' in a row before"),
        (GOOD.replace("a", "nan").replace("nan,", "a,", 1), "row 2: prediction is empty or no val"),
        (GOOD.replace(",a\n", ",NA\n"), "row 2: prediction is empty or no value"),
        (GOOD.replace("02", "<NA>"), "row 3: subject is empty or no value"),
        (GOOD.replace("b,a", "1,1.0"), "'1' is written in two ways"),
        (GOOD.replace("b,a", "others,other"), "'other' is written in two ways"),
        (GOOD.replace(",a\n", ",0\n"), "no label of `prediction` .such as '0'. occurs in `truth`"),
        (
            "clip_id,subject,truth,prediction,database\nk1,1,a,a,casme2\nk2,2,b,a,CASME II\n",
            "row 3: database 'CASME II' is 'casme2' in a row before",
        ),
        ("clip_id,subject,truth,prediction,p_a,p_a\nk1,1,a,a,1,1\n", "two columns have one name"),
        (b"clip_id,subject,truth,prediction\n\xff\xfe,1,a,a\n", "not Unicode .UTF-8.; save it as"),
        ('clip_id,subject,truth,prediction\n"k1"x,1,a,a\n', "row 2: .*look for a quotation mark"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, capsys, text, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        predictions_file.score_file(path)
    assert main(["score", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("merclip: error: ") and "bad.csv" in lines[0]


def test_a_missing_file_and_classes_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        predictions_file.score_file(tmp_path / "none.csv")
    path = tmp_path / "p.csv"
    honest().to_csv(path, index=False)
    with pytest.raises(ValueError, match="the p_ columns name the classes"):
        predictions_file.score_file(path, ["anger", "fear"])
    without_p(honest()).to_csv(path, index=False)
    with pytest.raises(ValueError, match="row 3: 'disgust' is no class"):
        predictions_file.score_file(path, ["anger", "others"])
    with pytest.raises(ValueError, match="two ways"):
        predictions_file.score_file(path, ["anger", "disgust", "others", "anger"])


def test_blanks_around_headings_and_names_of_many_people_are_no_fault(tmp_path):
    spaced = GOOD.replace(",", " , ", 3)
    (tmp_path / "p.csv").write_text(spaced)
    assert list(read_file(tmp_path / "p.csv")) == ["clip_id", "subject", "truth", "prediction"]
    many = "".join(f"c{k},{name},a,a\n" for k, name in enumerate(["1", "10", "100", "s11", "1a"]))
    (tmp_path / "p.csv").write_text(GOOD[: GOOD.index("k1")] + many)
    assert len(read_file(tmp_path / "p.csv")) == 5


def test_one_subject_has_no_interval(tmp_path, capsys):
    path = tmp_path / "p.csv"
    honest().assign(subject="s1").to_csv(path, index=False)
    assert main(["score", str(path)]) == 0
    assert "no interval: one subject" in capsys.readouterr().out
    assert main(["score", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["uf1"]["low"] is None


def test_probabilities_that_do_not_sum_to_1(traps_of):
    table = honest()
    assert traps_of(table.assign(p_anger=(table.p_anger + 0.004).clip(upper=1))) == {}
    table["p_anger"] = 0.9
    message = traps_of(table)["no probabilities"]
    assert "54 of 54 rows do not sum to 1, such as 1.1 in row 2" in message


def test_clip_names_as_classes_and_a_file_without_end_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    table = without_p(honest())
    table.assign(truth=table.clip_id).to_csv(path, index=False)
    with pytest.raises(ValueError, match="p.csv: 57 classes .the labels found.*a column of some"):
        predictions_file.score_file(path)
    with pytest.raises(ValueError, match="p.csv: 99 classes .as given."):
        predictions_file.score_file(path, [f"k{k}" for k in range(99)])
    path.write_text(GOOD + "k3,1,a,a\n" * 15_000)
    with pytest.raises(ValueError, match="p.csv: 15,003 rows, the limit is 15,000"):
        predictions_file.score_file(path)
    path.write_text(GOOD + "".join(f"k{k},p{k},a,a\n" for k in range(3000)))
    with pytest.raises(ValueError, match="p.csv: 3,00. different .*`subject`.* column of some"):
        predictions_file.score_file(path)


def test_a_file_of_many_columns_is_not_read_into_memory(tmp_path):
    path = tmp_path / "p.csv"
    features = "," + ",".join(["0.123456"] * 1000)
    path.write_text("".join(line + features + "\n" for line in [*GOOD.splitlines()] * 400))
    with pytest.raises(ValueError, match=r"p.csv: \d+,\d+,\d+ bytes, the limit is 8,000,000"):
        predictions_file.score_file(path)


def test_the_table_of_a_run_that_is_no_table_is_named(tmp_path):
    for content in (b"", b"a,b\n1,2,3,4\n", b"\xff\xfe\x00"):
        (tmp_path / "predictions.csv").write_bytes(content)
        with pytest.raises(ValueError, match="predictions.csv: "):
            metrics.read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize("spelling", ["sub01", "s1", "S01", "\uff11", "01", "1.0", "spNO.1"])
def test_a_person_in_two_spellings_is_refused(tmp_path, spelling):
    path = tmp_path / "p.csv"
    path.write_text(f"clip_id,subject,truth,prediction\na,1,x,x\nb,{spelling},y,y\nc,2,x,y\n")
    with pytest.raises(ValueError, match="p.csv, row 3: subject .* is '1' in a row before"):
        predictions_file.score_file(path)


@pytest.mark.parametrize("label", ["-", "?", "/", "#N/A", "NaN"])
def test_an_empty_label_is_no_class_whatever_stands_for_it(tmp_path, label):
    path = tmp_path / "p.csv"
    path.write_text(f"clip_id,subject,truth,prediction\na,1,{label},x\nb,2,x,x\n")
    with pytest.raises(ValueError, match="p.csv, row 2: truth is empty or no value"):
        predictions_file.score_file(path)


def test_full_width_labels_are_another_spelling_and_clips_are_no_databases(tmp_path):
    path, header = tmp_path / "p.csv", "clip_id,subject,truth,prediction"
    path.write_text(f"{header}\na,1,\uff46ear,fear\nb,2,fear,fear\n")
    with pytest.raises(ValueError, match="'fear' is written in two ways"):
        predictions_file.score_file(path)
    rows = "".join(f"c{k},{k},x,x,clip{k}\n" for k in range(40))
    path.write_text(f"{header},database\n{rows}")
    with pytest.raises(ValueError, match="40 different cells under `database`.* at most 30"):
        predictions_file.score_file(path)
