"""A learned class token as a file that other tools load."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from inversion_kit import schema
from inversion_kit.arm_roles import main_arm
from inversion_kit.errors import InputError, LabelError, StoreError, nearest
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken, Part, join, split
from inversion_kit.paths import file_to_write, local_path

KEY = "emb_params"
"""The one key of a Stable Diffusion 1 and 2 embedding file, as diffusers, A1111 and ComfyUI read
it. Files of pipelines with several text encoders have one key each: ``clip_l`` and ``clip_g`` with
Stable Diffusion XL, ``t5xxl`` too with Stable Diffusion 3."""
LAYOUT = "token_layout"
"""Setting of a result and entry of a token file: what each text encoder sees of the token, as
JSON of [key, width, scale]; see `inversion_kit.generators.class_token.Part`."""
_LIMIT = 64 * 2**20
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")
"""The first bytes of pickles and of archives of them. A safetensors file can begin so too: its
first eight bytes are the length of its header, and the ninth is the header's ``{``."""
_PROVENANCE = ("classifier", "classifier_hash", "generator", "generator_hash", "settings")


class SelectedToken(NamedTuple):
    """The token that a search kept, float32 ``(1, embed)``, and whose it is."""

    label: str
    arm: str
    run_seed: int
    vector: Tensor


def layout_json(layout: Sequence[Part]) -> str:
    """A layout as results and token files keep it: a JSON text of [key, width, scale]."""
    return json.dumps([[part.key, part.width, part.scale] for part in layout])


def selected_token(
    tree: xr.DataTree,
    *,
    label: str | None = None,
    arm: str | None = None,
    run_seed: int | None = None,
) -> SelectedToken:
    """The class token that one search of a result selected.

    A label is needed where the result has several. By default the arm is the main one, see
    `inversion_kit.arm_roles.main_arm`, and the run the first, among those with a token of the
    label.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> selected_token(synthetic(), label="sky").vector.shape[0]
    1
    """
    token = schema.validate(tree)["token"].to_dataset(inherit=False)
    labels, arms, seeds = (token[dim].values.tolist() for dim in schema.OUTER)
    if label is None and len(labels) > 1:
        raise LabelError(f"label: this result has several; give one of {nearest('', labels, 8)}")
    if label is not None and labels.count(label) != 1:
        raise LabelError(f"label={label!r}: not in this result; nearest {nearest(label, labels)}")
    if arm is not None and arm not in arms:
        raise InputError(f"arm={arm!r}: not in this result; nearest {nearest(arm, arms)}")
    if run_seed is not None and run_seed not in seeds:
        raise InputError(f"run_seed={run_seed!r}: this result holds {seeds}")
    of_label = token.isel(label=0 if label is None else labels.index(label))
    name, has = str(of_label["label"].item()), of_label["selected"].values >= 0
    wanted = has & np.isin(seeds, seeds if run_seed is None else [run_seed])
    known = [one for one, row in zip(arms, wanted, strict=True) if row.any()]
    if not known or arm not in (None, *known):
        having = [one for one, row in zip(arms, has, strict=True) if row.any()]
        raise InputError(
            f"token: none of label={name!r}, arm={arm!r}, run_seed={run_seed!r} in this result; "
            f"arms with a token of {name!r}: {', '.join(map(repr, having)) or 'none'}"
        )
    arm = main_arm(known) if arm is None else arm
    at = arms.index(arm)
    seed = int(np.argmax(wanted[at]))
    one = of_label.isel(arm=at, seed=seed)
    vector = one["embedding"].isel(check=int(one["selected"])).values
    return SelectedToken(name, arm, seeds[seed], torch.from_numpy(vector.copy()))


def save_token(
    token: xr.DataTree | ClassToken | Tensor,
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    arm: str | None = None,
    run_seed: int | None = None,
    generator: Generator | None = None,
) -> Path:
    """Write a class token as a safetensors file: the one that a search of a result selected.

    It holds one vector per text encoder, in that encoder's own space, and where it came from in
    its metadata. ``pipe.load_textual_inversion(path, token="<mine>")`` reads that of Stable
    Diffusion 1 and 2; with Stable Diffusion XL give it ``load_file(path)["clip_l"]``, and
    ``["clip_g"]`` with ``text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2``.

    Parameters
    ----------
    token
        A result of `inversion_kit.invert` or `inversion_kit.audit`; or a token itself, such as
        `inversion_kit.textual_inversion` gives, or its vector ``(1, embed)``.
    path
        File to write, ending in ``.safetensors``.
    label, arm, run_seed
        Whose token, as in `selected_token`: a label is needed where the result has several. Of a
        token itself a label is what it stands for, which `inversion_kit.augment` asks for, and
        there are no others.
    generator
        What the token was learned in: needed with a token itself, and where a result's has several
        text encoders and the result does not say what each sees.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        The ending is another, there is no such label, arm or seed, the generator is another, or
        a token itself does not fit it.
    SchemaError
        It is no valid result.
    StoreError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic
    >>> file = Path(tempfile.mkdtemp()) / "sky.safetensors"
    >>> save_token(synthetic(), file, label="sky").name
    'sky.safetensors'
    """
    target = file_to_write(path, ".safetensors")
    if isinstance(token, (ClassToken, Tensor)):
        if arm is not None or run_seed is not None:
            raise InputError("arm, run_seed: a token itself has none; leave them out")
        return _save_alone(token, target, label, generator)
    tree = token
    chosen = selected_token(tree, label=label, arm=arm, run_seed=run_seed)
    if generator is not None and check_generator(generator).hash != tree.attrs["generator_hash"]:
        raise InputError(
            f"generator: {generator.name!r} has other weights than {tree.attrs['generator']!r}, "
            "which this result is from"
        )
    kept = schema.settings_of(tree).get(LAYOUT)
    layout = _layout(generator, kept, "tree") or [Part(KEY, chosen.vector.shape[1])]
    provenance = {name: str(tree.attrs[name]) for name in _PROVENANCE}
    provenance |= {"label": chosen.label, "arm": chosen.arm, "seed": str(chosen.run_seed)}
    return _write(chosen.vector, layout, provenance, target)


def _save_alone(
    token: ClassToken | Tensor, target: Path, label: str | None, generator: Generator | None
) -> Path:
    """A token that no result holds, with its generator and what it stands for."""
    if generator is None:
        raise InputError(
            "generator: a token does not say what it was learned in; give it, as "
            "generator=as_generator('pocket')"
        )
    made = check_generator(generator)
    if not (label is None or (isinstance(label, str) and label.strip())):
        raise InputError(f"label={label!r:.40}: expected a name such as 'stop', or None")
    vector = (token if isinstance(token, ClassToken) else ClassToken(token)).vector.detach()
    width = sum(part.width for part in made.layout)
    if vector.shape != (1, width) or not torch.isfinite(vector).all():
        raise InputError(
            f"token: {tuple(vector.shape)}; expected finite numbers (1, {width}), as {made.name!r} "
            "takes"
        )
    provenance = {"generator": made.name, "generator_hash": made.hash}
    provenance |= {} if label is None else {"label": label}
    return _write(vector.float().cpu(), made.layout, provenance, target)


def _write(
    vector: Tensor, layout: Sequence[Part], provenance: dict[str, str], target: Path
) -> Path:
    """A token's pieces as a file, and where it is from."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    data = {key: piece.contiguous() for key, piece in split(vector, layout).items()}
    try:
        save_file(data, target, {**provenance, LAYOUT: layout_json(layout)})
    except (OSError, SafetensorError) as error:
        raise StoreError(f"path={str(target)!r} cannot be written: {error}") from error
    return target


def load_token(path: str | os.PathLike[str], *, generator: Generator | None = None) -> Tensor:
    """Read a class token ``(1, embed)`` that `save_token` or another tool wrote.

    A pickle is never opened.

    Parameters
    ----------
    path
        A safetensors file with one vector, under any key, or with one per text encoder.
    generator
        Where the token is to be used; needed for a file of several text encoders that another
        tool wrote.

    Returns
    -------
    Tensor
        Float32 ``(1, embed)``, as `ClassToken` takes it.

    Raises
    ------
    StoreError
        The file is missing, too large (over 64 MiB), malformed, does not fit the generator, or
        holds something else.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic
    >>> file = save_token(synthetic(), f"{tempfile.mkdtemp()}/sky.safetensors", label="sky")
    >>> load_token(file).shape[0]
    1
    """
    from safetensors import SafetensorError, safe_open

    source = local_path(path)
    name = f"path={str(source)!r}"
    try:
        if source.stat().st_size > _LIMIT:
            raise StoreError(f"{name}: larger than any class token")
        with source.open("rb") as raw:
            first = raw.read(9)
        if first.startswith(_PICKLES) and not first.endswith(b"{"):
            raise StoreError(
                f"{name} is not a readable token file: it is a pickle, which can run code and "
                "is never opened; ask for the safetensors version, or convert it where you trust "
                "it: safetensors.torch.save_file(torch.load(path, weights_only=True), "
                "'token.safetensors')"
            )
        with safe_open(source, "pt") as file:
            data = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            kept = (file.metadata() or {}).get(LAYOUT)
    except (OSError, SafetensorError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{name} is not a readable token file: {error}") from error
    holds = ", ".join(f"{key} {tuple(tensor.shape)}" for key, tensor in data.items()) or "nothing"
    layout = _layout(generator, kept, name)
    if layout is None:
        if len(data) != 1:
            raise StoreError(
                f"{name}: expected one tensor of (1, embed), it holds {holds}; for a token of "
                "several text encoders give generator="
            )
        (only,) = data.values()
        layout = [Part(KEY, only.shape[-1] if only.ndim else 0)]
    if len(layout) == len(data) == 1:  # diffusers calls it as the token, others as they like
        data = dict(zip([layout[0].key], data.values(), strict=True))
    wanted = {part.key: (1, part.width) for part in layout}
    data = {key: t[None] if (1, *t.shape) == wanted.get(key) else t for key, t in data.items()}
    if {key: tuple(tensor.shape) for key, tensor in data.items()} != wanted:
        expected = ", ".join(f"{key} {shape}" for key, shape in wanted.items())
        raise StoreError(f"{name}: expected {expected}, it holds {holds}")
    if not all(t.is_floating_point() and t.isfinite().all() for t in data.values()):
        raise StoreError(f"{name}: holds values that are not finite numbers")
    return join({key: tensor.float() for key, tensor in data.items()}, layout)


def check_generator(generator: Any) -> Generator:
    """The generator, where it is one; `InputError` with what to type where it is none."""
    if not isinstance(generator, Generator):
        raise InputError(
            f"generator: {type(generator).__name__} given; expected a Generator: as_generator(...)"
        )
    return generator


def _layout(generator: Generator | None, text: str | None, name: str) -> Sequence[Part] | None:
    """The generator's layout, else the one that a result or a file keeps."""
    if generator is not None:
        return check_generator(generator).layout
    if text is None:
        return None
    try:
        parts = [Part(str(key), int(width), float(scale)) for key, width, scale in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise StoreError(f"{name}: {LAYOUT} cannot be read ({error})") from error
    if not parts or not all(part.width > 0 and part.scale > 0 for part in parts):
        raise StoreError(f"{name}: {LAYOUT} cannot be read ({text[:80]})")
    return parts
