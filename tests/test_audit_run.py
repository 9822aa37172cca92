"""An audit as a whole: killed, cut off, failed, short of memory, refused, out of time."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from diffusers import DDIMScheduler

from inversion_kit import Preprocess, as_classifier, audit, resume
from inversion_kit.audits import run as audit_run
from inversion_kit.audits.estimate import Estimate
from inversion_kit.errors import InputError, LabelError, StoreLockedError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.convert import as_generator
from inversion_kit.objectives import cross_entropy
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from tests.audits import SMALL, assert_same
from tests.killing import kill_at

ARMS = ("name", "token+name", "token", "shuffled")


@pytest.fixture(scope="module")
def models(make_pipeline, make_classifier):
    quick = Generator(make_pipeline(), name="tiny", num_inference_steps=2, guidance_scale=2.0)
    return {"generator": quick, "judges": [make_classifier(5, "judge")], "views": ["blur"]}


@pytest.fixture(scope="module")
def run(models, make_classifier):
    """`audit` of the tiny classifier; keywords replace what it is given."""

    def start(model=None, **given):
        settings = {**models, **SMALL, "labels": ["dog"], "seeds": 1, **given}
        return audit(model or make_classifier(), **settings)

    return start


@pytest.fixture(scope="module")
def whole(run):
    """An audit of one label in all arms that nothing disturbed."""
    return run()


@pytest.fixture
def no_images(monkeypatch):
    def images(*args, **named):
        raise AssertionError("an image was made")

    monkeypatch.setattr(Generator, "images", images)


def limited(classifier, most):
    """The classifier on a device with memory for ``most`` images."""

    def hook(_module, inputs):
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0")

    classifier.model.register_forward_pre_hook(hook)
    return classifier


def test_all_arms_are_there_on_shared_noise(whole):
    assert whole["status"]["status"].values.tolist() == [[["done"]] * 4]
    samples = whole["samples"]
    assert samples["arm"].values.tolist() == list(ARMS)
    test = samples["noise_seed"].values.reshape(4, -1)
    assert (test == test[0]).all()
    train, held_out = (
        set(whole[g]["noise_seed"].values.ravel()) - {-1} for g in ("trajectory", "validation")
    )
    assert len(train) >= 4
    assert not train & held_out
    assert not (train | held_out) & set(test[0])
    validation = whole["validation"]["noise_seed"].values[0, 1:, 0]
    assert (validation == validation[0]).all()


def test_prompts_keep_prior_and_push_apart(whole):
    for arm in ARMS:
        for text in whole["samples"]["prompt"].sel(arm=arm).values.ravel():
            assert ("dog" in text) == (arm in ("name", "token+name"))
            assert ("<ik" in text) == (arm != "name")
    assert np.isnan(whole["samples"]["trained_probability"].sel(arm="name")).all()
    assert np.isnan(whole["token"]["embedding"].sel(arm="name")).all()


@pytest.mark.parametrize("number", [60, 150, 260])
def test_killed_and_resumed_is_what_it_would_have_been(run, whole, tmp_path, number):
    killed, _ = kill_at(number, lambda stage: run(store=tmp_path))
    assert killed
    assert AuditStore(tmp_path).missing()
    assert_same(run(store=tmp_path), whole)


def counted_updates(monkeypatch):
    """A list that grows by one with every batch of images that is made with a gradient."""
    made, images = [], Generator.images

    def count(self, *args, **named):
        if named.get("gradient") is not None and named["gradient"].last != 0:
            made.append(1)
        return images(self, *args, **named)

    monkeypatch.setattr(Generator, "images", count)
    return made


def test_a_checkpoint_is_gone_on_from(run, whole, tmp_path, monkeypatch):
    saved = AuditStore.save_checkpoint
    count = 0

    def stop(store, *args):
        nonlocal count
        saved(store, *args)
        count += 1
        if count == 3:
            raise KeyboardInterrupt

    updates = counted_updates(monkeypatch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditStore, "save_checkpoint", stop)
        with pytest.warns(RuntimeWarning, match="3 of 4 units are missing"):
            partial = run(store=tmp_path)
    states = partial["status"]["status"].values.ravel().tolist()
    assert states == ["done", "missing", "missing", "missing"]
    assert (partial["samples"]["image"].sel(arm="token").values == 0).all()
    store = AuditStore(tmp_path)
    assert len(store.checkpoints(Unit(1, "token+name", 0))) == 2
    assert store.progress().working
    assert_same(run(store=tmp_path), whole)
    assert not store.progress().working
    batches = (whole["trajectory"]["noise_seed"].values >= 0).sum() // SMALL["batch"]
    assert len(updates) == batches  # none of them was made twice


def test_short_memory_changes_nothing_but_rounding(run, make_classifier):
    given = {"arms": ["token"], "steps": 1, "restarts": 0}
    assert_same(run(limited(make_classifier(), 1), **given), run(**given), close=True)


def test_what_fitted_is_begun_with_the_next_time(run, make_classifier):
    classifier = make_classifier()
    asked = []
    classifier.model.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
    limited(classifier, 1)
    run(classifier, labels=["cat", "dog"], arms=["token"], steps=2, restarts=0, judges=[])
    too_many = [i for i, n in enumerate(asked) if n > 1 and i > 0]  # the first is the hash's
    assert len(too_many) < 6  # once a kind of work: updates, scores, features; a view has its own
    assert max(too_many) < len(asked) / 2


def test_an_image_too_large_is_a_failure_and_retried_when_asked(run, make_classifier, tmp_path):
    tight = run(limited(make_classifier(), 0), arms=["name"], store=tmp_path)
    assert tight["status"]["status"].item() == "failed"
    assert "CUDA out of memory" in tight["status"]["reason"].item()
    again = run(arms=["name"], store=tmp_path)
    assert again["status"]["status"].item() == "failed"


def test_one_failure_does_not_stop_the_others(run, make_classifier, tmp_path, capsys):
    classifier = make_classifier()
    calls = 0

    def hook(_module, _inputs, output):
        nonlocal calls
        calls += len(output) == SMALL["samples"]  # neither the rehearsal's nor those of judges
        return output * torch.nan if calls == 1 else None

    classifier.model.register_forward_hook(hook)
    tree = run(classifier, labels=["cat", "dog"], arms=["name"], store=tmp_path, progress=True)
    assert tree["status"]["status"].values.ravel().tolist() == ["failed", "done"]
    assert "not finite" in tree["status"]["reason"].values.ravel()[0]
    assert (
        "audit of tiny: 2/2, 0 s left, 1 of 2 labels done, failed units: 1\n"
        in capsys.readouterr().err
    )


def test_the_audited_models_are_untouched(run, models, make_classifier):
    classifier = make_classifier()
    before = {k: v.clone() for k, v in classifier.model.state_dict().items()}
    run(classifier, arms=["shuffled"], steps=1)
    after = classifier.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert models["generator"].fresh_hash() == models["generator"].hash


def test_a_second_run_is_refused_before_it_works(run, tmp_path, no_images):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_run, "_run", lambda *args, **named: None)
        run(store=tmp_path)
    with AuditStore(tmp_path).lock():
        for budget in (None, "1h"):
            with pytest.raises(StoreLockedError, match="another run works on it"):
                run(store=tmp_path, budget=budget)


def test_another_audit_in_the_folder_is_refused_and_the_difference_named(
    run, tmp_path, make_classifier, no_images
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_run, "_run", lambda *args, **named: None)
        run(store=tmp_path)
    with pytest.raises(InputError, match=r"settings\.steps: there 3, here 4"):
        run(store=tmp_path, steps=4)
    with pytest.raises(InputError, match="classifier_hash"):
        run(make_classifier(7), store=tmp_path)


def test_another_preprocess_or_sampler_is_another_audit(run, models, tmp_path, make_classifier):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_run, "_run", lambda *args, **named: None)
        first = run(store=tmp_path)
        settings = json.loads(first.attrs["settings"])
        assert settings["preprocess"]["mean"] == [0.5, 0.5, 0.5]
        assert settings["sampler"]["scheduler"]["class"] == "DDIMScheduler"

        other = make_classifier()
        other.preprocess = dataclasses.replace(other.preprocess, mean=(0.4, 0.5, 0.5))
        says = r"settings\.preprocess\.mean: there \[0\.5, 0\.5, 0\.5\], here \[0\.4,"
        with pytest.raises(InputError, match=says):
            run(other, store=tmp_path)
        judge = make_classifier(5, "judge")
        judge.preprocess = dataclasses.replace(judge.preprocess, interpolation="bicubic")
        with pytest.raises(InputError, match=r"settings\.judge_preprocess"):
            run(judges=[judge], store=tmp_path)
        pipeline = copy.copy(models["generator"].pipeline)
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, beta_end=0.02)
        made = Generator(pipeline, name="tiny", num_inference_steps=2, guidance_scale=2.0)
        with pytest.raises(InputError, match=r"settings\.sampler\.scheduler\.beta_end"):
            run(generator=made, store=tmp_path)
        run(store=tmp_path)


def test_resume_refuses_what_is_no_longer_the_same(tmp_path, no_images):
    given = {"arms": ["name"], "views": [], "seeds": 1, "samples": 2, "store": tmp_path}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_run, "_run", lambda *args, **named: None)
        audit("pocket:honest", ["stop"], generator="pocket", **given)
        resume(tmp_path)
    file = tmp_path / "audit.json"
    plan = json.loads(file.read_text())
    for change, says in (
        ({"classifier_hash": "0" * 64}, "classifier_hash: there '000"),
        ({"versions": plan["versions"] | {"torch": "1.0"}}, r"versions\.torch: there '1\.0'"),
        (
            {"settings": plan["settings"] | {"num_inference_steps": 8}},
            "num_inference_steps: there 8",
        ),
        ({"classes": plan["classes"] + ["more"]}, "other classes"),
    ):
        file.write_text(json.dumps(plan | change))
        with pytest.raises(InputError, match=says):
            resume(tmp_path)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"labels": ["dogg"]}, LabelError, "nearest"),
        ({"labels": [9]}, LabelError, "label=9"),
        ({"labels": 0.5}, LabelError, "label=0.5"),
        ({"labels": ["dog", 1]}, InputError, "each once"),
        ({"labels": []}, InputError, "at least one"),
        ({"arms": ["tokn"]}, InputError, "'tokn' is unknown; nearest 'token'"),
        ({"arms": "token"}, InputError, r"\['token'\]"),
        ({"arms": []}, InputError, "arms="),
        ({"views": ["blurr"]}, InputError, "nearest"),
        ({"seeds": 0}, InputError, "seeds="),
        ({"seeds": [1, 1]}, InputError, "seeds="),
        ({"seeds": True}, InputError, "seeds="),
        ({"seeds": 2.5}, InputError, "seeds="),
        ({"seeds": "3"}, InputError, "seeds="),
        ({"seeds": [2**31]}, InputError, "seeds="),
        ({"budget": "soon"}, InputError, "budget="),
        ({"judges": "pocket:judge"}, InputError, r"\['pocket:judge'\]"),
        ({"judges": 3}, InputError, "judges=3"),
        ({"prompts": ["no token here"]}, InputError, "token"),
        ({"prompts": ["{token}" + " tiger" * 20]}, InputError, "token"),
        ({"gradient": "first_step"}, InputError, "gradient="),
        ({"steps": -1}, InputError, "steps="),
        ({"samples": 0}, InputError, "samples="),
        ({"lr": float("inf")}, InputError, "lr="),
        ({"lr": "fast"}, InputError, "lr="),
        ({"stop_at": 0}, InputError, "stop_at="),
    ],
)
def test_bad_arguments_are_refused_before_an_image_is_made(
    run, tmp_path, no_images, given, error, says
):
    with pytest.raises(error, match=says):
        run(store=tmp_path / "audit", **given)
    assert not (tmp_path / "audit").exists()


def test_a_judge_of_other_labels_is_refused(run, make_classifier, no_images):
    with pytest.raises(InputError, match="other label names"):
        run(judges=[make_classifier(5, "judge", ("a", "b", "c", "d"))])
    with pytest.raises(InputError, match="same weights"):
        run(judges=[make_classifier(2, "twin")])


def test_a_dry_run_says_how_long_and_leaves_the_store_alone(run, tmp_path):
    guess = run(store=tmp_path / "audit", dry_run=True, seeds=2, budget="1min")
    assert isinstance(guess, Estimate)
    assert guess.units == dict.fromkeys(ARMS, 2)
    assert guess.budget == 60
    assert all(seconds > 0 for seconds in guess.least.values())
    assert not (tmp_path / "audit").exists()


def test_a_budget_that_is_too_small_leaves_units_missing(run, tmp_path):
    tree = run(store=tmp_path, budget=1e-3, arms=["name"])
    assert tree["status"]["status"].item() == "missing"
    tree = run(store=tmp_path, budget="1h", arms=["name"])
    assert tree["status"]["status"].item() == "done"


@pytest.fixture
def nothing_made(monkeypatch):
    """Audits that check everything, write their plan and make no unit."""
    monkeypatch.setattr(audit_run, "_run", lambda *args, **named: None)


def test_prompts_that_name_the_class_are_refused(run, no_images):
    with pytest.raises(InputError, match=r"holds \{name\}.*arms=\['token\+name'\]"):
        run(prompts=["a photo of a {token} {name}"])


def test_another_objective_of_the_same_name_is_another_audit(run, tmp_path, nothing_made):
    def own(weight):
        return lambda logits, target: weight * cross_entropy(logits, target)

    run(store=tmp_path, objective=own(1.0))
    run(store=tmp_path, objective=own(1.0))
    with pytest.raises(InputError, match=r"settings\.objective_losses: there"):
        run(store=tmp_path, objective=own(-1.0))


def test_a_judge_that_is_named_as_a_view_is_refused(run, make_classifier, no_images):
    with pytest.raises(InputError, match=r"judges: 'blur of tiny' .* views=\['blur'\].*name="):
        run(judges=[make_classifier(5, "blur of tiny")])


def test_a_difference_in_a_long_list_is_found(run, tmp_path, nothing_made):
    names = [f"class{i}" for i in range(43)]
    look = Preprocess(size=(2, 2), mean=(0.5,) * 3, std=(0.5,) * 3)

    def start(count):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, count))
        named = as_classifier(model, labels=names[:count], preprocess=look)
        run(named, labels=[0], arms=["token"], judges=[], store=tmp_path)

    start(43)
    says = r"classes: there 43 long, here 42; from 42 on there \['class42'\], here \[\]"
    with pytest.raises(InputError, match=says):
        start(42)


def test_a_dry_run_counts_what_the_folder_lacks(run, tmp_path):
    run(arms=["name"], labels=["cat", "dog"], store=tmp_path)
    given = {"arms": ["name"], "labels": ["cat", "dog"], "store": tmp_path, "dry_run": True}
    assert run(**given).units == {}
    store = AuditStore(tmp_path)
    store.set_aside(store.done()[0])
    assert run(**given).units == {"name": 1}
    assert len(store.missing()) == 1
    with pytest.raises(InputError, match=r"settings\.samples"):
        run(**given, samples=4)


def test_progress_knows_what_earlier_runs_made(run, tmp_path, capsys):
    given = {
        "arms": ["name", "token"],
        "labels": ["cat", "dog"],
        "store": tmp_path,
        "steps": 0,
        "restarts": 0,
    }
    tree = run(**given).load()
    hits = tree["samples"]["probability"].sel(arm="token").argmax("class").values.reshape(2, -1)
    share = (hits == np.array([[0], [1]])).mean()
    store = AuditStore(tmp_path)
    cat, dog = (unit for unit in store.done() if unit.arm == "name")
    for unit in (cat, dog):
        store.set_aside(unit)
    store.fail(dog, RuntimeError("it was raining"), 1.0)
    run(**given, progress=True)
    says = f"4/4, 0 s left, 1 of 2 labels done, token success {share:.0%}, failed units: 1\n"
    assert says in capsys.readouterr().err


def test_under_a_budget_progress_tells_what_is_left_of_it(run, capsys):
    run(arms=["name"], labels=["cat", "dog"], budget="1h", progress=True)
    err = capsys.readouterr().err
    left = r"(59 min \d+ s|1 h 0 min)"
    assert re.search(rf": 2/2, 2 of 2 labels done, {left} of the budget left\n", err), err


HOSTILE = (
    "../../x",
    "CON",
    "a\0b",
    "\N{PARTY POPPER}",
    "\u202eevil",
    "x" * 300,
    "Case",
    "case",
    "a <ik-class> b",
    "{token}",
    "{name}",
)


def test_hostile_labels_go_through_an_audit(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, len(HOSTILE)))
    look = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    quick = as_generator("pocket", num_inference_steps=1)
    tree = audit(
        as_classifier(model, labels=HOSTILE, preprocess=look),
        generator=quick,
        views=[],
        seeds=1,
        arms=["name", "token"],
        samples=1,
        steps=0,
        restarts=0,
        validation=1,
        progress=False,
        store=tmp_path / "audit",
    )
    assert tuple(tree["status"]["label"].values.tolist()) == HOSTILE
    assert (tree["status"]["status"].sel(arm="token") == "done").all()
    named = tree["status"].sel(arm="name").isel(seed=0)
    failed = [HOSTILE.index(x) for x in ("x" * 300, "a <ik-class> b")]
    assert np.flatnonzero(named["status"].values == "failed").tolist() == failed
    assert "tokens, the text encoder reads 26" in named["reason"].values[failed[0]]
    assert "stands for the class token" in named["reason"].values[failed[1]]
    prompts = tree["samples"]["prompt"].sel(arm="name").values.reshape(-1)
    for index in set(range(len(HOSTILE))) - set(failed):
        assert prompts[index] == f"a photo of a {HOSTILE[index]}"
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]
    assert not AuditStore(tmp_path / "audit").damage()


def test_a_label_that_no_file_can_hold_is_named_before_an_image_is_made(no_images):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    look = Preprocess(size=(2, 2), mean=(0.5,) * 3, std=(0.5,) * 3)
    named = as_classifier(model, labels=["cat", "\ud800"], preprocess=look)
    with pytest.raises(LabelError, match=r"class 1, '\\ud800'.*labels=\[\.\.\.\]"):
        audit(named, ["cat"], generator="pocket")


def test_labels_that_all_fail_are_refused_at_once(run, make_classifier, no_images):
    classifier = make_classifier(labels=("x " * 99, "cat", "dog"))
    with pytest.raises(InputError, match=r"label .x x .*arm .name.*or leave it out"):
        run(classifier, labels=[0], judges=[])


def test_numbers_of_numpy_are_numbers(run, tmp_path):
    tree = run(
        labels=np.int64(1),
        arms=["name"],
        seeds=np.int64(2),
        samples=np.int64(2),
        lr=np.float32(0.5),
        steps=np.int64(3),
        store=tmp_path,
    )
    assert json.loads(tree.attrs["settings"])["lr"] == 0.5
    assert tree["status"]["seed"].values.tolist() == [0, 1]


def test_an_audit_of_objects_cannot_be_resumed_from_its_folder(run, tmp_path):
    run(store=tmp_path, arms=["name"])
    with pytest.raises(InputError, match=r"call audit\(\.\.\.\) again"):
        resume(tmp_path)


def test_an_audit_of_names_is_resumed_and_failures_retried(tmp_path):
    first = audit(
        "pocket:honest",
        ["stop"],
        generator="pocket",
        arms=["name"],
        views=["blur"],
        seeds=1,
        samples=2,
        store=tmp_path,
        progress=False,
    ).load()
    store = AuditStore(tmp_path)
    (unit,) = store.done()
    shutil.rmtree(store.folder(unit))
    store.fail(unit, RuntimeError("it was raining"), 1.0)
    failed = resume(tmp_path, progress=False)
    assert failed["status"]["reason"].item() == "RuntimeError: it was raining"
    assert_same(resume(tmp_path, retry_failed=True, progress=False), first)


def test_a_result_in_memory_needs_no_folder(whole):
    assert isinstance(whole["samples"]["image"].values, np.ndarray)
    assert isinstance(whole, xr.DataTree)
