"""The search without a gradient: a black box is asked for scores and nothing else.

Separable CMA-ES (Ros and Hansen 2008) moves a normal distribution of tokens through a few
directions of the vocabulary. Every image that is scored counts as a query, and the ledger says
what each was spent on.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from cmaes import SepCMA
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.kept import Batches
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.search.history import Check, History, Step
from inversion_kit.search.optimise import check
from inversion_kit.search.probe import MOST_WORDS, NOISES, SHORTLIST, candidates, probe
from inversion_kit.search.search import IMPROVED, Watch, checker, ends, first_start, thumbnails
from inversion_kit.seeds import TRAIN, VALIDATE, noise_seeds
from inversion_kit.settings import Settings

POPULATION = 12
"""Tokens that a generation tries, all on the same noise."""
DIRECTIONS = 24
"""Most directions of the vocabulary that are searched."""
_WORDS = 8
"""Most of them that lead to probed words; the others are principal directions."""
_MOST_WORDS = 1024
_SPREAD, _WIDEST = 2.0, 4


def least_queries(batch: int, validation: int) -> int:
    """Queries of the shortest search: a check, one generation and another check.

    Examples
    --------
    >>> least_queries(batch=8, validation=16)
    128
    """
    return 2 * validation + POPULATION * batch


def directions(generator: Generator, words: Sequence[str] = ()) -> Tensor:
    """Orthonormal directions ``(direction, embed)`` in which the vocabulary is spread out.

    First those from the neutral vector to the given words, then the principal directions of all
    words around it.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> directions(as_generator("pocket"), ["stop", "red"]).shape
    torch.Size([24, 128])
    """
    ids = list(generator.vocabulary.values())
    ids = ids[:: math.ceil(len(ids) / _MOST_WORDS)]
    neutral = generator.neutral_vector().cpu().double()
    spread = generator.embedding.weight[ids].detach().cpu().double() - neutral
    value, vector = torch.linalg.eigh(spread @ spread.T)
    principal = vector.flip(1)[:, value.flip(0) > 1e-9 * value.amax()].T @ spread
    towards = [generator.vector_of(word).cpu().double() - neutral for word in words]
    wanted = torch.stack([*towards, *principal[:DIRECTIONS]])
    basis, triangle = torch.linalg.qr(torch.nn.functional.normalize(wanted, dim=1).T)
    new = triangle.diagonal().abs() > 1e-6  # the others lie in the span of those before
    directions = basis.T[: len(new)][new][:DIRECTIONS].float()
    if len(directions) < 2:
        raise InputError(
            f"generator: the vocabulary of {generator.name!r} has {len(ids)} words, too few for a "
            "search in its directions; use another pipeline"
        )
    return directions


def evolve(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    *,
    start: Tensor,
    start_name: str,
    basis: Tensor,
    seed: int,
    first_step: int = 0,
    batch: int,
    spread: float,
    objective: objectives.Objective | None = None,
    past: Sequence[Step] = (),
    micro_batch: MicroBatch | None = None,
) -> Iterator[Step]:
    """Yield one `Step` a generation; print nothing, write nothing, stop never.

    Each generation draws `POPULATION` tokens and shows all of them the same fresh noise, so that
    their losses are paired. A generation whose tokens all score alike, as happens where only the
    top class is known and none was right, teaches nothing: it is drawn again and moves nothing.

    Parameters
    ----------
    classifier, generator
        That the token is trained for, and in; both stay frozen.
    target
        Class index, from 0.
    prompts
        With the placeholder, taken in turn over the images of a token.
    start
        Float32 ``(embed,)``: the middle of the first generation.
    start_name
        What steps say they began at.
    basis
        Float32 ``(direction, embed)``, two directions or more: those that are searched,
        orthonormal, see `directions`.
    seed
        Of the noise and of the tokens that are drawn, at least 0.
    first_step
        Number of the first generation, at least 0: its noise follows from it.
    batch
        Images of each token, at least 1.
    spread
        Above 0: mean distance of the first generation from its middle, in units of the generator's
        mean word-embedding norm.
    objective
        From logits ``(n, class)`` and target ``(n,)`` to a loss an image, ``(n,)``, see
        `inversion_kit.objectives`; None is the default of the classifier's head.
    past
        Steps that the same call gave before: they are given again from what they recorded.
    micro_batch
        How many images to make at once; it halves itself where memory runs out.

    Yields
    ------
    Step
        ``token`` is float32 ``(1, embed)``, ``losses`` float32 ``(token,)``, ``gradient_norm`` NaN.

    References
    ----------
    Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity",
    PPSN 2008.
    """
    sigma = spread * generator.vocabulary_norm() / math.sqrt(len(basis))
    optimizer = _distribution(len(basis), sigma, [seed, TRAIN, first_step])
    origin = start.detach().cpu().float()
    score: Callable[..., Check] = functools.partial(
        check,
        classifier,
        generator,
        target=target,
        objective=objective or objectives.default(classifier),
        micro_batch=micro_batch or MicroBatch(batch),
    )
    step = first_step
    while True:
        tried = [optimizer.ask() for _ in range(POPULATION)]
        if known := step - first_step < len(past):
            taken = past[step - first_step]
        else:
            seeds = noise_seeds(seed, TRAIN, step, batch)
            asked = tuple(prompts[(step + i) % len(prompts)] for i in range(batch))
            seen = [score(_at(origin, basis, x).to(generator.device), asked, seeds) for x in tried]
            losses = torch.tensor([one.loss for one in seen], dtype=torch.float64)
            best = seen[int(losses.argmin())]
            taken = Step(
                step,
                start_name,
                loss=best.loss,
                gradient_norm=math.nan,
                token=torch.empty(0),
                images=best.images,
                probability=best.probability,
                prompts=asked,
                seeds=tuple(seeds),
                losses=losses,
            )
        values = taken.losses.tolist()
        if min(values) < max(values):
            optimizer.tell(list(zip(tried, values, strict=True)))
        step += 1
        if not known:
            middle = _at(origin, basis, optimizer.mean)
            taken = replace(taken, token=middle[None].to(generator.device))
        yield taken


def _distribution(size: int, sigma: float, seeds: Sequence[int]) -> SepCMA:
    """Around 0 in so many directions."""
    drawn = int(np.random.SeedSequence(list(seeds)).generate_state(1)[0])
    return SepCMA(mean=np.zeros(size), sigma=sigma, population_size=POPULATION, seed=drawn)


def _at(origin: Tensor, basis: Tensor, x: np.ndarray) -> Tensor:
    return origin + torch.from_numpy(x).float() @ basis


def search_cma(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    settings: Settings,
    *,
    seed: int,
    watch: Watch = lambda history: None,
    past: History | None = None,
    bank: Batches | None = None,
) -> History:
    """Search one seed's token by scores alone; arguments and result as of `search.search`.

    ``settings.queries`` are those of the search alone. The neutral start and the vocabulary probe's
    best words are checked on held-out noise. From the best of them on the distribution of tokens
    evolves, and from the next where checks do not improve; after the last start the first has its
    turn again, with a wider distribution. It ends as a search by the gradient does, see
    `inversion_kit.search.search.ends`, or with the queries or steps.
    """
    held_out = noise_seeds(seed, VALIDATE, 0, settings.validation)
    history = History(seed, held_out, probe=None if past is None else past.probe)
    asked = (classifier, generator, target, prompts)
    budget = _Budget(settings, history)
    checked = checker(*asked, settings, history, past=past, watch=watch)
    micro_batch = MicroBatch(settings.batch, of=classifier, doing="queries")
    first, vector = first_start(generator, settings)
    begun, scores = {first: vector}, {first: checked(vector, first)}
    if ends(scores[first], -math.inf, settings.goal) or settings.steps == 0:
        return history
    words: Sequence[str] = ()
    if scores[first] < settings.goal:
        words = _probed(*asked, settings, history, bank, budget.left - budget.round)
    for word in words[: settings.restarts]:
        if budget.left < budget.round or max(scores.values()) >= settings.goal:
            break
        begun[word] = generator.vector_of(word)
        scores[word] = checked(begun[word], word)
        if ends(scores[word], -math.inf, settings.goal):
            return history
    basis = directions(generator, words[:_WORDS])
    order = sorted(begun, key=lambda name: -scores[name])
    for attempt in itertools.count():
        if budget.over():
            break
        start, before = order[attempt % len(order)], len(history.steps)
        wider = min(2 ** (attempt // len(order)), _WIDEST)
        steps = evolve(
            *asked,
            start=begun[start],
            start_name=start,
            basis=basis,
            seed=seed,
            first_step=before,
            batch=settings.batch,
            spread=settings.lr * _SPREAD * wider,
            objective=settings.objective,
            past=() if past is None else past.steps[before:],
            micro_batch=micro_batch,
        )
        if _follow(steps, target, budget, scores[start], checked, watch):
            break
    return history


@dataclass(frozen=True)
class _Budget:
    """What a search may still spend."""

    settings: Settings
    history: History

    @property
    def generation(self) -> int:
        """Queries of a generation."""
        return POPULATION * self.settings.batch

    @property
    def round(self) -> int:
        """Queries of a generation and the check after it."""
        return self.generation + self.settings.validation

    @property
    def left(self) -> int:
        return (self.settings.queries or 0) - self.history.spent

    def over(self) -> bool:
        """Whether the search ends before another generation and the check after it."""
        return len(self.history.steps) >= self.settings.steps or self.left < self.round


def _follow(
    steps: Iterable[Step],
    target: int,
    budget: _Budget,
    best: float,
    checked: Callable[[Tensor, str], float],
    watch: Watch,
) -> bool:
    """Take a start's generations until its checks no longer improve; whether the goal is met."""
    settings, history = budget.settings, budget.history
    before, stale = len(history.steps), 0
    for step in steps:
        kept = len(step.images) and step.images.dtype == torch.uint8
        history.steps.append(step if kept else replace(step, images=thumbnails(step.images)))
        hit = step.mean(target)
        history.book("generation", budget.generation, hit)
        watch(history)
        if budget.over() or (len(history.steps) - before) % settings.check_every == 0:
            score = checked(step.token[0], step.start)
            if ends(score, best, settings.goal):
                return True
            stale = 0 if score > best + IMPROVED else stale + 1
            best = max(best, score)
        if budget.over() or stale >= settings.patience:
            break
    return False


def _probed(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    settings: Settings,
    history: History,
    bank: Batches | None,
    spare: int,
) -> Sequence[str]:
    """The vocabulary probe's words, best first, for a third of the queries; none where too few."""
    if settings.start is not None or not settings.restarts:
        return ()
    most = min(((settings.queries or 0) - history.spent) // 3, spare)
    shortlist = min(SHORTLIST, most // (2 * NOISES))
    if shortlist <= 0:
        return ()
    if history.probe is None:
        limit = min(MOST_WORDS, most - shortlist * NOISES)
        name = classifier.wordings[target]
        likely = candidates(generator, name, seed=history.seed, limit=limit)[:limit]
        history.probe = probe(
            classifier,
            generator,
            target,
            prompts,
            likely,
            seed=history.seed,
            objective=settings.objective,
            shortlist=shortlist,
            noises=NOISES,
            bank=bank,
        )
    words = history.probe.words
    asked = len(words) + NOISES * min(shortlist, len(words))
    history.book("probe", asked, float(np.exp(history.probe.log_probability[0])))
    return words
