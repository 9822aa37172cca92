import shutil

import numpy as np
import pytest

import inversion_kit
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.testing import synthetic_run


def test_a_saved_result_opens_equal(tmp_path):
    tree = synthetic_run()
    back = inversion_kit.open(inversion_kit.save(tree, tmp_path / "run.zarr"))
    assert back.attrs == tree.attrs
    for group in tree.groups[1:]:
        assert back[group].to_dataset().identical(tree[group].to_dataset()), group


def test_hostile_text_comes_back_exactly(tmp_path):
    tree = synthetic_run(classes=3)
    names = ["../../x", "\u202eright-to-left </script>", "\N{SNOWMAN}" * 300]
    index = tree.attrs["label_index"]
    for group in ("trajectory", "validation", "samples"):
        tree[group] = tree[group].to_dataset().assign_coords({"class": names})
    tree.attrs["label"] = names[index]
    back = inversion_kit.open(inversion_kit.save(tree, tmp_path / "run.zarr"))
    assert back["samples"]["class"].values.tolist() == names
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


def test_a_result_is_replaced_only_when_asked(tmp_path):
    path = inversion_kit.save(synthetic_run(seed=1), tmp_path / "run.zarr")
    with pytest.raises(InputError, match="overwrite=True"):
        inversion_kit.save(synthetic_run(seed=2), path)
    inversion_kit.save(synthetic_run(seed=2), path, overwrite=True)
    want = synthetic_run(seed=2)["samples"]["image"]
    np.testing.assert_array_equal(inversion_kit.open(path)["samples"]["image"], want)
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


def test_what_is_no_result_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a stored result"):
        inversion_kit.save(synthetic_run(), tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_an_invalid_tree_is_not_written(tmp_path):
    tree = synthetic_run()
    del tree.attrs["label"]
    with pytest.raises(SchemaError, match="label"):
        inversion_kit.save(tree, tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


def test_no_result_there_is_said(tmp_path):
    with pytest.raises(StoreError, match="no stored result"):
        inversion_kit.open(tmp_path / "nothing.zarr")


def test_a_missing_group_is_named(tmp_path):
    path = inversion_kit.save(synthetic_run(), tmp_path / "run.zarr")
    shutil.rmtree(path / "probe")
    with pytest.raises(SchemaError, match="/probe"):
        inversion_kit.open(path)


def test_broken_metadata_is_a_store_error(tmp_path):
    path = inversion_kit.save(synthetic_run(), tmp_path / "run.zarr")
    (path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"run\.zarr"):
        inversion_kit.open(path)
