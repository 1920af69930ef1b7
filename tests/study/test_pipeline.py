"""The papermill driver, on notebooks of a few lines made here."""

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
import tiny_runs
from nbformat.v4 import new_code_cell, new_notebook

from merclip_lib.__main__ import main
from merclip_lib.config import Config
from merclip_lib.runs.executors import Execution
from merclip_lib.study import kernel, notebooks, sweeps
from merclip_lib.study.errors import explain
from merclip_lib.study.notebooks import (
    PROFILES,
    NotebookError,
    check_parameters,
    check_values,
    execute,
    papermill_command,
    parameters_of,
    write_clean,
)
from merclip_lib.study.progress import Clock, progress_file
from merclip_lib.study.sweeps import Job, Selection, plan_jobs, results, results_text, sweep

PARAMETERS = 'lr = 5e-4\nepochs = 8\nmix = True\ntask = "synthme-5"\nruns_dir = "../runs"\n'
PARAMETERS += 'figures_dir = "../figures"\nseeds = [0, 1]\nseed = 0'


def write_notebook(folder, name="05_tiny.ipynb", body="print(lr * 2)", parameters=PARAMETERS):
    cells = [
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new_code_cell(body),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / name)
    return folder / name


def test_defaults_are_read_as_values(tmp_path):
    defaults = parameters_of(write_notebook(tmp_path))
    assert defaults["lr"] == 5e-4 and defaults["mix"] is True and defaults["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epoch": 3}, r"05_tiny.ipynb has no parameter 'epoch'.*epochs"),
        ({"lr": "1e-4"}, r"'lr' is '1e-4' \(str\).*write 1\.0e-4"),
        ({"epochs": 2.5}, r"'epochs' is 2\.5 .* should be int"),
        ({"epochs": True}, r"'epochs' is True .* should be int"),
        ({"mix": 1}, r"'mix' is 1 .* should be bool"),
        ({"task": None}, r"'task' is None .* should be str"),
        ({"seeds": []}, r"05_tiny.ipynb, seeds: seeds is \[\]; it must be a list of whole numbers"),
        ({"seeds": [-1]}, r"it must be a list of whole numbers"),
        ({"seeds": [2, 2]}, r"05_tiny.ipynb, seeds: seeds \[2, 2\] has a number twice"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, parameters, message):
    with pytest.raises(ValueError, match=message):
        check_parameters(write_notebook(tmp_path), parameters)


def test_a_further_seed_is_another_one():
    """The same run twice would be "mean of 2 seeds, seeds differ by 0.000"."""
    defaults = {"seed": 0, "extra_seeds": []}
    assert check_values(defaults, {"extra_seeds": [1, 2]}, "05")["extra_seeds"] == [1, 2]
    for given in ({"extra_seeds": [1, 0]}, {"extra_seeds": [3], "seed": 3}):
        with pytest.raises(ValueError, match="05, extra_seeds: .* has a number twice"):
            check_values(defaults, given, "05")


def test_right_parameters_fill_the_defaults(tmp_path):
    filled = check_parameters(write_notebook(tmp_path), {"lr": 1, "seeds": (3,)})
    assert filled["lr"] == 1 and filled["seeds"] == (3,) and filled["epochs"] == 8


def test_notebook_without_parameters_or_with_an_expression_is_refused(tmp_path):
    bare = write_notebook(tmp_path, parameters="")
    with pytest.raises(ValueError, match="no parameters"):
        parameters_of(bare)
    computed = write_notebook(tmp_path, parameters="lr = 5 * x")
    with pytest.raises(ValueError, match="'lr'.*plain literal"):
        parameters_of(computed)


def test_without_papermill_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    with pytest.raises(ModuleNotFoundError) as error:
        parameters_of(write_notebook(tmp_path))
    verdict = explain(error.value)
    assert verdict.caused and "pip install 'merclip[look,notebooks]'" in verdict.line


def test_run_injects_reports_and_keeps_the_committed_notebook(tmp_path, monkeypatch, capsys):
    body = (
        "import os\nfrom pathlib import Path\n"
        "print('lr', lr, Path.cwd().name)\n"
        "with open(os.environ['MERCLIP_PROGRESS'], 'a') as lines:\n"
        "    lines.write('fold 1/2: subject 3\\n')\n"
        "Path(figures_dir).mkdir(parents=True, exist_ok=True)\n"
        "(Path(figures_dir) / 'results.csv').write_text('method,uf1\\nfull,0.5\\n')"
    )
    path = write_notebook(tmp_path / "notebooks", body=body)
    before = path.read_bytes()
    monkeypatch.setitem(PROFILES, "smoke", {"05_tiny": {"lr": 0.25}})
    output = notebooks.run("smoke", root=tmp_path)
    executed = nbformat.read(output / path.name, as_version=4)
    assert executed.cells[-1].outputs[0].text == "lr 0.25 notebooks\n"
    assert path.read_bytes() == before
    assert (tmp_path / "runs" / "figures" / "smoke" / "results.csv").is_file()
    printed = capsys.readouterr().out
    for expected in (
        "05_tiny.ipynb begins",
        "fold 1/2: subject 3",
        "[1/1] 05_tiny: finished",
        "done at",
        "full",
        "figures:",
    ):
        assert expected in printed


MEETING = """import os, time
from pathlib import Path
Path(f"{os.getpid()}.here").touch()
for _ in range(2400):
    if len(list(Path().glob("*.here"))) == 2:
        break
    time.sleep(0.05)
else:
    raise TimeoutError("the other never came")
print(os.getppid())"""


def test_run_takes_two_notebooks_at_a_time_and_draws_what_they_share(tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(notebooks, "draw_population", lambda *given: drawn.append(given[1]))
    monkeypatch.setattr(notebooks, "workers_for", lambda *_: 9)
    for name in ("01_one.ipynb", "02_other.ipynb"):
        write_notebook(tmp_path / "notebooks", name, body=MEETING)
    output = notebooks.run("smoke", root=tmp_path)
    assert drawn == [tmp_path / "runs" / "smoke" / "synthme"]
    one, other = (nbformat.read(output / name, 4) for name in ("01_one.ipynb", "02_other.ipynb"))
    assert one.cells[-1].outputs[0].text != other.cells[-1].outputs[0].text  # their processes
    printed = capsys.readouterr().out
    assert "01_one.ipynb begins" in printed and "02_other.ipynb begins" in printed
    assert "[2/2]" in printed and "about 0:00 min left" in printed


def test_one_of_two_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "draw_population", lambda *_: None)
    monkeypatch.setattr(notebooks, "workers_for", lambda *_: 2)
    write_notebook(tmp_path / "notebooks", "01_good.ipynb")
    write_notebook(tmp_path / "notebooks", "02_bad.ipynb", body="raise KeyError('no such clip')")
    with pytest.raises(NotebookError, match="02_bad.ipynb failed in cell .3.: KeyError"):
        notebooks.run("standard", root=tmp_path)
    assert (tmp_path / "runs" / "notebooks" / "standard" / "01_good.ipynb").is_file()


@pytest.mark.parametrize("deaths", [2, 9])
def test_a_kernel_whose_port_was_taken_is_started_again(tmp_path, monkeypatch, deaths):
    calls, run = [], papermill.execute_notebook

    def dies_at_first(*args, **kwargs):
        calls.append(1)
        if len(calls) <= deaths:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return run(*args, **kwargs)

    monkeypatch.setattr(papermill, "execute_notebook", dies_at_first)
    path = write_notebook(tmp_path / "notebooks")
    if deaths == 2:
        notebooks.execute(path, tmp_path / "out.ipynb", {})
        assert len(calls) == 3 and (tmp_path / "out.ipynb").is_file()
    else:
        with pytest.raises(RuntimeError, match="before replying"):
            notebooks.execute(path, tmp_path / "out.ipynb", {})
        assert len(calls) == 4


def test_in_place_writes_a_clean_executed_notebook(tmp_path):
    write = "from pathlib import Path\nPath(figures_dir).mkdir(parents=True, exist_ok=True)\n"
    body = write + "Path(figures_dir, 'a.png').write_text('')\nprint(lr * 2)"
    path = write_notebook(tmp_path / "notebooks", body=body)
    notebooks.run("standard", root=tmp_path)
    assert (tmp_path / "runs" / "figures" / "standard" / "a.png").is_file()
    assert not (tmp_path / "figures").exists()  # the committed ones
    notebooks.run("standard", in_place=True, root=tmp_path)
    assert (tmp_path / "figures" / "a.png").is_file()
    notebook = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert notebook.cells[1].outputs[0].text == "0.001\n"
    assert "papermill" not in notebook.metadata
    assert [dict(cell.metadata) for cell in notebook.cells] == [{"tags": ["parameters"]}, {}]
    with pytest.raises(ValueError, match="standard"):
        notebooks.run("smoke", in_place=True, root=tmp_path)


def test_clean_notebook_has_no_injected_cell(tmp_path):
    path = write_notebook(tmp_path)
    execute(path, tmp_path / "out.ipynb", {"lr": 0.5})
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert len(executed.cells) == 3 and "papermill" in executed.cells[0].metadata
    write_clean(tmp_path / "out.ipynb", tmp_path / "clean.ipynb")
    assert len(nbformat.read(tmp_path / "clean.ipynb", as_version=4).cells) == 2
    assert "papermill" not in (tmp_path / "clean.ipynb").read_text()


def test_a_failing_notebook_is_named_with_cell_error_and_output(tmp_path):
    path = write_notebook(tmp_path / "notebooks", body="raise KeyError('no such clip')")
    with pytest.raises(NotebookError) as caught:
        notebooks.run("standard", root=tmp_path)
    output = tmp_path / "runs" / "notebooks" / "standard" / path.name
    assert output.is_file()
    message = str(caught.value)
    for expected in ("05_tiny.ipynb", "cell [3]", "KeyError: 'no such clip'", str(output)):
        assert expected in message


def test_a_profile_with_an_unknown_parameter_starts_nothing(tmp_path, monkeypatch):
    write_notebook(tmp_path / "notebooks")
    monkeypatch.setitem(PROFILES, "smoke", {"05_tiny": {"epoch": 1}})
    with pytest.raises(ValueError, match="'epoch'"):
        notebooks.run("smoke", root=tmp_path)
    assert not (tmp_path / "runs").exists()


def write_grid(folder, entries, extra=""):
    text = (
        f"notebook: 05_tiny.ipynb\nbase: {{epochs: 2}}\nseeds: [0, 1]\n{extra}entries:\n{entries}"
    )
    (folder / "grid.yaml").write_text(text)
    return folder / "grid.yaml"


def test_sweep_checks_every_entry_before_it_starts(tmp_path):
    write_notebook(tmp_path)
    good = "  - {name: good, parameters: {mix: false}}\n"
    bad = {
        "  - {name: b, parameters: {mixx: false}}\n": "entry 'b'.*'mixx'.*mix",
        "  - {name: b, parameters: {lr: 1e-4}}\n": "entry 'b'.*write 1.0e-4",
        "  - {name: b, params: {mix: false}}\n": "unknown key 'params'",
        "  - {name: good}\n": "given twice",
        "  - {parameters: {}}\n": "'name' is missing",
    }
    for entry, message in bad.items():
        with pytest.raises(ValueError, match=message):
            sweep(write_grid(tmp_path, good + entry), runs_dir=tmp_path / "runs")
    with pytest.raises(ValueError, match="unknown key 'seeed'"):
        sweep(write_grid(tmp_path, good, "seeed: 1\n"), runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_sweep_skips_finished_runs_and_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):

    write_notebook(tmp_path, body="assert mix, 'this entry fails'\nprint(epochs, seed)")
    entries = "  - {name: broken, parameters: {mix: false}}\n  - {name: full}\n"
    finished = lambda job, runs_dir: job.config.mix and job.config.seed == 0  # noqa: E731
    monkeypatch.setattr("merclip_lib.study.sweeps._is_done", finished)
    grid = write_grid(tmp_path, entries)
    failures = sweep(grid, runs_dir=tmp_path / "runs", selection=Selection(overrides={"epochs": 3}))
    assert len(failures) == 2 and all("this entry fails" in failure for failure in failures)
    folder = tmp_path / "runs" / "notebooks" / "sweep"
    assert sorted(path.name for path in folder.glob("full*.ipynb")) == ["full-seed1.ipynb"]
    executed = nbformat.read(folder / "full-seed1.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "3 1\n"
    printed = capsys.readouterr().out
    assert "1 of 4 runs are in the store" in printed and "mix: false" in printed


@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_sweep_takes_entries_side_by_side(executor, tmp_path, capsys):
    if executor == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    body = "import os\nassert mix, 'this entry fails'\nprint(executor, epochs, seed, os.getppid())"
    write_notebook(tmp_path, body=body, parameters=PARAMETERS + "\nexecutor = 'processes'")
    grid = write_grid(tmp_path, "  - {name: broken, parameters: {mix: false}}\n  - {name: full}\n")
    runs = tmp_path / "runs"
    with pytest.raises(ValueError, match="executor 'cloud' is unknown"):
        sweep(grid, runs_dir=runs, execution=Execution("cloud"))
    assert not runs.exists()
    failures = sweep(grid, runs_dir=runs, execution=Execution(executor, 2))
    assert sorted(failure.split(":")[0] for failure in failures) == ["broken-seed0", "broken-seed1"]
    parents = set()
    for seed in (0, 1):
        executed = nbformat.read(runs / "notebooks" / "sweep" / f"full-seed{seed}.ipynb", 4)
        *said, parent = executed.cells[-1].outputs[0].text.split()
        assert said == ["serial", "2", str(seed)]
        parents.add(int(parent))
    assert os.getpid() not in parents
    assert capsys.readouterr().out.count("finished") == 2


def test_the_folds_of_an_entry_alone_go_side_by_side(tmp_path):
    write_notebook(
        tmp_path, body="print(executor)", parameters=PARAMETERS + "\nexecutor = 'processes'"
    )
    grid, runs = write_grid(tmp_path, "  - {name: full}\n"), tmp_path / "runs"
    assert not sweep(grid, runs_dir=runs, selection=Selection(seeds=[2]))
    executed = nbformat.read(runs / "notebooks" / "sweep" / "full-seed2.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == "processes\n"


def test_a_grid_anywhere_takes_the_training_notebook_and_the_files_beside_it(tmp_path, monkeypatch):
    (tmp_path / "grid").mkdir()
    grid = tmp_path / "grid" / "mine.yaml"
    grid.write_text(
        "base: {extra_seeds: [], templates: my.txt}\nentries:\n"
        "  - {name: plain}\n  - {name: mine, parameters: {phrases: my.csv}}\n"
    )
    for name in ("my.csv", "my.txt"):
        (tmp_path / "grid" / name).write_text("")
    monkeypatch.chdir(tmp_path)
    plain, mine = plan_jobs(grid, tmp_path / "runs", Selection())
    assert mine.notebook == notebooks.root_with("notebooks") / "notebooks" / "05_train_loso.ipynb"
    assert mine.config.phrases == str(tmp_path / "grid" / "my.csv") and not plain.config.phrases
    assert plain.config.templates == mine.config.templates == str(tmp_path / "grid" / "my.txt")


def test_sweep_changes_all_entries_from_the_command_line(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path, body="print(lr, task)")
    grid = write_grid(tmp_path, "  - {name: full}\n")
    runs = tmp_path / "runs"
    given = ["--seeds", "0", "-p", "lr", "0.5", "-p", "subjects", "2", "--runs-dir", str(runs)]
    assert main(["sweep", str(grid), *given]) == 2
    assert "write the line `subjects = 0` into its cell of param" in capsys.readouterr().err
    monkeypatch.setattr("merclip_lib.study.sweeps._is_done", lambda *_: False)
    assert main(["sweep", str(grid), *given[:5], "--runs-dir", str(runs)]) == 0
    executed = nbformat.read(runs / "notebooks" / "sweep" / "full-seed0.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "0.5 synthme-5\n"
    assert "no run of this grid is in the store" in capsys.readouterr().out


def test_the_table_of_a_sweep_compares_with_the_first_entry(tmp_path):
    store = tiny_runs.make_store(tmp_path / "set")
    jobs = []
    for entry, changes in {"full": {}, "fast": {"lr": 1e-2}, "fewer": {"subjects": 2}}.items():
        for seed in (0, 1):
            config = dataclasses.replace(tiny_runs.FAST, epochs=1, seed=seed, **changes)
            where = Path(), Path(), {}, config, str(store.folder)
            jobs.append(Job(f"{entry}-seed{seed}", entry, *where))
            if (entry, seed) != ("fast", 1):
                tiny_runs.run(config, store, tmp_path / "runs", executor="serial")
    table = results(jobs, tmp_path / "runs").set_index("entry")
    assert table["seeds"].to_dict() == {"full": 2, "fast": 1, "fewer": 2}
    assert table.loc["fast", "difference"] == pytest.approx(table.uf1["fast"] - table.uf1["full"])
    assert table.loc["fast", "from"] <= table.loc["fast", "difference"] <= table.loc["fast", "to"]
    assert table.loc["full", "difference"] == 0 and pd.isna(table.loc["fewer", "difference"])
    assert "difference to full" in results_text(table.reset_index())
    wanted = dataclasses.replace(jobs[0], parameters={"keep_network": True})
    assert sweeps._is_done(jobs[0], tmp_path / "runs")
    assert not sweeps._is_done(wanted, tmp_path / "runs")
    kept = {"keep_network": True, "executor": "serial"}
    whole = tiny_runs.run(wanted.config, store, tmp_path / "runs", **kept)
    assert sweeps._is_done(wanted, tmp_path / "runs")
    (whole.folder / "predictions.csv").write_text("clip_id\n")  # damaged
    assert not sweeps._is_done(wanted, tmp_path / "runs")
    assert not sweeps._is_done(jobs[0], tmp_path / "runs")


def test_a_new_field_works_in_a_notebook_before_it_has_a_line(tmp_path, monkeypatch):
    (tmp_path / "my.csv").write_text("")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr("merclip_lib.study.kernel.CALLED_FROM", tmp_path)
    given = kernel.given({"epochs": 3, "phrases": "my.csv", "weights": "openai", "rows": []})
    assert given["epochs"] == 3 and given["phrases"] == str(tmp_path / "my.csv")
    assert given["weights"] == "openai" and given["lr"] == Config.lr
    assert set(given) == set(Config.__dataclass_fields__)


def test_progress_lines_carry_an_estimate(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MERCLIP_PROGRESS", raising=False)
    say = Clock({"a": 1.0})
    with progress_file(tmp_path, say) as _:
        with open(tmp_path / "progress.txt", "a") as lines:
            lines.write("fold 1/3: a\nfold 2/3: b\n")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].strip() == "fold 1/3: a"
    assert "fold 2/3: b (about 0:00 min left)" in printed[1]


def test_the_time_left_goes_by_the_run_before(tmp_path, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    shares, file = {"a": 1.0, "b": 1.0, "c": 90.0}, tmp_path / "seconds.json"

    def run(*seconds: float) -> list[str]:
        say = Clock(shares, file)
        for name, taken in zip(shares, seconds, strict=True):
            now[0] += taken
            say.finish(name, taken)
        lines = capsys.readouterr().out.splitlines()
        return [line.split("about ")[1] for line in lines if "about" in line]

    assert run(20, 20, 200)[0] == "30:20 min left"  # nothing is known but the shares
    assert run(20, 20, 200)[:2] == ["3:40 min left", "3:20 min left"]
    assert run(40, 40, 3)[:2] == ["7:20 min left", "6:40 min left"]  # slower, then from the store
    assert run(40, 40, 200)[1] == "3:20 min left"
    file.write_text('{"a": 20.0, "b": ')  # damaged
    assert run(20, 20, 200)[0] == "30:20 min left"
    file.write_text('{"a": 20.0, "b": 20.0}')  # a third notebook is new
    assert run(20, 20, 200)[0] == "30:20 min left"


def test_the_time_left_counts_what_is_under_way(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    say = Clock({"a": 1.0, "b": 6.0, "c": 2.0, "d": 1.0}, workers=2)

    def left_after(seconds: float, name: str) -> str:
        now[0] += seconds
        say.finish(name, seconds=20.0)
        return capsys.readouterr().out.split("about ")[1].strip()

    say.inner_line("a.ipynb begins")
    say.inner_line("b.ipynb begins")
    assert left_after(20, "a") == "1:40 min left"  # 100 s of b, longer than half of 100 + 40 + 20
    say.inner_line("c.ipynb begins")
    assert left_after(20, "c") == "0:40 min left"  # 13.3 s for a weight of 1: 80 of b, 40 are over


def test_the_printed_papermill_line_runs_as_it_stands(tmp_path):
    body = "assert (lr, seeds, mix) == (2e-5, [], False) and task == 'a b', (lr, seeds, mix, task)"
    path = write_notebook(tmp_path / "the notebooks", body=body)
    changed = {"lr": 2e-5, "seeds": [], "mix": False, "task": "a b"}
    line = papermill_command(path, tmp_path / "out.ipynb", changed)
    script = Path(sys.executable).with_name("papermill")
    done = subprocess.run([script, *shlex.split(line)[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_clear_difference_stays_clear_in_a_grid_of_many_entries():
    """Twelve people: 2 / 1001 for each of 39 questions would be 0.08 after Holm's correction."""
    truth = ["a", "b"] * 24
    right = pd.DataFrame({"clip_id": [f"c{k}" for k in range(48)], "truth": truth})
    right = right.assign(subject=[f"s{k // 4}" for k in range(48)], prediction=truth)
    entries = {"right": [right]} | {f"all a {k}": [right.assign(prediction="a")] for k in range(39)}
    table = sweeps.compared(entries, dict.fromkeys(entries, ("a", "b")))
    assert table.difference[1] == pytest.approx(1 / 3 - 1)
    assert (table.p_holm[1:] < 0.05).all() and pd.isna(table.p_holm[0])
