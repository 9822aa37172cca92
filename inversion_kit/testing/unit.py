"""Made-up units: searches that climb from noise to a disc, and what is made of their tokens."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.seeds import TEST, TRAIN, VALIDATE, noise_seeds
from inversion_kit.storage.assemble import texts
from inversion_kit.testing.drawing import disc
from inversion_kit.testing.plan import BATCH, CLASSES, EMBED, arm_of

OUTCOMES = ("meaning", "trick", "failure", "mixed")
"""What a made-up token can come to, see `inversion_kit.testing.synthetic`."""
_WORDS = ("round", "large", "small", "bright", "dark", "square")
_RANKS = 5


def synthetic_unit(
    label_index: int,
    arm: str = "token",
    seed: int = 0,
    *,
    classes: Sequence[str] = CLASSES,
    judges: Sequence[str] = ("judge", "blur"),
    steps: int = 6,
    checks: int = 3,
    samples: int = 4,
    size: int = 4,
    features: int = 3,
    outcome: str = "meaning",
    method: str = "gradient",
    variant: int = 0,
) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """Groups and attributes of one made-up unit, the same for the same arguments.

    Parameters
    ----------
    label_index, arm, seed
        Which unit; an arm without a search has /samples alone.
    classes, judges
        Names along these dimensions; judges may be empty. All but the first are held to be views.
    steps, checks, samples, size, features
        Lengths of the dimensions; ``size`` is y and x.
    outcome, method
        See `synthetic`.
    variant
        Units of different variants differ in all that is random.

    Returns
    -------
    dict of xr.Dataset
        Groups by name, as `inversion_kit.storage.audit_store.AuditStore.commit` takes them.
    dict
        Attributes: ``"seconds"``, ``"arm"`` and ``"seed"``.

    Examples
    --------
    >>> groups, attributes = synthetic_unit(2, "name")
    >>> sorted(groups), groups["samples"]["image"].shape
    (['samples'], (4, 4, 4, 3))
    """
    kinds = [(name, "view" if i else "classifier") for i, name in enumerate(judges)]
    lengths = steps, checks, samples, size, features
    block = Units([label_index], [outcome], arm, seed, classes, kinds, lengths, variant)
    held = next(block.units(method))
    named: dict[Any, np.ndarray] = {"class": texts(classes), "judge": texts(judges)}
    groups = {}
    for group, variables in held.items():
        data = xr.Dataset(variables).copy(deep=True)
        at = {d: named.get(d, np.arange(n)) for d, n in data.sizes.items() if d not in schema.BARE}
        groups[group] = data.assign_coords(at)
    seconds = round(1.5 + steps + label_index / 8, 3)
    return groups, {"seconds": seconds, "arm": arm, "seed": seed}


class Units:
    """The units of one arm and seed for some labels: every array has the labels in front.

    Parameters
    ----------
    targets, outcomes
        Class index and outcome of each label.
    lengths
        steps, checks, samples, size and features.
    """

    def __init__(
        self,
        targets: Sequence[int],
        outcomes: Sequence[str],
        arm: str,
        seed: int,
        classes: Sequence[str],
        judges: Sequence[Sequence[str]],
        lengths: Sequence[int],
        variant: int,
    ) -> None:
        self.arm = arm_of(arm)
        self.seed, self.variant, self.classes, self.judges = seed, variant, classes, judges
        self.steps, self.checks, self.samples, self.size, self.features = lengths
        self.target = np.array(targets)
        self.rng = np.random.default_rng((variant, targets[0], seed, zlib.crc32(arm.encode())))
        self.noise = _noise(variant, seed, self.steps, self.samples, self.size)
        template = (self.arm.templates or ("a photo of a {token}",))[0]
        prompt = template.replace("{token}", "<ik-class>")
        self.prompt = np.array([prompt.replace("{name}", classes[t]) for t in targets])
        # How far images are read as, and painted as, the class that they show.
        free = self.arm.searched and not self.arm.control and "{name}" not in template
        kind = np.where(free, np.array(outcomes), "")
        most = {"none": 0.7, "start": 0.0, "learned": 0.9}[self.arm.token]
        self.read = np.where((kind == "failure") | self.arm.control, 0.0, most)
        self.paint = np.where(kind == "trick", 0.0, self.read)
        self.shown = np.repeat(self.target[:, None], self.samples, 1)
        self.shown[(kind == "mixed")[:, None] & (np.arange(self.samples) % 2 == 1)] += 1
        self.shown %= len(classes)

    def scores(self, share: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Softmax ``(*share, class)``: class 0 at share 0, class ``of`` at 1."""
        share, of = np.broadcast_arrays(share, of)
        logits = 0.3 * self.rng.standard_normal((*share.shape, len(self.classes)), dtype="f4")
        logits[..., 0] += 2.0
        logits[(*np.indices(share.shape), of)] += 6.0 * share.astype("f4")
        value: np.ndarray = np.exp(logits, out=logits)
        value /= value.sum(-1, keepdims=True)
        return value

    def images(self, share: np.ndarray, of: np.ndarray, before: np.ndarray) -> np.ndarray:
        """uint8 ``(*share, y, x, 3)``: ``before`` at share 0, a disc of class ``of`` at 1."""
        share, of = np.broadcast_arrays(share, of)
        kinds, back = np.unique(of, return_inverse=True)
        discs = [disc(self.classes[k], int(k), self.size) for k in kinds]
        clean = np.reshape(discs, (-1, self.size, self.size, 3))[back.reshape(of.shape)]
        result: np.ndarray = before + share[..., None, None, None].astype("f4") * (clean - before)
        return result.clip(0, 255).astype("u1")

    def evidence(self) -> dict[str, np.ndarray]:
        """The variables of /samples."""
        kinds = range(len(self.classes))
        heads = np.stack([_vector(self.variant, "feature", k, self.features) for k in kinds])
        centres = 4 * self.paint[:, None, None] * heads[self.shown]
        values = {
            "image": self.images(self.paint[:, None], self.shown, self.noise["test"]),
            "probability": self.scores(self.read[:, None], self.shown),
            "prompt": np.tile(self.prompt[:, None], (1, self.samples)),
            "noise_seed": self.noise["test_ids"],
            "feature": (self.rng.normal(0, 1, centres.shape) + centres).astype("f4"),
        }
        if self.arm.searched:
            own = self.scores(np.array(0.9), self.shown)
            values["trained_probability"] = own if self.arm.control else values["probability"]
        if self.judges:
            shares = [self.read if kind == "view" else self.paint for _, kind in self.judges]
            values["judge_probability"] = self.scores(
                np.stack(shares, 1)[..., None], self.shown[:, None]
            )
        return values

    def search(self) -> dict[str, dict[str, np.ndarray]]:
        """The groups of a search; of seed 0 it restarts, of others it ends a check early."""
        first = self.seed == 0 and self.checks > 2
        ends = self.checks if first or self.checks < 3 else self.checks - 1
        at = np.round(np.linspace(0, self.steps, self.checks)).astype("i8")[:ends]
        start, rise, turn = np.full(ends, "neutral"), np.linspace(0, 1, ends), int(at[-1])
        if first:
            turn = int(at[ends // 2 - 1])
            at[ends // 2], start[ends // 2 :] = turn, "round"
            rise[: ends // 2] *= 0.3
        taken = int(at[-1])
        target, read, paint = (v[:, None, None] for v in (self.target, self.read, self.paint))
        climb = ((np.arange(taken) + 1) / self.steps)[:, None] * np.ones(BATCH)
        part = rise[:, None] * np.ones(self.samples)
        trained, checked = self.scores(read * climb, target), self.scores(read * part, target)
        mean = np.take_along_axis(checked.mean(2), target, -1)[..., 0]
        losses = -np.log(np.take_along_axis(trained, target[..., None], -1))
        words = self.rng.permutation([*_WORDS[1:], *self.classes[:64]])[:_RANKS]
        probed = _RANKS if first else 0
        ids = self.noise["train_ids"].reshape(-1, BATCH)
        return {
            "trajectory": {
                "loss": losses.mean((2, 3)),
                "gradient_norm": self.rng.uniform(0.1, 0.6, losses.shape[:2]).astype("f4"),
                "start": np.where(np.arange(taken) < turn, "neutral", "round"),
                "probability": trained,
                "image": self.images(paint * climb, target, self.noise["train"][:taken]),
                "prompt": np.tile(self.prompt[:, None, None], (1, taken, BATCH)),
                "noise_seed": ids[:taken],
            },
            "validation": {
                "step": at,
                "start": start,
                "probability": checked,
                "image": self.images(paint * part, target, self.noise["check"]),
                "noise_seed": self.noise["check_ids"],
            },
            "token": {
                "embedding": self.path(rise)[:, :, None].astype("f4"),
                "selected": mean.argmax(-1),
                "nearest_word": words,
                "nearest_cosine": np.linspace(0.6, 0.2, _RANKS, dtype="f4"),
            },
            "probe": {
                "word": np.array([_WORDS[0], *words[1:]][:probed], str),
                "log_probability": np.linspace(-1, -6, probed, dtype="f4"),
            },
            "ledger": {
                "kind": np.array(["check"] * ends + ["samples"]),
                "step": np.array([*at, taken]),
                "queries": self.samples * (np.arange(ends + 1) + 1),
                "score": np.pad(mean, ((0, 0), (0, 1)), constant_values=np.nan),
                "best": np.pad(np.maximum.accumulate(mean, 1), ((0, 0), (0, 1)), "edge"),
            },
        }

    def path(self, rise: np.ndarray) -> np.ndarray:
        """Tokens ``(label, check, embed)`` from a seed's start to where a label's tokens lie."""
        goals = np.stack([_vector(self.variant, "label", t, EMBED) for t in self.target])
        goals = self.rng.normal(0, 0.4, goals.shape) + goals * (not self.arm.control)
        begin = _vector(self.variant, "start", self.seed, EMBED)
        path: np.ndarray = begin * (1 - rise[:, None]) + rise[:, None] * goals[:, None]
        return path

    def units(self, method: str) -> Iterator[dict[str, dict[Any, Any]]]:
        """Each label's groups; an array without labels in front is the same for all."""
        groups = {"samples": self.evidence(), **(self.search() if self.arm.searched else {})}
        if method != "cma":
            groups.pop("ledger", None)
        for i in range(len(self.target)):
            held: dict[str, dict[Any, Any]] = {group: {} for group in groups}
            for group, variables in groups.items():
                for name, values in variables.items():
                    dims = schema.UNIT[group][name][0]
                    own = values[i] if values.ndim > len(dims) else values
                    held[group][name] = xr.Variable(dims, own)
            yield held


@functools.lru_cache(maxsize=16)
def _noise(variant: int, seed: int, steps: int, samples: int, size: int) -> dict[str, np.ndarray]:
    """The images of noise that all units of a seed share, and their seeds."""
    rng = np.random.default_rng((variant, seed))
    noise = {}
    for name, stream, shape in (
        ("train", TRAIN, (steps, BATCH)),
        ("check", VALIDATE, (samples,)),
        ("test", TEST, (samples,)),
    ):
        noise[name] = rng.uniform(0, 255, (*shape, size, size, 3)).astype("f4")
        drawn = noise_seeds(seed, stream, 0, int(np.prod(shape)))
        noise[f"{name}_ids"] = np.array(drawn, dtype="i8")
    return noise


@functools.lru_cache(maxsize=4096)
def _vector(variant: int, purpose: str, index: int, n: int) -> np.ndarray:
    """Where a label's tokens, a class's features or a seed's start lie."""
    return np.random.default_rng((variant, zlib.crc32(purpose.encode()), index)).normal(0, 1, n)
