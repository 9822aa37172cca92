"""Points of a projection: every image and token once, with its verdict; PCA by hand; made once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import inversion_kit
from inversion_kit import schema
from inversion_kit.analysis.projection import keep_projection, project, projected, stored
from inversion_kit.analysis.words import DRAWN, POINT_VERDICTS
from inversion_kit.errors import InputError, SchemaError
from inversion_kit.reports import to_html
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic_plan, synthetic_unit
from tests.results import OUTCOMES, audit


def real(tree: xr.DataTree, n: int = 6) -> xr.Dataset:
    length = tree["samples"].sizes["feature"]
    return xr.Dataset(
        {"feature": (("image", "feature"), np.random.default_rng(0).random((n, length)))},
        coords={"label": ("image", ["sky"] * n)},
    )


def test_every_image_and_token_is_there_once() -> None:
    tree = audit(outcomes=OUTCOMES, failed=[("sky", "token", 0)], missing=[("red", "name", 1)])
    points = project(tree, method="pca")
    image = points["space"].values == "image"
    assert image.sum() == (5 * 4 * 2 - 2) * 6
    assert (~image).sum() == 5 * 3 * 2 - 1
    columns = [points[n].values for n in ("space", "of_label", "of_arm", "of_seed", "of_sample")]
    keys = list(zip(*columns, strict=True))
    assert not schema.group_faults("projection", points, schema.WHOLE["projection"])
    assert len(set(keys)) == len(keys)
    assert ("token", "sky", "token", 0, -1) not in keys
    assert not any(k[2] == "name" for k in keys if k[0] == "token")


def test_verdicts_follow_the_judges() -> None:
    points = project(audit(outcomes=OUTCOMES), method="pca")
    token = points.isel(point=(points["of_arm"] == "token") & (points["space"] == "image"))
    said = {
        label: sorted(set(token["verdict"].values[token["of_label"].values == label].tolist()))
        for label in ("sky", "green", "yellow", "blue")
    }
    assert said == {
        "sky": ["confirmed"],
        "green": ["not confirmed"],
        "yellow": ["not read as the label"],
        "blue": ["confirmed", "not read as the label"],
    }
    assert set(points["verdict"].values.tolist()) <= set(POINT_VERDICTS) == set(DRAWN)
    read_as = token["read_as"].values[token["of_label"].values == "blue"].tolist()
    assert set(read_as) == {"blue", "red"}


def test_half_of_the_judges_is_no_confirmation() -> None:
    tree = audit(judges=("a", "b"), views=())
    said = tree["samples"]["judge_probability"].values[:, :, :, 1]
    said[:] = np.eye(said.shape[-1], dtype="f4")[0]
    assert "confirmed" not in project(tree, method="pca")["verdict"].values
    alone = project(audit(judges=()), method="pca")
    assert {"not judged", "not read as the label", "token"} == set(alone["verdict"].values)


def test_pca_by_hand() -> None:
    tree = audit(labels=1, seeds=1, samples=3, arms=("token",))
    feature = tree["samples"]["feature"].values[0, 0, 0]
    feature[:] = 0
    feature[:, 3] = [0, 0, 9]
    points = project(tree, method="pca")
    np.testing.assert_allclose(points["x"].values[:3], [-3, -3, 6], atol=1e-6)
    np.testing.assert_allclose(points["y"].values, 0, atol=1e-6)
    assert points.attrs["image_method"] == "pca"


def test_few_points_are_placed_by_pca() -> None:
    tree = audit(labels=1, seeds=1, samples=3, arms=("name", "token"))
    points = project(tree)
    assert points.attrs["image_method"] == points.attrs["token_method"] == "pca"
    none = project(audit(arms=("name",), labels=1, samples=2))
    assert none.attrs["token_method"] == "none"


def test_more_images_than_wanted_are_chosen_by_the_seed() -> None:
    tree = audit()
    some = project(tree, method="pca", most=20)
    assert (some["space"] == "image").sum() == 20
    assert some.attrs["left_out"] == 5 * 4 * 2 * 6 - 20
    assert some.identical(project(tree, method="pca", most=20))
    other = project(tree, method="pca", most=20, seed=1)
    assert not np.array_equal(some["of_sample"], other["of_sample"])


def test_real_images_are_placed_with_the_others() -> None:
    tree = audit()
    points = project(tree, real=real(tree), method="pca")
    ours = points.isel(point=points["of_arm"] == "real")
    assert ours["of_sample"].values.tolist() == list(range(6))
    assert set(ours["verdict"].values) == {"real"}
    assert set(ours["of_label"].values) == {"sky"}
    with pytest.raises(InputError, match="real: its features have length 3, those of the result 8"):
        project(tree, real=real(tree).isel(feature=slice(3)))


def test_a_projection_is_kept_with_the_result() -> None:
    tree = projected(audit(labels=3), method="pca", samples=2)
    points = stored(tree)
    assert points is not None
    assert (points["space"] == "image").sum() == 3 * 4 * 2 * 2
    assert set(points["of_sample"].values) == {-1, 0, 1}
    assert points.identical(project(audit(labels=3), method="pca", samples=2))
    mine = stored(tree.sel(label="green"))
    assert mine is not None
    assert set(mine["of_label"].values) == {"green"}
    assert stored(audit()) is None


def test_a_projection_is_of_the_arms_and_runs_that_were_picked() -> None:
    tree = projected(audit(labels=3), method="pca").sel(arm=["token"], seed=[1])
    mine = stored(tree)
    assert mine is not None
    assert set(mine["of_arm"].values) == {"token"}
    assert set(mine["of_seed"].values) == {1}
    assert 'class="map"' in to_html(tree)


def test_images_that_are_not_placed_are_counted() -> None:
    tree = audit(missing=[("red", "name", 1)])
    assert project(tree, method="pca", samples=2).attrs["left_out"] == (5 * 4 * 2 - 1) * (6 - 2)
    points = project(tree, real=real(tree), method="pca", most=20)
    assert points.attrs["left_out"] == (5 * 4 * 2 - 1) * 6 + 6 - 20


# Kept in an audit's folder

LAST = Unit(4, "name", 0)


@pytest.fixture
def store(tmp_path: Path) -> AuditStore:
    """An audit of which every unit is done but one, which failed."""
    plan = synthetic_plan(range(1, 5), seeds=[0])
    store = AuditStore.create(tmp_path / "audit", plan)
    for unit in store.units():
        if unit != LAST:
            store.commit(unit, *synthetic_unit(unit.label_index, unit.arm))
    store.fail(LAST, ValueError("no"), 1.0)
    return store


def mark(store: AuditStore) -> tuple[int, int]:
    """Which file it is, and when it was written."""
    state = (store.path / "whole" / "projection" / "arrays.safetensors").stat()
    return state.st_ino, state.st_mtime_ns


def held(store: AuditStore) -> xr.Dataset:
    """What is opened with the audit."""
    points = stored(inversion_kit.open(store.path))
    assert points is not None
    return points


def test_report_and_widget_show_the_same_points_which_are_made_once(
    store: AuditStore, tmp_path: Path
) -> None:
    pytest.importorskip("ipywidgets")
    inversion_kit.report(store.path, tmp_path / "a.html")
    first, points = mark(store), held(store)
    assert points.attrs["image_method"] == "neighbours"
    assert points.attrs["left_out"] == 0
    assert points.sizes["point"] == 7 * 4 + 4
    shown = inversion_kit.explore(store.path).panels[0].map
    assert shown.points.identical(points)
    page = inversion_kit.report(store.path, tmp_path / "b.html").read_text("utf-8")
    assert page == (tmp_path / "a.html").read_text("utf-8")
    assert mark(store) == first
    drawing = re.findall(r'<svg class="map".*?</svg>', page, re.DOTALL)[0]
    marks = re.findall(r'd="M([-0-9.]+) ([-0-9.]+)h0" data-i="([0-9]+)"', drawing)
    image = points.isel(point=[int(i) for *_, i in marks])
    assert len(marks) == 7 * 4
    for place, name, way in ((0, "x", 1), (1, "y", -1)):
        drawn = [float(found[place]) for found in marks]
        assert np.corrcoef(drawn, image[name].values)[0, 1] == pytest.approx(way, abs=1e-4)


def test_a_unit_that_is_added_makes_the_projection_anew(store: AuditStore) -> None:
    keep_projection(inversion_kit.open(store.path), store.path)
    before = held(store)
    store.commit(LAST, *synthetic_unit(LAST.label_index, LAST.arm))
    tree = inversion_kit.open(store.path)
    assert stored(tree) is None  # it is of other units
    again = keep_projection(tree, store.path)
    assert stored(again).sizes["point"] == before.sizes["point"] + 4  # type: ignore[union-attr]
    assert held(store).identical(stored(again))


def test_a_projection_of_the_users_own_is_not_replaced(store: AuditStore) -> None:
    own = project(inversion_kit.open(store.path), method="pca", samples=1)
    store.write_whole("projection", own)
    first = mark(store)
    assert keep_projection(inversion_kit.open(store.path), store.path)["projection"].attrs == (
        own.attrs
    )
    assert mark(store) == first
    with pytest.raises(SchemaError, match="/projection: attribute left_out: expected int"):
        store.write_whole("projection", own.assign_attrs(left_out="no"))


def test_an_audit_with_units_to_come_has_no_projection_yet(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "audit", synthetic_plan([1, 2], seeds=[0]))
    store.commit(Unit(1, "token", 0), *synthetic_unit(1))
    keep_projection(inversion_kit.open(store.path), store.path)
    inversion_kit.report(store.path, tmp_path / "a.html")
    assert not (store.path / "whole").exists()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in a folder can be written, by root neither."""
    user = os.geteuid()
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in list(folder.parents)[:4]:
        parent.chmod(0o755)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users as POSIX has them")
def test_a_folder_that_is_closed_or_held_is_shown_and_left_as_it_is(store: AuditStore) -> None:
    with store.lock():
        in_use = keep_projection(inversion_kit.open(store.path), store.path)
    with read_only(store.path):
        closed = keep_projection(inversion_kit.open(store.path), store.path)
        assert 'class="map"' in to_html(closed)
    assert not (store.path / "whole").exists()
    keep_projection(inversion_kit.open(store.path), store.path)
    assert held(store).identical(stored(closed))
    assert held(store).identical(stored(in_use))


def test_without_features_tokens_are_placed_alone() -> None:
    tree = audit()
    tree["samples"] = xr.DataTree(tree["samples"].to_dataset().drop_vars("feature"))
    points = project(tree, method="pca")
    assert set(points["space"].values) == {"token"}
    assert points.attrs["image_method"] == "none"


def test_a_wrong_method_or_no_umap_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="method='tsne': must be 'umap', 'neighbours' or 'pca'"):
        project(audit(), method="tsne")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match="umap-learn is missing"):
        project(audit())


@pytest.mark.parametrize("copies", [1, 6])
def test_neighbours_keeps_labels_together(copies: int) -> None:
    tree = audit(arms=("token",), samples=12)
    feature = tree["samples"]["feature"].values
    feature[..., :copies, :] = feature[..., :1, :]
    points = project(tree, method="neighbours")
    assert points.attrs["image_method"] == "neighbours"
    assert points.identical(project(tree, method="neighbours"))
    assert not points.equals(project(tree, method="neighbours", seed=1))
    at = np.stack([points["x"], points["y"]], -1)[points["space"].values == "image"]
    label = points["of_label"].values[points["space"].values == "image"]
    apart = np.linalg.norm(at[:, None] - at, axis=-1)
    np.fill_diagonal(apart, np.inf)
    near = label[np.argsort(apart, 1)[:, :5]]
    assert (near == label[:, None]).mean() > 0.95
    # Copies pull together; without a limit they would throw points far out.
    assert np.ptp(at) < 8 * (np.quantile(at, 0.9) - np.quantile(at, 0.1))


@pytest.mark.slow  # umap compiles itself at its first use
def test_umap_keeps_labels_together() -> None:
    pytest.importorskip("umap")
    tree = audit(arms=("token",), samples=12)
    points = project(tree)
    assert points.attrs["image_method"] == "umap"
    assert points.identical(project(tree))
    at = np.stack([points["x"], points["y"]], -1)[points["space"].values == "image"]
    label = points["of_label"].values[points["space"].values == "image"]
    centre = {n: at[label == n].mean(0) for n in set(label)}
    nearest = [min(centre, key=lambda n: float(np.linalg.norm(p - centre[n]))) for p in at]
    assert np.mean(np.array(nearest) == label) > 0.95
