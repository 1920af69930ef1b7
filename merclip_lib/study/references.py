"""What is reached without the method: the reference lines of every results figure.

Readers of the action units (what the labels allow), readings of the frozen start (what training
adds) and optical flow from onset to apex (what most of the field uses).
"""

from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from merclip_lib.explain.embeddings import embed, similarity
from merclip_lib.explain.sentences import sentence_embeddings
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.protocol.predictions import prediction_table
from merclip_lib.text.unit_labels import NUMBERS, unit_table
from merclip_lib.training.losses import focal_loss

GRID = 8  # cells along a side, in which the flow is averaged for the linear classifier
EPOCHS, BATCH, RATE = 60, 32, 1e-3  # of the small network on flow

Features = Callable[[RunPlan], np.ndarray]


def references(training: RunPlan, fresh: RunPlan) -> dict[str, pd.DataFrame]:
    """Predictions of every reference for the clips of other people.

    Args:
        training: a plan of the people to learn from; its configuration names the frozen start.
        fresh: a plan of others, with the same task.

    Returns:
        Name of the reference -> predictions, see `protocol.predictions`. The reader of true units
        is there only where a table has them.
    """
    linear: dict[str, Features] = {
        "units as written": lambda plan: unit_table(plan.table["action_units"]).to_numpy(),
        "sentence similarities": sentence_features,
        "frozen encoder": lambda plan: _embedded(plan)[1],
        "optical flow, linear": lambda plan: cell_means(onset_apex_flow(plan)),
    }
    if "true_action_units" in training.table and "true_action_units" in fresh.table:
        linear["true units"] = lambda plan: unit_table(plan.table["true_action_units"]).to_numpy()
    found = {"most frequent class": _fit_and_predict(training, fresh, None)}
    for name, features in linear.items():
        found[name] = _fit_and_predict(training, fresh, features)
    return found | {"optical flow, CNN": flow_network(training, fresh)}


def _fit_and_predict(training: RunPlan, fresh: RunPlan, features: Features | None) -> pd.DataFrame:
    """A logistic regression (C = 3) on features; without them the most frequent class."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=3, max_iter=1000))
    model = fitted if features else DummyClassifier(strategy="prior")
    read = features or (lambda plan: np.zeros((len(plan.table), 1)))
    inputs = [read(plan) for plan in (training, fresh)]
    model.fit(inputs[0], training.labels)
    probability = np.zeros((len(fresh.table), len(fresh.classes)))
    probability[:, model.classes_] = model.predict_proba(inputs[1])
    return prediction_table(fresh.table, fresh.classes, probability)


def _embedded(plan: RunPlan) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings z and clip vectors of the network with which training begins."""
    return embed(plan.network(), plan.dataset(np.arange(len(plan.table))), config=plan.config)


def sentence_features(plan: RunPlan) -> np.ndarray:
    """Similarity of each clip with the sentence of each unit, on both sides and on one."""
    units = [f"{side}{number}" for number in NUMBERS for side in ("", "L", "R")]
    return similarity(_embedded(plan)[0], sentence_embeddings(plan.config, units))


def onset_apex_flow(plan: RunPlan) -> np.ndarray:
    """Dense optical flow from the onset to the apex frame, (clips, H, W, 2) in pixels.

    Dense inverse search (Kroeger et al. 2016), OpenCV's. Where the apex is not known the middle of
    the clip takes its place.
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)
    flows = []
    for row, clip in plan.table.iterrows():
        frames = plan.store.frames[row]
        place = 0.5
        if pd.notna(clip["apex"]) and clip["offset"] > clip["onset"]:
            place = (clip["apex"] - clip["onset"]) / (clip["offset"] - clip["onset"])
        onset, apex = (
            cv2.cvtColor(frames[k], cv2.COLOR_RGB2GRAY)
            for k in (0, round(place * (len(frames) - 1)))
        )
        flows.append(method.calc(onset, apex, np.zeros((*onset.shape, 2), np.float32)))
    return np.stack(flows)


def cell_means(flow: np.ndarray) -> np.ndarray:
    """Mean flow in GRID x GRID cells, a row per clip."""
    count, height, width, _ = flow.shape
    cells = flow.reshape(count, GRID, height // GRID, GRID, width // GRID, 2)
    return cells.mean((2, 4)).reshape(count, -1)


def flow_network(training: RunPlan, fresh: RunPlan) -> pd.DataFrame:
    """A small convolutional network on the flow, trained with the focal loss.

    Two convolutions and one linear layer on horizontal and vertical flow and its strength, of the
    size of the shallow networks that the field trains from scratch.
    """
    torch.manual_seed(training.config.seed)
    generator = torch.Generator().manual_seed(training.config.seed)
    images, others = (flow_images(onset_apex_flow(plan)) for plan in (training, fresh))
    images, others = images / images.std(), others / images.std()
    labels = torch.tensor(training.labels)
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Dropout(0.5), nn.LazyLinear(len(training.classes))),
    )
    network(images[:1])  # the linear layer learns its width
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=generator).split(BATCH):
            optimiser.zero_grad()
            focal_loss(network(images[rows]), labels[rows]).backward()
            optimiser.step()
    with torch.no_grad():
        probability = network.eval()(others).softmax(-1).numpy()
    return prediction_table(fresh.table, fresh.classes, probability)


def flow_images(flow: np.ndarray) -> Tensor:
    """Flow as pictures of three channels: x, y and its length, (clips, 3, H, W)."""
    length = np.linalg.norm(flow, axis=-1, keepdims=True)
    return torch.from_numpy(np.concatenate([flow, length], -1)).permute(0, 3, 1, 2)
