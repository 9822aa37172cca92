"""ONNX files as classifiers: scored by onnxruntime, which gives no gradient."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inversion_kit.classifiers.adapter_parts import (
    Options,
    head_of,
    loading,
    numbered,
    unprepared,
    width_of,
)
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.label_names import names_of
from inversion_kit.classifiers.preprocess import Preprocess
from inversion_kit.classifiers.preprocess_readers import Official, as_preprocess, read_timm
from inversion_kit.errors import InputError
from inversion_kit.paths import local_path

LABELS = ("labels", "class_names", "classes", "names", "id2label")
"""Keys of a file's metadata under which class names are looked for."""
_KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_SCORES = ("logits", "probabilities", "scores")
"""Of several outputs the one that is called so, or else the first, has the scores."""


class _Session(nn.Module):
    """A file as a module from prepared images ``(n, c, y, x)`` to scores ``(n, class)``."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path.absolute()
        self.file: Tensor
        self.register_buffer("file", _digest(self.path))
        self._open()

    def _open(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        there = onnxruntime.get_available_providers()
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        self.session = onnxruntime.InferenceSession(
            str(self.path), options, providers=[one for one in wanted if one in there]
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._open()

    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def image_input(self) -> Any:
        """The one input, of float images.

        Raises
        ------
        InputError
            There are others.
        """
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _KINDS:
            seen = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise InputError(
                f"model={str(self.path)!r}: its inputs are {seen}; expected one of float images "
                "(n, 3, y, x) or (n, y, x, 3)"
            )
        return inputs[0]

    def scores_output(self) -> str:
        """The name of the output with the scores.

        Raises
        ------
        InputError
            There is none of floats.
        """
        outputs = self.session.get_outputs()
        names = [one.name for one in outputs if one.type in _KINDS]
        if not names:
            seen = ", ".join(f"{one.name} {one.type}" for one in outputs)
            raise InputError(f"model={str(self.path)!r}: its outputs are {seen}; expected scores")
        return next((name for name in names if name in _SCORES), names[0])

    def forward(self, images: Tensor) -> Tensor:
        """The file's scores of prepared images."""
        takes, gives = self.image_input(), self.scores_output()
        if takes.shape[3] == 3 and takes.shape[1] != 3:
            images = images.permute(0, 2, 3, 1)
        array = images.detach().cpu().contiguous().numpy().astype(_KINDS[takes.type])
        at_once = takes.shape[0] if isinstance(takes.shape[0], int) else len(array)
        scores = []
        for start in range(0, len(array), at_once):
            some = array[start : start + at_once]
            short = at_once - len(some)  # of a file for so many images and no fewer
            full = np.concatenate([some, np.repeat(some[-1:], short, 0)]) if short else some
            scores.append(self.session.run([gives], {takes.name: full})[0][: len(some)])
        return torch.from_numpy(np.concatenate(scores)).float().to(images.device)


def _digest(path: Path) -> Tensor:
    """sha256 of a file and of those with its weights beside it, as bytes."""
    beside = [p for p in sorted(path.parent.glob(f"{path.name}?*")) if "data" in p.suffix]
    digest = hashlib.sha256()
    for part in [path, *beside]:
        with part.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def from_onnx(name: str, options: Options) -> Classifier:
    """A black box of an ONNX file; preprocessing and label names from its metadata or given.

    Raises
    ------
    InputError
        onnxruntime or the file is missing, or the file does not say how images are prepared.
    ClassifierUnavailableError
        The file cannot be loaded.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"model={name!r}: onnxruntime is missing: pip install 'inversion-kit[onnx]'"
        ) from error
    path = local_path(name, "model")
    if not path.is_file():
        raise InputError(f"model={name!r}: no such file")
    with loading(name):
        model = _Session(path)
    says = model.metadata()
    shape = model.image_input().shape
    prepare, official = _preprocess(name, options, says)
    if isinstance(prepare, Preprocess) and prepare.size is None:
        edges = shape[1:3] if shape[3] == 3 and shape[1] != 3 else shape[2:]
        if all(isinstance(edge, int) for edge in edges):
            prepare = dataclasses.replace(prepare, size=tuple(edges))
    wide = width_of(model, prepare)
    labels = options.labels
    if labels is None:
        labels = _labels(name, says) or numbered(wide)
    head, labels = head_of(options.head or _head(model, prepare, wide), labels, wide)
    return Classifier(
        model,
        prepare,
        labels,
        name=options.named(name),
        head=head,
        differentiable=False,
        official=official,
    )


def _preprocess(name: str, options: Options, says: dict[str, str]) -> tuple[Any, Official | None]:
    if options.preprocess is not None:
        return as_preprocess(options.preprocess)
    try:
        if "preprocess" in says:
            settings: dict[str, Any] = json.loads(says["preprocess"])
            for key, value in settings.items():
                settings[key] = tuple(value) if isinstance(value, list) else value
            return Preprocess(**settings), None
        if "pretrained_cfg" in says:
            return read_timm(json.loads(says["pretrained_cfg"]))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"model={name!r}: the preprocessing in its metadata cannot be read "
            f"({type(error).__name__}: {error}); give as_classifier(model, preprocess=...)"
        ) from error
    raise unprepared(name, "Preprocess(size=(224, 224), mean=..., std=...))")


def _labels(name: str, says: dict[str, str]) -> tuple[str, ...] | None:
    key = next((key for key in LABELS if key in says), None)
    if key is None:
        return None
    try:
        try:
            read = json.loads(says[key])
        except ValueError:
            read = ast.literal_eval(says[key])  # as Ultralytics writes them: {0: 'cat', 1: 'dog'}
        return names_of(read)
    except (ValueError, SyntaxError) as error:  # an InputError of the names themselves too
        raise InputError(
            f"model={name!r}: {key!r} of its metadata holds no label names ({error}); give "
            "as_classifier(model, labels=[...])"
        ) from error


@torch.no_grad()
def _head(model: nn.Module, prepare: Any, wide: int) -> str | None:
    """Probabilities where the file ends in a softmax, as the scores of some images show."""
    edge = getattr(prepare, "size", None) or (64, 64)
    images = torch.rand(8, 3, *edge, generator=torch.Generator().manual_seed(0))
    scores = model(prepare(images))
    if wide < 2 or (scores < 0).any() or ((scores.sum(1) - 1).abs() > 1e-3).any():
        return None
    return "probability"
