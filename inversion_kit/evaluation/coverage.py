"""`coverage`: which measurable traits of the real pictures of a label its token shows."""

from __future__ import annotations

from os import PathLike

import numpy as np
import xarray as xr

from inversion_kit.analysis.measure import LEAST_SIDE, PROPERTIES, measure
from inversion_kit.analysis.properties import PICTURES
from inversion_kit.analysis.reading import whole
from inversion_kit.analysis.traits import trait_table
from inversion_kit.arms import name_arm
from inversion_kit.errors import InputError
from inversion_kit.evaluation.examples import about, examples
from inversion_kit.evaluation.real_sets import counts_of, pictures_of, real_of
from inversion_kit.storage.store import open as open_result


def coverage(
    result: xr.DataTree | str | PathLike[str], real: str | PathLike[str], *, seed: int = 0
) -> xr.Dataset:
    """Count in generated and in real pictures which traits they show, see `analysis.traits`.

    It is the count by hand of Schwartz et al. (2023), by measurement: what do pictures of a class's
    token show that those of the plain prompt do not, and is it so in the real pictures? No model is
    loaded. Generated pictures are on noise that no search has seen.

    Parameters
    ----------
    result
        Of `inversion_kit.audit`, of two labels or more, with the arm ``"name"``; or where
        it is stored.
    real
        Folder of real images with a folder a class, called by its label or index. They are looked
        at in the size of the generated ones, at most 200 a label.
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
        There is one label alone or no arm of the plain name, pictures are too small, the folder is
        not usable, or it has images of fewer than two labels of the result.
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
    chosen = real_of(tree, real, seed)
    index = [int(i) for i in samples["label_index"].values]
    some = [n > 0 for n in counts_of(chosen, index)]
    if sum(some) < 2:
        raise InputError(
            f"real={str(real)!r}: it has images of {sum(some)} of the {len(labels)} labels of the "
            "result; expected two or more"
        )
    of_real = [_measured(pictures_of(chosen, i, size)) for i in index]
    made = trait_table(_generated(samples), of_real, arms, arms.index(named), labels, seed)
    return made.merge(examples(tree, chosen)).assign_attrs(made.attrs | about(tree))


def _measured(images: np.ndarray) -> np.ndarray:
    """Properties of pictures ``(n, y, x, 3)``, ``(n, property)``."""
    if not len(images):
        return np.zeros((0, len(PROPERTIES)), "f4")
    values: np.ndarray = measure(images)["value"].values
    return values


def _generated(samples: xr.Dataset) -> np.ndarray:
    """Properties ``(label, arm, seed, sample, property)`` of the first pictures; NaN of none."""
    sizes = samples.sizes
    units = sizes["label"] * sizes["arm"] * sizes["seed"]
    each = min(sizes["sample"], max(1, PICTURES // units))
    made = []
    for i in range(sizes["label"]):
        part = samples[["image", "probability"]].isel(label=i, sample=slice(each)).load()
        images = part["image"].values
        values = _measured(images.reshape(-1, *images.shape[3:])).reshape(*images.shape[:3], -1)
        there = np.isfinite(part["probability"].values).all(-1)
        made.append(np.where(there[..., None], values, np.nan))
    return np.array(made)
