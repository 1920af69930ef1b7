"""Commands about data: from a student's own copy of a set to clips, and the synthetic faces.

What a command takes stands in commands.toml. It imports what it needs when it is called, so that
`merclip --help` answers at once.
"""

import json
from argparse import Namespace
from pathlib import Path

from merclip_lib.cli.options import Commands, given_of, pairs
from merclip_lib.files import output_place, write_csv, write_text
from merclip_lib.text.sentences import describe


def _describe(given: Namespace) -> None:
    if (given.annotation is None) == (given.table is None):
        raise ValueError("give one annotation, or a clip table with --table, not both")
    if (given.table is None) != (given.out is None):
        raise ValueError("--table and --out SENTENCES.csv go together")
    if given.table and given.templates or given.phrases and given.style != "phrases":
        raise ValueError("--templates are for one annotation, --phrases for the style phrases")
    from merclip_lib.data.prompts import check_length, read_prompts

    phrases, templates = read_prompts(given.phrases, given.templates)
    if given.table is None:
        words = describe(given.annotation, given.style, given.emotion, phrases=phrases)
        sentences = [t.format(words) for t in templates] if given.templates else []
        for sentence in sentences:
            check_length(sentence, given.templates)
        print("\n".join(sentences or [words]))
        return
    from merclip_lib.data.annotations.report import SENTENCES, sentences_of, unsaid_text
    from merclip_lib.data.table import read_table

    inputs = [Path(name) for name in (given.table, given.phrases) if name]
    place = output_place(given.out, SENTENCES, inputs, force=given.force)
    table = read_table(given.table)
    write_csv(sentences_of(table, given.style, str(given.table), phrases), place)
    print(unsaid_text(table))
    print(f"{len(table)} sentences in {given.out}")


def _manifest(given: Namespace) -> None:
    import yaml

    from merclip_lib.data.annotations import own_release, read
    from merclip_lib.data.annotations.releases import RELEASES
    from merclip_lib.data.annotations.report import manifest_report
    from merclip_lib.data.table import TABLE, write_table

    file, known = given.out.with_name(f"{given.dataset}.release.yaml"), given.dataset in RELEASES
    inputs = [*given.annotations, file]
    place = output_place(given.out, TABLE, inputs, given.data_root, given.force)
    columns = pairs(given.columns, "--columns", "FIELD=HEADING, such as emotion=Label")
    emotions = pairs(given.emotions, "--emotions", "YOURS=OURS, such as joy=happiness")
    values = {"fps": given.fps, "pictures": given.pictures, "emotions": emotions}
    if known and any(values.values()):
        raise ValueError("--fps, --pictures and --emotions are for a set of your own")
    if not known:
        values = own_release.own_values(file, values | {"columns": columns})
    if given.annotations:
        release = given.dataset if known else own_release.own_release(file, values)
        options = release, columns if known else {}, given.split, given.data_root
        reading = read.join([read.read_annotations(path, *options) for path in given.annotations])
    elif given.data_root and known:
        reading = read.read_folders(given.data_root, given.dataset)
    else:
        raise ValueError("give --annotations FILE (for smic alone --data-root DIR is enough)")
    report = manifest_report(reading, given.dataset, given.data_root)
    _refuse_differences(given, report)
    write_table(reading.table, place)
    written = f"{len(reading.table)} clips in {given.out}"
    if not known:
        if not file.is_file() or values != own_release.own_values(file, {}):  # notes in it stay
            write_text(file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        written += f"; what you named is in {file} and found again there"
    _print_report(given, report, written)


def _task(given: Namespace) -> None:
    import pandas as pd

    from merclip_lib.data.annotations.report import task_report
    from merclip_lib.data.table import TABLE, check_table, read_table, write_table

    if given.out:
        place = output_place(given.out, TABLE, given.table, force=given.force)
    tables = [read_table(path) for path in given.table]
    table = check_table(pd.concat(tables, ignore_index=True), "the tables together")
    report, chosen = task_report(table, given.task)
    _refuse_differences(given, report)
    if given.out:
        write_table(chosen, place)
    _print_report(given, report, f"{len(chosen)} clips in {given.out}" if given.out else "")


def _refuse_differences(given: Namespace, report: dict) -> None:
    """With --strict, ValueError for totals other than expected, before anything is written."""
    from merclip_lib.data.annotations.report import differences

    wrong = differences(report)
    if given.strict and wrong:
        raise ValueError(f"{len(wrong)} totals differ, nothing is written: {'; '.join(wrong)}")


def _print_report(given: Namespace, report: dict, written: str) -> None:
    """A report as JSON, or in lines with what was written."""
    from merclip_lib.data.annotations.report import differences, manifest_text

    if given.json:
        print(json.dumps(report | {"differences": differences(report)}, indent=1))
    else:
        print("\n".join(line for line in (manifest_text(report), written) if line))


def _prepare(given: Namespace) -> None:
    from merclip_lib.data.frames.decode import PictureSettings
    from merclip_lib.data.frames.prepare import prepare, prepare_report
    from merclip_lib.data.store import STORE
    from merclip_lib.data.table import read_table

    output_place(given.out, STORE, [given.table], given.data_root)
    settings = PictureSettings(**given_of(given, *PictureSettings.__dataclass_fields__))
    table = read_table(given.table)
    store = prepare(table, given.data_root, given.out, settings, given.workers, given.skip_bad)
    print(prepare_report(store.meta))
    print(f"{len(store)} clips in {given.out}")


def _synth(given: Namespace) -> None:
    from merclip_lib.study.checkout import default_runs
    from merclip_lib.synthme.draw import draw_population
    from merclip_lib.synthme.populations import EXAMPLE, population

    drawn, moved = ("preset", "seed", "people", "clips"), ("units", "intensity")
    if wrong := given_of(given, *(drawn if given.face else moved)):
        raise ValueError(f"--{min(wrong)} is {'not ' * bool(given.face)}for --face PHOTO")
    if given.face:
        from merclip_lib.look.photo import Moved, write_moved

        folder = given.out or default_runs() / "moved" / given.face.stem
        shown = Moved(**given_of(given, *moved))
        count = len(write_moved(given.face, folder, shown))
        print(f"{given.face.name} shows {shown.units}: {count} frames, GIF and table in {folder}")
        return
    people, name = EXAMPLE, "synthme"
    if given_of(given, *drawn):
        seed = EXAMPLE.seed if given.seed is None else given.seed
        people = population(given.preset or EXAMPLE.preset, seed, given.people, given.clips)
        name = people.name.lower()
    folder = given.out or default_runs() / name
    store = draw_population(people, folder, workers=given.workers)
    print(f"{people.name}: {len(store.table)} clips of {people.people} people in {folder}")


COMMANDS: Commands = _describe, _manifest, _task, _prepare, _synth
