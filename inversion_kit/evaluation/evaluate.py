"""`evaluate`: whether the pictures of a class token are better than those of the plain prompt."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
import xarray as xr

from inversion_kit.analysis.clouds import LEAST, MEASURES
from inversion_kit.analysis.quality import Seen, cloud_tables, dataset, successes
from inversion_kit.analysis.reading import model_names, whole
from inversion_kit.analysis.words import REAL
from inversion_kit.arm_roles import name_arm
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.errors import InputError
from inversion_kit.evaluation.by_clip import agreement
from inversion_kit.evaluation.examples import about, examples
from inversion_kit.evaluation.real_sets import counts_of, pictures_of, real_of
from inversion_kit.evaluation.sentences import check_sentences, generator_of, sentence_tables
from inversion_kit.finding.reach import as_clip
from inversion_kit.finding.real import RealImages
from inversion_kit.generators.base import Generator
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.sample import from_bytes
from inversion_kit.search.checks import listed
from inversion_kit.storage.store import open as open_result

_BATCH = 64


def evaluate(
    result: xr.DataTree | str | PathLike[str],
    real: str | PathLike[str] | None = None,
    *,
    classifier: Any = None,
    judges: Sequence[Any] | None = None,
    clip: Any = None,
    against: str | None = None,
    sentences: Sequence[str] | None = None,
    generator: Any = None,
    seed: int = 0,
) -> xr.Dataset:
    """Measure the pictures of every arm: who reads them, how real and how varied they are.

    But for ``sentences`` everything is of the pictures that the result holds, on noise that no
    search has seen. Without ``real``, ``clip`` and ``sentences`` no model is loaded.

    Parameters
    ----------
    result
        Of `inversion_kit.audit` or `inversion_kit.invert`, or where it is stored.
    real
        Folder of real images with a folder a class, called by its label or index. Half of each
        label's are the reference; the other half is measured as the arms are, and is what can be
        reached. At least 14 a label; of labels with fewer there is no measure.
    classifier, judges
        Networks whose features are taken, where ``real`` is given, and that read the pictures of
        sentences; those of the result by default.
    clip
        A CLIP or SigLIP: hub id, folder, or ``(model, processor)``.
    against
        The arm that all others are compared with; that of the plain name by default.
    sentences
        Prompts with ``{token}``, such as `inversion_kit.evaluation.sentences.SENTENCES`: their
        pictures are made with every run's token, and with the name in its place.
    generator
        Anything `inversion_kit.as_generator` takes, to paint sentences; that of the result by
        default.
    seed
        Of the choice of real images and their halves, and of the noise of sentences.

    Returns
    -------
    xarray.Dataset
        - ``success`` ``(label, arm, scorer)``: share of the pictures that a scorer, the classifier
          or a judge, reads as the label, of ``images``; ``gain``: that less the same of the arm
          compared with (below: the plain name's), on the same noise, of ``pairs``.
        - ``value`` ``(label, set, network, measure)``: what
          `inversion_kit.analysis.clouds.Clouds.measures` gives of a set, an arm or ``"real"``, by
          the features of a network; ``change``: that less the plain name's. ``pictures``
          ``(label, set)``, as many in every set of a label, and ``reference`` ``(label,)``. Without
          ``real`` of the classifier's features in the result, and Vendi score alone.
        - ``agreement`` ``(label, arm)``: mean cosine of picture and plain prompt by the CLIP;
          ``agreement_change`` less the plain name's.
        - ``is_class`` ``(label, arm, reader, sentence)``: share of a sentence's pictures that a
          reader, the classifier or a judge, reads as the label; ``obeys``
          ``(label, arm, sentence)``: share that shows what the sentence asks for, where that can be
          measured, see `inversion_kit.evaluation.sentences.obeyed`. ``PICTURES`` of each run.

        Each has ``_low`` and ``_high``, 95 %, and ``overall_success``, ``overall_gain``,
        ``overall_value``, ``overall_change`` over all labels. NaN where there is nothing.
        ``picture``: see `inversion_kit.evaluation.examples.examples`. Attributes: ``control``, the
        arm compared with, and ``clip``. `inversion_kit.report` makes a page of it.

    Raises
    ------
    InputError
        The folder is not usable, no label has enough real images, a model has other classes, none
        has features, or a sentence or the generator cannot be used.
    SchemaError
        It is no result.
    StoreError
        There is none where it is said to be stored.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> table = evaluate(synthetic(labels=2))
    >>> table["overall_success"].sel(arm="token").values.round(1).tolist()
    [1.0, 1.0]
    """
    tree = whole(result if isinstance(result, xr.DataTree) else open_result(result))
    arms = [str(a) for a in tree["samples"]["arm"].values]
    if against is None:
        against = name_arm(arms)
    elif against not in arms:
        raise InputError(f"against={against!r}: not in this result; it has {arms}")
    seer = None if clip is None else as_clip(clip)
    said, asking = _asked(tree, sentences, generator)
    chosen = None if real is None else real_of(tree, real, seed)
    if chosen is None:
        seen = _stored(tree)
        networks = [str(tree.attrs["classifier"])] if seen else []
    else:
        asked = _networks(tree, classifier, judges)
        networks = [one.name for one in asked]
        seen = _with_real(tree, chosen, str(real), asked, seed)
    variables = successes(tree, against)
    if seer is not None:
        variables |= agreement(tree, seer, against)
    if seen:
        noises = tree["samples"].sizes["seed"] * tree["samples"].sizes["sample"]
        variables |= cloud_tables(seen, networks, arms, noises, against)
    more: dict[str, list[str]] = {}
    if asking is not None:
        readers = _models(tree, classifier, judges)
        variables |= sentence_tables(tree, said, asking, readers, seed)
        more = {"reader": [one.name for one in readers], "sentence": list(said)}
    measures = list(MEASURES)
    made = dataset(variables, tree, set=[*arms, REAL], network=networks, measure=measures, **more)
    made = made.merge(examples(tree, chosen))
    made.attrs = {
        **about(tree),
        "control": against or "",
        "clip": "" if seer is None else seer.name,
        "interval": 0.95,
        "seed": seed,
    }
    return made


def _asked(
    tree: xr.DataTree, sentences: Sequence[str] | None, generator: Any
) -> tuple[tuple[str, ...], Generator | None]:
    """Sentences and who paints them; None where there is none."""
    if sentences is not None:
        return check_sentences(sentences), generator_of(tree, generator)
    if generator is not None:
        raise InputError("generator: paints sentences alone; give sentences=[...] or leave it out")
    return (), None


def _models(tree: xr.DataTree, classifier: Any, judges: Sequence[Any] | None) -> list[Classifier]:
    """The classifier, then the judges."""
    names = model_names(tree)
    if classifier is None and "model" not in names:
        raise InputError(
            "classifier: this result was made of objects, not of models' names; give it, as "
            "evaluate(result, classifier=..., judges=[...])"
        )
    first = as_classifier(names["model"] if classifier is None else classifier)
    classes = [str(name) for name in tree["samples"]["class"].values]
    if list(first.labels) != classes:
        raise InputError(
            f"classifier: {first.name!r} has other labels than the result, which is of "
            f"{tree.attrs['classifier']!r}"
        )
    others = names.get("judges", []) if judges is None else listed(judges)
    return [first, *(as_classifier(one) for one in others)]


def _networks(tree: xr.DataTree, classifier: Any, judges: Sequence[Any] | None) -> list[Classifier]:
    """The classifier and the judges that have features."""
    known = _models(tree, classifier, judges)
    usable = {one.name: one for one in known if one.has_features}
    if not usable:
        raise InputError(
            f"judges: none of {[one.name for one in known]} has features; give a network that has, "
            "as judges=[...]"
        )
    return list(usable.values())


def _stored(tree: xr.DataTree) -> list[dict[str, Seen]]:
    """The classifier's features in the result; none where it holds none."""
    samples = tree["samples"].to_dataset(inherit=False)
    if not samples.sizes.get("feature"):
        return []
    return [
        {str(tree.attrs["classifier"]): _seen(tree, samples["feature"].isel(label=i).values)}
        for i in range(samples.sizes["label"])
    ]


def _seen(
    tree: xr.DataTree,
    values: np.ndarray,
    real: np.ndarray | None = None,
    reference: np.ndarray | None = None,
) -> Seen:
    """Features ``(arm, seed, sample, feature)`` as sets: the runs take turns, gaps left out."""
    arms = [str(a) for a in tree["samples"]["arm"].values]
    runs, noises = values.shape[1:3]
    flat = values.swapaxes(1, 2).reshape(len(arms), runs * noises, -1)
    there = np.isfinite(flat).all(-1)
    run = np.tile(np.arange(runs), noises)
    parts = {arm: flat[a][there[a]] for a, arm in enumerate(arms)}
    places = {arm: np.flatnonzero(there[a]) for a, arm in enumerate(arms)}
    of_run = {arm: run[places[arm]] for arm in arms}
    if real is not None:
        parts[REAL], places[REAL] = real, np.arange(len(real))
        of_run[REAL] = np.zeros(len(real), int)
    empty = np.zeros((0, flat.shape[-1]))
    return Seen(parts, places, of_run, empty if reference is None else reference)


def _with_real(
    tree: xr.DataTree, chosen: RealImages, real: str, networks: Sequence[Classifier], seed: int
) -> list[dict[str, Seen]]:
    """Features of the pictures of every label and of real ones, in two halves."""
    samples = tree["samples"].to_dataset(inherit=False)
    size = samples.sizes["y"], samples.sizes["x"]
    index = [int(i) for i in samples["label_index"].values]
    counts = counts_of(chosen, index)
    if max(counts) < 2 * LEAST:
        raise InputError(
            f"real={real!r}: {max(counts)} images of a label of the result at most; expected "
            f"{2 * LEAST} or more of one label at least"
        )
    seen = []
    for i, label in enumerate(index):
        taken = pictures_of(chosen, label, size)
        order = np.random.default_rng([seed, label]).permutation(len(taken))
        images = samples["image"].isel(label=i).values
        there = np.isfinite(samples["probability"].isel(label=i).values).all(-1)
        enough = len(taken) >= 2 * LEAST
        by = {}
        for network in networks:
            if enough:
                features = features_of(network, images.reshape(-1, *images.shape[3:]))
                features = np.where(there.reshape(-1, 1), features, np.nan).reshape(
                    *images.shape[:3], -1
                )
                photos = features_of(network, taken[order])
            else:
                features, photos = np.full((*images.shape[:3], 1), np.nan), np.zeros((0, 1))
            half = len(photos) // 2
            by[network.name] = _seen(tree, features, photos[half:], photos[:half])
        seen.append(by)
    return seen


@torch.no_grad()
def features_of(network: Classifier, images: np.ndarray) -> np.ndarray:
    """A network's features of pictures uint8 ``(n, y, x, 3)``, float64 ``(n, feature)``."""

    def work(part: slice) -> torch.Tensor:
        features = network.features(from_bytes(images[part]))
        assert features is not None
        return features.flatten(1).double().cpu()

    return torch.cat(
        MicroBatch(_BATCH, of=network, doing="features").parts(len(images), work)
    ).numpy()
