"""The report is one honest, escaped, accessible file that loads nothing."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import inspect
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from inversion_kit import schema
from inversion_kit.analysis import runs as analysis
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.reports import html_report, report_parts
from inversion_kit.search.run import invert
from inversion_kit.testing import synthetic_run

HOSTILE = "</script><img src=https://evil.example/x onerror=alert(1)>{{ 7*7 }}{% raw %}&\"'"
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Elements, text and balance of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.data = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data += data
        elif not (self.open and self.open[-1] == "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def renamed(tree: xr.DataTree, name: str) -> xr.DataTree:
    """The tree with ``name`` as its label, models, words, prompts, starts, judge and settings."""
    parts = {k: node.to_dataset(inherit=False) for k, node in tree.children.items()}
    for group in ("trajectory", "validation", "samples"):
        names = [str(n) for n in parts[group]["class"].values]
        names[tree.attrs["label_index"]] = name
        parts[group] = parts[group].assign_coords({"class": names})
    parts["samples"]["prompt"].values[:] = name
    parts["samples"] = parts["samples"].assign_coords(judge=[name])
    parts["validation"]["start"].values[0, 2:] = name
    parts["token"]["nearest_word"].values[:] = name
    parts["probe"] = parts["probe"].assign_coords(
        word=[name, *(str(w) for w in parts["probe"]["word"].values[1:])]
    )
    return schema.build(parts, {
        **tree.attrs, "label": name, "classifier": name, "generator": name,
        "judges": json.dumps([name]), "judge_hashes": json.dumps({name: name}),
        "settings": json.dumps({name: name}),
        "versions": json.dumps({name: [name]}), "created": name,
    })  # fmt: skip


def data_of(page: Page) -> dict[str, Any]:
    """The numbers in a page, without the script after them; NaN is none of them."""
    found, _ = json.JSONDecoder(parse_constant=pytest.fail).raw_decode(page.data)
    return found


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html_report.to_html(synthetic_run(size=4)))


def test_report_writes_what_to_html_gives(tmp_path: Path) -> None:
    tree = synthetic_run(size=4)
    path = html_report.report(tree, tmp_path / "a b.html")
    assert path == tmp_path / "a b.html"
    assert path.read_text(encoding="utf-8") == html_report.to_html(tree)
    assert html_report.report(tree, str(path)) == path


def test_path_is_checked(tmp_path: Path) -> None:
    tree = synthetic_run(size=4)
    with pytest.raises(InputError, match=r"must end in \.html, such as 'out\.html'"):
        html_report.report(tree, tmp_path / "out.htm")
    with pytest.raises(StoreError, match="does not exist"):
        html_report.report(tree, tmp_path / "nowhere" / "out.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        html_report.report(tree, tmp_path / "folder.html")


def test_invalid_tree_is_refused() -> None:
    tree = synthetic_run(size=4)
    del tree["probe"]
    with pytest.raises(SchemaError, match="/probe: missing"):
        html_report.to_html(tree)


def test_nothing_is_loaded(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,"), (tag, name)
        assert not any(name.startswith("on") for name in attributes)
    text = html_report.to_html(synthetic_run(size=4))
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_one_script_runs_and_the_policy_forbids_any_other(page: Page) -> None:
    assert [s.get("type") for s in page.all("script")] == ["application/json", None]
    policy = [
        m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy
    assert policy[0] is not None
    assert "default-src 'none'" in policy[0]
    own = html_report.to_html(synthetic_run(size=4)).split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert policy[0].count("script") == 1
    assert f"script-src 'sha256-{digest}';" in policy[0]


def test_hostile_names_stay_text() -> None:
    tree = renamed(synthetic_run(size=4), HOSTILE)
    text = html_report.to_html(tree)
    page = Page(text)
    assert [s.get("type") for s in page.all("script")] == ["application/json", None]
    assert text.count("</script>") == 2
    assert all((i["src"] or "").startswith("data:image/png") for i in page.all("img"))
    assert not any(n.startswith("on") for _, attributes in page.elements for n in attributes)
    for told in (f"“{HOSTILE}”", "{{ 7*7 }}"):
        assert told in page.text
    assert page.text.count(HOSTILE) > 20
    assert data_of(page)["label"] == HOSTILE


def test_elements_are_balanced_and_ids_unique(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for named in (attributes.get("aria-labelledby") or "").split():
            assert named in ids


def test_every_image_is_a_png_with_alt_text(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 6 * 4 + 3 * 3 + 3 * 6
    for image in images:
        assert image["alt"]
        assert re.search(r"noise \d", image["alt"], re.IGNORECASE)
        raw = base64.b64decode((image["src"] or "").partition(",")[2])
        assert Image.open(io.BytesIO(raw)).format == "PNG"


def test_pixels_are_the_stored_ones_in_stored_order(page: Page) -> None:
    tree = synthetic_run(size=4)
    stored = tree["validation"]["image"].values[0]
    for position, (sample, check) in ((0, (0, 0)), (3, (0, 3)), (4, (1, 0))):
        raw = base64.b64decode((page.all("img")[position]["src"] or "").partition(",")[2])
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(raw))), stored[check, sample])


def test_large_images_are_shrunk_and_small_ones_kept_sharp() -> None:
    large = Page(html_report.to_html(synthetic_run(seeds=1, checks=2, samples=1, size=300))).all(
        "img"
    )[0]
    small = Page(html_report.to_html(synthetic_run(seeds=1, checks=2, samples=1, size=4))).all(
        "img"
    )[0]
    assert (large["width"], large.get("class")) == ("192", None)
    assert (small["width"], small.get("class")) == ("4", "small")


def test_sentences_stand_first(page: Page) -> None:
    for sentence in analysis.summary_sentences(synthetic_run(size=4)):
        plain = re.sub(r"\s+", " ", sentence)
        assert plain in page.text
        assert page.text.index(plain) < page.text.index("The class appears step by step")


def test_sections_come_in_order(page: Page) -> None:
    heads = ["The class appears step by step", "Confidence over the updates", "Before and after",
             "How often it works", "Words near the token", "How it was made", "Limits"]  # fmt: skip
    positions = [page.text.index(head) for head in heads]
    assert positions == sorted(positions)


def test_success_table_holds_the_analysis(page: Page) -> None:
    table = analysis.success(synthetic_run(size=4))
    for arm in table["arm"].values:
        for scorer in table["scorer"].values:
            row = table.sel(arm=arm, scorer=scorer)
            low, high = float(row["low"]), float(row["high"])
            assert analysis.percent(float(row["success"])).replace("\xa0", " ") in page.text
            assert analysis.bracket(low, high).replace("\xa0", " ") in page.text
    data = data_of(page)
    assert [r["success"] for r in data["success"]] == table["success"].values.ravel().tolist()


def test_restart_kept_check_and_provenance_are_told(page: Page) -> None:
    for text in ("restart at “round”", "kept", "0" * 64, "1" * 64, "2" * 64, "last_step",
                 "12 seconds", "A token can only show what the generator can paint",
                 "The vocabulary probe was not run here."):  # fmt: skip
        assert text in page.text


def test_probe_shows_its_ten_best_words(page: Page) -> None:
    values = synthetic_run(size=4)["probe"]["log_probability"].values[0]
    best = np.sort(values)[::-1]
    assert "the best 10 of 11 words" in page.text
    assert f"\N{MINUS SIGN}{abs(best[0]):.2f}" in page.text
    assert f"\N{MINUS SIGN}{abs(best[10]):.2f}" not in page.text


def test_chart_draws_the_trajectory() -> None:
    path = analysis.trajectory(synthetic_run())
    chart = report_parts.chart(path, 0)
    bottom, top = chart["bottom"], chart["top"]
    for mark, share in zip(chart["marks"], path["target_probability"].values[0], strict=True):
        assert mark["target"] == pytest.approx(bottom - (bottom - top) * share, abs=0.06)
    assert len(chart["lines"]) == 2
    assert [r["says"] for r in chart["restarts"]] == ["“round”"]


def test_strip_spreads_over_the_checks_and_keeps_the_kept_one() -> None:
    assert report_parts.spread(np.arange(4), 9, 3) == [0, 1, 2, 3]
    picked = report_parts.spread(np.arange(40), 9, 17)
    assert len(picked) == 9
    assert picked[0] == 0
    assert picked[-1] == 39
    assert 17 in picked
    assert max(np.diff(picked)) <= 8


def test_failure_is_shown() -> None:
    page = Page(html_report.to_html(synthetic_run(size=4, outcome="failure", judges=())))
    assert "The token failed: not one of its test images" in page.text
    assert "not told apart" in page.text


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": 1, "steps": 1, "checks": 2, "samples": 1, "classes": 2, "size": 2},
        {"seeds": 3, "steps": 200, "checks": 30, "samples": 9, "classes": 12, "judges": ("a", "b")},
    ],
)
def test_other_sizes(options: dict[str, Any]) -> None:
    page = Page(html_report.to_html(synthetic_run(**{"size": 2, **options})))
    assert page.open == []
    assert "nan" not in page.text.lower()
    data_of(page)


def test_the_size_is_kept_and_what_is_left_out_is_said() -> None:
    tree = synthetic_run(seeds=3, checks=8, steps=8, samples=6, size=96)
    whole = html_report.to_html(tree)
    assert "Pictures are compressed" not in whole
    limit = len(whole.encode()) / 1e6 * 0.3
    small = html_report.to_html(tree, max_mb=limit)
    assert len(small.encode()) <= limit * 1e6
    page = Page(small)
    assert all((i["src"] or "").startswith("data:image/webp") for i in page.all("img"))
    assert "Pictures are compressed with loss" in page.text
    told = re.search(r"Test images: (\d+) of 18 of each arm", page.text)
    assert told is not None
    arms = 3 * int(told[1])
    noises = re.search(r"of (\d) of 3 runs, (\d) of 6 noises", page.text)
    assert noises is not None
    assert len(page.all("img")) > arms
    with pytest.raises(InputError, match=r"max_mb=0\.01: the report of 3 runs needs about"):
        html_report.to_html(tree, max_mb=0.01)


def test_the_code_makes_the_same_run_again() -> None:
    tree = synthetic_run(size=4)
    settings = {"prompts": ["a {token}'s"], "seed": [0, 1], "steps": 3, "queries": None}
    tree.attrs.update(settings=json.dumps(settings), judges=json.dumps(["pocket:judge"]))
    text = html_report.to_html(tree).split('aria-label="Code"><code>')[1].split("</code>")[0]
    call = ast.parse(html.unescape(text)).body[1].value  # type: ignore[attr-defined]
    assert [a.value for a in call.args] == [tree.attrs["classifier"], tree.attrs["label_index"]]
    given = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    assert given == {
        "generator": tree.attrs["generator"], "judges": ["pocket:judge"],
        "prompts": ["a {token}'s"], "seed": [0, 1], "steps": 3,
    }  # fmt: skip
    assert set(given) <= set(inspect.signature(invert).parameters)


def test_methods_and_findings_are_told() -> None:
    tree = synthetic_run(size=4)
    page = Page(html_report.to_html(tree))
    assert "How it was done, and its controls" in page.text
    assert "What this page leaves out" in page.text
    assert "Factors that the token moved" not in page.text
    says = ("factor", np.array(["moved", "not told apart"], dtype=object))
    tree["findings"] = xr.DataTree(xr.Dataset(
        {"effect": ("factor", [0.1, -0.42]), "low": ("factor", [0.0, -0.6]),
         "high": ("factor", [0.2, -0.2]), "p": ("factor", [np.nan, 0.01]),
         "verdict": says, "confirmation": says},
        coords={"factor": ["snow", "yellow border"]},
    ))  # fmt: skip
    page = Page(html_report.to_html(tree))
    assert "yellow border −0.42" in page.text
    found = data_of(page)["findings"]
    assert [f["factor"] for f in found] == ["yellow border", "snow"]
    assert found[1]["p"] is None


def test_arms_of_the_users_own_are_shown() -> None:
    tree = synthetic_run(size=4)
    parts = {k: node.to_dataset(inherit=False) for k, node in tree.children.items()}
    parts["samples"] = parts["samples"].assign_coords(arm=["mine", "token", "yours"])
    page = Page(html_report.to_html(schema.build(parts, dict(tree.attrs))))
    assert "mine" in page.text
    assert "against its controls" not in page.text
