"""First and second moments of the pairs of one factor, with all videos and without each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimation.chance import Chance
from estimation.design import Members
from estimation.sums import Sums

# Of a unit's variance: what is left of it where rounding is all that is left.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Moments:
    """Moments of the pairs of a factor, for W sets of pairs; float64 [W, C], per unit.

    n: number of pairs, [W, 1].
    mean: over both members, about a reference that all factors have in common.
    covariance: mean((a - m)(b - m)) about the common mean m; 0 for a constant unit.
    variance: of all 2n values about their common mean (division by 2n).
    chance: mean((a - m)(b - m)) of members of different videos and styles; NaN where there are
        none, or where videos are not known.
    """

    n: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    variance: np.ndarray
    chance: np.ndarray

    @property
    def unit_scores(self) -> np.ndarray:
        """Covariance over variance, [W, C]; NaN for a unit that is constant over a set of pairs.

        Rounding takes no score out of [-1, 1].
        """
        return np.clip(self.covariance / self.variance, -1, 1)


class Totals:
    """The sums over all pairs of a factor: what moments are made from.

    sums: over all videos, W = 1; None as long as there are none.
    """

    def __init__(self, members: tuple[Members, Members] | None, units: int):
        """Nothing yet; members are those of all pairs by role, where videos are known."""
        self.sums: Sums | None = None
        self._chance = Chance(members, units) if members else None

    def add(self, videos: slice, sums: Sums) -> None:
        """Add the sums of a range of videos."""
        if self._chance:
            self._chance.add(videos, sums)
        self.sums = sums.over_videos if self.sums is None else self.sums + sums.over_videos

    @property
    def constant(self) -> np.ndarray:
        """Units that take a single value on all clips of these pairs, bool [C]."""
        assert self.sums
        return self.sums.low == self.sums.high

    def moments(self) -> Moments:
        """Those of all pairs, W = 1."""
        assert self.sums
        found = _moments(_columns(self.sums), self._least(0.0))
        if not self._chance:
            return found
        return _with_chance(found, self._chance.of_all(found.mean))

    def moments_without(self, videos: slice, sums: Sums) -> Moments:
        """Those without each video of a range, whose sums are given."""
        assert self.sums
        assert self._chance
        every = _columns(self.sums)
        left = [x - y for x, y in zip(every, _columns(sums), strict=True)]
        # Without a video that alone moved a unit, what is left of its variance is rounding.
        found = _moments(left, self._least(_ROUNDING))
        return _with_chance(found, self._chance.without(videos, sums, found.mean))

    def _least(self, share: float) -> np.ndarray:
        """The variance that a unit has no more than if it is constant, [C]: a share of its mean
        square, and any for one that is."""
        assert self.sums
        found = share * self.sums.squares[0] / (2 * self.sums.n[0])
        return np.where(self.constant, np.inf, found)


def _columns(sums: Sums) -> tuple[np.ndarray, ...]:
    return sums.n, sums.squares, sums.products, sums.total


def _moments(columns: Sequence[np.ndarray], least: np.ndarray) -> Moments:
    """Moments from sums; a unit whose variance is not above the least one has none."""
    n, squares, products, total = columns
    mean = total / (2 * n)
    variance = squares / (2 * n) - mean**2
    covariance = products / n - mean**2
    still = variance <= least
    return Moments(
        n=n,
        mean=mean,
        covariance=np.where(still, 0.0, covariance),
        variance=np.where(still, 0.0, variance),
        chance=np.full_like(variance, np.nan),
    )


def _with_chance(moments: Moments, chance: np.ndarray) -> Moments:
    still = (moments.variance == 0) & np.isfinite(chance)
    return replace(moments, chance=np.where(still, 0.0, chance))


def total_variance(factors: Iterable[Moments], constant: np.ndarray) -> np.ndarray:
    """Sum over units of the variance of all values of all factors about their grand mean, [W].

    constant: units that take one value in all of them, bool [C].
    """
    parts = list(factors)
    n = sum(part.n for part in parts)

    def mean(of: Callable[[Moments], np.ndarray]) -> np.ndarray:
        return np.asarray(sum(np.where(p.n > 0, p.n * of(p), 0.0) for p in parts) / n)

    grand = mean(lambda part: part.mean)
    spread = mean(lambda part: part.variance + (part.mean - grand) ** 2)
    return np.asarray(np.where(constant, 0.0, spread).sum(-1))
