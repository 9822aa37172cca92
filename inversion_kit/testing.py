"""A small, valid, made-up result, for tests and for trying the views without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError

_COLOURS = {
    "orange": (230, 159, 0),
    "sky": (86, 180, 233),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "blue": (0, 114, 178),
    "red": (213, 94, 0),
    "pink": (204, 121, 167),
    "black": (30, 30, 30),
}
_ARMS = ("start", "token", "name")
_BATCH, _EMBED, _FEATURES = 2, 8, 4


def synthetic_run(
    *,
    seeds: int = 2,
    steps: int = 12,
    checks: int = 4,
    samples: int = 6,
    classes: int = 5,
    size: int = 8,
    judges: Sequence[str] = ("judge",),
    seed: int = 0,
    outcome: Literal["meaning", "trick", "failure"] = "meaning",
) -> xr.DataTree:
    """A made-up search for a colour: images drift from noise to a disc, probabilities rise.

    The first run stalls at the neutral start, asks the vocabulary probe and restarts at a word;
    every other run stays at the neutral start, stops one check early and has no probe, so that
    the padding of a real result is there too.

    Parameters
    ----------
    seeds, steps, checks, samples, classes, size
        Lengths of the dimensions; ``size`` is y and x. At least 1 seed, step and sample, 2 checks
        and 2 classes.
    judges
        Names of held-out classifiers; may be empty.
    seed
        Of all that is random here.
    outcome
        ``"meaning"``: the token works and judges agree. ``"trick"``: the audited classifier is
        convinced by noise and judges are not. ``"failure"``: the token finds nothing.

    Raises
    ------
    InputError
        A length is too small.

    Examples
    --------
    >>> tree = synthetic_run(seeds=1, size=4)
    >>> tree["samples"]["image"].shape
    (3, 1, 6, 4, 4, 3)
    """
    least = {
        "seeds": (seeds, 1),
        "steps": (steps, 1),
        "checks": (checks, 2),
        "samples": (samples, 1),
        "classes": (classes, 2),
        "size": (size, 2),
    }
    for name, (value, low) in least.items():
        if value < low:
            raise InputError(f"{name}={value}: must be at least {low}")
    rng = np.random.default_rng(seed)
    names = [*_COLOURS, *(f"colour {i}" for i in range(classes))][:classes]
    target = 1
    colours = np.array([_COLOURS.get(n) or rng.integers(0, 255, 3) for n in names], dtype=float)
    read, paint = {"meaning": (1.0, 1.0), "trick": (1.0, 0.0), "failure": (0.0, 0.0)}[outcome]

    at = np.round(np.linspace(0, steps, checks)).astype("i8")
    restart = checks // 2
    step_of = np.tile(at, (seeds, 1))
    step_of[0, restart] = at[restart - 1]
    start_of = np.full((seeds, checks), "neutral", dtype=object)
    start_of[0, restart:] = "round"
    progress = np.tile(np.linspace(0.0, 1.0, checks), (seeds, 1))
    progress[0, :restart] *= 0.3
    ends = np.full(seeds, checks)
    ends[1:] = checks - 1
    progress[1:] *= (checks - 1) / max(checks - 2, 1)

    def scores(amount: np.ndarray) -> np.ndarray:
        """Softmax ``(*amount, class)`` that favours the target as ``amount`` goes from 0 to 1."""
        logits = rng.normal(0, 0.7, (*amount.shape, classes))
        logits[..., 0] += 1.0
        logits[..., target] += 7.0 * amount - 2.5
        value = np.exp(logits - logits.max(-1, keepdims=True))
        softmax: np.ndarray = value / value.sum(-1, keepdims=True)
        return softmax.astype("f4")

    grid = np.linspace(-1, 1, size)
    disc = (np.hypot(*np.meshgrid(grid, grid)) < 0.8)[..., None]

    def images(amount: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """uint8 ``(*amount, y, x, 3)``: ``noise`` at amount 0, the target's disc on grey at 1."""
        share = amount[..., None, None, None]
        clean = np.where(disc, colours[target], 205.0)
        mixed: np.ndarray = (1 - share) * noise + share * clean + 8 * noise / 255
        return mixed.clip(0, 255).astype("u1")

    def noise(*shape: int) -> np.ndarray:
        return rng.uniform(0, 255, (*shape, size, size, 3))

    rise = np.broadcast_to(progress[..., None], (seeds, checks, samples))
    ended = np.arange(checks) >= ends[:, None]
    validation_probability = scores(read * rise)
    validation_probability[ended] = np.nan
    validation_image = images(paint * rise, noise(seeds, 1, samples))
    validation_image[ended] = 0
    taken = np.arange(steps) < step_of[np.arange(seeds), ends - 1][:, None]
    step_of[ended], start_of[ended] = -1, ""

    climb = np.broadcast_to(((np.arange(steps) + 1) / steps)[:, None], (seeds, steps, _BATCH))
    train_probability = scores(read * climb)
    train_probability[~taken] = np.nan
    train_image = images(paint * climb, noise(seeds, steps, _BATCH))
    train_image[~taken] = 0
    loss = -np.log(train_probability[..., target]).mean(-1)
    step_start = np.where(taken, "neutral", "").astype(object)
    step_start[0, at[restart - 1] :] = "round"

    embedding = rng.normal(0, 0.3, (seeds, 1, 1, _EMBED)) + np.cumsum(
        rng.normal(0, 0.2, (seeds, checks, 1, _EMBED)), axis=1
    )
    embedding[ended] = np.nan
    mean = validation_probability[..., target].mean(-1)
    words = ["round", "large", "small", "bright", "dark", "square", *names]
    log_probability = np.full((seeds, len(words)), np.nan)
    log_probability[0] = np.sort(rng.normal(-4, 1, len(words)))[::-1]

    arm_amount = np.array([0.0, 0.75, 0.65])[:, None, None] * np.ones((1, seeds, samples))
    is_token = np.array([arm == "token" for arm in _ARMS])[:, None, None]
    arm_read = np.where(is_token, read, 1.0) * arm_amount
    arm_paint = np.where(is_token, paint, 1.0) * arm_amount
    test_noise = np.broadcast_to(noise(seeds, samples), (3, seeds, samples, size, size, 3))
    prompts = {"start": "a photo of a <ik-class>", "token": "a photo of a <ik-class>",
               "name": f"a photo of a {names[target]}"}  # fmt: skip

    pixels = ("y", "x", "channel")
    runs = ("seed", np.arange(seeds))
    noise_ids = rng.permutation(2**20)[: seeds * (steps * _BATCH + 2 * samples)].astype("i8")
    train_ids, check_ids, test_ids = np.split(
        noise_ids, np.cumsum([seeds * steps * _BATCH, seeds * samples])
    )
    train_ids = np.where(taken[..., None], train_ids.reshape(seeds, steps, _BATCH), -1)
    sampled: dict[str, Any] = {
        "image": (("arm", "seed", "sample", *pixels), images(arm_paint, test_noise)),
        "probability": (("arm", "seed", "sample", "class"), scores(arm_read)),
        "prompt": (
            ("arm", "seed", "sample"),
            np.broadcast_to(
                np.array([prompts[a] for a in _ARMS], dtype=object)[:, None, None],
                (3, seeds, samples),
            ).copy(),
        ),
        "noise_seed": (("seed", "sample"), test_ids.reshape(seeds, samples)),
        "feature": (
            ("arm", "seed", "sample", "feature"),
            rng.normal(0, 1, (3, seeds, samples, _FEATURES)).astype("f4"),
        ),
    }
    sampled_at: dict[str, Any] = {"arm": list(_ARMS), "sample": np.arange(samples), "class": names}
    if judges:
        sampled["judge_probability"] = (
            ("judge", "arm", "seed", "sample", "class"),
            np.stack([scores(arm_paint) for _ in judges]),
        )
        sampled_at["judge"] = list(judges)
    groups = {
        "trajectory": xr.Dataset(
            {
                "loss": (("seed", "step"), loss.astype("f4")),
                "gradient_norm": (
                    ("seed", "step"),
                    np.where(taken, rng.uniform(0.1, 0.6, taken.shape), np.nan).astype("f4"),
                ),
                "start": (("seed", "step"), step_start),
                "probability": (("seed", "step", "sample", "class"), train_probability),
                "image": (("seed", "step", "sample", *pixels), train_image),
                "prompt": (
                    ("seed", "step", "sample"),
                    np.where(train_ids >= 0, prompts["token"], "").astype(object),
                ),
                "noise_seed": (("seed", "step", "sample"), train_ids),
            },
            coords={"step": np.arange(steps), "sample": np.arange(_BATCH), "class": names},
        ),
        "validation": xr.Dataset(
            {
                "step": (("seed", "check"), step_of),
                "start": (("seed", "check"), start_of),
                "probability": (("seed", "check", "sample", "class"), validation_probability),
                "image": (("seed", "check", "sample", *pixels), validation_image),
                "noise_seed": (("seed", "sample"), check_ids.reshape(seeds, samples)),
            },
            coords={"check": np.arange(checks), "sample": np.arange(samples), "class": names},
        ),
        "token": xr.Dataset(
            {
                "embedding": (("seed", "check", "vector", "embed"), embedding.astype("f4")),
                "selected": (("seed",), np.nanargmax(mean, axis=1).astype("i8")),
                "nearest_word": (
                    ("seed", "rank"),
                    np.array([rng.permutation(words)[:5] for _ in range(seeds)], dtype=object),
                ),
                "nearest_cosine": (
                    ("seed", "rank"),
                    -np.sort(-rng.uniform(0.1, 0.6, (seeds, 5)), axis=1).astype("f4"),
                ),
            },
            coords={"check": np.arange(checks)},
        ),
        "probe": xr.Dataset(
            {"log_probability": (("seed", "word"), log_probability.astype("f4"))},
            coords={"word": words},
        ),
        "samples": xr.Dataset(sampled, coords=sampled_at),
    }
    groups = {name: data.assign_coords(seed=runs) for name, data in groups.items()}
    attributes = {
        "label": names[target],
        "label_index": target,
        "classifier": "synthetic:classifier",
        "classifier_hash": "0" * 64,
        "generator": "synthetic:generator",
        "generator_hash": "1" * 64,
        "judges": json.dumps(list(judges)),
        "judge_hashes": json.dumps(["2" * 64 for _ in judges]),
        "settings": json.dumps(
            {"steps": steps, "batch": _BATCH, "lr": 0.1, "gradient": "last_step", "seeds": seeds}
        ),
        "versions": json.dumps({"inversion_kit": "synthetic", "numpy": np.__version__}),
        "created": "2026-01-01T00:00:00+00:00",
        "seconds": 12.5,
    }
    return schema.build(groups, attributes)


def synthetic_unit(
    label_index: int,
    arm: str = "token",
    seed: int = 0,
    *,
    classes: Sequence[str] = ("orange", "sky", "green", "yellow", "blue"),
    judges: Sequence[str] = ("judge", "blur"),
    steps: int = 6,
    checks: int = 3,
    samples: int = 4,
    size: int = 4,
    features: int = 3,
) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """Groups and attributes of one made-up unit of an audit, the same for the same arguments.

    Parameters
    ----------
    label_index, arm, seed
        Which unit; the arm ``name`` has /samples alone.
    classes, judges
        Names along these dimensions; judges may be empty.
    steps, checks, samples, size, features
        Lengths of the dimensions; ``size`` is y and x.

    Examples
    --------
    >>> groups, attributes = synthetic_unit(2, "name")
    >>> sorted(groups), groups["samples"]["image"].shape
    (['samples'], (4, 4, 4, 3))
    """
    arms = ("name", "token+name", "token", "shuffled")
    key = label_index, seed, arms.index(arm) if arm in arms else len(arms)
    rng = np.random.default_rng(key)
    noise = np.random.default_rng((label_index, seed)).permutation(2**20)
    prompt = f"a photo of a {classes[label_index] if arm == 'name' else '<ik-class>'}"
    pixels = ("y", "x", "channel")

    def softmax(*shape: int) -> np.ndarray:
        value = np.exp(2 * rng.normal(size=(*shape, len(classes))))
        return np.asarray(value / value.sum(-1, keepdims=True), dtype="f4")

    def image(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, (*shape, size, size, 3), dtype="u1")

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype("f4")

    def text(value: str, *shape: int) -> np.ndarray:
        return np.full(shape, value, dtype=object)

    at = {
        "class": np.array(classes, dtype=object),
        "sample": np.arange(samples),
        "judge": np.array(judges, dtype=object),
    }
    sampled: dict[str, Any] = {
        "image": (("sample", *pixels), image(samples)),
        "probability": (("sample", "class"), softmax(samples)),
        "prompt": (("sample",), text(prompt, samples)),
        "noise_seed": (("sample",), noise[:samples].astype("i8")),
        "feature": (("sample", "feature"), normal(samples, features)),
    }
    if judges:
        sampled["judge_probability"] = (
            ("judge", "sample", "class"),
            softmax(len(judges), samples),
        )
    if arm != "name":
        sampled["trained_probability"] = (("sample", "class"), softmax(samples))
    used = {"class", "sample", "judge"} if judges else {"class", "sample"}
    groups = {"samples": xr.Dataset(sampled, {name: at[name] for name in sorted(used)})}
    attributes = {"seconds": round(1.5 + steps + label_index / 8, 3), "arm": arm, "seed": seed}
    if arm == "name":
        return groups, attributes
    train, check = np.split(noise[samples:].astype("i8"), [steps * _BATCH])
    groups |= {
        "trajectory": xr.Dataset(
            {
                "loss": (("step",), normal(steps)),
                "gradient_norm": (("step",), normal(steps)),
                "start": (("step",), text("neutral", steps)),
                "probability": (("step", "sample", "class"), softmax(steps, _BATCH)),
                "image": (("step", "sample", *pixels), image(steps, _BATCH)),
                "prompt": (("step", "sample"), text(prompt, steps, _BATCH)),
                "noise_seed": (("step", "sample"), train.reshape(steps, _BATCH)),
            },
            {"step": np.arange(steps), "sample": np.arange(_BATCH), "class": at["class"]},
        ),
        "validation": xr.Dataset(
            {
                "step": (("check",), np.round(np.linspace(0, steps, checks)).astype("i8")),
                "start": (("check",), text("neutral", checks)),
                "probability": (("check", "sample", "class"), softmax(checks, samples)),
                "image": (("check", "sample", *pixels), image(checks, samples)),
                "noise_seed": (("sample",), check[:samples]),
            },
            {"check": np.arange(checks), "sample": at["sample"], "class": at["class"]},
        ),
        "token": xr.Dataset(
            {
                "embedding": (("check", "vector", "embed"), normal(checks, 1, _EMBED)),
                "selected": ((), np.int64(checks - 1)),
                "nearest_word": (("rank",), np.array(["round", "large", "red"], dtype=object)),
                "nearest_cosine": (("rank",), -np.sort(-rng.uniform(0, 1, 3)).astype("f4")),
            },
            {"check": np.arange(checks)},
        ),
        "probe": xr.Dataset(
            {
                "word": (("rank",), np.array(["round", "large"], dtype=object)),
                "log_probability": (("rank",), np.array([-1.0, -2.0], dtype="f4")),
            }
        ),
    }
    return groups, attributes


def synthetic_plan(
    labels: Sequence[int] | None = None,
    *,
    classes: Sequence[str] = ("orange", "sky", "green", "yellow", "blue"),
    arms: Sequence[str] = ("name", "token"),
    seeds: Sequence[int] = (0, 1),
    judges: Sequence[Sequence[str]] = (("judge", "classifier"), ("blur", "view")),
) -> dict[str, Any]:
    """The plan of a made-up audit, for `synthetic_unit`'s units.

    Examples
    --------
    >>> synthetic_plan([1])["labels"]
    [[1, 'sky']]
    """
    return {
        "labels": [[i, classes[i]] for i in (range(len(classes)) if labels is None else labels)],
        "arms": list(arms),
        "seeds": list(seeds),
        "classes": list(classes),
        "judges": [list(judge) for judge in judges],
        "judge_hashes": ["2" * 64 for _ in judges],
        "classifier": "synthetic:classifier",
        "classifier_hash": "0" * 64,
        "generator": "synthetic:generator",
        "generator_hash": "1" * 64,
        "settings": {"steps": 6, "batch": _BATCH},
        "versions": {"inversion_kit": "synthetic", "numpy": np.__version__},
    }


AUDIT_ARMS = ("name", "token+name", "token", "shuffled")
_OUTCOMES = ("meaning", "trick", "failure", "mixed")


def synthetic_audit(
    *,
    labels: int = 5,
    seeds: int = 2,
    samples: int = 6,
    checks: int = 4,
    steps: int = 6,
    size: int = 8,
    arms: Sequence[str] = AUDIT_ARMS,
    judges: Sequence[str] = ("judge",),
    views: Sequence[str] = ("jpeg", "blur"),
    outcomes: Sequence[str] = ("meaning",),
    failed: Sequence[tuple[str, str, int]] = (),
    missing: Sequence[tuple[str, str, int]] = (),
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> xr.DataTree:
    """A made-up audit of colours: discs on noise that all arms and labels share.

    The classifier knows two more classes than are audited: the first and the last.

    Parameters
    ----------
    labels, seeds, samples, checks, steps, size
        Lengths of the dimensions; ``size`` is y and x. At least 1, ``checks`` and ``size`` 2.
    arms
        Any of `AUDIT_ARMS`.
    judges, views
        Names of held-out classifiers and of views; either may be empty.
    outcomes
        Of each label's token, repeated as often as needed. ``"meaning"``: read as the label by
        all. ``"trick"``: by the audited classifier and its views alone, on noise. ``"failure"``:
        by none. ``"mixed"``: every other image is the next class.
    failed, missing
        Units (label, arm, seed) that failed or were not run.
    names
        Class names, two more than ``labels``; colours where not given.
    seed
        Of all that is random here.

    Raises
    ------
    InputError
        A length is too small, or an arm or outcome is unknown.

    Examples
    --------
    >>> tree = synthetic_audit(labels=3, failed=[("sky", "token", 0)])
    >>> tree["samples"]["probability"].dims
    ('label', 'arm', 'seed', 'sample', 'class')
    >>> str(tree["status"]["reason"].sel(label="sky", arm="token", seed=0).item())
    'NumericalError: made up'
    """
    least = {"labels": (labels, 1), "seeds": (seeds, 1), "samples": (samples, 1),
             "checks": (checks, 2), "steps": (steps, 1), "size": (size, 2)}  # fmt: skip
    for name, (value, low) in least.items():
        if value < low:
            raise InputError(f"{name}={value}: must be at least {low}")
    for given, known in ((arms, AUDIT_ARMS), (outcomes, _OUTCOMES)):
        for word in given:
            if word not in known:
                raise InputError(f"{word!r}: must be one of {', '.join(map(repr, known))}")
    rng = np.random.default_rng(seed)
    classes = labels + 2
    names = list(names or [*_COLOURS, *(f"colour {i}" for i in range(classes))][:classes])
    if len(set(names)) != classes:
        raise InputError(f"names: must be {classes} different ones for labels={labels}")
    target = np.arange(1, labels + 1)
    audited = [names[i] for i in target]
    colours = np.array([_COLOURS.get(n) or rng.integers(0, 255, 3) for n in names], float)
    outcome = [outcomes[i % len(outcomes)] for i in range(labels)]
    kinds = np.array(outcome)[:, None, None, None]
    arm_of = np.array(arms)[:, None, None]
    units = (labels, len(arms), seeds)

    # How far each image is read as, and how far it is painted as, which class.
    is_token = arm_of == "token"
    even = np.arange(samples) % 2 == 0
    amount = np.select([arm_of == "name", arm_of == "shuffled"], [0.7, 0.0], 0.9)
    read = np.broadcast_to(amount, (*units, samples)).copy()
    read[np.broadcast_to(is_token & (kinds == "failure"), read.shape)] = 0.0
    paint = np.where(is_token & (kinds == "trick"), 0.0, read)
    shown = np.where(
        is_token & (kinds == "mixed") & ~even, target[:, None, None, None] + 1,
        target[:, None, None, None],
    )  # fmt: skip
    shown = np.broadcast_to(shown, (*units, samples))

    def scores(share: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Softmax ``(*share, class)``: class 0 at share 0, class ``of`` at 1."""
        logits = rng.normal(0, 0.3, (*share.shape, classes)).astype("f4")
        logits[..., 0] += 2.0
        at = np.broadcast_to(of, share.shape)[..., None]
        lifted = np.take_along_axis(logits, at, -1) + 6.0 * share[..., None].astype("f4")
        np.put_along_axis(logits, at, lifted, -1)
        value = np.exp(logits - logits.max(-1, keepdims=True))
        softmax: np.ndarray = value / value.sum(-1, keepdims=True)
        return softmax

    grid = np.linspace(-1, 1, size)
    disc = (np.hypot(*np.meshgrid(grid, grid)) < 0.8)[..., None]

    def images(share: np.ndarray, of: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """uint8 ``(*share, y, x, 3)``: ``noise`` at share 0, a disc of class ``of`` at 1."""
        clean = np.where(disc, colours[of][..., None, None, :], 205.0)
        mixed: np.ndarray = noise + share[..., None, None, None] * (clean - noise)
        return mixed.clip(0, 255).astype("u1")

    def noise(*shape: int) -> np.ndarray:
        return rng.uniform(0, 255, (*shape, size, size, 3))

    searched = np.isin(arms, ("token+name", "token", "shuffled"))
    rise = np.linspace(0, 1, checks)
    climb = (np.arange(steps) + 1) / steps
    ids = rng.permutation(2**20)[: seeds * (steps * _BATCH + 2 * samples)].astype("i8")
    train_ids, check_ids, test_ids = np.split(
        ids, np.cumsum([seeds * steps * _BATCH, seeds * samples])
    )
    path = read[..., :1, None] * rise[:, None]
    seen = path * np.ones(samples)
    steps_at = np.round(np.linspace(0, steps, checks)).astype("i8")
    train_read = read[..., :1, None] * climb[:, None] * np.ones(_BATCH)
    first = np.broadcast_to(target[:, None, None, None, None], seen.shape)
    train_of = np.broadcast_to(target[:, None, None, None, None], train_read.shape)
    judged = np.repeat(paint[:, :, :, None], len(judges), 3)
    viewed = np.repeat(read[:, :, :, None], len(views), 3)
    heads = rng.normal(0, 1, (labels, _EMBED)), rng.normal(0, 4, (classes, _FEATURES * 2))
    own = rng.normal(0, 0.4, (*units, _EMBED)) + np.where(
        (arm_of[..., 0] != "shuffled")[..., None], heads[0][:, None, None], 0.0
    )
    along = rng.normal(0, 1, (1, 1, seeds, 1, _EMBED)) * (1 - rise[:, None])
    embedding = along + rise[:, None] * own[..., None, :]
    words = np.array(["round", "large", "small", "bright", "dark", "square", *names], dtype=object)
    train_probability = scores(train_read, train_of)
    prompt = np.full((*units, samples), "a photo of a <ik-class>", dtype=object)
    for number, arm in enumerate(arms):
        if "name" in arm:
            before = "<ik-class> " if arm == "token+name" else ""
            said = np.array([f"a photo of a {before}{name}" for name in audited], dtype=object)
            prompt[:, number] = said[:, None, None]
    probability = scores(read, shown)
    trained = np.where((arm_of == "shuffled")[..., None], scores(0 * read + 0.9, shown),
                       probability)  # fmt: skip
    order = np.argsort(rng.random((*units, len(words))), -1)[..., :5]
    values: dict[str, dict[str, np.ndarray]] = {
        "trajectory": {
            "loss": -np.log(train_probability[
                np.arange(labels)[:, None, None, None], np.arange(len(arms))[:, None, None],
                np.arange(seeds)[:, None], np.arange(steps), 0, target[:, None, None, None]]),
            "gradient_norm": rng.uniform(0.1, 0.6, (*units, steps)),
            "start": np.full((*units, steps), "neutral", dtype=object),
            "probability": train_probability,
            "image": images(train_read, train_of, noise(1, 1, seeds, steps, _BATCH)),
            "prompt": np.repeat(np.repeat(prompt[..., :1, None], steps, 3), _BATCH, 4),
            "noise_seed": train_ids.reshape(seeds, steps, _BATCH),
        },
        "validation": {
            "step": steps_at,
            "start": np.full((*units, checks), "neutral", dtype=object),
            "probability": scores(seen, first),
            "image": images(seen, first, noise(1, 1, seeds, 1, samples)),
            "noise_seed": check_ids.reshape(seeds, samples),
        },
        "token": {
            "embedding": embedding[..., None, :],
            "selected": np.array(checks - 1),
            "nearest_word": words[order],
            "nearest_cosine": -np.sort(-rng.uniform(0.1, 0.6, (*units, 5)), -1),
        },
        "probe": {
            "word": words[order],
            "log_probability": -np.sort(rng.uniform(0.5, 6, (*units, 5)), -1),
        },
        "samples": {
            "image": images(paint, shown, noise(1, 1, seeds, samples)),
            "probability": probability,
            "trained_probability": trained,
            "judge_probability": np.concatenate(
                [scores(judged, np.repeat(shown[:, :, :, None], len(judges), 3)),
                 scores(viewed, np.repeat(shown[:, :, :, None], len(views), 3))], 3),
            "prompt": prompt,
            "noise_seed": test_ids.reshape(seeds, samples),
            "feature": rng.normal(0, 1, (*units, samples, _FEATURES * 2))
            + paint[..., None] * heads[1][shown],
        },
    }  # fmt: skip
    if not judges and not views:
        del values["samples"]["judge_probability"]
    status = np.full(units, "done", dtype=object)
    reason = np.full(units, "", dtype=object)
    for how, why, chosen in (
        ("failed", "NumericalError: made up", failed),
        ("missing", "", missing),
    ):
        for label, arm, run in chosen:
            at = audited.index(label), list(arms).index(arm), run
            status[at], reason[at] = how, why
    coords: dict[str, Any] = {
        "step": np.arange(steps),
        "check": np.arange(checks),
        "class": np.array(names, dtype=object),
        "judge": np.array([*judges, *views], dtype=object),
        "judge_kind": ("judge", np.array(["classifier"] * len(judges) + ["view"] * len(views))),
    }
    outer = {
        "label": np.array(audited, dtype=object),
        "label_index": ("label", target),
        "arm": np.array(arms, dtype=object),
        "seed": np.arange(seeds),
    }
    groups = {}
    for group, table in schema.AUDIT.items():
        data = {}
        for name, (dims, kind) in table.items():
            if group == "status" or name not in values[group]:
                continue
            dtype = object if kind == "str" else kind
            inner = values[group][name].astype(dtype)
            lengths = inner.shape[inner.ndim - len(dims) + len(schema.OUTER) :]
            filled = np.broadcast_to(inner, (*units, *lengths)).copy()
            here = status == "done"
            if group != "samples":
                here = here & searched[:, None]
            elif name == "trained_probability":
                here = here & (np.array(arms) != "name")[:, None]
            filled[~here] = schema.FILL[kind]
            data[name] = (dims, filled)
        used = {d for dims, _ in data.values() for d in dims}
        own_coords = {k: v for k, v in coords.items() if (v[0] if k == "judge_kind" else k) in used}
        if "sample" in used:
            own_coords["sample"] = np.arange(_BATCH if group == "trajectory" else samples)
        groups[group] = xr.Dataset(data, coords={**outer, **own_coords})
    groups["status"] = xr.Dataset(
        {
            "status": (schema.OUTER, status),
            "reason": (schema.OUTER, reason),
            "seconds": (schema.OUTER, np.where(status == "missing", np.nan, 1.5).astype("f4")),
        },
        coords=outer,
    )
    attributes = {
        "classifier": "synthetic:classifier",
        "classifier_hash": "0" * 64,
        "generator": "synthetic:generator",
        "generator_hash": "1" * 64,
        "judges": json.dumps([*judges, *views]),
        "judge_hashes": json.dumps(["2" * 64 for _ in (*judges, *views)]),
        "settings": json.dumps({"steps": steps, "batch": _BATCH, "lr": 0.1, "seeds": seeds}),
        "versions": json.dumps({"inversion_kit": "synthetic", "numpy": np.__version__}),
        "created": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5 * labels * len(arms) * seeds,
    }
    return schema.build(groups, attributes, kind="audit")
