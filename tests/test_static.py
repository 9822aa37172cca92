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
from inversion_kit.figures.style import SYMBOLS, layout, note, rows_axis
from inversion_kit.testing import synthetic

SVG = "{http://www.w3.org/2000/svg}"
ALL = {"outcomes": ("meaning", "trick", "failure", "mixed")}
ALL |= {"arms": ("name", "token+name", "token", "shuffled")}
HOSTILE = [
    "plain",
    "<b>bold</b>",
    "</text><script>alert(1)</script>",
    '" onload="alert(1)',
    "a & b &lt;",
    "$x^2$",
    "שלום \u202eabc",
    "nul\0tab\t\ufffe",
    "'quoted'",
    "80",
    "007",
]


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    """Several labels, with a unit that failed and one that was not run."""
    gaps = {"failed": [("sky", "token", 0)], "missing": [("green", "token", s) for s in range(2)]}
    return synthetic(labels=4, views=("jpeg",), seeds=2, **ALL, **gaps)


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


def elements(root: ElementTree.Element, tag: str, trace: int | None = None) -> list[Any]:
    """The elements of a drawing, or of one of its traces."""
    if trace is not None:
        (root,) = [g for g in root.iter(f"{SVG}g") if g.get("data-t") == str(trace)]
    return list(root.iter(f"{SVG}{tag}"))


def scatter(**more: Any) -> dict[str, Any]:
    line = {"color": "#0072B2", "width": 2, "dash": "solid"}
    one = {"type": "scatter", "mode": "lines", "x": [0, 1, 2], "y": [1, 3, 2], "line": line}
    marker = {"symbol": "circle", "size": 6, **more.pop("marker", {})}
    axes = {"xaxis": {"range": [0, 2]}, "yaxis": {"range": [0, 4]}}
    return {"data": [{**one, "marker": marker, **more}], "layout": layout("one", **axes)}


@pytest.mark.parametrize("label", ["sky", "green", "yellow"])
def test_every_picture_is_drawn_whole(tree: xr.DataTree, label: str) -> None:
    for name, spec in specs(tree, label).items():
        root = drawn(spec, title=True)
        shown = [t for t, one in enumerate(spec["data"]) if one.get("visible", True) is True]
        drawings = [g.get("data-t") for g in elements(root, "g") if g.get("data-t")]
        assert drawings == [str(t) for t in shown], name
        assert root.get("role") == "img"
        assert spec["layout"]["title"]["text"] in root.get("aria-label", ""), name
        assert "nan" not in svg(spec), name
        for t in shown:
            one = spec["data"][t]
            if one.get("hovertext") is not None and "markers" in one.get("mode", ""):
                there = [y for y in one["y"] if y is not None and np.isfinite(y)]
                assert len(elements(root, "title", t)) == len(there), name


def test_no_script_style_or_reference(tree: xr.DataTree) -> None:
    """What a page's policy would forbid, and what would clash where a page holds many drawings."""
    known = {"svg", "g", "path", "rect", "text", "tspan", "title", "image"}
    for spec in specs(tree, "sky").values():
        for element in drawn(spec, index=True).iter():
            assert element.tag.removeprefix(SVG) in known
            assert not set(element.attrib) & {"style", "id", "onload", "onclick"}
            assert (element.get("href") or "data:").startswith("data:")


def test_names_are_data() -> None:
    tree = synthetic(labels=9, names=HOSTILE, size=4, **ALL)
    for label in HOSTILE[1:9]:
        for name, spec in specs(tree, label).items():
            root = drawn(spec, title=True)
            assert not elements(root, "script"), name
            assert all("onload" not in e.attrib for e in root.iter()), name
    root = drawn(specs(tree, HOSTILE[1])["success"])
    words = "\n".join("".join(e.itertext()) for e in elements(root, "text"))
    for said in ("<b>bold</b>", "a & b &lt;", "$x^2$", "[U+202E]", "\N{REPLACEMENT CHARACTER}"):
        assert said in words


def test_own_markup_is_kept() -> None:
    spec = scatter()
    spec["layout"]["annotations"] = [note("<b>1 &lt; 2</b><br>two", x=1, y=1)]
    (element,) = [e for e in elements(drawn(spec), "text") if "two" in "".join(e.itertext())]
    assert [span.text for span in element] == ["1 < 2", "two"]
    assert element[0].get("font-weight") == "600"


def test_places_are_those_of_the_values() -> None:
    """``data-box`` and ``data-range`` say to a page's script where a value lies."""
    spec = scatter(mode="markers")
    root = drawn(spec, index=True, width=400, height=300)
    (plot,) = [g for g in elements(root, "g") if g.get("class") == "plot"]
    left, top, width, height = map(float, plot.get("data-box").split())
    low, high, bottom, upper = map(float, plot.get("data-range").split())
    marks = elements(root, "path", 0)
    assert [e.get("data-i") for e in marks] == ["0", "1", "2"]
    for mark, x, y in zip(marks, spec["data"][0]["x"], spec["data"][0]["y"], strict=True):
        at = [float(v) for v in re.findall(r"[\d.]+", mark.get("d"))[:2]]
        assert at[0] == pytest.approx(left + width * (x - low) / (high - low), abs=0.06)
        assert at[1] == pytest.approx(top + height * (upper - y) / (upper - bottom), abs=0.06)
    assert svg(scatter(mode="markers", y=[1, 99, 2])) == svg(scatter(mode="markers", y=[1, 4, 2]))


def test_an_index_is_customdata() -> None:
    spec = scatter(mode="markers", customdata=[7, [8, 9], 10])
    at = [e.get("data-i") for e in elements(drawn(spec, index=True), "path", 0)]
    assert at == ["7", "8 9", "10"]
    assert "data-i" not in svg(spec)


def test_a_gap_breaks_the_line() -> None:
    (path,) = elements(drawn(scatter(y=[1, None, 2])), "path", 0)
    assert path.get("d").count("M") == 2
    assert "L" not in path.get("d")


def test_every_symbol_differs() -> None:
    symbols = (*SYMBOLS, "circle-open", "x-thin-open", "diamond-open")
    looks = {svg(scatter(mode="markers", marker={"symbol": s})) for s in symbols}
    assert len(looks) == len(symbols)


def test_bars_lie_beside_each_other_with_their_lines() -> None:
    marker = {"color": "#0072B2", "pattern": {"shape": ""}}
    bar = {"type": "bar", "y": [0, 1], "x": [0.5, np.nan], "marker": marker}
    line = {"array": [0.1, 0], "arrayminus": [0.2, 0], "color": "#222", "width": 3, "thickness": 1}
    data = [{**bar, "name": "a", "error_x": line, "hovertext": ["half", "none"]}]
    axes = {"xaxis": {"range": [0, 1]}, "yaxis": {"range": [1.5, -0.5]}, "legend": {}}
    root = drawn({"data": [*data, {**bar, "name": "b"}], "layout": layout("", **axes)})
    first, second = (elements(root, "rect", t) for t in (0, 1))
    assert len(first) == len(second) == 1  # NaN is no bar
    y, height = (float(first[0].get(k)) for k in ("y", "height"))
    assert float(second[0].get("y")) == pytest.approx(y + height, abs=0.1)
    assert first[0][0].text == "half"
    assert len([p for p in elements(root, "path", 0) if p.get("stroke")]) == 1


def heatmap(z: Any, **more: Any) -> dict[str, Any]:
    n, m = np.shape(z)
    data = {"type": "heatmap", "z": z, "x": list(range(m)), "y": list(range(n)), **more}
    bar = {"tickvals": [0, 1], "ticktext": ["0", "1"], "title": {"text": "share"}}
    scale = {"colorscale": [[0, "#ffffff"], [1, "#000080"]], "cmin": 0, "cmax": 1, "colorbar": bar}
    axes = {"xaxis": {"range": [-0.5, m - 0.5]}, "yaxis": {"range": [n - 0.5, -0.5]}}
    drawing = layout("", coloraxis=scale, **axes)
    return {"data": [{**data, "coloraxis": "coloraxis"}], "layout": drawing}


def test_the_area_of_a_cell_is_its_value_and_less_is_hollow() -> None:
    spec = heatmap([[1.0, 0.25], [0.0, -0.25], [np.nan, 0.0]], customdata=np.zeros((3, 2, 2), int))
    cells = [e for e in elements(drawn(spec), "rect", 0) if e.get("data-i")]
    assert [e.get("data-i") for e in cells] == ["0 0"] * 3  # nothing at 0, nothing where unknown
    width = [float(e.get("width")) for e in cells]
    assert width[1] == pytest.approx(width[0] / 2, rel=0.01)
    assert [e.get("fill-opacity") for e in cells] == [None, None, "0"]


def test_many_cells_are_one_picture() -> None:
    share = np.zeros((100, 100))
    share[3, 7] = 1
    spec = heatmap(share)
    (image,) = elements(drawn(spec), "image", 0)
    coded = base64.b64decode(image.get("href").partition(",")[2])
    pixels = np.array(Image.open(io.BytesIO(coded)).convert("RGBA"))
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
    spec = scatter()
    spec["layout"]["yaxis"] = rows_axis([str(n) for n in range(60)])
    for height in (300, 500, 2000):
        texts = [e for e in elements(drawn(spec, height=height), "text") if e.get("x") == "63"]
        places = [float(e.get("y")) for e in texts]
        assert len(places) > 9
        assert min(np.diff(places)) >= 12
