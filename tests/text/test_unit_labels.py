"""Action units as labels: sides, mirror images, unsided tables."""

import numpy as np
import pandas as pd
import torch

from merclip_lib.text.unit_labels import COUNT, NUMBERS, unit_labels, unit_table

TABLE = pd.DataFrame({"action_units": ["4+L12", "R12", ""]})


def test_labels_know_sides_and_their_mirror_images():
    labels = unit_labels(TABLE, np.array([0, 2, 3]))
    assert labels.plain.shape == (4, COUNT) and not labels.plain[1].any()
    four, twelve = 2 * NUMBERS.index(4), 2 * NUMBERS.index(12)
    assert labels.plain[0].nonzero().flatten().tolist() == [four, four + 1, twelve]
    assert labels.plain[2].nonzero().flatten().tolist() == [twelve + 1]
    assert torch.equal(labels.mirrored[2].nonzero().flatten(), torch.tensor([twelve]))
    mixed = labels.of(torch.tensor([2, 2]), torch.tensor([False, True]))
    assert torch.equal(mixed, torch.stack([labels.plain[2], labels.mirrored[2]]))


def test_a_table_leaves_sides_out():
    found = unit_table(TABLE["action_units"])
    assert found[12].tolist() == [1, 1, 0] and found[4].tolist() == [1, 0, 0]
    assert found.to_numpy().sum() == 3
