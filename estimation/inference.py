"""What stands beside the published numbers: adjusted scores, parts of the variance, intervals.

Letters in shapes: W sets of pairs, F of the factors dynamic, static and different, C units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.factors import DIFFERENT, DYNAMIC, STATIC
from estimation.intervals import LEAST_VIDEOS, Interval
from estimation.moments import Moments

PARTS = ("static_only", "dynamic_only", "both", "neither")
# The factors that have a chance level, and those that the parts need.
ADJUSTED = (DYNAMIC, STATIC, DIFFERENT)
# Those that units are tested for, in the order of the p-values.
TESTED = (DYNAMIC, STATIC)
# Numbers no larger than this are no more than 0: where all videos agree, rounding is all there is.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Inference:
    """What the pairs of a stage say beside the published numbers, and how certain all of it is.

    n_videos: number of videos, or of groups of them.
    confidence: of the intervals.
    scores, shares: the published ones, [K] for K factors.
    unit_scores: the published ones, [K, C].
    factors: names of the F factors that have the numbers below: those with pairs.
    chance: chance level of the stage, [F].
    adjusted: adjusted scores of the stage, [F]; 0 is chance, 1 all of the variance.
    adjusted_units: of its units, [F, C].
    parts: shares of the variance in the order of `PARTS`, [4], which add up to 1; NaN where a
        factor has no pairs.
    part_units: of the units, [4, C].
    adjusted_range: smallest and largest adjusted score of the stage with one style left out,
        float64 [F, 2]; NaN for fewer than three styles, and where fewer than two can be left out.
    parts_range: of the parts, float64 [4, 2].
    p_units: p-values that the adjusted scores of units, dynamic and static, are not above chance,
        float64 [2, C].
    q_units: false discovery rates over the units (Benjamini and Hochberg), float64 [2, C].
    q_by_units: the same, for dependent units (Benjamini and Yekutieli).
    """

    n_videos: int
    confidence: float
    scores: Interval
    shares: Interval
    unit_scores: Interval
    factors: tuple[str, ...]
    chance: Interval
    adjusted: Interval
    adjusted_units: Interval
    parts: Interval
    part_units: Interval
    adjusted_range: np.ndarray
    parts_range: np.ndarray
    p_units: np.ndarray
    q_units: np.ndarray
    q_by_units: np.ndarray


@dataclass(frozen=True)
class Adjusted:
    """The adjusted numbers of W sets of pairs.

    chance: [W, F].
    adjusted: [W, F].
    adjusted_units: [W, F, C].
    parts: [W, 4].
    part_units: [W, 4, C].
    """

    chance: np.ndarray
    adjusted: np.ndarray
    adjusted_units: np.ndarray
    parts: np.ndarray
    part_units: np.ndarray


def adjusted_factors(factors: tuple[int, ...]) -> tuple[int, ...]:
    """Those of some factors that have a chance level."""
    return tuple(factor for factor in ADJUSTED if factor in factors)


def adjusted_numbers(moments: Mapping[int, Moments]) -> Adjusted:
    """Adjusted scores and parts from the moments of each factor's pairs.

    With D_f = covariance - chance and T the mean over the three factors of variance - chance:

        adjusted     = D_f / (variance_f - chance_f)
        both         = D_different / T
        dynamic only = (D_dynamic - D_different) / T
        static only  = (D_static - D_different) / T
        neither      = 1 - the three

    For a stage the sums over units are taken before dividing.
    """
    found = [moments[factor] for factor in adjusted_factors(tuple(moments))]
    chance = np.stack([m.chance for m in found], 1)  # [W, F, C]
    variance = np.stack([m.variance for m in found], 1)
    shared = np.stack([m.covariance for m in found], 1) - chance
    beyond = variance - chance
    return Adjusted(
        chance=chance.sum(-1) / variance.sum(-1),
        adjusted=shared.sum(-1) / beyond.sum(-1),
        adjusted_units=shared / beyond,
        parts=_parts(shared.sum(-1), beyond.sum(-1)),
        part_units=_parts(shared, beyond),
    )


def _parts(shared: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """The parts, [W, 4, ...], from what the pairs of the factors share, [W, F, ...], and could."""
    if shared.shape[1] < len(ADJUSTED):
        return np.full((len(shared), len(PARTS), *shared.shape[2:]), np.nan)
    whole = beyond.mean(1)
    dynamic, static, both = (shared[:, k] / whole for k in range(len(ADJUSTED)))
    only = [static - both, dynamic - both, both]
    return np.stack([*only, 1 - sum(only)], 1)


def p_values(adjusted: Interval, n_videos: int) -> np.ndarray:
    """One-sided p-values that numbers are not above 0, by the t test of their jackknife."""
    from scipy.special import stdtr

    if n_videos < LEAST_VIDEOS:
        return np.full(adjusted.value.shape, np.nan)
    return np.asarray(stdtr(n_videos - 1, (_ROUNDING - adjusted.corrected) / adjusted.se))


def false_discovery_rates(p: np.ndarray, method: str) -> np.ndarray:
    """Rates for the p-values of units, in rows; undefined ones stay so.

    method: "bh" (Benjamini and Hochberg 1995) or "by" (Benjamini and Yekutieli 2001).
    """
    rates = np.full(p.shape, np.nan)
    for row, values in zip(rates, p, strict=True):
        known = ~np.isnan(values)
        row[known] = _stepped_up(values[known], method)
    return rates


def _stepped_up(p: np.ndarray, method: str) -> np.ndarray:
    """The smallest rate at which each of n p-values would be among those found, [n]: the least of
    p(k) n / k, from the k-th smallest on; for "by" times 1 + 1/2 + ... + 1/n."""
    ranks = np.arange(1, len(p) + 1)
    order = np.argsort(p)
    scaled = p[order] * (len(p) / ranks) * ((1 / ranks).sum() if method == "by" else 1)
    rates = np.empty(len(p))
    rates[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(rates, 1)


def ends(numbers: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Smallest and largest of some numbers of a shape that are defined, [..., 2]; NaN for fewer
    than three numbers, and where fewer than two are defined: one alone shows no range."""
    if len(numbers) < 3:
        return np.full((*shape, 2), np.nan)
    stacked = np.stack(numbers)
    known = ~np.isnan(stacked)
    low = np.where(known, stacked, np.inf).min(0)
    high = np.where(known, stacked, -np.inf).max(0)
    return np.where((known.sum(0) > 1)[..., None], np.stack([low, high], -1), np.nan)
