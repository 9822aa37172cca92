"""What `save` takes opens equal, as zarr and as netCDF; what would not is refused by its name."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import inversion_kit
from inversion_kit.errors import InputError
from inversion_kit.testing import synthetic

GOOD = {
    "nan": float("nan"),
    "endless": [float("inf"), -float("inf"), [1, "x", None]],
    "none": None,
    "yes": True,
    "nested": {"a": {"b": []}, "": 1, "c/d": [None]},
    "large": 2**70,
    "empty": "",
    "NUL": "a\0b",
    "surrogate": "\ud800",
    "single": np.float32(0.5),
    "whole": np.int8(3),
    "truth": np.bool_(True),
    "text": np.str_("x"),
    # names that the files, or xarray on reading them, use themselves
    "files": "mine",
    "files_sha256": 1,
    "json_attributes": 5,
    "CLASS": "z",
    "_FillValue": 3,
    "units": "days since 2000-01-01",
    "coordinates": "x",
    "dtype": "bool",
    "scale_factor": 2.0,
    "": 1,
    "ä/ö": 2,
}
"""Attributes that come back."""
BAD = {
    "tuple": ((1, 2), r"list\(...\)"),
    "tuple in it": ({"a": [(1,)]}, r"list\(...\)"),
    "set": ({1}, r"sorted\(...\)"),
    "bytes": (b"x", "text, .decode"),
    "path": (Path("a"), r"such as str\(...\)"),
    "datetime": (datetime.datetime(2026, 1, 1), ".isoformat"),
    "date of NumPy": (np.datetime64("2026-01-01"), r"such as str\(...\)"),
    "array": (np.arange(3), ".tolist"),
    "keys": ({1: 2}, "text as keys"),
    "object": (object(), r"such as str\(...\)"),
    "complex": (1j, r"such as str\(...\)"),
    "digits": (10**5000, "a value of the kind int"),
    "long": (np.longdouble(1) / 3, r"such as str\(...\)"),
}
"""Attributes that do not, and what to give."""


def made(**variables):
    """A small result; variables along sample are added to /samples."""
    tree = synthetic(size=2, samples=2, steps=2)
    if variables:
        held = {name: ("sample", values) for name, values in variables.items()}
        tree["samples"] = xr.DataTree(tree["samples"].to_dataset().assign(held))
    return tree


def assert_opens_equal(tree, folder):
    """As zarr and, from there, as netCDF."""
    path = inversion_kit.save(tree, folder / "run.zarr")
    file = inversion_kit.to_netcdf(path, folder / "run.nc")
    for stored in (path, file):
        xr.testing.assert_identical(inversion_kit.open(stored).load(), tree)
    return path


def assert_refused(tree, folder, says):
    with pytest.raises(InputError, match=says):
        inversion_kit.save(tree, folder / "run.zarr")
    assert not os.listdir(folder)


@pytest.mark.parametrize("where", ["/", "/samples", "/samples/image", "/samples/class", "/mine"])
def test_attributes_open_equal_wherever_they_are(where, tmp_path):
    tree = made()
    tree["mine"] = xr.DataTree(xr.Dataset({"x": ("n", np.arange(3))}))
    (tree if where == "/" else tree[where]).attrs.update(GOOD)
    assert_opens_equal(tree, tmp_path)


def test_what_is_plain_stands_in_the_file_for_other_tools(tmp_path):
    tree = made()
    tree.attrs |= {"accuracy": 0.5, "lost": float("nan")}
    path = assert_opens_equal(tree, tmp_path)
    for file, engine in ((path, "zarr"), (tmp_path / "run.nc", "h5netcdf")):
        more = {"consolidated": False} if engine == "zarr" else {}
        with xr.open_datatree(file, engine=engine, **more) as other:
            assert other.attrs["accuracy"] == 0.5
            assert other.attrs["json_attributes"] == '{"lost": NaN}'


@pytest.mark.parametrize("kind", BAD)
def test_an_attribute_that_would_not_come_back_is_refused_by_its_name(kind, tmp_path):
    value, advice = BAD[kind]
    tree = made()
    for where, one in (("/", tree), ("/samples", tree["samples"]), ("/samples/image", None)):
        target = tree["samples"]["image"] if one is None else one
        target.attrs["mine"] = value
        assert_refused(tree, tmp_path, f"attribute 'mine' of {where}: .*{advice}")
        del target.attrs["mine"]
    tree.attrs[3] = "x"
    assert_refused(tree, tmp_path, "attribute 3 of /: its name must be text")


def test_a_list_that_holds_itself_is_refused(tmp_path):
    tree = made()
    tree.attrs["mine"] = endless = []
    endless.append(endless)
    assert_refused(tree, tmp_path, "attribute 'mine'")


def test_an_attribute_that_is_no_attribute_leaves_the_result_as_it_was():
    tree = made()
    tree["samples"]["image"].attrs["mine"] = [1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inversion_kit.storage.store.write_new", lambda target, fill, **_: target)
        inversion_kit.save(tree, "nowhere.zarr")
    assert dict(tree["samples"]["image"].attrs) == {"mine": [1]}


VALUES = {
    "half": np.arange(2, dtype="f2"),
    "float": np.array([np.nan, np.inf]),
    "small": np.array([-128, 127], "i1"),
    "large": np.array([0, 2**64 - 1], "u8"),
    "truth": np.array([True, False]),
    "time": np.array(["2020-01-01", "NaT"], "M8[ns]"),
    "span": np.array([1, 2**40], "m8[ns]"),
    "text": np.array(["a", "b\0c"]),
    "objects": np.array(["a", ""], object),
}


def test_variables_and_coordinates_of_ones_own_open_equal(tmp_path):
    tree = made(**VALUES)
    coords = {f"{name}_coord": ("sample", values) for name, values in VALUES.items()}
    tree["samples"] = xr.DataTree(tree["samples"].to_dataset().assign_coords(coords))
    tree["samples"]["float"].encoding = {"dtype": "i1", "_FillValue": 0, "chunks": (7,)}
    tree["samples"]["image"].encoding = {"dtype": "f4", "scale_factor": 3.0}
    assert_opens_equal(tree, tmp_path)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([1j, 2]), "complex128 is not stored"),
        (np.zeros(2, "i4,f4"), "is not stored"),
        (np.array([b"a", b"b"]), "S1 is not stored"),
        (np.array(["a", 3], object), r"mine\[1\]: 3 of the kind int among text"),
        (np.array(["a", np.nan], object), r"mine\[1\]: nan of the kind float among text"),
        (np.array([datetime.date(2026, 1, 1)] * 2, object), "of the kind date among text"),
    ],
)
def test_a_variable_that_would_not_come_back_is_refused_by_its_name(values, says, tmp_path):
    assert_refused(made(mine=values), tmp_path, f"/samples/mine.*{says}|{says}")


def test_text_of_a_result_is_text(tmp_path):
    tree = made()
    tree["samples"]["prompt"][0, 0, 0, 1] = None
    assert_refused(tree, tmp_path, r"/samples/prompt\[0, 0, 0, 1\]: .* among text")


def test_what_would_be_lost_is_refused(tmp_path):
    tree = made()
    tree["samples/deeper"] = xr.DataTree(xr.Dataset({"x": 1}))
    assert_refused(tree, tmp_path, "/samples/deeper: groups in a group")
    tree = made()
    tree["x"] = xr.DataArray(1)
    assert_refused(tree, tmp_path, "/x: a variable beside the groups")
    stacked = xr.Dataset({"x": (("a", "b"), np.ones((2, 2)))}).stack(c=["a", "b"])
    tree = made()
    tree["mine"] = xr.DataTree(stacked)
    assert_refused(tree, tmp_path, "/mine/c: a MultiIndex")
    for name in (3, "__x", ""):
        tree = made()
        tree["mine"] = xr.DataTree(xr.Dataset({name: 1}))
        assert_refused(tree, tmp_path, "are named by text without")
