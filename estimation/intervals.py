"""How certain a mean over a few seeds is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def t_quantile(n: int) -> float:
    """The factor of the 95 % t interval of n values; NaN for a single one.

    >>> round(t_quantile(4), 3)
    3.182
    """
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975)) if n > 1 else math.nan


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
