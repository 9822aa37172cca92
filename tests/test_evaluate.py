"""Measures of pictures against the formulas, made-up clouds, and real photographs in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.image.kid import poly_mmd
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.analysis.clouds import LEAST, MEASURES, NEIGHBOURS, clouds
from inversion_kit.analysis.left_out import leave_out, over_labels
from inversion_kit.analysis.quality_words import evaluation_says
from inversion_kit.cli import app
from inversion_kit.errors import InputError, StoreError
from inversion_kit.testing import COLOURS, synthetic

NONE = np.zeros(0, int)
EACH = 20


def measured(points: np.ndarray, reference: np.ndarray | None = None) -> dict[str, float]:
    pair = clouds(points, reference)
    n, m = len(points), 0 if reference is None else len(reference)
    return dict(zip(MEASURES, pair.measures(np.arange(n), np.arange(m)), strict=True))


def cloud(n: int = 30, features: int = 8, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, features))


# ---- the measures


def test_the_kernel_distance_is_that_of_the_formula_and_of_torchmetrics() -> None:
    ours, real = cloud(shift=0.4), cloud(25, seed=1)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / len(a) + 1) ** 3

    own, other = (
        np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
        for x in (ours, real)
    )
    asked = own + other - 2 * np.mean([kernel(a, b) for a in ours for b in real])
    kid = measured(ours, real)["kid"]
    assert kid == pytest.approx(asked)
    even = poly_mmd(torch.tensor(real), torch.tensor(ours[:25]))  # it takes as many of both
    assert measured(ours[:25], real)["kid"] == pytest.approx(float(even))


def test_kernel_neighbours_and_cosines_are_those_of_scikit_learn() -> None:
    """It is installed with the notebook extra's umap-learn."""
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    neighbors = pytest.importorskip("sklearn.neighbors")
    ours, real = cloud(20, shift=0.4), cloud(25, seed=1)
    both, pair = np.concatenate([ours, real]), clouds(ours, real)
    kernel = pairwise.polynomial_kernel(both, degree=3, coef0=1)  # gamma: 1 / features
    np.testing.assert_allclose(pair.kernel, kernel)
    np.testing.assert_allclose(pair.cosine, pairwise.cosine_similarity(ours), atol=1e-12)

    def inside(points: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Which points lie in the ball around each of others."""
        near = neighbors.NearestNeighbors(n_neighbors=NEIGHBOURS).fit(of)
        reach = near.kneighbors()[0][:, -1]  # without itself
        return np.asarray(pairwise.euclidean_distances(points, of) <= reach)

    made, held, back = measured(ours, real), inside(ours, real), inside(real, ours)
    assert made["precision"] == held.any(1).mean()
    assert made["recall"] == back.any(1).mean()
    assert made["density"] == pytest.approx(held.sum() / (NEIGHBOURS * len(ours)))
    assert made["coverage"] == held.any(0).mean()
    assert 0 < made["recall"] < 1


def test_identical_pictures_are_one_and_orthogonal_ones_as_many_as_they_are() -> None:
    assert measured(np.ones((12, 5)))["vendi"] == pytest.approx(1)
    assert measured(3 * np.eye(12))["vendi"] == pytest.approx(12)
    assert measured(np.repeat(np.eye(4), 3, 0))["vendi"] == pytest.approx(4)


def test_precision_and_recall_of_clouds_made_by_hand() -> None:
    """Half of the pictures lie on half of the reference, the others far from everything."""
    left, right = cloud(20, 2) * 0.1, cloud(20, 2, seed=1) * 0.1 + 100
    far = cloud(20, 2, seed=2) * 0.1 - 100
    made = measured(np.concatenate([left, far]), np.concatenate([left, right]))
    assert made["precision"] == made["recall"] == made["coverage"] == 0.5
    same = measured(left, left)
    assert [same[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert same["density"] >= 1
    apart = measured(left, far)
    assert [apart[name] for name in ("precision", "recall", "density", "coverage")] == [0] * 4
    wide = measured(cloud(20, 2), cloud(20, 2, seed=1) * 0.001)  # its balls hold all of the real
    assert wide["recall"] == 1
    assert wide["precision"] < 0.2


def test_too_few_pictures_have_no_measure() -> None:
    assert np.isnan(measured(cloud(5), cloud(30))["kid"])
    assert np.isnan(measured(cloud(1))["vendi"])
    with pytest.raises(InputError, match="finite"):
        clouds(np.array([[np.nan, 1.0]]))
    with pytest.raises(InputError, match="as many features"):
        clouds(cloud(9, 3), cloud(9, 4))


def test_intervals_hold_what_many_draws_give() -> None:
    """19 of 20 in the long run; fewer than 4 of 5 in 25 has a chance below 1 %."""
    tables = []
    for seed in range(25):
        pair = clouds(cloud(20, 4, 0.5, seed), cloud(20, 4, 0, 100 + seed))
        left = leave_out(pair, np.arange(20), np.zeros(20, int), noises=20, runs=1)
        tables.append(over_labels([left]))
    value, low, high = np.moveaxis(np.array(tables), 1, 0)
    middle = value.mean(0)
    for i in (0, MEASURES.index("vendi")):
        held = (low[:, i] <= middle[i]) & (middle[i] <= high[:, i])
        assert held.mean() >= 0.8
    assert (high - low)[:, 0].mean() < 6 * value[:, 0].std()


def test_runs_that_differ_widen_the_interval() -> None:
    points = np.concatenate([cloud(10), cloud(10, shift=2)])
    noise, run = np.arange(20), np.repeat([0, 1], 10)
    pair = clouds(points, cloud(20, seed=3))
    one = over_labels([leave_out(pair, noise, run * 0, noises=20, runs=1)])
    two = over_labels([leave_out(pair, noise, run, noises=20, runs=2)])
    assert (two[2] - two[1])[0] > 2 * (one[2] - one[1])[0]


# ---- a result


class _Means(nn.Module):
    """A network whose features are means of colours in quarters of a picture."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(12, classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.features(images))


@pytest.fixture(scope="module")
def tree():
    return synthetic(
        labels=2, arms=("name", "token"), samples=16, outcomes=("meaning", "failure"), seeds=1
    )


@pytest.fixture(scope="module")
def network(tree) -> ik.Classifier:
    labels = [str(n) for n in tree["samples"]["class"].values]
    torch.manual_seed(0)
    model = _Means(len(labels))
    size = ik.Preprocess(size=(8, 8))
    return ik.Classifier(model, size, labels, name="means", features=model.features)


@pytest.fixture(scope="module")
def folder(tree, tmp_path_factory) -> Path:
    """Real images that are the arm's own pictures of the plain name, a little noise on them."""
    root = tmp_path_factory.mktemp("real")
    chance = np.random.default_rng(5)
    for label in ("sky", "green"):
        (root / label).mkdir()
        images = tree["samples"]["image"].sel(label=label, arm="name").isel(seed=0).values
        for k in range(EACH):
            noisy = images[k % len(images)] + chance.normal(0, 6, images.shape[1:])
            Image.fromarray(noisy.clip(0, 255).astype("u1")).save(root / label / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def table(tree, network, folder):
    return ik.evaluate(tree, folder, classifier=network, judges=[])


def test_success_is_that_of_the_analysis(tree, table) -> None:
    own = ik.success(tree)
    np.testing.assert_array_equal(table["success"], own["share"])
    assert table["images"].values.min() == 16
    gain = table["overall_gain"].sel(arm="token", scorer="synthetic:classifier").item()
    assert gain == pytest.approx(-0.5)  # one label of two is never reached
    assert np.isnan(table["gain"].sel(arm="name")).all()
    assert (table["gain_low"] <= table["gain"]).sel(arm="token").all()


def test_pictures_that_are_like_the_real_ones_are_nearer(table) -> None:
    kid = table["value"].sel(network="means", measure="kid")
    assert kid.sel(label="green", set="token") > 10 * abs(kid.sel(label="green", set="name"))
    change = table.sel(label="green", set="token", network="means", measure="kid")
    assert change["change_low"] > 0
    assert table["pictures"].values.tolist() == [[EACH // 2] * 3] * 2  # as many of every set
    assert table["reference"].values.tolist() == [EACH // 2] * 2
    ends = table["value_low"] <= table["value"], table["value"] <= table["value_high"]
    there = np.isfinite(table["value_low"])
    assert all(end.where(there, True).all() for end in ends)


def test_a_share_of_all_has_no_interval_of_no_width(table) -> None:
    every = table.sel(measure=["precision", "recall", "coverage"])
    sure = np.isfinite(every["value"])
    assert sure.any()
    assert (every["value_high"] > every["value_low"]).where(sure, True).all()


def test_a_mean_over_labels_is_their_mean(table) -> None:
    np.testing.assert_allclose(table["overall_value"], table["value"].mean("label"))
    assert (table["overall_labels"] == 2).all()


def test_without_real_images_the_stored_features_are_measured(tree) -> None:
    alone = ik.evaluate(tree)
    assert alone["network"].values.tolist() == ["synthetic:classifier"]
    vendi = alone["value"].sel(measure="vendi", set="token", label="sky").item()
    features = tree["samples"]["feature"].sel(label="sky", arm="token").values[0]
    assert vendi == pytest.approx(measured(features)["vendi"])
    assert np.isnan(alone["value"].sel(measure="kid")).all()
    assert np.isnan(alone["value"].sel(set="real")).all()


def test_labels_with_too_few_real_images_are_left_out(tree, network, folder, tmp_path) -> None:
    for label, n in (("sky", EACH), ("green", 2 * LEAST - 1)):
        (tmp_path / label).mkdir()
        for k in range(n):
            (tmp_path / label / f"{k}.png").write_bytes((folder / label / f"{k}.png").read_bytes())
    made = ik.evaluate(tree, tmp_path, classifier=network, judges=[])
    assert made["pictures"].sel(label="green").values.tolist() == [0, 0, 0]
    assert np.isfinite(made["value"].sel(label="sky", measure="kid")).all()
    assert (made["overall_labels"] == 1).all()


def test_sentences_say_what_is_measured_and_of_how_many(table) -> None:
    said = "\n".join(evaluation_says(table))
    assert "KID" in said
    assert "means" in said
    assert "of 32" in said
    assert f"{EACH // 2} pictures" in said


def test_refusals(tree, network, folder, tmp_path) -> None:
    with pytest.raises(InputError, match="no such folder"):  # the result's own made-up name
        ik.evaluate(tree, folder)
    with pytest.raises(InputError, match="other labels"):
        ik.evaluate(tree, folder, classifier="pocket:honest")
    with pytest.raises(InputError, match="judges='means'"):
        ik.evaluate(tree, folder, classifier=network, judges="means")
    bare = ik.Classifier(network.model, network.preprocess, network.labels, name="bare")
    with pytest.raises(InputError, match="has features"):
        ik.evaluate(tree, folder, classifier=bare, judges=[])
    Image.new("RGB", (8, 8), COLOURS["sky"]).save(tmp_path / "1.png")
    with pytest.raises(InputError, match="no folder a class"):
        ik.evaluate(tree, tmp_path, classifier=network, judges=[])
    (tmp_path / "sky").mkdir()
    (tmp_path / "1.png").rename(tmp_path / "sky" / "1.png")
    with pytest.raises(InputError, match=f"{2 * LEAST} or more"):
        ik.evaluate(tree, tmp_path, classifier=network, judges=[])
    with pytest.raises(StoreError, match="audit"):
        ik.evaluate(tmp_path / "audit")


def test_the_command_prints_sentences_or_json(tree, tmp_path) -> None:
    ik.save(tree, tmp_path / "run.zarr")
    asked = ["evaluate", str(tmp_path / "run.zarr")]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0
    assert "Read as their label" in said.output
    data = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    assert data["data_vars"]["overall_success"]["dims"] == ["arm", "scorer"]
    bad = CliRunner().invoke(app, [*asked, "--real", str(tmp_path / "no")])
    assert bad.exit_code == 2
