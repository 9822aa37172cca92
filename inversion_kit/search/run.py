"""`invert`: one label of one classifier, from the arguments to a validated DataTree."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from torch import Tensor

from inversion_kit import schema
from inversion_kit.classifiers.base import IDENTITY, Classifier, as_classifier
from inversion_kit.generators.base import Generator, as_generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.gradients import GradientPolicy, as_policy
from inversion_kit.generators.prompts import NAME_FREE, NAME_ONLY, check_templates, fill
from inversion_kit.generators.token_file import layout_json
from inversion_kit.objectives import Objective, OfImages, default, describe
from inversion_kit.search import datasets
from inversion_kit.search.arguments import (
    METHODS,
    QUERIES,
    check_judges,
    check_method,
    check_plan,
    check_seeds,
    follow,
    rehearse,
)
from inversion_kit.search.identity import sampler
from inversion_kit.search.optimise import TEST, noise_seeds, sample
from inversion_kit.search.search import Found, Plan
from inversion_kit.search.watching import sample_all, search_all, view_of

ARMS = ("start", "token", "name")
"""Arms of the final samples, on the same noise: the token at its neutral start, the selected class
token, and the plain prompt with the class's name and no token."""


def invert(
    model: Any,
    label: int | str,
    *,
    generator: Any = None,
    prompts: Sequence[str] | str | None = None,
    seed: int | Sequence[int] = 0,
    judges: Sequence[Any] = (),
    preprocess: Callable[[Tensor], Tensor] | None = None,
    labels: Sequence[str] | None = None,
    steps: int = 60,
    batch: int = 8,
    lr: float = 0.3,
    gradient: GradientPolicy | str = "last_step",
    stop_at: float = 0.75,
    check_every: int = 5,
    patience: int = 2,
    restarts: int = 3,
    start: str | None = None,
    validation: int = 16,
    samples: int = 32,
    method: str = "gradient",
    queries: int | None = None,
    objective: Objective | None = None,
    progress: bool | Literal["widget"] = True,
) -> xr.DataTree:
    """Train the class token of one label and return all that was seen on the way.

    Each step samples fresh noise, scores the images and moves the token; every ``check_every``
    steps the token is checked on held-out noise, which alone stops, restarts and selects. The
    selected token, its start and the plain prompt are then sampled on test noise that nothing
    before has seen. For control use the parts: `as_classifier`, `as_generator`,
    `search.search`, `optimise.optimise`.

    Parameters
    ----------
    model
        Anything `as_classifier` takes, for example ``"pocket:honest"`` or a timm model.
    label
        The class: an index, a name, or a unique part of a name.
    generator
        Anything `as_generator` takes. None is Stable Diffusion 1.5 from its hub, which needs a
        network or a cache; ``"pocket"`` ships with the library. A folder or hub id goes to the
        accelerator that torch finds. Classifiers that are given by name go where the generator
        is; objects stay where they are.
    prompts
        Templates with ``{token}`` and, if wanted, ``{name}``. The default names no class.
    seed
        One integer, or several for repeats; every random draw derives from it.
    judges
        Held-out classifiers with the same label names; they score the final images and give no
        gradient.
    preprocess, labels
        For a bare ``nn.Module``: see `as_classifier`.
    steps, batch
        Optimiser updates in all, and images in each.
    lr
        Length of a step in units of the vocabulary's mean norm, above 0.
    gradient
        ``"last_step"`` (the paper's), ``"last_2"``, ``"late_step"``, ``"full"``.
    stop_at
        Mean target probability on held-out noise, in (0, 1], that ends the search.
    check_every, patience
        Steps between checks, and checks without improvement before the next start.
    restarts
        Words of the vocabulary probe to start again from; 0 for the neutral start alone.
    start
        A word to start from in place of the neutral start; it is then the only start.
    validation, samples
        Images a check, and final images an arm.
    method
        ``"gradient"``, or ``"cma"`` for a black box or any other classifier: the token is searched
        in directions of the vocabulary by the classifier's scores alone, see
        `inversion_kit.search.cma`. A step is a generation then, ``batch`` the images of each of
        its tokens, and ``lr`` how far from each other those are.
    queries
        With ``"cma"`` the most images that the classifier is asked about for a seed, 4000 unless
        told otherwise: every image scored counts, of the final ones too. /ledger says what they
        were spent on.
    objective
        What the token is trained for: one of `inversion_kit.objectives`, or a function from logits
        ``(n, class)`` and target ``(n,)`` to a loss an image ``(n,)``. None is the cross-entropy.
        Another one has its mean on held-out noise restart and select in place of the target
        probability, ``stop_at`` does nothing, and all steps are made.
    progress
        Show a progress bar with the time left. ``"widget"``: in a notebook, the images, the
        confidence and a Stop button. What was found before Stop, or before the notebook's
        interrupt button, is kept: test images are made of it, and a second Stop skips those that
        are left.

    Returns
    -------
    xarray.DataTree
        See `inversion_kit.schema` for its groups. Where the user stopped it, the attribute
        ``stopped`` says after what.

    Raises
    ------
    InputError
        An argument is not usable; raised before any image is made.
    GeneratorUnavailableError
        The generator could not be loaded; nothing else is used in its place.
    NumericalError
        The classifier or the generator gave values that are not finite.

    References
    ----------
    Schwartz et al., "Discriminative Class Tokens for Text-to-Image Diffusion Models", ICCV 2023.

    Examples
    --------
    >>> tree = invert(
    ...     "pocket:honest", "stop", generator="pocket", judges=["pocket:judge"],
    ...     steps=2, samples=2, validation=2, restarts=0, progress=False,
    ... )
    >>> tree["samples"]["image"].dims
    ('arm', 'seed', 'sample', 'y', 'x', 'channel')
    """
    began = time.monotonic()
    plan = check_plan(
        steps, batch, lr, as_policy(gradient), stop_at, check_every, patience, validation,
        restarts, start, samples, method=method, queries=queries,
        objective=objective,
    )  # fmt: skip
    seeds = check_seeds(seed)
    templates = check_templates(NAME_FREE if prompts is None else prompts)
    classifier = as_classifier(model, preprocess=preprocess, labels=labels)
    plan = check_method(plan, classifier)
    target = classifier.index(label)
    name = classifier.labels[target]
    identity = IDENTITY if classifier.asks_for_hash else 0
    panel = check_judges(judges, classifier)
    pipeline = as_generator(generator)
    for given, one in zip([model, *judges], [classifier, *panel], strict=True):
        follow(pipeline, given, one)
    if method == "gradient":
        pipeline.check_gradient(plan.gradient)
    asked = [fill(template, name=name) for template in templates]
    for prompt in (*asked, NAME_ONLY.format(name=name)):
        pipeline.check_prompt(prompt)
    if start is not None:
        pipeline.vector_of(start)
    rehearse(plan, classifier, target, pipeline)

    before, own = pipeline.hash, classifier.hash
    look_for = METHODS[method]
    view = view_of(
        progress, label=name, classifier=classifier.name, seeds=seeds, goal=stop_at,
        total=plan.queries if method == "cma" else steps,
        unit="queries" if method == "cma" else "updates",
    )  # fmt: skip
    with view:
        found, stopped = search_all(
            lambda one, watch: look_for(
                classifier, pipeline, target, asked, plan, seed=one, watch=watch
            ),
            seeds, target, view,
        )  # fmt: skip
        made, skipped = sample_all(
            lambda arm, one: _samples(arm, one, classifier, pipeline, panel, asked, name, samples),
            ARMS, found, view, stopped=bool(stopped),
        )  # fmt: skip
        stopped = "; ".join(part for part in (stopped, skipped) if part)
        view.finish(f"Stopped by you {stopped}. The result is kept." if stopped else "Done.")
    runs = [one.seed for one in found]
    groups = {
        "trajectory": datasets.along(
            "seed", runs, [datasets.trajectory(f, classifier.labels) for f in found]
        ),
        "validation": datasets.along(
            "seed", runs, [datasets.validation(f, classifier.labels) for f in found]
        ),
        "token": datasets.along("seed", runs, [datasets.token(f, pipeline) for f in found]),
        "probe": _probe(found),
        "samples": _together(made, found, classifier, samples),
    }
    if method == "cma":
        ledgers = [
            datasets.ledger(f, identity=identity * (i == 0), samples=len(made) * samples)
            for i, f in enumerate(found)
        ]
        groups["ledger"] = datasets.along("seed", runs, ledgers)
    settings = {
        "prompts": list(templates), "seed": seeds, "steps": steps, "batch": batch, "lr": lr,
        "gradient": plan.gradient.name, "stop_at": stop_at, "check_every": check_every,
        "patience": patience, "restarts": restarts, "start": start, "validation": validation,
        "samples": samples, "method": method,
        "queries": (queries or QUERIES) if method == "cma" else None,
        "num_inference_steps": pipeline.num_inference_steps,
        "guidance_scale": pipeline.guidance_scale, "objective_hashes": _hashes(plan, classifier),
        "sampler": sampler(pipeline), "source": pipeline.source,
        "dtype": str(pipeline.dtype).removeprefix("torch."), "device": pipeline.device.type,
    }  # fmt: skip
    attributes = {
        "label": name,
        "label_index": target,
        "classifier": classifier.name,
        "classifier_hash": own,
        "preprocess_parity": json.dumps(classifier.parity_told),
        "generator": pipeline.name,
        "objective": describe(objective or default(classifier)),
        "generator_hash": before,
        "token_layout": layout_json(pipeline.layout),
        "judges": json.dumps([judge.name for judge in panel]),
        "judge_hashes": json.dumps([judge.hash for judge in panel]),
        "settings": json.dumps(settings),
        "versions": json.dumps(datasets.versions()),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 2),
    }
    if method == "cma":
        attributes["queries"] = int(groups["ledger"]["queries"].max("entry").sum())
    if stopped:
        attributes["stopped"] = f"by the user {stopped}"
    return schema.build(groups, attributes)


def _hashes(plan: Plan, classifier: Classifier) -> dict[str, str]:
    """Of the other classifiers that the objective asks."""
    others = plan.objective.others if isinstance(plan.objective, OfImages) else ()
    return {one.name: one.hash for one in others if one is not classifier}


def _probe(found: list[Found]) -> xr.Dataset:
    words = sorted({word for f in found if f.probe for word in f.probe.words})
    value = np.full((len(found), len(words)), np.nan, np.float32)
    for i, one in enumerate(found):
        if one.probe:
            given = dict(zip(one.probe.words, one.probe.log_probability, strict=True))
            value[i] = [given.get(word, np.nan) for word in words]
    return xr.Dataset(
        {"log_probability": (("seed", "word"), value)},
        {"seed": [f.seed for f in found], "word": np.array(words, dtype=str)},
    )


def _samples(
    arm: str, one: Found, classifier: Classifier, generator: Generator, panel: list[Classifier],
    asked: list[str], name: str, n: int,
) -> xr.Dataset:  # fmt: skip
    """One run's test images of one arm."""
    seeds = noise_seeds(one.seed, TEST, 0, n)
    look = one.looks[one.selected if arm == "token" else 0]
    texts = [asked[i % len(asked)] for i in range(n)]
    if arm == "name":
        texts = [NAME_ONLY.format(name=name)] * n
    token = ClassToken(look.check.token) if arm != "name" else None
    made = sample(generator, texts, seeds=seeds, token=token)
    data = datasets.samples(made, classifier, prompts=texts, seeds=seeds)
    if panel:
        judged = np.stack([datasets.probability(judge, made) for judge in panel])
        data["judge_probability"] = (("judge", "sample", "class"), judged)
        data = data.assign_coords(judge=[judge.name for judge in panel])
    return data


def _together(
    made: dict[str, list[xr.Dataset]], found: list[Found], classifier: Classifier, n: int
) -> xr.Dataset:
    """The arms' test images side by side; of no arm where the user did not wait for one."""
    runs = [one.seed for one in found]
    if not made:
        pixels = found[0].looks[0].check.images.shape[-2:]
        shape = (0, len(runs), n)
        seeds = [noise_seeds(one.seed, TEST, 0, n) for one in found]
        dims = ("arm", "seed", "sample")
        return xr.Dataset(
            {
                "image": ((*dims, "y", "x", "channel"), np.empty((*shape, *pixels, 3), np.uint8)),
                "probability": (
                    (*dims, "class"), np.empty((*shape, len(classifier.labels)), np.float32)
                ),
                "prompt": (dims, np.empty(shape, dtype=str)),
                "noise_seed": (dims[1:], np.array(seeds, np.int64)),
            },
            {"arm": np.empty(0, dtype=str), "seed": runs, "sample": np.arange(n),
             "class": list(classifier.labels)},
        )  # fmt: skip
    whole = datasets.along(
        "arm", list(made), [datasets.along("seed", runs, parts) for parts in made.values()]
    )
    whole["noise_seed"] = whole["noise_seed"].isel(arm=0)
    if "judge_probability" in whole:
        whole["judge_probability"] = whole["judge_probability"].transpose(
            "judge", "arm", "seed", "sample", "class"
        )
    return whole
