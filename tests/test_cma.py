"""The search without a gradient: queries exactly counted, never a backward pass."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

import inversion_kit
from inversion_kit import as_classifier, schema
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.schema import NEUTRAL
from inversion_kit.search.cma import POPULATION, directions, evolve, least_queries, search_cma
from inversion_kit.search.search import IMPROVED
from inversion_kit.search.state import pack, unpack
from inversion_kit.seeds import TEST, TRAIN, VALIDATE, noise_seeds
from inversion_kit.settings import Settings
from tests.test_search_state import assert_equal

PROMPTS = (f"photo of {PLACEHOLDER}",)
SETTINGS = Settings(
    steps=60,
    batch=1,
    lr=0.3,
    stop_at=1.0,
    check_every=2,
    patience=1,
    validation=2,
    restarts=2,
    start=None,
    method="cma",
    queries=120,
)
SMALL = {
    "method": "cma",
    "batch": 1,
    "samples": 3,
    "validation": 2,
    "check_every": 2,
    "restarts": 1,
    "stop_at": 1.0,
    "progress": False,
}


class Box:
    """A black box around a classifier that counts the images it is asked about."""

    def __init__(self, classifier, top=False):
        self.classifier, self.top, self.asked = classifier, top, 0

    def __call__(self, files):
        assert files.dtype == np.uint8
        assert not torch.is_grad_enabled()
        self.asked += len(files)
        images = torch.from_numpy(files).permute(0, 3, 1, 2) / 255
        scores = self.classifier.probability(self.classifier.logits(images)).numpy()
        return scores.argmax(1) if self.top else scores

    @property
    def boxed(self):
        return as_classifier(self, black_box=True, labels=self.classifier.labels, name="box")


@pytest.fixture(scope="module")
def generator(make_pipeline):
    """The tiny generator with three steps, for these tests make many images."""
    return Generator(make_pipeline(), name="quick", num_inference_steps=3, guidance_scale=2.0)


@pytest.fixture
def run(classifier, generator):
    def start(seed=0, target=1, scored=classifier, watch=lambda history: None, past=None, **values):
        settings = dataclasses.replace(SETTINGS, **values)
        return search_cma(
            scored, generator, target, PROMPTS, settings, seed=seed, watch=watch, past=past
        )

    return start


def evolved(n, classifier, generator, target, **options):
    """The first generations from the neutral vector."""
    steps = evolve(
        classifier,
        generator,
        target,
        PROMPTS,
        start=generator.neutral_vector(),
        start_name=NEUTRAL,
        basis=directions(generator),
        spread=0.5,
        **options,
    )
    return list(itertools.islice(steps, n))


@pytest.mark.parametrize("queries", [20, 95, 151])
def test_the_ledger_counts_every_image_and_the_budget_holds(run, classifier, queries):
    box = Box(classifier)
    history = run(scored=box.boxed, queries=queries)
    assert box.asked == history.ledger[-1].queries <= queries
    assert queries - box.asked < POPULATION * SETTINGS.batch + SETTINGS.validation  # and is used up
    assert history.checks[-1].step == len(history.steps)  # the last generation is looked at


@pytest.mark.parametrize("top", [False, True], ids=["probabilities", "top-1"])
@pytest.mark.parametrize("queries", [45, 110])
def test_a_run_asks_no_image_more_than_its_ledger_says(classifier, generator, top, queries):
    box = Box(classifier, top)
    tree = inversion_kit.invert(
        box.boxed, "dog", generator=generator, seeds=(0, 4), queries=queries, **SMALL
    )
    ledger = tree["ledger"].to_dataset()
    spent = ledger["queries"].max("entry")
    assert (spent.sum("arm") <= queries).all()
    assert box.asked == int(spent.sum())
    assert (ledger["kind"] == "identity").sum() == 1
    assert (ledger["kind"] == "rehearsal").sum() == 1
    assert json.loads(tree.attrs["settings"])["queries"] == queries
    assert np.isnan(tree["trajectory"]["gradient_norm"]).all()


def test_a_classifier_with_weights_needs_no_query_for_its_hash(classifier, generator):
    tree = inversion_kit.invert(classifier, "dog", generator=generator, queries=60, **SMALL)
    assert "identity" not in tree["ledger"]["kind"].values


def test_the_ledgers_best_is_the_highest_check_so_far(run):
    history = run(queries=120)
    kinds = [query.kind for query in history.ledger]
    assert kinds.count("check") == len(history.checks)
    assert kinds.count("generation") == len(history.steps)
    checks = [query.score for query in history.ledger if query.kind == "check"]
    assert checks == [check.score for check in history.checks]
    best = -1.0
    for query in history.ledger:
        best = max(best, query.score) if query.kind == "check" else best
        assert query.best == best


def test_no_backward_pass_is_made(run, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a backward pass")

    for owner, name in (
        (torch.autograd, "grad"),
        (torch.autograd, "backward"),
        (torch.Tensor, "backward"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    history = run()
    assert history.steps
    assert not any(step.token.requires_grad or step.images.requires_grad for step in history.steps)


def test_a_generation_shares_its_noise_which_no_other_has(classifier, generator, run, monkeypatch):
    seen = []
    images = generator.images

    def watched(prompts, *, seeds, **rest):
        seen.append(tuple(seeds))
        return images(prompts, seeds=seeds, **rest)

    monkeypatch.setattr(generator, "images", watched)
    steps = evolved(3, classifier, generator, 1, seed=5, batch=2)
    assert seen == [step.seeds for step in steps for _ in range(POPULATION)]
    assert [step.seeds for step in steps] == [tuple(noise_seeds(5, TRAIN, i, 2)) for i in range(3)]
    held_out = {*noise_seeds(5, VALIDATE, 0, 3), *noise_seeds(5, TEST, 0, 3)}
    assert not held_out & {s for one in seen for s in one}


def test_it_walks_in_the_directions_of_the_vocabulary_alone(run, generator):
    history = run(queries=130)
    assert len({check.start for check in history.checks}) == 3
    basis = directions(generator, history.probe.words[:8])
    start = generator.neutral_vector()
    starts = {NEUTRAL: start, **{w: generator.vector_of(w) for w in history.probe.words[:2]}}
    for step in history.steps:
        off = step.token[0] - starts[step.start]
        assert off.norm() > 1e-4
        torch.testing.assert_close(off @ basis.T @ basis, off, atol=1e-5, rtol=1e-4)


def test_directions_are_orthonormal_and_hold_the_way_to_the_words(generator):
    basis = directions(generator, ["stop", "cat", "stop"])
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-5, rtol=1e-5)
    for word in ("stop", "cat"):
        way = generator.vector_of(word) - generator.neutral_vector()
        torch.testing.assert_close(way @ basis.T @ basis, way, atol=1e-5, rtol=1e-4)
    table = generator.embedding.weight[list(generator.vocabulary.values())]
    spread = table - generator.neutral_vector()
    assert (spread @ basis.T).square().sum() > 0.99 * spread.square().sum()  # 8 words, 7 directions


def test_a_generation_in_which_all_score_alike_moves_nothing(generator):
    box = as_classifier(
        lambda files: np.zeros(len(files), int), black_box=True, labels=["a", "b"], name="always a"
    )
    for step in evolved(3, box, generator, 1, seed=0, batch=1):
        torch.testing.assert_close(step.token[0], generator.neutral_vector())


def test_the_loss_falls_along_a_start(classifier, generator):
    steps = evolved(8, classifier, generator, 3, seed=0, batch=3)
    losses = [float(step.losses.mean()) for step in steps]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.05


def test_the_same_seed_finds_the_same_and_another_another(run):
    one, same, other = (run(seed=s, queries=70) for s in (3, 3, 4))
    assert_equal(same, dataclasses.replace(one))
    assert not torch.equal(one.steps[-1].token, other.steps[-1].token)


def test_every_cut_gives_what_no_cut_gives(run):
    cuts = {}

    def keep(history):
        if len(history.checks) not in cuts:
            tensors, meta = pack(history)
            written = json.dumps(meta, allow_nan=False)
            cuts[len(history.checks)] = ({k: v.clone() for k, v in tensors.items()}, written)

    whole = run(seed=3, queries=130, watch=keep)
    assert len(cuts) == len(whole.checks) >= 4
    assert len(whole.steps) > len(whole.checks) - 3
    for checks, (tensors, meta) in cuts.items():
        past = unpack(tensors, json.loads(meta))
        again = run(seed=3, queries=130, past=past)
        assert_equal(again, whole)
        kept = zip(again.checks, past.checks, strict=False)
        assert [one is two for one, two in kept] == [True] * checks  # nothing is made twice


def test_a_start_that_is_good_enough_asks_no_probe_and_ends_once_it_is_no_better(run):
    history = run(stop_at=1e-6)
    kinds = [query.kind for query in history.ledger]
    generations = len(history.steps)
    assert kinds == ["check", *["generation"] * generations, "check"]
    first, last = (check.score for check in history.checks)
    assert last <= first + IMPROVED


def test_a_given_word_is_the_only_start(run, generator):
    history = run(start="stop")
    assert {check.start for check in history.checks} == {"stop"}
    assert torch.equal(history.checks[0].token[0], generator.vector_of("stop"))
    assert history.probe is None


def test_steps_bound_the_generations(run):
    assert len(run(steps=3, queries=5000).steps) == 3
    assert not run(steps=0).steps


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "cmaes"}, "nearest: 'cma'"),
        ({"queries": 40}, f"at least {3 + 16 + 9 + least_queries(1, 2)}"),
        ({"queries": 500.0}, "whole number"),
        ({"queries": True}, "whole number"),
        ({"gradient": "full"}, "asks for no gradient"),
        ({"method": "gradient", "queries": 500}, "for method='cma' alone"),
    ],
)
def test_bad_input_is_refused_before_any_query(classifier, generator, settings, words):
    box = Box(classifier)
    with pytest.raises(InputError, match=words):
        inversion_kit.invert(box.boxed, "dog", generator=generator, **{**SMALL, **settings})
    assert box.asked == 0


def test_a_black_box_is_refused_by_the_gradient_method_before_any_query(classifier, generator):
    box = Box(classifier)
    with pytest.raises(InputError, match=r'black box and gives no gradient; use method="cma"'):
        inversion_kit.invert(box.boxed, "dog", generator=generator)
    assert box.asked == 0


def test_a_result_is_saved_opened_and_checked(classifier, generator, tmp_path):
    tree = inversion_kit.invert(
        classifier, "dog", generator=generator, queries=60, seeds=(0, 1), **SMALL
    )
    inversion_kit.save(tree, tmp_path / "run.zarr")
    again = inversion_kit.open(tmp_path / "run.zarr")
    assert again["ledger"].to_dataset().identical(tree["ledger"].to_dataset())
    broken = tree.copy(deep=True)
    broken["ledger"]["queries"].sel(label="dog", arm="token").values[0, 1] = 0
    with pytest.raises(inversion_kit.SchemaError, match="dog, token, 0 do not grow"):
        schema.validate(broken)
    without = tree.copy()
    del without["ledger"]
    schema.validate(without)  # as results of the gradient method


def pocket(box, label, **settings):
    """Share read as the label at the start and with the token."""
    tree = inversion_kit.invert(
        box.boxed,
        label,
        generator="pocket",
        method="cma",
        queries=700,
        batch=4,
        samples=8,
        progress=False,
        **settings,
    )
    assert box.asked == int(tree["ledger"]["queries"].max("entry").sum()) <= 700
    shares = inversion_kit.success(tree)["share"].isel(label=0).sel(scorer="box")
    return shares.sel(arm="start").item(), shares.sel(arm="token").item()


@pytest.mark.slow
def test_scores_alone_lead_from_the_neutral_start_of_the_pocket_to_a_class():
    start, token = pocket(Box(as_classifier("pocket:honest")), "slippery road", restarts=0)
    assert token >= start + 0.5


def test_the_top_class_alone_leads_to_a_class_of_the_pocket():
    start, token = pocket(Box(as_classifier("pocket:honest"), top=True), "keep right")
    assert token >= start + 0.5


def test_an_audit_asks_a_black_box_too_and_goes_on_as_if_never_cut_off(
    classifier, generator, tmp_path
):
    box = Box(classifier)
    same = {
        "generator": generator,
        "arms": ["name", "token"],
        "method": "cma",
        "queries": 110,
        "batch": 2,
        "samples": 2,
        "validation": 3,
        "seeds": 1,
        "progress": False,
    }
    tree = inversion_kit.audit(box.boxed, ["dog"], store=tmp_path / "audit", **same)
    assert (tree["status"]["status"] == "done").all()
    settings = json.loads(tree.attrs["settings"])
    assert (settings["method"], settings["queries"]) == ("cma", 110)
    assert settings["preprocess_parity"]["why"] == "a black box takes files as they are"
    assert tree["trajectory"].sizes["step"] >= 2
    asked = box.asked
    again = inversion_kit.audit(box.boxed, ["dog"], store=tmp_path / "audit", **same)
    assert box.asked - asked <= 20  # its hash; every unit is there
    assert again["samples"].to_dataset().identical(tree["samples"].to_dataset())
    with pytest.raises(InputError, match='use method="cma"'):
        inversion_kit.audit(box.boxed, ["dog"], **{**same, "method": "gradient", "queries": None})
