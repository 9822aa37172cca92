"""Shares with their intervals: success, semantic index; nearest words; findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis import runs as analysis
from inversion_kit.analysis.audits import label_success, semantic_index, view_index
from inversion_kit.errors import InputError, LabelError, nearest
from inversion_kit.figures.select import is_audit, one_label
from inversion_kit.figures.style import (
    COLOURS,
    GREY,
    PATTERNS,
    SYMBOLS,
    arm_name,
    graph_objects,
    layout,
    plotly_module,
    rows_axis,
    share_axis,
    text,
)

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

    Of an audit a row a label and a bar an arm, by the audited classifier; of a run a row an arm
    and a bar a scorer.

    Parameters
    ----------
    tree
        A run, an audit, or an audit's `reads`.
    labels
        Of an audit: which, in this order; all in the audit's order where not given.
    arms
        Of an audit: which; all where not given.
    most
        Labels at most where none are named: those with the lowest success of the token.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> [t.name for t in success(synthetic_audit()).data if t.type == "bar"]
    ['name prompt', 'token + name', 'token', 'shuffled control']
    """
    if isinstance(tree, xr.DataTree) and not is_audit(tree):
        table = analysis.success(tree).rename(success="share")
        rows = [str(a) for a in table["arm"].values]
        images = np.full((len(rows), table.sizes["scorer"]), table.attrs["images"])
        table = table.assign(images=(("arm", "scorer"), images))
        return _bars(
            table.transpose("arm", "scorer", ...), [arm_name(a) for a in rows],
            [text(s) for s in table["scorer"].values],
            f"Read as “{text(tree.attrs['label'])}”, by each classifier", "arm", "classifier",
        )  # fmt: skip
    table = label_success(tree).isel(scorer=0)
    known = [str(a) for a in table["arm"].values]
    arms = known if arms is None else list(arms)
    for arm in arms:
        if arm not in known:
            raise InputError(f"arms: {arm!r} is not in this audit; try {nearest(arm, known)}")
    by = "token" if "token" in arms else arms[-1]
    table = table.isel(arm=[known.index(a) for a in arms])
    chosen, left = _chosen(table, table["share"].sel(arm=by).values, labels, most)
    return _bars(
        table.isel(label=chosen), [str(n) for n in table["label"].values[chosen]],
        [arm_name(a) for a in arms], "Share of test images read as their label", "label", "arm",
        left,
    )  # fmt: skip


def semantic(
    tree: xr.DataTree | xr.Dataset,
    *,
    arm: str = "token",
    labels: Sequence[str] | None = None,
    most: int = MOST,
) -> Any:
    """Of what the classifier reads as the label, the share that held-out judges confirm.

    Below one half the token is more likely a trick, or a trait that only this classifier ties to
    the class. Views are the audited classifier after JPEG, blur and such.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_audit
    >>> [t.name for t in semantic(synthetic_audit()).data]
    ['held-out classifiers', 'views']
    """
    tables = {"held-out classifiers": semantic_index(tree, arm), "views": view_index(tree, arm)}
    tables = {name: t for name, t in tables.items() if t.sizes["judge"]} or {
        "held-out classifiers": tables["held-out classifiers"]
    }
    table = xr.concat(
        [t[["index", "low", "high", "images"]].drop_attrs() for t in tables.values()],
        xr.IndexVariable("kind", list(tables)),
    ).transpose("label", "kind")
    table = table.rename(index="share")
    chosen, left = _chosen(table, table["share"].values[:, 0], labels, most)
    figure = _bars(
        table.isel(label=chosen), [str(n) for n in table["label"].values[chosen]], list(tables),
        "Semantic index: success that held-out judges confirm", "label", "judges", left,
        "no image read as the label",
    )  # fmt: skip
    figure.add_vline(x=0.5, line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="share of the images read as the label that judges confirm")
    return figure


def neighbours(
    tree: xr.DataTree, *, label: str | None = None, arm: str = "token", words: int = 5
) -> Any:
    """The vocabulary words nearest to the kept token, a panel a run.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> len(neighbours(synthetic_run()).data)
    2
    """
    go = graph_objects()
    one = one_label(tree, label, arm)
    token = one["token"].to_dataset(inherit=False).isel(rank=slice(0, words))
    cosine = token["nearest_cosine"].transpose("seed", "rank").values
    word = token["nearest_word"].transpose("seed", "rank").values
    runs = np.flatnonzero(np.isfinite(cosine).any(1))
    n = max(len(runs), 1)
    figure = plotly_module("subplots").make_subplots(
        rows=1, cols=n, shared_xaxes=True, horizontal_spacing=min(0.16, 0.5 / n),
        subplot_titles=[f"run {token['seed'].values[r]}" for r in runs] or ["no run is there"],
    )  # fmt: skip
    low = min(0.0, float(np.nanmin(cosine))) if len(runs) else 0.0
    for i, r in enumerate(runs, start=1):
        figure.add_trace(
            go.Bar(
                x=cosine[r], y=list(range(len(cosine[r]))), orientation="h", width=0.7,
                marker={"color": COLOURS[0]}, showlegend=False,
                name=f"run {token['seed'].values[r]}",
                text=[f"{v:.2f}" for v in cosine[r]], textposition="outside", cliponaxis=False,
                customdata=[text(w) for w in word[r]],
                hovertemplate="%{customdata}: cosine %{x:.3f}<extra></extra>",
            ),
            row=1, col=i,
        )  # fmt: skip
        figure.update_yaxes(**rows_axis([str(w) for w in word[r]]), row=1, col=i)
        figure.update_xaxes(range=[low * 1.1, 1], title_text="cosine", row=1, col=i)
    figure.update_layout(
        **layout(
            f"Words nearest to the token of “{text(one.attrs['label'])}”",
            f"{arm_name(arm)}; a low cosine means that no word is near",
            height=180 + 34 * cosine.shape[1], margin={"l": 110, "r": 30, "t": 110, "b": 60},
        )
    )  # fmt: skip
    return figure


def findings(result: xr.DataTree | xr.Dataset, *, label: str | None = None) -> Any:
    """What the token moved: each factor's effect with its interval, verdict and confirmation.

    Parameters
    ----------
    result
        A result with a group ``/findings``, or that group: ``effect``, ``low``, ``high``, ``p``,
        ``verdict``, ``confirmation`` along ``factor``, of an audit along ``label`` too.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        The result holds no findings.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"effect": ("factor", [0.4]), "low": ("factor", [0.1]), "high": ("factor", [0.7]),
    ...      "p": ("factor", [0.01]), "verdict": ("factor", ["moved"]),
    ...      "confirmation": ("factor", ["confirmed"])}, coords={"factor": ["yellow"]})
    >>> findings(table).data[0].name
    'moved'
    """
    go = graph_objects()
    if isinstance(result, xr.DataTree):
        if "findings" not in result.children:
            raise InputError("result: it holds no group /findings, so there is nothing to draw")
        result = result["findings"].to_dataset(inherit=False)
    if "label" in result.dims:
        names = [str(n) for n in result["label"].values]
        if label not in names:
            raise LabelError(f"label={label!r}: has no findings; try {nearest(label or '', names)}")
        result = result.isel(label=names.index(str(label)))
    order = np.argsort(-np.abs(np.nan_to_num(result["effect"].values)), kind="stable")
    table = result.isel(factor=order)
    factors = [str(f) for f in table["factor"].values]
    verdicts = np.array([str(v) for v in table["verdict"].values])
    confirmed = [str(c) for c in table["confirmation"].values]
    effect, low, high = (table[n].values.astype(float) for n in ("effect", "low", "high"))
    p = table["p"].values.astype(float)
    figure = go.Figure()
    for i, verdict in enumerate(dict.fromkeys(verdicts.tolist())):
        at = np.flatnonzero(verdicts == verdict)
        figure.add_scatter(
            x=effect[at], y=at, mode="markers", name=text(verdict),
            marker={"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 11,
                    "color": COLOURS[i % len(COLOURS)]},
            error_x={"type": "data", "array": high[at] - effect[at],
                     "arrayminus": effect[at] - low[at], "thickness": 2, "width": 5},
            customdata=[
                [text(factors[k]), low[k], high[k], p[k], text(confirmed[k])] for k in at
            ],
            hovertemplate="%{customdata[0]}: %{x:.3f} [%{customdata[1]:.3f}, "
            "%{customdata[2]:.3f}], p = %{customdata[3]:.3g}<br>confirmation: %{customdata[4]}"
            f"<extra>{text(verdict)}</extra>",
        )  # fmt: skip
    for k, (said, value) in enumerate(zip(confirmed, p, strict=True)):
        shown = "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
        figure.add_annotation(
            x=1.01, xref="paper", y=k, xanchor="left", showarrow=False, font={"size": 12},
            text=f"{shown}{f'; {text(said, most=30)}' if said else ''}",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    about = result.attrs.get("label", label)
    figure.update_layout(
        **layout(
            f"What the token moved{f': “{text(about)}”' if about else ''}",
            "effect of each factor with its 95 % interval; no effect at the grey line",
            height=170 + 40 * len(factors), margin={"l": 160, "r": 270, "t": 110, "b": 60},
            xaxis={"title": {"text": "effect"}, "zeroline": False},
            yaxis=rows_axis(factors), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        )
    )  # fmt: skip
    return figure


def _chosen(
    table: xr.Dataset, by: np.ndarray, labels: Sequence[str] | None, most: int
) -> tuple[list[int], int]:
    """Places of the labels to show, and how many are left out."""
    known = [str(n) for n in table["label"].values]
    if labels is None:
        if len(known) <= most:
            return list(range(len(known))), 0
        lowest = np.argsort(np.nan_to_num(by, nan=np.inf), kind="stable")[:most]
        return sorted(int(i) for i in lowest), len(known) - most
    for label in labels:
        if label not in known:
            raise LabelError(f"labels: {label!r} is not in this audit; try {nearest(label, known)}")
    return [known.index(label) for label in labels], 0


def _bars(
    table: xr.Dataset, rows: list[str], bars: list[str], title: str, of_row: str, of_bar: str,
    left: int = 0, empty: str = "no image",
) -> Any:  # fmt: skip
    """Grouped bars: ``share``, ``low``, ``high``, ``images`` ``(row, bar)``."""
    go = graph_objects()
    figure = go.Figure()
    value, low, high, images = (table[n].values for n in ("share", "low", "high", "images"))
    for b, name in enumerate(bars):
        figure.add_bar(
            x=value[:, b], y=list(range(len(rows))), orientation="h", name=name,
            marker={"color": COLOURS[b % len(COLOURS)], "line": {"width": 0},
                    "pattern": {"shape": PATTERNS[b % len(PATTERNS)], "solidity": 0.25,
                                "fgcolor": "white", "fillmode": "overlay"}},
            error_x={"type": "data", "array": high[:, b] - value[:, b],
                     "arrayminus": value[:, b] - low[:, b], "color": "#222222",
                     "thickness": 1.2, "width": 3},
            customdata=[[text(r), low[i, b], high[i, b], int(images[i, b])]
                        for i, r in enumerate(rows)],
            hovertemplate="%{customdata[0]}: %{x:.0%} [%{customdata[1]:.0%}, "
            "%{customdata[2]:.0%}] of %{customdata[3]} images" + f"<extra>{name}</extra>",
        )  # fmt: skip
    row, bar = np.nonzero(value == 0)
    if len(row):  # a bar of no length shows neither its colour nor where it is
        figure.add_scatter(
            x=np.zeros(len(row)), y=row + (bar - (len(bars) - 1) / 2) * (1 - _GAP) / len(bars),
            mode="markers", hoverinfo="skip", showlegend=False, name="0 %", cliponaxis=False,
            marker={"symbol": "square", "size": 9, "line": {"width": 1, "color": "white"},
                    "color": [COLOURS[b % len(COLOURS)] for b in bar]},
        )  # fmt: skip
    for i in range(len(rows)):
        if not images[i].any():
            figure.add_annotation(x=0.01, y=i, text=empty, showarrow=False, xanchor="left",
                                  font={"size": 11, "color": GREY})  # fmt: skip
    note = f"bars: mean; lines: 95 % intervals over runs and noises; no line: {empty}"
    if left:
        note += f"; the {len(rows)} lowest, {left} {of_row}s left out"
    figure.update_layout(
        **layout(
            title, note, barmode="group", bargap=_GAP, bargroupgap=0.05,
            height=max(220, 170 + len(rows) * (12 + 15 * len(bars))),
            margin={"l": 190, "r": 30, "t": 110, "b": 60},
            xaxis=share_axis("share of test images"), yaxis=rows_axis(rows),
            legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal",
                    "title": {"text": of_bar + "  "}},
        )
    )  # fmt: skip
    return figure
