"""The pages of `evaluate` and `coverage`: what they show, what they escape, what they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.cli import app
from inversion_kit.errors import InputError
from inversion_kit.reports.evaluate import table_html
from inversion_kit.testing import COLOURS, synthetic

EVIL = "</style><script>alert(1)</script>"


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return synthetic(labels=3, arms=("name", "token", "inverted"), samples=16, size=24)


@pytest.fixture(scope="module")
def folder(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes of a colour each: real images show what no arm does."""
    place = tmp_path_factory.mktemp("real")
    for k, label in enumerate(tree["samples"]["label"].values):
        (place / str(label)).mkdir()
        for i in range(16):
            pixels = np.full((24, 24, 3), COLOURS[str(label)], "u1")
            pixels[i % 3 :: 4] = 30 * k
            Image.fromarray(pixels).save(place / str(label) / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def evaluated(tree: xr.DataTree) -> xr.Dataset:
    return ik.evaluate(tree)


@pytest.fixture(scope="module")
def covered(tree: xr.DataTree, folder: Path) -> xr.Dataset:
    return ik.coverage(tree, folder)


def cells(page: str, row: str) -> list[str]:
    """Text of the cells of the first row of that heading."""
    (found,) = re.findall(rf'<tr><th scope="row">{row}</th>(.*?)</tr>', page, re.DOTALL)[:1]
    return [re.sub(r"<[^>]+>", "", one).strip() for one in re.findall(r"<td.*?</td>", found)]


def test_the_page_of_evaluate_has_the_numbers_of_the_table(evaluated: xr.Dataset) -> None:
    page = table_html(evaluated)
    own = cells(page, "Token")
    value = float(evaluated["overall_success"].sel(arm="token")[0])
    assert own[0].startswith(ik.analysis.words.percent(value))
    assert own[-1] == str(int(evaluated["overall_images"].sel(arm="token")[0]))
    assert "Textual inversion" in page
    assert '<svg width="640"' in page
    assert "no real images were given" in page
    assert page.count("data:image/webp") == 3  # a sheet a label


def test_the_page_of_coverage_counts_as_the_table(covered: xr.Dataset) -> None:
    page = table_html(covered)
    assert covered.attrs["real_traits"] > 0
    row = cells(page, "Token")
    assert row[0] == str(int(covered["covered_traits"].sel(set="token")))
    assert f"{int(covered['images'].sel(set='real').sum())} real images" in page
    assert "✓" in page
    assert ">Real images</th>" in page


def test_it_loads_nothing_and_has_no_script(evaluated: xr.Dataset, covered: xr.Dataset) -> None:
    for table in (evaluated, covered):
        page = table_html(table)
        assert not re.search(r'<script|javascript:|(src|href)="(?!#)', page)
        assert "default-src 'none'" in page


def test_names_are_text(evaluated: xr.Dataset, covered: xr.Dataset) -> None:
    for table in (evaluated, covered):
        names = [EVIL, *table["label"].values[1:]]
        odd = table.assign_coords(label=names, shown=names)
        odd.attrs |= {"classifier": EVIL, "generator": EVIL}
        page = table_html(odd)
        assert "<script" not in page
        assert "&lt;/style&gt;" in page


def test_a_table_of_one_arm_and_no_pictures_has_a_page(tree: xr.DataTree) -> None:
    alone = ik.evaluate(tree.sel(arm=["token"]))
    assert "pictures are worth" in table_html(alone)
    bare = alone.drop_vars(["picture", "pictured", "shown"])
    assert "What was looked at" not in table_html(bare)


def test_report_writes_it_and_refuses_other_tables(evaluated: xr.Dataset, tmp_path: Path) -> None:
    page = ik.report(evaluated, tmp_path / "page.html")
    assert page.read_text(encoding="utf-8") == table_html(evaluated)
    with pytest.raises(InputError, match="expected what evaluate"):
        ik.report(xr.Dataset(), tmp_path / "other.html")
    with pytest.raises(InputError, match="max_mb"):
        ik.report(evaluated, tmp_path / "other.html", max_mb=0.001)
    with pytest.raises(InputError, match="html"):
        ik.report(evaluated, tmp_path / "page.txt")
    assert not (tmp_path / "other.html").exists()


def test_the_commands_write_it(tree: xr.DataTree, folder: Path, tmp_path: Path) -> None:
    stored, page = ik.save(tree, tmp_path / "run.zarr"), tmp_path / "page.html"
    for command in (["evaluate", str(stored)], ["coverage", str(stored), "--real", str(folder)]):
        done = CliRunner().invoke(app, [*command, "--out", str(page)])
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[-1] == f"report: {page.resolve()}"
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
        page.unlink()
        done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "page.txt")])
        assert done.exit_code == 2
        assert "--out" in done.output
