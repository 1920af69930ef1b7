"""What a weights file holds, and what would become of it when loaded."""

from os.path import expanduser  # that of pathlib fails where there is no such user
from pathlib import Path

import torch

from merclip_lib.config import SIZES
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.text.bank import text_tower
from merclip_lib.weights import key_layouts, published
from merclip_lib.weights.adapt import LoadReport, adapt
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.key_layouts import Checkpoint
from merclip_lib.weights.load import adapt_vision
from merclip_lib.weights.sizes import check_sizes, fitting_size, sizes_in


def inspect_file(path: Path, size: str = "") -> dict:
    """What a weights file is.

    Args:
        path: the file.
        size: name of a size; with it the answer has the report of loading the file there
            (nothing is computed or kept).

    Returns:
        Checksum, what is known of it, layout, fitting size, sizes and numbers of parameters by
        part, names without a place, header, and perhaps `report`, a `LoadReport`.

    Raises:
        ValueError: the file cannot be read or loaded.
    """
    path = Path(expanduser(path))
    state, header = read_weights(path)
    checkpoint, checksum = key_layouts.recognise(state, str(path)), published.sha256(path)
    sizes = sizes_in(checkpoint, str(path))
    parts = {"vision": checkpoint.vision, "text": checkpoint.text, "head": checkpoint.head}
    for part in parts.values():
        for name, tensor in part.items():
            if not name.endswith("num_batches_tracked"):
                key_layouts.check_values(name, tensor, str(path))
    numbers = {name: sum(t.numel() for t in part.values()) for name, part in parts.items() if part}
    content = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": checksum,
        "known": published.identify(path, checksum),
        "layout": checkpoint.layout,
        "size": fitting_size(sizes),
        "sizes": sizes,
        "parameters": numbers,
        "other": checkpoint.other,
        "header": header,
    }
    return content | ({"report": dry_run(checkpoint, size, path.name)} if size else {})


def dry_run(checkpoint: Checkpoint, size: str, source: str) -> LoadReport:
    """The report of loading a checkpoint into a network of a named size, without building it.

    Args:
        checkpoint: the parts of a weights file.
        size: a key of `SIZES`.
        source: name of the file, for the report and the message of an error.

    Raises:
        ValueError: the size is unknown, or the checkpoint does not fit.
    """
    if size not in SIZES:
        raise ValueError(f"size {size!r} is unknown; choose one of {', '.join(SIZES)}")
    report = LoadReport(source, layout=checkpoint.layout)
    with torch.device("meta"):
        encoder, tower = VideoEncoder(SIZES[size]), text_tower(SIZES[size])
    if checkpoint.vision:
        _, vision = adapt_vision(encoder.state_dict(), SIZES[size], checkpoint, source)
        report.add(vision, "vision_encoder.")
    if checkpoint.text:
        check_sizes(checkpoint, SIZES[size], "text", source)
        _, text = adapt(tower.state_dict(), checkpoint.text, source)
        report.add(text, "text_encoder.")
    return report
