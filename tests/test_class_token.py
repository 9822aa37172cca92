"""The class token: it stands in place of one id, with the embedding table left as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inversion_kit.errors import InputError
from inversion_kit.generators.class_token import ClassToken, Part, join, split

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


def test_it_stands_wherever_its_id_does_and_nowhere_else(table):
    ids = torch.tensor([[PLACE, 0, 1], [2, PLACE, PLACE]])
    token = ClassToken(torch.tensor([7.0, 8.0, 9.0]))
    with token.placed_in(table, PLACE):
        out = table(ids)
    assert torch.equal(out[ids == PLACE], token.vector.expand(3, 3))
    assert torch.equal(out[ids != PLACE], table.weight[[0, 1, 2]])


def test_the_gradient_counts_every_place_and_the_table_stays_as_it_is(table):
    before = table.weight.clone()
    token = ClassToken(torch.zeros(3))
    with token.placed_in(table, PLACE):
        table(torch.tensor([[PLACE, PLACE], [1, PLACE]])).sum().backward()
    assert torch.equal(token.vector.grad, torch.full((1, 3), 3.0))
    assert torch.equal(table.weight, before)
    assert table.weight.grad is None


def test_nothing_is_left_behind(table):
    before = table(torch.arange(5))
    token = ClassToken(torch.zeros(3))
    with token.placed_in(table, PLACE), token.placed_in(table, 0):
        pass
    with pytest.raises(RuntimeError, match="inside"), token.placed_in(table, 0):
        raise RuntimeError("inside")
    assert torch.equal(table(torch.arange(5)), before)
    assert not table._forward_hooks
    assert not table._forward_pre_hooks


def test_two_tokens_are_seen_in_their_own_places_in_the_tables_dtype(table):
    first, second = ClassToken(torch.ones(3)), ClassToken(torch.full((3,), 2.0))
    table.to(torch.bfloat16)
    with first.placed_in(table, PLACE), second.placed_in(table, PLACE + 1):
        out = table(torch.tensor([PLACE, PLACE + 1, 0]))
    assert out.dtype == torch.bfloat16
    assert out[:, 0].tolist() == [1, 2, table.weight[0, 0].item()]


def test_each_embedding_sees_its_part_in_its_own_size(table):
    token = ClassToken(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    wide = nn.Embedding(5, 2).requires_grad_(False)
    rows: list[torch.Tensor] = []
    ids = torch.tensor([[PLACE, 0], [1, 2], [PLACE, PLACE]])
    with (
        token.placed_in(table, PLACE, vector=token.vector[0, :3], rows=rows),
        token.placed_in(wide, PLACE, vector=token.vector[0, 3:] * 10),
    ):
        first, second = table(ids), wide(ids)
    assert first[0, 0].tolist() == [1, 2, 3]
    assert second[0, 0].tolist() == [40, 50]
    assert rows == [2]
    (first[0, 0].sum() + second[0, 0].sum()).backward()
    assert token.vector.grad.tolist() == [[1, 1, 1, 10, 10]]


def test_parts_are_taken_apart_and_put_together():
    layout = [Part("clip_l", 2), Part("clip_g", 3, 4.0)]
    flat = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    parts = split(flat, layout)
    assert parts["clip_l"].tolist() == [[1, 2]]
    assert parts["clip_g"].tolist() == [[12, 16, 20]]
    assert torch.equal(join(parts, layout), flat)
    with pytest.raises(InputError, match=r"has 4 numbers.* 5 \(clip_l 2, clip_g 3\)"):
        split(flat[:, :4], layout)


@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (1, 1, 3)])
def test_a_token_is_one_vector(shape):
    with pytest.raises(InputError, match="a class token is one vector"):
        ClassToken(torch.zeros(shape))
