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
from inversion_kit.storage import assemble, zarr_write
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic, synthetic_plan, synthetic_unit
from tests.audits import NAMES, WHOLE, assert_equal
from tests.killing import kill_at_event

JUDGES = [["judge\0", "classifier"], ["../blur", "view"]]


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """Hostile names, units of several lengths, one missing, one failed."""
    plan = synthetic_plan([0, 4, 9], classes=NAMES, judges=JUDGES)
    store = AuditStore.create(tmp_path_factory.mktemp("export") / "audit", plan)
    for i, unit in enumerate(store.units()):
        made = synthetic_unit(
            unit.label_index,
            unit.arm,
            unit.seed,
            classes=NAMES,
            samples=3 + i % 2,
            judges=[name for name, _ in JUDGES],
            steps=4 + i % 3,
        )
        if i == 3:
            store.fail(unit, ValueError("a\0b"), 1.0)
        elif i != 5:
            store.commit(unit, *made)
    return store


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


def test_a_saved_result_becomes_netcdf_too_with_its_other_groups(tmp_path):
    tree = synthetic(labels=2, method="cma")
    for name, data in WHOLE.items():
        tree[name] = xr.DataTree(data)
    path = inversion_kit.to_netcdf(inversion_kit.save(tree, tmp_path / "a.zarr"), tmp_path / "a.nc")
    assert_equal(inversion_kit.open(path), tree)
    again = inversion_kit.save(inversion_kit.open(path), tmp_path / "again.zarr")
    assert_equal(inversion_kit.open(again), tree)


def test_large_arrays_are_cut_into_pieces_that_are_equal(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_write, "_BLOCK", 1000)
    monkeypatch.setattr(zarr_write, "_PIECE", 300)
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
    path.write_bytes(
        {
            "cut": data[:-1],
            "emptied": b"",
            "end lost": data[:-end],
            "another's": b"CDF" + data,
            "flipped": data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
        }[harm]
    )
    with pytest.raises(StoreError, match=re.escape(str(path))):
        inversion_kit.open(path)
    path.write_bytes(data)
    with xr.open_datatree(path, engine="h5netcdf") as other:  # as other readers do
        np.testing.assert_array_equal(
            other["samples"]["image"], inversion_kit.open(path)["samples"]["image"]
        )


@pytest.mark.parametrize("export", [inversion_kit.consolidate, inversion_kit.to_netcdf])
def test_an_audit_of_which_nothing_is_there_is_exported(tmp_path, export):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    back = inversion_kit.open(export(store.path, tmp_path / "out"))
    assert_equal(back, inversion_kit.open(store.path))


@pytest.mark.parametrize("export", [inversion_kit.consolidate, inversion_kit.to_netcdf])
def test_no_more_than_a_block_is_read_at_once(audit, tmp_path, monkeypatch, export):
    asked = []

    def read(array, key):
        part = whole(array, key)
        if array.name == ("trajectory", "image"):
            asked.append(part.nbytes)
        return part

    whole = assemble._Array._part
    monkeypatch.setattr(assemble._Array, "_part", read)
    image = inversion_kit.open(audit.path)["trajectory"]["image"]
    unit = image.nbytes // np.prod(image.shape[:3])
    monkeypatch.setattr(zarr_write, "_BLOCK", unit - 1)
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


def test_images_of_a_saved_result_are_exported_and_of_nothing_refused(tmp_path):
    run = inversion_kit.save(synthetic(seeds=1, samples=2), tmp_path / "run.zarr")
    folder = inversion_kit.export_images(run, tmp_path / "images")
    assert sorted(os.listdir(folder / "images")) == [
        f"000001-{arm}-0-00000{i}.png" for arm in range(3) for i in range(2)
    ]
    assert sorted(os.listdir(folder)) == ["images", "metadata.parquet"]
    with Image.open(folder / "images" / "000001-0-0-000000.png") as image:
        assert (image.mode, image.size) == ("RGB", (8, 8))
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    with pytest.raises(InputError, match="no unit"):
        inversion_kit.export_images(store.path, tmp_path / "none")
    assert not (tmp_path / "none").exists()
