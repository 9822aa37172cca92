"""Shares with their intervals: success, semantic index; nearest words; findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.words import arm_words, bracket
from inversion_kit.arm_roles import main_arm
from inversion_kit.errors import InputError, LabelError
from inversion_kit.figures import style
from inversion_kit.figures.style import GREY, INK, Spec, figure, hover, layout, marks, note, text

MOST = 60
"""Labels in one figure, unless they are named."""
_GAP = 0.25
"""Between the bars of two rows, of their distance."""


def success(
    tree: xr.DataTree | xr.Dataset,
    *,
    labels: Sequence[str] | None = None,
    arms: Sequence[str] | None = None,
    most: int = MOST,
) -> Any:
    """Share of test images read as the label, with intervals.

    Of one label a row an arm and a bar a scorer; of several a row a label and a bar an arm, by the
    audited classifier.

    Parameters
    ----------
    tree
        A result, or its `inversion_kit.analysis.reads`.
    labels
        Which, in this order; all where not given.
    arms
        Which; all where not given.
    most
        Labels at most where none are named: those with the lowest success of the token.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        An arm is unknown, or plotly is missing.
    LabelError
        A label is unknown.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> [t.name for t in success(synthetic(labels=2)).data if t.type == "bar"]
    ['name prompt', 'start', 'token']
    """
    table = analysis.success(tree)
    return figure(success_spec(table, labels=labels, arms=arms, most=most))


def success_spec(
    table: xr.Dataset,
    *,
    labels: Sequence[str] | None = None,
    arms: Sequence[str] | None = None,
    most: int = MOST,
) -> Spec:
    """The specification of `success`, from `inversion_kit.analysis.success`.

    Parameters
    ----------
    table
        Along label, arm and scorer.
    labels, arms, most
        As of `success`.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    known = [str(a) for a in table["arm"].values]
    arms = known if arms is None else list(arms)
    table = table.isel(arm=style.places("arms", arms, known))
    if table.sizes["label"] == 1:
        one = table.isel(label=0).transpose("arm", "scorer", ...)
        bars = {text(s): rank for rank, s in enumerate(one["scorer"].values)}
        title = f"Read as “{text(one['label'].item())}”, by each classifier"
        return _bars(one, [arm_words(a) for a in arms], bars, title, "classifier")
    one = table.isel(scorer=0).transpose("label", "arm", ...)
    by = one["share"].isel(arm=arms.index(main_arm(arms))).values
    one, left = _chosen(one, by, labels, most)
    bars = {style.arm_name(a): style.arm_rank(a) for a in arms}
    return _bars(one, _labels(one), bars, "Share of test images read as their label", "arm", left)


def semantic(
    tree: xr.DataTree | xr.Dataset,
    *,
    arm: str | None = None,
    labels: Sequence[str] | None = None,
    most: int = MOST,
) -> Any:
    """Of what the classifier reads as the label, the share that held-out judges confirm.

    Below one half the token is more likely a trick, or a trait that only this classifier ties to
    the class. Views are the audited classifier after JPEG, blur and such.

    Parameters
    ----------
    tree
        A result, or its `inversion_kit.analysis.reads`.
    arm
        Whose images; those of the token where not given.
    labels, most
        As for `success`.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> [t.name for t in semantic(synthetic(labels=2, views=["jpeg"])).data]
    ['held-out classifiers', 'views']
    """
    reads = analysis.reads(tree)
    tables = analysis.semantic_index(reads, arm), analysis.view_index(reads, arm)
    return figure(semantic_spec(*tables, labels=labels, most=most))


def semantic_spec(
    index: xr.Dataset,
    views: xr.Dataset | None = None,
    *,
    labels: Sequence[str] | None = None,
    most: int = MOST,
) -> Spec:
    """The specification of `semantic`, from the analysis' `semantic_index` and `view_index`.

    Parameters
    ----------
    index, views
        Along label; without views none are drawn.
    labels, most
        As of `success`.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    tables = {"held-out classifiers": index, "views": views}
    asked = {name: t for name, t in tables.items() if t is not None and t.sizes["judge"]}
    asked = asked or {"held-out classifiers": index}
    parts = [t[["index", "low", "high", "images"]].drop_attrs() for t in asked.values()]
    table = xr.concat(parts, xr.IndexVariable("kind", list(asked))).rename(index="share")
    table = table.transpose("label", "kind")
    table, left = _chosen(table, table["share"].values[:, 0], labels, most)
    bars = {name: rank for rank, name in enumerate(asked)}
    title = "Semantic index: success that held-out judges confirm"
    spec = _bars(table, _labels(table), bars, title, "judges", left, "no image read as the label")
    spec["layout"]["shapes"] = [style.straight((0.5, 0.5), (0, 1), "dot", yref="y domain")]
    axis = "share of the images read as the label that judges confirm"
    spec["layout"]["xaxis"]["title"]["text"] = axis
    return spec


def neighbours(
    tree: xr.DataTree, *, label: str | None = None, arm: str | None = None, words: int = 5
) -> Any:
    """The vocabulary words nearest to the kept token, a panel a run.

    Parameters
    ----------
    tree
        A result.
    label, arm
        Whose token, of which search; the only label and the token where not given.
    words
        Of each run, at most.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> len(neighbours(synthetic(seeds=2), label="sky").data)
    2
    """
    table = analysis.nearest_words(tree, label=label, arm=arm)
    return figure(neighbours_spec(table, words=words))


def neighbours_spec(table: xr.Dataset, *, words: int = 5) -> Spec:
    """The specification of `neighbours`, from `inversion_kit.analysis.nearest_words`.

    Parameters
    ----------
    table
        Along seed and rank.
    words
        Of each run at most.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.
    """
    table = table.isel(rank=slice(0, words))
    cosine = table["nearest_cosine"].transpose("seed", "rank").values
    word = table["nearest_word"].transpose("seed", "rank").values
    runs = np.flatnonzero(np.isfinite(cosine).any(1))
    names = [f"run {table['seed'].values[r]}" for r in runs]
    axes, notes = style.panels(names or ["no run is there"], min(0.16, 0.5 / max(len(runs), 1)))
    low = min(0.0, float(np.nanmin(cosine))) if len(runs) else 0.0
    traces: list[Spec] = []
    layouts: Spec = {"annotations": notes, "height": 180 + 34 * cosine.shape[1]}
    for r, name, (number, domain) in zip(runs, names, axes, strict=False):
        shown, x = [str(w) for w in word[r]], cosine[r].tolist()
        said = [f"{text(w)}: cosine {v:.3f}" for w, v in zip(shown, x, strict=True)]
        bar = _bar(x, name, {"color": style.COLOURS[0]}) | style.on(number) | hover(said)
        beside = {"text": [f"{v:.2f}" for v in x], "textposition": "outside", "cliponaxis": False}
        traces.append(bar | beside | {"width": 0.7, "showlegend": False})
        across = {"title": {"text": "cosine"}, "range": [low * 1.1, 1]}
        layouts |= style.panel(number, domain, across, style.rows_axis(shown))
    title = f"Words nearest to the token of “{text(table.attrs['label'])}”"
    below = f"{style.arm_name(table.attrs['arm'])}; a low cosine means that no word is near"
    return {"data": traces, "layout": layout(title, below, margin=style.margin(110), **layouts)}


def findings(tree: xr.DataTree, *, label: str | None = None) -> Any:
    """What the classifier has tied to a class: each cue's effect, its interval and its verdict.

    Parameters
    ----------
    tree
        A result with a group ``/findings``.
    label
        Of which label; of all where not given.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        The result holds no findings, or none of this label.
    LabelError
        The label is unknown.
    """
    table = analysis.findings(tree, label)
    if not table.sizes["finding"]:
        raise InputError("tree: it holds no findings, so there is nothing to draw")
    return figure(findings_spec(table))


def findings_spec(table: xr.Dataset) -> Spec:
    """The specification of `findings`, from `inversion_kit.analysis.findings`: a symbol a verdict.

    Parameters
    ----------
    table
        Along finding.

    Returns
    -------
    dict
        A specification in plotly's JSON terms: ``data`` and ``layout``.

    Examples
    --------
    >>> numbers = {n: ("finding", [v]) for n, v in (("effect", 0.4), ("low", 0.1), ("high", 0.7),
    ...            ("placebo", 0.02), ("sources", 5), ("of", 6), ("confirmed", True))}
    >>> words = {n: ("finding", [v]) for n, v in (("of_label", "sky"), ("direction", "adds"),
    ...          ("cue", "yellow"), ("verdict", "tied"), ("sentence", "Yellow helps."))}
    >>> [trace["name"] for trace in findings_spec(xr.Dataset(numbers | words))["data"]]
    ['placebo', 'tied']
    """
    of_label, cues, ways, verdicts, sentences = (
        [str(v) for v in table[n].values]
        for n in ("of_label", "cue", "direction", "verdict", "sentence")
    )
    effect, low, high, placebo = (
        table[n].values.astype(float) for n in ("effect", "low", "high", "placebo")
    )
    rows = [f"{cue} ({way})" for cue, way in zip(cues, ways, strict=True)]
    labels = list(dict.fromkeys(of_label))
    if len(labels) > 1:
        rows = [f"{row}, {name}" for row, name in zip(rows, of_label, strict=True)]
    words = [
        f"{text(row)}: {effect[k]:+.3f} [{low[k]:.3f}, {high[k]:.3f}]<br>{text(sentences[k], 160)}"
        for k, row in enumerate(rows)
    ]
    every = list(range(len(rows)))
    traces = [marks(placebo.tolist(), every, "placebo", GREY, "diamond-open", 9)]
    traces[0] |= hover([f"placebo: {v:+.3f}" for v in placebo])
    for i, verdict in enumerate(dict.fromkeys(verdicts)):
        at = [k for k in every if verdicts[k] == verdict]
        colour, symbol = style.look(i)
        mark = marks(effect[at].tolist(), at, text(verdict), colour, symbol, 11)
        bars = style.errors(effect[at], low[at], high[at], color=colour, thickness=2, width=5)
        traces.append(mark | bars | hover([words[k] for k in at], at))
    beside: Spec = {"x": 1.01, "xref": "paper", "xanchor": "left"}
    sure, sources, of = (table[n].values.tolist() for n in ("confirmed", "sources", "of"))
    said = [f"{'confirmed; ' * bool(sure[k])}{sources[k]} of {of[k]} sources" for k in every]
    ends = np.nan_to_num(np.concatenate([[0.0], effect, low, high, placebo]))
    reach = [1.05 * float(ends.min()) - 0.02, 1.05 * float(ends.max()) + 0.02]
    title = "What the classifier has tied to the class"
    title += f": “{text(labels[0])}”" if len(labels) == 1 else ""
    layouts: Spec = {"annotations": [note(words, y=k, **beside) for k, words in enumerate(said)]}
    layouts |= {"shapes": [style.straight((0, 0), (0, 1), yref="y domain")]}
    layouts |= {"height": 190 + 40 * len(rows), "margin": style.margin(style.wide(rows), 180, 120)}
    layouts |= {"xaxis": {"title": {"text": "effect"}, "zeroline": False, "range": reach}}
    layouts |= {"yaxis": style.rows_axis(rows), "legend": style.above()}
    below = "effect of each cue with its 95 % interval; no effect at the grey line"
    return {"data": traces, "layout": layout(title, below, **layouts)}


def _labels(table: xr.Dataset) -> list[str]:
    return [str(n) for n in table["label"].values]


def _chosen(
    table: xr.Dataset, by: np.ndarray, labels: Sequence[str] | None, most: int
) -> tuple[xr.Dataset, int]:
    """The labels to show, and the number of those left out."""
    known = _labels(table)
    if labels is not None:
        return table.isel(label=style.places("labels", labels, known, LabelError)), 0
    lowest = np.argsort(np.nan_to_num(by, nan=np.inf), kind="stable")[:most]
    return table.isel(label=np.sort(lowest)), max(0, len(known) - most)


def _bar(x: Sequence[float], name: str, marker: Spec) -> Spec:
    bar = {"type": "bar", "orientation": "h", "name": name, "marker": marker}
    return {**bar, "x": list(x), "y": list(range(len(x)))}


def _bars(
    table: xr.Dataset,
    rows: list[str],
    bars: Mapping[str, int],
    title: str,
    of_bar: str,
    left: int = 0,
    empty: str = "no image",
) -> Spec:
    """Grouped bars of ``share``, ``low``, ``high``, ``images`` ``(row, bar)``; bars with ranks."""
    share, low, high = (table[n].values for n in ("share", "low", "high"))
    images = np.broadcast_to(table["images"].values, share.shape)
    colours = [style.COLOURS[rank % len(style.COLOURS)] for rank in bars.values()]
    traces: list[Spec] = []
    for b, (name, rank) in enumerate(bars.items()):
        pattern = {"shape": style.PATTERNS[rank % len(style.PATTERNS)], "solidity": 0.25}
        pattern |= {"fillmode": "overlay", "fgcolor": "white"}
        marker = {"color": colours[b], "pattern": pattern, "line": {"width": 0}}
        ends = style.errors(share[:, b], low[:, b], high[:, b], color=INK, thickness=1.2, width=3)
        words = []
        for i, row in enumerate(rows):
            shown = f"{style.percent(share[i, b])} {bracket(low[i, b], high[i, b])}"
            of = f"{shown} of {images[i, b]} images" if images[i, b] else empty
            words.append(f"{text(row)}, {name}: {of}")
        traces.append(_bar(share[:, b].tolist(), name, marker) | ends | hover(words))
    at, bar = np.nonzero(share == 0)
    if len(at):  # a bar of no length shows neither its colour nor where it is
        y = (at + (bar - (len(bars) - 1) / 2) * (1 - _GAP) / len(bars)).tolist()
        mark = marks([0.0] * len(at), y, "0 %", [colours[b] for b in bar], "square", 9)
        traces.append(mark | hover(None) | {"showlegend": False, "cliponaxis": False})
    place: Spec = {"x": 0.01, "xanchor": "left", "size": 11, "color": GREY}
    notes = [note(empty, y=i, **place) for i in range(len(rows)) if not images[i].any()]
    said = f"bars: mean; lines: 95 % intervals over runs and noises; no line: {empty}"
    if left:
        said += f"; the {len(rows)} lowest, {left} labels left out"
    layouts: Spec = {"barmode": "group", "bargap": _GAP, "bargroupgap": 0.05, "annotations": notes}
    layouts |= {"height": max(220, 170 + len(rows) * (12 + 15 * len(bars)))}
    layouts |= {"xaxis": style.share_axis("share of test images"), "legend": style.above(of_bar)}
    layouts |= {"yaxis": style.rows_axis(rows, len(rows)), "margin": style.margin(style.wide(rows))}
    return {"data": traces, "layout": layout(title, said, **layouts)}
