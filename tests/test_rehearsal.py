"""What a run will ask is asked once before it: what cannot work is refused, the rest just works."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import timm
import torch
from torch import nn

import inversion_kit as ik
from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError, NumericalError
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.gradients import LAST_STEP, LATE_STEP, NONE
from inversion_kit.generators.rehearsal import blaming, rehearse_call

LOOK = ik.Preprocess(size=(12, 12))
NAMES = ("cat", "dog", "stop")
SMALL = {
    **{"steps": 2, "batch": 2, "samples": 3, "validation": 2, "restarts": 0, "stop_at": 1.0},
    **{"views": (), "progress": False},
}


class Plain(nn.Module):
    """A small network; ``before`` and ``after`` are done to its input and its scores."""

    def __init__(self, before=lambda x: x, after=lambda x: x):
        super().__init__()
        self.layer = nn.Linear(12, 3)
        with torch.no_grad():
            self.layer.weight *= 5
        self.before, self.after = before, after

    def forward(self, x):
        x = self.before(x)
        return self.after(self.layer(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)))


class Flat(nn.Module):
    """Flattens by ``view``, which takes contiguous images alone."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(768, 3)

    def forward(self, x):
        return self.layer(x.view(len(x), -1))


class Headed(nn.Module):
    """The parts of a timm model by name, with a ``forward_head`` of the test's own."""

    def __init__(self, head=lambda model, x: model.layer(x)):
        super().__init__()
        self.layer, self.side, self.head = nn.Linear(3, 3), nn.Linear(5, 3), head

    def forward_features(self, x):
        return x.mean((2, 3))

    def forward_head(self, x):
        return self.head(self, x)

    def forward(self, x):
        return self.layer(self.forward_features(x))


class LikeTimm(Headed):
    """With the argument that timm's have."""

    def forward_head(self, x, pre_logits=False):
        return self.head(self, x)


def made(model, **settings) -> Classifier:
    settings = {"preprocess": LOOK, "labels": NAMES, "name": "mine", **settings}
    return ik.as_classifier(model, **settings)


def unchecked(model, **settings) -> Classifier:
    """As a user of the parts makes one, whom `as_classifier` has not asked for an image."""
    return Classifier(model, LOOK, NAMES, name="mine", **settings)


def invert(model, generator, **settings):
    return ik.invert(model, "dog", generator=generator, **{**SMALL, **settings})


def audit(model, generator, **settings):
    given = {"arms": ["name", "token"], "seeds": 1, **SMALL, **settings}
    return ik.audit(model, ["dog", "stop"], generator=generator, **given)


RUNS = pytest.mark.parametrize("run", [invert, audit])


@contextlib.contextmanager
def no_work(generator, most=0):
    """At most so many calls of the denoiser meanwhile."""
    calls = []
    handle = generator.denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    yield
    handle.remove()
    assert len(calls) <= most


TOLD = ValueError("told so")


def raising(when, error=TOLD):
    """A function that hands on what it gets, and raises where ``when`` is true of it."""

    def checked(x):
        if when(x):
            raise error
        return x

    return checked


# --- what works -----------------------------------------------------------------------------------


def test_every_classifier_gets_contiguous_images(generator):
    seen = []
    model = Plain(raising(lambda x: seen.append(x.is_contiguous())))
    images = generator.images(["cat", "dog"], seeds=[0, 1]).contiguous(
        memory_format=torch.channels_last
    )
    own = made(model, preprocess=raising(lambda x: seen.append(x.is_contiguous())))
    turned = made(model, preprocess=lambda x: x.transpose(2, 3))
    boxes = [made(model), own, turned, made([own, made(model, name="other")])]
    seen.clear()
    for one in boxes:
        one.logits(images)
    assert len(seen) >= 6
    assert all(seen)


@RUNS
def test_a_model_that_views_its_input_is_searched(run, generator):
    tree = run(made(Flat(), preprocess=ik.Preprocess(size=(16, 16))), generator)
    assert np.isfinite(tree["samples"]["probability"].values).all()
    assert (tree["status"]["status"].values == "done").all()


def test_features_of_a_model_that_is_only_named_like_timms_come_from_its_layer(generator):
    model = Headed()
    classifier = made(model)
    images = torch.rand(2, 3, 16, 16)
    expected = model.forward_features(classifier.prepared(images))
    assert torch.equal(classifier.features(images), expected)
    assert invert(classifier, generator)["samples"].sizes["feature"] == 3
    assert ik.doctor(classifier)["features"].status == "ok"


def test_features_of_timms_own_are_those_before_the_last_layer():
    model = timm.create_model("test_resnet", num_classes=3)
    classifier = made(model)
    images = torch.rand(2, 3, 16, 16)
    seen = classifier.prepared(images)
    expected = model.forward_head(model.forward_features(seen), pre_logits=True)
    assert torch.equal(classifier.features(images), expected)


@pytest.mark.parametrize(
    "before",
    [
        lambda x: x.sub_(0.5).mul_(2),
        lambda x: x.as_strided((len(x), 3, 12, 12), (432, 144, 12, 1)),
        lambda x: x.view(len(x), 3, 144).view(len(x), 3, 12, 12),
    ],
    ids=["in place", "strides", "views"],
)
@pytest.mark.parametrize("own", [False, True], ids=["settings", "identity"])
def test_what_a_model_does_to_its_input_is_its_own_matter(generator, before, own):
    def small(x):
        return nn.functional.interpolate(x, (12, 12)) if x.shape[2] != 12 else x

    classifier = made(Plain(before), preprocess=small if own else LOOK)
    images = torch.rand(2, 3, 12, 12)
    kept = images.clone()
    assert torch.equal(classifier.logits(images), classifier.logits(images))
    assert torch.equal(images, kept)
    assert invert(classifier, generator)["trajectory"].sizes["step"] == 2


@pytest.mark.parametrize(
    "model",
    [
        lambda: Plain().double(),
        lambda: Plain().bfloat16(),
        lambda: Plain(after=lambda out: out.double()),
        lambda: Plain(after=lambda out: out.half()),
    ],
    ids=["double", "bfloat16", "double scores", "half scores"],
)
def test_a_model_of_another_precision_is_searched(generator, model):
    tree = invert(made(model()), generator)
    assert tree["samples"]["probability"].dtype == np.float32
    assert (tree["trajectory"]["gradient_norm"].sel(arm="token") > 0).all()


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode])
def test_all_that_needs_a_gradient_works_where_the_caller_has_none(make_generator, outer):
    generator = make_generator()
    with outer():
        classifier = made(Plain())
        assert ik.doctor(classifier).healthy
        tree = invert(classifier, generator)
        whole = audit(classifier, generator)
        pictures = ik.generate(tree, generator=generator, n=2)
        assert not torch.is_grad_enabled()
    assert (tree["trajectory"]["gradient_norm"].sel(arm="token") > 0).all()
    assert (whole["status"]["status"].values == "done").all()
    assert len(pictures) == 2
    again = invert(classifier, generator)  # what was made there serves outside too
    assert again["trajectory"]["loss"].identical(tree["trajectory"]["loss"])


def test_a_pipeline_made_in_inference_mode_is_loaded_or_refused_before_any_work(
    make_generator, make_pipeline, tmp_path
):
    make_pipeline().save_pretrained(tmp_path)
    with torch.inference_mode():
        loaded, given = as_generator(tmp_path, device="cpu"), make_generator()
    assert invert(made(Plain()), loaded)["trajectory"].sizes["step"] == 2
    with pytest.raises(InputError, match=r"inference_mode\(\) takes no gradient: make it outside"):
        invert(made(Plain()), given)


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode])
def test_a_gradient_policy_counts_more_than_the_callers_mode(generator, outer):
    token = ClassToken(generator.vector_of("dog"))
    with outer():
        images = generator.images(
            ["photo of <ik-class>"], seeds=[0], token=token, gradient=LAST_STEP
        )
        assert not generator.images(["cat"], seeds=[0], gradient=NONE).requires_grad
    assert torch.autograd.grad(images.sum(), token.vector)[0].any()


def test_the_doctor_sees_scores_that_depend_on_the_gradient():
    def other(x):
        return x.flip(3) * 0.5 if x.requires_grad else x

    found = ik.doctor(made(Plain(other)))["gradient"]
    assert found.status == "fail"
    assert "where one is taken" in found.seen
    assert ik.doctor(made(Plain())).healthy


# --- classifiers ----------------------------------------------------------------------------------


@RUNS
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: Plain(raising(lambda x: len(x) > 1)), "score 2 images of .*told so.*x.split"),
        (lambda: Plain(raising(lambda x: len(x) == 1)), "score 1 image of 16 x 16.*told so"),
        (lambda: Plain(raising(lambda x: x.requires_grad)), "gives no gradient.*told so.*cma"),
        (lambda: Plain(raising(lambda x: not x.requires_grad)), "could not score 1 image"),
        (lambda: Plain(after=lambda out: out.detach()), "no gradient comes back"),
        (lambda: Plain(after=lambda out: out if len(out) == 1 else out[:, :2]), r"gave \(2, 2\)"),
        (lambda: Plain(after=torch.squeeze), r"gave \(3,\) for 1 images"),
        (lambda: Plain(after=lambda out: (out, out)), "gave tuple"),
        (lambda: Plain(after=lambda out: {"logits": out}), "gave dict"),
        (lambda: Plain(after=lambda out: out.sign()), "exactly zero"),
    ],
    ids=[
        *("one alone", "never one", "no gradient", "never without", "detached", "narrow"),
        *("squeezed", "tuple", "dict", "sign"),
    ],
)
def test_a_classifier_that_cannot_serve_is_refused_before_any_work(run, generator, model, words):
    with no_work(generator), pytest.raises(InputError, match=f"(?s){words}"):
        run(unchecked(model()), generator)


@RUNS
@pytest.mark.parametrize("when", [lambda x: len(x) == 2, lambda x: True], ids=["two", "any"])
def test_scores_that_are_not_finite_are_refused_before_any_work(run, generator, when):
    model = Plain(after=lambda out: out / 0 if when(out) else out)
    with no_work(generator), pytest.raises(NumericalError, match="'mine' gave values that are not"):
        run(unchecked(model), generator)


@RUNS
def test_a_model_of_another_image_size_than_the_generators_is_refused(run, generator):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 3))
    with no_work(generator), pytest.raises(InputError, match=r"16 x 16 pixels.*preprocess"):
        run(made(model, preprocess=lambda x: x), generator)


@RUNS
@pytest.mark.parametrize(
    ("head", "words"),
    [
        (raising(lambda x: True), "no features of 1 image.*forward_features and forward_head"),
        (lambda model, x: x[0], r"features: classifier 'mine' gave \(3,\)"),
        (lambda model, x: x.tolist(), "features: classifier 'mine' gave list"),
        (lambda model, x: x[:1], r"gave \(1, 3\) for 2 images"),
    ],
    ids=["raises", "one row", "list", "rows"],
)
def test_features_that_cannot_be_kept_are_refused_before_any_work(run, generator, head, words):
    fault = head if head.__code__.co_argcount == 2 else lambda model, x: head(x)
    classifier = made(LikeTimm(fault))
    with no_work(generator), pytest.raises(InputError, match=f"(?s){words}"):
        run(classifier, generator)
    found = ik.doctor(classifier)["features"]
    assert found.status == "fail"
    assert "forward_head" in found.type_this


def test_features_that_are_not_finite_are_refused(generator):
    classifier = made(LikeTimm(lambda model, x: x / 0))
    with no_work(generator), pytest.raises(NumericalError, match="features are not finite"):
        invert(classifier, generator)
    assert ik.doctor(classifier)["features"].seen == "they are not finite"


def test_a_run_without_a_search_asks_for_no_gradient_but_for_scores(generator):
    detached = unchecked(Plain(after=lambda out: out.detach()))
    assert audit(detached, generator, arms=["name"])["samples"].sizes["sample"] == 3
    broken = unchecked(Plain(raising(lambda x: len(x) > 1)))
    with no_work(generator), pytest.raises(InputError, match="told so"):
        audit(broken, generator, arms=["name"])


# --- judges, objectives and black boxes -----------------------------------------------------------


@RUNS
@pytest.mark.parametrize(
    ("judge", "error", "words"),
    [
        (lambda: Plain(raising(lambda x: len(x) == 2)), InputError, "^judges: 'other'.*told so"),
        (
            lambda: Plain(after=lambda out: out[:, :2] if len(out) == 2 else out),
            InputError,
            r"^judges: 'other'.*gave \(2, 2\) for 2 images and 3 labels",
        ),
        (
            lambda: Plain(after=lambda out: out / (len(out) != 2)),
            NumericalError,
            "'other' gave values that are not finite",
        ),
    ],
    ids=["raises", "narrow", "nan"],
)
def test_a_judge_that_would_fail_late_is_refused_before_any_work(
    run, generator, judge, error, words
):
    judges = [made(judge(), name="other")]
    with no_work(generator), pytest.raises(error, match=f"(?s){words}"):
        run(made(Plain()), generator, judges=judges)


def test_a_judge_that_takes_images_of_the_generators_size_alone_serves(generator):
    models = [nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)) for _ in range(2)]
    classifier, judge = (
        made(m, preprocess=lambda x: x, name=n) for m, n in zip(models, "ab", strict=True)
    )
    tree = invert(classifier, generator, judges=[judge])
    assert tree["samples"].sizes["judge"] == 1


def test_a_judge_of_another_number_of_labels_is_refused(generator):
    judge = made(nn.Sequential(Plain(), nn.Linear(3, 4)), labels=[*NAMES, "dog house"])
    with no_work(generator), pytest.raises(InputError, match="other label names"):
        invert(made(Plain()), generator, judges=[judge])


@RUNS
@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (lambda logits, target: logits[5], "objective .*gives no loss.*IndexError"),
        (lambda logits, target: logits.mul_(2).exp().sub_(1).sum(1), "objective.*gradient"),
    ],
    ids=["raises", "in place"],
)
def test_an_objective_that_fails_is_refused_before_any_work(run, generator, objective, words):
    with no_work(generator), pytest.raises(InputError, match=f"(?s){words}"):
        run(made(Plain()), generator, objective=objective)


def test_an_objectives_other_classifier_is_rehearsed_with_it(generator):
    other = made(Plain(raising(lambda x: len(x) == 2)), name="other")
    classifier = made(Plain())
    with no_work(generator), pytest.raises(InputError, match=r"objective .*told so"):
        invert(classifier, generator, objective=objectives.contrast(classifier, other))


@RUNS
@pytest.mark.parametrize(
    ("when", "words"),
    [
        (lambda files: len(files) == 2, "could not score 2 images of 16 x 16 pixels.*told so"),
        (lambda files: files.shape[1] == 16, "could not score 1 image of 16 x 16.*told so"),
    ],
    ids=["two", "size"],
)
def test_a_black_box_is_rehearsed_too(run, generator, when, words):
    def box(files):
        raising(when)(files)
        return np.full((len(files), 3), 1 / 3)

    classifier = ik.as_classifier(box, black_box=True, labels=NAMES)
    with no_work(generator), pytest.raises(InputError, match=f"(?s){words}"):
        run(classifier, generator, method="cma", queries=200)


# --- the generator's call -------------------------------------------------------------------------

BAD = [
    {"negative_prompt": ["x"]},
    {"negative_prompt": ["x", "y"]},
    {"negative_prompt": print},
    {"negative_prompt": 5},
    {"callback_on_step_end": lambda *_: None},
    {"callback_on_step_end": 5},
    {"cross_attention_kwargs": 3},
    {"guidance_rescale": "a"},
    {"clip_skip": "one"},
    {"negative_prompt_embeds": torch.zeros(2, 3, 4)},
]


@pytest.mark.parametrize(
    "call", BAD, ids=lambda c: f"{next(iter(c))}={next(iter(c.values()))!r:.9}"
)
def test_a_call_that_the_pipeline_does_not_take_is_refused_before_any_work(
    make_pipeline, classifier, call
):
    generator = as_generator(make_pipeline(), call=call)
    key = next(iter(call))
    runs = [
        lambda: ik.invert(classifier, "dog", generator=generator, **SMALL),
        lambda: audit(classifier, generator),
        lambda: ik.generate(generator.vector_of("dog"), generator=generator, n=5, batch=2),
    ]
    for run in runs:
        with no_work(generator, most=2), pytest.raises(InputError, match=f"call=.*{key}"):
            run()


def test_a_list_of_prompts_that_fits_every_batch_is_taken(make_pipeline):
    generator = as_generator(make_pipeline(), num_inference_steps=2)
    each = as_generator(
        generator.pipeline, num_inference_steps=2, call={"negative_prompt": ["big", "big"]}
    )
    whole = as_generator(generator.pipeline, num_inference_steps=2, call={"negative_prompt": "big"})
    token = generator.vector_of("dog")
    with_list, with_text = (
        ik.generate(token, generator=one, n=4, batch=2) for one in (each, whole)
    )
    assert all(np.array_equal(a, b) for a, b in zip(with_list, with_text, strict=True))


def test_a_callback_that_serves_is_called_in_every_run(make_pipeline, classifier):
    seen = []

    def note(_pipeline, step, _time, kept):
        seen.append(step)
        return kept

    generator = as_generator(
        make_pipeline(), num_inference_steps=3, call={"callback_on_step_end": note}
    )
    ik.invert(classifier, "dog", generator=generator, **SMALL)
    assert set(seen) == {0, 1, 2}


@pytest.mark.parametrize(
    "settings",
    [{"num_inference_steps": 0}, {"call": {"num_inference_steps": 0}}, {"call": {"x": 1}}],
)
def test_a_call_that_can_be_refused_without_a_rehearsal_is(make_pipeline, settings):
    with pytest.raises(InputError, match=r"num_inference_steps|'x'"):
        as_generator(make_pipeline(), **settings)


def test_a_rehearsal_leaves_the_generator_as_it_was(make_generator):
    generator = make_generator()
    token = ClassToken(generator.vector_of("dog"))
    given = {"seeds": [0, 1], "token": token}
    prompts = ["photo of <ik-class>"] * 2
    before = generator.images(prompts, **given)
    for gradient in (NONE, LAST_STEP, LATE_STEP):
        like = rehearse_call(generator, prompts[:1], token=token, gradient=gradient)
        assert like.shape == before.shape == (2, 3, *generator.size)
        assert not like.requires_grad
        assert torch.equal(generator.images(prompts, **given), before)
    assert token.vector.grad is None


def test_memory_that_is_full_is_no_fault_of_the_user():
    full = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError), blaming("the model", "mend it"):
        raise full
    with pytest.raises(NumericalError, match=r"^as it was$"), blaming("the model", "mend it"):
        raise NumericalError("as it was")


def test_a_rehearsal_halves_its_batch_where_memory_is_short(generator):
    limit = raising(lambda x: x.requires_grad and len(x) > 1, torch.OutOfMemoryError("CUDA"))
    tree = invert(made(Plain(limit)), generator)
    assert tree["trajectory"].sizes["step"] == 2
