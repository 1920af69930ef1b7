"""Phrases and templates from files: read, refused with file and row, and a part of a run."""

import dataclasses
import re

import pytest
import tiny_runs

from merclip_lib.__main__ import main
from merclip_lib.config import Config, config_from, config_hash
from merclip_lib.data.prompts import read_prompts
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.compare import settings_that_differ
from merclip_lib.runs.store import read_record
from merclip_lib.text.sentences import PAIRS, TEMPLATES, describe

PHRASES = "action_unit,phrase,one_sided\n4,frowning,frowning on the {} alone\nAU12,smiling,\n"


@pytest.fixture
def phrases(tmp_path):
    (tmp_path / "my.csv").write_text(PHRASES)
    return tmp_path / "my.csv"


@pytest.fixture
def templates(tmp_path):
    (tmp_path / "my.txt").write_text("A face {}.\n\nWe see {} here.\n")
    return tmp_path / "my.txt"


def test_files_replace_what_they_name(phrases, templates):
    prompts = read_prompts(phrases, templates)
    say = lambda units: describe(units, phrases=prompts.phrases)  # noqa: E731
    assert say("4+L12") == "a combination of frowning and smiling on the left"
    assert say("R4") == "frowning on the right alone" and say("7") == "tightening the lids"
    assert prompts.templates == ("A face {}.", "We see {} here.")
    assert read_prompts() == (PAIRS, TEMPLATES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unit,words\n4,a\n", r"my.csv, row 1: columns .*write action_unit,phrase"),
        ("action_unit,phrase\n4,a\nx,b\n", r"my.csv, row 3: 'x' is no action unit"),
        ("action_unit,phrase\n99,a\n", r"row 2: '99' is no action unit .*these are 1, 2, 4"),
        ("Aktion,Satz\n4,a\n", r"my.csv, row 1: columns ..aktion., .satz.."),
        ("action_unit,phrase,phrase\n4,a,b\n", r"row 1: columns"),
        ("action_unit,phrase\n4,a\n4,b\n", r"row 3: action unit 4 occurs before; leave one"),
        ("action_unit,phrase\n4,a, b\n", r"row 2: 3 cells; quote"),
        ("phrase,action_unit\nfrowning\n", r"row 2: '' is no action unit"),
        ("action_unit,phrase\n4,\n", r"row 2: phrase ''; write some words"),
        ("action_unit,phrase,one_sided\n4,a,b\n", r"one_sided 'b'; write one {} where left or"),
        ("action_unit,phrase,one_sided\n4,a,b {side}\n", r"row 2: one_sided .*one {}"),
    ],
)
def test_faulty_phrases_name_file_row_and_remedy(phrases, text, message):
    phrases.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_prompts(phrases)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "my.txt: no templates; write one a line"),
        ("A {}.\n\nno place\n", "my.txt, row 3: template 'no place'; write one {}"),
        ("{} and {}\n", "row 1: template"),
        ("{0}\n", "row 1: template"),
        ("{} and {x}\n", "row 1: template"),
    ],
)
def test_faulty_templates_name_file_row_and_remedy(templates, text, message):
    templates.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_prompts("", templates)


def test_what_would_be_cut_is_refused(phrases, templates):
    """77 tokens are read: a long phrase, and a template without room for three long phrases."""
    phrases.write_text(PHRASES + f"7,{'very ' * 20}tight,\n")
    with pytest.raises(ValueError, match=r"my.csv, row 4: 'very .* tight': too long; .* tokens"):
        read_prompts(phrases)
    templates.write_text("A face {}.\n\nIn this film we see, " + "once more, " * 15 + "{}.\n")
    with pytest.raises(ValueError, match=r"my.txt, row 3: template: too long; .* 77 are read"):
        read_prompts("", templates)
    templates.write_text("In this film of a face that hardly moves we see, if we look well, {}.\n")
    assert len(read_prompts("", templates).templates) == 1


def test_a_sentence_that_would_be_cut_is_not_said(templates, capsys):
    units = "R1+R2+R4+R5+R6+R7+R9+R10+R12+R15+R17+R20"
    assert main(["describe", units, "--templates", str(templates)]) == 2
    assert re.search(r"my.txt: too long; 'A face a comb.* has \d+ tokens", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("action_unit,phrase\n4,frowning\n", "utf-8"),
        ("Action_Unit;Phrase;one_sided\nAU04;frowning\n;;\n", "utf-8-sig"),
        ("phrase\taction_unit\nfrowning\t4\n", "utf-16"),
    ],
)
def test_a_phrase_for_both_sides_is_enough(phrases, content, encoding):
    """As spreadsheets write it; the side comes after it, and other units keep their phrases."""
    phrases.write_bytes(content.encode(encoding))
    own = read_prompts(phrases).phrases
    assert own == PAIRS | {4: ("frowning", "frowning on the {}")}


def test_a_file_that_is_not_there_or_no_text(tmp_path, phrases, templates):
    for names in (("nowhere.csv", ""), ("", "nowhere.txt")):
        with pytest.raises(ValueError, match=r"nowhere....: no such file"):
            read_prompts(*(name and tmp_path / name for name in names))
    phrases.write_bytes(b"PK\3\4 a workbook")
    with pytest.raises(ValueError, match="my.csv: is a workbook, not text; save it as"):
        read_prompts(phrases)
    templates.write_bytes("Ein Gesicht mit gro\xdfem {}.".encode("latin-1"))
    with pytest.raises(ValueError, match="my.txt: its text is not Unicode"):
        read_prompts("", templates)


def test_the_hash_follows_what_the_files_say(tmp_path, phrases, templates):
    store = tiny_runs.make_store(tmp_path / "set")  # every clip shows 4+7

    def hash_of(**changes):
        config = dataclasses.replace(tiny_runs.FAST, use_text=True, **changes)
        return RunPlan(config, store).hash

    plain, mine = hash_of(), hash_of(phrases=str(phrases))
    assert mine != plain and hash_of(templates=str(templates)) not in (plain, mine)
    moved = phrases.rename(tmp_path / "other name.csv")
    assert hash_of(phrases=str(moved)) == mine
    moved.write_text(PHRASES.replace("frowning,", "scowling,"))
    assert hash_of(phrases=str(moved)) not in (plain, mine)
    moved.write_text(f"action_unit,phrase,one_sided\n4,{PAIRS[4][0]},{PAIRS[4][1]}\n")
    assert hash_of(phrases=str(moved)) == plain
    assert config_hash(Config(phrases="")) == config_hash(Config())


def test_a_run_is_trained_with_them_and_records_them(tmp_path, phrases, templates):
    store = tiny_runs.make_store(tmp_path / "set")
    config = dataclasses.replace(tiny_runs.FAST, use_text=True, epochs=1)
    own = dataclasses.replace(config, phrases=str(phrases), templates=str(templates))
    runs = [
        tiny_runs.run(each, store, tmp_path / "runs", executor="serial") for each in (config, own)
    ]
    assert RunPlan(own, store).text.embeddings.shape[1] == 2
    assert runs[0].history["align"].tolist() != runs[1].history["align"].tolist()
    assert read_record(runs[1].folder)["prompts"] == {
        "phrase of 4": "frowning | frowning on the {} alone",
        "phrase of 12": "smiling | smiling on the {}",
        "words of templates": ["A face {}.", "We see {} here."],
    }
    assert "prompts" not in read_record(runs[0].folder)
    differ = settings_that_differ(*(each.folder for each in runs)).set_index("setting")
    assert differ.loc["phrase of 4"].tolist() == [
        "the paper's",
        "frowning | frowning on the {} alone",
    ]
    assert set(differ.index) == {"phrases", "templates", *read_record(runs[1].folder)["prompts"]}


def test_phrases_that_no_sentence_would_say_are_refused():
    with pytest.raises(ValueError, match="description is 'codes', which says none"):
        config_from({"phrases": "my.csv", "description": "codes"})


def test_the_command_says_them(phrases, templates, capsys):
    files = ["--phrases", str(phrases), "--templates", str(templates)]
    assert main(["describe", "4", *files]) == 0
    assert capsys.readouterr().out == "A face frowning.\nWe see frowning here.\n"
    assert main(["describe", "4", "--phrases", "nowhere.csv"]) == 2
    assert "nowhere.csv: no such file" in capsys.readouterr().err
