"""The numbers of a run by stage, as the statistics of `results.statistics` have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from common.factors import DYNAMIC, FACTORS, STATIC
from estimation.estimator import Estimate, certain_units, joint_encoding
from estimation.inference import Inference
from estimation.intervals import FEW_VIDEOS, LEAST_VIDEOS, Interval
from results import statistics
from results.statistics import CLASS, LAYER, UNIT, Classes, Statistic
from utils import counted

# Ends of intervals that are no further from a number than this are where it is, but for rounding.
_ROUNDING = 1e-9
_OUTSIDE = (
    "some numbers lie outside their intervals: these lie about the number without the bias of few "
    "videos (columns that end in _corrected)"
)


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

    @property
    def has_outside(self) -> bool:
        """Whether a number lies outside its interval."""
        below, above = self.lo - self.value, self.value - self.hi
        return bool(((below > _ROUNDING) | (above > _ROUNDING)).any())


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
    grouped: whether intervals take groups of videos for one video each.
    """

    model: str
    pathway: str
    dataset: str
    weights: str
    estimates: Mapping[str, Estimate]
    thresholds: Sequence[float]
    chains: Sequence[Sequence[str]] = ()
    grouped: bool = False

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
        """Whether there are parts of the variance at any stage: they need different pairs."""
        known = [e.inference for e in self.estimates.values() if e.inference]
        return bool(_defined(known, "parts", "value").any())

    @property
    def how_certain(self) -> str:
        """Number of videos, or of groups of them, and the intervals' confidence; empty without
        intervals."""
        known = self.inference
        if known is None or known.n_videos < LEAST_VIDEOS:
            return ""
        what = "groups of videos" if self.grouped else "videos"
        return f"{known.n_videos} {what}, {100 * known.confidence:g} % intervals"

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of the intervals, and which numbers there are not."""
        shown = [b for b in self.table if b.statistic.level == LAYER and b.statistic.head]
        outside = any(b.has_outside for b in shown)
        return [*remarks([e.inference for e in self.estimates.values()]), *[_OUTSIDE] * outside]

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


def remarks(inferences: Sequence[Inference | None]) -> list[str]:
    """What a reader must know of the intervals of all stages, and which numbers there are not, in
    sentences."""
    known = [inference for inference in inferences if inference]
    if not known:
        return [
            "no intervals, adjusted scores or parts: they need pairs whose two clips show one video"
        ]
    n_videos, factors = known[0].n_videos, known[0].factors
    found = few_videos(n_videos)
    has_parts = _defined(known, "parts", "value").any()
    # Of a stage that is constant over the pairs of a factor it is undefined too.
    has_adjusted = np.logical_or.reduce(_defined(known, "adjusted", "value"))
    undefined = [name for name, has in zip(factors, has_adjusted, strict=True) if not has]
    if undefined and not has_parts:
        found.append(
            f"no adjusted score ({', '.join(undefined)}), and with it no parts of the variance: "
            "chance needs pairs of another video in another style"
        )
    elif "different" not in factors:
        found.append(
            "no parts of the variance: the plan has no different pairs; a new run with `parts` "
            "True has them, unless its `pairing` is sampled"
        )
    elif n_videos >= LEAST_VIDEOS and not _defined(known, "parts", "lo").any():
        found.append(
            "no intervals of the parts: they are undefined without one of the videos; more pairs "
            "or videos give them"
        )
    return found


def _defined(inferences: Sequence[Inference], name: str, end: str) -> np.ndarray:
    """Which of some numbers are defined, bool [stages, ...]."""
    return np.isfinite([getattr(getattr(known, name), end) for known in inferences])


def few_videos(n_videos: int) -> list[str]:
    """What must be known of the intervals of so few videos, in sentences; nothing of enough."""
    if n_videos < LEAST_VIDEOS:
        return [
            f"no intervals: they come from leaving out one video at a time, of {LEAST_VIDEOS} or "
            f"more, and these pairs show {counted(n_videos, 'video')} (a group counts as one)"
        ]
    if n_videos < FEW_VIDEOS:
        return [
            f"intervals from {n_videos} videos are wide, and below {FEW_VIDEOS} may be too narrow "
            "all the same: they say how much these videos differ, not how all do"
        ]
    return []


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
        level: [s for s in statistics.STATISTICS if s.level == level]
        for level in (LAYER, UNIT, CLASS)
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
