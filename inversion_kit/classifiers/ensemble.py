"""Ensembles: several classifiers of the same classes as one, by the mean of their probabilities."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import unchanged
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.modules import AsItIs
from inversion_kit.errors import InputError
from inversion_kit.hashing import hash_module


class Ensemble(Classifier):
    """The mean of several classifiers' probabilities; each prepares images for itself.

    Parameters
    ----------
    members
        Classifiers of the same labels in the same order. They may lie on several devices.
    name
        What results call it; by default the members' names joined by " + ".

    Notes
    -----
    It gives a gradient where every member does. Its `hash` is that of all weights together.

    Raises
    ------
    InputError
        There is no member, or the members do not name the same classes in the same order, or their
        heads do not mix.

    Examples
    --------
    >>> from inversion_kit import as_classifier
    >>> Ensemble([as_classifier("pocket:honest"), as_classifier("pocket:judge")])
    Classifier('pocket:honest + pocket:judge', 43 labels)
    """

    def __init__(self, members: Sequence[Classifier], *, name: str | None = None) -> None:
        self.members = tuple(members)
        if not members:
            raise InputError("model=[]: an ensemble needs at least one classifier")
        first = members[0]
        for member in members[1:]:
            if member.labels != first.labels:
                raise InputError(
                    f"model: {member.name!r} has other label names than {first.name!r}; the "
                    "members of an ensemble must name the same classes in the same order"
                )
            if (member.head == "sigmoid") != (first.head == "sigmoid"):
                raise InputError(
                    f"model: {member.name!r} has the head {member.head!r}, {first.name!r} has "
                    f"{first.head!r}; one label an image and several do not mix"
                )
        super().__init__(
            _Mean(self.members),
            unchanged,
            first.labels,
            name=name or " + ".join(member.name for member in members),
            head="sigmoid" if first.head == "sigmoid" else "softmax",
            differentiable=all(member.differentiable for member in members),
        )
        self.wordings = first.wordings

    @property
    def asks_for_hash(self) -> bool:
        """Whether that of a member is still to be made, and of its answers."""
        return "hash" not in self.__dict__ and any(one.asks_for_hash for one in self.members)

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over all weights, or over the members' hashes where one has no weights.

        Raises
        ------
        InputError
            A member without weights cannot score the images that its hash is made of.
        """
        if self._known_by_weights():
            return hash_module(self.model)
        hashes = "\n".join(member.hash for member in self.members)
        return hashlib.sha256(hashes.encode()).hexdigest()

    def _known_by_weights(self) -> bool:
        return all(member._known_by_weights() for member in self.members)

    def preprocess_facts(self) -> dict[str, Any]:
        """Its head and the facts of each member, as plain JSON.

        Returns
        -------
        dict
            ``"head"``, and ``"members"``: those of each, as of `Classifier.preprocess_facts`.
        """
        facts = [member.preprocess_facts() for member in self.members]
        return {"head": self.head, "members": facts}

    @functools.cached_property
    def parity(self) -> float | None:
        """That of the member which is farthest off, at least 0, in levels of 255.

        None where a member comes with no path of its own.
        """
        levels = [member.parity for member in self.members]
        known = [one for one in levels if one is not None]
        return max(known) if len(known) == len(levels) else None

    def parity_facts(self) -> dict[str, Any]:
        """`parity` as results keep it.

        Returns
        -------
        dict
            As of `Classifier.parity_facts`.
        """
        why = "not every member comes with a library's own path"
        none = {"levels of 255": None, "why": why}
        return none if self.parity is None else super().parity_facts()

    def _compared_with(self) -> str:
        return ", ".join(sorted({member._compared_with() for member in self.members}))

    def copied(self) -> Ensemble:
        """An ensemble of copies, each with weights of its own.

        Returns
        -------
        Ensemble
            Of the same name, without features.

        Raises
        ------
        InputError
            A member cannot be copied.
        """
        return Ensemble([member.copied() for member in self.members], name=self.name)


class _Mean(AsItIs):
    """The mean of the members' probabilities as logits, of RGB images in [0, 1]."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = members
        self.models = nn.ModuleList(member.model for member in members)

    def forward(self, images: Tensor) -> Tensor:
        each = torch.stack([member.logits(images).to(images.device) for member in self.members])
        if self.members[0].head == "sigmoid":
            return F.logsigmoid(each).logsumexp(0) - F.logsigmoid(-each).logsumexp(0)
        return each.log_softmax(2).logsumexp(0) - math.log(len(each))
