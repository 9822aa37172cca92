"""A tiny audit, and when two of them are the same."""

from __future__ import annotations

import xarray as xr

SMALL = {
    "steps": 3, "batch": 2, "check_every": 1, "patience": 1, "restarts": 1, "validation": 2,
    "samples": 3, "stop_at": 1.0, "progress": False,
}  # fmt: skip
"""Settings of `inversion_kit.audit`: two starts, several checks, milliseconds an update."""


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
