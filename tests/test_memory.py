"""Batches halve where memory runs out, and only there."""

from __future__ import annotations

import weakref

import pytest
import torch

from inversion_kit.errors import NumericalError
from inversion_kit.generators.memory import MicroBatch

CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of "
    "which 1.20 GiB is free."
)
FULL = [
    torch.OutOfMemoryError(CUDA),
    torch.OutOfMemoryError("generator 'tiny': out of memory while decoding"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
]


def limited(most, error=FULL[0]):
    """Work that memory is enough for ``most`` things of; the sizes that were asked of it."""
    asked = []

    def work(part):
        asked.append(part.stop - part.start)
        if asked[-1] > most:
            raise error
        return list(range(20))[part]

    return work, asked


@pytest.mark.parametrize("error", FULL, ids=str)
def test_out_of_memory_halves_and_nothing_is_lost_or_done_twice(error):
    work, asked = limited(3, error)
    fitting = MicroBatch(8)
    parts = fitting.parts(10, work)
    assert [n for part in parts for n in part] == list(range(10))
    assert asked == [8, 4, 2, 2, 2, 2, 2]
    fitting.parts(4, work)
    assert asked[7:] == [2, 2]


def test_what_fitted_is_remembered_of_a_model_and_its_work_alone():
    class Model:
        pass

    model, other = Model(), Model()
    work, asked = limited(2)
    MicroBatch(8, of=model, doing="scores").parts(8, work)
    assert asked == [8, 4, 2, 2, 2, 2]
    MicroBatch(8, of=model, doing="scores").parts(4, work)
    assert asked[6:] == [2, 2]
    assert MicroBatch(1, of=model, doing="scores").size == 1
    assert MicroBatch(8, of=model, doing="features").size == 8
    assert MicroBatch(8, of=other, doing="scores").size == 8
    assert MicroBatch(8).size == 8
    MicroBatch(8, of=model, doing="features").parts(8, limited(4)[0])
    assert model.fitted == {"scores": 2, "features": 4}  # it is the model's, and goes with it
    assert not hasattr(other, "fitted")


def test_a_single_thing_that_does_not_fit_raises_what_the_library_said():
    work, asked = limited(0)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        MicroBatch(4).parts(4, work)
    assert asked == [4, 2, 1]


@pytest.mark.parametrize("error", [RuntimeError("shapes"), NumericalError("NaN"), ValueError("x")])
def test_another_error_is_not_tried_again(error):
    work, asked = limited(0, error)
    with pytest.raises(type(error)):
        MicroBatch(4).parts(4, work)
    assert asked == [4]


def test_what_did_not_fit_is_let_go_before_the_next_try():
    held = []

    def work(part):
        assert not any(one() is not None for one in held)
        large = torch.zeros(8)
        held.append(weakref.ref(large))
        if part.stop - part.start > 1:
            raise torch.OutOfMemoryError(CUDA)
        return 0

    assert MicroBatch(4).parts(2, work) == [0, 0]
