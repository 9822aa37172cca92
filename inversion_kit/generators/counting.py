"""What a piece of work costs in calls of a generator's networks: the same on every machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from inversion_kit.generators.base import Generator


@dataclass
class Counts:
    """Images that went through the networks of generators.

    Parameters
    ----------
    evaluations
        Of the U-Net or transformer; with guidance an image counts twice a step.
    backwards
        Of those, the ones that a gradient went back through.
    decodes
        Of the decoder.
    encodes
        Prompts of the first text encoder.
    """

    evaluations: int = 0
    backwards: int = 0
    decodes: int = 0
    encodes: int = 0


@contextlib.contextmanager
def counted(*generators: Generator) -> Iterator[Counts]:
    """Count what is asked of generators while open; those that share a network count once.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> pocket = as_generator("pocket")
    >>> with counted(pocket) as counts:
    ...     _ = pocket.images(["a stop sign"], seeds=[0])
    >>> counts
    Counts(evaluations=12, backwards=0, decodes=1, encodes=2)
    """
    counts = Counts()

    def evaluated(_module: nn.Module, _inputs: tuple[Any, ...], out: Any) -> None:
        made: Tensor = out[0]
        counts.evaluations += len(made)
        if made.requires_grad:
            made.register_hook(lambda slope: went_back(len(slope)))

    def went_back(n: int) -> None:
        counts.backwards += n

    def decoded(_module: nn.Module, inputs: tuple[Any, ...], _out: Any) -> None:
        counts.decodes += len(inputs[0])

    def encoded(_module: nn.Module, inputs: tuple[Any, ...], _out: Any) -> None:
        counts.encodes += len(inputs[0])

    with contextlib.ExitStack() as stack:
        seen: set[int] = set()

        def watch(module: nn.Module, hook: Any) -> None:
            if id(module) not in seen:
                seen.add(id(module))
                stack.callback(module.register_forward_hook(hook).remove)

        for one in generators:
            watch(one.denoiser, evaluated)
            watch(one.pipeline.vae.decoder, decoded)
            watch(one.encoders[0].embedding, encoded)
        yield counts
