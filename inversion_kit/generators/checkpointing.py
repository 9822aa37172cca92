"""Gradient checkpointing, the last resort where the gradient of one image does not fit."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

from inversion_kit.generators.base import Generator

_ORDER = {"vae": "decoder", "unet": "U-Net", "transformer": "transformer"}
"""Networks by how much memory it saves for the time that it takes: a decoder's maps are large."""


def checkpoint_next(generator: Generator) -> bool:
    """Let one more network of a generator compute its activations anew in the backward pass.

    The decoder first, then the U-Net or transformer: less memory, more time, the same gradient.
    diffusers does it in eval mode too, wherever a gradient is taken, and not elsewhere.

    Returns
    -------
    bool
        Whether there was one left that can; a warning says which.

    Warns
    -----
    RuntimeWarning
        It takes longer from now on.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> pocket = as_generator("pocket")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     checkpoint_next(pocket), checkpoint_next(pocket), checkpoint_next(pocket)
    (True, True, False)
    >>> checkpointed(pocket)
    ('vae', 'unet')
    """
    for name, network in _networks(generator).items():
        if not network.is_gradient_checkpointing:
            network.enable_gradient_checkpointing()
            warnings.warn(
                f"generator {generator.name!r}: the gradient of one image does not fit into "
                f"memory, so its {_ORDER[name]} computes activations twice from now on (gradient "
                "checkpointing): slower, and the gradient is the same",
                RuntimeWarning,
                stacklevel=3,
            )
            return True
    return False


def checkpointed(generator: Generator) -> tuple[str, ...]:
    """Names of the networks of a generator whose activations are computed twice."""
    networks = _networks(generator)
    return tuple(name for name, one in networks.items() if one.is_gradient_checkpointing)


def _networks(generator: Generator) -> dict[str, Any]:
    """The networks that can, in their order."""
    parts = {name: getattr(generator.pipeline, name, None) for name in _ORDER}
    return {
        name: part
        for name, part in parts.items()
        if isinstance(part, nn.Module) and getattr(part, "_supports_gradient_checkpointing", False)
    }
