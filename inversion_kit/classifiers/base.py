"""The contract of a classifier: from images in [0, 1] to checked logits, with named labels."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import first_line, shape_of, unchanged
from inversion_kit.classifiers.functions import Function, OtherWeights
from inversion_kit.classifiers.label_names import called, label_index, names_of
from inversion_kit.classifiers.modules import copy_of, freeze, input_like
from inversion_kit.classifiers.preprocess import Preprocess, parity, whole_bytes
from inversion_kit.errors import InputError, InversionError, NumericalError
from inversion_kit.hashing import hash_module, state_of
from inversion_kit.plain import plain
from inversion_kit.wordings import wordings_of

HEADS = ("softmax", "sigmoid", "binary", "probability")
"""What a model's output means: logits of one label per image, of independent labels, one logit of
yes or no, or probabilities that are a softmax already."""
IDENTITY = 16
"""Images that a model without weights is asked about for its `Classifier.hash`."""
_TINY = 1e-12
_PLACES = 64
"""Values of a prepared image by which a preprocessing that is a function is known."""


class Classifier:
    """An image classifier with its preprocessing and label names.

    Parameters
    ----------
    model
        From the classifier's input to ``(n, class)``: a module, or any callable.
    preprocess
        From RGB float ``(n, 3, y, x)`` in [0, 1], any size, to the model's input.
    labels
        Name of each class, in the order of the outputs, or a mapping from index to name, see
        `inversion_kit.classifiers.label_names.names_of`.
    name
        What results call this classifier.
    features
        From the model's input to embeddings ``(n, feature)``; None where there are none.
    head
        What the model gives, one of `HEADS`.
    differentiable
        False for a black box: it is asked for scores and never for a gradient.
    official
        The library's own path from a PIL image to the model's input ``(3, y, x)``, if there is
        one; `parity` compares with it.

    Raises
    ------
    InputError
        ``head`` is unknown, or the labels are no names or do not fit it.

    Notes
    -----
    The model is put in eval mode and its parameters stop asking for gradients; networks that a
    function calls are so only while it is asked.

    Attributes
    ----------
    wordings
        What prompts say for each class, see `inversion_kit.wordings`.
    source
        The name that `as_classifier` was given, where that and the wordings say all.

    Examples
    --------
    >>> model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> classifier = Classifier(model, Preprocess(size=(8, 8)), ["cat", "dog"], name="mine")
    >>> classifier.logits(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Tensor],
        preprocess: Callable[[Tensor], Tensor],
        labels: Sequence[str] | Mapping[int, str],
        *,
        name: str,
        features: Callable[[Tensor], Tensor] | None = None,
        head: str = "softmax",
        differentiable: bool = True,
        official: Callable[[Image.Image], Tensor] | None = None,
    ) -> None:
        if head not in HEADS:
            raise InputError(f"head={head!r}: allowed are {', '.join(map(repr, HEADS))}")
        self.model = model if isinstance(model, nn.Module) else Function(model)
        freeze(self.model)
        self.preprocess = preprocess
        self.labels = names_of(labels)
        self.name = called(name)
        self.head = head
        self.differentiable = differentiable
        self.wordings = tuple(wordings_of(self.labels))
        self.source: str | None = None
        self._features = features
        self._official = official
        if head == "binary" and len(self.labels) != 2:
            raise InputError(f"labels: {len(self.labels)} names for one logit; give no and yes")
        if head in ("softmax", "probability") and len(self.labels) == 1:
            raise InputError(
                f"labels: {self.labels[0]!r} alone has 100 % of every image; give what to tell it "
                f"from too, as labels=[{self.labels[0]!r}, 'something else'], or head='binary' for "
                "a model of one logit"
            )

    def logits(self, images: Tensor) -> Tensor:
        """Logits of images; `probability` reads them.

        Parameters
        ----------
        images
            RGB float ``(n, 3, y, x)`` in [0, 1], on any device.

        Returns
        -------
        Tensor
            Float32 ``(n, class)``, those of an 8-bit file of the images: values are rounded to
            whole levels, and gradients pass straight through the rounding.

        Raises
        ------
        NumericalError
            The classifier gave NaN or infinity.
        InputError
            The classifier's output does not fit the label names, or a gradient is wanted of a
            classifier that gives none; or the images are not of that shape or no floats.
        """
        wanted = torch.is_grad_enabled() and images.requires_grad
        if wanted and not self.differentiable:
            raise InputError(
                f'classifier {self.name!r} is a black box and gives no gradient; use method="cma"'
            )
        out = self._checked(self.raw(images), len(images))
        if wanted and not out.requires_grad:
            raise InputError(
                f"classifier {self.name!r}: no gradient comes back to the images; the model or its "
                "preprocessing cuts it (detach, no_grad, argmax, numpy); mend that, or "
                'use method="cma", a search without a gradient'
            )
        return out

    def probability(self, logits: Tensor) -> Tensor:
        """Probabilities of logits: a softmax, or for multi-label a sigmoid each.

        Parameters
        ----------
        logits
            ``(n, class)``, what `logits` gave.

        Returns
        -------
        Tensor
            Float ``(n, class)`` in [0, 1], of the dtype and device of the logits.

        Raises
        ------
        InputError
            They are no logits ``(n, class)`` of this classifier, but images for example.
        """
        if not isinstance(logits, Tensor) or logits.shape[1:] != (len(self.labels),):
            raise InputError(
                f"logits: {shape_of(logits)}; expected (n, {len(self.labels)}), what "
                "logits(images) gives; of images call "
                "classifier.probability(classifier.logits(images))"
            )
        return logits.sigmoid() if self.head == "sigmoid" else logits.softmax(1)

    @property
    def has_features(self) -> bool:
        """Whether `features` gives any."""
        return self._features is not None

    def features(self, images: Tensor) -> Tensor | None:
        """Embeddings of images: what stands before the last layer, or what the user gave.

        Parameters
        ----------
        images
            As of `logits`.

        Returns
        -------
        Tensor or None
            Float32 ``(n, feature)``, on the model's device; None where `has_features` is False.

        Raises
        ------
        InputError
            The model does not give one embedding per image, or the images are not as of `logits`.
        """
        if self._features is None:
            return None
        seen = self._features(self.prepared(images))
        if not isinstance(seen, Tensor) or seen.ndim < 2 or len(seen) != len(images):
            raise InputError(
                f"features: classifier {self.name!r} gave {shape_of(seen)} for {len(images)} "
                f"images; expected ({len(images)}, feature)"
            )
        return seen.float()

    def prepared(self, images: Tensor) -> Tensor:
        """What the model sees of images.

        Parameters
        ----------
        images
            As of `logits`.

        Returns
        -------
        Tensor
            What `preprocess` gives for the images as 8-bit files hold them, ``(n, 3, *size)`` of a
            `Preprocess`: on the model's device, in its dtype where its weights are floats, and
            contiguous however the images lie in memory, as models flatten it by ``view``.

        Raises
        ------
        InputError
            The images are not float ``(n, 3, y, x)``.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            kind = str(images.dtype).removeprefix("torch.")
            raise InputError(
                f"images: {kind} {tuple(images.shape)}; expected float (n, 3, y, x) in [0, 1]; of "
                "uint8 (n, y, x, 3) give images.permute(0, 3, 1, 2) / 255"
            )
        weight = self._weight()
        place = images.device if weight is None else weight.device
        seen = self.preprocess(whole_bytes(images.to(place)).contiguous())
        if weight is not None and weight.is_floating_point():
            seen = seen.to(weight.dtype)
        return seen.contiguous() if isinstance(seen, Tensor) else seen

    def _weight(self) -> Tensor | None:
        """A tensor whose device and dtype the model's input must have; None where any will do."""
        return input_like(self.model)

    def raw(self, images: Tensor) -> Tensor:
        """What the model gives for images, neither checked nor made logits.

        Parameters
        ----------
        images
            As of `logits`.

        Returns
        -------
        Tensor
            ``(n, class)`` of a model that fits its labels, on its device and in its dtype: logits
            or probabilities as its ``head`` says; of a binary head ``(n,)`` or ``(n, 1)``.

        Raises
        ------
        InputError
            The images are not float ``(n, 3, y, x)``.
        """
        return self.model(self.prepared(images))

    def _checked(self, out: Any, n: int) -> Tensor:
        """The model's output as float logits ``(n, class)``."""
        if self.head == "binary" and isinstance(out, Tensor) and out.shape == (n,):
            out = out[:, None]
        wide = 1 if self.head == "binary" else len(self.labels)
        if not isinstance(out, Tensor) or out.shape != (n, wide):
            one = isinstance(out, Tensor) and out.numel() == n and wide == 2
            hint = ", or head='binary' for one logit of no and yes" if one else ""
            raise InputError(
                f"model: gave {shape_of(out)} for {n} images and {len(self.labels)} labels; "
                f"expected logits ({n}, {wide}){hint}"
            )
        if not torch.isfinite(out).all():
            raise NumericalError(f"classifier {self.name!r} gave values that are not finite")
        out = out.float()
        if self.head == "binary":
            return F.pad(out, (1, 0))
        if self.head == "probability":
            if (out < -1e-3).any() or (out.sum(1) - 1).abs().max() > 1e-2:
                what, do = "head='probability', but its values", "leave head out for logits"
                if not self.differentiable:
                    what = "the black box's answers"
                    do = "give percents / 100, and of logits scipy.special.softmax(logits, axis=1)"
                raise InputError(
                    f"classifier {self.name!r}: {what} are no probabilities (they reach from "
                    f"{out.min():.3g} to {out.max():.3g} and sum to {out[0].sum():.3g}); {do}"
                )
            return out.clamp_min(_TINY).log()
        return out

    def preprocess_facts(self) -> dict[str, Any]:
        """The preprocessing and the meaning of the outputs, as plain JSON.

        A `Preprocess` is given by its settings, any other callable by its name and by some values
        of a fixed image, to two decimals: the rounding of another machine is no difference. Two
        classifiers of one `hash` and the same facts give the same scores.

        Returns
        -------
        dict
            ``"head"``, and the settings of the `Preprocess`; or ``"function"``, its name, and
            ``"gives"``, shape and at most 64 values of what it gives, or the kind of what is no
            tensor.
        """
        if isinstance(self.preprocess, Preprocess):
            return {"head": self.head, **plain(dataclasses.asdict(self.preprocess))}
        called = getattr(self.preprocess, "__qualname__", type(self.preprocess).__qualname__)
        image = torch.rand(1, 3, 8, 10, generator=torch.Generator().manual_seed(0))
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)  # of a preprocessing with chance in it
            seen: Any = self.prepared(F.interpolate(image, (48, 60)))
        gives: list[Any] = [type(seen).__name__]
        if isinstance(seen, Tensor):
            flat = seen.flatten()
            at = torch.linspace(0, flat.numel() - 1, min(_PLACES, flat.numel())).long()
            values = [round(v, 2) + 0.0 for v in flat[at.to(flat.device)].double().cpu().tolist()]
            gives = plain([list(seen.shape), values])
        return {"head": self.head, "function": called, "gives": gives}

    @functools.cached_property
    def parity(self) -> float | None:
        """Largest difference from the library's own path on files, at least 0, in levels of 255.

        None where the classifier comes with no path of its own.
        """
        return None if self._official is None else parity(self.preprocess, self._official)

    def parity_facts(self) -> dict[str, Any]:
        """`parity` as results keep it.

        Returns
        -------
        dict
            ``"levels of 255"``, to one decimal, and ``"compared with"``, the library; where there
            is nothing to compare with, ``"levels of 255"`` is None and ``"why"`` says why.
        """
        if self.parity is not None:
            return {"levels of 255": round(self.parity, 1), "compared with": self._compared_with()}
        if self.preprocess is unchanged:
            why = "a black box takes files as they are"
        elif isinstance(self.preprocess, Preprocess):
            why = "the preprocessing was given as settings, with no library's own path beside it"
        else:
            why = "the preprocessing is a function of the user's own, used as it is"
        return {"levels of 255": None, "why": why}

    def _compared_with(self) -> str:
        """Whose path from a file to the model's input `parity` compares with."""
        if named := getattr(self._official, "__name__", None):
            return str(named)
        parts = getattr(self._official, "transforms", [self._official])
        libraries = {part.__module__.split(".")[0] for part in parts}
        return "timm" if "timm" in libraries else " and ".join(sorted(libraries))

    def index(self, label: int | str) -> int:
        """The class index of an index, a name, or a unique part of a name.

        A text such as ``"10"`` is a name where a class is called so, and the index 10 else.

        Parameters
        ----------
        label
            Index in [0, class), name in any case, or a part that only one name has.

        Returns
        -------
        int
            In [0, class): the place in ``labels``, and along the logits.

        Raises
        ------
        LabelError
            No such label, or several; the message names the nearest.

        Examples
        --------
        >>> from inversion_kit import as_classifier
        >>> as_classifier("pocket:honest").index("stop")
        14
        """
        return label_index(self.labels, label)

    @property
    def asks_for_hash(self) -> bool:
        """Whether `hash` is still to be made, and of `answers` that are still to be asked for."""
        return not {"hash", "answers"} & {*self.__dict__} and not self._known_by_weights()

    def _known_by_weights(self) -> bool:
        """Whether the weights alone say which model it is."""
        return not isinstance(self.model, Function) and bool(state_of(self.model))

    @functools.cached_property
    def answers(self) -> Tensor:
        """Logits of `IDENTITY` fixed images, float32 ``(16, class)`` on the CPU.

        By them two models without weights of their own can be told apart.

        Raises
        ------
        InputError
            The model cannot score them.
        """
        images = torch.rand(IDENTITY, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        try:
            with torch.no_grad():
                return self.logits(F.interpolate(images, (32, 32))).cpu()
        except InversionError:
            raise
        except Exception as error:  # a user's model may raise anything
            raise InputError(
                f"classifier {self.name!r}: it could not score {IDENTITY} images of 32 x 32 pixels "
                f"({type(error).__name__}: {first_line(error)}); check its preprocess"
            ) from error

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over the model's weights and buffers, 64 hexadecimal digits.

        For a function, or a model without any, over its name, its labels, its `answers` to three
        decimals, and the weights of the networks that it calls.

        Raises
        ------
        InputError
            It is asked for `answers`, and cannot score their images.
        """
        if self._known_by_weights():
            return hash_module(self.model)
        what = self.model.function if isinstance(self.model, Function) else self.model
        called = getattr(what, "__qualname__", type(what).__qualname__)
        digest = hashlib.sha256("\n".join([called, self.head, *self.labels]).encode())
        answers = self.probability(self.answers).double()
        digest.update((answers * 1000).round().to(torch.int64).numpy().tobytes())
        if state_of(self.model):
            digest.update(hash_module(self.model).encode())
        return digest.hexdigest()

    def copied(self) -> Classifier:
        """A copy with weights of its own.

        Returns
        -------
        Classifier
            The same preprocessing, labels and name; no features, which are those of the original.

        Raises
        ------
        InputError
            The model cannot be copied.
        """
        other = copy.copy(self)
        for known in ("hash", "answers"):
            other.__dict__.pop(known, None)
        other._features = None
        if isinstance(self.model, Function):
            _ = self.answers  # it is known by its first call which networks a function asks
            other.model = OtherWeights(self.model)
        else:
            other.model = copy_of(self.model)
        return other

    def __repr__(self) -> str:
        return f"Classifier({self.name!r}, {len(self.labels)} labels)"
