"""Hashes of weights see every change, and nothing else."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
import torch
from torch import nn

from inversion_kit import hashing
from inversion_kit.hashing import Prefixes, hash_module, state_of


@pytest.fixture
def module() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_a_copy_has_the_same_hash(module):
    assert hash_module(copy.deepcopy(module)) == hash_module(module)


def test_mode_and_gradient_flags_do_not_count(module):
    before = hash_module(module)
    assert hash_module(module.eval().requires_grad_(False)) == before


def test_one_bit_of_one_weight_counts(module):
    before = hash_module(module)
    with torch.no_grad():
        bits = module[0].weight.view(torch.int32)
        bits[2, 1] ^= 1
    assert hash_module(module) != before


def test_buffers_count(module):
    before = hash_module(module)
    module[1].running_mean += 1
    assert hash_module(module) != before


def test_dtype_counts(module):
    zero = nn.Linear(2, 2, bias=False).requires_grad_(False)
    zero.weight.zero_()
    assert hash_module(zero) != hash_module(copy.deepcopy(zero).to(torch.bfloat16))


def test_several_modules_are_hashed_in_order(module):
    other = nn.Linear(1, 1)
    assert hash_module(module, other) != hash_module(other, module)


def test_narrow_and_whole_numbers_can_be_hashed():
    odd = nn.Module()
    odd.register_buffer("narrow", torch.ones(2, dtype=torch.bfloat16))
    odd.register_buffer("count", torch.tensor(3))
    odd.register_buffer("flag", torch.tensor([True, False]))
    assert len(hash_module(odd)) == 64


def test_what_lists_begin_with_is_read_once(module, monkeypatch):
    read = []
    monkeypatch.setattr(hashing, "state_of", lambda one: read.append(one) or state_of(one))
    other, known = nn.Linear(1, 1), Prefixes()
    assert known.hash(module, other) == hash_module(module, other)
    read.clear()
    assert known.hash(module, module) == known.hash(module, copy.deepcopy(module))
    assert known.hash(module) == known.hash(module) != known.hash(other, module)
    assert [one is module for one in read] == [True, False, False, True]
    read.clear()
    sent = pickle.loads(pickle.dumps(known))
    assert sent.hash(module, other) == known.hash(module, other)
    assert read == [module, other]  # by the one that was sent


def test_a_network_that_is_gone_is_forgotten(module):
    known = Prefixes()
    before = known.hash(module, nn.Linear(1, 1))
    gc.collect()
    assert {known.hash(module, nn.Linear(1, 1)) for _ in range(3)}.isdisjoint({before})
    assert len(known._known) <= 2
