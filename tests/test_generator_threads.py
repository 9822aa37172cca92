"""Threads that share a generator: what two of them make is what one makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import inversion_kit as ik
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.gradients import FULL, LATE_STEP, NONE
from inversion_kit.generators.locks import alone_with

THREADS = 4


def both(work, each):
    """What the work gives of each, one after the other and by threads at once."""
    each = list(each)
    alone = [work(one) for one in each]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(work, each))
    return alone, together


def test_threads_generate_what_one_generates():
    generator = as_generator("pocket", num_inference_steps=2)
    vector = generator.vector_of("stop")
    alone, together = both(
        lambda seed: ik.generate(vector, generator=generator, n=2, seed=seed), range(8)
    )
    assert np.array_equal(alone, together)
    assert not np.array_equal(alone[0], alone[1])


@pytest.mark.parametrize("shared", [False, True], ids=["one generator", "one pipeline"])
def test_threads_with_tokens_and_policies_of_their_own_do_not_mix(make_generator, shared):
    first = make_generator()
    second = first
    if shared:
        second = as_generator(first.pipeline, num_inference_steps=4, guidance_scale=2.0)
    policies = (NONE, FULL, LATE_STEP)

    def work(i):
        token = ClassToken((first if i % 2 else second).vector_of(("cat", "dog", "stop")[i % 3]))
        images = (first if i % 2 else second).images(
            [f"photo of {PLACEHOLDER}"] * 2,
            seeds=[i, i + 1],
            token=token,
            gradient=policies[i % 3],
            estimate_at=2,
        )
        if images.requires_grad:
            images.sum().backward()
        return images.detach(), token.vector.grad

    alone, together = both(work, range(12))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one[0], other[0])
        assert (one[1] is None) == (other[1] is None)
        assert one[1] is None or torch.equal(one[1], other[1])


def test_a_tokenizer_is_asked_by_one_thread_at_a_time(generator):
    def work(i):
        if i % 3 == 0:
            return generator.images(["cat"], seeds=[i]).flatten().tolist()
        generator.check_prompt("photo of a cat")
        return generator.vector_of("cat dog").tolist()

    alone, together = both(work, range(90))
    assert alone == together


def test_threads_search_what_one_searches(make_generator, make_classifier):
    settings = {"steps": 2, "batch": 2, "samples": 2, "validation": 2, "restarts": 1}
    settings |= {"patience": 1, "check_every": 1, "stop_at": 1.0, "views": (), "progress": False}
    generator, other = make_generator(), make_generator()
    classifier = make_classifier()

    def work(by, seed):
        tree = ik.invert(classifier, "dog", generator=by, seeds=(seed,), **settings)
        return {name: tree[name].to_dataset() for name in ("trajectory", "probe", "samples")}

    alone = [work(generator, seed) for seed in (0, 1, 0, 1)]
    with ThreadPoolExecutor(THREADS) as pool:  # on one whose probe images are not made yet
        together = list(pool.map(lambda seed: work(other, seed), (0, 1, 0, 1)))
    for one, two in zip(alone, together, strict=True):
        assert all(one[name].identical(two[name]) for name in one)


def test_locks_of_several_networks_are_taken_in_one_order():
    """Two threads that name them the other way round do not wait for each other for ever."""
    networks = [torch.nn.Linear(1, 1) for _ in range(6)]
    count = [0]

    def work(i):
        order = networks[:: 1 if i % 2 else -1]
        with alone_with(*order[i % 3 :]), alone_with(order[3]):
            now = count[0]
            torch.ones(200).cumsum(0)
            count[0] = now + 1

    pool = ThreadPoolExecutor(THREADS)
    for future in [pool.submit(work, i) for i in range(200)]:
        future.result(timeout=60)
    pool.shutdown()
    assert count[0] == 200
