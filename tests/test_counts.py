"""What work costs in counts, which are the same on every machine: speed is held by these."""

from __future__ import annotations

import pytest
import torch

import inversion_kit as ik
from benchmarks.speed import whole_invert
from benchmarks.updates import HostWork, bare_calls
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.search.optimise import optimise


def test_a_default_invert_of_the_pocket_costs_what_it_did() -> None:
    took = whole_invert("stop", "pocket")  # with nothing made before
    counts = {key: took[key] for key in ("evaluations", "backwards", "decodes", "encodes")}
    assert counts == {"evaluations": 1945, "backwards": 42, "decodes": 886, "encodes": 987}
    assert min(took["success"]) > 0.9


@pytest.mark.parametrize(
    ("name", "syncs", "storages"), [("pocket:quick", 11, 100), ("pocket", 9, 500)]
)
def test_an_update_waits_and_allocates_little_beside_its_models(
    name: str, syncs: int, storages: int
) -> None:
    generator, classifier = ik.as_generator(name), ik.as_classifier("pocket:honest")
    updates = optimise(
        classifier,
        generator,
        0,
        [f"a photo of a {PLACEHOLDER}"],
        start=generator.neutral_vector(),
        start_name="",
        seed=0,
        steps=2,
        batch=8,
        lr=0.3,
        gradient=LAST_STEP,
    )
    next(updates)
    with HostWork() as update:
        next(updates)
    models = bare_calls(generator, classifier, 8)
    models()
    with HostWork() as bare:
        models()
    assert bare.syncs == 1  # the classifier's values are checked
    assert update.syncs <= syncs
    assert update.storages <= bare.storages + storages
    assert update.nbytes <= 1.02 * bare.nbytes


def test_host_work_is_counted() -> None:
    x = torch.arange(6.0, requires_grad=True)
    with HostWork() as seen:
        y = x.view(2, 3) * 2  # one piece of memory, for a view is none
        float(y.detach().sum())  # another, and a value read
        bool((y > 3).any())  # two more, and a value read
        y.detach().nonzero()  # one more, which is read to know its size
    assert (seen.syncs, seen.storages, seen.nbytes) == (3, 5, 24 + 4 + 6 + 1 + 80)
    x.grad = None
    with HostWork() as seen:
        (x * x).sum().backward()
    assert seen.storages > 2  # those of the way back too
