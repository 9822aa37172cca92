"""A learned class token in any prompt."""

from __future__ import annotations

import os
from typing import Any

import torch
import xarray as xr
from PIL import Image
from torch import Tensor

from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.loading import check_whole
from inversion_kit.generators.prompts import check_templates, fill
from inversion_kit.generators.rehearsal import rehearse_call
from inversion_kit.generators.sample import sample, to_bytes
from inversion_kit.generators.token_file import load_token, selected_token
from inversion_kit.schema import settings_of
from inversion_kit.seeds import FREE, noise_seeds


@torch.inference_mode(False)  # what is made on the way may serve a gradient later
def generate(
    token: xr.DataTree | str | os.PathLike[str] | Tensor | ClassToken,
    prompt: str = "a photo of a {token}",
    *,
    generator: Any = None,
    n: int = 8,
    seed: int = 0,
    label: str | None = None,
    arm: str | None = None,
    run_seed: int | None = None,
    batch: int = 4,
) -> list[Image.Image]:
    """Images of a learned class token in a prompt of your own.

    Parameters
    ----------
    token
        A result of `inversion_kit.invert` or `inversion_kit.audit`, a token file, or a vector
        ``(embed,)`` or ``(1, embed)``.
    prompt
        With ``{token}`` where the token stands; with a result also ``{name}``, what its prompts
        say for the label.
    generator
        Anything `as_generator` takes. None is the result's own generator, with its size, call,
        steps and dtype; with a file, a vector or a result of a pipeline object it has to be given.
    n
        Number of images, at least 1.
    seed
        Of the start noise, at least 0: the same seed, the same images.
    label, arm, run_seed
        Whose token of a result, as in `selected_token`: a label is needed where it has several.
    batch
        Most images at once, at least 1; halved where memory runs out.

    Returns
    -------
    list of PIL.Image.Image
        ``n`` RGB images.

    Raises
    ------
    InputError
        An argument is not usable, or the token is not one of this generator, or the pipeline does
        not take the generator's ``call``.
    SchemaError
        The tree is no valid result.
    StoreError
        The token file cannot be read.

    Examples
    --------
    >>> vector = as_generator("pocket").vector_of("stop")
    >>> pictures = generate(vector, "a red {token}", generator="pocket", n=2)
    >>> [picture.size for picture in pictures]
    [(32, 32), (32, 32)]
    """
    if not isinstance(prompt, str):
        raise InputError(f"prompt={prompt!r}: expected one text such as 'a photo of a {{token}}'")
    (template,) = check_templates(prompt)
    n, batch = check_whole("n", n, 1), check_whole("batch", batch, 1)
    seed = check_whole("seed", seed, 0)
    if isinstance(token, xr.DataTree):
        chosen = selected_token(token, label=label, arm=arm, run_seed=run_seed)
        vector, name = chosen.vector, _wording(token, chosen.label)
        made = _own(token) if generator is None else as_generator(generator)
    else:
        if (label, arm, run_seed) != (None, None, None):
            raise InputError("label, arm, run_seed: of a result alone; leave them out")
        if generator is None:
            raise InputError(
                "generator: needed with a token file or a vector; give the one that the token was "
                "learned in"
            )
        if "{name}" in template:
            raise InputError(f"prompt={prompt!r}: {{name}} needs a result, which knows its label")
        made, name = as_generator(generator), ""
        if isinstance(token, (ClassToken, Tensor)):
            vector = token.vector if isinstance(token, ClassToken) else token
        elif isinstance(token, (str, os.PathLike)):
            vector = load_token(token, generator=made)
        else:
            raise InputError(
                f"token: {type(token).__name__}; expected a result, a token file or a vector "
                "(embed,)"
            )
    filled = fill(template, name=name)
    made.check_prompt(filled)
    noise, placed = noise_seeds(seed, FREE, 0, n), ClassToken(vector)
    if made.call:  # what is in it may not fit each number of images
        sizes = {min(batch, n), n % batch} - {0}
        rehearse_call(made, [filled], token=placed, sizes=sorted(sizes))
    images = sample(made, [filled] * n, seeds=noise, token=placed, batch=batch)
    return [Image.fromarray(image) for image in to_bytes(images)]


def _wording(tree: xr.DataTree, label: str) -> str:
    """What the prompts of a result say for a label."""
    kept = settings_of(tree).get("wordings")
    return str(kept.get(label, label)) if isinstance(kept, dict) else label


def _own(tree: xr.DataTree) -> Generator:
    """The generator that a result was made with."""
    name, settings = str(tree.attrs["generator"]), settings_of(tree)
    source, facts = settings.get("generator_source"), settings.get("sampler")
    if source is None or facts is None:
        raise InputError(
            f"generator: this result was made with a pipeline object ({name}); give it again: "
            "generator=pipe, or as_generator(pipe, ...) with the settings that it had"
        )
    kept = {key: settings[key] for key in ("num_inference_steps", "guidance_scale")}
    made = as_generator(name, **source, **kept, call=facts["call"])
    other = "weights" if made.hash != tree.attrs["generator_hash"] else "settings"
    if other == "weights" or made.sampler_facts() != facts:
        raise InputError(
            f"generator: what {name!r} loads now has other {other} than this result was made with; "
            "give generator= to use it nevertheless"
        )
    return made
