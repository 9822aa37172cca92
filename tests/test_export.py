"""One zarr, one netCDF file, a folder of images: the same data, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import inversion_kit
from inversion_kit.errors import InputError, StoreError
from inversion_kit.storage import lazy
from inversion_kit.storage.audit_store import AuditStore, Unit
from inversion_kit.testing import synthetic_plan, synthetic_run, synthetic_unit
from tests.killing import kill_at_event
from tests.test_unit_files import NAMES

JUDGES = [["judge\0", "classifier"], ["../blur", "view"]]


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """Hostile names, units of several lengths, one missing, one failed."""
    plan = synthetic_plan([0, 4, 9], classes=NAMES, judges=JUDGES)
    store = AuditStore.create(tmp_path_factory.mktemp("export") / "audit", plan)
    for i, unit in enumerate(store.units()):
        made = synthetic_unit(
            unit.label_index, unit.arm, unit.seed, classes=NAMES, samples=3 + i % 2,
            judges=[name for name, _ in JUDGES], steps=4 + i % 3,
        )  # fmt: skip
        if i == 3:
            store.fail(unit, ValueError("a\0b"), 1.0)
        elif i != 5:
            store.commit(unit, *made)
    return store


def assert_equal(found, wanted):
    assert found.attrs == wanted.attrs
    assert set(found.groups) == set(wanted.groups)
    for group in wanted.groups[1:]:
        one, other = found[group].to_dataset(), wanted[group].to_dataset()
        assert set(one.variables) == set(other.variables), group
        for name, variable in other.variables.items():
            assert one[name].dims == variable.dims
            if variable.dtype.kind in "OUT":
                assert one[name].values.tolist() == variable.values.tolist(), (group, name)
            else:
                assert one[name].dtype == variable.dtype
                np.testing.assert_array_equal(one[name].values, variable.values)


@pytest.mark.parametrize("export", [inversion_kit.consolidate, inversion_kit.to_netcdf])
def test_the_same_audit_comes_back(audit, tmp_path, export):
    path = export(audit.path, tmp_path / "audit.out")
    assert_equal(inversion_kit.open(path), inversion_kit.open(audit.path))
    assert os.listdir(tmp_path) == ["audit.out"]
    with pytest.raises(InputError, match="exists"):
        export(audit.path, path)


@pytest.mark.parametrize(
    "export", [inversion_kit.consolidate, inversion_kit.to_netcdf, inversion_kit.export_images]
)
def test_what_is_there_is_refused_before_any_work_and_left_alone(audit, tmp_path, export):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "link"):
        with pytest.raises(InputError, match="exists; give another"):
            export(audit.path, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["empty", "link"]
    assert os.readlink(tmp_path / "link") == str(tmp_path / "nowhere")
    assert os.listdir(tmp_path / "empty") == []


def test_a_single_run_becomes_netcdf_too(tmp_path):
    tree = synthetic_run()
    run = inversion_kit.save(tree, tmp_path / "run.zarr")
    found = inversion_kit.open(inversion_kit.to_netcdf(run, tmp_path / "run.nc"))
    assert_equal(found, tree)


def test_an_audit_of_which_nothing_is_there_is_consolidated(tmp_path):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    path = inversion_kit.consolidate(store.path, tmp_path / "audit.zarr")
    assert_equal(inversion_kit.open(path), inversion_kit.open(store.path))


def test_large_arrays_are_cut_into_pieces_that_are_equal(audit, tmp_path, monkeypatch):
    from inversion_kit.storage import export

    monkeypatch.setattr(export, "_BLOCK", 1000)
    monkeypatch.setattr(export, "_PIECE", 300)
    path = inversion_kit.consolidate(audit.path, tmp_path / "audit.zarr")
    assert_equal(inversion_kit.open(path), inversion_kit.open(audit.path))
    import zarr

    image = zarr.open_group(path, mode="r")["trajectory/image"]
    assert image.chunks[:4] == (1, 1, 1, 3)
    assert image.shards[:4] == (1, 2, 2, 6)


@pytest.mark.parametrize("harm", ["cut", "emptied", "flipped", "end lost", "another's"])
def test_a_damaged_netcdf_file_is_named(audit, tmp_path, harm):
    path = inversion_kit.to_netcdf(audit.path, tmp_path / "audit.nc")
    data = path.read_bytes()
    end = len("\ninversion_kit sha256 ") + 64
    path.write_bytes({
        "cut": data[:-1], "emptied": b"", "end lost": data[:-end], "another's": b"CDF" + data,
        "flipped": data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    }[harm])  # fmt: skip
    with pytest.raises(StoreError, match=re.escape(str(path))):
        inversion_kit.open(path)
    path.write_bytes(data)
    inversion_kit.open(path)


def test_other_readers_of_netcdf_read_it(audit, tmp_path):
    path = inversion_kit.to_netcdf(audit.path, tmp_path / "audit.nc")
    tree = xr.open_datatree(path, engine="h5netcdf")
    np.testing.assert_array_equal(
        tree["samples"]["image"], inversion_kit.open(audit.path)["samples"]["image"]
    )
    tree.close()


@pytest.mark.parametrize("export", [inversion_kit.consolidate, inversion_kit.to_netcdf])
def test_an_audit_of_which_nothing_is_there_is_exported(tmp_path, export):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    found = inversion_kit.open(export(store.path, tmp_path / "out"))
    assert_equal(found, inversion_kit.open(store.path))


@pytest.mark.parametrize("export", [inversion_kit.consolidate, inversion_kit.to_netcdf])
def test_no_more_than_a_block_is_read_at_once(audit, tmp_path, monkeypatch, export):
    asked = []

    def read(array, key):
        found = whole(array, key)
        if (array.group, array.name) == ("trajectory", "image"):
            asked.append(found.nbytes)
        return found

    whole = lazy._UnitArray._read
    monkeypatch.setattr(lazy._UnitArray, "_read", read)
    image = inversion_kit.open(audit.path)["trajectory"]["image"]
    unit = image.nbytes // np.prod(image.shape[:3])
    monkeypatch.setattr("inversion_kit.storage.export._BLOCK", unit - 1)
    export(audit.path, tmp_path / "out")
    assert max(asked) == unit


def test_a_damaged_unit_stops_the_export_and_nothing_is_left(audit, tmp_path):
    shutil.copytree(audit.path, tmp_path / "audit")
    path = tmp_path / "audit" / "units" / Unit(4, "name", 0).id / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[::-1])
    for export in (inversion_kit.consolidate, inversion_kit.to_netcdf, inversion_kit.export_images):
        with pytest.raises(StoreError, match=Unit(4, "name", 0).id):
            export(tmp_path / "audit", tmp_path / "out")
    assert os.listdir(tmp_path) == ["audit"]


def test_a_killed_consolidation_leaves_nothing_or_all(audit, tmp_path):
    def scenario(done):
        inversion_kit.consolidate(audit.path, tmp_path / "audit.zarr")

    killed, number = True, 1
    wanted = inversion_kit.open(audit.path)
    while killed:
        killed, _ = kill_at_event(number, scenario)
        if killed:
            assert not (tmp_path / "audit.zarr").exists()
        number += 400
    assert number > 800
    assert_equal(inversion_kit.open(tmp_path / "audit.zarr"), wanted)


def test_hugging_face_reads_the_images(audit, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    folder = inversion_kit.export_images(audit.path, tmp_path / "images")
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    tree = inversion_kit.open(audit.path)["samples"].to_dataset()
    done = inversion_kit.open(audit.path)["status"]["status"].values == "done"
    assert len(rows) == int((tree["noise_seed"].values >= 0).sum())
    assert done.sum() == 10
    for row in rows:
        at = {
            "label": tree["label_index"].values.tolist().index(row["label_index"]),
            "arm": tree["arm"].values.tolist().index(row["arm"]),
            "seed": tree["seed"].values.tolist().index(row["seed"]),
            "sample": row["sample"],
        }
        one = tree.isel(at)
        np.testing.assert_array_equal(np.asarray(row["image"].convert("RGB")), one["image"])
        assert row["label"] == NAMES[row["label_index"]]
        assert row["prompt"] == str(one["prompt"].values)
        assert row["predicted"] == NAMES[int(one["probability"].values.argmax())]
        assert row["probability"] == float(one["probability"][row["label_index"]])
        np.testing.assert_array_equal(np.float32(row["feature"]), one["feature"])
        for k, (name, kind) in enumerate(JUDGES):
            read = one["judge_probability"].values[k]
            assert (row[f"judge_{k}_name"], row[f"judge_{k}_kind"]) == (name, kind)
            assert row[f"judge_{k}_predicted"] == NAMES[read.argmax()]
            assert row[f"judge_{k}_probability"] == float(read[row["label_index"]])


def test_image_files_are_named_by_numbers_alone(audit, tmp_path):
    folder = inversion_kit.export_images(audit.path, tmp_path / "images")
    assert os.listdir(tmp_path) == ["images"]
    assert sorted(os.listdir(folder)) == ["images", "metadata.parquet"]
    names = os.listdir(folder / "images")
    assert all(set(name.removesuffix(".png")) <= set("0123456789-") for name in names)
    with Image.open(folder / "images" / names[0]) as image:
        assert (image.mode, image.size) == ("RGB", (4, 4))


def test_images_of_a_single_run_or_of_nothing_are_refused(tmp_path):
    run = inversion_kit.save(synthetic_run(), tmp_path / "run.zarr")
    with pytest.raises(InputError, match="single run"):
        inversion_kit.export_images(run, tmp_path / "images")
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    with pytest.raises(InputError, match="no unit"):
        inversion_kit.export_images(store.path, tmp_path / "images")
    assert not (tmp_path / "images").exists()
