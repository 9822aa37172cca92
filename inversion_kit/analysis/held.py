"""Softmaxes that several views ask for, read from the disk once."""

from __future__ import annotations

import xarray as xr

from inversion_kit.analysis.reading import whole

MOST = 256 * 2**20
"""Bytes of softmaxes that are held in memory at once."""
_SOFTMAXES = {
    "samples": ("probability", "judge_probability", "trained_probability", "search_probability"),
    "validation": ("probability",),
}


def held(tree: xr.DataTree) -> xr.DataTree:
    """The result with its softmaxes in memory where they are at most `MOST` bytes.

    What is made of it then, numbers, gates and pages alike, reads none of them again. A larger
    result is given back as it is: `reads` goes through it a few labels at a time.

    Parameters
    ----------
    tree
        A result, opened lazily or held in memory.

    Returns
    -------
    xr.DataTree
        The same values; pictures stay where they are.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> held(synthetic())["samples"].sizes["label"]
    1
    """
    tree = whole(tree)
    large = {
        group: [name for name in names if name in tree[group].variables]
        for group, names in _SOFTMAXES.items()
    }
    size = sum(tree[group][name].nbytes for group, names in large.items() for name in names)
    if size > MOST:
        return tree
    groups = {f"/{name}": node.to_dataset(inherit=False) for name, node in tree.children.items()}
    for group, names in large.items():
        data = groups[f"/{group}"]
        groups[f"/{group}"] = data.assign({name: data[name].compute() for name in names})
    made = xr.DataTree.from_dict(groups)
    made.attrs = dict(tree.attrs)
    return made
