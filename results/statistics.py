"""The estimates of a run as one table, which CSV files, screen and figures read.

A new statistic is its formula, and a line of `STATISTICS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from common.factors import DYNAMIC, FACTORS, STATIC
from estimation.estimator import CLASSES, Estimate, certain_units, joint_encoding
from estimation.inference import PARTS, Inference
from estimation.intervals import FEW_VIDEOS, LEAST_VIDEOS, Interval
from utils import counted

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
    return ("dynamic", "static")


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


@dataclass(frozen=True)
class Block:
    """The numbers of a statistic at a stage.

    statistic: what the numbers are.
    stage: that they are about.
    parts: the names of the P parts.
    value: float64 or int64 [P], or [P, C] at the level `UNIT`; NaN where undefined.
    lo: lower ends of the intervals, like `value`; NaN where there are none.
    hi: upper ends, in the same way.
    corrected: the values without the bias of few videos, in the same way.
    threshold: of the classes, at the level `CLASS`.
    """

    statistic: Statistic
    stage: str
    parts: tuple[str, ...]
    value: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    corrected: np.ndarray
    threshold: float | None = None

    @classmethod
    def of(
        cls, statistic: Statistic, stage: str, source: Any, threshold: float | None = None
    ) -> Block:
        """The block of a statistic, from what it is computed from."""
        found = statistic.values(source)
        known = found if isinstance(found, Interval) else Interval.unknown(np.asarray(found))
        numbers = (known.value, known.lo, known.hi, known.corrected)
        return cls(statistic, stage, tuple(statistic.parts(source)), *numbers, threshold)

    def part(self, name: str) -> np.ndarray:
        """The value of a part, [] or [C]."""
        return self.value[self.parts.index(name)]

    @property
    def shown(self) -> list[int]:
        """The positions of the parts that screen and figures show."""
        keep = self.statistic.residual
        return [k for k, part in enumerate(self.parts) if keep or part != "residual"]


@dataclass(frozen=True)
class Results:
    """The estimates of one network on one data set, stage by stage.

    model: what the network is called.
    pathway: of a two-pathway network, else empty.
    dataset: name of the data set.
    weights: "random" or the start of the checkpoint's SHA-256.
    estimates: by stage, in order.
    thresholds: of joint encoding; the first one is that of figures.
    chains: the stages in the order of figures; a line joins those of a chain. By default a chain is
        a stream ("layer3,app_stream").
    """

    model: str
    pathway: str
    dataset: str
    weights: str
    estimates: Mapping[str, Estimate]
    thresholds: Sequence[float]
    chains: Sequence[Sequence[str]] = ()

    @property
    def title(self) -> str:
        """Network and data set in a few words, untrained ones marked."""
        untrained = " (random weights)" if self.weights == "random" else ""
        pathway = f" ({self.pathway})" if self.pathway else ""
        return f"{_display_name(self.model)}{pathway}{untrained} on {self.dataset}"

    @property
    def inference(self) -> Inference | None:
        """Of the first stage: videos and confidence are those of all."""
        (first, *_) = self.estimates.values()
        return first.inference

    @property
    def has_parts(self) -> bool:
        """Whether there are different pairs, and with them parts of the variance."""
        return self.inference is not None and "different" in self.inference.factors

    @property
    def how_certain(self) -> str:
        """Number of videos and the intervals' confidence, to stand behind a title."""
        known = self.inference
        if known is None or known.n_videos < LEAST_VIDEOS:
            return ""
        return f", {known.n_videos} videos, {100 * known.confidence:g} % intervals"

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of the intervals, and which numbers there are not."""
        return remarks(self.inference)

    @cached_property
    def table(self) -> tuple[Block, ...]:
        """The numbers of every statistic, stage by stage."""
        return tuple(
            block
            for stage, estimate in self.estimates.items()
            for block in _blocks(stage, estimate, self.thresholds)
        )

    def by_stage(self, level: str, threshold: float | None = None) -> dict[str, list[Block]]:
        """The blocks of a level at every stage, those of classes at a threshold."""
        found: dict[str, list[Block]] = {stage: [] for stage in self.estimates}
        for block in self.table:
            if (block.statistic.level, block.threshold) == (level, threshold):
                found[block.stage].append(block)
        return found


def remarks(inference: Inference | None) -> list[str]:
    """What a reader must know of intervals, and which numbers there are not, in sentences."""
    if inference is None:
        return [
            "no intervals, adjusted scores or parts: they need pairs whose two clips show one video"
        ]
    found, videos = [], inference.n_videos
    if videos < LEAST_VIDEOS:
        found.append(
            f"no intervals: they come from leaving out one video at a time, and there are "
            f"{counted(videos, 'video')}; give {LEAST_VIDEOS} or more"
        )
    elif videos < FEW_VIDEOS:
        found.append(
            f"intervals from {videos} videos are wide, and below {FEW_VIDEOS} may be too narrow "
            "all the same: they say how much these videos differ, not how all do"
        )
    undefined = [
        name
        for name, value in zip(inference.factors, inference.adjusted.value, strict=True)
        if np.isnan(value)
    ]
    if undefined:
        found.append(
            f"no adjusted score ({', '.join(undefined)}): chance needs pairs of another video in "
            "another style"
        )
    elif "different" not in inference.factors:
        found.append(
            "no parts of the variance: the plan has no different pairs; a new run with `pairing` "
            "anchored or crossed has them"
        )
    return found


def find(blocks: Sequence[Block], name: str) -> Block:
    """The first of some blocks that holds the statistic of this name."""
    return next(block for block in blocks if block.statistic.name == name)


def classified(blocks: Sequence[Block]) -> Block:
    """The block that classes of units come from, of those of the units of a stage."""
    return next(block for block in blocks if block.statistic.of_classes)


def classes(unit_score: Block, threshold: float) -> Classes:
    """The classes of units, from the block of unit scores of a stage."""
    names = [FACTORS[k] for k in (DYNAMIC, STATIC)]
    value, lo, hi = (
        np.stack([array[unit_score.parts.index(name)] for name in names])
        for array in (unit_score.value, unit_score.lo, unit_score.hi)
    )
    certain = None if np.isnan(lo).all() else certain_units(value, lo, hi, threshold)
    return Classes(joint_encoding(value, threshold), certain)


def _blocks(stage: str, estimate: Estimate, thresholds: Sequence[float]) -> Iterator[Block]:
    of_level = {
        level: [s for s in STATISTICS if s.level == level] for level in (LAYER, UNIT, CLASS)
    }
    yield from (Block.of(statistic, stage, estimate) for statistic in of_level[LAYER])
    units = [Block.of(statistic, stage, estimate) for statistic in of_level[UNIT]]
    yield from units
    for threshold in thresholds:
        source = classes(classified(units), threshold)
        yield from (Block.of(s, stage, source, threshold) for s in of_level[CLASS])


def _display_name(model: str) -> str:
    """A network of a user's file by the file and the function, others as they are called.

    >>> _display_name("nets/my_net.py:build"), _display_name("torchvision:r3d_18")
    ('my_net.build', 'torchvision:r3d_18')
    """
    file, colon, function = model.partition(".py:")
    return f"{file.rsplit('/', 1)[-1]}.{function}" if colon else model
