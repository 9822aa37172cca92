"""A generator's call in small, and what to say of a user's part that fails."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from inversion_kit.errors import InputError, InversionError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.checkpointing import checkpoint_next
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.gradients import NONE, GradientPolicy
from inversion_kit.generators.memory import MicroBatch, is_full


@contextlib.contextmanager
def blaming(what: str, do: str) -> Iterator[None]:
    """Turn whatever a user's part raises into an `InputError` that names it.

    Errors of this library, and of memory that is full, stay what they are.

    Parameters
    ----------
    what
        What failed, as the start of the message.
    do
        What to do about it.

    Examples
    --------
    >>> with blaming("classifier 'mine': it gave no scores", "look at its forward"):
    ...     [][0]
    Traceback (most recent call last):
    ...
    inversion_kit.errors.InputError: classifier 'mine': it gave no scores (IndexError: list index \
out of range); look at its forward
    """
    try:
        yield
    except InversionError:
        raise
    except Exception as error:  # a user's part may raise anything
        if is_full(error):
            raise
        said = (str(error).strip() or "no message").splitlines()[0]
        if "nference tensor" in said:
            do = "what was made under torch.inference_mode() takes no gradient: make it outside"
        raise InputError(f"{what} ({type(error).__name__}: {said}); {do}") from error


@torch.inference_mode(False)  # where the caller has no gradient too
def rehearse_call(
    generator: Generator,
    prompts: Sequence[str],
    *,
    token: ClassToken | None,
    gradient: GradientPolicy = NONE,
    sizes: Iterable[int] = (2, 1),
) -> Tensor:
    """Make a generator's call with all that goes with it, but for the steps after the first.

    Parameters
    ----------
    prompts
        At least one, taken in turn.
    token
        The class token, where the prompts hold it.
    gradient
        The policy of the search; the gradient of the first batch is taken once.
    sizes
        Images of each call: a value of ``call`` may fit one number of images alone.

    Returns
    -------
    Tensor
        Images of the first size, ``(n, 3, y, x)`` without a gradient: noise as large, and laid out
        in memory, as the real ones.

    Raises
    ------
    InputError
        The pipeline does not take the call; the message names ``call`` where it holds something.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> rehearse_call(as_generator("pocket"), ["a stop sign"], token=None).shape
    torch.Size([2, 3, 32, 32])
    """
    made: list[Tensor] = []
    called = type(generator.pipeline).__name__
    do = f"see whether the pipeline works by itself: pipe({prompts[0]!r:.60})"
    if generator.call:
        do = (
            f"look at call={generator.call!r:.200}: each value must be one that {called} takes for "
            "any number of images, as negative_prompt='blurred' and no list"
        )
    for size in sizes:
        asked = [prompts[i % len(prompts)] for i in range(size)]
        policy = NONE if made else gradient

        work = functools.partial(_paint, generator, asked, token, policy)
        with blaming(f"generator {generator.name!r}: its call fails for {size} images", do):
            made.append(torch.cat(_fitting(generator, size, policy).parts(size, work)))
    if made[0].ndim != 4 or made[0].shape[1] != 3:
        raise InputError(
            f"generator: {called} gave {tuple(made[0].shape)}; expected RGB images (n, 3, y, x)"
        )
    return made[0]


def _fitting(generator: Generator, size: int, gradient: GradientPolicy) -> MicroBatch:
    """All images at once, or one by one; of one with a gradient the networks checkpoint."""
    if gradient.last == 0:
        return MicroBatch(size)
    return MicroBatch(size, spare=functools.partial(checkpoint_next, generator))


def _paint(
    generator: Generator,
    prompts: Sequence[str],
    token: ClassToken | None,
    gradient: GradientPolicy,
    part: slice,
) -> Tensor:
    """Images of the first step, their gradient taken where the policy has one."""
    seeds = list(range(len(prompts)))[part]
    images = generator.first_step(prompts[part], seeds=seeds, token=token, gradient=gradient)
    if gradient.last != 0 and token is not None:
        torch.autograd.grad(images.sum(), token.vector)
    return images.detach()
