"""The class token: one learned vector that frozen text encoders see in place of a placeholder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

PLACEHOLDER = "<ik-class>"
"""Stands for the class token in a prompt, lowercase and delimited as tokenizers want it."""


class ClassToken(nn.Module):
    """The learned embedding: S_c and v_c in Schwartz et al. 2023, section 3.

    Parameters
    ----------
    vector
        Start, ``(embed,)`` or ``(vector, embed)``, in the embedding space of the text encoder.

    Examples
    --------
    >>> ClassToken(torch.zeros(128)).vector.shape
    torch.Size([1, 128])
    """

    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.atleast_2d(vector.detach().clone().float()))

    @contextlib.contextmanager
    def shown_to(self, embedding: nn.Module, token_id: int) -> Iterator[None]:
        """While open, ``embedding`` gives this vector wherever the ids hold ``token_id``.

        The embedding table is neither resized nor written: the id is replaced before the lookup
        and the vector is put in its place after it.
        """
        where: list[Tensor] = []

        def hide(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            ids = inputs[0]
            where.append(ids == token_id)
            return (ids.masked_fill(where[-1], 0), *inputs[1:])

        def show(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            vector = self.vector[0].to(output)
            return torch.where(where.pop()[..., None], vector, output)

        handles = [
            embedding.register_forward_pre_hook(hide),
            embedding.register_forward_hook(show),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
