"""What a token is trained for, as plain JSON: so that two audits are told apart by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from inversion_kit.classifiers.base import Classifier
from inversion_kit.objectives import Objective, OfImages, bind, default, describe

_LOSSES = 8
"""Losses by which an objective of the user's own is told from another."""


@torch.no_grad()
def objective_facts(
    objective: Objective | None,
    classifier: Classifier,
    targets: Sequence[int],
    *,
    device: torch.device,
) -> dict[str, Any]:
    """The objective's name; of one of the user's own its loss of fixed logits and images too.

    Parameters
    ----------
    objective
        None is the classifier's default.
    targets
        Class indices; the losses are those of the first `_LOSSES` in turn, to two decimals.

    Examples
    --------
    >>> from inversion_kit.classifiers.convert import as_classifier
    >>> from inversion_kit.objectives import margin
    >>> facts = objective_facts(
    ...     margin, as_classifier("pocket:honest"), [14], device=torch.device("cpu"))
    >>> facts["objective"], len(facts["objective_losses"])
    ('margin', 8)
    """
    if objective is None:
        return {"objective": describe(default(classifier))}
    fixed = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(_LOSSES, len(classifier.labels), generator=fixed)
    coarse = torch.rand(_LOSSES, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    images = F.interpolate(coarse, (48, 60))
    target = torch.tensor([targets[i % len(targets)] for i in range(_LOSSES)])
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of an objective with chance in it
        loss = bind(objective, images.to(device))(logits.to(device), target.to(device))
    facts: dict[str, Any] = {
        "objective": describe(objective),
        "objective_losses": [round(v, 2) + 0.0 for v in loss.detach().double().cpu().tolist()],
    }
    if isinstance(objective, OfImages):
        facts["objective_hashes"] = {one.name: one.hash for one in objective.others}
    return facts
