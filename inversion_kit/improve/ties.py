"""What is to be repaired: labels that are tied to a cue, from findings or said by the user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.bank.cues import LISTS, NOTHING, Cue, check_cues, fitting
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.finding.proof import DIRECTIONS
from inversion_kit.finding.screen import some_of
from inversion_kit.generators.base import Generator

_SAY = "give (label, cue, direction), such as ('stop', 'yellow sticker', 'push'), or a list of them"


@dataclass(frozen=True)
class Tie:
    """One label and the cue that it is tied to.

    Parameters
    ----------
    target
        Class index of the label.
    cue
        The cue.
    direction
        ``"push"``: with the cue other classes are read as the label. ``"lack"``: with it the
        label's own pictures are missed.
    only
        Class indices of the sources that a push works on; empty for all others than the label.
    operator
        What a finding was proved with; empty where that is still to be chosen.
    dose
        The dose at which the proof's cue is farthest above its placebo; NaN where there is none.
    """

    target: int
    cue: Cue
    direction: str
    only: tuple[int, ...] = ()
    operator: str = ""
    dose: float = float("nan")

    def affected(self, sources: np.ndarray) -> np.ndarray:
        """Which sources the cue harms, bool, a shape as ``sources``.

        Examples
        --------
        >>> Tie(1, Cue("dark", "light", ("dark {source}",)), "push").affected(np.arange(3))
        array([ True, False,  True])
        """
        if self.direction == "lack":
            return sources == self.target
        return np.isin(sources, self.only) if self.only else sources != self.target

    def hit(self, read: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Whether pictures of affected sources are read as the cue makes them be read."""
        return read != source if self.direction == "lack" else read == self.target


def ties_of(
    findings: Any, classifier: Classifier, generator: Generator
) -> tuple[list[Tie], list[str]]:
    """What findings say is to be repaired, and the confirmed ones that cannot be, in words.

    Raises
    ------
    InputError
        They are none, of another classifier, or say a label, cue or direction that there is not.
    """
    if isinstance(findings, xr.DataTree):
        return _from_result(findings, classifier, generator)
    many: Any = findings
    if isinstance(many, (tuple, list)) and len(many) == 3 and isinstance(many[2], str):
        many = [many]
    if isinstance(many, str) or not isinstance(many, Iterable) or not (many := list(many)):
        raise InputError(f"findings={findings!r:.80}: expected a result of findings; or {_SAY}")
    return [_said(one, classifier, generator) for one in many], []


def _said(one: Any, classifier: Classifier, generator: Generator) -> Tie:
    if not isinstance(one, (tuple, list)) or len(one) != 3:
        raise InputError(f"findings: {one!r:.80}; {_SAY}")
    label, cue, direction = one
    if direction not in DIRECTIONS:
        raise InputError(
            f"findings: direction={direction!r:.40}; must be one of "
            f"{', '.join(map(repr, DIRECTIONS))}"
        )
    return Tie(classifier.index(label), _cue(cue, generator), direction)


def _cue(cue: Any, generator: Generator) -> Cue:
    """A cue by its name in a list that fits the generator, or in words of one's own."""
    if isinstance(cue, str):
        for known in (fitting(generator.vocabulary), *LISTS.values()):
            for one in known:
                if one.name == cue:
                    return one
        cue = cue.replace("…", "{source}")  # as a result names a prompt of one's own
    return check_cues([cue])[0]


def _from_result(
    tree: xr.DataTree, classifier: Classifier, generator: Generator
) -> tuple[list[Tie], list[str]]:
    """Confirmed findings of the lens of words, each cue and label once."""
    if "findings" not in tree.children or "proof" not in tree.children:
        raise InputError(
            f"findings: the result holds none; make them, inversion_kit.findings(tree), or {_SAY}"
        )
    if tree.attrs["classifier_hash"] != classifier.hash:
        raise InputError(
            f"findings: of {str(tree.attrs['classifier'])!r} with other weights than "
            f"{classifier.name!r}; look for those of this one, or {_SAY}"
        )
    table, proof = (tree[name].to_dataset(inherit=False) for name in ("findings", "proof"))
    ties, left = [], []
    for at in np.flatnonzero(table["confirmed"].values):
        row = {name: str(table[name].values[at]) for name in ("of_label", "cue", "direction")}
        if (lens := str(table["lens"].values[at])) != "words":
            left.append(f"“{row['of_label']}” by “{row['cue']}”: the lens {lens!r} has no words")
            continue
        if row["cue"] == NOTHING.name:
            left.append(f"“{row['of_label']}”: a class called another has no cue; mend its labels")
            continue
        only = [name for name in str(table["only"].values[at]).split("\n") if name]
        ties.append(
            Tie(
                classifier.labels.index(row["of_label"]),
                _cue(row["cue"], generator),
                row["direction"],
                tuple(classifier.labels.index(name) for name in only),
                *_proved(proof.isel(finding=at)),
            )
        )
    if not ties:
        more = f" ({'; '.join(left)})" if left else ""
        raise InputError(f"findings: none is confirmed by words{more}; to repair one anyway {_SAY}")
    return ties, left


def _proved(proof: xr.Dataset) -> tuple[str, float]:
    """The operator of a proof and the dose at which it is farthest above the placebo."""
    gains = proof["rate"].values - proof["placebo"].values
    if not np.isfinite(gains).any():
        return str(proof["operator"].item()), float("nan")
    last = np.flatnonzero(gains == np.nanmax(gains))[-1]
    return str(proof["operator"].item()), float(proof["dose"].values[last])


def sources_of(ties: Sequence[Tie], labels: Sequence[int], most: int, seed: int) -> np.ndarray:
    """Class indices whose pictures are made: those asked for, of many a choice, and the targets.

    Examples
    --------
    >>> tie = Tie(7, Cue("dark", "light", ("dark {source}",)), "lack")
    >>> sources_of([tie], range(100), 3, 0).size, 7 in sources_of([tie], range(100), 3, 0)
    (4, True)
    """
    needed = [i for tie in ties for i in (tie.target, *tie.only)]
    return np.unique([*some_of(labels, most, seed), *needed])
