"""What the doctor has seen: checks and trials, as text and as HTML."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

_WHY = {
    "runs": "A model that cannot score an image cannot steer a generator.",
    "images": "An image outside [0, 1] is cut off at the ends before the model sees it.",
    "classes": "A name that stands at another output sends the search after another class.",
    "mode": "In train mode batch norm and dropout make a score depend on chance and neighbours.",
    "dtype and device": "Half precision rounds small gradients to nothing and is slow on a CPU.",
    "finite": "One NaN ends a search.",
    "logits": "A second softmax flattens the scores: no class gets a high probability.",
    "constant output": "A score that no image changes gives no direction.",
    "determinism": "A score that changes by itself cannot be told from progress.",
    "one at a time": "An image's score must not depend on the images next to it.",
    "gradient": "The gradient of the score with respect to the image is what trains the token.",
    "features": "Final images are kept with the model's features, which a map of them is made of.",
    "value range": "A model that sees values of another size answers, and is wrong.",
    "normalisation": "With another mean and deviation a model still answers, only worse.",
    "size": "At another size than in training objects are too large or too small for a model.",
    "channels": "With red and blue turned round a model still answers, only worse.",
    "label order": "A list of names that is off by one sends the search after another class.",
    "accuracy": "A classifier that is wrong on real images shows nothing about its classes.",
}


@dataclass(frozen=True)
class Check:
    """One check: what was seen, why it matters, what to type.

    Parameters
    ----------
    name
        Such as ``"label order"``.
    status
        ``"ok"``, ``"warn"``, ``"fail"``, or ``"skip"`` where nothing can be said.
    seen
        What was seen, in words.
    type_this
        What mends it; empty where nothing needs to be mended.
    """

    name: str
    status: str
    seen: str
    type_this: str = ""

    @property
    def why(self) -> str:
        """Why it matters, in a sentence."""
        return _WHY[self.name]


@dataclass(frozen=True)
class Trial:
    """The accuracy on the labelled images with one thing changed.

    Parameters
    ----------
    check
        Name of the check that it belongs to.
    change
        What was changed, in words.
    accuracy
        Share of the images that are right, in [0, 1].
    type_this
        What to type for it.
    """

    check: str
    change: str
    accuracy: float
    type_this: str


@dataclass(frozen=True)
class Diagnosis:
    """The result of `doctor`: print it, or show it in a notebook.

    Parameters
    ----------
    model
        The classifier's name.
    checks
        All checks, in the order they were made.
    trials
        What the usual alternatives gave, best first; empty without labelled images.
    accuracy
        Share of the labelled images in [0, 1] that are right as things are; None without.
    images
        Number of images that were examined.

    Examples
    --------
    >>> diagnosis = Diagnosis("m", (Check("gradient", "fail", "all zero", "model.float()"),))
    >>> diagnosis.healthy, diagnosis["gradient"].status
    (False, 'fail')
    """

    model: str
    checks: tuple[Check, ...]
    trials: tuple[Trial, ...] = ()
    accuracy: float | None = None
    images: int = 0

    @property
    def healthy(self) -> bool:
        """Whether no check warns or fails."""
        return not self.alarms

    @property
    def alarms(self) -> tuple[Check, ...]:
        """The checks that warn or fail, failures first."""
        raised = [c for c in self.checks if c.status in ("warn", "fail")]
        return tuple(sorted(raised, key=lambda c: c.status != "fail"))

    @property
    def best(self) -> Trial | None:
        """The alternative with the highest accuracy; None where none was tried."""
        return self.trials[0] if self.trials else None

    def __getitem__(self, name: str) -> Check:
        """The check of a name."""
        named = {check.name: check for check in self.checks}
        if name not in named:
            raise KeyError(f"{name!r}; there are {', '.join(map(repr, named))}")
        return named[name]

    def verdict(self) -> str:
        """One sentence: that nothing is wrong, or which checks to look at."""
        if self.healthy:
            return f"{self.model}: nothing found."
        return f"{self.model}: look at {', '.join(check.name for check in self.alarms)}."

    def tried(self) -> list[tuple[str, str]]:
        """Accuracy on labelled images and change of each trial, after that as things are.

        Returns
        -------
        list of tuple of str
            Such as ``("97.2%", "as it is")``; none without labelled images.
        """
        if not self.trials or self.accuracy is None:
            return []
        tried = [("as it is", self.accuracy), *((t.change, t.accuracy) for t in self.trials)]
        return [(f"{accuracy:.1%}", change) for change, accuracy in tried]

    def __str__(self) -> str:
        lines = [self.verdict(), ""]
        wide = max(len(check.name) for check in self.checks)
        for check in self.checks:
            lines.append(f"{check.status:<4}  {check.name:<{wide}}  {check.seen}")
            if check in self.alarms:
                for word, text in (("why ", check.why), ("type", check.type_this)):
                    first = f"      {word}  "
                    lines += textwrap.wrap(
                        text, 96, initial_indent=first, subsequent_indent=" " * 12
                    )
        if tried := self.tried():
            lines += ["", f"accuracy on {self.images} labelled images"]
            lines += [f"  {accuracy:>6}  {change}" for accuracy, change in tried]
        return "\n".join(lines)
