"""Images that depend on a generator alone, made once in a process and shared by labels."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor

from inversion_kit.generators.base import Generator
from inversion_kit.pictures import levels

_MOST = 2**26
"""Bytes of images kept of a generator; those used last stay, one set always."""
_images: weakref.WeakKeyDictionary[Generator, dict[str, Tensor]] = weakref.WeakKeyDictionary()
"""Images of a generator by all that makes them: results are the same with them and without."""
_lock = threading.Lock()
"""Held while they are looked up or kept: threads may share a generator."""


def kept(generator: Generator, asked: Any, make: Callable[[], Tensor]) -> Tensor:
    """Images of a request, uint8 ``(n, 3, y, x)``: those of the same request before, or new ones.

    Parameters
    ----------
    generator
        What makes them: its sampler and settings are part of the request.
    asked
        All else that they depend on, as JSON has it.
    make
        Gives them, float ``(n, 3, y, x)`` in [0, 1].

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> pocket = as_generator("pocket")
    >>> draw = lambda: pocket.images(["a stop sign"], seeds=[0])
    >>> kept(pocket, ["a stop sign", 0], draw) is kept(pocket, ["a stop sign", 0], draw)
    True
    """
    sampler = [generator.num_inference_steps, generator.guidance_scale, generator.sampler_facts()]
    key = json.dumps([asked, sampler])
    with _lock:
        images = _images.setdefault(generator, {}).pop(key, None)
    if images is None:
        images = levels(make())
    with _lock:
        held = _images[generator]
        held[key] = images  # the one used last stands last
        while len(held) > 1 and sum(one.numel() for one in held.values()) > _MOST:
            del held[next(iter(held))]
    return images
