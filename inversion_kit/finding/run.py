"""`findings`: what a classifier has tied to which label, a result of its own or part of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import xarray as xr

from inversion_kit import schema
from inversion_kit.analysis.reading import model_names
from inversion_kit.arms import check_arms
from inversion_kit.audits.plan import Task
from inversion_kit.audits.schedule import seconds_of
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import Cue, check_cues, fitting
from inversion_kit.errors import InputError
from inversion_kit.finding import words
from inversion_kit.finding.datasets import carriers_table, whole_groups
from inversion_kit.finding.reach import as_clip
from inversion_kit.finding.real import read_real
from inversion_kit.finding.screen import some_of
from inversion_kit.finding.verdicts import Finding
from inversion_kit.finding.work import Work
from inversion_kit.search.checks import check_settings
from inversion_kit.settings import Settings

SOURCES = 48
"""Classes whose pictures cues are added to, at most; of more a random choice."""
LENSES = ("words", "trigger", "token")
"""Ways to look: cues that the generator paints; triggers that a gradient finds on its plain
pictures; words that are learned for labels which are still suspicious."""


def findings(
    model: Any,
    *,
    generator: Any = None,
    judges: Sequence[Any] = (),
    labels: Sequence[int | str] | int | str | None = None,
    cues: str | Sequence[str | Cue] | None = None,
    lenses: Sequence[str] = LENSES,
    seed: int = 0,
    bank: Any = None,
    budget: float | str | None = None,
    real: str | PathLike[str] | None = None,
    clip: Any = None,
    progress: bool = True,
) -> xr.DataTree:
    """Say which cues push a classifier towards a label, or make it miss one, and prove it.

    The generator paints every cue on every source ("a photo of a stop sign with a yellow
    sticker"). Where the classifier changes its mind and the judges do not, the cue is measured
    again on other noise, and then done to the pixels of plain pictures, beside placebos of equal
    size. No real image is needed. The pictures are made once a generator and kept in a bank.

    Parameters
    ----------
    model
        Anything `as_classifier` takes, a black box too; or a result of `inversion_kit.audit` or
        `inversion_kit.invert` of models with names, to which the findings are added.
    generator, judges
        As for `inversion_kit.audit`; those of the result where one is given. Without judges the
        pictures count whose plain prompt the classifier reads right, and the sentences say so.
    labels
        Classes whose pictures cues are added to; all by default, a random `SOURCES` of more. A
        push may lead to any class.
    cues
        A list by name (`inversion_kit.bank.cues.LISTS`), or some of them: names in the list whose
        words the generator knows best, such as ``["bright"]``, or words of your own, such as
        ``["with a moustache"]``. By default all of that list.
    lenses
        ``"words"``: the cues. ``"trigger"``: a small change of the pixels that moves every plain
        picture to one label, far smaller than for other labels and for the judges. ``"token"``: a
        word is learned for the labels that are most suspicious and not explained yet; it needs
        judges. Both need a gradient, and are skipped where there is none, which the result says.
    seed
        Of all noise.
    bank
        Folder of banks; in the user's cache folder by default.
    budget
        Seconds, or a text such as ``"5min"``, for the bank's first pictures: cues that were not
        painted by then are left out, and the result says so.
    real
        Folder of real images, with a folder a class called by its label or index, or all in one.
        They prove nothing anew: each finding says what its cue does to them, and which of them
        carry it by themselves, with the share of each label.
    clip
        A CLIP or SigLIP: its hub id or folder (safetensors alone, no code from it), or ``(model,
        processor)`` of transformers. It says of each cue whether it sees the words in the pictures
        more often than in plain ones on the same noise (``/effects``), which the pictures' change
        alone cannot: what is outside the generator's reach rests on both. It confirms nothing.
    progress
        Show pictures made, candidates measured and the time left.

    Returns
    -------
    xarray.DataTree
        A result as of `inversion_kit.audit`, of the arm ``name`` where none was given, with the
        groups ``/findings``, ``/proof`` and ``/effects``, and with real images ``/carriers``.

    Raises
    ------
    InputError
        An argument is not usable; before any image is made.
    StoreError
        The bank's folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> tree = findings(
    ...     "pocket:backdoored", generator="pocket", judges=["pocket:judge"],
    ...     labels=["stop", "yield", "keep left"], cues=["with a yellow sticker"],
    ...     lenses=["words"], bank=tempfile.mkdtemp(), progress=False,
    ... )
    >>> int(tree["findings"].attrs["sources"])
    3
    """
    began, limit, lenses = time.monotonic(), seconds_of(budget), check_lenses(lenses)
    given = model if isinstance(model, xr.DataTree) else None
    if given is not None:
        given = schema.validate(given)
        model, generator, judges = _models(given, generator, judges)
    settings = replace(Settings(), samples=words.PLAIN, views=())
    task = Task(model, generator, judges, check_arms(["name"]), check_settings(settings, 1))
    bench = task.load()
    asked = some_of(bench.labels(labels), SOURCES, seed)
    bench.check(asked)
    seer = None if clip is None else as_clip(clip, bench.generator.device)
    images = None if real is None else read_real(real, bench.classifier.labels, seed)
    known = bench.generator.vocabulary
    listed = fitting(known) if cues is None else check_cues(cues, known)
    work = Work(bench, Bank(bench.generator, bank), listed, asked, seed, progress, seer)
    work.paint(None if limit is None else began + limit)
    made = work.look()
    made += work.look_closer(made) if "trigger" in lenses else []
    made = in_order([*made, *(work.learn_words(made) if "token" in lenses else [])])
    carried = {}
    if images is not None:
        made, look = work.look_at_real(made, images)
        carried["carriers"] = carriers_table(look, bench.classifier.labels)
    groups = whole_groups(made, work.screened, work.cues, bench, work.sources, work.trigger)
    groups |= carried
    groups["findings"].attrs = {**work.about, "seconds": round(time.monotonic() - began, 1)}
    if given is not None:
        return _added(given, groups)
    targets = {bench.classifier.labels.index(one.label) for one in made}
    return work.result(task, sorted({*asked, *targets}), groups, began)


def in_order(listed: Sequence[Finding]) -> list[Finding]:
    """The confirmed first, then the largest effect."""
    return sorted(listed, key=lambda one: (not one.confirmed, -one.effect.value))


def check_lenses(lenses: Sequence[str]) -> tuple[str, ...]:
    """Lenses that are known, words among them.

    Raises
    ------
    InputError
        They are not.
    """
    if isinstance(lenses, str) or "words" not in lenses or not set(lenses) <= set(LENSES):
        raise InputError(f"lenses={lenses!r}: expected some of {list(LENSES)}, 'words' among them")
    return tuple(lenses)


def _models(tree: xr.DataTree, generator: Any, judges: Sequence[Any]) -> tuple[Any, Any, Any]:
    """The models of a result, those that are given first."""
    names = model_names(tree)
    if not names:
        raise InputError(
            "model: this result was made of objects, not of models' names alone; give the "
            "classifier itself: findings(classifier, generator=..., judges=[...])"
        )
    return (
        names["model"],
        names["generator"] if generator is None else generator,
        judges or names["judges"],
    )


def _added(tree: xr.DataTree, groups: dict[str, xr.Dataset]) -> xr.DataTree:
    held = {
        f"/{name}": node.to_dataset(inherit=False)
        for name, node in tree.children.items()
        if name != "carriers"  # of an earlier search
    }
    made = xr.DataTree.from_dict({**held, **{f"/{name}": data for name, data in groups.items()}})
    made.attrs = dict(tree.attrs)
    return schema.validate(made)
