"""An audit's test images for the views: only those shown are read, and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from inversion_kit.analysis.audit_reads import reads
from inversion_kit.analysis.runs import percent
from inversion_kit.analysis.words import ARMS, visible
from inversion_kit.widgets.sources import picture, small

_UNITS = 256
"""Units whose test images and scores are kept in memory."""


class Key(NamedTuple):
    """An image: places along label, arm, seed and sample."""

    label: int
    arm: int
    seed: int
    sample: int


class AuditImages:
    """Test images of an audit and what each is read as.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> images = AuditImages(synthetic_audit())
    >>> images.tile(Key(0, 2, 0, 0))["read"][:5]
    '✓ sky'
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree
        self.samples = tree["samples"].to_dataset(inherit=False)
        self.labels = [str(n) for n in self.samples["label"].values]
        self.names = [visible(n) for n in self.labels]
        self.target = self.samples["label_index"].values
        self.arms = [str(a) for a in self.samples["arm"].values]
        self.seeds = [int(s) for s in self.samples["seed"].values]
        self.classes = [visible(str(c)) for c in self.samples["class"].values]
        self.read = reads(tree)
        self.top = self.read["top"].values
        self.judges = [
            (place, visible(str(name)))
            for place, (name, role) in enumerate(
                zip(self.read["scorer"].values, self.read["role"].values, strict=True)
            )
            if role == "classifier"
        ]
        self._kept: OrderedDict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def made(self, label: int, arm: int) -> list[Key]:
        """The images of a label and an arm that are there."""
        there = np.argwhere(self.top[0, label, arm] >= 0)
        return [Key(label, arm, int(s), int(k)) for s, k in there]

    def read_as(self, label: int, arm: int, other: int) -> list[Key]:
        """Those of them that the audited classifier reads as class ``other``."""
        return [k for k in self.made(label, arm) if self.top[(0, *k)] == other]

    def tile(self, key: Key, *, named: bool = False) -> dict[str, Any]:
        """An image for a gallery; ``named`` says its label and arm too."""
        image, scores = self._unit(key)
        top = int(self.top[(0, *key)])
        if top < 0:
            return {
                "key": list(key), "src": "", "small": True, "hit": False, "read": "",
                "judged": "", "above": self.names[key.label], "title": "not there",
            }  # fmt: skip
        hit = top == int(self.target[key.label])
        read = f"{'✓' if hit else '≠'} {self.classes[top]} {percent(float(scores[top]))}"
        above = f"{self.names[key.label]}, {arm_words(self.arms[key.arm])}" if named else ""
        return {
            "key": list(key), "src": picture(image, 192), "small": small(image), "hit": hit,
            "read": read, "judged": self._judged(key), "above": above,
            "title": f"made for {self.names[key.label]}, {arm_words(self.arms[key.arm])}: read as "
            f"{self.classes[top]}",
        }  # fmt: skip

    def detail(self, key: Key) -> dict[str, Any]:
        """All that is known of an image."""
        image, scores = self._unit(key)
        best = np.argsort(-scores, kind="stable")[:5]
        one = self.samples.isel(label=key.label, arm=key.arm, seed=key.seed, sample=key.sample)
        noise, prompt = one["noise_seed"].values, one["prompt"].values
        views = [
            (visible(str(name)), int(self.top[(place, *key)]))
            for place, (name, role) in enumerate(
                zip(self.read["scorer"].values, self.read["role"].values, strict=True)
            )
            if role != "audited"
        ]
        first = [f"{self.classes[c]} {percent(float(scores[c]))}" for c in best]
        rows = [
            ("read as", " · ".join(first)),
            *((name, self.classes[top] if top >= 0 else "–") for name, top in views),
            ("prompt", visible(str(prompt))),
            ("noise", f"{int(noise)}, run {self.seeds[key.seed]}, image {key.sample + 1}"),
        ]  # fmt: skip
        return {
            "src": picture(image, 512), "small": small(image), "key": list(key),
            "title": f"{self.names[key.label]}, {arm_words(self.arms[key.arm])}",
            "rows": [list(row) for row in rows],
        }  # fmt: skip

    def _judged(self, key: Key) -> str:
        tops = [int(self.top[(place, *key)]) for place, _ in self.judges]
        asked = [t for t in tops if t >= 0]
        if not asked:
            return ""
        agree = sum(t == int(self.target[key.label]) for t in asked)
        if len(asked) == 1:
            return "judge agrees" if agree else f"judge: {self.classes[asked[0]]}"
        return f"{agree} of {len(asked)} judges agree"

    def _unit(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        """Image and softmax of a key, from its unit's, read at once."""
        place = key[:3]
        if place not in self._kept:
            one = self.samples[["image", "probability"]].isel(
                label=key.label, arm=key.arm, seed=key.seed
            )
            images = one["image"].transpose("sample", "y", "x", "channel").values
            self._kept[place] = images, one["probability"].transpose("sample", "class").values
            while len(self._kept) > _UNITS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(place)
        images, scores = self._kept[place]
        return images[key.sample], scores[key.sample]


def arm_words(arm: str) -> str:
    """An arm in words, as data.

    Examples
    --------
    >>> arm_words("token+name"), arm_words("<mine>")
    ('token + name', '<mine>')
    """
    return ARMS.get(arm, visible(arm))
