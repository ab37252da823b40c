"""How certain numbers are: jackknife intervals over videos, and means over a few seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

# With fewer videos there are no intervals.
LEAST_VIDEOS = 3
# With fewer videos they may cover less often than they say.
FEW_VIDEOS = 8


@dataclass(frozen=True)
class Interval:
    """Numbers with their intervals; float64 arrays of one shape, NaN where undefined.

    value: as estimated from all videos.
    corrected: the same without its bias, as the jackknife estimates it.
    se: standard error.
    lo, hi: ends of the interval, which lies about `corrected`.
    """

    value: np.ndarray
    corrected: np.ndarray
    se: np.ndarray
    lo: np.ndarray
    hi: np.ndarray

    @classmethod
    def unknown(cls, value: np.ndarray) -> Interval:
        """Numbers of which no more is known."""
        none = np.full(value.shape, np.nan)
        return cls(value, none, none, none, none)

    def __getitem__(self, places: Any) -> Interval:
        """Some of the numbers."""
        return Interval(*(getattr(self, field.name)[places] for field in fields(self)))

    def scaled(self, factor: float) -> Interval:
        """The numbers in another unit."""
        return Interval(*(factor * getattr(self, field.name) for field in fields(self)))


class Jackknife:
    """Numbers with each video left out in turn, of which only sums are kept.

    Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982, chapters 2 and 3.
    """

    def __init__(self, value: np.ndarray):
        """Nothing left out yet of numbers of any shape."""
        self.value = np.asarray(value, dtype=np.float64)
        self._sum, self._squares = np.zeros((2, *self.value.shape))
        self._n = 0

    def add(self, replicates: np.ndarray) -> None:
        """Numbers without each of W videos, [W, ...]."""
        difference = replicates - self.value
        self._sum += difference.sum(0)
        self._squares += np.square(difference).sum(0)
        self._n += len(replicates)

    def interval(self, confidence: float) -> Interval:
        """The numbers with their intervals: corrected -/+ t * standard error, with Student's t of
        one degree of freedom less than videos; NaN for fewer than three videos."""
        n = self._n
        if n < LEAST_VIDEOS:
            return Interval.unknown(self.value)
        corrected = self.value - (n - 1) * (self._sum / n)
        spread = np.maximum(self._squares - self._sum**2 / n, 0)
        se = np.sqrt((n - 1) / n * spread)
        half = t_quantile(n, confidence) * se
        return Interval(self.value, corrected, se, corrected - half, corrected + half)


@dataclass(frozen=True)
class Mean:
    """A mean with two half widths of its 95 % interval.

    mean: over the values.
    normal: 1.96 * standard deviation (ddof 0) / sqrt(n), as the study's code has it
        (misc/mean_var_analysis.py); too narrow for a few values.
    t: t quantile of n - 1 degrees of freedom * standard deviation (ddof 1) / sqrt(n), which holds
        for few values from a normal distribution; NaN for a single value.
    n: number of values.
    """

    mean: float
    normal: float
    t: float
    n: int


def t_quantile(n: int, confidence: float = 0.95) -> float:
    """The factor of the t interval of n values; NaN for a single one.

    >>> round(t_quantile(4), 3)
    3.182
    """
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + confidence) / 2)) if n > 1 else math.nan


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of at least one value, and its half widths.

    >>> mean = mean_of([1.0, 3.0])
    >>> round(mean.mean, 3), round(mean.normal, 3), round(mean.t, 3)
    (2.0, 1.386, 12.706)
    """
    n = len(values)
    normal = 1.96 * np.std(values) / np.sqrt(n)
    t = t_quantile(n) * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else math.nan
    return Mean(float(np.mean(values)), float(normal), float(t), n)
