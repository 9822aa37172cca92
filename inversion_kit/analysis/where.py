"""Where in pictures a finding's cue acts: what it changes, and what of that moves the score."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis.tied import in_order, place_of
from inversion_kit.analysis.words import count, percent
from inversion_kit.errors import InputError
from inversion_kit.schema import WHERE


def where(tree: xr.DataTree, finding: int | None = None) -> xr.Dataset:
    """The maps of one finding.

    Parameters
    ----------
    tree
        A result with the groups ``/findings`` and ``/proof``.
    finding
        Its place in the result, as coordinate ``finding`` has it; where not given that of the
        confirmed with the largest effect, or else of the largest.

    Returns
    -------
    xr.Dataset
        Means over pictures: ``difference`` float32 ``(map_y, map_x, channel)`` in [-1, 1], with
        the cue less plain, and ``attribution`` float32 ``(map_y, map_x)``, how much of the change
        of the score (of the label, less that of the source) comes from each pixel; at most 128
        pixels a side. Attributes: ``label``, ``cue``, ``direction``, ``attributed_by``,
        ``attributed`` (how many pictures), ``share_of_change`` and ``share_of_attribution``: what
        of both lies in the tenth of each picture that changed most.

    Raises
    ------
    InputError
        The result has no such finding, or no maps of it.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> data = where(synthetic_findings(synthetic()))
    >>> data.attrs["cue"], data["attribution"].dims
    ('yellow sticker', ('map_y', 'map_x'))
    """
    places = mapped(tree)
    if not places:
        raise InputError(
            "tree: it holds no maps of a finding; make them with inversion_kit.findings(tree)"
        )
    at = place_of(places, finding, "it has no maps")
    one = tree["findings"].to_dataset(inherit=False).sel(finding=at)
    data = tree["proof"].to_dataset(inherit=False)[list(WHERE)].sel(finding=at).load()
    said = {name: data[name].item() for name in WHERE if not data[name].dims}
    return (
        data[["difference", "attribution"]]
        .drop_vars("finding")
        .assign_attrs(
            label=str(one["of_label"].item()),
            cue=str(one["cue"].item()),
            direction=str(one["direction"].item()),
            **said,
        )
    )


def mapped(tree: xr.DataTree) -> list[int]:
    """Places of the findings with maps: the confirmed first, then the largest effect."""
    if "findings" not in tree.children or "proof" not in tree.children:
        return []
    proof = tree["proof"].to_dataset(inherit=False)
    if "attributed" not in proof:
        return []
    return in_order(tree, proof["finding"].values[proof["attributed"].values > 0])


def where_words(data: xr.Dataset) -> str:
    """What the maps of `where` are, and how far the change and what counts lie together.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic, synthetic_findings
    >>> where_words(where(synthetic_findings(synthetic())))[:52]
    'Mean over 16 pictures. The tenth of each that the cu'
    """
    about = data.attrs
    change, attribution = (about[f"share_of_{n}"] for n in ("change", "attribution"))
    shares = ""
    if np.isfinite([change, attribution]).all():
        shares = (
            f" The tenth of each that the cue changes most holds {percent(change)} of the change "
            f"and {percent(attribution)} of what moves the score."
        )
    by = about["attributed_by"]
    return f"Mean over {count(int(about['attributed']), 'picture')}.{shares} Attributed by {by}."
