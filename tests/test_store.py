"""Results as zarr: exact, whole or not at all, and a missing or damaged file is named."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import inversion_kit
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.storage import zarr_write
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.sealed import seal, sealed
from inversion_kit.testing import OUTCOMES, synthetic, synthetic_plan, synthetic_unit
from tests.audits import NAMES, WHOLE, assert_equal


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": 3, "outcomes": OUTCOMES, "failed": [("sky", "name", 0)], "views": ["blur"]},
        {"judges": (), "stopped": [("sky", "token", 0), ("sky", "token", 1)]},
        {"method": "cma", "seeds": 1, "size": 64},
        {"arms": ["name"]},
        {"labels": 8, "names": NAMES},
    ],
)
def test_a_saved_result_opens_equal(tmp_path, options):
    tree = synthetic(**options)
    for name, data in WHOLE.items() if "labels" in options else ():
        tree[name] = xr.DataTree(data)
    path = inversion_kit.save(tree, tmp_path / "run.zarr")
    assert_equal(inversion_kit.open(path), tree)
    again = inversion_kit.save(inversion_kit.open(path), tmp_path / "again.zarr")
    assert_equal(inversion_kit.open(again), tree)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.zarr", "run.zarr"]


def test_a_part_of_a_stored_result_is_saved(tmp_path):
    tree = synthetic(labels=3)
    path = inversion_kit.save(tree, tmp_path / "all.zarr")
    part = inversion_kit.save(inversion_kit.open(path).sel(label="green"), tmp_path / "one.zarr")
    assert_equal(inversion_kit.open(part), tree.sel(label=["green"]))


def test_a_result_is_replaced_only_when_asked(tmp_path):
    path = inversion_kit.save(synthetic(seed=1), tmp_path / "run.zarr")
    with pytest.raises(InputError, match="overwrite=True"):
        inversion_kit.save(synthetic(seed=2), path)
    inversion_kit.save(synthetic(seed=2), path, overwrite=True)
    want = synthetic(seed=2)["samples"]["image"]
    np.testing.assert_array_equal(inversion_kit.open(path)["samples"]["image"], want)
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


def foreign(path, kind):
    """A folder of somebody else's; what it is called in the message."""
    if kind == "no zarr":
        path.mkdir()
        (path / "chapter.txt").write_text("years of work")
        return "not a stored result"
    if kind == "an audit":
        AuditStore.create(path, synthetic_plan())
        return "not a stored result"
    if kind == "another's zarr":
        zarr.create_group(path, attributes={"mine": 1}).create_array("a", shape=3, dtype="f4")
        return "another program wrote it"
    if kind == "a sealed zarr of something else":
        zarr.create_group(path, attributes={"mine": 1})
        seal(path)
        return "another program wrote it"
    inversion_kit.save(synthetic(size=2), path)
    name = {"a file beside": "samples/notes.txt", "a folder beside": "mine/thesis.tex"}[kind]
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("years of work")
    return f"holds '{name.partition('/')[0]}"


@pytest.mark.parametrize(
    "kind",
    [
        "no zarr",
        "an audit",
        "another's zarr",
        "a sealed zarr of something else",
        "a file beside",
        "a folder beside",
    ],
)
def test_what_is_no_result_alone_is_never_replaced(tmp_path, kind):
    path = tmp_path / "thesis"
    says = foreign(path, kind)
    before = {p: p.is_file() and p.read_bytes() for p in path.rglob("*")}
    with pytest.raises(InputError, match=f"not a stored result and is not replaced.*{says}|{says}"):
        inversion_kit.save(synthetic(size=2), path, overwrite=True)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(InputError, match="not a stored result"):
        inversion_kit.save(synthetic(size=2), tmp_path / "link", overwrite=True)
    assert {p: p.is_file() and p.read_bytes() for p in path.rglob("*")} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "thesis"]


def test_an_invalid_tree_is_not_written(tmp_path):
    tree = synthetic()
    del tree.attrs["classifier"]
    with pytest.raises(SchemaError, match="classifier"):
        inversion_kit.save(tree, tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


def test_a_result_of_another_version_says_what_to_do(tmp_path):
    path = inversion_kit.save(synthetic(), tmp_path / "run.zarr")
    root = path / "zarr.json"
    root.write_text(root.read_text().replace('"schema_version": 4', '"schema_version": 2'))
    seal(path)
    with pytest.raises(SchemaError, match=r"schema_version 2: this version reads 4; make the"):
        inversion_kit.open(path)


def test_no_result_there_is_said(tmp_path):
    with pytest.raises(StoreError, match="no stored result"):
        inversion_kit.open(tmp_path / "nothing.zarr")


def test_a_missing_group_is_named(tmp_path):
    path = inversion_kit.save(synthetic(), tmp_path / "run.zarr")
    shutil.rmtree(path / "probe")
    with pytest.raises(StoreError, match=r"run\.zarr/probe/.*it is missing"):
        inversion_kit.open(path)
    seal(path)
    with pytest.raises(SchemaError, match="/probe"):
        inversion_kit.open(path)


def test_broken_metadata_is_a_store_error(tmp_path):
    path = inversion_kit.save(synthetic(), tmp_path / "run.zarr")
    (path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"run\.zarr"):
        inversion_kit.open(path)


# --- every file is known


@pytest.fixture(scope="module")
def consolidated(tmp_path_factory):
    """An audit as one zarr, of which one array is in shards."""
    store = AuditStore.create(tmp_path_factory.mktemp("audit") / "audit", synthetic_plan())
    for unit in store.units():
        made = synthetic_unit(unit.label_index, unit.arm, unit.seed)
        store.commit(unit, *made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_write, "_BLOCK", 1000)
        patch.setattr(zarr_write, "_PIECE", 150)
        return inversion_kit.consolidate(store.path, store.path.parent / "audit.zarr")


@pytest.fixture(params=["run", "audit"])
def stored(request, tmp_path):
    if request.param == "run":
        return inversion_kit.save(synthetic(seeds=1, steps=2), tmp_path / "run.zarr")
    stored = request.getfixturevalue("consolidated")
    return Path(shutil.copytree(stored, tmp_path / "audit.zarr"))


def read_all(path):
    return inversion_kit.open(path).map_over_datasets(lambda data: data.load())


def test_each_file_that_is_missing_cut_or_changed_is_named(stored):
    wanted = read_all(stored)
    files = sorted(p for p in stored.rglob("*") if p.is_file())
    assert len(files) > 60
    for number, path in enumerate(files[::3]):
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        for harm in (None, data[:-1], b"", bytes(flipped)):
            path.unlink() if harm is None else path.write_bytes(harm)
            if harm is not None or path.parent != stored:  # without its root it is no store
                with pytest.raises(StoreError, match=re.escape(str(path))):
                    read_all(stored)
            if number % 12:  # each file is missing once, some are harmed in all ways
                break
        path.write_bytes(data)
    xr.testing.assert_identical(read_all(stored), wanted)


def test_a_missing_chunk_is_named_before_anything_is_read(stored):
    path = max((p for p in stored.glob("trajectory/image/c/**/*") if p.is_file()), key=str)
    path.unlink()
    with pytest.raises(StoreError, match=re.escape(str(path)) + ".*it is missing"):
        inversion_kit.open(stored)


def test_a_changed_attribute_is_found(stored):
    root = stored / "zarr.json"
    text = root.read_text()
    changed = text.replace('"seconds": ', '"seconds": 1')
    assert changed != text
    root.write_text(changed)
    with pytest.raises(StoreError, match=re.escape(str(root))):
        inversion_kit.open(stored)


def test_only_what_is_used_is_read(stored):
    path = max((p for p in stored.glob("trajectory/image/c/**/*") if p.is_file()), key=str)
    data = bytearray(path.read_bytes())
    data[-1] ^= 128
    path.write_bytes(data)
    tree = inversion_kit.open(stored)
    assert tree["samples"]["image"].load().any()
    with pytest.raises(StoreError, match=re.escape(str(path))):
        tree["trajectory"]["image"].load()


def test_a_file_that_does_not_belong_is_not_read(stored):
    wanted = read_all(stored)
    shutil.copytree(stored / "samples", stored / "more")
    (stored / "notes.txt").write_text("mine")
    xr.testing.assert_identical(read_all(stored), wanted)


def test_parts_of_shards_are_read_and_checked(consolidated):
    image = zarr.open_group(consolidated, mode="r")["trajectory/image"]
    assert image.shards is not None
    one = inversion_kit.open(consolidated)["trajectory"]["image"].isel(label=1, arm=1, seed=0)
    part = one.isel(step=slice(1, 2)).values
    np.testing.assert_array_equal(part, one.values[1:2])
    assert part.any()


def test_other_readers_of_zarr_read_it(consolidated):
    tree = xr.open_datatree(consolidated, engine="zarr", consolidated=False, chunks=None)
    np.testing.assert_array_equal(
        tree["samples"]["image"], inversion_kit.open(consolidated)["samples"]["image"]
    )
    assert set(tree.attrs) - set(inversion_kit.open(consolidated).attrs) == {
        "files",
        "files_sha256",
    }


def test_a_store_without_checksums_is_read_with_a_warning(stored):
    root = stored / "zarr.json"
    node = json.loads(root.read_text())
    wanted = read_all(stored)
    for name in ("files", "files_sha256"):
        del node["attributes"][name]
        root.write_text(json.dumps(node))
        if name == "files":
            with pytest.raises(StoreError, match=re.escape(str(root))):
                inversion_kit.open(stored)
    with pytest.warns(RuntimeWarning, match="no checksums .another program wrote it"):
        back = inversion_kit.open(stored)
    xr.testing.assert_identical(back.load(), wanted.load())


def test_a_sealed_store_is_not_written_to(consolidated):
    group = zarr.open_group(sealed(consolidated), mode="r")
    with pytest.raises(ValueError, match="read-only"):
        group["samples/sample"][...] = 1


def test_a_seal_names_no_file_outside(stored):
    root = stored / "zarr.json"
    for name in ("../secret", "/etc/hostname", "a/../../b"):
        node = json.loads(root.read_text())
        node["attributes"]["files"] = {name: [1, "0" * 64]}
        del node["attributes"]["files_sha256"]
        node["attributes"]["files_sha256"] = hashlib.sha256(
            json.dumps(node, sort_keys=True).encode()
        ).hexdigest()
        root.write_text(json.dumps(node))
        with pytest.raises(StoreError, match=re.escape(str(root))):
            inversion_kit.open(stored)
