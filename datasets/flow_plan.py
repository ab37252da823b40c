"""The pair plan of segmentation: sequences in two styles, or with the colours of flow jittered.

A sequence pair compares a whole sequence with itself, frame by frame; each side has a style, and
its flow may be jittered. The plan file has a row for each sequence pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.factors import DIFFERENT, DYNAMIC, FACTORS, SAME, STATIC
from datasets.davis import SequenceSet
from datasets.pair_plan import (
    ONCE,
    Pair,
    PlanRow,
    PlanRules,
    plan_rows,
    read_factor,
    read_integer,
)
from utils import DataError, UserError

# Added to seeds, so that draws are independent of those of other plans.
_DRAW = 11
# How far the second frame of a clip is from the first, the upper end excluded.
_OFFSETS = (-10, 10)


@dataclass(frozen=True, order=True)
class FlowClip:
    """One input of a segmentation network: a frame in a style, and its flow.

    video: name of the sequence.
    frame: name of the frame.
    style: id of its style.
    jitter: 0 for the flow as it is, else the seed of its colour jitter.
    other: the second frame, for networks that take two, else empty.
    """

    video: str
    frame: str
    style: str
    jitter: int = 0
    other: str = ""

    @property
    def source(self) -> tuple[str, str, str]:
        """What clips of the same frames, in any style, have in common."""
        return self.video, self.frame, self.other

    @property
    def frames(self) -> tuple[str, ...]:
        """The frames that it shows, in order."""
        return (self.frame, self.other) if self.other else (self.frame,)

    @property
    def order(self) -> str:
        """What its motion looks like, in words."""
        return "jittered flow" if self.jitter else "true flow"


@dataclass(frozen=True)
class SequencePair:
    """A sequence twice, each time in a style, with its flow jittered or not.

    factor: id of what the two share.
    video: name of the sequence.
    style_a, style_b: ids of the styles.
    jitter_a, jitter_b: seeds of the colour jitter, 0 for none.
    offset: how far the second frame is from the first, for networks that take two.
    """

    factor: int
    video: str
    style_a: str
    jitter_a: int
    style_b: str
    jitter_b: int
    offset: int

    def pairs(self, data: SequenceSet, two_frames: bool) -> Iterator[Pair]:
        """One pair for every frame of the sequence."""
        sequence = data.videos[self.video]
        for frame in sequence.frames:
            other = sequence.neighbour(frame, self.offset) if two_frames else ""
            a = FlowClip(self.video, frame, self.style_a, self.jitter_a, other)
            b = FlowClip(self.video, frame, self.style_b, self.jitter_b, other)
            yield Pair(self.factor, a, b)

    def row(self, data: SequenceSet, two_frames: bool) -> PlanRow:
        """The row of a plan file that stands for its pairs."""
        cells = {**asdict(self), "factor": FACTORS[self.factor]}
        return PlanRow(cells, tuple(self.pairs(data, two_frames)))


def sample_sequence_pairs(data: SequenceSet, rules: PlanRules) -> list[SequencePair]:
    """The sequence pairs of a plan.

    anchored: every sequence gives one for each factor, and these share their first side; `nreps`
    times.
    sampled: every sequence gives one, the factors taking turns, as in the study; `nreps` times.
    crossed, exhaustive: every pair of styles (dynamic) and every style with its jitter (static),
    once. The two are one here: a frame has one jitter, whatever its style.

    Dynamic: two styles, one flow. Static: one style, the flow's colours jittered. Different: both.
    Same: neither. For the parts of the variance (`PlanRules.for_parts`) different pairs stand after
    the others: one a draw if anchored, else every style with the jitter of every other one.

    Raises UserError where the rules cannot be met.
    """
    if len(data.styles) < 2:
        raise UserError(
            f"a dynamic pair needs two styles, `styles` gives {len(data.styles)} for "
            f"{data.name}: {', '.join(data.styles) or 'none'}"
        )
    if rules.pairing in ONCE:
        rules.require_two_factors()
        return [pair for name in data.videos for pair in _of_all_styles(data, name, rules)]
    draws = itertools.product(range(rules.nreps), enumerate(data.videos))
    pairs = []
    for index, (repetition, (position, name)) in enumerate(draws):
        drawn = list(_drawn(data, name, rules, index))
        if rules.pairing == "sampled":
            drawn = [drawn[(repetition + position) % len(drawn)]]
        pairs += drawn
    return pairs


def _drawn(data: SequenceSet, name: str, rules: PlanRules, index: int) -> Iterator[SequencePair]:
    """The sequence pairs of draw `index`, a function of the seed and it alone."""
    rng = np.random.default_rng([rules.seed, _DRAW, index])
    style, other = (str(s) for s in rng.choice(data.styles, 2, replace=False))
    offset = int(rng.integers(*_OFFSETS))
    jitter = rules.seed + 1
    second = {
        DYNAMIC: (other, 0),
        STATIC: (style, jitter),
        DIFFERENT: (other, jitter),
        SAME: (style, 0),
    }
    for factor in (*rules.factors, *rules.for_parts):
        yield SequencePair(factor, name, style, 0, *second[factor], offset)


def _of_all_styles(data: SequenceSet, name: str, rules: PlanRules) -> Iterator[SequencePair]:
    jitter = rules.seed + 1
    for a, b in itertools.combinations(data.styles, 2):
        yield SequencePair(DYNAMIC, name, a, 0, b, 0, 1)
    for style in data.styles:
        yield SequencePair(STATIC, name, style, 0, style, jitter, 1)
    for a, b in itertools.permutations(data.styles, 2) if rules.for_parts else ():
        yield SequencePair(DIFFERENT, name, a, 0, b, jitter, 1)


def read_sequence_pairs(path: Path, data: SequenceSet) -> list[SequencePair]:
    """The sequence pairs of a plan file, checked against the sequences and styles at hand.

    Raises DataError with the line of the first row that cannot be used.
    """
    rows = plan_rows(path, SequencePair.__dataclass_fields__)
    return [_read_row(row, f"{path}, line {line}", data) for line, row in rows]


def _read_row(row: dict[str, str], where: str, data: SequenceSet) -> SequencePair:
    named = read_factor(row, where)
    if row["video"] not in data.videos:
        raise DataError(f"{where}: {row['video']!r} is not among the {len(data.videos)} sequences")
    for style in (row["style_a"], row["style_b"]):
        if style not in data.styles:
            raise DataError(
                f"{where}: style {style!r} is not among {', '.join(data.styles)} (`styles`)"
            )
    jitter_a, jitter_b, offset = (
        read_integer(row, column, where) for column in ("jitter_a", "jitter_b", "offset")
    )
    if min(jitter_a, jitter_b) < 0:
        raise DataError(f"{where}: a jitter is negative")
    same_style, same_jitter = row["style_a"] == row["style_b"], jitter_a == jitter_b
    factor = _SHARED[same_style, same_jitter]
    if factor != named:
        raise DataError(
            f"{where}: factor {row['factor']!r}, but these styles and jitters make the pair "
            f"{FACTORS[factor]!r}"
        )
    styles = row["style_a"], row["style_b"]
    return SequencePair(factor, row["video"], styles[0], jitter_a, styles[1], jitter_b, offset)


# What a sequence pair shares, by whether it has one style, and one jitter.
_SHARED = {
    (False, True): DYNAMIC,
    (True, False): STATIC,
    (False, False): DIFFERENT,
    (True, True): SAME,
}
