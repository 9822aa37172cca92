"""The search without a gradient: a black box is asked for scores and nothing else.

Separable CMA-ES (Ros and Hansen 2008) moves a normal distribution of tokens through a few
directions of the vocabulary. Every image that is scored counts as a query, and the ledger says
what each was spent on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from cmaes import SepCMA
from torch import Tensor

from inversion_kit import objectives
from inversion_kit.classifiers.base import Classifier
from inversion_kit.errors import InputError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.search.optimise import TRAIN, VALIDATE, Step, noise_seeds, sample
from inversion_kit.search.probe import candidates, probe
from inversion_kit.search.search import NEUTRAL, Found, Plan, looker, thumbnails

POPULATION = 12
"""Tokens that a generation tries, all on the same noise."""
DIRECTIONS = 24
"""Most directions of the vocabulary that are searched."""
_WORDS = 8
"""Most of them that lead to probed words; the others are principal directions."""
_SHORTLIST, _NOISES, _MOST_PROBED = 24, 3, 512
_MOST_WORDS = 1024
_SPREAD, _WIDEST = 2.0, 4


def least_queries(batch: int, validation: int) -> int:
    """Queries of the shortest search: a look, one generation and another look.

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
    >>> from inversion_kit.generators.base import as_generator
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
    found = basis.T[: len(new)][new][:DIRECTIONS].float()
    if len(found) < 2:
        raise InputError(
            f"generator: the vocabulary of {generator.name!r} has {len(ids)} words, too few for a "
            "search in its directions; use another pipeline"
        )
    return found


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
    start
        Vector ``(embed,)`` in the middle of the first generation.
    basis
        Directions ``(direction, embed)`` that are searched, orthonormal.
    batch
        Images of each token.
    spread
        Mean distance of the first generation from its middle, in units of the generator's mean
        word-embedding norm.
    past
        Steps that the same call gave before: they are given again from what they recorded.

    References
    ----------
    Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity",
    PPSN 2008.
    """
    sigma = spread * generator.vocabulary_norm() / math.sqrt(len(basis))
    drawn = np.random.SeedSequence([seed, TRAIN, first_step]).generate_state(1)
    optimizer = SepCMA(
        mean=np.zeros(len(basis)), sigma=sigma, population_size=POPULATION, seed=int(drawn[0])
    )
    origin = start.detach().cpu().float()
    fitting = micro_batch or MicroBatch(batch)
    step = first_step
    while True:
        tried = [optimizer.ask() for _ in range(POPULATION)]
        known = step - first_step < len(past)
        if known:
            taken = past[step - first_step]
        else:
            seeds = noise_seeds(seed, TRAIN, step, batch)
            asked = tuple(prompts[(step + i) % len(prompts)] for i in range(batch))
            seen = [
                _score(
                    classifier, generator, target, asked, seeds, _at(origin, basis, x), objective,
                    fitting,
                )
                for x in tried
            ]  # fmt: skip
            losses = torch.stack([loss for loss, _, _ in seen])
            best = int(losses.argmin())
            taken = Step(
                step=step,
                start=start_name,
                loss=float(losses[best]),
                gradient_norm=math.nan,
                token=torch.empty(0),
                images=seen[best][1],
                probability=seen[best][2],
                prompts=asked,
                seeds=tuple(seeds),
                losses=losses,
            )
        values = taken.losses.tolist()
        if min(values) < max(values):
            optimizer.tell(list(zip(tried, values, strict=True)))
        step += 1
        if not known:
            middle = _at(origin, basis, optimizer.mean)[None].to(generator.device)
            taken = replace(taken, token=middle)
        yield taken


def _at(origin: Tensor, basis: Tensor, x: np.ndarray) -> Tensor:
    return origin + torch.from_numpy(x).float() @ basis


@torch.no_grad()
def _score(
    classifier: Classifier, generator: Generator, target: int, prompts: Sequence[str],
    seeds: Sequence[int], vector: Tensor, objective: objectives.Objective | None,
    fitting: MicroBatch,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Mean loss, images and probabilities of one token."""
    loss_of = objective or objectives.default(classifier)
    images = sample(
        generator, prompts, seeds=seeds, token=ClassToken(vector.to(generator.device)),
        batch=fitting.size,
    )  # fmt: skip

    def score(part: slice) -> tuple[Tensor, Tensor]:
        logits = classifier.logits(images[part])
        wanted = torch.full((len(logits),), target, device=logits.device)
        loss = objectives.bind(loss_of, images[part])(logits, wanted)
        return loss.cpu(), classifier.probability(logits)

    losses, scores = zip(*fitting.parts(len(images), score), strict=True)
    return torch.cat(losses).double().mean(), images, torch.cat(scores)


def search_cma(
    classifier: Classifier,
    generator: Generator,
    target: int,
    prompts: Sequence[str],
    plan: Plan,
    *,
    seed: int,
    watch: Callable[[Found], None] = lambda found: None,
    past: Found | None = None,
) -> Found:
    """Search one seed's token by scores alone; arguments and result as of `search.search`.

    The neutral start and the vocabulary probe's best words are looked at on held-out noise. From
    the best of them on the distribution of tokens evolves, and from the next where checks do not
    improve; after the last start the first has its turn again, with a wider distribution. It ends
    where a check reaches ``stop_at``, or with the queries or steps.
    """
    held_out = noise_seeds(seed, VALIDATE, 0, plan.validation)
    found = Found(seed, held_out, probe=None if past is None else past.probe)
    fitting = MicroBatch(plan.batch, of=classifier, doing="queries")
    generation = POPULATION * plan.batch
    look = looker(
        classifier, generator, target, prompts, plan, found, past=past, watch=watch
    )  # fmt: skip

    def enough() -> bool:
        """Whether the search ends before another generation and the look after it."""
        least = generation + plan.validation
        return len(found.steps) >= plan.steps or plan.queries - found.spent < least

    first = plan.start or NEUTRAL
    begun = {first: generator.neutral_vector() if plan.start is None else
             generator.vector_of(plan.start)}  # fmt: skip
    scores = {first: look(begun[first], first)}
    if scores[first] >= plan.goal or plan.steps == 0:
        return found
    words: Sequence[str] = ()
    if plan.start is None and plan.restarts:
        left = plan.queries - found.spent
        most = min(left // 3, left - generation - plan.validation)
        shortlist = min(_SHORTLIST, most // (2 * _NOISES))
        if shortlist > 0:
            if found.probe is None:
                limit = min(_MOST_PROBED, most - shortlist * _NOISES)
                name = classifier.labels[target]
                likely = candidates(generator, name, seed=seed, limit=limit)[:limit]
                found.probe = probe(
                    classifier, generator, target, prompts, likely, seed=seed,
                    shortlist=shortlist, noises=_NOISES,
                )  # fmt: skip
            words = found.probe.words
            asked = len(words) + _NOISES * min(shortlist, len(words))
            found.book("probe", asked, float(np.exp(found.probe.log_probability[0])))
    for word in words[: plan.restarts]:
        if plan.queries - found.spent < plan.validation + generation:
            break
        begun[word] = generator.vector_of(word)
        scores[word] = look(begun[word], word)
        if scores[word] >= plan.goal:
            return found
    basis = directions(generator, words[:_WORDS])
    order = sorted(begun, key=lambda name: -scores[name])
    for attempt in itertools.count():
        if enough():
            break
        start = order[attempt % len(order)]
        vector, best, stale = begun[start], scores[start], 0
        wider = min(2 ** (attempt // len(order)), _WIDEST)
        before = len(found.steps)
        for taken in evolve(
            classifier, generator, target, prompts, start=vector, start_name=start, basis=basis,
            seed=seed, first_step=before, batch=plan.batch, spread=plan.lr * _SPREAD * wider,
            objective=plan.objective, past=() if past is None else past.steps[before:],
            micro_batch=fitting,
        ):  # fmt: skip
            kept = len(taken.images) and taken.images.dtype == torch.uint8
            found.steps.append(taken if kept else replace(taken, images=thumbnails(taken.images)))
            found.book("generation", generation, float(taken.probability[:, target].mean()))
            watch(found)
            if enough() or (len(found.steps) - before) % plan.check_every == 0:
                score = look(taken.token[0], start)
                if score >= plan.goal:
                    return found
                stale = 0 if score > best + 0.05 else stale + 1
                best = max(best, score)
            if enough():
                return found
            if stale >= plan.patience:
                break
    return found
