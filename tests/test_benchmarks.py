"""The benchmarks compare like with like; how fast they are is not asserted."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from merclip_lib.augment import draw_mixes, local_static_face_mix
from merclip_lib.config import ModelSize

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SIZE = ModelSize(
    resolution=32,
    patch=8,
    frames=6,
    width=48,
    layers=3,
    heads=4,
    embed_dim=32,
    token_dim=32,
    global_layers=(1, 2),
    mlp_dropout=0.0,
    text_width=32,
    text_layers=1,
    text_heads=2,
    eim_dropout=0.0,
)


def test_a_step_takes_the_same_numbers_in_both_layouts():
    from benchmarks.training import step

    output, slope = step.differences(SIZE, clips=2)
    assert output < 1e-5 and slope < 1e-3
    states = [step.network_of(kind, SIZE).state_dict() for kind in ("plain", "fast")]
    for plain, fast in zip(*(state.values() for state in states), strict=True):
        assert torch.equal(plain, fast)


def test_the_loops_mix_as_ours_does(monkeypatch):
    from benchmarks.training import mix

    monkeypatch.setattr(mix, "SHAPE", (4, 3, 3, 16, 12))
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(mix.SHAPE, generator=generator)
    draws = draw_mixes(torch.arange(4), 1.0, generator)
    given = video.clone()
    ours = local_static_face_mix(given, draws)
    assert ours.data_ptr() == given.data_ptr()
    assert not torch.equal(ours, video)
    torch.testing.assert_close(mix.by_loop(video, draws), ours)
    torch.testing.assert_close(mix.by_products(video, draws), ours)


def test_every_script_is_in_the_readme_and_the_other_way_round():
    scripts = {path.name for path in BENCHMARKS.rglob("*.py")}
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert {name for name in scripts if f"`{name}`" in text} == scripts
    assert "python -m benchmarks.training.step" in text


@pytest.mark.parametrize("arguments", [["--help"], ["describe", "4+7+L10"]])
def test_the_command_line_starts_without_heavy_imports(arguments):
    code = (
        "import sys\nfrom merclip_lib.__main__ import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print([n for n in ('torch', 'pandas', 'open_clip', 'yaml') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
