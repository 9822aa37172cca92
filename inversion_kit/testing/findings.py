"""Made-up findings of a made-up result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.tied import ROWS
from inversion_kit.storage.assemble import texts
from inversion_kit.testing.drawing import COLOURS, disc


def synthetic_findings(
    tree: xr.DataTree,
    *,
    confirmed: int = 1,
    unsure: int = 1,
    cues: Sequence[str] = ("yellow sticker", "snow", "bright", "blue frame"),
    size: int = 32,
    real: bool = False,
) -> xr.DataTree:
    """A made-up result with made-up findings: what `inversion_kit.findings` adds to one.

    Parameters
    ----------
    tree
        As `synthetic` gave it; it is not changed.
    confirmed, unsure
        Findings of each kind, one label after the other. Every third is a lack. With none of a
        kind the search came out clean.
    cues
        Names of cues, repeated as often as needed.
    size
        y and x of a proof's pictures: the confirmed have one, with 4 pictures of each kind.
    real
        Whether there are made-up real images too: half of the first label's carry each confirmed
        cue, and by no other one images could be ranked.

    Returns
    -------
    xr.DataTree
        The result with ``/effects`` and ``/findings``; with ``/proof`` where any is confirmed, and
        with ``/carriers`` where there are real images too.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic_findings(synthetic(labels=2), confirmed=3)
    >>> tree["findings"]["of_label"].values.tolist()
    ['sky', 'green', 'sky', 'green']
    >>> tree["proof"]["picture"].dims
    ('finding', 'row', 'example', 'y', 'x', 'channel')
    """
    names = [str(n) for n in tree["samples"]["label"].values]
    classes = [str(n) for n in tree["samples"]["class"].values]
    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    groups["effects"] = _effects(list(dict.fromkeys(cues)), classes)
    groups["findings"] = _findings(names, cues, confirmed, confirmed + unsure)
    if confirmed:
        made = np.arange(confirmed + unsure) < confirmed
        groups["proof"] = _proof(made, size, classes)
        if real:
            shown = groups["proof"]["picture"].values[:, 1]
            groups["carriers"] = _carriers(names[0], classes, made, shown)
    return schema.build(groups, {k: v for k, v in tree.attrs.items() if k != "schema_version"})


def _group(
    group: str,
    coordinates: Mapping[str, Any],
    values: Mapping[str, Any],
    about: Mapping[str, Any],
    made: np.ndarray | None = None,
) -> xr.Dataset:
    """A group as the schema has it; 0 and "" where no value is given.

    Values are repeated along their dimensions. Of optional variables those are there that are
    given. Findings that are not ``made`` have no numbers (NaN).
    """
    table = {}
    for name, (dims, kind) in schema.WHOLE[group].items():
        if name not in values and (group, name) in schema.OPTIONAL:
            continue
        value = np.asarray(values.get(name, "" if kind == "str" else 0))
        lengths = [len(coordinates[dim]) if dim in coordinates else 1 for dim in dims]
        shape = np.broadcast_shapes(value.shape, lengths)
        filled = np.full(shape, value, object if kind == "str" else kind)
        if made is not None and kind == "f4":
            filled[~made] = np.nan
        table[name] = dims, filled
    return xr.Dataset(table, coords=dict(coordinates), attrs=dict(about))


def _findings(names: Sequence[str], cues: Sequence[str], sure: int, n: int) -> xr.Dataset:
    """The group /findings: ``n``, of which the first are confirmed."""
    labels, named = ([of[i % len(of)] for i in range(n)] for of in (names, cues))
    ways = ["lack" if i % 3 == 2 else "push" for i in range(n)]
    ends = ["confirmed, shortcut" if i < sure else "uncertain" for i in range(n)]
    effect = np.linspace(0.9, 0.3, n, dtype="f4")
    said = [
        f"“{label}”: “{cue}” is a {way}; {end}."
        for label, cue, way, end in zip(labels, named, ways, ends, strict=True)
    ]
    values: dict[str, Any] = {"of_label": labels, "direction": ways, "cue": named, "lens": "words"}
    values |= {"verdict": [end.split(", ")[-1] for end in ends], "sentence": said}
    values |= {"effect": effect, "low": effect - 0.1, "high": effect + 0.1, "sources": 8, "of": 8}
    values |= {"confirmed": np.arange(n) < sure, "opinion": "", "note": ""}
    about = {
        **{"cues": 40, "sources": 8, "power_push": 0.25, "power_lack": 0.6, "left": 0},
        **{"confirmed_from": '{"push": 0.7, "lack": 0.94, "coloured": 0.97}', "not_learned": "{}"},
        **{"seconds": 12.5, "trigger": "", "token": ""},
        **dict.fromkeys(("learned", "hard", "unpainted"), "[]"),
    }
    return _group("findings", {"finding": np.arange(n)}, values, about)


def _proof(made: np.ndarray, size: int, classes: Sequence[str]) -> xr.Dataset:
    """The group /proof: discs, with a yellow patch, with a blue one; what the patch changed counts.

    NaN and 0 where there is none.
    """
    pictures = np.zeros((len(made), 3, 4, size, size, 3), "u1")
    side = max(size // 4, 1)
    for i, colour in enumerate(list(COLOURS)[:4]):
        pictures[made, :, i] = disc(colour, i, size).astype("u1")
    pictures[made, 1, :, :side, :side] = COLOURS["yellow"]
    pictures[made, 2, :, :side, :side] = COLOURS["blue"]
    reading = np.array([classes[-1], classes[0], classes[-1]], object)
    change = (pictures[:, 1].astype("f4") - pictures[:, 0]).mean(1) / 255
    values = {
        "operator": np.where(made, "patch at the edge", ""),
        **{"undone": 0.9, "undone_of": 20},
        **{"elsewhere": 0.9, "elsewhere_low": 0.8, "elsewhere_high": 1.0},
        **{"dose": [0.12, 0.19, 0.25], "rate": [0.3, 0.8, 0.95], "placebo": [0.0, 0.02, 0.05]},
        **{"low": [0.2, 0.7, 0.85], "high": [0.45, 0.9, 1.0]},
        **{"placebo_low": 0.0, "placebo_high": [0.02, 0.06, 0.1]},
        "picture": pictures,
        "read": np.where(made[:, None, None], reading[:, None], ""),
        "judged": np.where(made[:, None, None], classes[-1], ""),
        "difference": change,
        "attribution": np.abs(change).sum(-1),
        "attributed_by": np.where(made, "a made-up method", ""),
        "attributed": np.where(made, 16, 0),
        **{"share_of_change": 1, "share_of_attribution": 1},
    }
    at = {"place": np.arange(3), "example": np.arange(4), "finding": np.arange(len(made))}
    return _group("proof", at | {"row": texts(ROWS)}, values, {}, made)


def _carriers(
    label: str, classes: Sequence[str], made: np.ndarray, pictures: np.ndarray
) -> xr.Dataset:
    """The group /carriers: half of one label's 20 images carry what is ``made``, no others do."""
    own = np.array(classes) == label
    shown = pictures.shape[1]
    values = {
        "why": np.where(made, "", "made up so"),
        **{"auc": 0.99, "false": 0.02, "passed": 0.5 / len(classes), "recall": 0.9},
        "share": np.where(own, 0.5, 0.0),
        "low": np.where(own, 0.3, 0.0),
        "high": np.where(own, 0.7, 0.17),
        "images": 20,
        "file": np.where(made[:, None], [f"{label}/{k}.png" for k in range(shown)], ""),
        "of_label": np.where(made[:, None], label, ""),
        "score": np.linspace(9, 6, shown, dtype="f4"),
        "picture": pictures,
    }
    at = {"finding": np.arange(len(made)), "example": np.arange(shown), "class": texts(classes)}
    about = {"labelled": 1, "images": 20 * len(classes), "files": 20 * len(classes), "unread": 0}
    return _group("carriers", at, values, about, made)


def _effects(cues: Sequence[str], classes: Sequence[str]) -> xr.Dataset:
    """The group /effects, of every cue and class."""
    at = {"cue": texts(cues), "class": texts(classes), "source": texts(classes)}
    return _group("effects", at, {"kind": "sticker"}, {})
