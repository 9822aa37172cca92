"""A tiny audit, names that do harm, groups of the whole, and when two results are the same."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit import schema

SMALL = {
    "steps": 3,
    "batch": 2,
    "check_every": 1,
    "patience": 1,
    "restarts": 1,
    "validation": 2,
    "samples": 3,
    "stop_at": 1.0,
    "progress": False,
}
"""Settings of `inversion_kit.audit`: two starts, several checks, milliseconds an update."""


NAMES = ["../../x", "/abs", "CON", "c" * 300, "nul\0", "nul", "\u202eleft", "\N{SNOWMAN}", "A", "a"]
"""Labels that no path should hold."""
_THREE = np.array(list("abc"), object)
WHOLE = {
    group: xr.Dataset(
        {
            name: (dims, np.resize(_THREE if kind == "str" else np.ones(3, kind), [3] * len(dims)))
            for name, (dims, kind) in table.items()
        },
        {dim: np.arange(3) for dims, _ in table.values() for dim in dims},
    )
    for group, table in schema.WHOLE.items()
}
"""A projection of three points, three findings, and so on."""
WHOLE["carriers"].attrs = {"labelled": 1, "images": 9, "files": 9, "unread": 0}
WHOLE["projection"].attrs = {"image_method": "pca", "token_method": "pca", "left_out": 0}


def assert_equal(back: xr.DataTree, wanted: xr.DataTree) -> None:
    """Attributes, values and dtypes of all that two results hold."""
    assert back.attrs == wanted.attrs
    assert set(back.groups) == set(wanted.groups)
    for group in wanted.groups[1:]:
        one, other = (tree[group].to_dataset(inherit=False) for tree in (back, wanted))
        assert set(one.variables) == set(other.variables), group
        for name, variable in other.variables.items():
            assert one.variables[name].dims == variable.dims
            assert one.variables[name].dtype == variable.dtype, (group, name)
            np.testing.assert_array_equal(one.variables[name].values, variable.values)


def assert_same_groups(back: dict[str, xr.Dataset], wanted: dict[str, xr.Dataset]) -> None:
    """Two units are equal bit for bit."""
    assert back.keys() == wanted.keys()
    for group, data in wanted.items():
        assert back[group].identical(data), group
        for name, variable in data.variables.items():
            if variable.dtype.kind in "OUT":
                assert back[group][name].values.tolist() == variable.values.tolist()
            else:
                assert back[group][name].dtype == variable.dtype
                assert back[group][name].values.tobytes() == variable.values.tobytes()


def assert_same(one: xr.DataTree, two: xr.DataTree, *, close: bool = False) -> None:
    """Equal in all but the time that it took; with ``close`` in all but rounding."""
    one, two = one.load(), two.load()
    assert one.groups == two.groups
    for name in one.groups:
        a, b = (tree[name].to_dataset(inherit=False) for tree in (one, two))
        if name == "/status":
            a, b = a.drop_vars("seconds"), b.drop_vars("seconds")
        if name == "/":
            a, b = (d.assign_attrs(created="", seconds=0.0) for d in (a, b))
        if close:
            xr.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        else:
            xr.testing.assert_identical(a, b)
