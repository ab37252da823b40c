"""The published scores of a stage from the moments of its pairs.

Kowal et al., "A Deeper Dive Into What Deep Spatiotemporal Networks Encode", CVPR 2022, section 3;
the layerwise part goes back to Esser et al., "A Disentangling Invertible Interpretation Network",
CVPR 2020. Arrays in, arrays out, in float64. Letters in shapes: W sets of pairs, K factors, C
units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.factors import DYNAMIC, STATIC
from estimation.inference import Inference
from estimation.moments import Moments, total_variance
from utils import DataError

CLASSES = ("dynamic", "static", "joint", "residual", "dead")


@dataclass(frozen=True)
class Estimate:
    """What a stage of C units encodes, by factor (K of them, in order of their ids).

    factors: their names.
    scores: float64 [K], summed covariance over total variance; 1 at the residual index. At most
        about 1, not bounded (a factor's pairs may vary more than all pairs do), can be negative.
    shares: float64 [K], softmax of the scores, sums to 1.
    dims: units per factor, int(share * C), the last factor takes the remainder.
    dims_percent: 100 * dims / C, rounded to one decimal.
    unit_scores: float64 [K, C] in [-1, 1]; NaN where a unit is constant within the factor.
    n_pairs: pairs seen per factor id.
    total_variance: summed over units, over all clips of all pairs.
    inference: what stands beside these; None where videos and styles of pairs are not known.
    """

    factors: tuple[str, ...]
    scores: np.ndarray
    shares: np.ndarray
    dims: tuple[int, ...]
    dims_percent: tuple[float, ...]
    unit_scores: np.ndarray
    n_pairs: tuple[int, ...]
    total_variance: float
    inference: Inference | None = None

    @property
    def n_units(self) -> int:
        """Number of units C."""
        return self.unit_scores.shape[1]


def softmax(scores: np.ndarray) -> np.ndarray:
    """exp(s) / sum(exp(s)) along the last axis, with the largest score subtracted first.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


@dataclass(frozen=True)
class Scores:
    """The published numbers of W sets of pairs.

    scores: float64 [W, K].
    shares: float64 [W, K].
    units: float64 [W, K, C].
    total_variance: float64 [W].
    """

    scores: np.ndarray
    shares: np.ndarray
    units: np.ndarray
    total_variance: np.ndarray


def published_scores(
    moments: Mapping[int, Moments], n_factors: int, residual_index: int, constant: np.ndarray
) -> Scores:
    """Scores from the moments of the pairs of each factor.

    For factor f with members a, b and common mean m, per unit u, sums over all units:

        score_f   = sum_u mean((a - m)(b - m)) / sum_u Var(all clips of all factors)
        unit_f[u] = mean((a - m)(b - m)) / Var(concat(a, b))

    moments: of all factors but the residual; pairs labelled with its index enter the total
        variance.
    constant: units that take one value in all of them, bool [C].
    """
    variance = total_variance(moments.values(), constant)
    n_sets, n_units = next(iter(moments.values())).covariance.shape
    scores, units = np.ones((n_sets, n_factors)), np.ones((n_sets, n_factors, n_units))
    for factor in range(n_factors):
        if factor != residual_index:
            scores[:, factor] = moments[factor].covariance.sum(-1) / variance
            units[:, factor] = moments[factor].unit_scores
    return Scores(scores, softmax(scores), units, variance)


def units_of_factors(shares: np.ndarray, n_units: int) -> tuple[int, ...]:
    """Units per factor: int(share * C), the last one takes the remainder.

    >>> units_of_factors(np.array([0.31, 0.29, 0.40]), 10)
    (3, 2, 5)
    """
    dims = [int(share * n_units) for share in shares[:-1]]
    return (*dims, n_units - sum(dims))


def joint_encoding(unit_scores: np.ndarray, threshold: float = 0.5) -> dict[str, np.ndarray]:
    """Unit indices of each class at a threshold; every unit is in exactly one.

    A unit is dynamic if only its dynamic score is above the threshold, static if only its static
    score is, joint if both are, residual if neither: a score equal to the threshold is not above
    it. A unit whose dynamic or static score is undefined (constant within the factor) is dead.

    >>> scores = np.array([[0.9, 0.1, 0.8, 0.5, np.nan], [0.2, 0.7, 0.6, 0.5, 0.9]])
    >>> {name: units.tolist() for name, units in joint_encoding(scores, 0.5).items()}
    {'dynamic': [0], 'static': [1], 'joint': [2], 'residual': [3], 'dead': [4]}
    """
    dynamic, static = unit_scores[DYNAMIC] > threshold, unit_scores[STATIC] > threshold
    dead = np.isnan(unit_scores[[DYNAMIC, STATIC]]).any(0)
    masks = (dynamic & ~static, static & ~dynamic, dynamic & static, ~dynamic & ~static)
    units = [np.flatnonzero(mask & ~dead) for mask in masks]
    return dict(zip(CLASSES, [*units, np.flatnonzero(dead)], strict=True))


def certain_units(
    value: np.ndarray, lo: np.ndarray, hi: np.ndarray, threshold: float
) -> np.ndarray:
    """Which units have a class that their intervals do not leave in doubt, bool [C].

    value, lo, hi: dynamic and static scores of the units and their intervals, [2, C]. Each interval
    must lie on the side of the threshold that its score is on. Dead units are certain.

    >>> value = np.array([[0.9, 0.6], [0.1, 0.1]])
    >>> certain_units(value, value - 0.2, value + 0.2, 0.5)
    array([ True, False])
    """
    sides = np.where(value > threshold, lo > threshold, hi <= threshold)
    return np.asarray(sides.all(0) | np.isnan(value).any(0))


def require_finite(values: np.ndarray, stage: str, clips: list[str]) -> None:
    """Raise DataError with stage, unit and clip at the first NaN or inf in values [N, C].

    >>> require_finite(np.array([[0.0, np.inf]]), "5", ["video 7"])
    Traceback (most recent call last):
        ...
    utils.DataError: stage 5, unit 1, clip video 7: the feature is inf (1 of 2 values not finite)
    """
    finite = np.isfinite(values)
    if not finite.all():
        row, unit = np.argwhere(~finite)[0]
        raise DataError(
            f"stage {stage}, unit {unit}, clip {clips[row]}: the feature is {values[row, unit]} "
            f"({np.count_nonzero(~finite)} of {values.size} values not finite)"
        )
