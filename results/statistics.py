"""The estimates of a run as one table, which CSV files, screen and figures read.

A new statistic is its formula, and a line of `STATISTICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from common.factors import DYNAMIC, FACTORS, STATIC
from estimation.estimator import Estimate, joint_encoding

# What a number is about: a stage, a unit of it, or the classes of its units at a threshold.
LAYER, UNIT, CLASS = "layer", "unit", "class"


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
    parts: their names, from an `Estimate`; at the level `CLASS` from the unit indices by class.
    values: numbers [P] (at the level `UNIT` [P, C]) from the same.
    bounds: lower and upper ends of their intervals, each like `values`, from the same.
    in_rows: whether its parts are rows of CSV files, as factors of a stage and classes are: it is
        one column then, empty in the rows of other parts.
    of_classes: whether the classes of units come from it; true of one statistic of units.
    head: on the screen, with the part in place of {}; not shown without one.
    form: of its numbers on the screen, as in format().
    plot: in figures.
    residual: whether the residual is shown on the screen and in figures.
    """

    name: str
    level: str
    parts: Callable[[Any], Sequence[str]]
    values: Callable[[Any], Any]
    bounds: Callable[[Any], tuple[Any, Any]] | None = None
    in_rows: bool = False
    of_classes: bool = False
    head: str = ""
    form: str = ".3f"
    plot: Plot = Plot()
    residual: bool = True


def by_factor(estimate: Estimate) -> Sequence[str]:
    """A part per factor."""
    return estimate.factors


def by_scored_factor(estimate: Estimate) -> Sequence[str]:
    """A part per factor but the residual, whose scores are 1 by definition."""
    return [name for name in estimate.factors if name != "residual"]


def by_class(units: Mapping[str, np.ndarray]) -> Sequence[str]:
    """A part per class of units."""
    return list(units)


def whole(_: Any) -> Sequence[str]:
    """One part without a name."""
    return ("",)


def _unit_scores(estimate: Estimate) -> np.ndarray:
    return estimate.unit_scores[[name != "residual" for name in estimate.factors]]


def _counts(units: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.array([len(indices) for indices in units.values()])


def _percents(units: Mapping[str, np.ndarray]) -> np.ndarray:
    return 100 * _counts(units) / _counts(units).sum()


_SCORE = Plot("lines", "score", (0.0, 1.0))
_SHARE = Plot("bars", "share (%)")
_CLASSES = Plot("stacked", "units (%)", (0.0, 100.0))

# In the order of the columns: a new one goes to the end.
# fmt: off
STATISTICS = (
    Statistic("n_pairs", LAYER, by_factor, lambda e: e.n_pairs, in_rows=True),
    Statistic("score", LAYER, by_factor, lambda e: e.scores, in_rows=True,
              head="{} score", plot=_SCORE, residual=False),
    Statistic("share_percent", LAYER, by_factor, lambda e: 100 * e.shares, in_rows=True,
              head="{} %", form=".1f", plot=_SHARE),
    Statistic("dims", LAYER, by_factor, lambda e: e.dims, in_rows=True),
    Statistic("dims_percent", LAYER, by_factor, lambda e: e.dims_percent, in_rows=True),
    Statistic("n_units", LAYER, whole, lambda e: [e.n_units]),
    Statistic("score", UNIT, by_scored_factor, _unit_scores, of_classes=True),
    Statistic("units", CLASS, by_class, _counts, in_rows=True),
    Statistic("percent", CLASS, by_class, _percents, in_rows=True,
              head="{} %", form=".1f", plot=_CLASSES),
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
    threshold: of the classes, at the level `CLASS`.
    """

    statistic: Statistic
    stage: str
    parts: tuple[str, ...]
    value: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    threshold: float | None = None

    @classmethod
    def of(
        cls, statistic: Statistic, stage: str, source: Any, threshold: float | None = None
    ) -> Block:
        """The block of a statistic, from what it is computed from."""
        value = np.asarray(statistic.values(source))
        none = np.full(value.shape, np.nan)
        lo, hi = statistic.bounds(source) if statistic.bounds else (none, none)
        parts = tuple(statistic.parts(source))
        return cls(statistic, stage, parts, value, np.asarray(lo), np.asarray(hi), threshold)

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


def find(blocks: Sequence[Block], name: str) -> Block:
    """The first of some blocks that holds the statistic of this name."""
    return next(block for block in blocks if block.statistic.name == name)


def classified(blocks: Sequence[Block]) -> Block:
    """The block that classes of units come from, of those of the units of a stage."""
    return next(block for block in blocks if block.statistic.of_classes)


def classes(unit_score: Block, threshold: float) -> dict[str, np.ndarray]:
    """Unit indices of each class, from the block of unit scores of a stage."""
    scores = [unit_score.part(FACTORS[k]) for k in (DYNAMIC, STATIC)]
    return joint_encoding(np.stack(scores), threshold)


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
