"""`coverage`: which measurable traits of the real pictures of a label its token shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.measure import LEAST_SIDE, PROPERTIES, measure
from inversion_kit.analysis.properties import PICTURES
from inversion_kit.analysis.reading import whole
from inversion_kit.analysis.traits import trait_table
from inversion_kit.arm_roles import name_arm
from inversion_kit.bank.cues import Cue
from inversion_kit.errors import InputError
from inversion_kit.evaluation.by_clip import cue_scores, cues_for, names_of
from inversion_kit.evaluation.examples import about, examples
from inversion_kit.evaluation.real_sets import counts_of, pictures_of, real_of
from inversion_kit.finding.reach import as_clip
from inversion_kit.storage.store import open as open_result


def coverage(
    result: xr.DataTree | str | PathLike[str],
    real: str | PathLike[str],
    *,
    clip: Any = None,
    cues: str | Sequence[str | Cue] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Count in generated and in real pictures which traits they show, see `analysis.traits`.

    It is the count by hand of Schwartz et al. (2023), by measurement: what do pictures of a class's
    token show that those of the plain prompt do not, and is it so in the real pictures? Without
    ``clip`` no model is loaded. Generated pictures are on noise that no search has seen.

    Parameters
    ----------
    result
        Of `inversion_kit.audit`, of two labels or more, with the arm ``"name"``; or where
        it is stored.
    real
        Folder of real images with a folder a class, called by its label or index. They are looked
        at in the size of the generated ones, at most 200 a label.
    clip
        A CLIP or SigLIP, as of `inversion_kit.evaluate`: each cue in words is a trait too.
    cues
        Words, prompts with ``{source}`` or the name of a list, as of `inversion_kit.findings`; by
        default the list that fits the words of the CLIP.
    seed
        Of choices where there are too many.

    Returns
    -------
    xarray.Dataset
        ``(label, set, trait)``, a set being an arm or ``"real"``:

        - ``share``, ``low``, ``high``: of its ``images`` ``(label, set)`` that show the trait, with
          Wilson's 95 % interval; ``elsewhere``: of the same set's pictures of other labels;
          ``chance`` of so large a difference, corrected over traits and labels.
        - ``shows``: whether the set shows it, see `inversion_kit.analysis.traits`.
        - ``change``, ``change_low``, ``change_high``: of arms, ``share`` less that of the plain
          name on the same noise; ``change_chance``, corrected as well.
        - ``reveals``: the arm shows it, the plain name does not, and the change is more than chance
          and `inversion_kit.analysis.traits.GAP`.

        ``covered``, ``covered_low``, ``covered_high`` ``(set)``: of all traits that real pictures
        of a label show, the share that the set shows too; ``covered_traits``, how many of the
        attribute ``real_traits``; ``revealed_real``, how many of those it reveals. ``picture``, as
        of `inversion_kit.evaluation.examples.examples`. `inversion_kit.report` makes a page of it.

    Raises
    ------
    InputError
        There are cues and no ``clip``, or it cannot be used. There is one label alone or no arm of
        the plain name, pictures are too small, the folder is not usable, or it has images of fewer
        than two labels of the result.
    SchemaError
        It is no result.
    StoreError
        There is none where it is said to be stored.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from inversion_kit.testing import synthetic
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, colour in (("sky", (86, 180, 233)), ("green", (0, 158, 115))):
    ...     (folder / name).mkdir()
    ...     Image.new("RGB", (8, 8), colour).save(folder / name / "1.png")
    >>> table = coverage(synthetic(labels=2), folder)
    >>> table["share"].sel(label="sky", set="real", trait="high blue share").item()
    1.0
    """
    tree = whole(result if isinstance(result, xr.DataTree) else open_result(result))
    samples = tree["samples"].to_dataset(inherit=False)
    arms = [str(a) for a in samples["arm"].values]
    named, labels = name_arm(arms), [str(n) for n in samples["label"].values]
    if named is None or len(labels) < 2:
        raise InputError(
            f"result: {len(labels)} label and the arms {arms}; expected two labels or more and the "
            "arm 'name', as inversion_kit.audit(model, labels=[...], arms=['name', 'token'])"
        )
    size = samples.sizes["y"], samples.sizes["x"]
    if min(size) < LEAST_SIDE:
        raise InputError(
            f"result: pictures of {size[0]} by {size[1]} pixels; expected {LEAST_SIDE} or more"
        )
    if clip is None and cues is not None:
        raise InputError(
            "cues: a CLIP says which pictures show them; give clip=, or leave cues out"
        )
    seer = None if clip is None else as_clip(clip)
    asked = () if seer is None else cues_for(seer, cues)
    score = None if seer is None else cue_scores(seer, asked, names_of(tree))
    chosen = real_of(tree, real, seed)
    index = [int(i) for i in samples["label_index"].values]
    some = [n > 0 for n in counts_of(chosen, index)]
    if sum(some) < 2:
        raise InputError(
            f"real={str(real)!r}: it has images of {sum(some)} of the {len(labels)} labels of the "
            "result; expected two or more"
        )
    measured = _Measured(score, len(asked))
    of_real = [measured(k, pictures_of(chosen, i, size)) for k, i in enumerate(index)]
    generated, names = _generated(samples, measured), [cue.name for cue in asked]
    at = arms.index(named)
    made = trait_table(generated, of_real, arms, at, labels, seed, names)
    said = {"clip": "" if seer is None else seer.name, **about(tree)}
    return made.merge(examples(tree, chosen)).assign_attrs(made.attrs | said)


@dataclass(frozen=True)
class _Measured:
    """What is measured of pictures: their properties, and after them the scores of cues."""

    score: Callable[[int, np.ndarray], np.ndarray] | None
    cues: int

    def __call__(self, label: int, images: np.ndarray) -> np.ndarray:
        """Of pictures ``(n, y, x, 3)`` of the label at a place, ``(n, property)``."""
        if not len(images):
            return np.zeros((0, len(PROPERTIES) + self.cues), "f4")
        values: np.ndarray = measure(images)["value"].values
        if self.score is None:
            return values
        return np.concatenate([values, self.score(label, images)], 1)


def _generated(samples: xr.Dataset, measured: _Measured) -> np.ndarray:
    """Properties and scores of the first pictures, ``(label, arm, seed, sample, property)``."""
    sizes = samples.sizes
    units = sizes["label"] * sizes["arm"] * sizes["seed"]
    each = min(sizes["sample"], max(1, PICTURES // units))
    made = []
    for i in range(sizes["label"]):
        part = samples[["image", "probability"]].isel(label=i, sample=slice(each)).load()
        images = part["image"].values
        values = measured(i, images.reshape(-1, *images.shape[3:]))
        values = values.reshape(*images.shape[:3], -1)
        there = np.isfinite(part["probability"].values).all(-1)
        made.append(np.where(there[..., None], values, np.nan))
    return np.array(made)
