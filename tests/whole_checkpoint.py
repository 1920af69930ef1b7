"""A whole MER-CLIP checkpoint, classifier and text tower included, into a network.

The library starts every classifier anew and keeps the text tower apart; the tests compare whole
networks with those of the authors' program.
"""

from pathlib import Path

from torch import nn

from merclip_lib.model.merclip import MERCLIP
from merclip_lib.weights.adapt import LoadReport, load_into
from merclip_lib.weights.key_layouts import Checkpoint
from merclip_lib.weights.load import load_vision, read_checkpoint
from merclip_lib.weights.sizes import check_sizes, sizes_in


def load_checkpoint(model: MERCLIP, path: str | Path) -> LoadReport:
    """Load all that a file holds of MER-CLIP, such as a checkpoint of the authors' program.

    Args:
        model: the network; video encoder, classifier, alignment scale and, where it has one
            (`model.text_encoder`), the text tower are changed. The classifier is left at its
            start, with a note, unless its classes and layers are those of the file.
        path: the weights file.
    """
    source, checkpoint = Path(path).name, read_checkpoint(path)
    report = LoadReport(source, layout=checkpoint.layout)
    report.add(load_vision(model.vision_encoder, checkpoint, source), "vision_encoder.")
    report.add(load_head(model.cls_head, checkpoint, source), "cls_head.")
    if checkpoint.logit_scale is None:
        report.initial.append("logit_scale")
    else:
        model.logit_scale.data.fill_(checkpoint.logit_scale)
        report.loaded.append("logit_scale")
    tower = dict(model.named_children()).get("text_encoder")
    if tower is not None and checkpoint.text:
        check_sizes(checkpoint, model.vision_encoder.size, "text", source)
        report.add(load_into(tower, checkpoint.text, source), "text_encoder.")
    else:
        report.skipped += [f"text_encoder.{name}" for name in checkpoint.text]
    return report


def load_head(head: nn.Module, checkpoint: Checkpoint, source: str) -> LoadReport:
    """Load the classifier if every shape agrees."""
    wanted = {name: tensor.shape for name, tensor in head.state_dict().items()}
    fits = wanted == {name: tensor.shape for name, tensor in checkpoint.head.items()}
    report = load_into(head, checkpoint.head if fits else {}, source)
    if not fits and checkpoint.head:
        report.skipped += checkpoint.head
        classes = sizes_in(checkpoint).get("head", {}).get("classes", "?")
        report.notes.append(
            f"classifier left at its start: {classes} classes in the file, "
            f"{wanted['fc_cls.weight'][0]} here, or another depth"
        )
    return report
