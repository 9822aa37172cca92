"""A result's test images for the views: only those shown are read, and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from inversion_kit import arm_roles, pictures
from inversion_kit.analysis import reads
from inversion_kit.analysis.pictures import largest
from inversion_kit.analysis.words import arm_words, percent, visible

_UNITS = 256
"""Units whose test images and scores are kept in memory."""


class Key(NamedTuple):
    """An image: places along label, arm, seed and sample."""

    label: int
    arm: int
    seed: int
    sample: int


class Images:
    """Test images of a result and what each is read as.

    Parameters
    ----------
    tree
        A result, with label, arm and seed as dimensions.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> images = Images(synthetic())
    >>> images.tile(Key(0, 2, 0, 0))["read"][:5]
    '✓ sky'
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree, self.read = tree, reads(tree)
        self.samples = tree["samples"].to_dataset(inherit=False)
        self.labels = [str(n) for n in self.read["label"].values]
        self.arms = [str(a) for a in self.read["arm"].values]
        self.seeds = [int(s) for s in self.read["seed"].values]
        self.classes = [visible(str(c)) for c in self.read["class"].values]
        self.target = self.read["label_index"].values
        self.top = self.read["top"].values
        self.arm = arm_roles.main_arm(self.arms) if self.arms else ""
        scorers = zip(self.read["scorer"].values, self.read["role"].values, strict=True)
        self.scorers = [(i, visible(str(n)), str(r)) for i, (n, r) in enumerate(scorers)][1:]
        self._kept: OrderedDict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def made(self, label: int, arm: int, read_as: int | None = None) -> list[Key]:
        """The images of a label and an arm that are there, or those that are read as a class."""
        top = self.top[0, label, arm]
        there = np.argwhere(top >= 0 if read_as is None else top == read_as)
        return [Key(label, arm, int(s), int(k)) for s, k in there]

    def tile(self, key: Key, *, named: bool = False) -> dict[str, Any]:
        """An image for a gallery; ``named`` says its label and arm too."""
        name, arm = visible(self.labels[key.label]), arm_words(self.arms[key.arm])
        first = int(self.top[(0, *key)])
        tile = {"key": list(key), "src": "", "small": True, "hit": False, "read": "", "judged": ""}
        if first < 0:
            return {**tile, "above": name, "title": "not there"}
        image, scores = self._unit(key)
        src, small = pictures.thumbnail(image, 192)
        hit = first == int(self.target[key.label])
        read = f"{'✓' if hit else '≠'} {self.classes[first]} {percent(float(scores[first]))}"
        title = f"made for {name}, {arm}: read as {self.classes[first]}"
        tile |= {"src": src, "small": small, "hit": hit, "read": read, "title": title}
        return {**tile, "judged": self._judged(key), "above": f"{name}, {arm}" if named else ""}

    def detail(self, key: Key) -> dict[str, Any]:
        """All that is known of an image."""
        image, scores = self._unit(key)
        one = self.samples.isel(label=key.label, arm=key.arm, seed=key.seed, sample=key.sample)
        first = " · ".join(
            f"{self.classes[c]} {percent(float(scores[c]))}" for c in largest(scores, 5)
        )
        noise = int(one["noise_seed"].values)
        rows = [
            ["read as", first],
            *([name, self._named(int(self.top[(at, *key)]))] for at, name, _ in self.scorers),
            ["prompt", visible(str(one["prompt"].values))],
            ["noise", f"{noise}, run {self.seeds[key.seed]}, image {key.sample + 1}"],
        ]
        src, small = pictures.thumbnail(image, 512)
        title = f"{visible(self.labels[key.label])}, {arm_words(self.arms[key.arm])}"
        return {"src": src, "small": small, "key": list(key), "title": title, "rows": rows}

    def _named(self, place: int) -> str:
        return self.classes[place] if place >= 0 else "–"

    def _judged(self, key: Key) -> str:
        """What the classifiers that were held out say of it."""
        tops = [int(self.top[(at, *key)]) for at, _, role in self.scorers if role == "classifier"]
        asked = [t for t in tops if t >= 0]
        agree = sum(t == int(self.target[key.label]) for t in asked)
        if len(asked) == 1:
            return "judge agrees" if agree else f"judge: {self.classes[asked[0]]}"
        return f"{agree} of {len(asked)} judges agree" if asked else ""

    def _unit(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        """Image and softmax of a key, from its unit's, read at once."""
        place = key[:3]
        if place not in self._kept:
            one = self.samples.isel(label=key.label, arm=key.arm, seed=key.seed)
            self._kept[place] = one["image"].values, one["probability"].values
            while len(self._kept) > _UNITS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(place)
        images, scores = self._kept[place]
        return images[key.sample], scores[key.sample]
