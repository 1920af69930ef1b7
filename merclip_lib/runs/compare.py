"""Two runs side by side: settings that differ, paired difference, clips that changed."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from merclip_lib.data.tasks import task_named
from merclip_lib.runs.store import read_record, read_run
from merclip_lib.scores.bootstrap import paired_difference
from merclip_lib.scores.metrics import METRICS
from merclip_lib.scores.verdicts import in_numbers


def settings_that_differ(a: Path, b: Path) -> pd.DataFrame:
    """What two runs were made with, as far as it differs.

    Args:
        a: folder of a run.
        b: folder of another.

    Returns:
        A row per setting, [setting, a, b]: fields of the configuration, then clips, weights, code
        and the prompts that files gave.
    """
    first, second = _settings(a), _settings(b)
    names = [name for name in first | second if first.get(name) != second.get(name)]
    both = [[each.get(name, "the paper's") for name in names] for each in (first, second)]
    return pd.DataFrame({"setting": names, "a": both[0], "b": both[1]}, dtype=object)


def _settings(folder: Path) -> dict:
    record = read_record(folder)
    beside = {"clips": record["data"]["hash"], "content of weights": record["weights"]}
    beside |= {"code": record.get("code", "unknown"), **record.get("prompts", {})}
    return asdict(read_run(folder).config) | beside


def clips_that_changed(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Clips that two runs predict differently.

    Args:
        a: predictions.
        b: predictions of the same clips, in any order.

    Returns:
        A row per clip, [clip_id, truth, a, b, change]; change is "mended", "spoilt" or "wrong".
    """
    columns = ["clip_id", "truth", "prediction"]
    both = a[columns].merge(b[["clip_id", "prediction"]], "inner", "clip_id", suffixes=("", "_b"))
    both = both.set_axis(["clip_id", "truth", "a", "b"], axis=1).query("a != b")
    change = pd.Series("wrong", both.index).mask(both["b"] == both["truth"], "mended")
    return both.assign(change=change.mask(both["a"] == both["truth"], "spoilt"))


def compare_text(a: Path, b: Path) -> str:
    """How run b differs from run a, for the terminal.

    Raises:
        ValueError: one of them is not finished, or they are over other clips or classes.
    """
    first, second = read_run(a), read_run(b)
    classes = task_named(first.config.task).classes
    lines, differ = [f"a is {first.hash}, b is {second.hash}"], settings_that_differ(a, b)
    lines += [f"  {row.setting}: {row.a!s} -> {row.b!s}" for row in differ.itertuples()]
    for metric in METRICS:
        won = paired_difference([second.predictions], [first.predictions], classes, metric)
        lines.append(f"b minus a, {metric}: {in_numbers(*won)} (subjects drawn together)")
    changed = clips_that_changed(first.predictions, second.predictions)
    lines.append(f"{len(changed)} of {len(first.predictions)} clips changed")
    if len(changed):
        counts = changed["change"].value_counts()
        lines[-1] += ": " + ", ".join(f"{count} {name}" for name, count in counts.items())
        lines.append(changed.to_string(index=False))
    return "\n".join(lines)
