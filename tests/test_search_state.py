"""A search cut off after any check goes on as if it had never stopped, bit for bit."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.search.search import search
from inversion_kit.search.state import pack, unpack
from inversion_kit.settings import Settings

SETTINGS = Settings(
    steps=6, batch=2, lr=0.3, stop_at=1.0, check_every=2, patience=1, validation=2, restarts=2
)


def assert_equal(a, b):
    """Bit for bit; ``optimizer`` is kept of the last step alone."""
    assert type(a) is type(b)
    if isinstance(a, (torch.Tensor, np.ndarray)):
        assert a.dtype == b.dtype
        assert np.array_equal(np.asarray(a), np.asarray(b))
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            if field.name != "optimizer":
                assert_equal(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, two in zip(a, b, strict=True):
            assert_equal(one, two)
    else:
        assert a == b or (a != a and b != b)  # NaN


@pytest.mark.parametrize(
    ("changed", "looks"),
    [
        ({"lr": 1e-6}, [0, 2, 2, 4, 4, 6]),
        ({"lr": 1.0, "restarts": 1, "steps": 12}, [0, 2, 4, 4, 6, 8, 10, 12]),
        ({"patience": 99}, [0, 2, 4, 6]),
        ({"patience": 99, "check_every": 3, "stop_at": 0.6}, [0, 3, 5, 6]),
    ],
    ids=["with restarts", "the best goes on", "without", "with an early look"],
)
def test_every_cut_gives_what_no_cut_gives(classifier, generator, changed, looks):
    settings = dataclasses.replace(SETTINGS, **changed)
    cuts = {}

    def keep(history):
        if len(history.checks) not in cuts:
            tensors, meta = pack(history)
            cuts[len(history.checks)] = (
                {k: v.clone() for k, v in tensors.items()},
                json.dumps(meta),
            )

    def run(**more):
        prompts = [f"photo of {PLACEHOLDER}"]
        return search(classifier, generator, 1, prompts, settings, seed=3, **more)

    whole = run(watch=keep)
    assert len(cuts) == len(whole.checks) >= 3
    assert [check.step for check in whole.checks] == looks
    for checks, (tensors, meta) in cuts.items():
        past = unpack(tensors, json.loads(meta))
        again = run(past=past)
        assert_equal(again, whole)
        kept = zip(again.checks, past.checks, strict=False)
        assert [one is two for one, two in kept] == [True] * checks  # nothing is made twice


def test_pack_and_unpack_keep_the_last_steps_optimiser(classifier, generator):
    history = search(classifier, generator, 1, [PLACEHOLDER], SETTINGS, seed=0)
    again = unpack(*pack(history))
    assert_equal(again, history)
    assert_equal(again.steps[-1].optimizer, history.steps[-1].optimizer)
    assert all(not step.optimizer for step in again.steps[:-1])
