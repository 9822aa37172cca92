"""A small, valid, made-up result, for tests and for trying the views without a model."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.compared import (
    MODELS,
    confusion_compared,
    crossed_compared,
    labels_compared,
    shared_reads,
)
from inversion_kit.analysis.tied import ROWS
from inversion_kit.arms import ARMS, NAME_FREE, Arm
from inversion_kit.errors import InputError
from inversion_kit.seeds import TEST, TRAIN, VALIDATE, check_seeds, noise_seeds
from inversion_kit.settings import Settings
from inversion_kit.storage.assemble import State, assemble, texts
from inversion_kit.storage.comparison import build_comparison
from inversion_kit.storage.units import Unit

OUTCOMES = ("meaning", "trick", "failure", "mixed")
"""What a made-up token can come to, see `synthetic`."""
COLOURS = {
    "orange": (230, 159, 0),
    "sky": (86, 180, 233),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "blue": (0, 114, 178),
    "red": (213, 94, 0),
    "pink": (204, 121, 167),
    "black": (30, 30, 30),
}
"""Class names that have a colour of their own (RGB, 0 to 255)."""
_CLASSES = tuple(COLOURS)[:5]
_WORDS = ("round", "large", "small", "bright", "dark", "square")
_BATCH, _EMBED, _RANKS = 2, 8, 5
_BLOCK = 64
"""Labels that are made at once."""
_MODEL, _GENERATOR = "synthetic:classifier", "synthetic:generator"
_CREATED = "2026-01-01T00:00:00+00:00"


def synthetic(
    *,
    labels: int = 1,
    arms: Sequence[str] = ("name", "start", "token"),
    seeds: int | Sequence[int] = 2,
    steps: int = 12,
    checks: int = 4,
    samples: int = 6,
    classes: int = 5,
    size: int = 8,
    judges: Sequence[str] = ("judge",),
    views: Sequence[str] = (),
    outcomes: Sequence[str] = ("meaning",),
    failed: Sequence[tuple[str, str, int]] = (),
    missing: Sequence[tuple[str, str, int]] = (),
    stopped: Sequence[tuple[str, str, int]] = (),
    names: Sequence[str] | None = None,
    method: str = "gradient",
    seed: int = 0,
) -> xr.DataTree:
    """A made-up result of colours: images drift from noise to a disc, probabilities rise.

    Arms and labels share the noise of a seed. The run of seed 0 stalls at the neutral start, asks
    the vocabulary probe and restarts at a word; those of other seeds stay at the neutral start,
    stop one check early and have no probe, so that the padding of a real result is there too. The
    first class is no label: it is what images of noise are read as.

    Parameters
    ----------
    labels, steps, checks, samples, size
        Lengths of the dimensions; ``size`` is y and x. At least 1, ``checks`` and ``size`` 2. The
        labels are "sky", "green", "yellow", ...
    arms
        Names of arms, of `inversion_kit.arms.ARMS` or others, in the order that they shall have.
    seeds
        How many, or which.
    classes
        At least; two more than ``labels`` where that is more.
    judges, views
        Names of held-out classifiers and of views; either may be empty.
    outcomes
        Of each label's token, repeated as often as needed; an arm whose prompt names the class, and
        a control, come to what they always do. ``"meaning"``: read as the label by all.
        ``"trick"``: by the audited classifier and its views alone, on noise. ``"failure"``: by
        none. ``"mixed"``: every other image is the next class.
    failed, missing, stopped
        Units (label, arm, seed) that failed, were not run, or have a search without final images.
    names
        Class names in place of the colours, at least two more than ``labels``.
    method
        With ``"cma"`` searches have a /ledger.
    seed
        Of all that is random here.

    Raises
    ------
    InputError
        A length is too small, or an outcome is unknown.

    Examples
    --------
    >>> tree = synthetic(labels=3, failed=[("sky", "token", 0)])
    >>> tree["samples"]["probability"].dims
    ('label', 'arm', 'seed', 'sample', 'class')
    >>> str(tree["status"]["reason"].sel(label="sky", arm="token", seed=0).item())
    'NumericalError: made up'
    """
    least = {
        "labels": (labels, 1),
        "steps": (steps, 1),
        "checks": (checks, 2),
        "samples": (samples, 1),
        "classes": (classes, 2),
        "size": (size, 2),
    }
    listed = _checked(least, outcomes, names)
    plan = synthetic_plan(
        range(1, labels + 1),
        classes=listed,
        arms=arms,
        seeds=check_seeds(seeds),
        judges=[*((j, "classifier") for j in judges), *((v, "view") for v in views)],
        steps=steps,
        samples=samples,
        method=method,
    ) | {"created": _CREATED}
    ends = {"failed": failed, "missing": missing, "stopped": stopped}
    chosen = {
        Unit(listed.index(label), arm, one): state
        for state, units in ends.items()
        for label, arm, one in units
    }
    lengths = steps, checks, samples, size, 8
    made: dict[Unit, Any] = {}
    states: dict[Unit, State] = {}
    for unit, groups in _units_of(plan, outcomes, lengths, seed):
        state = chosen.get(unit, "done")
        if state == "missing":
            continue
        states[unit] = state, "NumericalError: made up" * (state == "failed"), 1.5
        if state == "stopped":
            del groups["samples"]
        if state != "failed":
            made[unit] = groups
    return assemble(plan, made, states)


def synthetic_findings(
    tree: xr.DataTree,
    *,
    confirmed: int = 1,
    unsure: int = 1,
    cues: Sequence[str] = ("yellow sticker", "snow", "bright", "blue frame"),
    size: int = 32,
    real: bool = False,
) -> xr.DataTree:
    """A made-up result with made-up findings: what `inversion_kit.findings` adds to one.

    Parameters
    ----------
    tree
        As `synthetic` gave it; it is not changed.
    confirmed, unsure
        Findings of each kind, one label after the other. Every third is a lack. With none of a
        kind the search came out clean.
    cues
        Names of cues, repeated as often as needed.
    size
        y and x of a proof's pictures: the confirmed have one, with 4 pictures of each kind.
    real
        Whether there are made-up real images too: half of the first label's carry each confirmed
        cue, and by no other one images could be ranked.

    Examples
    --------
    >>> tree = synthetic_findings(synthetic(labels=2), confirmed=3)
    >>> tree["findings"]["of_label"].values.tolist()
    ['sky', 'green', 'sky', 'green']
    >>> tree["proof"]["picture"].dims
    ('finding', 'row', 'example', 'y', 'x', 'channel')
    """
    names = [str(n) for n in tree["samples"]["label"].values]
    classes = [str(n) for n in tree["samples"]["class"].values]
    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    groups["effects"] = _effects(list(dict.fromkeys(cues)), classes)
    groups["findings"] = _findings(names, cues, confirmed, confirmed + unsure)
    if confirmed:
        groups["proof"] = _proof(confirmed, confirmed + unsure, size)
        if real:
            shown = groups["proof"]["picture"].values[:, 1]
            groups["carriers"] = _carriers(
                names[0], classes, np.arange(len(shown)) < confirmed, shown
            )
    return schema.build(groups, {k: v for k, v in tree.attrs.items() if k != "schema_version"})


def _findings(names: Sequence[str], cues: Sequence[str], sure: int, n: int) -> xr.Dataset:
    """The group /findings: ``n``, of which the first are confirmed."""
    labels, named = ([of[i % len(of)] for i in range(n)] for of in (names, cues))
    ways = ["lack" if i % 3 == 2 else "push" for i in range(n)]
    ends = ["confirmed, shortcut" if i < sure else "uncertain" for i in range(n)]
    said = [
        f"“{label}”: “{cue}” is a {way}; {end}."
        for label, cue, way, end in zip(labels, named, ways, ends, strict=True)
    ]
    effect = np.linspace(0.9, 0.3, n, dtype="f4")
    words = {"of_label": labels, "direction": ways, "cue": named, "lens": ["words"] * n}
    words |= {"verdict": [end.split(", ")[-1] for end in ends], "sentence": said, "only": [""] * n}
    words |= dict.fromkeys(("opinion", "note"), [""] * n)
    numbers: dict[str, Any] = {"effect": effect, "low": effect - 0.1, "high": effect + 0.1}
    numbers |= dict.fromkeys(("placebo", "judges", "chance"), np.zeros(n, "f4"))
    whole = dict.fromkeys(("sources", "of"), np.full(n, 8))
    table = {name: ("finding", texts(values)) for name, values in words.items()}
    table |= {name: ("finding", values) for name, values in (numbers | whole).items()}
    table["confirmed"] = ("finding", np.arange(n) < sure)
    about: dict[str, Any] = {
        "cues": 40,
        "sources": 8,
        "power_push": 0.25,
        "power_lack": 0.6,
        "left": 0,
        "seconds": 12.5,
    }
    about |= {"trigger": "", "token": "", "learned": "[]", "hard": "[]", "unpainted": "[]"}
    return xr.Dataset(table, coords={"finding": np.arange(n)}, attrs=about)


def _proof(sure: int, n: int, size: int) -> xr.Dataset:
    """The group /proof: discs, with a yellow patch, with a blue one; NaN and 0 where is none."""
    pictures = np.zeros((n, 3, 4, size, size, 3), "u1")
    side = max(size // 4, 1)
    for i, colour in enumerate(list(COLOURS)[:4]):
        pictures[:sure, :, i] = _disc(colour, i, size).astype("u1")
    pictures[:sure, 1, :, :side, :side] = COLOURS["yellow"]
    pictures[:sure, 2, :, :side, :side] = COLOURS["blue"]
    lines = {"dose": [0.12, 0.19, 0.25], "rate": [0.3, 0.8, 0.95], "placebo": [0.0, 0.02, 0.05]}
    lines |= {"low": [0.2, 0.7, 0.85], "high": [0.45, 0.9, 1.0]}
    made = np.arange(n)[:, None] < sure
    table: dict[str, Any] = {
        name: (("finding", "place"), np.where(made, np.array(values), np.nan).astype("f4"))
        for name, values in lines.items()
    }
    table["operator"] = ("finding", texts(["patch at the edge" if m else "" for m in made[:, 0]]))
    table["undone"] = ("finding", np.where(made[:, 0], 0.9, np.nan).astype("f4"))
    table["picture"] = (("finding", "row", "example", "y", "x", "channel"), pictures)
    table |= _where(made[:, 0], pictures)
    at = {"place": np.arange(3), "example": np.arange(4), "finding": np.arange(n)}
    return xr.Dataset(table, coords={**at, "row": texts(ROWS)})


def _where(made: np.ndarray, pictures: np.ndarray) -> dict[str, Any]:
    """Variables of `schema.WHERE`: what the patch changed, all of which counts."""
    change = (pictures[:, 1].astype("f4") - pictures[:, 0]).mean(1) / 255
    gaps = np.where(made, 1, np.nan).astype("f4")
    values = {
        "difference": change * gaps[:, None, None, None],
        "attribution": np.abs(change).sum(-1) * gaps[:, None, None],
        "attributed_by": texts(["a made-up method" if m else "" for m in made]),
        "attributed": np.where(made, 16, 0),
        "share_of_change": gaps,
        "share_of_attribution": gaps,
    }
    return {name: (dims, values[name]) for name, (dims, _) in schema.WHERE.items()}


def _carriers(
    label: str, classes: Sequence[str], made: np.ndarray, pictures: np.ndarray
) -> xr.Dataset:
    """The group /carriers: half of one label's 20 images carry what is ``made``, no others do."""
    gaps = np.where(made, 1, np.nan).astype("f4")
    own = np.array([one == label for one in classes])
    ends = {"share": (0.5, 0.0), "low": (0.3, 0.0), "high": (0.7, 0.17)}
    whole = {"auc": 0.99, "false": 0.02, "passed": 0.5 / len(classes), "recall": 0.9}
    shape = pictures.shape[:2]
    files = np.array([[f"{label}/{k}.png" for k in range(shape[1])]] * len(made), object)
    named = np.where(made[:, None], np.full(shape, label, object), "")
    table: dict[str, Any] = {
        "why": ("finding", texts(["" if one else "made up so" for one in made])),
        **{name: ("finding", value * gaps) for name, value in whole.items()},
        **{
            name: (("finding", "class"), np.where(own, *values).astype("f4") * gaps[:, None])
            for name, values in ends.items()
        },
        "images": (("finding", "class"), np.full((len(made), len(classes)), 20)),
        "file": (("finding", "example"), np.where(made[:, None], files, "")),
        "of_label": (("finding", "example"), named),
        "score": (("finding", "example"), np.linspace(9, 6, shape[1], dtype="f4") * gaps[:, None]),
        "picture": (("finding", "example", "y", "x", "channel"), pictures),
    }
    at = {"finding": np.arange(len(made)), "example": np.arange(shape[1])}
    about = {"labelled": 1, "images": 20 * len(classes), "files": 20 * len(classes), "unread": 0}
    return xr.Dataset(table, coords={**at, "class": texts(classes)}, attrs=about)


def _effects(cues: Sequence[str], classes: Sequence[str]) -> xr.Dataset:
    """The group /effects, of every cue and class."""
    sizes = {"cue": len(cues), "class": len(classes), "source": len(classes)}
    table: dict[str, Any] = {}
    for name, (dims, kind) in schema.WHOLE["effects"].items():
        if name in schema.BY_CLIP:
            continue
        shape = [sizes[dim] for dim in dims]
        table[name] = (
            dims,
            texts(["sticker"] * len(cues)) if kind == "str" else np.zeros(shape, kind),
        )
    named = {"cue": texts(cues), "class": texts(classes), "source": texts(classes)}
    return xr.Dataset(table, coords=named)


def _checked(
    least: Mapping[str, tuple[int, int]], outcomes: Sequence[str], names: Sequence[str] | None
) -> list[str]:
    """The class names, once lengths (each with the least that it may be) and outcomes are right."""
    for name, (value, low) in least.items():
        if value < low:
            raise InputError(f"{name}={value}: must be at least {low}")
    for word in outcomes:
        if word not in OUTCOMES:
            raise InputError(f"outcome {word!r}: must be one of {OUTCOMES}")
    labels = least["labels"][0]
    n = max(least["classes"][0], labels + 2)
    listed = list(names or [*COLOURS, *(f"colour {i}" for i in range(n))][:n])
    if len(set(listed)) != len(listed) or len(listed) < labels + 2:
        raise InputError(f"names: must be {labels + 2} different ones for labels={labels}")
    return listed


def _units_of(
    plan: Mapping[str, Any], outcomes: Sequence[str], lengths: Sequence[int], variant: int
) -> Iterator[tuple[Unit, dict[str, dict[Any, Any]]]]:
    """Every unit of a plan and its groups, an arm and a block of labels at a time."""
    indices = [index for index, _ in plan["labels"]]
    method = plan["settings"]["method"]
    for arm, seed, low in itertools.product(
        plan["arms"], plan["seeds"], range(0, len(indices), _BLOCK)
    ):
        block = indices[low : low + _BLOCK]
        tokens = [outcomes[(index - 1) % len(outcomes)] for index in block]
        made = _Made(block, tokens, arm, seed, plan["classes"], plan["judges"], lengths, variant)
        for index, groups in zip(block, made.units(method), strict=True):
            yield Unit(index, arm, seed), groups


def synthetic_unit(
    label_index: int,
    arm: str = "token",
    seed: int = 0,
    *,
    classes: Sequence[str] = _CLASSES,
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

    Examples
    --------
    >>> groups, attributes = synthetic_unit(2, "name")
    >>> sorted(groups), groups["samples"]["image"].shape
    (['samples'], (4, 4, 4, 3))
    """
    kinds = [(name, "view" if i else "classifier") for i, name in enumerate(judges)]
    lengths = steps, checks, samples, size, features
    block = _Made([label_index], [outcome], arm, seed, classes, kinds, lengths, variant)
    held = next(block.units(method))
    named: dict[Any, np.ndarray] = {"class": texts(classes), "judge": texts(judges)}
    groups = {}
    for group, variables in held.items():
        data = xr.Dataset(variables).copy(deep=True)
        at = {d: named.get(d, np.arange(n)) for d, n in data.sizes.items() if d not in schema.BARE}
        groups[group] = data.assign_coords(at)
    seconds = round(1.5 + steps + label_index / 8, 3)
    return groups, {"seconds": seconds, "arm": arm, "seed": seed}


def synthetic_plan(
    labels: Sequence[int] | None = None,
    *,
    classes: Sequence[str] = _CLASSES,
    arms: Sequence[str] = ("name", "token"),
    seeds: Sequence[int] = (0, 1),
    judges: Sequence[Sequence[str]] = (("judge", "classifier"), ("blur", "view")),
    steps: int = 6,
    samples: int = 4,
    method: str = "gradient",
) -> dict[str, Any]:
    """The plan of a made-up result, for `synthetic_unit`'s units; all classes are its labels.

    Examples
    --------
    >>> synthetic_plan([1])["labels"]
    [[1, 'sky']]
    """
    classifiers = [name for name, kind in judges if kind == "classifier"]
    views = tuple(name for name, kind in judges if kind == "view")
    settings = Settings(
        steps=steps, batch=_BATCH, samples=samples, validation=samples, method=method, views=views
    )
    return {
        "labels": [[i, classes[i]] for i in (range(len(classes)) if labels is None else labels)],
        "arms": list(arms),
        "seeds": list(seeds),
        "classes": list(classes),
        "judges": [list(judge) for judge in judges],
        "judge_hashes": ["2" * 64 for _ in judges],
        "classifier": _MODEL,
        "classifier_hash": "0" * 64,
        "generator": _GENERATOR,
        "generator_hash": "1" * 64,
        "settings": {
            **settings.plain(),
            "arms": {
                arm.name: {**dataclasses.asdict(arm), "templates": list(arm.templates or NAME_FREE)}
                for arm in (ARMS.get(name, Arm(name, name)) for name in arms)
            },
            "num_inference_steps": 4,
            "guidance_scale": 1.0,
            "token_layout": f'[["emb_params", {_EMBED}, 1.0]]',
            "sources": {"model": _MODEL, "generator": _GENERATOR, "judges": classifiers},
            "preprocess": {"head": "softmax"},
            "preprocess_parity": None,
            "judge_preprocess": [{"head": "softmax"} for _ in classifiers],
            "sampler": {"pipeline": "synthetic", "scheduler": {"class": "synthetic"}, "call": {}},
            "generator_source": None,
            "dtype": "float32",
            "device": "cpu",
            "objective": "cross_entropy",
        },
        "versions": {"inversion_kit": "synthetic", "numpy": np.__version__},
    }


class _Made:
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
        self.arm = ARMS.get(arm, Arm(arm, arm))
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
        discs = [_disc(self.classes[k], int(k), self.size) for k in kinds]
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
        climb = ((np.arange(taken) + 1) / self.steps)[:, None] * np.ones(_BATCH)
        part = rise[:, None] * np.ones(self.samples)
        trained, checked = self.scores(read * climb, target), self.scores(read * part, target)
        mean = np.take_along_axis(checked.mean(2), target, -1)[..., 0]
        losses = -np.log(np.take_along_axis(trained, target[..., None], -1))
        words = self.rng.permutation([*_WORDS[1:], *self.classes[:64]])[:_RANKS]
        probed = _RANKS if first else 0
        ids = self.noise["train_ids"].reshape(-1, _BATCH)
        return {
            "trajectory": {
                "loss": losses.mean((2, 3)),
                "gradient_norm": self.rng.uniform(0.1, 0.6, losses.shape[:2]).astype("f4"),
                "start": np.where(np.arange(taken) < turn, "neutral", "round"),
                "probability": trained,
                "image": self.images(paint * climb, target, self.noise["train"][:taken]),
                "prompt": np.tile(self.prompt[:, None, None], (1, taken, _BATCH)),
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
        goals = np.stack([_vector(self.variant, "label", t, _EMBED) for t in self.target])
        goals = self.rng.normal(0, 0.4, goals.shape) + goals * (not self.arm.control)
        begin = _vector(self.variant, "start", self.seed, _EMBED)
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
        ("train", TRAIN, (steps, _BATCH)),
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


@functools.lru_cache(maxsize=4096)
def _disc(name: str, index: int, size: int) -> np.ndarray:
    """A disc of a class's colour on grey, float32 ``(y, x, 3)``."""
    grid = np.linspace(-1, 1, size)
    inside = (np.hypot(*np.meshgrid(grid, grid)) < 0.8)[..., None]
    colour = COLOURS.get(name) or np.random.default_rng(index).integers(0, 255, 3)
    return np.where(inside, colour, 205.0).astype("f4")


def synthetic_comparison(
    *,
    same: bool = False,
    models: Sequence[str] = ("older", "newer"),
    cues: Sequence[str] = ("yellow sticker", "bright"),
    names: Sequence[str] | None = None,
) -> xr.DataTree:
    """A made-up result of `inversion_kit.compare`.

    Parameters
    ----------
    same
        Whether nothing differs. Else the second label moved, and the first cue is new.
    models
        Names of the two.
    cues
        Names of cues, on the labels in turn; all but the first stayed.
    names
        Class names, as of `synthetic`.

    Examples
    --------
    >>> sorted(synthetic_comparison().children)
    ['a', 'b', 'confusion', 'crossed', 'cues', 'labels']
    """
    given: dict[str, Any] = {"labels": 3, "samples": 24, "names": names}
    trees = {
        model: synthetic(judges=(other, "judge"), **given)
        for model, other in zip(MODELS, reversed(models), strict=True)
    }
    for tree, name in zip(trees.values(), models, strict=True):
        tree.attrs["classifier"] = name
    labels = [str(n) for n in trees["a"]["samples"]["label"].values]
    if not same:  # another class is read in all pictures of the second label
        values = trees["b"]["samples"]["probability"].values
        values[1, :1] = np.roll(values[1, :1], 1, -1)
    pair = shared_reads(trees["a"], trees["b"])
    tables = {
        "labels": labels_compared(pair),
        "confusion": confusion_compared(pair),
        "crossed": crossed_compared(trees["a"], trees["b"], models),
        "cues": _cues_compared(cues, labels, same),
    }
    about = {
        "models": list(models),
        "same": "",
        "generator": _GENERATOR,
        "judges": ["judge"],
        "why_no_tokens": "",
        "cues": len(cues),
        "sources": len(labels),
        "power_push": 0.5,
        "power_lack": 0.93,
        "pictures": int(tables["labels"]["pictures"].min()),
        "seconds": 1.0,
    }
    return build_comparison(trees, {}, tables, about)


def _cues_compared(cues: Sequence[str], labels: Sequence[str], same: bool) -> xr.Dataset:
    """Made-up ``/cues`` of a comparison: the first is new, or all stayed."""
    n, new = len(cues), np.arange(len(cues)) == (-1 if same else 0)
    older = np.where(new, 0.0, 0.9)
    rate = np.stack([older, np.full(n, 0.9)], 1)
    pictures = np.full((n, 2, 4, 8, 8, 3), 90, "u1")
    pictures[:, 1, :, :3, :3] = 240, 220, 0
    of = [labels[i % len(labels)] for i in range(n)]
    read = np.full((n, 2, 2, 4), labels[-1], object)
    read[:, 1, 1] = np.array(of, object)[:, None]
    per = ("finding", "model")
    gap = rate[:, 1] - older
    return xr.Dataset(
        {
            "of_label": ("finding", texts(of)),
            "direction": ("finding", texts(["push"] * n)),
            "cue": ("finding", texts(list(cues))),
            "lens": ("finding", texts(["words"] * n)),
            "status": ("finding", texts(["new" if one else "stayed" for one in new])),
            "found": (per, rate > 0.5),
            "confirmed": (per, rate > 0.5),
            "rate": (per, rate.astype("f4")),
            "rate_low": (per, np.maximum(rate - 0.1, 0).astype("f4")),
            "rate_high": (per, np.minimum(rate + 0.1, 1).astype("f4")),
            "placebo": (per, np.zeros((n, 2), "f4")),
            "difference": ("finding", gap.astype("f4")),
            "low": ("finding", (gap - 0.1).astype("f4")),
            "high": ("finding", (gap + 0.1).astype("f4")),
            "sources": ("finding", np.full(n, 12)),
            "pictures": ("finding", np.full(n, 48)),
            "picture": (("finding", "row", "example", "y", "x", "channel"), pictures),
            "read": (("finding", "model", "row", "example"), read),
        },
        coords={
            "finding": np.arange(n),
            "model": texts(list(MODELS)),
            "row": texts(["plain", "cue"]),
            "example": np.arange(4),
        },
        attrs={"left": 0},
    )
