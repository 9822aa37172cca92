"""Which real images carry a finding's cue, with the share of each label, and the words for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.tied import in_order, place_of
from inversion_kit.analysis.words import and_list, percent, rate
from inversion_kit.errors import InputError
from inversion_kit.plain import as_data
from inversion_kit.schema import LOOKS, ON_REAL
from inversion_kit.wilson import wilson

MANY = 0.2
"""Share of all real images that pass from which it is said that they differ from generated ones."""
_LABELS = 5
"""Labels that JSON names; sentences name three."""
_TRUST = ("auc", "false", "passed", "recall")


def carriers(tree: xr.DataTree, finding: int | None = None) -> xr.Dataset:
    """Which real images carry the cue of one finding: the share of each label, and the first.

    A detector, fitted on the generator's pictures with the cue and without it, says so; its
    threshold is passed by 2 % of plain pictures that it was not fitted on.

    Parameters
    ----------
    tree
        A result of `inversion_kit.findings` with ``real=``.
    finding
        Its place in the result, as coordinate ``finding`` has it; where not given that of the
        confirmed with the largest effect, or else of the largest.

    Returns
    -------
    xr.Dataset
        Along ``label``, those with images, the largest share first: ``share``, ``low``, ``high``
        (Wilson, 95 %), ``images``, and ``others``, ``others_low``, ``others_high`` of all other
        labels together. Along ``example``, the highest score first: ``file``, ``of_label``,
        ``score``, and ``picture`` uint8 ``(example, y, x, channel)``. Attributes: ``why``, why
        images could not be ranked ("" where they could; else shares are NaN and there is no
        example); ``auc`` of the detector on sources and noises that it was not fitted on;
        ``false``, share of such plain pictures that pass; ``passed``, share of all real images;
        ``recall``, share of real images that pass with the cue done to their pixels; ``cue``,
        ``label``; ``labelled``, 0 where labels are what the classifier reads.

    Raises
    ------
    InputError
        The result has no such finding, or saw no real image.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> data = carriers(synthetic_findings(synthetic(), real=True))
    >>> data["label"].values[0], float(data["share"][0]), data.sizes["example"]
    ('sky', 0.5, 4)
    """
    if not {"carriers", "findings"} <= set(tree.children):
        raise InputError(
            "tree: it saw no real images; give a folder of them: "
            "inversion_kit.findings(..., real='folder')"
        )
    table = tree["findings"].to_dataset(inherit=False)
    at = place_of(in_order(tree, table["finding"].values), finding, "there is none")
    data = (
        tree["carriers"].to_dataset(inherit=False).drop_vars([*LOOKS, "property"], errors="ignore")
    )
    one, row = data.sel(finding=at), table.sel(finding=at)
    images, share = one["images"].values, one["share"].values.astype(float)
    hits = np.rint(np.nan_to_num(share) * images)
    others = [np.where(np.isfinite(share), v.sum() - v, np.nan) for v in (hits, images)]
    low, high = wilson(others[0], others[1])
    none = others[1] > 0
    rest = np.divide(others[0], others[1], out=np.full(len(images), np.nan), where=none)
    rests = {"others": rest, "others_low": low, "others_high": high}
    one = one.assign({name: ("class", values) for name, values in rests.items()})
    order = np.argsort(-np.nan_to_num(share), kind="stable")
    kept = np.array([bool(file) for file in one["file"].values], bool)
    one = one.isel({"class": order[images[order] > 0], "example": kept}).load()
    about = {"why": str(one["why"].item()), **{n: float(one[n]) for n in _TRUST}}
    about |= {"cue": str(row["cue"].item()), "label": str(row["of_label"].item())}
    about |= {n: int(tree["carriers"].attrs[n]) for n in ("labelled", "images", "files", "unread")}
    return one.drop_vars(["why", *_TRUST, "finding"]).rename({"class": "label"}).assign_attrs(about)


def real_data(tree: xr.DataTree, finding: int) -> dict[str, Any] | None:
    """What real images say of a finding, as data that JSON can hold; None where there were none."""
    if "carriers" not in tree.children:
        return None
    data = carriers(tree, finding)
    done = {}
    if "proof" in tree.children:
        proof = tree["proof"].to_dataset(inherit=False).sel(finding=finding)
        done = {n.removeprefix("real_"): proof[n].item() for n in ON_REAL if n in proof}
    ways = [_share(data, label) for label in data["label"].values[:_LABELS]]
    own = data.attrs["label"]
    here = own in data["label"].values
    rows = zip(*(data[n].values for n in ("file", "of_label", "score")), strict=True)
    return as_data(
        {
            **done,
            **{n: data.attrs[n] for n in ("why", *_TRUST)},
            "labelled": bool(data.attrs["labelled"]),
            "own": _share(data, own) if here else None,
            "others": _share(data, own, "others") if here else None,
            "labels": [] if data.attrs["why"] else ways,
            "examples": [
                {"file": str(f), "label": str(label), "score": float(s)} for f, label, s in rows
            ],
        }
    )


def _share(data: xr.Dataset, label: str, name: str = "share") -> dict[str, Any]:
    """The share of a label, or of all others, as data."""
    one, stem = data.sel(label=label), "" if name == "share" else f"{name}_"
    images = int(one["images"])
    if stem:
        images = int(data["images"].sum()) - images
    ends = {end: float(one[f"{stem}{end}"]) for end in ("low", "high")}
    named = {} if stem else {"label": str(label)}
    return {**named, "share": float(one[name]), **ends, "images": images}


def real_words(real: dict[str, Any] | None) -> str:
    """What `real_data` gave, as sentences; "" of None.

    Examples
    --------
    >>> real_words({"why": "too few sources"})
    'Real images could not be ranked by it: too few sources.'
    """
    if real is None:
        return ""
    if real["why"]:
        return f"Real images could not be ranked by it: {real['why']}."
    most = [f"{_rate(one)} of “{one['label']}”" for one in real["labels"][:3] if one["share"]]
    said = [f"{percent(real['passed'])} of all real images look as if they carried it"]
    if real["own"] and real["others"]:
        own = f"{_rate(real['own'])} of “{real['own']['label']}”"
        said.append(f"{own}, {_rate(real['others'])} of the others")
    if most:
        said.append(f"most often {and_list(most)}")
    read = "" if real["labelled"] else " Labels are what the classifier reads."
    seen = f"AUC {real['auc']:.2f} on the generator's pictures, of whose plain ones "
    seen += f"{percent(real['false'])} pass"
    if real["recall"] is not None:
        seen += f"; of real images with it done to their pixels {percent(real['recall'])} pass"
    far = ""
    if real["passed"] >= MANY:
        far = (
            " Many pass whatever they show: real images may differ from the generator's, so compare"
            " labels with each other."
        )
    return f"{'; '.join(said)}.{read} The detector that says so: {seen}.{far}"


def _rate(one: dict[str, Any]) -> str:
    return rate(one["share"], one["low"], one["high"])
