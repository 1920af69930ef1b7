"""What a weights file holds, and what would become of it when loaded."""

from pathlib import Path

import torch

from merclip_lib.config import SIZES
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.text.bank import text_tower
from merclip_lib.weights import key_layouts
from merclip_lib.weights import published as published_weights
from merclip_lib.weights.adapt import LoadReport, adapt
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.key_layouts import Checkpoint
from merclip_lib.weights.load import _adapt_vision


def inspect_file(path: Path, size: str = "") -> dict:
    """What a weights file is: checksum, layout, sizes and parameters by part, header; with the
    name of a size also the report of loading it there (nothing is computed or kept).

    Raises ValueError for a file that cannot be read or loaded.
    """
    state, header = read_weights(path)
    parts, checksum = key_layouts.recognise(state, str(path)), published_weights.sha256(path)
    sizes = key_layouts.sizes_in(parts)
    found = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": checksum,
        "known": published_weights.identity(path, checksum),
        "layout": parts.layout,
        "size": key_layouts.fitting_size(sizes),
        "sizes": sizes,
    }
    found["parameters"] = {
        name: sum(tensor.numel() for tensor in part.values())
        for name, part in (("vision", parts.vision), ("text", parts.text), ("head", parts.head))
        if part
    }
    found |= {"other": parts.other, "header": header}
    if size:
        found["report"] = dry_run(parts, size, path.name)
    return found


def dry_run(parts: Checkpoint, size: str, source: str) -> LoadReport:
    """The report of loading a checkpoint into a network of a named size, without building it."""
    if size not in SIZES:
        raise ValueError(f"size {size!r} is unknown; choose one of {', '.join(SIZES)}")
    report = LoadReport(source, layout=parts.layout)
    with torch.device("meta"):
        encoder, tower = VideoEncoder(SIZES[size]), text_tower(SIZES[size])
    if parts.vision:
        _, part = _adapt_vision(encoder.state_dict(), SIZES[size], parts, source)
        report.add(part, "vision_encoder.")
    if parts.text:
        key_layouts.check_sizes(parts, SIZES[size], "text", source)
        _, part = adapt(tower.state_dict(), parts.text, source)
        report.add(part, "text_encoder.")
    return report
