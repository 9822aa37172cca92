"""What an audit is told to do: as its workers get it, and as its folder keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inversion_kit.audits.units import Bench
from inversion_kit.classifiers.base import as_classifier
from inversion_kit.classifiers.views import check_views
from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.base import as_generator
from inversion_kit.generators.gradients import as_policy
from inversion_kit.generators.prompts import WITH_NAME, check_templates
from inversion_kit.generators.token_file import layout_json
from inversion_kit.search import datasets, identity
from inversion_kit.search.arguments import check_plan, follow
from inversion_kit.search.search import Plan
from inversion_kit.storage.audit_folder import PLAN, AuditFolder

_PLAN = (
    "steps", "batch", "lr", "stop_at", "check_every", "patience", "validation", "restarts",
)  # fmt: skip


@dataclass
class Spec:
    """What a worker is told: sources of the models, not the loaded models where they have a name.

    Parameters
    ----------
    key
        Equal specs have equal keys: a worker loads the models of a key once.
    """

    key: str
    model: Any
    generator: Any
    judges: Sequence[Any]
    views: Sequence[str]
    templates: dict[str, tuple[str, ...]]
    plan: Plan
    samples: int
    labels: Sequence[str] | None = None
    preprocess: Any = None
    loaded: Bench | None = field(default=None, repr=False)

    def load(self) -> Bench:
        """The loaded models; the same ones when asked again."""
        if self.loaded is None:
            generator = as_generator(self.generator)
            classifier = as_classifier(self.model, preprocess=self.preprocess, labels=self.labels)
            judges = [as_classifier(judge) for judge in self.judges]
            for given, one in zip([self.model, *self.judges], [classifier, *judges], strict=True):
                follow(generator, given, one)
            self.loaded = Bench(
                classifier=classifier,
                generator=generator,
                judges=judges,
                views=self.views,
                templates=self.templates,
                plan=self.plan,
                samples=self.samples,
            )
        return self.loaded

    @property
    def named(self) -> bool:
        """Whether all models have names, by which any machine can load them."""
        models = (self.model, self.generator, *self.judges)
        return all(x is None or isinstance(x, str) for x in models)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "loaded": None}


def templates_of(free: tuple[str, ...], arms: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The templates of each arm with a token; ``free`` are those that do not name the class.

    Examples
    --------
    >>> templates_of(("a {token}",), ["name", "token"])
    {'token': ('a {token}',)}
    """
    known = {"token": free, "shuffled": free, "token+name": WITH_NAME}
    return {arm: known[arm] for arm in arms if arm != "name"}


def written(
    spec: Spec, indices: Sequence[int], arms: Sequence[str], seeds: Sequence[int],
    prompts: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """All that makes the units what they are, as the folder keeps it."""
    bench = spec.load()
    classifier, generator = bench.classifier, bench.generator
    return {
        "labels": [[i, classifier.labels[i]] for i in indices],
        "arms": list(arms),
        "seeds": list(seeds),
        "classes": list(classifier.labels),
        "judges": [
            *([judge.name, "classifier"] for judge in bench.judges),
            *([view.name, "view"] for view in bench.panel[len(bench.judges) :]),
        ],
        "judge_hashes": [judge.hash for judge in bench.panel],
        "classifier": classifier.name,
        "classifier_hash": classifier.hash,
        "generator": generator.name,
        "generator_hash": generator.hash,
        "settings": {
            "prompts": list(prompts), "views": list(spec.views), "samples": spec.samples,
            **{name: getattr(spec.plan, name) for name in _PLAN},
            "gradient": spec.plan.gradient.name,
            "num_inference_steps": generator.num_inference_steps,
            "guidance_scale": generator.guidance_scale,
            "token_layout": layout_json(generator.layout),
            "sources": sources(spec),
            **_method(bench, indices),
            "preprocess": identity.fed(classifier),
            "preprocess_parity": classifier.parity_told,
            "judge_preprocess": [identity.fed(judge) for judge in bench.judges],
            "sampler": identity.sampler(generator),
        },
        "versions": datasets.versions(),
    }  # fmt: skip


def written_again(spec: Spec, plan: dict[str, Any]) -> dict[str, Any]:
    """`written` with the labels, arms, seeds and prompts of a plan, of what loads here and now.

    Raises
    ------
    InputError
        The classifier has other classes than the plan.
    """
    if list(spec.load().classifier.labels) != plan["classes"]:
        raise InputError(f"model={spec.model!r:.80}: the classifier has other classes now")
    indices = [index for index, _ in plan["labels"]]
    return written(spec, indices, plan["arms"], plan["seeds"], plan["settings"]["prompts"])


def spec_of(store: AuditFolder) -> Spec:
    """What the plan of an audit says to load and to do; nothing is loaded yet.

    Raises
    ------
    InputError
        The audit was made of objects, not of models' names alone.
    StoreError
        Its settings are not those of an audit.
    """
    settings = store.plan["settings"]
    if not settings.get("sources"):
        raise InputError(
            f"path={str(store.path)!r}: this audit was made of objects, not of models' names "
            "alone; call audit(...) again with the same arguments and this store"
        )
    try:
        names, prompts = settings["sources"], settings["prompts"]
        model, generator, judges = names["model"], names["generator"], names["judges"]
        if not all(isinstance(name, str) for name in [model, *judges, *prompts]):
            raise TypeError("models and prompts must be text")
        if not (generator is None or isinstance(generator, str)) or isinstance(judges, str):
            raise TypeError("generator must be text, judges a list")
        return Spec(
            key="resumed", model=model, generator=generator, judges=tuple(judges),
            views=check_views(settings["views"]),
            templates=templates_of(check_templates(prompts, named=False), store.plan["arms"]),
            plan=check_plan(
                **{name: settings[name] for name in (*_PLAN, "samples")},
                gradient=as_policy(settings["gradient"]),
                start=None, method=settings.get("method", "gradient"),
                queries=settings.get("queries"), kept=0,
            ),
            samples=settings["samples"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, InputError) as error:
        raise StoreError(
            f"path={str(store.path / PLAN)!r}: its settings are not those of an audit: {error!r}"
        ) from error


def sources(spec: Spec) -> dict[str, Any] | None:
    """The models' names, where they say all: with them the audit goes on from its folder."""
    own = (spec.labels, spec.preprocess, spec.plan.objective)
    if not spec.named or any(one is not None for one in own):
        return None
    return {"model": spec.model, "generator": spec.generator, "judges": list(spec.judges)}


def _method(bench: Bench, indices: Sequence[int]) -> dict[str, Any]:
    """How a plan searches, where it is not by the gradient of the default objective."""
    told: dict[str, Any] = {}
    if bench.plan.method != "gradient":
        told |= {"method": bench.plan.method, "queries": bench.plan.queries}
    if bench.plan.objective is not None:
        told |= identity.aim(
            bench.plan.objective, bench.classifier, indices, device=bench.generator.device
        )
    return told
