"""One label of a result, as a run has it, so that a figure need not know where it came from."""

from __future__ import annotations

import xarray as xr

from inversion_kit.errors import InputError, LabelError, nearest

RUN_DIMS = {
    "probability": ("arm", "seed", "sample", "class"),
    "judge_probability": ("judge", "arm", "seed", "sample", "class"),
}


def is_audit(tree: xr.DataTree) -> bool:
    """Whether a result holds many labels."""
    return bool(tree.attrs.get("kind") == "audit")


def one_label(tree: xr.DataTree, label: str | None = None, arm: str = "token") -> xr.DataTree:
    """A run as it is; of an audit, one label with its samples of all arms and one arm's search.

    Nothing is read but the coordinates.

    Parameters
    ----------
    label
        Of an audit: which. Of a run: nothing, or the run's own.
    arm
        The arm whose search is meant; a run has one search only.

    Raises
    ------
    LabelError
        The result holds no such label, or an audit was given without one.
    InputError
        The audit holds no such arm.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> one = one_label(synthetic_audit(), "green")
    >>> one.attrs["label_index"], one["validation"]["probability"].dims
    (2, ('seed', 'check', 'sample', 'class'))
    """
    if not is_audit(tree):
        own = str(tree.attrs["label"])
        if label not in (None, own):
            raise LabelError(f"label={label!r}: this is a run of {own!r}")
        return tree
    known = [str(n) for n in tree["samples"]["label"].values]
    if label is None:
        raise LabelError(f"label: an audit holds many; try label={nearest('', known, 1)}")
    if label not in known:
        raise LabelError(f"label={label!r}: not in this audit; try {nearest(label, known)}")
    arms = [str(a) for a in tree["samples"]["arm"].values]
    if arm not in arms:
        raise InputError(f"arm={arm!r}: not in this audit; try {nearest(arm, arms)}")
    at = known.index(label)
    groups = {}
    for name, node in tree.children.items():
        data = node.to_dataset(inherit=False)
        if "label" in data.dims:
            data = data.isel(label=at)
        if "arm" in data.dims and name not in ("samples", "status"):
            data = data.isel(arm=arms.index(arm))
        for variable, dims in RUN_DIMS.items():
            if name == "samples" and variable in data:
                data[variable] = data[variable].transpose(*dims)
        groups[f"/{name}"] = data
    found = xr.DataTree.from_dict(groups)
    index = int(tree["samples"]["label_index"].values[at])
    found.attrs = {**tree.attrs, "kind": "run", "label": label, "label_index": index}
    return found
