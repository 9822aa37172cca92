"""A linear layer fitted anew on frozen features, no farther from its old weights than needed.

In the manner of deep feature reweighting (Kirichenko, Izmailov and Wilson, ICLR 2023), which fits
the last layer alone on data in which a cue says nothing; begun at, and held to, the old weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

STRENGTHS = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""L2 strengths that are tried, from the strongest."""
_STEPS = 200


@dataclass(frozen=True)
class Examples:
    """Pictures to fit a layer to.

    Parameters
    ----------
    features
        Float ``(n, feature)``.
    classes
        What each shows, int ``(n,)``.
    weights
        How much each counts, float ``(n,)``, at least 0.
    held
        Which are of the noises on which the strength is chosen, bool ``(n,)``.
    """

    features: np.ndarray
    classes: np.ndarray
    weights: np.ndarray
    held: np.ndarray


@dataclass(frozen=True)
class Refitted:
    """New weights ``(class, feature)`` and bias ``(class,)``, and how they came about.

    Parameters
    ----------
    strength
        The L2 strength that was chosen.
    errors
        Weighted share of the held examples that is misread at each of the strengths.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    errors: tuple[float, ...]


def refit(
    examples: Examples,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    with_bias: bool = True,
    strengths: Sequence[float] = STRENGTHS,
) -> Refitted:
    """Minimise weighted cross-entropy plus the squared distance from the old weights.

    Distances are measured on standardised features. The strength is the largest at which the share
    of held examples that is misread is within one standard error of the smallest (Hastie,
    Tibshirani and Friedman 2009, section 7.10): a layer that strays farther does no better. With
    it the layer is fitted to all examples. Nothing is left to chance.

    Parameters
    ----------
    weight, bias
        The old ones, float ``(class, feature)`` and ``(class,)``.
    with_bias
        Whether the bias may change; where not, features are not centred.

    Examples
    --------
    >>> rows = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]] * 2)  # sign, cue
    >>> held = np.arange(8) >= 4
    >>> examples = Examples(rows, rows[:, 0].astype(int), np.ones(8), held)
    >>> by_cue = np.array([[0.0, -5.0], [0.0, 5.0]])  # it reads the cue alone
    >>> made = refit(examples, by_cue, np.zeros(2))
    >>> (rows @ made.weight.T + made.bias).argmax(1).tolist()
    [1, 1, 0, 0, 1, 1, 0, 0]
    """
    x = examples.features.astype(float)
    share = examples.weights / examples.weights.sum()
    mean = share @ x if with_bias else np.zeros(x.shape[1])
    spread = np.sqrt(share @ (x - mean) ** 2)
    spread = np.where(spread > 1e-6 * max(spread.max(), 1e-30), spread, 1.0)
    start = weight * spread, bias + weight @ mean
    rows = (x - mean) / spread
    ours = ~examples.held
    errors, spreads, made = [], [], start
    for strength in strengths:
        of = rows[ours], examples.classes[ours], examples.weights[ours]
        made = _fitted(*of, start, made, strength, with_bias)
        error, apart = _error(rows, examples, made)
        errors.append(error)
        spreads.append(apart)
    best = int(np.argmin(errors))
    chosen = int(np.argmax(np.array(errors) <= errors[best] + spreads[best]))
    strength = strengths[chosen]
    whole = rows, examples.classes, examples.weights
    scaled, shift = _fitted(*whole, start, start, strength, with_bias)
    new = scaled / spread
    return Refitted(new, shift - new @ mean, strength, tuple(errors))


def _fitted(
    rows: np.ndarray,
    classes: np.ndarray,
    weights: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    begin: tuple[np.ndarray, np.ndarray],
    strength: float,
    with_bias: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias on standardised features, held to those of ``start``."""
    share = (weights / weights.sum())[:, None]
    shape, at = start[0].shape, start[0].size
    hit = np.zeros((len(rows), shape[0]))
    hit[np.arange(len(rows)), classes] = 1
    old = np.concatenate([start[0].ravel(), start[1]])

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = values[:at].reshape(shape), values[at:]
        logs = log_softmax(rows @ w.T + b, 1)
        error = (np.exp(logs) - hit) * share
        away = values - old
        slope = np.concatenate([(error.T @ rows).ravel(), error.sum(0) * with_bias])
        value = -float((share * hit * logs).sum()) + strength / 2 * float(away @ away)
        return value, slope + strength * away

    first = np.concatenate([begin[0].ravel(), begin[1]])
    fitted = minimize(objective, first, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return fitted.x[:at].reshape(shape), fitted.x[at:]


def _error(
    rows: np.ndarray, examples: Examples, made: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Weighted share of the held examples that is misread, and its standard error."""
    held = examples.held
    wrong = (rows[held] @ made[0].T + made[1]).argmax(1) != examples.classes[held]
    share = examples.weights[held] / examples.weights[held].sum()
    error = float(share @ wrong)
    return error, float(np.sqrt((share**2) @ (wrong - error) ** 2))
