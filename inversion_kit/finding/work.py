"""The work of `inversion_kit.finding.run.findings`: paint, look by each lens, prove."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.chance import corrected
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.plan import Task, plan_of
from inversion_kit.audits.units import Groups, sampled
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, Cue
from inversion_kit.errors import InputError, InversionError
from inversion_kit.finding import words
from inversion_kit.finding.alike import alike
from inversion_kit.finding.carriers import Look as RealLook
from inversion_kit.finding.carriers import Plain, look_at_real, with_others
from inversion_kit.finding.confused import confused
from inversion_kit.finding.effects import keys_of
from inversion_kit.finding.learned import STEPS, look_for_words, suspicious, why_not
from inversion_kit.finding.panel import Panel, why_no_gradient
from inversion_kit.finding.power import power
from inversion_kit.finding.proof import SHOWN, prove
from inversion_kit.finding.reach import Clip
from inversion_kit.finding.real import RealImages
from inversion_kit.finding.same_colour import same_colour
from inversion_kit.finding.screen import Sources
from inversion_kit.finding.trigger import MOST, Look, look_for_triggers
from inversion_kit.finding.verdicts import Finding, untied
from inversion_kit.finding.where import where
from inversion_kit.generators.quick import search_generator
from inversion_kit.generators.sample import from_bytes
from inversion_kit.progress import bar
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.settings import Settings
from inversion_kit.storage.assemble import State, assemble
from inversion_kit.storage.units import Unit


class Work:
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
    clip
        What says whether cues are painted, beside the pictures' change.
    """

    def __init__(
        self,
        bench: Bench,
        bank: Bank,
        cues: Sequence[Cue],
        asked: Sequence[int],
        seed: int,
        progress: bool,
        clip: Clip | None = None,
    ) -> None:
        self.bench, self.bank, self.seed, self.progress = bench, bank, seed, progress
        self.clip = clip
        self.panel = Panel(bench.classifier, bench.judges)
        noises = noise_seeds(seed, TEST, 0, words.PLAIN + words.MOST_NOISES)
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
            self.panel, self.bank, self.cues, self.sources, self.more, classes, self.clip
        )
        right = int((self.sources.chosen >= 0).sum())
        push, lack = words.power(right)
        chances = corrected([one.effect.chance for one in measured])
        self.about = {
            "cues": sum(cue.kind != "placebo" for cue in self.cues),
            "sources": right,
            "not_read": int((self.sources.chosen < 0).sum()),
            "unpainted": json.dumps(self.unpainted),
            "power_push": push,
            "power_lack": lack,
            "confirmed_from": power(right, len(measured)).text,
            "candidates": len(measured),
            "left": self.screened.left,
            "seed": self.seed,
            "bank": self.bank.key,
            "clip": self.clip.name if self.clip else "",
            "trigger": self.trigger.why,
            "token": "not asked for",
            "learned": "[]",
            "not_learned": "{}",
        }
        kept = []
        with bar(total=len(measured), desc="proofs", disable=not self.progress) as shown:
            for one, chance in zip(measured, chances, strict=True):
                kept.append(self._finding(one, float(chance), self.bank, "words"))
                shown.update(1)
        kept += self._confused([one for one in kept if one.stands])
        self.about["hard"] = self._hard(kept)
        return [one for one in kept if one.stands]

    def _hard(self, known: Sequence[Finding]) -> str:
        hard = [cue for cue, h in zip(self.cues, self.screened.hard, strict=True) if h]
        return json.dumps([cue.name for cue in untied(hard, known)])

    def _confused(self, known: Sequence[Finding]) -> list[Finding]:
        """What the judges misread as the classifier does, corrected for their own number."""
        screening = self.screened.screening
        shared = confused(self.panel, self.bank, self.cues, self.sources, screening, self.more)
        chances = corrected([one.effect.chance for one in shared])
        made = [
            self._finding(one, float(chance), self.bank, "words")
            for one, chance in zip(shared, chances, strict=True)
        ]
        named = {(one.label, one.cue.name) for one in known}
        return [one for one in made if one.natural and (one.label, one.cue.name) not in named]

    def look_closer(self, known: Sequence[Finding]) -> list[Finding]:
        """Search triggers on the plain pictures: by the gradient, and in colours of findings."""
        keys = keys_of(PLAIN_CUE, self.names, self.seeds)
        images = self.bank.images(keys)
        plain = images.reshape(len(self.names), len(self.seeds), *images.shape[1:])
        kept = self.bank.path.with_name(f"{self.bank.path.name}-triggers")
        with bar(total=1000, desc="triggers", disable=not self.progress) as shown:
            self.trigger = look_for_triggers(
                self.panel,
                plain,
                self.sources.index,
                labels=words.most_pushed(self.screened.push, self.cues)[: MOST // 3],
                seed=self.seed,
                kept=kept,
                heard=lambda done, total: shown.update(1000 * done // total - shown.n),
            )
        self.about["trigger"] = self.trigger.why
        made = [one.finding for one in self.trigger.triggers if one.finding.stands]
        index = self.sources.index
        made += same_colour(self.panel, plain, index, [*known, *made], seed=self.seed)
        self.about["hard"] = self._hard([*known, *made])
        return made

    def learn_words(self, findings: Sequence[Finding]) -> list[Finding]:
        """Learn words for labels that are suspicious and that no finding explains yet."""
        labels = self.bench.classifier.labels
        self.about["token"] = self._why_no_words()
        if self.about["token"]:
            return []
        chosen = suspicious(
            self.screened.push,
            self.cues,
            [labels.index(one.label) for one in findings if one.confirmed],
            self.trigger.labels[self.trigger.standing_out].tolist(),
        )
        skipped = {t: why for t, _ in chosen if (why := why_not(self.sources, t))}
        chosen = [(target, start) for target, start in chosen if target not in skipped]
        self.about["learned"] = json.dumps([labels[target] for target, _ in chosen])
        self.about["not_learned"] = json.dumps({labels[t]: why for t, why in skipped.items()})
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

    def _why_no_words(self) -> str:
        """Why no word can be learned; empty where one can."""
        if not self.panel.judges:
            return "it needs judges, which tell whether the source is still seen"
        one = keys_of(PLAIN_CUE, self.names[:1], self.seeds[:1])
        return why_no_gradient(self.bench.classifier, from_bytes(self.bank.images(one)))

    def look_at_real(
        self, findings: Sequence[Finding], images: RealImages
    ) -> tuple[list[Finding], RealLook]:
        """Do the cues to real images, and see which carry them."""
        index = with_others(self.asked, len(self.bench.classifier.labels))
        names = [self.bench.classifier.wordings[i] for i in index]
        plain = Plain(self.bank, names, self.seeds)
        with bar(total=len(images.files), desc="real images", disable=not self.progress) as shown:
            return look_at_real(
                findings, self.panel, images, plain, seed=self.seed, heard=shown.update
            )

    def _finding(self, one: words.Measured, chance: float, bank: Bank, lens: str) -> Finding:
        labels = self.bench.classifier.labels
        at = one.candidate.sources
        finding = Finding(
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
        if not finding.stands:
            return finding
        if finding.plain:
            keys = keys_of(PLAIN_CUE, [self.sources.names[at[0]]], self.more[:SHOWN])
            return replace(finding, pictures=bank.images(keys)[None])
        tried = list(at[: words.PROVED])
        sources, target = self.sources.index[tried], one.candidate.target
        pictures = self._pictures(one.cue, tried, bank)
        acts = where(
            self.bench.classifier, *pictures, sources, target, push=finding.direction == "push"
        )
        if finding.natural:
            few = [images[:, 0] if len(at) > 1 else images[0] for images in pictures]
            return replace(finding, where=acts, pictures=np.stack(few)[:, :SHOWN])
        plain, painted = pictures
        proof = prove(
            one.cue,
            direction=finding.direction,
            target=target,
            classifier=self.bench.classifier,
            judges=self.bench.judges,
            plain=plain,
            painted=painted,
            sources=sources,
            seed=self.seed,
        )
        cue = one.cue
        if lens == "token" and "tint" in proof.operator:  # what the word paints has a name
            cue = replace(cue, name=f"{cue.name} ({proof.operator})")
        same = finding.narrow and alike(self.bench.classifier, plain, painted, sources)
        return replace(finding, cue=cue, proof=proof, where=acts, alike=same)

    def _pictures(self, cue: Cue, at: Sequence[int], bank: Bank) -> tuple[np.ndarray, np.ndarray]:
        """Plain and painted pictures of some sources, uint8 ``(source, noise, y, x, 3)`` each."""
        names = [self.sources.names[s] for s in at]
        seeds = self.seeds if len(at) > 1 else [*self.seeds, *self.more[: words.MORE]]
        shape = (len(at), len(seeds))
        plain, painted = (
            images.reshape(*shape, *images.shape[1:])
            for images in (bank.images(keys_of(one, names, seeds)) for one in (PLAIN_CUE, cue))
        )
        return plain, painted

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
