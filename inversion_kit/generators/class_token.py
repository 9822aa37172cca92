"""The class token: one learned vector that frozen text encoders see in place of a placeholder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inversion_kit.errors import InputError

PLACEHOLDER = "<ik-class>"
"""Stands for the class token in a prompt, lowercase and delimited as tokenizers want it."""


@dataclass(frozen=True)
class Part:
    """What one text encoder sees of a class token: ``width`` of its numbers, times ``scale``.

    Parameters
    ----------
    key
        The encoder's name in token files: ``"emb_params"`` where it is the only one, else
        ``"clip_l"``, ``"clip_g"``, ``"t5xxl"`` and the like.
    width
        Numbers of an embedding of the encoder, at least 1.
    scale
        The size of its embeddings next to those of the first encoder, above 0: so one learning
        rate fits all encoders.
    """

    key: str
    width: int
    scale: float = 1.0


def split(vector: Tensor, layout: Sequence[Part]) -> dict[str, Tensor]:
    """A class token's vector ``(..., embed)`` as one ``(..., width)`` per encoder's key.

    Each is in its encoder's own space; `InputError` where the vector is not as wide as the layout.

    Examples
    --------
    >>> parts = split(torch.ones(1, 5), [Part("clip_l", 2), Part("clip_g", 3, 0.5)])
    >>> parts["clip_g"]
    tensor([[0.5000, 0.5000, 0.5000]])
    """
    width = sum(part.width for part in layout)
    if vector.shape[-1] != width:
        raise InputError(
            f"token: has {vector.shape[-1]} numbers; the text encoders of this generator take "
            f"{width} ({', '.join(f'{part.key} {part.width}' for part in layout)})"
        )
    pieces = vector.split([part.width for part in layout], dim=-1)
    return {part.key: piece * part.scale for part, piece in zip(layout, pieces, strict=True)}


def join(vectors: Mapping[str, Tensor], layout: Sequence[Part]) -> Tensor:
    """The inverse of `split`: ``(..., embed)`` of vectors by encoder."""
    return torch.cat([vectors[part.key] / part.scale for part in layout], dim=-1)


class ClassToken(nn.Module):
    """The learned embedding: S_c and v_c in Schwartz et al. 2023, section 3.

    Parameters
    ----------
    vector
        Start, ``(embed,)`` or ``(1, embed)``, in the embedding space of the text encoder; of a
        pipeline with several encoders their parts one after the other, as `split` reads them.
        Kept as a float32 parameter ``vector`` ``(1, embed)``.

    Raises
    ------
    InputError
        The vector has another shape: one token is one vector.

    Examples
    --------
    >>> ClassToken(torch.zeros(128)).vector.shape
    torch.Size([1, 128])
    """

    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        vector = torch.atleast_2d(vector.detach())
        if vector.ndim != 2 or len(vector) != 1:
            raise InputError(
                f"vector: shape {tuple(vector.shape)}; a class token is one vector, (embed,)"
            )
        self.vector = nn.Parameter(vector.clone().float())

    @contextlib.contextmanager
    def placed_in(
        self,
        embedding: nn.Module,
        token_id: int,
        *,
        vector: Tensor | None = None,
        rows: list[Tensor] | None = None,
    ) -> Iterator[None]:
        """While open, ``embedding`` gives this vector wherever the ids hold ``token_id``.

        The embedding table is neither resized nor written: the id, which may lie outside it, is
        replaced before the lookup, and the vector is put in its place after it.

        Parameters
        ----------
        embedding
            From ids, integers ``(n, position)``, to embeddings ``(n, position, embed)``.
        token_id
            The placeholder's id, at least 0.
        vector
            Float ``(embed,)``, for an embedding that does not see the whole token, see `split`;
            that of the token where it is not given. Gradients pass to it.
        rows
            Grows by one number a lookup, int64 ``()`` on its device: how many of its ``n`` rows the
            token stood in.

        Examples
        --------
        >>> table = nn.Embedding(5, 3)
        >>> with ClassToken(torch.ones(3)).placed_in(table, 5):
        ...     table(torch.tensor([[0, 5]]))[0, 1].tolist()
        [1.0, 1.0, 1.0]
        """
        where: list[Tensor] = []

        def hide(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            ids = inputs[0]
            where.append(ids == token_id)
            if rows is not None:
                rows.append(where[-1].any(-1).sum())
            return (ids.masked_fill(where[-1], 0), *inputs[1:])

        def put(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            seen = self.vector[0] if vector is None else vector
            return torch.where(where.pop()[..., None], seen.to(output), output)

        before = embedding.register_forward_pre_hook(hide)
        after = embedding.register_forward_hook(put)
        try:
            yield
        finally:
            before.remove()
            after.remove()
