"""`invert`: one label of one classifier, from the arguments to a validated DataTree."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor
from tqdm.auto import tqdm

from inversion_kit import schema
from inversion_kit.classifiers.base import Classifier, as_classifier
from inversion_kit.generators.base import Generator, as_generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.gradients import GradientPolicy, as_policy
from inversion_kit.generators.prompts import NAME_FREE, NAME_ONLY, check_templates, fill
from inversion_kit.generators.token_file import layout_json
from inversion_kit.search import datasets
from inversion_kit.search.arguments import check_judges, check_plan, check_seeds
from inversion_kit.search.optimise import TEST, noise_seeds, sample
from inversion_kit.search.search import Found, search

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
    progress: bool = True,
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
        network or a cache; ``"pocket"`` ships with the library.
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
    progress
        Show a progress bar with the time left.

    Returns
    -------
    xarray.DataTree
        See `inversion_kit.schema` for its groups.

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
        restarts, start, samples,
    )  # fmt: skip
    seeds = check_seeds(seed)
    templates = check_templates(NAME_FREE if prompts is None else prompts)
    classifier = as_classifier(model, preprocess=preprocess, labels=labels)
    target = classifier.index(label)
    name = classifier.labels[target]
    panel = check_judges(judges, classifier)
    pipeline = as_generator(generator)
    pipeline.check_gradient(plan.gradient)
    asked = [fill(template, name=name) for template in templates]
    for prompt in (*asked, NAME_ONLY.format(name=name)):
        pipeline.check_prompt(prompt)
    if start is not None:
        pipeline.vector_of(start)

    before = pipeline.hash
    found = []
    for one in seeds:
        with tqdm(total=steps, desc=f"{name} (seed {one})", disable=not progress) as bar:
            watch = _bar(bar)
            found.append(search(classifier, pipeline, target, asked, plan, seed=one, watch=watch))
    groups = {
        "trajectory": datasets.along(
            "seed", seeds, [datasets.trajectory(f, classifier.labels) for f in found]
        ),
        "validation": datasets.along(
            "seed", seeds, [datasets.validation(f, classifier.labels) for f in found]
        ),
        "token": datasets.along("seed", seeds, [datasets.token(f, pipeline) for f in found]),
        "probe": _probe(found),
        "samples": _samples(found, classifier, pipeline, panel, asked, name, samples),
    }
    settings = {
        "prompts": list(templates), "seed": seeds, "steps": steps, "batch": batch, "lr": lr,
        "gradient": plan.gradient.name, "stop_at": stop_at, "check_every": check_every,
        "patience": patience, "restarts": restarts, "start": start, "validation": validation,
        "samples": samples, "num_inference_steps": pipeline.num_inference_steps,
        "guidance_scale": pipeline.guidance_scale,
    }  # fmt: skip
    attributes = {
        "label": name,
        "label_index": target,
        "classifier": classifier.name,
        "classifier_hash": classifier.hash,
        "generator": pipeline.name,
        "generator_hash": before,
        "token_layout": layout_json(pipeline.layout),
        "judges": json.dumps([judge.name for judge in panel]),
        "judge_hashes": json.dumps([judge.hash for judge in panel]),
        "settings": json.dumps(settings),
        "versions": json.dumps(datasets.versions()),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 2),
    }
    return schema.build(groups, attributes)


def _bar(bar: Any) -> Callable[[Found], None]:
    def watch(found: Found) -> None:
        bar.update(len(found.steps) - bar.n)
        last = found.looks[-1] if found.looks else None
        if last is not None:
            bar.set_postfix_str(f"held-out {last.score:.0%} from {last.start!r}")

    return watch


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
    found: list[Found], classifier: Classifier, generator: Generator, panel: list[Classifier],
    asked: list[str], name: str, n: int,
) -> xr.Dataset:  # fmt: skip
    arms = []
    for arm in ARMS:
        runs = []
        for one in found:
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
            runs.append(data)
        arms.append(datasets.along("seed", [f.seed for f in found], runs))
    whole = datasets.along("arm", ARMS, arms)
    whole["noise_seed"] = whole["noise_seed"].isel(arm=0)
    if panel:
        whole["judge_probability"] = whole["judge_probability"].transpose(
            "judge", "arm", "seed", "sample", "class"
        )
    return whole
