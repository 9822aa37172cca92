"""The report is one honest, escaped, accessible file that loads nothing, within its size."""

from __future__ import annotations

import ast
import base64
import hashlib
import html as markup
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

import inversion_kit
from inversion_kit import analysis, schema
from inversion_kit.analysis import held
from inversion_kit.analysis.where import where_words
from inversion_kit.analysis.words import bracket, percent
from inversion_kit.cli import app
from inversion_kit.errors import InputError, SchemaError, StoreError
from inversion_kit.reports import report, to_html, write_json, write_report
from inversion_kit.reports.sprites import sheet
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import (
    COLOURS,
    synthetic,
    synthetic_findings,
    synthetic_plan,
    synthetic_unit,
)
from tests.results import audit, counted

HOSTILE = "</script><img src=https://evil.example/x onerror=alert(1)>{{ 7*7 }}{% raw %}&\"'"
OUTCOMES = ("meaning", "trick", "failure", "mixed")
ARMS = ("name", "token+name", "token", "shuffled")
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Elements, text and balance of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.script = ""
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
            self.script += data
        elif not (self.open and self.open[-1] == "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return words(" ".join(self.texts))

    @property
    def data(self) -> dict[str, Any]:
        """The numbers in the page, without the script after them; NaN is none of them."""
        data, _ = json.JSONDecoder(parse_constant=pytest.fail).raw_decode(self.script)
        return data

    @property
    def pictures(self) -> list[dict[str, str | None]]:
        return [a for _, a in self.elements if "p" in (a.get("class") or "").split()]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def sheets(html: str) -> dict[str, Image.Image]:
    made = re.findall(r"\.([sf]\d+)\{background-image:url\(data:image/webp;base64,([^)]+)\)", html)
    return {name: Image.open(io.BytesIO(base64.b64decode(data))) for name, data in made}


def many(**options: Any) -> xr.DataTree:
    return synthetic(
        **{
            "labels": 5,
            "arms": ARMS,
            "views": ("jpeg", "blur"),
            "steps": 6,
            "samples": 4,
            **options,
        }
    )


def hostile(labels: int = 6, text: str = HOSTILE) -> xr.DataTree:
    """A result whose every text is hostile; one label alone is ``text``."""
    nasty = [
        "</style><b>",
        text,
        "javascript:alert(1)",
        "{{7*7}}",
        "\u202egpj.exe",
        "\x00a",
        "<img src=x onerror=alert(2)>",
        "', alert(3), '",
    ]
    failed = [("{{7*7}}", "token", 0)] * (labels > 3)
    tree = many(
        labels=labels, seeds=1, names=[*dict.fromkeys(nasty)], judges=(text,), failed=failed
    )
    parts = {k: node.to_dataset(inherit=False).load() for k, node in tree.children.items()}
    for group, names in (
        ("samples", ["prompt"]),
        ("token", ["nearest_word"]),
        ("probe", ["word"]),
        ("validation", ["start"]),
        ("status", ["reason"]),
    ):
        for name in names:
            there = parts[group][name].values != ""
            parts[group][name].values[there] = text
    settings = {**json.loads(tree.attrs["settings"]), "prompts": [text], text: text}
    settings["sources"] = {"model": text, "generator": text, "judges": [text]}
    return schema.build(
        parts,
        {
            **tree.attrs,
            "classifier": text,
            "generator": text,
            "created": text,
            "settings": json.dumps(settings),
            "versions": json.dumps({text: text}),
        },
    )


def with_findings(tree: xr.DataTree, *rows: tuple[str, str, float, str]) -> xr.DataTree:
    """The tree with findings: label, cue, effect and sentence of each."""
    n = len(rows)
    held = {
        "of_label": [r[0] for r in rows],
        "direction": ["paint"] * n,
        "cue": [r[1] for r in rows],
        "lens": ["mask"] * n,
        "effect": np.array([r[2] for r in rows], "f4"),
        "low": np.array([r[2] - 0.1 for r in rows], "f4"),
        "high": np.array([r[2] + 0.1 for r in rows], "f4"),
        "sources": np.full(n, 8),
        "of": np.full(n, 10),
        "placebo": np.full(n, np.nan, "f4"),
        "confirmed": np.full(n, True),
        "only": [""] * n,
        "judges": np.zeros(n, "f4"),
        "chance": np.zeros(n, "f4"),
        "verdict": ["moved"] * n,
        "sentence": [r[3] for r in rows],
    }
    data = {
        k: ("finding", np.array(v, object) if isinstance(v, list) else v) for k, v in held.items()
    }
    tree["findings"] = xr.DataTree(xr.Dataset(data, coords={"finding": np.arange(n)}))
    return schema.validate(tree)


@pytest.fixture(scope="module")
def one() -> xr.DataTree:
    return synthetic(size=4)


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return many(
        outcomes=OUTCOMES, samples=16, failed=[("sky", "token", 1)], missing=[("red", "name", 0)]
    )


@pytest.fixture(scope="module")
def html(tree: xr.DataTree) -> str:
    return to_html(tree)


@pytest.fixture(scope="module")
def single(one: xr.DataTree) -> Page:
    return Page(to_html(one))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


# The file


def test_report_writes_what_to_html_gives(tmp_path: Path, one: xr.DataTree) -> None:
    path = report(one, tmp_path / "a b.html")
    assert path == tmp_path / "a b.html"
    assert path.read_text(encoding="utf-8") == to_html(one)
    assert report(one, str(path)) == path
    data = analysis.numbers(one, pictures=True)
    assert write_report(one, path, data).read_text("utf-8") == to_html(one)
    assert json.loads(write_json(data, tmp_path / "a.json").read_text("utf-8")) == data


def test_path_is_checked(tmp_path: Path, one: xr.DataTree) -> None:
    with pytest.raises(InputError, match=r"must end in \.html, such as 'out\.html'"):
        report(one, tmp_path / "out.htm")
    with pytest.raises(StoreError, match="does not exist"):
        report(one, tmp_path / "nowhere" / "out.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="a folder is there; give a file"):
        report(one, tmp_path / "folder.html")


def test_invalid_tree_is_refused() -> None:
    tree = synthetic(size=4)
    del tree.attrs["schema_version"]
    with pytest.raises(SchemaError):
        to_html(tree)


def test_a_label_of_many_is_reported_as_one(tree: xr.DataTree) -> None:
    of_many = Page(to_html(tree.sel(label="sky")))
    assert "“ sky ”" in of_many.text
    assert "All labels" not in of_many.text
    row = next(row for row in analysis.numbers(tree)["labels"] if row["label"] == "sky")
    assert of_many.data["labels"][0]["success"] == row["success"]


def test_a_folder_is_reported_by_its_path(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    page = Page(report(tmp_path / "audit", tmp_path / "a.html").read_text("utf-8"))
    assert "No images" in page.text
    assert page.open == []


@pytest.mark.parametrize(("most", "times"), [(held.MOST, 1), (10_000, 2)])
def test_every_softmax_is_read_once(
    most: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command with page, JSON and gates; of a result too large for memory label by label."""
    tree, taken = counted(audit(labels=3))
    inversion_kit.save(tree, tmp_path / "run.zarr")
    taken.clear()
    monkeypatch.setattr(inversion_kit, "open", lambda _: tree)
    monkeypatch.setattr(held, "MOST", most)
    given = ["report", str(tmp_path / "run.zarr"), "--out", str(tmp_path / "a.html")]
    done = CliRunner().invoke(app, [*given, "--json", "--fail-if", "failed>99"])
    assert done.exit_code == 0, done.output
    assert taken.pop("samples/image") > 0
    assert taken.pop("validation/image") > 0
    scores = ("probability", "judge_probability", "trained_probability")
    assert taken.keys() == {*(f"samples/{name}" for name in scores), "validation/probability"}
    assert max(taken.values()) <= 3 * times


# What a browser may do with it


@pytest.mark.parametrize("which", ["single", "page"])
def test_nothing_is_loaded_and_only_two_styles_and_a_script_run(
    which: str, request: pytest.FixtureRequest, one: xr.DataTree, html: str
) -> None:
    page = request.getfixturevalue(which)
    text = html if which == "page" else to_html(one)
    assert [s.get("type") for s in page.all("script")] == ["application/json", None]
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m) or ""
    blocks = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        digest = hashlib.sha256(block.encode()).digest()
        assert base64.b64encode(digest).decode() in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/")), (tag, name)
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.parametrize("labels", [1, 6])
def test_hostile_texts_stay_text(labels: int) -> None:
    html = to_html(synthetic_findings(hostile(labels), cues=[HOSTILE]))
    page = Page(html)
    assert page.open == []
    assert [s.get("type") for s in page.all("script")] == ["application/json", None]
    assert html.count("</script>") == 2
    assert html.count("</style>") == 2
    assert not any(n.startswith("on") for _, a in page.elements for n in a)
    assert not page.all("img")
    seen = [HOSTILE]
    if labels > 1:
        seen += ["</style><b>", "{{7*7}}", "[U+202E]gpj.exe", "javascript:alert(1)", "[U+0000]a"]
    for text in seen:
        assert text in page.text
    assert page.text.count(HOSTILE) > 20
    assert "\u202e" not in html
    assert page.data["classifier"] == HOSTILE


@pytest.mark.parametrize("which", ["single", "page"])
def test_elements_are_balanced_and_ids_unique(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    assert page.open == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, a in page.elements:
        assert set((a.get("aria-labelledby") or "").split()) <= set(ids)
        if (a.get("href") or "").startswith("#"):
            assert (a["href"] or "")[1:] in ids


# Pictures


@pytest.mark.parametrize("which", ["single", "page"])
def test_every_picture_has_words(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    assert len(page.pictures) > (40 if which == "single" else 5 * (4 * 8 + 4 * 4))
    assert all(a.get("role") == "img" and a.get("aria-label") for a in page.pictures)
    assert all(a.get("aria-label") for a in page.all("svg") if "aria-hidden" not in a)


def test_pixels_of_one_label_are_the_stored_ones_in_stored_order(one: xr.DataTree) -> None:
    picture = np.asarray(sheets(to_html(one))["s0"].convert("RGB"))
    stored = one["samples"]["image"].values[0]
    for a in range(3):
        for c in range(6):
            cell = picture[a * 4 : a * 4 + 4, c * 4 : c * 4 + 4]
            assert np.array_equal(cell, stored[a, c // 3, c % 3])
    held = one["validation"]["image"].values[0, 2, 0]
    for sample, check in ((0, 0), (0, 3), (1, 0)):
        y, x = 4 * (3 + sample), 4 * check
        assert np.array_equal(picture[y : y + 4, x : x + 4], held[check, sample])


def test_a_picture_is_cut_from_its_place(html: str, tree: xr.DataTree) -> None:
    made = sheets(html)
    assert sorted(made) == [f"s{i}" for i in range(5)]
    picture = np.asarray(made["s0"].convert("RGB")).astype(int)
    stored = tree["samples"]["image"].values[0, :, 0, :4].astype(int)
    for a in range(4):
        for c in range(4):
            cell = picture[a * 8 : a * 8 + 8, c * 8 : c * 8 + 8]
            near = np.abs(cell - stored[a, c]).mean()
            other = np.abs(cell - stored[a, (c + 1) % 4]).mean()
            assert near < other or np.array_equal(stored[a, c], stored[a, (c + 1) % 4])
    # A run that failed leaves grey cells.
    assert abs(picture[18:22, 36:60].mean() - 205) < 4


@pytest.mark.parametrize(("size", "shown", "smooth"), [(300, 192, True), (4, 4, False)])
def test_large_images_are_shrunk_and_small_ones_kept_sharp(
    size: int, shown: int, smooth: bool
) -> None:
    html = to_html(synthetic(seeds=1, checks=2, samples=1, size=size))
    assert sheets(html)["s0"].size == (2 * shown, 4 * shown)
    assert ("image-rendering:pixelated" in html) != smooth
    assert (f"Pictures are {shown} pixels wide, stored are {size}" in html) == (size > shown)


def test_a_label_whose_first_run_failed_shows_its_second() -> None:
    page = Page(to_html(many(samples=8, failed=[("sky", "token", 0)])))
    shown = [a for _, a in page.elements if "data-picture" in a]
    own = [a for a in shown if (a["data-picture"] or "").startswith("0 ")]
    assert {a["data-picture"] for a in own} == {"0 4", "0 5", "0 6"}  # of run 1
    assert {a["class"] for a in own} == {"p s0 r2 c4", "p s0 r2 c5", "p s0 r2 c6"}
    assert own[0]["aria-label"] == "sky, token, run 1, noise 1"
    assert {a["data-picture"] for a in shown} - {a["data-picture"] for a in own} == {
        f"{i} {c}" for i in range(1, 5) for c in range(3)
    }
    glance = [a["class"] for _, a in page.elements if a.get("aria-label") == "Picture of"]
    assert "p s0 r2 c4" in glance


def test_a_sheet_refuses_what_does_not_fit() -> None:
    grey = np.full((4, 4, 3), 9, "u1")
    with pytest.raises(InputError, match="do not fit"):
        sheet([[grey]], columns=2, pixels=9000)
    with pytest.raises(InputError, match="1 pictures a row"):
        sheet([[grey, grey]], columns=1, pixels=4)


@pytest.mark.parametrize("labels", [1, 12])
def test_the_size_is_kept_and_what_is_left_out_is_said(labels: int) -> None:
    tree = many(labels=labels, seeds=3, samples=6, size=64 if labels == 1 else 32)
    whole = to_html(tree)
    assert ("Pictures are compressed with loss" in whole) == (labels > 1)
    limit = len(whole.encode()) / 1e6 * 0.45
    small = to_html(tree, max_mb=limit)
    assert len(small.encode()) <= limit * 1e6
    assert len(sheets(small)) == labels
    shown, before = (
        re.search(r"Of 18 test images of each label and arm the first (\d) are shown", Page(t).text)
        for t in (small, whole)
    )
    assert shown is not None
    assert before is not None
    assert int(shown[1]) <= int(before[1])
    assert re.search(r"Pictures along the search are (shown|left out)", small)
    assert "Pictures are compressed with loss" in small
    said = rf"max_mb=0\.01: the report of {labels} label(s?) needs about"
    with pytest.raises(InputError, match=said):
        to_html(tree, max_mb=0.01)


def test_a_full_audit_is_small(tmp_path: Path) -> None:
    tree = many(labels=43, seeds=1, samples=8, steps=1, size=32)
    path = report(tree, tmp_path / "audit.html")
    assert path.stat().st_size < 10e6
    assert Page(path.read_text("utf-8")).text.count("Before and after") == 43


# What it says


@pytest.mark.parametrize("which", ["single", "page"])
def test_sentences_stand_first(
    which: str, request: pytest.FixtureRequest, one: xr.DataTree, tree: xr.DataTree
) -> None:
    page, result = request.getfixturevalue(which), one if which == "single" else tree
    for sentence in analysis.sentences(result):
        assert words(sentence) in page.text
        assert page.text.index(words(sentence)) < page.text.index("How it was done")
    for look in analysis.attention(result):
        assert words(look.reason) in page.text


def test_one_label_opens_on_itself(single: Page) -> None:
    heads = [
        "“ sky ”",
        "The class appears step by step",
        "Confidence over the updates",
        "Before and after",
        "How often it works",
        "Words near the token",
        "How it was done",
        "What this page leaves out",
        "How it was made",
        "Limits",
    ]
    text = single.text.replace("Before and after Success Words", "")  # the contents
    positions = [text.index(head) for head in heads]
    assert positions == sorted(positions)
    for part in ("All labels", "Label by label", "Where the images lie"):
        assert part not in single.text


def test_every_label_of_many_has_its_parts(page: Page, tree: xr.DataTree) -> None:
    for i, label in enumerate(tree["status"]["label"].values):
        assert any(a.get("id") == f"label-{i}" for _, a in page.elements)
        assert any(a.get("href") == f"#label-{i}" for a in page.all("a"))
        assert str(label) in page.text
    for part in (
        "Before and after",
        "Along the search",
        "Read as",
        "Words near the token",
        "Who reads it",
    ):
        assert page.text.count(part) == 5, part
    for part in (
        "NumericalError: made up",
        "38 of 40 units",
        "What this page leaves out",
        "0" * 64,
        "2" * 64,
        "Make it again",
        "Labels that need a look",
        "What is read as what",
        "Where the images lie",
        "All labels together",
    ):
        assert part in page.text, part


def test_success_table_holds_the_analysis(single: Page, one: xr.DataTree) -> None:
    table = analysis.success(one).isel(label=0)
    for arm in table["arm"].values:
        for scorer in table["scorer"].values:
            row = table.sel(arm=arm, scorer=scorer)
            said = (
                f"{percent(float(row['share']))} {bracket(float(row['low']), float(row['high']))}"
            )
            assert words(said) in single.text
            held = single.data["labels"][0]["arms"][arm]["scorers"][scorer]
            assert held["value"] == float(row["share"])


def test_restart_kept_check_and_provenance_are_there(single: Page) -> None:
    for text in (
        "restart at “round”",
        "kept",
        "0" * 64,
        "1" * 64,
        "2" * 64,
        "stop_at",
        "seconds",
        "A token can only show what the generator can paint",
        "The vocabulary probe was not run here.",
    ):
        assert text in single.text


def test_words_near_the_token_are_listed(single: Page, one: xr.DataTree) -> None:
    nearest = analysis.nearest_words(one)
    for word, cosine in zip(
        nearest["nearest_word"].values[0], nearest["nearest_cosine"].values[0], strict=True
    ):
        assert f"{word} {cosine:.2f}" in single.text
    best = float(nearest["probe_log_probability"].values[0, 0])
    assert f"\N{MINUS SIGN}{abs(best):.2f}" in single.text
    assert "the best 5 of 5 words" in single.text


def test_failure_is_shown() -> None:
    page = Page(to_html(synthetic(size=4, outcomes=("failure",), judges=())))
    assert "0 %" in page.text
    assert "not told apart" in page.text
    assert "no held-out classifier was asked" in page.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: synthetic(seeds=1, steps=1, checks=2, samples=1, classes=2, size=2),
        lambda: synthetic(
            seeds=3, steps=200, checks=30, samples=9, classes=12, judges=("a", "b"), size=2
        ),
        lambda: synthetic(seeds=1, size=2, stopped=[("sky", "token", 0)]),
        lambda: synthetic(seeds=1, size=2, method="cma"),
        lambda: many(labels=1, seeds=1, missing=[("sky", "token", 0)]),
        lambda: many(judges=(), views=(), labels=2, seeds=1),
        lambda: many(arms=("name",), labels=2),
        lambda: many(arms=("token",), labels=2, seeds=3),
        lambda: many(arms=("mine", "token"), labels=2, seeds=1),
        lambda: many(labels=61, seeds=1, samples=2, size=2, steps=1),
    ],
)
def test_other_results(make: Callable[[], xr.DataTree]) -> None:
    page = Page(to_html(make()))
    assert page.open == []
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
    assert page.data["labels"]


def test_findings_stand_on_the_first_screen() -> None:
    tree = synthetic_findings(
        many(labels=3, seeds=1), confirmed=5, unsure=2, cues=["snow", HOSTILE]
    )
    html = to_html(tree)
    page = Page(html)
    assert page.open == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    sentences = [str(said) for said in tree["findings"]["sentence"].values]
    first = page.text.index("On noise it never saw")
    above = [sentences.index(said) for said in sentences if page.text.index(said) < first]
    assert above == [0, 1, 2]
    assert page.text.index("Looked for 40 cues") < first
    assert all(page.text.count(said) == 2 for said in sentences)  # the other is its label's own
    assert "Findings: 5 confirmed, 2 not" in page.text
    shown = [a["class"] for a in page.pictures if re.match(r"p f\d", a["class"] or "")]
    assert Counter(shown) == {
        f"p f{n} r{r} c{c}": 2 for n in range(5) for r in range(3) for c in range(4)
    }
    assert [row["verdict"] for row in page.data["labels"]] == ["tied"] * 3
    assert [row["confirmed"] for row in page.data["labels"]] == [2, 2, 1]


def test_a_proof_is_cut_from_its_place_and_counted_in_the_size() -> None:
    tree = synthetic_findings(many(labels=3, seeds=1, size=32), confirmed=9, size=64)
    html = to_html(tree)
    picture = np.asarray(sheets(html)["f0"].convert("RGB")).astype(int)
    assert picture.shape == (96, 192, 3)  # three kinds, six places, 32 pixels each as its others
    for row, colour in ((1, COLOURS["yellow"]), (2, COLOURS["blue"])):
        patch = picture[32 * row + 2 : 32 * row + 5, 2:5].mean((0, 1))
        assert np.abs(patch - colour).max() < 40, row
    assert ".proof .p{background-size:600% 300%}" in html
    small = to_html(tree, max_mb=len(html.encode()) / 1e6 * 0.5)
    assert len(small.encode()) <= len(html.encode()) * 0.5
    drawn = sum(name.startswith("f") for name in sheets(small))
    assert 0 < drawn < 9
    assert f"{9 - drawn} of 9 confirmed findings are without pictures" in Page(small).text


def test_a_clean_result_says_with_how_much_power() -> None:
    page = Page(to_html(synthetic_findings(synthetic(size=4), confirmed=0, unsure=0)))
    first = page.text.index("On noise it never saw")
    assert page.text.index("Nothing is confirmed") < page.text.index("a cue that moves 70") < first
    assert page.data["labels"][0]["verdict"] == "confirmed"
    assert "tied" not in Page(to_html(synthetic(size=4))).text.lower()


def test_each_finding_shows_where_it_acts() -> None:
    tree = synthetic_findings(many(labels=3, seeds=1, size=32), confirmed=2)
    html = to_html(tree)
    page = Page(html)
    assert page.open == []
    said = " ".join(where_words(analysis.where(tree, 0)).split())
    assert page.text.count(said) == 4  # of each on the first screen, and with its label
    assert html.count('class="figure where"') == 4
    assert "without maps" not in page.text
    every = tree.copy()
    maps = tree["proof"].to_dataset().drop_vars(list(schema.WHERE))
    proof = tree["proof"].to_dataset().isel(finding=[0, 1, 0])[list(schema.WHERE)]
    every["proof"] = xr.DataTree(maps.assign(proof.assign_coords(finding=[0, 1, 2])))
    with_all = to_html(every)
    assert with_all.count('class="figure where"') == 6  # that which is not confirmed too
    assert Page(with_all).open == []
    small = to_html(every, max_mb=len(with_all.encode()) / 1e6 * 0.6)
    assert len(small.encode()) < len(with_all.encode()) * 0.6
    older = tree.copy()
    older["proof"] = xr.DataTree(tree["proof"].to_dataset().drop_vars(list(schema.WHERE)))
    assert 'class="figure where"' not in to_html(older)


def test_verdicts_by_findings_are_in_the_table_and_on_the_map() -> None:
    tree = synthetic_findings(many(labels=3, seeds=1), confirmed=1, unsure=1)
    html = to_html(tree)
    page = Page(html)
    told = analysis.label_verdicts(tree)
    assert [row["finding"] for row in page.data["labels"]] == told["verdict"].values.tolist()
    assert all(" ".join(said.split()) in page.text for said in told["sentence"].values)
    drawn = re.findall(r'data-space="(\w+)" data-colour="(\w+)"( hidden)?', html)
    assert [(colour, bool(hidden)) for _, colour, hidden in drawn] == [
        ("verdict", False),
        ("verdict", False),
        ("finding", True),
        ("finding", True),
    ]
    bare = to_html(many(labels=3, seeds=1))
    assert 'data-colour="finding"' not in bare
    assert 'id="map-colour"' not in bare


def test_a_persons_verdict_stands_with_its_finding() -> None:
    tree = synthetic_findings(synthetic(size=4))
    tree["findings"]["opinion"].values[0] = "disagree"
    tree["findings"]["note"].values[0] = HOSTILE
    assert f"verdict: disagrees. “ {HOSTILE} ”" in Page(to_html(tree)).text


def test_the_code_makes_the_same_result_again(one: xr.DataTree, tree: xr.DataTree) -> None:
    for result, name in ((one, "invert"), (tree, "audit")):
        text = to_html(result).split('aria-label="Code"><code>')[1].split("</code>")[0]
        assert markup.unescape(text) == analysis.code(result)
        call = ast.parse(markup.unescape(text)).body[-1].value  # type: ignore[attr-defined]
        assert call.func.attr == name
    unnamed = one.copy()
    settings = {**json.loads(one.attrs["settings"]), "sources": None}
    unnamed.attrs = {**one.attrs, "settings": json.dumps(settings)}
    assert "so no code can be written" in Page(to_html(unnamed)).text


def test_arms_of_the_users_own_are_shown() -> None:
    page = Page(to_html(synthetic(size=4, arms=("mine", "token", "yours"))))
    assert "Mine" in page.text
    assert "an arm of this result\N{RIGHT SINGLE QUOTATION MARK}s own" in page.text


# Map and matrices


def test_the_map_marks_what_the_sheets_show(html: str, page: Page, tree: xr.DataTree) -> None:
    points = page.data["map"]
    done = int((tree["status"]["status"].values == "done").sum())
    maps = "".join(re.findall(r'<svg class="map".*?</svg>', html, re.DOTALL))
    marks = [int(n) for n in re.findall(r'data-i="(\d+)"', maps)]
    assert sorted(marks) == list(range(len(points["label"])))
    tokens = [v == "token" for v in np.array(points["verdicts"])[points["verdict"]]]
    assert sum(tokens) == 5 * 3 * 2 - 1
    assert len(marks) - sum(tokens) == done * 4  # of two runs the first 4 of 8 pictures each
    for n in range(0, len(marks) - sum(tokens), 7):
        label, arm, column = (points[k][n] for k in ("label", "arm", "column"))
        said = tree["samples"]["probability"].values[label, arm, column // 4, column % 4].argmax()
        assert points["classes"][points["read"][n]] == tree["samples"]["class"].values[said]


def test_a_map_needs_features_or_tokens() -> None:
    tree = many(labels=2)
    tree["samples"] = xr.DataTree(tree["samples"].to_dataset().drop_vars("feature"))
    assert "Class tokens" in Page(to_html(tree)).text
    tree["token"]["embedding"].values[:] = np.nan
    assert "nothing to place" in Page(to_html(tree)).text


def test_a_stored_projection_is_used() -> None:
    tree = analysis.projected(many(labels=2, seeds=1), method="pca", samples=3)
    page = Page(to_html(tree))
    assert "principal axes" in page.text
    assert max(page.data["map"]["column"]) == 2
    assert "The map holds 24 of the 32 test images that are shown" in page.text
    more = analysis.projected(many(labels=2, seeds=1, samples=12), method="pca")
    text = Page(to_html(more)).text
    assert "Of the 96 images that were placed the map holds those shown" in text
    assert "test images that are shown" not in text


def test_the_matrix_says_what_it_draws(page: Page, tree: xr.DataTree) -> None:
    cells = [a for t, a in page.elements if t == "rect" and " " in (a.get("data-i") or "")]
    assert cells
    assert "Point at a square" in page.text
    share = analysis.confusion(tree)["share"].values
    name = analysis.confusion(tree, "name")["share"].values
    largest = float(np.nanmax(np.abs(share - name)))
    assert f"+{largest * 100:.0f}" in page.text or f"−{largest * 100:.0f}" in page.text
    assert "The largest mix-ups" in page.text
    assert "The largest differences" in page.text
    large = Page(to_html(many(labels=61, seeds=1, samples=2, size=2, steps=1, outcomes=OUTCOMES)))
    assert "Point at a square" not in large.text
    assert "a pixel for each cell" in large.text
    assert [a for a in large.all("image") if (a["href"] or "").startswith("data:image/png")]


def test_the_command_line_writes_both_and_gates(tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "a.html"
    inversion_kit.save(
        many(labels=2, seeds=1, outcomes=("meaning", "trick"), samples=16), tmp_path / "a.zarr"
    )
    call = ["report", str(tmp_path / "a.zarr"), "--out", str(out), "--json"]
    bad = runner.invoke(app, [*call, "--fail-if", "semantic_index<0.5"])
    assert bad.exit_code == 1, bad.output
    assert "fails: green (0)" in bad.output
    assert "sky" not in bad.output
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["labels"][0]["label"] == "sky"
    assert out.is_file()
    good = runner.invoke(app, [*call, "--fail-if", "success<0.1"])
    assert good.exit_code == 0, good.output
    wrong = runner.invoke(app, [*call, "--fail-if", "success"])
    assert wrong.exit_code == 2
    assert "fail_if='success'" in wrong.output
