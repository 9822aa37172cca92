"""Images that depend on a generator alone, made once in a process and shared by all who ask.

They are kept as they are made, a batch at a time: in its last bits an image depends on how many
were beside it, so that one of another batch is not quite the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.identity import identity, is_open
from inversion_kit.generators.sample import sample
from inversion_kit.pictures import levels

MOST = 2**31
"""Bytes of images kept, those used last: a probe and its label at 1024 x 1024 pixels."""
_images: OrderedDict[str, Tensor] = OrderedDict()
"""Batches by all that makes them, uint8 on the CPU: results are the same with them and without."""
_lock = threading.Lock()
"""Held while they are looked up or kept."""


@dataclass(frozen=True)
class Batch:
    """Images that are made together.

    Parameters
    ----------
    generator
        What makes them.
    prompts, seeds
        ``n`` each.
    steps
        Denoising steps.
    token
        Where prompts hold the placeholder.
    key
        sha256 of all that the images depend on.
    """

    generator: Generator
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    token: ClassToken | None
    key: str

    def make(self) -> Tensor:
        """The images, made now.

        Returns
        -------
        Tensor
            RGB, uint8 ``(n, 3, y, x)``, on the CPU.
        """
        images = sample(
            self.generator,
            self.prompts,
            seeds=self.seeds,
            token=self.token,
            batch=len(self.seeds),
            num_inference_steps=self.steps,
        )
        return levels(images).cpu().contiguous()


class Batches(Protocol):
    """Where batches lie beyond the process, such as `inversion_kit.bank.batches.BatchBank`."""

    def read(self, batch: Batch) -> Tensor | None:
        """The images of a batch, uint8 ``(n, 3, y, x)``; None where they do not lie there."""

    def write(self, batch: Batch, images: Tensor) -> None:
        """Keep the images of a batch, uint8 ``(n, 3, y, x)``, unless they lie there already."""


def kept(
    generator: Generator,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    token: ClassToken | None = None,
    steps: int | None = None,
    batch: int = 32,
    bank: Batches | None = None,
) -> Tensor:
    """`inversion_kit.generators.sample.sample` as uint8, each batch made once.

    Parameters
    ----------
    generator
        What makes them. Others that are equal share them, see
        `inversion_kit.generators.identity.is_open`.
    prompts, seeds, token
        As of `Generator.images`, ``n`` prompts, at least 1.
    steps
        Denoising steps, if not the generator's own.
    batch
        Images that are made together; the last ones are what is left.
    bank
        Where batches without a token lie for other processes, unless the generator is not open.

    Returns
    -------
    Tensor
        RGB, uint8 ``(n, 3, y, x)``, on the generator's device.

    Raises
    ------
    InputError, NumericalError
        As of `Generator.images`.
    StoreError
        The bank cannot be written.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> first = kept(as_generator("pocket"), ["a stop sign"], seeds=[0])
    >>> torch.equal(first, kept(as_generator("pocket"), ["a stop sign"], seeds=[0]))  # not made
    True
    """
    count, vector = steps or generator.num_inference_steps, None
    if token is not None:
        vector = token.vector.tolist()
    if vector is not None or not is_open(generator):
        bank = None
    made_by = _digest([identity(generator), count, vector])
    parts = []
    for at in range(0, len(seeds), batch):
        asked = tuple(prompts[at : at + batch]), tuple(seeds[at : at + batch])
        one = Batch(generator, *asked, count, token, _digest([made_by, *asked]))
        parts.append(_look_up(one, bank))
    return torch.cat(parts).to(generator.device)


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _look_up(batch: Batch, bank: Batches | None) -> Tensor:
    """The images of a batch from memory, or the bank, or made now; kept in both."""
    with _lock:
        images = _images.pop(batch.key, None)
    if images is None and bank is not None:
        images = bank.read(batch)
    if images is None:
        images = batch.make()
    if bank is not None:
        bank.write(batch, images)
    with _lock:
        _images[batch.key] = images  # the one used last stands last
        while sum(one.numel() for one in _images.values()) > MOST:
            _images.popitem(last=False)
    return images
