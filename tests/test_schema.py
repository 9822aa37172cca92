"""The schema accepts a synthetic result, restores dimensions and names every fault of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import InputError, SchemaError
from inversion_kit.testing import OUTCOMES, synthetic
from tests.audits import WHOLE

Groups = dict[str, xr.Dataset]
Change = Callable[[Groups, dict[str, Any]], None]
UNITS = [(arm, seed) for arm in ("name", "start", "token") for seed in (0, 1)]


def groups(tree: xr.DataTree) -> Groups:
    return {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}


def broken(change: Change, **options: Any) -> str:
    """The message for a synthetic result after ``change``."""
    tree = synthetic(**options)
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
        {"seeds": [7, 4], "judges": ("a", "b"), "views": ("blur",), "outcomes": ["trick"]},
        {"steps": 1, "checks": 2, "samples": 1, "size": 2, "outcomes": ["failure"]},
        {"checks": 9, "steps": 40, "classes": 12, "labels": 9, "outcomes": OUTCOMES},
        {"arms": ("name",)},
        {"arms": ("name", "token+name", "token", "shuffled", "snow"), "method": "cma"},
        {"labels": 2, "failed": [("sky", "token", 0)], "missing": [("green", "name", 1)]},
        {"stopped": [("sky", "token", 0), ("sky", "token", 1)]},
        {"missing": [("sky", *unit) for unit in UNITS]},
    ],
)
def test_synthetic_results_are_valid(options: dict[str, Any]) -> None:
    tree = synthetic(**options)
    assert schema.validate(tree) is tree
    assert set(schema.UNIT) - {"ledger"} <= set(tree.children)
    assert ("ledger" in tree.children) == ("method" in options)
    for group in ("trajectory", "validation", "samples"):
        total = tree[group]["probability"].sum("class", skipna=False).values
        np.testing.assert_allclose(total[np.isfinite(total)], 1, atol=1e-5)


def test_a_synthetic_result_is_seeded_and_arms_share_its_noise() -> None:
    assert synthetic(seed=3).equals(synthetic(seed=3))
    assert not synthetic(seed=3).equals(synthetic(seed=4))
    seeds = synthetic(labels=2)["samples"]["noise_seed"]
    assert (seeds == seeds.isel(label=0, arm=0)).all()
    assert (seeds.isel(seed=0) != seeds.isel(seed=1)).all()


def test_a_synthetic_result_refuses_what_it_cannot_make() -> None:
    for options, message in (
        ({"checks": 1}, "checks=1: must be at least 2"),
        ({"outcomes": ["luck"]}, "luck"),
        ({"names": ["a", "b", "b"]}, "names: must be 3 different ones"),
    ):
        with pytest.raises(InputError, match=message):
            synthetic(**options)


def test_a_synthetic_result_has_what_is_padded() -> None:
    tree = synthetic(failed=[("sky", "name", 0)])
    one = tree["validation"].to_dataset().sel(label="sky", arm="token", seed=1)
    assert np.isnan(one["probability"].values[-1]).all()
    assert (one["start"].values[-1], int(one["step"][-1])) == ("", -1)
    steps = tree["trajectory"].to_dataset().sel(label="sky", arm="token")
    unused = np.isnan(steps["loss"].values)
    assert unused[1].any()
    assert not unused[0].any()
    assert ((steps["noise_seed"].values == -1).all(-1) == unused).all()
    assert np.isnan(tree["trajectory"]["loss"].sel(arm="name")).all()
    assert tree["probe"]["word"].sel(label="sky", arm="token").values[:, 0].tolist() == [
        "round",
        "",
    ]
    assert np.isnan(tree["samples"]["probability"].sel(arm="name", seed=0)).all()
    assert tree.attrs["seconds"] == 6 * 1.5


@pytest.mark.parametrize(
    "key",
    [
        {"label": "green"},
        {"label": "green", "arm": "token"},
        {"seed": 1},
        {"arm": ["name", "token"]},
        {"label": "sky", "arm": "name", "seed": 0},
    ],
)
def test_dimensions_that_a_selection_took_away_come_back(key: dict[str, Any]) -> None:
    tree = synthetic(labels=3, method="cma")
    for name, data in WHOLE.items():
        tree[name] = xr.DataTree(data)
    kept = {dim: value if isinstance(value, list) else [value] for dim, value in key.items()}
    wanted = tree.sel(kept)
    xr.testing.assert_identical(schema.validate(tree.sel(key)), wanted)
    xr.testing.assert_identical(schema.validate(wanted), wanted)
    assert schema.validate(wanted) is wanted
    assert schema.validate(tree.sel(key))["samples"]["feature"].dims[:3] == schema.OUTER


def test_optional_variables_and_groups_may_be_missing() -> None:
    parts = groups(synthetic())
    parts["samples"] = parts["samples"].drop_vars(
        ["feature", "judge_probability", "trained_probability"]
    )
    tree = schema.build(parts | WHOLE, dict(synthetic().attrs))
    assert "feature" not in tree["samples"]
    assert set(schema.WHOLE) < set(tree.children)


def drop(group: str, *names: str) -> Change:
    return lambda parts, _: parts.update({group: parts[group].drop_vars(names)})


def cast(group: str, name: str, dtype: str) -> Change:
    return lambda parts, _: parts.update(
        {group: parts[group].assign({name: parts[group][name].astype(dtype)})}
    )


def put(name: str, value: object) -> Change:
    return lambda _, attributes: attributes.update({name: value})


def rename_classes(parts: Groups, _: Any) -> None:
    names = parts["validation"]["class"].values[::-1].copy()
    parts["validation"] = parts["validation"].assign_coords({"class": names})


def turn(parts: Groups, _: Any) -> None:
    parts["probe"] = parts["probe"].transpose("rank", ...)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda parts, _: parts.pop("probe"), "/probe: missing"),
        (lambda parts, _: parts.pop("status"), "/status: missing"),
        (drop("token", "selected"), "/token/selected: missing"),
        (drop("samples", "arm"), "/samples: dimension arm has no coordinate"),
        (drop("samples", "label_index"), "/samples: no coordinate label_index"),
        (turn, "/probe/word: dims ('rank', 'label', 'arm', 'seed')"),
        (cast("samples", "image", "f4"), "/samples/image: dtype float32, expected u1"),
        (cast("samples", "probability", "f8"), "dtype float64, expected f4"),
        (cast("trajectory", "noise_seed", "i4"), "dtype int32, expected i8"),
        (cast("trajectory", "loss", "U8"), "dtype <U8, expected f4"),
        (cast("token", "selected", "f8"), "/token/selected: dtype float64, expected i8"),
        (
            lambda parts, _: parts["validation"].update(
                {"start": (parts["validation"]["start"].dims, np.zeros((1, 3, 2, 4)))}
            ),
            "/validation/start: dtype float64, expected str",
        ),
        (rename_classes, "/validation: class names differ from those of /samples"),
        (lambda parts, _: parts["token"].update({"arm": ["a", "b", "c"]}), "/token: arm differs"),
        (
            lambda parts, _: [
                data.update({"label_index": ("label", [2])}) for data in parts.values()
            ],
            "labels are not the classes at their label_index",
        ),
        (
            lambda parts, _: parts["samples"]["noise_seed"].values.__setitem__(
                (0, 0, 0, 0), parts["validation"]["noise_seed"].values.max()
            ),
            "noise seeds",
        ),
        (
            lambda parts, _: parts["samples"]["noise_seed"].values.__setitem__(
                (0, 0, 0, 0), parts["trajectory"]["noise_seed"].values.max()
            ),
            "noise seeds",
        ),
        (
            lambda parts, _: parts["ledger"]["queries"].values.__setitem__((0, 2, 0, 1), 3),
            "/ledger/queries: those of sky, token, 0 do not grow",
        ),
        (
            lambda parts, _: parts.update(projection=WHOLE["projection"].drop_vars("x")),
            "/projection/x: missing",
        ),
        (put("seconds", None), "attribute seconds: expected float, found None"),
        (put("settings", "{"), "attribute settings: not JSON"),
        (put("schema_version", 2), "schema_version 2: this version reads 4; make the result again"),
    ],
)
def test_a_fault_is_named(change: Change, fault: str) -> None:
    assert fault in broken(change, method="cma")


def test_every_fault_is_named_at_once() -> None:
    def change(parts: Groups, attributes: dict[str, Any]) -> None:
        del parts["probe"]
        parts["token"] = parts["token"].drop_vars("nearest_word")

    message = broken(change)
    for fault in ("/probe: missing", "/token/nearest_word: missing"):
        assert fault in message
