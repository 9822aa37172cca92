"""Code that makes a result again."""

from __future__ import annotations

import xarray as xr

from inversion_kit.analysis.reading import arms_of, model_names, whole
from inversion_kit.schema import settings_of
from inversion_kit.settings import Settings


def code(tree: xr.DataTree) -> str:
    r"""Python code that makes a result again; empty where a model of it has no name.

    Of one label it is `inversion_kit.invert`, of several `inversion_kit.audit`.

    Parameters
    ----------
    tree
        A result of one label or of many.

    Returns
    -------
    str
        Lines of Python that can be run, or "".

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> print(*code(synthetic()).splitlines()[2:5], sep="\n")
    tree = ik.invert(
        'synthetic:classifier',
        1,
    """
    tree = whole(tree)
    samples = tree["samples"]
    settings = settings_of(tree)
    sources = model_names(tree)
    if not sources or settings.get("objective_hashes"):
        return ""
    labels = [int(i) for i in samples["label_index"].values]
    one, every = len(labels) == 1, len(labels) == samples.sizes["class"]
    options = {
        "generator": sources["generator"],
        "judges": sources["judges"],
        "arms": arms_of(tree),
        "seeds": [int(s) for s in samples["seed"].values],
        **Settings.read(settings).changed(),
        **({} if one else {"store": "again"}),
    }
    model, wordings = repr(sources["model"]), sources.get("wordings")
    if wordings:
        model = f"ik.as_classifier({model}, wordings={wordings!r})"
    asked = [model, repr(labels[0] if one else None if every else labels)]
    lines = [*asked, *(f"{name}={value!r}" for name, value in options.items())]
    body = "".join(f"    {line},\n" for line in lines)
    return f"import inversion_kit as ik\n\ntree = ik.{'invert' if one else 'audit'}(\n{body})\n"
