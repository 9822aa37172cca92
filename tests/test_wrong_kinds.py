"""Public calls with values of a wrong kind: a typed error or a right result, nothing else."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import inversion_kit as ik
from inversion_kit.errors import InversionError
from inversion_kit.settings import Settings
from inversion_kit.testing import synthetic

KINDS = {
    "none": lambda: None,
    "empty text": lambda: "",
    "empty list": lambda: [],
    "empty dict": lambda: {},
    "nan": lambda: float("nan"),
    "numpy float": lambda: np.float32(0.5),
    "numpy int": lambda: np.int64(-3),
    "numpy bool": lambda: np.bool_(True),
    "generator": lambda: (i for i in [1.5]),
    "path": lambda: Path("no/such/file"),
    "bytes": lambda: b"\xff",
    "array": lambda: np.zeros((2, 3)),
    "tensor": lambda: torch.zeros(0, 3),
    "dataset": lambda: xr.Dataset(),
    "object": object,
    "type": lambda: int,
}
"""What stands where something else should."""
WORK = {"steps": 0, "batch": 1, "samples": 1, "validation": 1, "restarts": 0, "views": []}


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """A public function and arguments with which it works, in little time."""
    folder = tmp_path_factory.mktemp("wrong")
    generator, classifier = ik.as_generator("pocket"), ik.as_classifier("pocket:honest")
    tree = synthetic(labels=2, samples=2)
    one = synthetic(samples=2)
    vector = generator.vector_of("stop")
    images = [np.zeros((8, 8, 3), np.uint8)]
    models = {"generator": generator, "judges": []}
    image_folder = folder / "images"
    stored = ik.save(one, folder / "one.zarr")
    token = ik.save_token(one, folder / "token.safetensors")
    return {
        "invert": {"model": classifier, "label": 1, "arms": ["name"], "progress": False, **models},
        "audit": {"model": classifier, "labels": [1], "arms": ["name"], "seeds": 1, **models},
        "findings": {"model": classifier, "labels": [1, 2], "cues": ["x"], **models},
        "as_classifier": {"model": torch.nn.Identity(), "preprocess": ik.Preprocess(size=(8, 8)),
                          "labels": ["a", "b"], "name": "x", "head": None},
        "as_generator": {"generator": "pocket", "num_inference_steps": 2, "guidance_scale": 1.0,
                         "call": None},
        "doctor": {"model": classifier, "images": images, "truth": [1]},
        "generate": {"token": vector, "prompt": "a {token}", "generator": generator, "n": 1,
                     "seed": 0, "batch": 1},
        "save": {"tree": one, "path": folder / "new.zarr", "overwrite": True},
        "open": {"path": stored},
        "save_token": {"token": one, "path": folder / "t.safetensors"},
        "load_token": {"path": token, "generator": generator},
        "validate": {"tree": tree},
        "success": {"tree": tree},
        "report": {"result": one, "path": folder / "r.html", "max_mb": 5.0},
        "resume": {"path": stored},
        "consolidate": {"result": stored, "path": folder / "c.zarr"},
        "to_netcdf": {"result": stored, "path": folder / "n.nc"},
        "export_images": {"result": stored, "path": image_folder},
        "augment": {"tokens": {"stop": vector}, "n": 1, "out": folder / "more", "judges": [],
                    "generator": generator, "labels": None, "prompts": None, "seed": 0},
        "evaluate": {"result": tree, "seed": 0},
        "textual_inversion": {"images": torch.rand(2, 3, 8, 8), "generator": generator,
                              "prompts": "a {token}", "start": None, "steps": 1, "batch": 1,
                              "lr": 0.1, "seed": 0},
        "coverage": {"result": tree, "real": image_folder, "seed": 0},
    }  # fmt: skip


CALLED = (
    *("invert", "audit", "findings", "as_classifier", "as_generator", "doctor", "generate"),
    *("save", "open", "save_token", "load_token", "validate", "success", "report", "resume"),
    *("consolidate", "to_netcdf", "export_images", "augment", "evaluate", "coverage"),
    "textual_inversion",
)
LONG = {"explore", "repair", "compare"}
"""Not called with wrong kinds: a view, and what works for minutes where an argument is fine."""


def assert_typed_or_fine(call, what):
    try:
        call()
    except InversionError:
        return
    except Exception as error:
        pytest.fail(f"{what}: {type(error).__name__}: {error}")


def test_every_public_function_is_called():
    functions = {name for name in ik._HOME if inspect.isfunction(getattr(ik, name))}
    assert functions - LONG == set(CALLED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLED)
def test_wrong_kind_of_any_argument_is_a_typed_error_or_fine(
    name, kind, calls, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    function, given = getattr(ik, name), calls[name]
    work = {**WORK, "progress": False} if name in ("invert", "audit") else {}
    work = (
        {**work, "bank": tmp_path, "lenses": ["words"], "progress": False}
        if name == "findings"
        else work
    )
    accepts = inspect.signature(function).parameters
    for argument in given:
        if argument not in accepts or (kind == "none" and accepts[argument].default is None):
            continue
        wrong = {**given, **work, argument: KINDS[kind]()}
        wanted = {key: value for key, value in wrong.items() if key in accepts}
        assert_typed_or_fine(functools.partial(function, **wanted), f"{name}({argument}=...)")


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_kind_of_a_setting_is_a_typed_error_or_fine(kind):
    from inversion_kit.search.checks import check_settings

    for field in dataclasses.fields(Settings):
        wrong = {field.name: KINDS[kind]()}
        assert_typed_or_fine(lambda wrong=wrong: check_settings(Settings(**wrong), 1), field.name)
