"""One unit: its arm's prompts and classifier, its noise, its failures."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from inversion_kit.arms import ARMS, Arm
from inversion_kit.audits import units
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.units import make, make_and_store, stored
from inversion_kit.errors import InputError, StoreError
from inversion_kit.pictures import levels
from inversion_kit.seeds import TEST, noise_seeds
from inversion_kit.settings import Settings
from inversion_kit.storage import unit_files
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.wordings import wordings_of


@pytest.fixture
def bench(make_generator, make_classifier):
    settings = Settings(
        prompts="photo of {token}",
        steps=1,
        batch=2,
        check_every=1,
        restarts=0,
        stop_at=1.0,
        patience=1,
        validation=2,
        samples=3,
        views=["blur"],
    )
    arms = {name: ARMS[name] for name in ("name", "start", "token+name", "token", "shuffled")}
    return Bench(make_classifier(), make_generator(), [make_classifier(5, "judge")], arms, settings)


@pytest.fixture
def store(tmp_path, bench):
    return AuditStore.create(
        tmp_path / "audit",
        {
            "labels": [[0, "cat"], [1, "dog"]],
            "arms": ["name", "token", "shuffled"],
            "seeds": [0],
            "classes": list(bench.classifier.labels),
            "classifier": "tiny",
            "generator": "tiny",
            "judges": [["judge", "classifier"], ["blur of tiny", "view"]],
            "judge_hashes": [j.hash for j in bench.panel],
            "classifier_hash": bench.classifier.hash,
            "generator_hash": bench.generator.hash,
            "settings": {},
            "versions": {},
        },
    )


def broken(bench, after, gives):
    """Let the classifier's model call ``gives`` on its output after some calls."""
    calls = 0

    def hook(_module, inputs, output):
        nonlocal calls
        calls += 1
        return gives(output) if calls > after else None

    return bench.classifier.model.register_forward_hook(hook)


def test_the_arms_say_what_they_should(bench):
    for arm in bench.arms.values():
        for prompt in bench.prompts(Unit(1, arm.name, 0)):
            assert ("dog" in prompt) == (arm.name in ("name", "token+name"))
            assert ("<ik" in prompt) == (arm.token != "none")
    bench.settings = dataclasses.replace(bench.settings, prompts=["{name} {token}"])
    assert bench.prompts(Unit(1, "token+name", 0)) == ["dog <ik-class>"]
    with pytest.raises(InputError, match=r"arm 'token', which does not name the class"):
        bench.prompts(Unit(1, "token", 0))


def test_an_arm_of_ones_own_is_made_like_any_other(bench):
    own = Arm("snow", "in the snow", templates=("big {token}",))
    bench.arms["snow"] = own
    final = make(bench, Unit(1, "snow", 0))["samples"]
    assert set(final["prompt"].values.tolist()) == {"big <ik-class>"}
    assert final["trained_probability"].equals(final["probability"].rename("trained_probability"))


def test_the_shuffled_copy_is_one_a_seed_and_only_the_last_is_kept(bench):
    first = bench.trained_against(Unit(0, "shuffled", 0))
    assert bench.trained_against(Unit(1, "shuffled", 0)) is first
    assert bench.trained_against(Unit(0, "shuffled", 1)).hash != first.hash
    assert len(bench._shuffled) == 1
    assert bench.trained_against(Unit(0, "token", 0)) is bench.classifier


def test_judges_and_views_score_the_stored_images(bench):
    groups = make(bench, Unit(1, "shuffled", 0))
    final = groups["samples"]
    images = torch.from_numpy(final["image"].values).permute(0, 3, 1, 2).float() / 255
    for i, judge in enumerate(bench.panel):
        again = judge.logits(images).softmax(1)
        assert np.allclose(final["judge_probability"][i], again, atol=1e-6)
    copy = bench.trained_against(Unit(1, "shuffled", 0))
    for name, model in (("probability", bench.classifier), ("trained_probability", copy)):
        assert np.allclose(final[name], model.logits(images).softmax(1), atol=1e-6)
    assert not np.allclose(final["probability"], final["trained_probability"], atol=1e-3)
    assert final["noise_seed"].values.tolist() == noise_seeds(0, TEST, 0, 3)


def test_done_is_committed_and_can_be_read_back(bench, store):
    unit = Unit(1, "token", 0)
    outcome = make_and_store(bench, store, unit)
    again = stored(store, unit)
    assert (outcome.status, again.status) == ("done", "done")
    assert again.success == outcome.success
    assert again.seconds == pytest.approx(outcome.seconds, abs=0.5)
    assert not store.checkpoints(unit)


@pytest.mark.parametrize(
    ("gives", "type_", "says"),
    [
        (lambda out: out * torch.nan, "NumericalError", "not finite"),
        (lambda out: 1 / 0, "ZeroDivisionError", "division"),
        (lambda out: out[:, :2], "InputError", "expected logits"),
    ],
    ids=["NaN", "raises", "shape"],
)
@pytest.mark.parametrize("arm", ["name", "token"])
def test_what_the_classifier_does_wrong_is_the_reason(bench, store, arm, gives, type_, says):
    unit = Unit(1, arm, 0)
    hook = broken(bench, 0 if arm == "name" else 2, gives)
    outcome = make_and_store(bench, store, unit)
    hook.remove()
    assert outcome.status == "failed"
    (record,) = store.failures(unit)
    assert record["type"] == type_
    assert says in record["message"]
    assert outcome.reason == f"{type_}: {record['message']}"
    assert make_and_store(bench, store, unit).status == "done"
    assert store.state(unit) == "done"


def test_images_of_one_colour_fail(bench, store):
    decoder = bench.generator.pipeline.vae.decoder
    hook = decoder.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    outcome = make_and_store(bench, store, Unit(1, "name", 0))
    hook.remove()
    assert outcome.status == "failed"
    assert "one colour" in outcome.reason


@pytest.mark.parametrize("part", ["units", "working"])
def test_what_the_store_raises_is_no_units_failure(bench, store, part):
    (store.path / part).rmdir()
    (store.path / part).write_text("in the way")
    with pytest.raises(StoreError):
        make_and_store(bench, store, Unit(1, "token", 0))
    assert not any((store.path / "failed").iterdir())


@pytest.mark.parametrize("colour", [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0)], ids=["grey", "red"])
def test_images_of_any_one_colour_fail(bench, store, monkeypatch, colour):
    flat = levels(torch.tensor(colour))[:, None, None].expand(3, 8, 8)
    monkeypatch.setattr(
        units, "kept", lambda _generator, texts, **named: flat.expand(len(texts), 3, 8, 8)
    )
    outcome = make_and_store(bench, store, Unit(1, "name", 0))
    assert outcome.status == "failed"
    assert "one colour" in outcome.reason


def test_a_unit_that_another_worker_commits_meanwhile_is_done(bench, store, monkeypatch):
    unit, saved = Unit(1, "token", 0), AuditStore.save_checkpoint
    groups = make(bench, unit)

    def late(self, *given):
        self.commit(unit, groups, {"seconds": 3.0})  # by the twin, which clears all checkpoints
        shutil.rmtree(self.path / "working")
        (self.path / "working").write_text("in the way")
        saved(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(AuditStore, "save_checkpoint", late)
        outcome = make_and_store(bench, store, unit)
    assert (outcome.status, outcome.seconds) == ("done", 3.0)
    assert outcome == stored(store, unit)
    assert not any((store.path / "failed").iterdir())


def test_what_is_stored_is_told_without_its_images(bench, store):
    unit = Unit(1, "name", 0)
    outcome = make_and_store(bench, store, unit)
    read = []
    with pytest.MonkeyPatch.context() as patch:
        whole = unit_files.read_array
        patch.setattr(
            unit_files, "read_array", lambda *given: (read.append(given[2]), whole(*given))[1]
        )
        assert stored(store, unit).success == outcome.success
    assert read == ["probability"]


@pytest.mark.parametrize(
    ("label", "arm", "says"),
    [
        ("x " * 150, "name", r"label .x x .*arm .name.: .*tokens.*wordings=\{0: .*or leave it"),
        ("a <ik-class> b", "name", "holds '<ik-class>', which stands for the class token"),
        ("a <ik-class> b", "token+name", "holds '<ik-class>', which stands for the class token"),
    ],
)
def test_a_label_that_its_prompts_cannot_hold_is_named(bench, label, arm, says):
    bench.classifier.labels = (label, *bench.classifier.labels[1:])
    bench.classifier.wordings = tuple(wordings_of(bench.classifier.labels))
    with pytest.raises(InputError, match=says):
        make(bench, Unit(0, arm, 0))
    bench.check_prompts(Unit(0, "token", 0))  # its name is not in there
