"""First and second moments of the pairs of one factor, mergeable and safe against large means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np


@dataclass(frozen=True)
class PairMoments:
    """Moments of pairs (a, b), per unit; every array is float64 [C].

    n: number of pairs.
    mean_a: mean of the first members.
    mean_b: mean of the second members.
    ss_a: sum of squared deviations of the first members from their mean.
    ss_b: sum of squared deviations of the second members from their mean.
    ss_ab: sum of products of both deviations.
    low: smallest value of either member.
    high: largest value of either member; equal to `low` for a constant unit, exactly, whatever
        rounding does to its mean.
    """

    n: int
    mean_a: np.ndarray
    mean_b: np.ndarray
    ss_a: np.ndarray
    ss_b: np.ndarray
    ss_ab: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(a: np.ndarray, b: np.ndarray) -> PairMoments:
        """Moments of the pairs in a, b [N, C], N at least 1, in two passes over float64 copies.

        >>> m = PairMoments.of(np.array([[1.0], [3.0]]), np.array([[2.0], [4.0]]))
        >>> m.n, m.mean_a, m.mean_b, m.ss_ab
        (2, array([2.]), array([3.]), array([2.]))
        """
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        mean_a, mean_b = a.mean(0), b.mean(0)
        da, db = a - mean_a, b - mean_b  # [N, C]
        return PairMoments(
            n=len(a),
            mean_a=mean_a,
            mean_b=mean_b,
            ss_a=np.einsum("nc,nc->c", da, da),
            ss_b=np.einsum("nc,nc->c", db, db),
            ss_ab=np.einsum("nc,nc->c", da, db),
            low=np.minimum(a.min(0), b.min(0)),
            high=np.maximum(a.max(0), b.max(0)),
        )

    def merge(self, other: PairMoments) -> PairMoments:
        """Moments of the pairs of both (Chan, Golub and LeVeque 1983, eq. 2.1).

        >>> a, b = np.arange(6.0).reshape(6, 1), np.arange(6.0)[::-1].reshape(6, 1)
        >>> parts = PairMoments.of(a[:2], b[:2]).merge(PairMoments.of(a[2:], b[2:]))
        >>> parts.ss_ab == PairMoments.of(a, b).ss_ab
        array([ True])
        """
        n = self.n + other.n
        delta_a, delta_b = other.mean_a - self.mean_a, other.mean_b - self.mean_b
        weight = self.n * other.n / n
        return PairMoments(
            n=n,
            mean_a=self.mean_a + delta_a * (other.n / n),
            mean_b=self.mean_b + delta_b * (other.n / n),
            ss_a=self.ss_a + other.ss_a + weight * delta_a * delta_a,
            ss_b=self.ss_b + other.ss_b + weight * delta_b * delta_b,
            ss_ab=self.ss_ab + other.ss_ab + weight * delta_a * delta_b,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
        )

    @staticmethod
    def merged(parts: Iterable[PairMoments]) -> PairMoments:
        """All parts merged from left to right; at least one."""
        return reduce(PairMoments.merge, parts)

    @property
    def constant(self) -> np.ndarray:
        """Units that take a single value on all clips of these pairs, bool [C]."""
        return self.low == self.high

    @property
    def mean(self) -> np.ndarray:
        """Mean over both members, [C]."""
        return (self.mean_a + self.mean_b) / 2

    @property
    def covariance(self) -> np.ndarray:
        """mean((a - m)(b - m)) about the common mean m, [C]; 0 for a constant unit."""
        half = (self.mean_a - self.mean_b) / 2
        return np.where(self.constant, 0.0, self.ss_ab / self.n - half * half)

    @property
    def variance(self) -> np.ndarray:
        """Variance of all 2n values about their common mean (division by 2n), [C]."""
        half = (self.mean_a - self.mean_b) / 2
        own = (self.ss_a + self.ss_b) / (2 * self.n)
        return np.where(self.constant, 0.0, own + half * half)


def total_variance(factors: Iterable[PairMoments]) -> float:
    """Sum over units of the variance of all values of all factors, about their grand mean.

    >>> one = PairMoments.of(np.array([[0.0], [2.0]]), np.array([[0.0], [2.0]]))
    >>> total_variance([one, one])
    1.0
    """
    parts = list(factors)
    n = sum(part.n for part in parts)
    base = parts[0].mean
    grand = base + sum(part.n * (part.mean - base) for part in parts) / n
    spread = sum(part.n * (part.variance + (part.mean - grand) ** 2) for part in parts) / n
    low, high = np.min([p.low for p in parts], axis=0), np.max([p.high for p in parts], axis=0)
    return float(np.where(low == high, 0.0, spread).sum())
