"""Training images of classes, painted with their tokens and sifted by judges."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from inversion_kit.analysis.improve_words import augmented_says
from inversion_kit.analysis.reading import model_names
from inversion_kit.arms import Arm
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.loading import check_whole
from inversion_kit.generators.rehearsal import rehearse_call
from inversion_kit.generators.sample import from_bytes, sample, to_bytes
from inversion_kit.improve.class_tokens import Wanted, check_arm, check_prompts, wanted_of
from inversion_kit.improve.picture_folder import PictureFolder, folder_name, refuse_strangers
from inversion_kit.paths import folder_to_write
from inversion_kit.progress import bar
from inversion_kit.search.checks import listed
from inversion_kit.seeds import FREE, noise_seeds
from inversion_kit.storage import durable
from inversion_kit.storage.lock import locked
from inversion_kit.wilson import wilson

ROUND = 16
"""Images that are made and read at once, at most."""
TRIES = 8
"""Images that are made for each that is wanted, at most."""


def augment(
    tokens: Any,
    n: int,
    *,
    out: str | os.PathLike[str],
    generator: Any = None,
    classifier: Any = None,
    judges: Sequence[Any] = (),
    labels: Sequence[str] | None = None,
    prompts: Sequence[str] | str | None = None,
    arm: str = "token",
    agreement: float = 1.0,
    tries: int = TRIES,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Make ``n`` training images of each label, all read as the label by the judges.

    ``torchvision.datasets.ImageFolder(out)`` reads the folder, with a folder a label called by its
    index (``labels.json`` says which is which), and so does Hugging Face's
    ``load_dataset("imagefolder", data_dir=out)``, with the columns of ``metadata.jsonl``: label,
    label_index, prompt, arm, noise_seed, sha256, the hashes of generator and token, and of the
    i-th judge judge_i_name, judge_i_predicted and judge_i_probability (of the label).
    ``augment.jsonl`` has the images that were not kept too. Labels share their noise, so that
    surroundings do not tell them apart. After a kill call it again: it goes on, and the files are
    the same bit for bit.

    Parameters
    ----------
    tokens
        A result of `inversion_kit.audit` or `inversion_kit.invert`, a token file, a list of them,
        or a mapping from labels to files or vectors ``(embed,)``.
    n
        Images of each label, at least 1.
    out
        Folder to make, or one to go on with.
    generator
        Anything `as_generator` takes: the one that the tokens were learned in. Needed but with a
        result of a generator with a name.
    classifier, judges
        Who reads the images. All know the labels by name. Without any nothing is sifted.
    labels
        Some of the labels; all by default.
    prompts
        Templates with ``{token}`` once, taken in turn; with ``{name}`` too but in the arm
        ``"token"``.
    arm
        What stands for ``{token}``: the token of the arm ``"token"``, the label's ``"name"``, both
        (``"token+name"``), or the token of another arm of the result, such as ``"inverted"`` or
        one of your own, in its own prompts where ``prompts`` are not given.
    agreement
        Least share of classifier and judges that read an image as its label, above 0, at most 1.
    tries
        At most so many times ``n`` images are made of a label.
    seed
        Of the noise.
    progress
        Show images kept and the time left.

    Returns
    -------
    xarray.Dataset
        Along ``label``: ``tried``, ``agreed`` (those that could be kept), ``kept``, ``full``
        (whether that is ``n``), and ``share`` of the tried that agreed with its 95 % interval,
        ``low`` and ``high``. A label that was not filled gives a warning too.

    Raises
    ------
    InputError
        An argument is not usable, or the folder holds images of other arguments; before any image
        is made.
    StoreError
        The folder cannot be written, or a file in it is damaged.

    Warns
    -----
    UserWarning
        A label could not be filled, or has no token.

    Examples
    --------
    >>> import tempfile
    >>> vector = as_generator("pocket").vector_of("stop")
    >>> made = augment(
    ...     {"stop": vector}, 2, out=tempfile.mkdtemp() + "/more", generator="pocket",
    ...     judges=["pocket:judge"], progress=False,
    ... )
    >>> made["kept"].values.tolist(), made["full"].values.tolist()
    ([2], [True])
    """
    n, tries, seed = (
        check_whole(name, value, least)
        for name, value, least in (("n", n, 1), ("tries", tries, 1), ("seed", seed, 0))
    )
    if not isinstance(agreement, (int, float)) or not 0 < agreement <= 1:
        raise InputError(f"agreement={agreement!r}: a share above 0, at most 1")
    kind = check_arm(arm)
    templates = check_prompts(prompts, kind)
    made = as_generator(_generator(tokens, generator))
    asked = [labels] if isinstance(labels, str) else labels
    if asked is not None and not (
        isinstance(asked, (list, tuple)) and all(isinstance(one, str) for one in asked)
    ):
        raise InputError(f"labels={labels!r:.80}: expected names of labels, such as ['stop']")
    wanted, left = wanted_of(tokens, kind, asked, made)
    readers = [as_classifier(one) for one in ([] if classifier is None else [classifier])]
    readers += [as_classifier(one) for one in listed(judges)]
    place = folder_to_write(out, argument="out")
    work = _Work(made, readers, wanted, templates, kind, float(agreement), n, tries, seed)
    work.check()
    refuse_strangers(place)
    durable.make_folder(place)
    with locked(place):
        folder = PictureFolder(place, work.plan())
        total = n * len(wanted)
        with bar(total=total, desc="images", disable=not progress) as shown:
            for one in wanted:
                work.fill(folder, one, shown.update)
        folder.finish({folder_name(one.index): one.label for one in wanted})
    table = work.table(folder).assign_attrs(no_token=json.dumps(left))
    _warn(table)
    return table


class _Work:
    """Making and reading images of labels, round by round."""

    def __init__(
        self,
        generator: Generator,
        readers: Sequence[Classifier],
        wanted: Sequence[Wanted],
        templates: Sequence[str],
        arm: Arm,
        agreement: float,
        n: int,
        tries: int,
        seed: int,
    ) -> None:
        self.generator, self.readers, self.wanted = generator, list(readers), wanted
        self.templates, self.arm, self.agreement = list(templates), arm, agreement
        self.n, self.tries, self.seed = n, tries, seed
        self.size = min(ROUND, n)

    def check(self) -> None:
        """Refuse what would fail on the way."""
        for one in self.wanted:
            for reader in self.readers:
                if one.label not in reader.labels:
                    raise InputError(
                        f"judges: {reader.name!r} has no label {one.label!r}; give "
                        "as_classifier(model, labels=[...]) with the same names"
                    )
            prompts = one.prompts(self.templates, self.arm)
            for prompt in prompts:
                self.generator.check_prompt(prompt)
        token = self._token(self.wanted[0])
        if self.generator.call:  # what is in it may not fit each number of images
            rehearse_call(self.generator, prompts[:1], token=token, sizes=[self.size])

    def plan(self) -> dict[str, Any]:
        """What decides the images."""
        made = self.generator
        return {
            "n": self.n,
            "seed": self.seed,
            "arm": self.arm.name,
            "prompts": self.templates,
            "agreement": self.agreement,
            "tries": self.tries,
            "labels": [[one.index, one.label, one.wording] for one in self.wanted],
            "tokens": [one.token_hash for one in self.wanted],
            "generator": [made.hash, made.num_inference_steps, made.guidance_scale],
            "sampler": json.loads(json.dumps([made.sampler_facts(), str(made.dtype)])),
            "judges": [[r.name, r.hash, r.preprocess_facts()] for r in self.readers],
        }

    def fill(self, folder: PictureFolder, one: Wanted, heard: Callable[[int], Any]) -> None:
        """Make rounds of a label until it is full, or was tried often enough."""
        key, kept = str(one.index), 0
        for number in range(self.rounds):
            rows = folder.rounds.get((key, number))
            if rows is None:
                images, rows = self._round(one, number, self.n - kept)
                folder.add(key, number, rows, images)
            new = sum(row["kept"] for row in rows)
            kept += new
            heard(new)
            if kept >= self.n:
                return

    @property
    def rounds(self) -> int:
        """Rounds of a label at most."""
        return -(-self.tries * self.n // self.size)

    def _round(
        self, one: Wanted, number: int, room: int
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Images of a round, uint8 ``(n, y, x, 3)``, and what is known of each."""
        prompts = one.prompts(self.templates, self.arm)
        turns = [(number * self.size + i) % len(prompts) for i in range(self.size)]
        seeds = noise_seeds(self.seed, FREE, number, self.size)
        asked, token = [prompts[turn] for turn in turns], self._token(one)
        images = to_bytes(sample(self.generator, asked, seeds=seeds, token=token, batch=self.size))
        read = [self._read(reader, one.label, images) for reader in self.readers]
        agreed = np.ones(len(images), bool)
        if read:
            agreed = np.mean([hits for hits, _, _ in read], 0) >= self.agreement - 1e-9
        rows = []
        for i, turn in enumerate(turns):
            row: dict[str, Any] = {
                "label": one.label,
                "label_index": one.index,
                "sample": i,
                "arm": self.arm.name,
                "prompt": asked[i],
                "template": self.templates[turn],
                "noise_seed": seeds[i],
                "generator": self.generator.name,
                "generator_hash": self.generator.hash,
                "token_hash": one.token_hash,
                "agreed": bool(agreed[i]),
                "kept": bool(agreed[i]) and int(agreed[: i + 1].sum()) <= room,
            }
            for k, (reader, (_, names, shares)) in enumerate(zip(self.readers, read, strict=True)):
                row |= {
                    f"judge_{k}_name": reader.name,
                    f"judge_{k}_predicted": names[i],
                    f"judge_{k}_probability": shares[i],
                }
            rows.append(row)
        return images, rows

    def _token(self, one: Wanted) -> ClassToken | None:
        return None if one.vector is None else ClassToken(one.vector)

    @staticmethod
    @torch.no_grad()
    def _read(
        reader: Classifier, label: str, images: np.ndarray
    ) -> tuple[np.ndarray, list[str], list[float]]:
        """Whether a reader sees the label, what it sees, and the label's probability."""
        shares = reader.probability(reader.logits(from_bytes(images))).cpu()
        first, at = shares.argmax(1).numpy(), reader.labels.index(label)
        return first == at, [reader.labels[i] for i in first], shares[:, at].tolist()

    def table(self, folder: PictureFolder) -> xr.Dataset:
        """What came of each label."""
        rows = [
            [row for k in range(self.rounds) for row in folder.rounds.get((str(one.index), k), [])]
            for one in self.wanted
        ]
        tried, agreed, kept = (
            np.array([sum(row[name] if name else 1 for row in part) for part in rows], int)
            for name in ("", "agreed", "kept")
        )
        low, high = wilson(agreed, tried)
        labels = np.array([one.label for one in self.wanted], object)
        columns = {
            "tried": tried,
            "agreed": agreed,
            "kept": kept,
            "full": kept == self.n,
            "share": agreed / tried,
            "low": low,
            "high": high,
        }
        made = xr.Dataset({k: ("label", v) for k, v in columns.items()}, {"label": labels})
        readers = [reader.name for reader in self.readers]
        return made.assign_attrs(
            n=self.n,
            arm=self.arm.name,
            seed=self.seed,
            judges=json.dumps(readers),
            generator=self.generator.name,
        )


def _generator(tokens: Any, generator: Any) -> Any:
    """What paints: the result's own where none is given."""
    if generator is not None:
        return generator
    kept = model_names(tokens) if isinstance(tokens, xr.DataTree) else {}
    if not kept:
        raise InputError(
            "generator: give the one that the tokens were learned in; a result knows it only where "
            "it was made with a generator's name"
        )
    return kept["generator"]


def _warn(table: xr.Dataset) -> None:
    short = table.isel(label=~table["full"].values)
    if said := augmented_says(short):
        warnings.warn("; ".join(said), stacklevel=3)
