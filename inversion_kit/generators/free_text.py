"""A learned class token in any prompt."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
import xarray as xr
from PIL import Image
from torch import Tensor

from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator, as_generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.loading import check_whole
from inversion_kit.generators.prompts import check_templates, fill
from inversion_kit.generators.token_file import load_token, selected_token
from inversion_kit.search.identity import sampler
from inversion_kit.search.optimise import noise_seeds

FREE = 5
"""The stream of noise of free prompts: none of a run's own."""


@torch.no_grad()
def generate(
    token: xr.DataTree | str | os.PathLike[str] | Tensor | ClassToken,
    prompt: str = "a photo of a {token}",
    *,
    generator: Any = None,
    n: int = 8,
    seed: int = 0,
    run: int | None = None,
    batch: int = 4,
) -> list[Image.Image]:
    """Images of a learned class token in a prompt of your own.

    Parameters
    ----------
    token
        A result of `inversion_kit.invert`, a token file, or a vector ``(embed,)``.
    prompt
        With ``{token}`` where the token stands; with a result also ``{name}``, its label's.
    generator
        Anything `as_generator` takes. None is the result's own generator, with its size, call,
        steps and dtype; with a file, a vector or a result of a pipeline object it has to be given.
    n
        Number of images.
    seed
        Of the start noise: the same seed, the same images.
    run
        The seed of the run whose token is taken, where a result holds several; the first by
        default.
    batch
        Images made at once.

    Returns
    -------
    list of PIL.Image.Image
        ``n`` RGB images.

    Raises
    ------
    InputError
        An argument is not usable, or the token is not one of this generator.
    StoreError
        The token file cannot be read.

    Examples
    --------
    >>> vector = as_generator("pocket").vector_of("stop")
    >>> pictures = generate(vector, "a red {token}", generator="pocket", n=2)
    >>> [picture.size for picture in pictures]
    [(32, 32), (32, 32)]
    """
    if isinstance(prompt, str):
        (template,) = check_templates(prompt)
    else:
        raise InputError(f"prompt={prompt!r}: expected one text such as 'a photo of a {{token}}'")
    n, batch = check_whole("n", n, 1), check_whole("batch", batch, 1)
    seed = check_whole("seed", seed, 0)
    if isinstance(token, xr.DataTree):
        made = as_generator(generator) if generator is not None else _own(token)
        vector, name = selected_token(token, seed=run)[1], str(token.attrs["label"])
    else:
        if generator is None:
            raise InputError(
                "generator: needed with a token file or a vector; give the one that the token was "
                "learned in"
            )
        if "{name}" in template:
            raise InputError(f"prompt={prompt!r}: {{name}} needs a result, which knows its label")
        made, name = as_generator(generator), ""
        vector = _vector(token, made)
    asked = fill(template, name=name)
    made.check_prompt(asked)
    learned = ClassToken(vector)
    seeds = noise_seeds(seed, FREE, 0, n)
    parts = [
        made.images([asked] * len(some), seeds=some, token=learned)
        for some in (seeds[i : i + batch] for i in range(0, n, batch))
    ]
    pixels = torch.cat(parts).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(image) for image in pixels]


def _vector(token: str | os.PathLike[str] | Tensor | ClassToken, generator: Generator) -> Tensor:
    if isinstance(token, ClassToken):
        return token.vector
    if isinstance(token, Tensor):
        return token
    if isinstance(token, (str, os.PathLike)):
        return load_token(token, generator=generator)
    raise InputError(
        f"token: {type(token).__name__}; expected a result, a token file or a vector (embed,)"
    )


def _own(tree: xr.DataTree) -> Generator:
    """The generator that a result was made with."""
    name, settings = str(tree.attrs["generator"]), json.loads(tree.attrs["settings"])
    if "sampler" not in settings:
        raise InputError(
            "generator: an earlier version made this result and did not write down the size of its "
            f"images, nor the call; give generator=as_generator({name!r}, height=..., width=...)"
        )
    if settings["source"] is None:
        raise InputError(
            f"generator: this result was made with a pipeline object ({name}); give it again: "
            "generator=pipe, or as_generator(pipe, ...) with the settings that it had"
        )
    kept = {key: settings[key] for key in ("num_inference_steps", "guidance_scale")}
    found = as_generator(name, **settings["source"], **kept, call=settings["sampler"]["call"])
    other = "weights" if found.hash != tree.attrs["generator_hash"] else "settings"
    if other == "weights" or sampler(found) != settings["sampler"]:
        raise InputError(
            f"generator: what {name!r} loads now has other {other} than this result was made with; "
            "give generator= to use it nevertheless"
        )
    return found
