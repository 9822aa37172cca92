"""What every adapter needs: settings, names, number and meaning of the scores, features."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inversion_kit.classifiers.modules import check_loaded, inner_of, input_like, to_eval
from inversion_kit.errors import ClassifierUnavailableError, InputError


@dataclass(frozen=True)
class Options:
    """The settings of `as_classifier`, which describes them."""

    preprocess: Any = None
    labels: Sequence[str] | None = None
    name: str | None = None
    head: str | None = None
    template: str = "a photo of a {}"
    revision: str | None = None

    def named(self, name: str) -> str:
        """The name asked for, or else ``name``."""
        return self.name or name


def unchanged(images: Tensor) -> Tensor:
    """The preprocessing of what takes images as they are."""
    return images


def is_from(thing: Any, library: str) -> bool:
    """Whether an object's class, or one that it inherits from, is of a library."""
    kinds = type(inner_of(thing)).__mro__
    return any(kind.__module__.split(".")[0] == library for kind in kinds)


def shape_of(given: Any) -> tuple[int, ...] | str:
    """What messages say of what a model gave: a tensor's shape, or what else it is."""
    return tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextlib.contextmanager
def loading(name: str, argument: str = "model") -> Iterator[None]:
    """Turn what a library raises while it loads ``name`` into `ClassifierUnavailableError`."""
    try:
        yield
    except Exception as error:  # each library raises its own kinds for the same two reasons
        raise ClassifierUnavailableError(
            f"{argument}={name!r} could not be loaded ({first_line(error)}); without a network "
            "give a local folder, or the loaded model itself"
        ) from error


def size_of(prepare: Any) -> tuple[int, int]:
    """Height and width that a preprocessing gives, where it says so."""
    return getattr(prepare, "size", None) or (64, 64)


def _ask(model: Any, image: Tensor) -> Any:
    """What a model gives for an image, on its device and in its dtype."""
    like = input_like(model)
    return model(image if like is None else image.to(like))


@torch.no_grad()
def width_of(model: Any, prepare: Callable[[Tensor], Tensor]) -> int:
    """Number of scores that the model gives for one image."""
    height, width = size_of(prepare)
    if isinstance(model, nn.Module):
        check_loaded(model)
        to_eval(model)
    try:
        out = _ask(model, prepare(torch.zeros(1, 3, height, width)))
    except Exception as error:  # a user's model may raise anything
        raise InputError(
            f"model: it could not score an image of {height} x {width} pixels "
            f"({type(error).__name__}: {first_line(error)}); {remedy(model, prepare, error)}"
        ) from error
    if not isinstance(out, Tensor) or out.ndim not in (1, 2) or len(out) != 1:
        raise InputError(
            f"model: gave {shape_of(out)} for one image; expected logits (1, class). Wrap it in a "
            "function that returns them, for example lambda x: model(x).logits"
        )
    wide = 1 if out.ndim == 1 else out.shape[1]
    if wide == 0:
        raise InputError("model: gave no score at all; it has no classification head")
    return wide


@torch.no_grad()
def remedy(model: Any, prepare: Callable[[Tensor], Tensor], error: Exception) -> str:
    """What to type where ``model`` raised ``error`` at an image."""
    if "when training" in str(error):
        return "model.eval()  # its batch norm is in train mode and cannot score one image"
    height, width = size_of(prepare)
    try:
        _ask(model, torch.zeros(1, 1, height, width))
    except Exception:  # a user's model may raise anything
        return (
            "check the size in as_classifier(model, preprocess=...), and that the model takes "
            "float images (n, 3, y, x)"
        )
    means = [sum(getattr(prepare, n, (one,) * 3)) / 3 for n, one in (("mean", 0.0), ("std", 1.0))]
    mean, std = (f"{value:.3g}" for value in means)
    prepared = f"Preprocess(size=({height}, {width}), mean=({mean},) * 3, std=({std},) * 3)(x)"
    return (
        f"as_classifier(model, preprocess=lambda x: rgb_to_grayscale({prepared}))  # it takes one "
        "channel, no RGB: from torchvision.transforms.v2.functional import rgb_to_grayscale"
    )


def unprepared(called: str, example: str) -> InputError:
    """The error for a model that comes without its preprocessing."""
    return InputError(
        f"model: {called} does not say how images are prepared for it; give "
        f"as_classifier(model, preprocess={example}"
    )


def head_of(
    asked: str | None, labels: Sequence[str], wide: int | None
) -> tuple[str, Sequence[str]]:
    """The kind of output, and two names where a single logit means yes or no."""
    head = asked or ("binary" if wide == 1 and len(labels) <= 2 else "softmax")
    if head == "binary" and len(labels) == 1:
        yes = labels[0]
        labels = ["class 0", "class 1"] if yes == "class 0" else [f"not {yes}", yes]
    if wide is not None and len(labels) != (2 if head == "binary" and wide == 1 else wide):
        raise InputError(
            f"labels: {len(labels)} names for {wide} outputs of the model; give one a class, in "
            "the order of the outputs"
        )
    return head, labels


def numbered(wide: int | None) -> list[str]:
    """Names for classes that have none."""
    return [f"class {i}" for i in range(wide or 0)]


def distinct(names: Sequence[str]) -> list[str]:
    """Names that differ: where a list has one twice, the index is added."""
    times = Counter(names)
    return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]


def head_input(model: Any, wide: int | None) -> Callable[[Tensor], Tensor] | None:
    """What goes into the linear layer that gives the scores: the last such that is called."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == wide]
    if not layers:
        return None

    def features(images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        with contextlib.ExitStack() as stack:
            for layer in layers:  # some serve in training alone
                hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
                stack.callback(hook.remove)
            model(images)
        return seen[-1].flatten(1)

    return features
