"""One unit as a folder: exact, whole or not at all, and a damaged file is named."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit, check_groups
from inversion_kit.testing import synthetic_plan, synthetic_unit
from tests.audits import NAMES, assert_same_groups

FILES = ("arrays.safetensors", "variables.json", "unit.json", "manifest.json")


def write(parent, arm="token", **options):
    groups, attributes = synthetic_unit(1, arm, **options)
    assert unit_files.write(parent, "unit", groups, attributes)
    return groups, attributes


@pytest.mark.parametrize(
    ("arm", "options"),
    [("name", {}), ("token", {}), ("snow", {"method": "cma"}), ("token", {"steps": 0})],
)
def test_a_unit_comes_back_bit_by_bit(tmp_path, arm, options):
    groups, attributes = write(tmp_path, arm, **options)
    back, back_attributes = unit_files.read(tmp_path / "unit")
    assert_same_groups(back, groups)
    assert back_attributes == attributes
    assert sorted(os.listdir(tmp_path / "unit")) == sorted(FILES)
    assert os.listdir(tmp_path) == ["unit"]


@pytest.mark.parametrize("dtype", [object, str, np.dtypes.StringDType()])
def test_hostile_text_comes_back_exactly(tmp_path, dtype):
    names = [name for name in NAMES if dtype is not str or not name.endswith("\0")]
    groups, attributes = synthetic_unit(1, classes=names)
    groups["trajectory"]["start"] = ("step", np.array(names[:6], dtype=dtype))
    attributes["note"] = names
    unit_files.write(tmp_path, "unit", groups, attributes)
    back, back_attributes = unit_files.read(tmp_path / "unit")
    assert back["samples"]["class"].values.tolist() == names
    assert back["trajectory"]["start"].values.tolist() == names[:6]
    assert back_attributes == attributes


def test_odd_floats_views_and_other_byte_orders_are_stored_as_what_they_hold(tmp_path):
    groups, attributes = synthetic_unit(1)
    odd = np.array([0x7FC00001, 0xFFC12345, 0x80000000, 0x7F800000, 1, 0], "<u4").view("<f4")
    groups["trajectory"]["loss"] = ("step", odd)
    image = groups["samples"]["image"]
    groups["samples"]["image"] = (image.dims, image.values[..., ::-1])
    noise = groups["samples"]["noise_seed"]
    groups["samples"]["noise_seed"] = (noise.dims, noise.values.astype(">i8"))
    unit_files.write(tmp_path, "unit", groups, attributes)
    back, _ = unit_files.read(tmp_path / "unit")
    assert back["trajectory"]["loss"].values.tobytes() == odd.tobytes()
    np.testing.assert_array_equal(back["samples"]["image"], groups["samples"]["image"])
    np.testing.assert_array_equal(back["samples"]["noise_seed"], noise)


def test_the_first_of_two_stays(tmp_path):
    groups, attributes = write(tmp_path)
    assert not unit_files.write(tmp_path, "unit", synthetic_unit(1, seed=5)[0], {"other": 1})
    back, back_attributes = unit_files.read(tmp_path / "unit")
    assert_same_groups(back, groups)
    assert back_attributes == attributes
    assert os.listdir(tmp_path) == ["unit"]


def test_the_first_of_two_stays_where_both_had_begun(tmp_path, monkeypatch):
    groups, attributes = synthetic_unit(1)
    real = os.rename

    def late(source, target):
        monkeypatch.setattr(os, "rename", real)
        assert durable.write_folder(tmp_path, "unit", {"first": b""})
        real(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert not unit_files.write(tmp_path, "unit", groups, attributes)
    assert sorted(os.listdir(tmp_path / "unit")) == ["first", "manifest.json"]
    assert os.listdir(tmp_path) == ["unit"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", ["truncated", "empty", "flipped", "longer", "missing", "a pipe"])
def test_a_damaged_file_is_named(tmp_path, file, harm):
    write(tmp_path)
    path = tmp_path / "unit" / file
    data = bytearray(path.read_bytes())
    path.unlink()
    if harm == "truncated":
        path.write_bytes(data[:-1])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "longer":
        path.write_bytes(data + b"\n ")
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "a pipe":
        os.mkfifo(path)
    if (file, harm) == ("manifest.json", "longer"):  # white space after JSON says nothing
        return
    with pytest.raises(StoreError, match=file):
        unit_files.read(tmp_path / "unit")


@pytest.mark.parametrize("file", FILES)
def test_every_flipped_bit_is_found(tmp_path, file):
    groups, _ = write(tmp_path)
    path = tmp_path / "unit" / file
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(data), 60, replace=False):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        with pytest.raises(StoreError, match=file):
            unit_files.read(tmp_path / "unit")
    path.write_bytes(data)
    assert_same_groups(unit_files.read(tmp_path / "unit")[0], groups)


def test_a_link_in_a_files_place_is_not_followed(tmp_path):
    write(tmp_path)
    path = tmp_path / "unit" / "unit.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"unit\.json"):
        unit_files.read(tmp_path / "unit")


def test_a_pipe_in_a_files_place_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(StoreError, match="no regular file"):
        durable.read_file(tmp_path / "a.json")


def odd_text(groups):
    groups["samples"]["prompt"] = ("sample", np.array(["a", 1, "b", "c"], dtype=object))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda g: g["samples"].update({"prompt": ("sample", np.arange(4.0))}), "prompt"),
        (odd_text, "prompt: not all of it is text"),
        (lambda g: g["token"].update({"more": ("rank", np.arange(5))}), "more: not in a unit"),
        (lambda g: g["trajectory"].update({"loss": ("step", np.zeros(6))}), "loss"),
        (lambda g: g["trajectory"].update({"loss": ("step", np.zeros(6, "f2"))}), "float16"),
        (lambda g: g.update(token=g["token"].drop_vars("embedding")), "embedding"),
        (lambda g: g.update(token=g["token"].drop_vars("check")), "check"),
        (lambda g: g.update(samples=g["samples"].assign_coords(sample=[1, 2, 3, 4])), "sample"),
        (
            lambda g: g["validation"]["noise_seed"].values.__setitem__(
                0, g["samples"]["noise_seed"].values[0]
            ),
            "overlap",
        ),
        (lambda g: g.pop("probe"), "probe"),
        (lambda g: g.update(more=g["token"]), "more"),
        (lambda g: g.update(samples=g["samples"].isel({"class": slice(3)})), "3 along class"),
        (lambda g: g.update(samples=g["samples"].assign_coords(judge=["blur", "judge"])), "judge"),
        (lambda g: g.update(samples=g["samples"].assign_coords({"class": list("abcde")})), "class"),
    ],
)
def test_what_is_no_unit_of_a_plan_is_refused(change, named):
    groups, _ = synthetic_unit(1)
    check_groups(groups, synthetic_plan(), "it")
    change(groups)
    with pytest.raises(SchemaError, match=named):
        check_groups(groups, synthetic_plan(), "it")


@pytest.mark.parametrize("left", [("samples",), ("trajectory", "validation", "token", "probe")])
def test_images_alone_and_a_search_without_them_are_units(tmp_path, left):
    groups, attributes = synthetic_unit(1, method="cma")
    check_groups(groups, synthetic_plan(), "it")
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    unit, part = Unit(1, "token", 0), {name: groups[name] for name in left}
    assert store.commit(unit, part, attributes)
    assert_same_groups(store.load(unit)[0], part)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, (1, 2), object(), np.float32(1)])
def test_attributes_that_json_does_not_have_are_refused(tmp_path, value):
    groups, _ = synthetic_unit(1)
    with pytest.raises(InputError, match="attributes"):
        unit_files.write(tmp_path, "unit", groups, {"value": value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("operation", ["open", "write", "fsync", "mkdir", "rename"])
@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.EIO, "check the disk"), (errno.ENOSPC, "free some space"), (errno.EROFS, "writable")],
)
def test_an_error_of_the_system_says_what_to_do_and_leaves_nothing(
    tmp_path, monkeypatch, operation, number, word
):
    groups, attributes = synthetic_unit(1)
    real = getattr(os, operation)
    calls = 0

    def fails(*args, **keywords):
        nonlocal calls
        calls += 1
        if calls == 3 or operation in ("mkdir", "rename"):
            raise OSError(number, os.strerror(number))
        return real(*args, **keywords)

    monkeypatch.setattr(os, operation, fails)
    with pytest.raises(StoreError, match=word) as caught:
        unit_files.write(tmp_path, "unit", groups, attributes)
    assert str(tmp_path / "unit") in str(caught.value)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []
    assert unit_files.write(tmp_path, "unit", groups, attributes)
    assert_same_groups(unit_files.read(tmp_path / "unit")[0], groups)


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:100]))
    groups, _ = write(tmp_path)
    assert_same_groups(unit_files.read(tmp_path / "unit")[0], groups)


def test_a_table_that_does_not_fit_the_arrays_is_an_error(tmp_path):
    groups, attributes = synthetic_unit(1)
    unit_files.write(tmp_path, "unit", groups, attributes)
    folder = tmp_path / "unit"
    files = {name: (folder / name).read_bytes() for name in FILES[:3]}
    table = json.loads(files["variables.json"])
    table["trajectory"]["loss"]["shape"] = [2**30]
    durable.write_folder(tmp_path, "lies", files | {"variables.json": durable.dump(table)})
    with pytest.raises(StoreError, match=r"arrays\.safetensors.*loss"):
        unit_files.read(tmp_path / "lies")


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "[1, -2e400]",
        "{",
        "",
        "\\",
        "[" * 100_000,
        '"\\ud800" x',
    ],
)
def test_json_that_is_none_is_a_typed_error(tmp_path, text):
    with pytest.raises(StoreError, match=r"a\.json"):
        durable.parse(text.encode(), tmp_path / "a.json")
    with pytest.raises(StoreError, match=r"a\.json"):
        durable.parse(b"\xff" + text.encode(), tmp_path / "a.json")


def test_text_that_utf8_cannot_hold_is_neither_written_nor_read(tmp_path):
    groups, attributes = synthetic_unit(1)
    groups["samples"]["prompt"][0] = "half a \ud800 pair"
    with pytest.raises(InputError, match="lone surrogate"):
        unit_files.write(tmp_path, "unit", groups, attributes)
    assert os.listdir(tmp_path) == []
    write(tmp_path)
    files = {name: (tmp_path / "unit" / name).read_bytes() for name in FILES[:3]}
    forged = files["unit.json"].replace(b'"neutral"', b'"\\ud800"')
    durable.write_folder(tmp_path, "lies", files | {"unit.json": forged})
    with pytest.raises(StoreError, match=r"unit\.json"):
        unit_files.read(tmp_path / "lies")
