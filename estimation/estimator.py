"""Static and dynamic scores of a stage from the moments of its pairs.

Kowal et al., "A Deeper Dive Into What Deep Spatiotemporal Networks Encode", CVPR 2022, section 3;
the layerwise part goes back to Esser et al., "A Disentangling Invertible Interpretation Network",
CVPR 2020. Arrays in, arrays out, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.factors import DYNAMIC, STATIC, factor_names
from estimation.moments import PairMoments, total_variance
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
    """

    factors: tuple[str, ...]
    scores: np.ndarray
    shares: np.ndarray
    dims: tuple[int, ...]
    dims_percent: tuple[float, ...]
    unit_scores: np.ndarray
    n_pairs: tuple[int, ...]
    total_variance: float

    @property
    def n_units(self) -> int:
        """Number of units C."""
        return self.unit_scores.shape[1]


def softmax(scores: np.ndarray) -> np.ndarray:
    """exp(s) / sum(exp(s)), with the largest score subtracted first.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    e = np.exp(scores - np.max(scores))
    return e / e.sum()


def estimate(
    moments: Mapping[int, PairMoments], *, n_factors: int = 3, residual_index: int = 2
) -> Estimate:
    """The estimate of one stage from the moments of each factor's pairs.

    For factor f with members a, b and common mean m, per unit u, sums over all units:

        score_f   = sum_u mean((a - m)(b - m)) / sum_u Var(all clips of all factors)
        unit_f[u] = mean((a - m)(b - m)) / Var(concat(a, b))

    `moments` may hold pairs labelled with the residual index: they enter the total variance.

    Raises DataError if a factor other than the residual has fewer than two pairs, if a factor id
    is out of range, or if every unit is constant.

    >>> a = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0]])
    >>> dynamic, static = PairMoments.of(a, a), PairMoments.of(a, a[::-1])
    >>> result = estimate({0: dynamic, 1: static})
    >>> result.scores
    array([ 1., -1.,  1.])
    >>> result.unit_scores[1]
    array([-1., -1.])
    """
    names = factor_names(n_factors, residual_index)
    _check_factors(moments, names, residual_index)
    variance = total_variance(moments.values())
    if not np.isfinite(variance):
        raise DataError("the features are too large: their variance overflows float64")
    if variance == 0:
        raise DataError(
            "every unit is constant over all clips, so there is no score: is the network dead, "
            "or are all clips the same?"
        )
    n_units = len(next(iter(moments.values())).low)
    scores = np.ones(n_factors)
    unit_scores = np.ones((n_factors, n_units))
    for factor in range(n_factors):
        if factor != residual_index:
            part = moments[factor]
            scores[factor] = part.covariance.sum() / variance
            defined = np.where(part.constant, np.nan, part.variance)
            unit_scores[factor] = part.covariance / defined
    shares = softmax(scores)
    dims = [int(share * n_units) for share in shares[:-1]]
    dims.append(n_units - sum(dims))
    return Estimate(
        factors=names,
        scores=scores,
        shares=shares,
        dims=tuple(dims),
        dims_percent=tuple(round(100 * (d / n_units), 1) for d in dims),
        unit_scores=unit_scores,
        n_pairs=tuple(moments[f].n if f in moments else 0 for f in range(n_factors)),
        total_variance=variance,
    )


def _check_factors(moments: Mapping[int, PairMoments], names: tuple, residual_index: int) -> None:
    for factor in moments:
        if not 0 <= factor < len(names):
            raise DataError(
                f"factor {factor} is out of range: expected 0..{len(names) - 1} for "
                f"{len(names)} factors (`n_factors`)"
            )
    for factor, name in enumerate(names):
        found = moments[factor].n if factor in moments else 0
        if factor != residual_index and found < 2:
            raise DataError(
                f"factor {factor} ({name}) has {found} pairs, at least 2 are needed: give pairs "
                "for it, or other values of `n_factors` and `residual_index`"
            )


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
