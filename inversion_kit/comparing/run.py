"""`compare`: what differs between two classifiers, a result with both of them in it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from inversion_kit.analysis.compared import (
    MODELS,
    confusion_compared,
    crossed_compared,
    labels_compared,
    shared_reads,
)
from inversion_kit.arm_roles import name_arm
from inversion_kit.arms import Arm, check_arms
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.plan import Task
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import Cue, check_cues, fitting
from inversion_kit.comparing import cues as measuring
from inversion_kit.comparing.sides import Sides, audited, sides_of
from inversion_kit.comparing.tokens import MOST, disagree
from inversion_kit.errors import InputError
from inversion_kit.finding import words
from inversion_kit.finding.run import SOURCES
from inversion_kit.finding.screen import some_of
from inversion_kit.finding.work import Work
from inversion_kit.paths import folder_to_write
from inversion_kit.progress import bar
from inversion_kit.search.checks import check_settings
from inversion_kit.seeds import check_seeds
from inversion_kit.settings import Settings, takes_settings
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.comparison import build_comparison, keep_tables

ARMS = ("name", "token")
"""The arms of a comparison by default."""
LENSES = ("words", "trigger")
"""How findings are looked for by default and at most."""


@takes_settings
@torch.inference_mode(False)
def compare(
    model_a: Any,
    model_b: Any,
    labels: Sequence[int | str] | int | str | None = None,
    *,
    generator: Any = None,
    judges: Sequence[Any] = (),
    arms: Sequence[str | Arm] = ARMS,
    seeds: int | Sequence[int] = 1,
    store: str | os.PathLike[str] | None = None,
    sources: Sequence[int | str] | int | str | None = None,
    cues: str | Sequence[str | Cue] | None = None,
    lenses: Sequence[str] = LENSES,
    seed: int = 0,
    bank: Any = None,
    tokens: int = MOST,
    progress: bool = True,
    settings: Settings,
) -> xr.DataTree:
    """Say what differs between two classifiers: of a model and the same one trained again.

    Both are audited on the same labels and noise, and each reads the other's images. Both are
    looked at for findings on the same bank of pictures. Every finding of either is then measured on
    both, on the same pictures and on noise that no search has used, so that "it differs" does not
    mean that one of them passed a threshold.

    Parameters
    ----------
    model_a, model_b
        The older and the newer model: anything `as_classifier` takes, with the same label names.
        Or both are results of `inversion_kit.audit` of models with names, or where they are stored:
        their labels, arms and seeds are taken then, and ``store`` is not written.
    labels
        Labels that are audited: names, unique parts of names, or indices; None for all classes.
    generator
        As for `inversion_kit.audit`; that of the results where they are given.
    judges
        Held-out classifiers that are neither of the two; they say whether a picture still shows
        what was painted.
    arms
        As for `inversion_kit.audit`, the name alone among them: its pictures are the same for both.
    seeds
        Of the audits, as for `inversion_kit.audit`.
    store
        Folder; None keeps the result in memory alone. Audits lie in ``a`` and ``b`` of it; call
        again with the same arguments to go on after a kill. `inversion_kit.open` opens it.
    sources
        Classes whose pictures cues are added to; all by default, a random `SOURCES` of more.
    cues
        As for `inversion_kit.findings`.
    bank
        Folder of banks, where pictures of cues lie, in the user's cache folder by default, and
        those of the audits, as of `inversion_kit.invert`, where it is given.
    lenses
        ``"words"`` alone, or ``"trigger"`` too, as for `inversion_kit.findings`.
    seed
        Of the noise of findings.
    tokens
        For how many labels that differ a token is learned that one model reads as the label and the
        other does not, both ways round; 0 for none. It needs gradients of both.
    progress
        Show what is done and the time left.
    {settings}

    Returns
    -------
    xarray.DataTree
        ``/a`` and ``/b``: a result each, with its findings. ``/labels``, ``/confusion`` and
        ``/crossed``, see `inversion_kit.analysis.compared`. ``/cues``: along ``finding`` and
        ``model`` what each cue does to both. Where a token was learned ``/a_not_b`` and
        ``/b_not_a``, results of what one model calls the label and the other does not, and
        ``/disagreement``. `inversion_kit.analysis.comparison_data` says it all in plain data.

    Raises
    ------
    InputError
        An argument is not usable, or the two have other label names or other pictures.
    StoreError, StoreLockedError
        As of `inversion_kit.audit`.

    Examples
    --------
    >>> import tempfile
    >>> tree = compare(
    ...     "pocket:honest", "pocket:backdoored", ["stop"], generator="pocket",
    ...     judges=["pocket:judge"], arms=["name"], samples=4, sources=["stop", "yield"],
    ...     cues=["with a yellow sticker"], lenses=["words"], bank=tempfile.mkdtemp(),
    ...     tokens=0, progress=False,
    ... )
    >>> tree["labels"]["success"].dims
    ('label', 'model')
    """
    began = time.monotonic()
    place = None if store is None else folder_to_write(store, argument="store")
    lenses = _check(lenses, tokens)
    check_seeds(seeds)
    if name_arm([arm.name for arm in check_arms(arms)]) is None:
        raise InputError(f"arms={list(arms)}: 'name' must be among them")
    sides = sides_of(model_a, model_b, generator, judges)
    asked = sources, cues, seed, bank, progress
    finder = _Finder(sides, *asked, fast=settings.fast)  # it refuses before any image
    finder.works[0].bench.labels(labels)
    trees = sides.results or _audits(sides, labels, arms, seeds, place, bank, progress, settings)
    pair = shared_reads(*trees)
    findings, groups = finder.look(lenses)
    if place is not None and not sides.results:
        _keep(place, groups)
    measured, left = finder.measure(findings)
    tables = {
        "labels": labels_compared(pair),
        "confusion": confusion_compared(pair),
        "crossed": crossed_compared(*trees, sides.names),
        "cues": measuring.cues_table(measured, sides.models[0].labels, left),
    }
    more, table, why = disagree(
        sides, tables, tokens, seeds, None if sides.results else place, progress, settings
    )
    about = {
        "models": list(sides.shown),
        "same": sides.same,
        "generator": finder.bank.generator.name,
        "judges": [judge.name for judge in finder.pair.judges],
        "why_no_tokens": why,
        **{n: finder.about[n] for n in ("cues", "sources", "power_push", "power_lack")},
        "pictures": int(tables["labels"]["pictures"].min()),
        "seconds": round(time.monotonic() - began, 1),
    }
    tables |= table
    tree = build_comparison(dict(zip(MODELS, trees, strict=True)) | more, groups, tables, about)
    if place is not None and not sides.results:
        keep_tables(place, tables, about)
    return tree


def _check(lenses: Sequence[str], tokens: int) -> tuple[str, ...]:
    if isinstance(lenses, str) or "words" not in lenses or not set(lenses) <= set(LENSES):
        raise InputError(f"lenses={lenses!r}: expected 'words', or some of {list(LENSES)} with it")
    given: Any = tokens
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InputError(f"tokens={given!r:.80}: expected a whole number of at least 0")
    return tuple(lenses)


def _audits(
    sides: Sides,
    labels: Any,
    arms: Sequence[str | Arm],
    seeds: int | Sequence[int],
    place: Path | None,
    bank: Any,
    progress: bool,
    settings: Settings,
) -> tuple[xr.DataTree, xr.DataTree]:
    """Audits of both models; each is a judge of the other's."""
    made = [
        audited(
            sides,
            i,
            labels,
            settings,
            arms=arms,
            seeds=seeds,
            store=None if place is None else place / name,
            bank=bank,
            progress=progress,
        )
        for i, name in enumerate(MODELS)
    ]
    return made[0], made[1]


def _keep(place: Path, groups: dict[str, dict[str, xr.Dataset]]) -> None:
    """Keep the findings of both with their audits."""
    for name, held in groups.items():
        folder = AuditStore(place / name)
        with folder.lock():
            for group, data in held.items():
                folder.write_whole(group, data)


class _Finder:
    """Findings of both models on one bank of pictures."""

    def __init__(
        self,
        sides: Sides,
        sources: Any,
        cues: Any,
        seed: int,
        bank: Any,
        progress: bool,
        *,
        fast: bool,
    ) -> None:
        self.seed, self.progress = seed, progress
        arms = check_arms(["name"])
        settings = check_settings(Settings(samples=words.PLAIN, views=(), fast=fast), 1)
        first = Task(sides.given[0], sides.generator, sides.judges, arms, settings).load()
        second = Bench.load(sides.given[1], first.generator, first.judges, arms, settings)
        self.pair = measuring.Pair((first.classifier, second.classifier), first.judges)
        asked = some_of(first.labels(sources), SOURCES, seed)
        for bench in (first, second):
            bench.check(asked)
        self.asked, self.bank = asked, Bank(first.generator, bank)
        known = first.generator.vocabulary
        listed = fitting(known) if cues is None else check_cues(cues, known)
        self.works = [
            Work(bench, self.bank, listed, asked, seed, progress) for bench in (first, second)
        ]

    @property
    def about(self) -> dict[str, Any]:
        """What the search for findings of the newer model says of itself."""
        return self.works[1].about

    def look(
        self, lenses: Sequence[str]
    ) -> tuple[list[measuring.Matched], dict[str, dict[str, xr.Dataset]]]:
        """Findings of both as one list, and the groups of each."""
        both = [measuring.look(work, lenses) for work in self.works]
        groups = {name: held for name, (_, held) in zip(MODELS, both, strict=True)}
        return measuring.matched([findings for findings, _ in both]), groups

    def measure(self, matches: Sequence[measuring.Matched]) -> tuple[list[measuring.Measured], int]:
        """The first of them measured on both, and how many were not."""
        chosen = matches[: measuring.MEASURED]
        made = []
        with bar(total=len(chosen), desc="cues on both", disable=not self.progress) as shown:
            for one in chosen:
                made.append(measuring.measure(one, self.pair, self.bank, self.asked, self.seed))
                shown.update(1)
        return made, len(matches) - len(chosen)
