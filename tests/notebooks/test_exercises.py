"""The exercises of the notebooks: their checks, their placeholders and their solutions."""

import importlib.util
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy import stats

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[01][0-9]_*.ipynb"))
SOLUTIONS = [FOLDER / "solutions" / f"{path.name[:2]}_solutions.ipynb" for path in NOTEBOOKS]

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in this copy")


def load_exercises():
    """notebooks/exercises.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("exercises", FOLDER / "exercises.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


exercises = load_exercises() if NOTEBOOKS else None
CHECKS = [name for name in vars(exercises) if name.startswith("check_")] if exercises else []


def cells_of(path):
    return {cell["id"]: cell for cell in nbformat.read(path, as_version=4).cells}


def keys_of(cells):
    return [name.removesuffix("-check") for name in cells if re.fullmatch(r"ex-\w+-check", name)]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def said_of(check, answer, capsys):
    getattr(exercises, check)(answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_exercise_is_a_task_a_placeholder_and_a_check(path):
    cells = cells_of(path)
    keys = keys_of(cells)
    assert 3 <= len(keys) <= 5
    for key in keys:
        assert cells[f"{key}-task"].cell_type == "markdown"
        assert "return None" in cells[f"{key}-code"].source
        assert printed(cells[f"{key}-check"]) == "not yet\n"


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_are_right_short_and_of_the_same_tasks(path):
    tasks = cells_of(NOTEBOOKS[SOLUTIONS.index(path)])
    solved = cells_of(path)
    assert keys_of(solved) == keys_of(tasks)
    for key in keys_of(solved):
        for part in ("task", "check"):
            assert solved[f"{key}-{part}"].source == tasks[f"{key}-{part}"].source
        assert printed(solved[f"{key}-check"]) == "right\n"
        code = solved[f"{key}-code"].source
        first = code.splitlines()[0]
        assert tasks[f"{key}-code"].source.splitlines()[0] == first
        assert 5 <= len(code.splitlines()) <= 15, code
    code_cells = [cell for cell in solved.values() if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code_cells]
    assert counts == list(range(1, len(counts) + 1))


def test_every_check_belongs_to_one_exercise():
    used = [
        re.search(r"exercises\.(check_\w+)\(", cells[f"{key}-check"].source)[1]
        for cells in map(cells_of, NOTEBOOKS)
        for key in keys_of(cells)
    ]
    assert sorted(used) == sorted(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_checks_print_and_never_raise(check, capsys):
    assert said_of(check, lambda *inputs: None, capsys) == "not yet"
    assert said_of(check, lambda *inputs: 1 / 0, capsys).startswith("it stops with ZeroDivision")
    for answer in (lambda *inputs: 0, lambda *inputs: "x", lambda *inputs: (), None, "x", 7):
        said = said_of(check, answer, capsys)
        assert said and said not in ("right", "not yet")


def test_checks_recognise_the_usual_mistakes(capsys):
    def moving(clip, face, rows, columns, alpha):
        clip[..., rows, columns] *= alpha
        clip[..., rows, columns] += (1 - alpha) * face[..., rows, columns]
        return clip

    assert "take its first frame" in said_of("check_mix", moving, capsys)
    said = said_of("check_nearest", lambda z, v: (z @ v.T).argmax(1), capsys)
    assert "divide each by its length" in said

    def clips(subjects, rng):
        return rng.integers(0, len(subjects), len(subjects))

    assert "draw people" in said_of("check_resample", clips, capsys)
    said = said_of("check_resample", lambda subjects, rng: np.arange(len(subjects)), capsys)
    assert "every sample is the same" in said

    def uncorrected(first, frame):
        return (frame - first).mean(-1)  # bytes wrap around

    assert "random pair" in said_of("check_change", uncorrected, capsys)


def test_checks_of_scores_recognise_the_usual_mistakes(capsys):
    def mean_of_people(counts, times):
        hits, both = np.diagonal(counts, axis1=1, axis2=2), counts.sum(1) + counts.sum(2)
        return np.dot(times, (2 * hits / np.maximum(both, 1)).mean(1)) / times.sum()

    assert "add up the counts" in said_of("check_drawn_uf1", mean_of_people, capsys)

    def unwidened(values, times):
        drawn = (values[1:] * times).mean(1)
        return values[0].mean(), *np.quantile(drawn, [0.025, 0.975])

    assert "too narrow" in said_of("check_two_way", unwidened, capsys)

    def by_width(effect, spread, level, power):
        sizes = range(2, 1000)
        return next(n for n in sizes if stats.t.isf(level / 2, n - 1) * spread < effect * n**0.5)

    assert "ask for power" in said_of("check_populations_needed", by_width, capsys)

    def people_means(values, person, times):
        means = np.array([values[person == k].mean() for k in range(len(times[0]))])
        drawn = times @ means / len(means)
        return values.mean(), *np.quantile(drawn, [0.025, 0.975])

    assert "brings all her clips" in said_of("check_person_interval", people_means, capsys)

    def one_epoch(right, fold):
        return right[-1].mean(), right.mean(1).max()

    assert "in each fold anew" in said_of("check_best_epoch", one_epoch, capsys)
    said = said_of("check_integrated", lambda d, x, start, n: (x - start) * d(x), capsys)
    assert "take the mean on the way" in said


def test_checks_of_figures_and_films_recognise_the_usual_mistakes(capsys):
    def means(matrices):
        def uf1(matrix):
            hits, both = np.diagonal(matrix), matrix.sum(0) + matrix.sum(1)
            return (2 * hits / np.maximum(both, 1)).mean()

        return (np.mean([uf1(matrix) for matrix in matrices]),) * 2

    assert "add up the matrices" in said_of("check_composite_uf1", means, capsys)

    def unpaired(before, after):
        ends = [np.quantile(each[1:], [0.025, 0.975]) for each in (before, after)]
        return after[0] - before[0], ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]

    assert "subtract in each sample" in said_of("check_paired_change", unpaired, capsys)

    def around_the_end(course, half):
        return course - (np.roll(course, half) + np.roll(course, -half)) / 2

    assert "clip the indices" in said_of("check_stands_out", around_the_end, capsys)
    said = said_of("check_without_head", lambda f, still: f - f.mean((0, 1)), capsys)
    assert "where the face is still" in said

    def moving_alone(moving, still, units):
        return units @ moving / np.linalg.norm(units, axis=1) / np.linalg.norm(moving)

    assert "the still face scores, too" in said_of("check_unit_scores", moving_alone, capsys)
