"""`findings`: what a classifier has tied to which label, a result of its own or part of one."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit import schema
from inversion_kit.arms import check_arms
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.plan import Task, plan_of
from inversion_kit.audits.schedule import seconds_of
from inversion_kit.audits.units import Groups, sampled
from inversion_kit.bank.bank import Bank, Key
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, Cue, check_cues, fitting
from inversion_kit.errors import InputError, InversionError
from inversion_kit.finding import words
from inversion_kit.finding.carriers import Look as RealLook
from inversion_kit.finding.carriers import Plain, look_at_real, with_others
from inversion_kit.finding.datasets import carriers_table, whole_groups
from inversion_kit.finding.effects import corrected, keys_of
from inversion_kit.finding.learned import STEPS, look_for_words, suspicious
from inversion_kit.finding.panel import Panel, why_no_gradient
from inversion_kit.finding.proof import prove
from inversion_kit.finding.real import RealImages, read_real
from inversion_kit.finding.screen import Sources
from inversion_kit.finding.trigger import Look, look_for_triggers
from inversion_kit.finding.verdicts import Finding
from inversion_kit.finding.where import where
from inversion_kit.generators.quick import search_generator
from inversion_kit.generators.sample import from_bytes
from inversion_kit.progress import bar
from inversion_kit.search.checks import check_settings
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.settings import Settings
from inversion_kit.storage.assemble import State, assemble
from inversion_kit.storage.units import Unit

SOURCES = 48
"""Classes whose pictures cues are added to, at most; of more a random choice."""
LENSES = ("words", "trigger", "token")
"""Ways to look: cues that the generator paints; triggers that a gradient finds on its plain
pictures; words that are learned for labels which are still suspicious."""
_TRIED = 8
"""Sources and noises of a proof, at most."""


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
        A list by name (`inversion_kit.bank.cues.LISTS`), or words of your own, such as
        ``["with a moustache"]``. By default the list whose words the generator knows best.
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
    began, limit, lenses = time.monotonic(), seconds_of(budget), _check_lenses(lenses)
    given = model if isinstance(model, xr.DataTree) else None
    if given is not None:
        given = schema.validate(given)
        model, generator, judges = _models(given, generator, judges)
    settings = replace(Settings(), samples=words.PLAIN, views=())
    task = Task(model, generator, judges, check_arms(["name"]), check_settings(settings, 1))
    bench = task.load()
    asked = bench.labels(labels)
    if len(asked) > SOURCES:
        chosen = np.random.default_rng(seed).choice(asked, SOURCES, replace=False)
        asked = sorted(int(i) for i in chosen)
    bench.check(asked)
    images = None if real is None else read_real(real, bench.classifier, seed)
    listed = check_cues(cues) if cues is not None else fitting(bench.generator.vocabulary)
    work = _Work(bench, Bank(bench.generator, bank), listed, asked, seed, progress)
    work.paint(None if limit is None else began + limit)
    found = [*work.look(), *(work.look_closer() if "trigger" in lenses else [])]
    found = in_order([*found, *(work.learn_words(found) if "token" in lenses else [])])
    carried = {}
    if images is not None:
        found, look = work.look_at_real(found, images)
        carried["carriers"] = carriers_table(look, bench.classifier.labels)
    groups = whole_groups(found, work.screened, work.cues, bench, work.sources, work.trigger)
    groups |= carried
    groups["findings"].attrs = {**work.about, "seconds": round(time.monotonic() - began, 1)}
    if given is not None:
        return _added(given, groups)
    targets = {bench.classifier.labels.index(one.label) for one in found}
    return work.result(task, sorted({*asked, *targets}), groups, began)


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """The confirmed first, then the largest effect."""
    return sorted(found, key=lambda one: (not one.confirmed, -one.effect.value))


def _check_lenses(lenses: Sequence[str]) -> tuple[str, ...]:
    if isinstance(lenses, str) or "words" not in lenses or not set(lenses) <= set(LENSES):
        raise InputError(f"lenses={lenses!r}: expected some of {list(LENSES)}, 'words' among them")
    return tuple(lenses)


def _models(tree: xr.DataTree, generator: Any, judges: Sequence[Any]) -> tuple[Any, Any, Any]:
    """The models of a result, those that are given first."""
    names = json.loads(tree.attrs["settings"]).get("sources")
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


class _Work:
    """The search for findings of one classifier.

    Parameters
    ----------
    bench
        The loaded models.
    bank
        Where pictures come from.
    cues
        All that are asked for.
    asked
        Class indices of the sources.
    seed
        Of the noise.
    progress
        Whether bars are shown.
    """

    def __init__(
        self,
        bench: Bench,
        bank: Bank,
        cues: Sequence[Cue],
        asked: Sequence[int],
        seed: int,
        progress: bool,
    ) -> None:
        self.bench, self.bank, self.seed, self.progress = bench, bank, seed, progress
        self.panel = Panel(bench.classifier, bench.judges)
        noises = noise_seeds(seed, TEST, 0, words.PLAIN + words.MORE)
        self.seeds, self.more = noises[: words.PLAIN], noises[words.PLAIN :]
        self.asked = list(asked)
        self.names = [bench.classifier.wordings[i] for i in self.asked]
        self.about: dict[str, Any] = {}
        self.unpainted = [cue.name for cue in cues if not self._readable(cue)]
        self.cues = tuple(c for c in (*cues, *PLACEBOS) if c.name not in self.unpainted)
        self.sources: Sources
        self.screened: words.Screened
        self.trigger = Look(why="not asked for")

    def _readable(self, cue: Cue) -> bool:
        """Whether the generator reads the cue's prompts whole."""
        try:
            for wording in range(len(cue.prompts)):
                self.bank.generator.check_prompt(cue.of(max(self.names, key=len), wording))
        except InputError:
            return False
        return True

    def paint(self, until: float | None) -> None:
        """Make the pictures of the screening that are missing."""
        for_plain = keys_of(PLAIN_CUE, self.names, self.seeds)
        per_cue = {
            cue.name: [(cue.of(name, turn), self.seeds[0]) for turn, name in enumerate(self.names)]
            for cue in self.cues
        }
        keys = [*for_plain, *(key for keys in per_cue.values() for key in keys)]
        missing = len(self.bank.missing(keys))
        off = not self.progress or not missing
        with bar(total=missing, desc="bank of pictures", disable=off) as shown:
            self.bank.make(keys, heard=shown.update, enough=lambda: _over(until))
        if _over(until):
            left = [cue for cue in self.cues if self.bank.missing(per_cue[cue.name])]
            self.unpainted += [cue.name for cue in left if cue.kind != "placebo"]
            self.cues = tuple(cue for cue in self.cues if cue not in left)
            if self.bank.missing(for_plain) or all(c.kind == "placebo" for c in self.cues):
                raise InputError(
                    "budget: too short even for the plain pictures and one cue; give more"
                )

    def look(self) -> list[Finding]:
        """Screen the cues, measure and prove what stands out."""
        classes = len(self.bench.classifier.labels)
        self.sources = words.read_sources(self.panel, self.bank, self.asked, self.names, self.seeds)
        measured, self.screened = words.look(
            self.panel, self.bank, self.cues, self.sources, self.more, classes
        )
        push, lack = words.power(int((self.sources.chosen >= 0).sum()))
        chances = corrected([one.effect.chance for one in measured])
        self.about = {
            "cues": sum(cue.kind != "placebo" for cue in self.cues),
            "sources": int((self.sources.chosen >= 0).sum()),
            "not_read": int((self.sources.chosen < 0).sum()),
            "unpainted": json.dumps(self.unpainted),
            "power_push": push,
            "power_lack": lack,
            "candidates": len(measured),
            "left": self.screened.left,
            "seed": self.seed,
            "bank": self.bank.key,
            "trigger": self.trigger.why,
            "token": "not asked for",
            "learned": "[]",
        }
        kept = []
        with bar(total=len(measured), desc="proofs", disable=not self.progress) as shown:
            for one, chance in zip(measured, chances, strict=True):
                kept.append(self._finding(one, float(chance)))
                shown.update(1)
        tied = {one.cue.name for one in kept if one.confirmed}
        hard = [c.name for c, h in zip(self.cues, self.screened.hard, strict=True) if h]
        self.about["hard"] = json.dumps([name for name in hard if name not in tied])
        return [one for one in kept if one.stands]

    def look_closer(self) -> list[Finding]:
        """Search triggers by the gradient, on the plain pictures."""
        keys = keys_of(PLAIN_CUE, self.names, self.seeds)
        images = self.bank.images(keys)
        plain = images.reshape(len(self.names), len(self.seeds), *images.shape[1:])
        kept = self.bank.path.with_name(f"{self.bank.path.name}-triggers")
        with bar(total=1000, desc="triggers", disable=not self.progress) as shown:
            self.trigger = look_for_triggers(
                self.panel,
                plain,
                self.sources.index,
                seed=self.seed,
                kept=kept,
                heard=lambda done, total: shown.update(1000 * done // total - shown.n),
            )
        self.about["trigger"] = self.trigger.why
        return [one.finding for one in self.trigger.found if one.finding.stands]

    def learn_words(self, found: Sequence[Finding]) -> list[Finding]:
        """Learn words for labels that are suspicious and that no finding explains yet."""
        labels, image = self.bench.classifier.labels, from_bytes(self.bank.images(self._one()))
        self.about["token"] = why_no_gradient(self.bench.classifier, image)
        if not self.panel.judges:
            self.about["token"] = "it needs judges, which tell whether the source is still seen"
        if self.about["token"]:
            return []
        chosen = suspicious(
            self.screened.push,
            self.cues,
            [labels.index(one.label) for one in found if one.confirmed],
            self.trigger.labels[self.trigger.standing_out].tolist(),
        )
        self.about["learned"] = json.dumps([labels[target] for target, _ in chosen])
        total = STEPS * len(chosen)
        with bar(total=total, desc="learned words", disable=not self.progress) as shown:
            pairs = look_for_words(
                self.panel,
                self.bank,
                search_generator(self.bank.generator, Settings()),
                self.sources,
                chosen,
                seed=self.seed,
                heard=shown.update,
            )
        chances = corrected([one.effect.chance for one, _ in pairs])
        made = [
            self._finding(one, float(chance), bank, "token")
            for (one, bank), chance in zip(pairs, chances, strict=True)
        ]
        return [one for one in made if one.stands]

    def _one(self) -> list[Key]:
        return keys_of(PLAIN_CUE, self.names[:1], self.seeds[:1])

    def look_at_real(
        self, found: Sequence[Finding], images: RealImages
    ) -> tuple[list[Finding], RealLook]:
        """Do the cues to real images, and see which carry them."""
        index = with_others(self.asked, len(self.bench.classifier.labels))
        names = [self.bench.classifier.wordings[i] for i in index]
        plain = Plain(self.bank, names, self.seeds)
        with bar(total=len(images.files), desc="real images", disable=not self.progress) as shown:
            return look_at_real(
                found, self.panel, images, plain, seed=self.seed, heard=shown.update
            )

    def _finding(
        self,
        one: words.Measured,
        chance: float,
        bank: Bank | None = None,
        lens: str = "words",
    ) -> Finding:
        labels = self.bench.classifier.labels
        at = one.candidate.sources
        found = Finding(
            label=labels[one.candidate.target],
            direction=one.candidate.direction,
            cue=one.cue,
            lens=lens,
            effect=one.effect,
            placebo=one.placebo.value,
            chance=chance,
            proof=None,
            only=tuple(labels[self.sources.index[s]] for s in at) if one.only else (),
            judged=bool(self.panel.judges),
        )
        if not found.stands:
            return found
        pictures = self._pictures(one, bank or self.bank)
        acts = where(
            self.bench.classifier,
            *pictures,
            self.sources.index[list(one.candidate.sources)[:_TRIED]],
            one.candidate.target,
            push=found.direction == "push",
        )
        proof = None if found.natural else self._proof(one, *pictures)
        return replace(found, proof=proof, where=acts)

    def _pictures(self, one: words.Measured, bank: Bank) -> tuple[np.ndarray, np.ndarray]:
        """Plain and painted pictures of a candidate, uint8 ``(source, noise, y, x, 3)`` each."""
        at = list(one.candidate.sources)[:_TRIED]
        names = [self.sources.names[s] for s in at]
        seeds = self.seeds if len(at) > 1 else [*self.seeds, *self.more]
        shape = (len(at), len(seeds))
        plain, painted = (
            images.reshape(*shape, *images.shape[1:])
            for images in (bank.images(keys_of(cue, names, seeds)) for cue in (PLAIN_CUE, one.cue))
        )
        return plain, painted

    def _proof(self, one: words.Measured, plain: np.ndarray, painted: np.ndarray) -> Any:
        return prove(
            one.cue,
            direction=one.candidate.direction,
            target=one.candidate.target,
            classifier=self.bench.classifier,
            judges=self.bench.judges,
            plain=plain,
            painted=painted,
            sources=self.sources.index[list(one.candidate.sources)[:_TRIED]],
            seed=self.seed,
        )

    def result(
        self, task: Task, indices: Sequence[int], groups: dict[str, xr.Dataset], began: float
    ) -> xr.DataTree:
        """The plain pictures of the labels as a result, with the findings."""
        self.bench.bank = self.bank
        units: dict[Unit, Groups] = {}
        states: dict[Unit, State] = {}
        for index in indices:
            unit, before = Unit(index, "name", self.seed), time.monotonic()
            try:
                units[unit] = sampled(self.bench, unit, None)
            except InversionError as error:
                states[unit] = "failed", f"{type(error).__name__}: {error}", 0.0
            else:
                states[unit] = "done", "", time.monotonic() - before
        plan = plan_of(task, indices, [self.seed])
        plan["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        spent = round(time.monotonic() - began, 2)
        more = {"device": self.bench.generator.device.type, "seconds": spent}
        return assemble(plan, units, states, attributes=more, whole=groups)


def _over(until: float | None) -> bool:
    return until is not None and time.monotonic() > until
