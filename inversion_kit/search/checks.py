"""Whether settings, classifier, generator and judges go together: checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from inversion_kit import objectives
from inversion_kit.classifiers.base import IDENTITY, Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.classifiers.same_network import same_network
from inversion_kit.classifiers.views import VIEWS, check_views
from inversion_kit.errors import InputError
from inversion_kit.generators.gradients import as_policy
from inversion_kit.generators.prompts import check_templates
from inversion_kit.search.cma import least_queries, search_cma
from inversion_kit.search.rehearsal import REHEARSED
from inversion_kit.search.search import search
from inversion_kit.settings import Settings

SEARCHES = {"gradient": search, "cma": search_cma}
"""The search of each `inversion_kit.settings.METHODS`."""


def check_settings(settings: Settings, arms: int) -> Settings:
    """The settings with what needs no model checked, and views filled in.

    Parameters
    ----------
    arms
        How many arms are made of each label and seed: their final images count as queries.

    Raises
    ------
    InputError
        Prompts, gradient, views or queries are not usable.
    """
    check_templates(settings.prompts)
    as_policy(settings.gradient)
    if settings.method == "cma":
        check_queries(settings, arms)
    usual = () if settings.method == "cma" else tuple(VIEWS)
    return replace(settings, views=check_views(usual if settings.views is None else settings.views))


def check_queries(settings: Settings, arms: int) -> int:
    """The queries that a search may use: without rehearsal, hash and all arms' final images.

    Raises
    ------
    InputError
        They are not enough for two checks and a generation.
    """
    kept = REHEARSED + IDENTITY + arms * settings.samples
    least = kept + least_queries(settings.batch, settings.validation)
    if settings.queries is None or settings.queries < least:
        raise InputError(
            f"queries={settings.queries}: at least {least} with batch={settings.batch}, "
            f"validation={settings.validation}: two checks, one generation, and {kept} for final "
            "images, a rehearsal and the classifier's hash"
        )
    return settings.queries - kept


def check_method(settings: Settings, classifier: Classifier, *, searched: bool = True) -> Settings:
    """The settings for this classifier: its default objective is None.

    Parameters
    ----------
    searched
        Whether a token is searched for, so that the method matters.

    Raises
    ------
    InputError
        A gradient is wanted of a black box.
    """
    asked = [classifier]
    if isinstance(settings.objective, objectives.OfImages):
        asked += settings.objective.others
    for one in asked:
        if searched and settings.method == "gradient" and not one.differentiable:
            raise InputError(
                f"method='gradient': classifier {one.name!r} is a black box and gives no "
                'gradient; use method="cma"'
            )
    if settings.objective is objectives.default(classifier):
        return replace(settings, objective=None)
    return settings


def listed(judges: Any) -> tuple[Any, ...]:
    """Judges as they were given, in a sequence.

    Raises
    ------
    InputError
        They are none, such as one classifier by itself.

    Examples
    --------
    >>> listed(["pocket:judge"])
    ('pocket:judge',)
    """
    if isinstance(judges, str) or not isinstance(judges, Iterable):
        raise InputError(
            f"judges={judges!r}: expected a sequence of classifiers; give [{judges!r}]"
        )
    return tuple(judges)


def check_judges(judges: Sequence[Any], classifier: Classifier) -> list[Classifier]:
    """Judges as classifiers with the same label names, other networks than the audited one.

    Raises
    ------
    InputError
        One of them is no such judge.
    """
    panel = [as_classifier(judge) for judge in listed(judges)]
    for judge in panel:
        if judge.labels != classifier.labels:
            raise InputError(
                f"judges: {judge.name!r} has other label names than {classifier.name!r}; a judge "
                "must name the same classes in the same order"
            )
        if why := same_network(classifier, judge):
            raise InputError(
                f"judges: {judge.name!r} {why} the audited classifier; a judge must be another one"
            )
    names = [judge.name for judge in panel]
    if len(set(names)) != len(names):
        raise InputError(f"judges: names {names} must differ; give as_classifier(judge, name=...)")
    return panel
