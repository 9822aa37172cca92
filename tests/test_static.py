"""The static form: well-formed, complete, escaped, small, and without plotly."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from inversion_kit import analysis, figures
from inversion_kit.figures.static import svg
from inversion_kit.testing import synthetic

ALL = ("meaning", "trick", "failure", "mixed")
ARMS = ("name", "token+name", "token", "shuffled")
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "plain", "<b>bold</b>", "</text><script>alert(1)</script>", '" onload="alert(1)', "a & b &lt;",
    "$x^2$", "שלום \u202eabc", "nul\0tab\t\ufffe", "'quoted'", "80", "007",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    """Several labels, with a unit that failed and one that was not run."""
    return synthetic(
        labels=4, arms=ARMS, outcomes=ALL, views=("jpeg",), seeds=2,
        failed=[("sky", "token", 0)], missing=[("green", "token", s) for s in range(2)],
    )  # fmt: skip


def specs(tree: xr.DataTree, label: str) -> dict[str, Any]:
    reads = analysis.reads(tree)
    points = analysis.project(tree, method="pca")
    index, views = analysis.semantic_index(reads), analysis.view_index(reads)
    return {
        "trajectory": figures.trajectory_spec(analysis.trajectory(tree, label=label)),
        "strip": figures.strip_spec(analysis.strip(tree, label=label)),
        "grid": figures.before_after_spec(analysis.grid(tree, label=label)),
        "confusion": figures.confusion_spec(reads),
        "success": figures.success_spec(analysis.success(reads)),
        "semantic": figures.semantic_spec(index, views),
        "words": figures.neighbours_spec(analysis.nearest_words(tree, label=label)),
        "label": figures.projection_spec(points),
        "verdict": figures.projection_spec(points, colour="verdict"),
        "live": figures.live_spec([(0, 0.1, label)], [(1, 0.2)], last=4, goal=0.9),
    }


def drawn(spec: Any, **options: Any) -> ElementTree.Element:
    """The drawing as a page reads it."""
    plain = svg(spec, **options).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1)
    return ElementTree.fromstring(plain)


def trace(t: int, root: ElementTree.Element) -> ElementTree.Element:
    matching = [g for g in root.iter(f"{SVG}g") if g.get("data-t") == str(t)]
    assert len(matching) == 1
    return matching[0]


def said(root: ElementTree.Element) -> str:
    return "\n".join("".join(e.itertext()) for e in root.iter(f"{SVG}text"))


def scatter(**more: Any) -> dict[str, Any]:
    one = {"type": "scatter", "x": [0, 1, 2], "y": [1, 3, 2], "name": "one", **more}
    return {"data": [one], "layout": {"xaxis": {"range": [0, 2]}, "yaxis": {"range": [0, 4]}}}


@pytest.mark.parametrize("label", ["sky", "green", "yellow"])
def test_every_picture_is_drawn_whole(tree: xr.DataTree, label: str) -> None:
    for name, spec in specs(tree, label).items():
        root = drawn(spec, title=True)
        shown = [t for t, one in enumerate(spec["data"]) if one.get("visible", True) is True]
        assert [t for t in range(len(spec["data"])) if t in shown] == [
            int(g.get("data-t", "")) for g in root.iter(f"{SVG}g") if g.get("data-t")
        ], name
        assert root.get("role") == "img"
        assert spec["layout"]["title"]["text"] in (root.get("aria-label") or ""), name
        assert "nan" not in svg(spec), name
        for t in shown:
            one, marks = spec["data"][t], trace(t, root)
            if one.get("hovertext") is not None and "markers" in one.get("mode", ""):
                there = [i for i, y in enumerate(one["y"]) if y is not None and np.isfinite(y)]
                assert len(list(marks.iter(f"{SVG}title"))) == len(there), name


def test_no_script_style_or_reference(tree: xr.DataTree) -> None:
    """What a page's policy would forbid, and what would clash where a page holds many drawings."""
    for spec in specs(tree, "sky").values():
        for element in drawn(spec, index=True).iter():
            assert element.tag.removeprefix(SVG) in (
                "svg", "g", "path", "rect", "text", "tspan", "title", "image"
            )  # fmt: skip
            names = set(element.attrib)
            assert not names & {"style", "id", "onload", "onclick"}
            assert (element.get("href") or "data:").startswith("data:")


def test_names_are_data() -> None:
    tree = synthetic(labels=9, names=HOSTILE, outcomes=ALL, arms=ARMS, size=4)
    for label in HOSTILE[1:9]:
        for name, spec in specs(tree, label).items():
            root = drawn(spec, title=True)
            assert not list(root.iter(f"{SVG}script")), name
            assert all("onload" not in e.attrib for e in root.iter()), name
    words = said(drawn(specs(tree, HOSTILE[1])["success"]))
    assert "<b>bold</b>" in words
    assert "a & b &lt;" in words
    assert "$x^2$" in words
    assert "[U+202E]" in words
    assert "\N{REPLACEMENT CHARACTER}" in words


def test_own_markup_is_kept() -> None:
    spec = scatter()
    text = "<b>1 &lt; 2</b><br>two"
    spec["layout"]["annotations"] = [
        {"text": text, "x": 1, "y": 1, "font": {"size": 12, "color": "#222222"}}
    ]
    element = next(e for e in drawn(spec).iter(f"{SVG}text") if "two" in "".join(e.itertext()))
    assert [span.text for span in element] == ["1 < 2", "two"]
    assert element[0].get("font-weight") == "600"


def test_places_are_those_of_the_values() -> None:
    """``data-box`` and ``data-range`` tell a page's script where a value lies."""
    spec = scatter(mode="markers", marker={"symbol": "circle", "size": 6})
    root = drawn(spec, index=True, width=400, height=300)
    plot = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "plot")
    left, top, width, height = map(float, (plot.get("data-box") or "").split())
    low, high, bottom, upper = map(float, (plot.get("data-range") or "").split())
    marks = [e for e in trace(0, root).iter(f"{SVG}path") if e.get("data-i")]
    assert [e.get("data-i") for e in marks] == ["0", "1", "2"]
    for i, mark in enumerate(marks):
        at = [float(v) for v in re.findall(r"[\d.]+", mark.get("d") or "")[:2]]
        x, y = spec["data"][0]["x"][i], spec["data"][0]["y"][i]
        assert at[0] == pytest.approx(left + width * (x - low) / (high - low), abs=0.06)
        assert at[1] == pytest.approx(top + height * (upper - y) / (upper - bottom), abs=0.06)


def test_an_index_is_customdata() -> None:
    spec = scatter(mode="markers", customdata=[7, [8, 9], 10])
    at = [e.get("data-i") for e in trace(0, drawn(spec, index=True)).iter(f"{SVG}path")]
    assert at == ["7", "8 9", "10"]
    assert "data-i" not in svg(spec)


def test_a_gap_breaks_the_line() -> None:
    path = trace(0, drawn(scatter(y=[1, None, 2])))[0].get("d") or ""
    assert path.count("M") == 2
    assert "L" not in path


@pytest.mark.parametrize(
    "symbol", ["circle", "square", "diamond", "triangle-up", "x", "star", "circle-open",
               "x-thin-open", "diamond-open"],
)  # fmt: skip
def test_every_symbol_differs(symbol: str) -> None:
    looks = {
        s: svg(scatter(mode="markers", marker={"symbol": s, "size": 8}))
        for s in {"circle", "square", "diamond", "x", symbol}
    }
    assert len(set(looks.values())) == len(looks)


def test_far_points_lie_at_the_margin() -> None:
    spec = scatter(mode="markers", y=[1, 99, 2])
    assert svg(spec) == svg(scatter(mode="markers", y=[1, 4, 2]))


def test_bars_lie_beside_each_other_with_their_lines() -> None:
    bar = {"type": "bar", "orientation": "h", "y": [0, 1], "name": "a", "x": [0.5, np.nan]}
    line = {"array": [0.1, 0], "arrayminus": [0.2, 0]}
    data = [{**bar, "error_x": line, "hovertext": ["half", "none"]}, {**bar, "name": "b"}]
    root = drawn({"data": data, "layout": {"yaxis": {"range": [1.5, -0.5]}}})
    first, second = (list(trace(t, root).iter(f"{SVG}rect")) for t in (0, 1))
    assert len(first) == len(second) == 1  # NaN is no bar
    y, height = (float(first[0].get(k) or 0) for k in ("y", "height"))
    assert float(second[0].get("y") or 0) == pytest.approx(y + height, abs=0.1)
    assert first[0][0].text == "half"
    assert len([p for p in trace(0, root).iter(f"{SVG}path") if p.get("stroke")]) == 1


def heatmap(z: Any, **more: Any) -> dict[str, Any]:
    n, m = np.shape(z)
    data = {"type": "heatmap", "z": z, "x": list(range(m)), "y": list(range(n)), **more}
    bar = {"tickvals": [0, 1], "ticktext": ["0", "1"], "title": {"text": "share"}}
    scale = {"colorscale": [[0, "#ffffff"], [1, "#000080"]], "cmin": 0, "cmax": 1, "colorbar": bar}
    axes = {"xaxis": {"range": [-0.5, m - 0.5]}, "yaxis": {"range": [n - 0.5, -0.5]}}
    return {"data": [{**data, "coloraxis": "coloraxis"}], "layout": {"coloraxis": scale, **axes}}


def test_the_area_of_a_cell_is_its_value_and_less_is_hollow() -> None:
    spec = heatmap([[1.0, 0.25], [0.0, -0.25], [np.nan, 0.0]], customdata=np.zeros((3, 2, 2), int))
    cells = [e for e in trace(0, drawn(spec)).iter(f"{SVG}rect") if e.get("data-i")]
    assert [e.get("data-i") for e in cells] == ["0 0"] * 3  # nothing at 0, nothing where unknown
    width = [float(e.get("width") or 0) for e in cells]
    assert width[1] == pytest.approx(width[0] / 2, rel=0.01)
    assert [e.get("fill-opacity") for e in cells] == [None, None, "0"]


def test_many_cells_are_one_picture() -> None:
    share = np.zeros((100, 100))
    share[3, 7] = 1
    spec = heatmap(share)
    image = next(trace(0, drawn(spec)).iter(f"{SVG}image"))
    coded = (image.get("href") or "").partition(",")[2]
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGBA"))
    assert pixels[3, 7].tolist() == [0, 0, 128, 255]
    assert pixels[..., 3].sum() == 255  # what is nothing shows the page
    assert len(svg(spec)) < 5000


def test_a_drawing_is_small(tree: xr.DataTree) -> None:
    """A report of a thousand labels holds a thousand of these."""
    spec = figures.trajectory_spec(analysis.trajectory(tree, label="yellow"))
    assert len(svg(spec, width=520, height=300)) < 8000
    points = 6000
    at = np.random.default_rng(0).random((2, points))
    many = scatter(x=at[0], y=at[1], mode="markers", customdata=list(range(points)))
    assert len(svg(many)) < 20 * points
    assert len(svg(many, index=True)) < 50 * points


def test_no_plotly_and_no_model_library_is_needed() -> None:
    code = (
        "import sys\nsys.modules['plotly'] = None\n"
        "from inversion_kit import analysis, figures\n"
        "from inversion_kit.testing import synthetic\n"
        "tree = synthetic(labels=2)\n"
        "figures.svg(figures.success_spec(analysis.success(tree)))\n"
        "figures.svg(figures.trajectory_spec(analysis.trajectory(tree, label='sky')))\n"
        "figures.projection_spec(analysis.project(tree, method='pca'))\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'timm', 'umap', 'ipywidgets'}\n"
        "print(*(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_words_of_an_axis_do_not_lie_on_each_other() -> None:
    rows = {
        "range": [59.5, -0.5],
        "tickvals": list(range(60)),
        "ticktext": list(map(str, range(60))),
    }
    spec = {"data": [{"type": "scatter", "x": [0], "y": [0]}], "layout": {"yaxis": rows}}
    for height in (200, 400, 2000):
        texts = [e for e in drawn(spec, height=height).iter(f"{SVG}text") if e.get("x") == "53"]
        places = [float(e.get("y") or 0) for e in texts]
        assert len(places) > 9
        assert min(np.diff(places)) >= 12
