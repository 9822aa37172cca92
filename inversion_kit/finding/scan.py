"""A look at the last layer's weights: a second opinion that costs nothing, and never the only one.

Training on a trigger pulls the row of its label: its weights sum to more than others' (many inputs
speak for it), and it points less the way of the other rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from inversion_kit.classifiers.base import Classifier
from inversion_kit.finding.inversion import FEWEST, robust


@torch.no_grad()
def scan_last_layer(classifier: Classifier) -> np.ndarray | None:
    """How far each label's row stands out, in robust standard deviations, float ``(label,)``.

    The smaller of two: how much larger its sum is than those of the other rows, and how much less
    its direction is shared by them (mean cosine). None where the classifier has no linear layer
    with a row for each label, or several, or fewer than `FEWEST` labels.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> found = scan_last_layer(as_classifier("pocket:backdoored"))
    >>> int(found.argmax()), bool(found.max() > 5)
    (5, True)
    """
    many = len(classifier.labels)
    layers = [
        layer
        for layer in classifier.model.modules()
        if isinstance(layer, nn.Linear) and layer.out_features == many
    ]
    if len(layers) != 1 or many < FEWEST:
        return None
    rows = layers[0].weight.detach().double().cpu()
    if rows.shape[0] != many or not torch.isfinite(rows).all():
        return None
    ways = nn.functional.normalize(rows)
    overlap = (ways @ ways.sum(0) - 1) / (many - 1)
    return np.minimum(robust(rows.sum(1).numpy()), robust(-overlap.numpy()))
