"""A learned class token as a file that other tools load."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

from inversion_kit import schema
from inversion_kit.errors import InputError, StoreError

KEY = "emb_params"
"""The one key of a Stable Diffusion 1 and 2 embedding file, as diffusers, A1111 and ComfyUI read
it."""
_LIMIT = 64 * 2**20


def save_token(tree: xr.DataTree, path: str | os.PathLike[str], *, seed: int | None = None) -> Path:
    """Write the selected class token of one seed as one vector in a safetensors file.

    Parameters
    ----------
    tree
        A valid result.
    path
        File to write, ending in ``.safetensors``.
    seed
        Which run; the first by default.

    Raises
    ------
    InputError
        The ending is another, or there is no such seed.
    StoreError
        The file cannot be written.
    """
    from safetensors.torch import save_file

    schema.validate(tree)
    target = Path(path)
    if target.suffix != ".safetensors":
        raise InputError(f"path={str(target)!r}: must end in .safetensors")
    token = tree["token"].to_dataset()
    seeds = token["seed"].values.tolist()
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise InputError(f"seed={seed!r}: this result holds {seeds}")
    one = token.sel(seed=seed)
    vector = torch.from_numpy(one["embedding"].values[int(one["selected"])].copy())
    kept = ("label", "classifier", "classifier_hash", "generator", "generator_hash", "settings")
    provenance = {name: str(tree.attrs[name]) for name in kept} | {"seed": str(seed)}
    try:
        save_file({KEY: vector.contiguous()}, target, provenance)
    except OSError as error:
        raise StoreError(f"path={str(target)!r} cannot be written: {error}") from error
    return target


def load_token(path: str | os.PathLike[str]) -> Tensor:
    """Read a class token ``(vector, embed)`` that `save_token` wrote.

    Raises
    ------
    StoreError
        The file is missing, too large, malformed, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    source = Path(path)
    try:
        if source.stat().st_size > _LIMIT:
            raise StoreError(f"path={str(source)!r}: larger than any class token")
        tensors = load_file(source)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"path={str(source)!r} is not a readable token file: {error}") from error
    vector = tensors.get(KEY)
    if set(tensors) != {KEY} or vector is None or vector.ndim != 2:
        raise StoreError(
            f"path={str(source)!r}: expected one tensor {KEY!r} of (vector, embed), found "
            f"{ {name: tuple(t.shape) for name, t in tensors.items()} }"
        )
    return vector.float()
