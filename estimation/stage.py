"""The estimate of a stage: features of its clips and a design of pairs in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.factors import DIFFERENT, FACTORS, factor_names
from estimation.design import Design
from estimation.estimator import Estimate, Scores, published_scores, units_of_factors
from estimation.inference import (
    PARTS,
    TESTED,
    Inference,
    adjusted_factors,
    adjusted_numbers,
    ends,
    false_discovery_rates,
    p_values,
)
from estimation.intervals import LEAST_VIDEOS, Jackknife
from estimation.moments import Moments, Totals
from estimation.sums import Features, Read, Selection
from utils import DataError


@dataclass(frozen=True)
class Rules:
    """How a stage is estimated.

    n_factors: number of factors, including the residual.
    residual_index: id of the residual factor, -1 for none.
    confidence: of the intervals, between 0 and 1.
    """

    n_factors: int = 3
    residual_index: int = 2
    confidence: float = 0.95


# Styles that are left out in one reading of the features: each takes memory of its own.
_AT_ONCE = 6
# As in the study.
USUAL = Rules()


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # undefined numbers are NaN
def estimate_stage(read: Read, design: Design, rules: Rules = USUAL) -> Estimate:
    """The estimate of one stage from its features, which are read in chunks.

    read: rows, int64 [n], to features [n, C].
    design: pairs of rows. Different pairs at the residual index enter the parts alone where videos
        are known; else they enter the total variance, as pairs labelled with that index do.

    Raises DataError if a factor other than the residual has fewer than two pairs, if a factor id
    is out of range, or if every unit is constant.

    >>> x = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0]])
    >>> rows = np.arange(4)
    >>> pairs = Design.of(np.tile(rows, 2), np.append(rows, rows[::-1]), np.repeat([0, 1], 4))
    >>> found = estimate_stage(x.__getitem__, pairs)
    >>> found.scores
    array([ 1., -1.,  1.])
    >>> found.unit_scores[1]
    array([-1., -1.])
    """
    names = factor_names(rules.n_factors, rules.residual_index)
    _check_factors(design, names, rules)
    stage = _Stage(read, design.by_video(), rules)
    published = stage.published
    variance = float(published.total_variance[0])
    if not np.isfinite(variance):
        raise DataError("the features are too large: their variance overflows float64")
    if variance == 0:
        raise DataError(
            "every unit is constant over all clips, so there is no score: is the network dead, "
            "or are all clips the same?"
        )
    n_units = published.units.shape[-1]
    dims = units_of_factors(published.shares[0], n_units)
    return Estimate(
        factors=names,
        scores=published.scores[0],
        shares=published.shares[0],
        dims=dims,
        dims_percent=tuple(round(100 * (d / n_units), 1) for d in dims),
        unit_scores=published.units[0],
        n_pairs=tuple(_scored_pairs(f, design, rules) for f in range(rules.n_factors)),
        total_variance=variance,
        inference=stage.inference() if design.is_known else None,
    )


def readings(design: Design) -> int:
    """How often the features of a stage are read: for some of the styles that are left out at a
    time, and once more where there are intervals."""
    return math.ceil(len(_left_out(design)) / _AT_ONCE) + _has_intervals(design)


def _has_intervals(design: Design) -> bool:
    return design.is_known and design.n_videos >= LEAST_VIDEOS


def _left_out(design: Design) -> list[int | None]:
    """The styles that are left out in turn, after None for all pairs."""
    return [None, *(range(design.n_styles) if design.is_known and design.n_styles > 2 else ())]


def _check_factors(design: Design, names: Sequence[str], rules: Rules) -> None:
    for factor in design.factors:
        if not 0 <= factor < len(names) and not _for_parts_alone(factor, design, rules):
            raise DataError(
                f"factor {factor} is out of range: expected 0..{len(names) - 1} for "
                f"{len(names)} factors (`n_factors`)"
            )
    for factor, name in enumerate(names):
        found = int((design.factor == factor).sum())
        if factor != rules.residual_index and found < 2:
            raise DataError(
                f"factor {factor} ({name}) has {found} pairs, at least 2 are needed: give pairs "
                "for it, or other values of `n_factors` and `residual_index`"
            )


def _for_parts_alone(factor: int, design: Design, rules: Rules) -> bool:
    """Whether pairs of a factor are no part of the published numbers."""
    scored = factor < rules.n_factors and factor != rules.residual_index
    return factor == DIFFERENT and design.is_known and not scored


def _scored_pairs(factor: int, design: Design, rules: Rules) -> int:
    """The number of a factor's pairs that are part of the published numbers."""
    own = 0 if _for_parts_alone(factor, design, rules) else (design.factor == factor).sum()
    return int(own)


class _Stage:
    """Numbers of a stage, from a few readings of its features (see `readings`)."""

    def __init__(self, read: Read, design: Design, rules: Rules):
        self.design, self.rules = design, rules
        self.features = Features.of(read, design)
        totals = self._totals(_left_out(design))
        self.totals = next(totals)
        self.moments = _moments(self.totals)
        self.left_out = [adjusted_numbers(_moments(left)) for left in totals]
        self.published = self._published(self.moments)

    def _totals(self, left_out: Sequence[int | None]) -> Iterator[dict[int, Totals]]:
        """The sums over the pairs that do not show a style, for each of some; None for all."""
        for i in range(0, len(left_out), _AT_ONCE):
            selections = [Selection.of(self.design, style) for style in left_out[i : i + _AT_ONCE]]
            units = len(self.features.reference)
            found = [
                {
                    f: Totals(m if self.design.is_known else None, units)
                    for f, m in s.members.items()
                }
                for s in selections
            ]
            for videos, sums in self.features.sums(self.design, selections, extremes=True):
                for totals, by_factor in zip(found, sums, strict=True):
                    for factor, own in by_factor.items():
                        totals[factor].add(videos, own)
            yield from found

    def _published(self, moments: Mapping[int, Moments]) -> Scores:
        kept = [f for f in moments if not _for_parts_alone(f, self.design, self.rules)]
        sums = [self.totals[f].sums for f in kept]
        low = np.min([s.low for s in sums if s], axis=0)
        high = np.max([s.high for s in sums if s], axis=0)
        return published_scores(
            {f: moments[f] for f in kept},
            self.rules.n_factors,
            self.rules.residual_index,
            low == high,
        )

    def inference(self) -> Inference:
        """What stands beside the published numbers."""
        found = {name: Jackknife(x[0]) for name, x in self._numbers(self.moments).items()}
        if _has_intervals(self.design):
            for name, replicates in self._replicates():
                found[name].add(replicates)
        intervals = {name: x.interval(self.rules.confidence) for name, x in found.items()}
        factors = adjusted_factors(self.design.factors)
        scored = [factors.index(factor) for factor in TESTED]
        p = p_values(intervals["adjusted_units"], self.design.n_videos)[scored]
        return Inference(
            n_videos=self.design.n_videos,
            confidence=self.rules.confidence,
            factors=tuple(FACTORS[f] for f in factors),
            **intervals,
            adjusted_range=ends([r.adjusted[0] for r in self.left_out], (len(factors),)),
            parts_range=ends([r.parts[0] for r in self.left_out], (len(PARTS),)),
            p_units=p,
            q_units=false_discovery_rates(p, "bh"),
            q_by_units=false_discovery_rates(p, "by"),
        )

    def _replicates(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every number without each video of a range, range by range."""
        for videos, (sums,) in self.features.sums(self.design, [Selection.of(self.design)]):
            left = {f: self.totals[f].moments_without(videos, own) for f, own in sums.items()}
            yield from self._numbers(left).items()

    def _numbers(self, moments: Mapping[int, Moments]) -> dict[str, np.ndarray]:
        """All numbers that have intervals, by their names in `Inference`, [W, ...] each."""
        published, adjusted = self._published(moments), adjusted_numbers(moments)
        return {
            "scores": published.scores,
            "shares": published.shares,
            "unit_scores": published.units,
            **vars(adjusted),
        }


def _moments(totals: Mapping[int, Totals]) -> dict[int, Moments]:
    return {factor: total.moments() for factor, total in totals.items()}
