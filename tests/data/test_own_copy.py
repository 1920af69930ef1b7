"""From a release's own folders and annotation file to a trained fold, on clips that were drawn.

SynthME is laid out as each official release is, so the whole road of a student with a licensed
copy is walked: merclip manifest, merclip task, merclip prepare, one fold.
"""

from pathlib import Path

import numpy as np
import official_annotations
import official_layouts
import pytest

from merclip_lib.__main__ import main
from merclip_lib.config import config_from
from merclip_lib.data.store import open_store
from merclip_lib.data.table import read_table
from merclip_lib.protocol.folds import make_folds
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import population

# release -> how its annotations are written, and the task that its clips can be used for
ROADS = {
    "casme2": ("casme2", "casme2-5"),
    "casme2-raw": ("casme2", ""),
    "samm": ("samm", "samm-5"),
    "smic": ("smic", "megc2019-3"),
    "smic-long": ("smic", ""),
    "casme3": ("casme3", "casme3-7"),
    "dfme": ("dfme", "dfme-7"),
    "mmew": ("mmew", ""),
    "4dme": ("4dme", ""),
    "casme": ("casme", ""),
    "casme2sq": ("casme2sq", ""),
}


SEED = 7  # of a population in which every emotion occurs


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """SynthME in small: 3 subjects with 8 clips each, every emotion among them."""
    small = population("casme3-like", SEED, people=3, clips=24, dependence=0.0)
    return draw_population(small, tmp_path_factory.mktemp("drawn") / "synthme", workers=1)


def manifest(drawn, folder, release, suffix=""):
    """Folders, annotation file and clip table of a release in `folder`; its table and clips."""
    dataset = ROADS[release][0]
    clips = official_layouts.lay_out(drawn, folder / "copy", release, suffix)
    kind = ".csv" if dataset == "dfme" else ".xlsx"
    file = getattr(official_annotations, f"write_{dataset}")(folder / f"codes{kind}", clips)
    assert (
        main(
            [
                "manifest",
                dataset,
                "--annotations",
                str(file),
                "--data-root",
                str(folder / "copy"),
                "--out",
                str(folder / "clips.csv"),
            ]
        )
        == 0
    )
    return read_table(folder / "clips.csv"), clips


def prepare(folder, *options):
    code = main(
        [
            "prepare",
            "--table",
            str(folder / "clips.csv"),
            "--data-root",
            str(folder / "copy"),
            "--out",
            str(folder / "store"),
            "--size",
            "64",
            "--frames",
            "16",
            "--workers",
            "1",
            *options,
        ]
    )
    return open_store(folder / "store") if code == 0 else None


@pytest.mark.parametrize("release", ROADS)
def test_from_folders_to_a_trained_fold(drawn, tmp_path, release, capsys):
    table, clips = manifest(drawn, tmp_path, release)
    assert len(table) == len(drawn) and official_layouts.tables_agree(table, clips)
    store = prepare(tmp_path)
    told = capsys.readouterr().out
    assert "cut by frame number: 24, the whole folder or video: 0" in told
    assert "left out" not in told and "noted" not in told
    apart = np.abs(store.frames.astype(int) - drawn.frames)
    lossless = official_layouts.RELEASES[release].picture.endswith((".bmp", ".png"))
    assert apart.max() == 0 if lossless else apart.mean() < 3  # JPEG: close

    task = ROADS[release][1]
    if not task:
        return
    assert main(["task", task, "--table", str(tmp_path / "clips.csv")]) == 0
    config = config_from({"task": task, "epochs": 1, "frames": 4, "use_text": release != "smic"})
    plan = RunPlan(config, store)
    folds = make_folds(plan.table, 0)
    trained = train_fold(plan, folds[0])
    assert len(folds) == 3
    predicted = trained.predictions
    assert set(predicted["clip_id"]) <= set(table["clip_id"])
    assert predicted["subject"].nunique() == 1 and len(predicted) == len(folds[0].test) > 0
    assert np.isfinite(trained.history.select_dtypes("number").to_numpy()).all()


@pytest.mark.parametrize("release", ["casme2", "casme3"])
def test_png_without_alignment_gives_the_same_bytes(drawn, tmp_path, release):
    manifest(drawn, tmp_path, release, suffix=".png")
    assert np.array_equal(prepare(tmp_path).frames, drawn.frames)


def test_unpacked_deeper_in_other_case_and_as_other_pictures(drawn, tmp_path, capsys):
    manifest(drawn, tmp_path, "casme2", suffix=".png")
    cropped = tmp_path / "copy/CASME2/Cropped"
    for subject in sorted(cropped.iterdir()):
        deeper = Path(tmp_path / "copy/CASME2/CROPPED (1)/Cropped", subject.name.upper())
        deeper.parent.mkdir(parents=True, exist_ok=True)
        subject.rename(deeper)
        for clip in sorted(deeper.iterdir()):
            clip.rename(clip.with_name(clip.name.lower()))
    cropped.rmdir()
    assert np.array_equal(prepare(tmp_path).frames, drawn.frames)


def test_a_damaged_copy_is_told_and_can_be_used(drawn, tmp_path, capsys):
    table, _ = manifest(drawn, tmp_path, "samm")
    pictures = sorted((tmp_path / "copy/SAMM/002/002_1_3").iterdir())
    pictures[5].write_bytes(pictures[5].read_bytes()[:500])
    assert prepare(tmp_path) is None
    told = capsys.readouterr().err
    assert "1 of 24 clips cannot be read, nothing is written" in told and pictures[5].name in told
    store = prepare(tmp_path, "--skip-bad")
    assert len(store) == 23 and store.meta["dropped"][0][0] not in set(store.table["clip_id"])
    assert "left out: 1" in capsys.readouterr().out
    assert len(table) == 24


def test_aligned_from_the_command_line(drawn, tmp_path):
    """Every drawn face is found; the eyes come to the same places in clips of all subjects."""
    manifest(drawn, tmp_path, "smic")
    store = prepare(tmp_path, "--align", "mesh", "--margin", "0.1", "--grey", "--stabilise")
    assert len(store) == 24 and store.meta["align"] == "mesh" and store.meta["margin"] == 0.1
    assert store.meta["grey"] and store.meta["stabilise"]
    mean = store.frames[..., 0].mean((0, 1))
    eyes, forehead = mean[20:28, 14:22].mean(), mean[8:14, 24:40].mean()
    assert eyes < forehead - 15  # dark where the left eyes are
