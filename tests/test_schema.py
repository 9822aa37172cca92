"""The schema accepts a synthetic run and names every fault of a broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, InversionError, SchemaError
from inversion_kit.testing import synthetic_run


def groups(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    return {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}


def broken(change: Callable[[dict[str, xr.Dataset], dict[str, Any]], None]) -> str:
    """The message for a synthetic run after ``change``."""
    tree = synthetic_run()
    parts, attributes = groups(tree), dict(tree.attrs)
    change(parts, attributes)
    with pytest.raises(SchemaError) as caught:
        schema.build(parts, attributes)
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"seeds": 1, "judges": ()},
        {"seeds": 3, "judges": ("a", "b"), "outcome": "trick"},
        {"steps": 1, "checks": 2, "samples": 1, "classes": 2, "size": 2, "outcome": "failure"},
        {"checks": 9, "steps": 40, "classes": 12},
    ],
)
def test_synthetic_runs_are_valid(options: dict[str, Any]) -> None:
    tree = synthetic_run(**options)
    assert schema.validate(tree) is tree
    assert set(tree.children) == set(schema.GROUPS) - schema.OPTIONAL_GROUPS


def test_synthetic_run_is_seeded() -> None:
    assert synthetic_run(seed=3).equals(synthetic_run(seed=3))
    assert not synthetic_run(seed=3).equals(synthetic_run(seed=4))


def test_synthetic_run_refuses_lengths_too_small() -> None:
    with pytest.raises(InputError, match="checks=1: must be at least 2"):
        synthetic_run(checks=1)


def test_synthetic_run_pads_ended_seeds() -> None:
    tree = synthetic_run()
    assert np.isnan(tree["validation"]["probability"].values[1, -1]).all()
    assert tree["validation"]["start"].values[1, -1] == ""
    unused = np.isnan(tree["trajectory"]["loss"].values)
    assert unused[1].any()
    assert not unused[0].any()
    assert ((tree["trajectory"]["noise_seed"].values == -1).all(-1) == unused).all()


def test_synthetic_probabilities_sum_to_one() -> None:
    for group in ("trajectory", "validation", "samples"):
        total = synthetic_run()[group]["probability"].sum("class", skipna=False).values
        np.testing.assert_allclose(total[np.isfinite(total)], 1, atol=1e-5)


def test_missing_group_is_named() -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        del parts["probe"]

    assert "/probe: missing" in broken(change)


def test_missing_variable_is_named() -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        parts["token"] = parts["token"].drop_vars("selected")

    assert "/token/selected: missing" in broken(change)


def test_optional_variables_may_be_missing() -> None:
    tree = synthetic_run()
    parts = groups(tree)
    parts["samples"] = parts["samples"].drop_vars(["feature", "judge_probability"])
    tree = schema.build(parts, dict(tree.attrs))
    assert "feature" not in tree["samples"]


def test_wrong_dims_are_named() -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        parts["probe"] = parts["probe"].transpose("word", "seed")

    fault = "/probe/log_probability: dims ('word', 'seed'), expected ('seed', 'word')"
    assert fault in broken(change)


@pytest.mark.parametrize(
    ("group", "variable", "dtype", "expected"),
    [
        ("samples", "image", "f4", "u1"),
        ("samples", "probability", "f8", "f4"),
        ("trajectory", "noise_seed", "i4", "i8"),
        ("trajectory", "loss", "U8", "f4"),
    ],
)
def test_wrong_dtype_is_named(group: str, variable: str, dtype: str, expected: str) -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        parts[group] = parts[group].assign({variable: parts[group][variable].astype(dtype)})

    assert f"/{group}/{variable}: dtype {np.dtype(dtype)}, expected {expected}" in broken(change)


def test_numbers_where_text_belongs_are_named() -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        start = parts["validation"]["start"]
        parts["validation"] = parts["validation"].assign(start=(start.dims, np.zeros(start.shape)))

    assert "/validation/start: dtype float64, expected str" in broken(change)


def test_dimension_without_coordinate_is_named() -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        parts["samples"] = parts["samples"].drop_vars("arm")

    assert "/samples: dimension arm has no coordinate" in broken(change)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("label_index", "1", "attribute label_index: expected int, found '1'"),
        ("seconds", None, "attribute seconds: expected float, found None"),
        ("settings", "{", "attribute settings: not JSON"),
        ("schema_version", 99, "schema_version 99: this reads 2"),
        ("label_index", 2, "label 'sky' is not class 2"),
        ("label_index", -4, "label 'sky' is not class -4"),
    ],
)
def test_wrong_attribute_is_named(name: str, value: object, fault: str) -> None:
    assert fault in broken(lambda _, attributes: attributes.update({name: value}))


def test_different_class_names_are_named() -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        names = parts["validation"]["class"].values[::-1].copy()
        parts["validation"] = parts["validation"].assign_coords({"class": names})

    assert "/validation: class names differ from those of /samples" in broken(change)


@pytest.mark.parametrize("group", ["trajectory", "validation"])
def test_noise_seen_before_the_test_is_a_fault(group: str) -> None:
    def change(parts: dict[str, xr.Dataset], _: dict[str, Any]) -> None:
        parts["samples"]["noise_seed"].values[0, 0] = parts[group]["noise_seed"].values.max()

    assert "noise seeds of training, validation and samples overlap" in broken(change)


def test_every_fault_is_told_at_once() -> None:
    def change(parts: dict[str, xr.Dataset], attributes: dict[str, Any]) -> None:
        del parts["probe"], attributes["generator"]
        parts["token"] = parts["token"].drop_vars("nearest_word")

    message = broken(change)
    for fault in ("/probe: missing", "attribute generator:", "/token/nearest_word: missing"):
        assert fault in message


def test_schema_error_is_an_inversion_error() -> None:
    assert issubclass(SchemaError, InversionError)
