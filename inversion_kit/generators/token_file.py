"""A learned class token as a file that other tools load."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

from inversion_kit import schema
from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import Part, join, split

KEY = "emb_params"
"""The one key of a Stable Diffusion 1 and 2 embedding file, as diffusers, A1111 and ComfyUI read
it. Files of pipelines with several text encoders have one key each: ``clip_l`` and ``clip_g`` with
Stable Diffusion XL, ``t5xxl`` too with Stable Diffusion 3."""
LAYOUT = "token_layout"
"""Attribute of a result and entry of a token file: what each text encoder sees of the token, as
JSON of [key, width, scale]; see `inversion_kit.generators.class_token.Part`."""
_LIMIT = 64 * 2**20
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")
"""How pickles and the archives of them begin. So can a safetensors file: its first eight bytes are
the length of its header, and the ninth is the header's ``{``."""
_PROVENANCE = ("label", "classifier", "classifier_hash", "generator", "generator_hash", "settings")


def layout_json(layout: Sequence[Part]) -> str:
    """A layout as results and token files keep it.

    Examples
    --------
    >>> layout_json([Part("clip_l", 768), Part("clip_g", 1280, 0.5)])
    '[["clip_l", 768, 1.0], ["clip_g", 1280, 0.5]]'
    """
    return json.dumps([[part.key, part.width, part.scale] for part in layout])


def selected_token(tree: xr.DataTree, *, seed: int | None = None) -> tuple[int, Tensor]:
    """The selected class token ``(1, embed)`` of one run of a result, and that run's seed.

    Raises
    ------
    InputError
        There is no such seed.
    """
    token = tree["token"].to_dataset()
    seeds = token["seed"].values.tolist()
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise InputError(f"seed={seed!r}: this result holds {seeds}")
    one = token.sel(seed=seed)
    return seed, torch.from_numpy(one["embedding"].values[int(one["selected"])].copy())


def save_token(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    seed: int | None = None,
    generator: Generator | None = None,
) -> Path:
    """Write the selected class token of one seed as a safetensors file.

    It holds one vector a text encoder, in that encoder's own space, and where it came from in its
    metadata. ``pipe.load_textual_inversion(path, token="<mine>")`` reads that of Stable Diffusion
    1 and 2; with Stable Diffusion XL give it ``load_file(path)["clip_l"]``, and ``["clip_g"]``
    with ``text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2``.

    Parameters
    ----------
    tree
        A valid result.
    path
        File to write, ending in ``.safetensors``.
    seed
        Which run; the first by default.
    generator
        The result's generator; needed where that has several text encoders and the result does
        not say what each sees.

    Raises
    ------
    InputError
        The ending is another, there is no such seed, or the generator is another one.
    StoreError
        The file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    schema.validate(tree)
    target = Path(path)
    if target.suffix != ".safetensors":
        raise InputError(f"path={str(target)!r}: must end in .safetensors")
    seed, vector = selected_token(tree, seed=seed)
    if generator is not None and generator.hash != tree.attrs["generator_hash"]:
        raise InputError(
            f"generator: {generator.name!r} has other weights than {tree.attrs['generator']!r}, "
            "which this result is from"
        )
    layout: Sequence[Part] = [Part(KEY, vector.shape[1])]
    if generator is not None:
        layout = generator.layout
    elif LAYOUT in tree.attrs:
        layout = _layout(tree.attrs[LAYOUT])
    data = {key: piece.contiguous() for key, piece in split(vector, layout).items()}
    provenance = {name: str(tree.attrs[name]) for name in _PROVENANCE}
    provenance |= {"seed": str(seed), LAYOUT: layout_json(layout)}
    try:
        save_file(data, target, provenance)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"path={str(target)!r} cannot be written: {error}") from error
    return target


def load_token(path: str | os.PathLike[str], *, generator: Generator | None = None) -> Tensor:
    """Read a class token ``(1, embed)`` that `save_token` or another tool wrote.

    A pickle is never opened.

    Parameters
    ----------
    path
        A safetensors file with one vector, or with one a text encoder.
    generator
        Where the token is to be used; needed for a file of several text encoders that another
        tool wrote.

    Raises
    ------
    StoreError
        The file is missing, too large, malformed, or holds something else.
    InputError
        The token does not fit the generator.
    """
    from safetensors import SafetensorError, safe_open

    source = Path(path)
    name = f"path={str(source)!r}"
    try:
        if source.stat().st_size > _LIMIT:
            raise StoreError(f"{name}: larger than any class token")
        with source.open("rb") as raw:
            first = raw.read(9)
        if first.startswith(_PICKLES) and not first.endswith(b"{"):
            raise StoreError(
                f"{name} is not a readable token file: it is a pickle, which can run code and "
                "is never opened; ask for the safetensors version"
            )
        with safe_open(source, "pt") as file:
            data = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            kept = (file.metadata() or {}).get(LAYOUT)
    except (OSError, SafetensorError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{name} is not a readable token file: {error}") from error
    found = ", ".join(f"{key} {tuple(tensor.shape)}" for key, tensor in data.items()) or "nothing"
    if generator is not None:
        layout: Sequence[Part] = generator.layout
    elif kept is not None:
        layout = _layout(kept, name)
    elif set(data) == {KEY}:
        layout = [Part(KEY, data[KEY].shape[-1] if data[KEY].ndim else 0)]
    else:
        raise StoreError(
            f"{name}: expected one tensor {KEY!r} of (1, embed), found {found}; for a token of "
            "several text encoders give generator="
        )
    for part in layout:
        if part.key in data and data[part.key].shape == (part.width,):
            data[part.key] = data[part.key][None]
    if {key: tuple(tensor.shape) for key, tensor in data.items()} != {
        part.key: (1, part.width) for part in layout
    }:
        expected = ", ".join(f"{part.key} {(1, part.width)}" for part in layout)
        raise StoreError(f"{name}: expected {expected}, found {found}")
    if not all(t.is_floating_point() and t.isfinite().all() for t in data.values()):
        raise StoreError(f"{name}: holds values that are not finite numbers")
    return join({key: tensor.float() for key, tensor in data.items()}, layout)


def _layout(text: str, name: str = "tree") -> list[Part]:
    try:
        parts = [Part(str(key), int(width), float(scale)) for key, width, scale in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise StoreError(f"{name}: {LAYOUT} cannot be read ({error})") from error
    if not parts or not all(part.width > 0 and part.scale > 0 for part in parts):
        raise StoreError(f"{name}: {LAYOUT} cannot be read ({text[:80]})")
    return parts
