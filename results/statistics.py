"""The estimates of a run as one table, which CSV files, screen and figures read.

A new statistic is its formula, and a line of `STATISTICS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.factors import FACTORS
from estimation.estimator import CLASSES, Estimate
from estimation.inference import PARTS, TESTED
from estimation.intervals import Interval

# What a number is about: a stage, a unit of it, or the classes of its units at a threshold.
LAYER, UNIT, CLASS = "layer", "unit", "class"
NAN = math.nan


@dataclass(frozen=True)
class Plot:
    """How a statistic is shown in figures: as a panel with stages along its x axis.

    kind: "lines", "bars" or "stacked", see `results.panels`; empty: not shown.
    label: of the y axis.
    reach: what the y axis shows at least.
    """

    kind: str = ""
    label: str = ""
    reach: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Statistic:
    """A statistic of a stage, in P parts: factors, or classes of units.

    name: its column in CSV files, with the part behind it unless parts are rows.
    level: `LAYER`, `UNIT` or `CLASS`.
    parts: their names, from an `Estimate`; at the level `CLASS` from `Classes`.
    values: numbers [P] (at the level `UNIT` [P, C]) from the same, an `Interval` where they have
        one.
    has_interval: whether they do.
    in_rows: whether its parts are rows of CSV files, as factors of a stage and classes are: it is
        one column then, empty in the rows of other parts.
    of_classes: whether the classes of units come from it; true of one statistic of units.
    head: on the screen, with the part in place of {}; not shown without one.
    form: of its numbers on the screen, as in format(); empty: with their intervals, and the digits
        that these leave.
    table: which table of the screen it stands in; empty for the first.
    plot: in figures.
    residual: whether the residual is shown on the screen and in figures.
    """

    name: str
    level: str
    parts: Callable[[Any], Sequence[str]]
    values: Callable[[Any], Any]
    has_interval: bool = False
    in_rows: bool = False
    of_classes: bool = False
    head: str = ""
    form: str = ""
    table: str = ""
    plot: Plot = Plot()
    residual: bool = True


def by_factor(estimate: Estimate) -> Sequence[str]:
    """A part per factor."""
    return estimate.factors


def by_scored_factor(estimate: Estimate) -> Sequence[str]:
    """A part per factor but the residual, whose scores are 1 by definition."""
    return [name for name in estimate.factors if name != "residual"]


def by_adjusted_factor(estimate: Estimate) -> Sequence[str]:
    """A part per factor that has adjusted scores, or could have."""
    return estimate.inference.factors if estimate.inference else ("dynamic", "static")


def by_tested_factor(_: Any) -> Sequence[str]:
    """A part per factor that units are tested for."""
    return [FACTORS[factor] for factor in TESTED]


def by_part(_: Any) -> Sequence[str]:
    """A part of the variance each."""
    return PARTS


def by_class(_: Any) -> Sequence[str]:
    """A part per class of units."""
    return CLASSES


def whole(_: Any) -> Sequence[str]:
    """One part without a name."""
    return ("",)


@dataclass(frozen=True)
class Classes:
    """The classes of the units of a stage at a threshold.

    units: unit indices of each.
    certain: whether the interval of each unit leaves no doubt of its class, bool [C]; None where
        there are no intervals.
    """

    units: Mapping[str, np.ndarray]
    certain: np.ndarray | None

    @property
    def counts(self) -> np.ndarray:
        """Units of each class, int [5]."""
        return np.array([len(indices) for indices in self.units.values()])

    @property
    def certain_counts(self) -> np.ndarray:
        """Units that are certain, of each class, [5]; NaN without intervals."""
        if self.certain is None:
            return np.full(len(self.units), np.nan)
        return np.array([self.certain[indices].sum() for indices in self.units.values()])


def _percent(counts: Callable[[Classes], np.ndarray]) -> Callable[[Classes], np.ndarray]:
    return lambda classes: 100 * counts(classes) / classes.counts.sum()


def _undecided(classes: Classes) -> np.ndarray:
    return np.array([classes.counts.sum() - classes.certain_counts.sum()])


def _unit_scores(estimate: Estimate) -> Interval:
    kept = [name != "residual" for name in estimate.factors]
    return _published("unit_scores")(estimate)[kept]


def _published(name: str, scale: float = 1.0) -> Callable[[Estimate], Interval]:
    """A published number with its interval, if there is one."""

    def values(estimate: Estimate) -> Interval:
        if estimate.inference:
            return getattr(estimate.inference, name).scaled(scale)
        return Interval.unknown(scale * getattr(estimate, name))

    return values


def _beside(name: str, parts: int, units: bool = False) -> Callable[[Estimate], Any]:
    """A number of `Inference`, undefined where that is missing."""

    def values(estimate: Estimate) -> Any:
        if estimate.inference:
            return getattr(estimate.inference, name)
        return np.full((parts, *[estimate.n_units] * units), np.nan)

    return values


def _end(name: str, parts: int, end: int) -> Callable[[Estimate], Any]:
    """The smallest (0) or the largest (1) number with one style left out."""
    return lambda e: getattr(e.inference, name)[:, end] if e.inference else np.full(parts, np.nan)


_SCORE = Plot("lines", "score", (0.0, 1.0))
_SHARE = Plot("bars", "share (%)")
_ADJUSTED = Plot("lines", "adjusted score", (0.0, 1.0))
_CLASSES = Plot("stacked", "units (%)", (0.0, 100.0))

# In the order of the columns: a new one goes to the end.
# fmt: off
STATISTICS = (
    Statistic("n_pairs", LAYER, by_factor, lambda e: e.n_pairs, in_rows=True),
    Statistic("score", LAYER, by_factor, _published("scores"), has_interval=True, in_rows=True,
              head="{} score", plot=_SCORE, residual=False),
    Statistic("share_percent", LAYER, by_factor, _published("shares", 100), has_interval=True,
              in_rows=True, head="{} %", form=".1f", plot=_SHARE),
    Statistic("dims", LAYER, by_factor, lambda e: e.dims, in_rows=True),
    Statistic("dims_percent", LAYER, by_factor, lambda e: e.dims_percent, in_rows=True),
    Statistic("n_units", LAYER, whole, lambda e: [e.n_units]),
    Statistic("n_videos", LAYER, whole, lambda e: [e.inference.n_videos if e.inference else NAN]),
    Statistic("confidence", LAYER, whole,
              lambda e: [e.inference.confidence if e.inference else NAN]),
    Statistic("chance", LAYER, by_adjusted_factor, _beside("chance", 2), has_interval=True,
              in_rows=True),
    Statistic("adjusted", LAYER, by_adjusted_factor, _beside("adjusted", 2), has_interval=True,
              in_rows=True, plot=_ADJUSTED),
    Statistic("adjusted_style_min", LAYER, by_adjusted_factor, _end("adjusted_range", 2, 0),
              in_rows=True),
    Statistic("adjusted_style_max", LAYER, by_adjusted_factor, _end("adjusted_range", 2, 1),
              in_rows=True),
    Statistic("part", LAYER, by_part, _beside("parts", 4), has_interval=True, head="{}",
              table="parts"),
    Statistic("part_style_min", LAYER, by_part, _end("parts_range", 4, 0)),
    Statistic("part_style_max", LAYER, by_part, _end("parts_range", 4, 1)),
    Statistic("score", UNIT, by_scored_factor, _unit_scores, has_interval=True, of_classes=True),
    Statistic("adjusted", UNIT, by_adjusted_factor, _beside("adjusted_units", 2, True),
              has_interval=True),
    Statistic("part", UNIT, by_part, _beside("part_units", 4, True), has_interval=True),
    Statistic("p", UNIT, by_tested_factor, _beside("p_units", 2, True)),
    Statistic("q_bh", UNIT, by_tested_factor, _beside("q_units", 2, True)),
    Statistic("q_by", UNIT, by_tested_factor, _beside("q_by_units", 2, True)),
    Statistic("units", CLASS, by_class, lambda c: c.counts, in_rows=True),
    Statistic("percent", CLASS, by_class, _percent(lambda c: c.counts), in_rows=True,
              head="{} %", form=".1f", plot=_CLASSES),
    Statistic("certain", CLASS, by_class, lambda c: c.certain_counts, in_rows=True),
    Statistic("certain_percent", CLASS, by_class, _percent(lambda c: c.certain_counts),
              in_rows=True),
    Statistic("undecided", CLASS, whole, _undecided),
    Statistic("undecided_percent", CLASS, whole, _percent(_undecided), head="undecided %",
              form=".1f"),
)
# fmt: on
