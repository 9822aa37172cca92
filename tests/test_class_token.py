"""The class token: shown in place of one id, with the embedding table left as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inversion_kit.class_token import ClassToken

PLACE = 5  # one past the table


@pytest.fixture
def table() -> nn.Embedding:
    return nn.Embedding(5, 3).requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_vector_is_an_own_float32_copy(dtype):
    start = torch.ones(3, dtype=dtype)
    token = ClassToken(start)
    start.zero_()
    assert token.vector.dtype == torch.float32
    assert token.vector.shape == (1, 3)
    assert token.vector.detach().eq(1).all()


def test_it_is_shown_wherever_the_id_stands_and_nowhere_else(table):
    ids = torch.tensor([[PLACE, 0, 1], [2, PLACE, PLACE]])
    token = ClassToken(torch.tensor([7.0, 8.0, 9.0]))
    with token.shown_to(table, PLACE):
        out = table(ids)
    assert torch.equal(out[ids == PLACE], token.vector.expand(3, 3))
    assert torch.equal(out[ids != PLACE], table.weight[[0, 1, 2]])


def test_the_table_stays_bit_identical_and_gets_no_gradient(table):
    before = table.weight.clone()
    token = ClassToken(torch.zeros(3))
    with token.shown_to(table, PLACE):
        table(torch.tensor([[0, PLACE]])).sum().backward()
    assert torch.equal(table.weight, before)
    assert table.weight.grad is None
    assert torch.equal(token.vector.grad, torch.ones(1, 3))


def test_the_gradient_counts_every_place(table):
    token = ClassToken(torch.zeros(3))
    with token.shown_to(table, PLACE):
        table(torch.tensor([[PLACE, PLACE], [1, PLACE]])).sum().backward()
    assert torch.equal(token.vector.grad, torch.full((1, 3), 3.0))


def test_nothing_is_left_behind(table):
    before = table(torch.arange(5))
    token = ClassToken(torch.zeros(3))
    with token.shown_to(table, PLACE), token.shown_to(table, 0):
        pass
    with pytest.raises(RuntimeError, match="inside"), token.shown_to(table, 0):
        raise RuntimeError("inside")
    assert torch.equal(table(torch.arange(5)), before)
    assert not table._forward_hooks
    assert not table._forward_pre_hooks


def test_it_takes_the_dtype_of_the_table(table):
    with ClassToken(torch.zeros(3)).shown_to(table.to(torch.bfloat16), PLACE):
        assert table(torch.tensor([PLACE])).dtype == torch.bfloat16


def test_two_tokens_are_seen_in_their_own_places(table):
    first, second = ClassToken(torch.ones(3)), ClassToken(torch.full((3,), 2.0))
    with first.shown_to(table, PLACE), second.shown_to(table, PLACE + 1):
        out = table(torch.tensor([PLACE, PLACE + 1, 0]))
    assert torch.equal(out[:, 0], torch.tensor([1.0, 2.0, table.weight[0, 0].item()]))
