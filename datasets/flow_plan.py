"""The pair plan of segmentation networks: which two renderings of a sequence are compared.

A visit compares a whole sequence, frame by frame, in two renderings: styles of the image, and the
flow as it is or with its colours jittered. The plan file has one row a visit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Items
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.factors import DIFFERENT, DYNAMIC, FACTORS, SAME, STATIC
from datasets.davis import SequenceSet
from datasets.plan import plan_rows
from utils import DataError, UserError, write_csv

# Domain of the seeds, apart from those of other plans.
_VISIT = 11
# The second frame of a two-frame sample is this far from the first, the upper end excluded.
_OFFSETS = (-10, 10)


@dataclass(frozen=True, order=True)
class FlowClip:
    """One input of a segmentation network: a frame in a style, and its flow.

    jitter: 0 for the flow as it is, else the seed of its colour jitter. other: the second frame,
    for networks that take two, else empty.
    """

    video: str
    frame: str
    style: str
    jitter: int = 0
    other: str = ""

    @property
    def source(self) -> tuple[str, str, str]:
        """What clips of the same frames, in whatever rendering, have in common."""
        return self.video, self.frame, self.other


@dataclass(frozen=True)
class FlowPair:
    """Two clips that share what `factor` names."""

    factor: int
    a: FlowClip
    b: FlowClip


@dataclass(frozen=True)
class Visit:
    """A sequence in two renderings; offset: of the second frame, for networks that take two."""

    factor: int
    video: str
    style_a: str
    jitter_a: int
    style_b: str
    jitter_b: int
    offset: int

    def pairs(self, data: SequenceSet, two_frames: bool) -> Iterator[FlowPair]:
        """One pair for every frame of the sequence."""
        sequence = data.videos[self.video]
        for frame in sequence.frames:
            other = sequence.neighbour(frame, self.offset) if two_frames else ""
            a = FlowClip(self.video, frame, self.style_a, self.jitter_a, other)
            b = FlowClip(self.video, frame, self.style_b, self.jitter_b, other)
            yield FlowPair(self.factor, a, b)


@dataclass(frozen=True)
class VisitRules:
    """What visits are drawn from, beside the sequences. nreps: visits of every sequence, each of
    which gives one pair of renderings for every factor."""

    seed: int
    nreps: int
    factors: tuple[int, ...] = (DYNAMIC, STATIC)
    pairing: str = "anchored"


def draw_visits(data: SequenceSet, rules: VisitRules) -> list[Visit]:
    """The visits of a plan.

    anchored: each draw gives one visit for every factor, which share their first rendering.
    sampled: each draw gives one visit, of the factors in turn, as the study drew.
    exhaustive: every pair of styles (dynamic) and every style with its jitter (static), once.

    Dynamic: two styles, one flow. Static: one style, the flow's colours jittered. Different: both.
    Same: neither. Raises UserError where that cannot be met.
    """
    if len(data.styles) < 2:
        raise UserError(
            f"a dynamic pair needs two styles, `styles` gives {len(data.styles)} for "
            f"{data.name}: {', '.join(data.styles) or 'none'}"
        )
    if rules.pairing == "exhaustive":
        if set(rules.factors) != {DYNAMIC, STATIC}:
            raise UserError("`pairing` exhaustive goes with 3 factors")
        return [visit for name in data.videos for visit in _every_visit(data, name, rules.seed)]
    draws = itertools.product(range(rules.nreps), enumerate(data.videos))
    visits = []
    for index, (repetition, (position, name)) in enumerate(draws):
        drawn = list(_drawn(data, name, rules, index))
        if rules.pairing == "sampled":
            drawn = [drawn[(repetition + position) % len(drawn)]]
        visits += drawn
    return visits


def _drawn(data: SequenceSet, name: str, rules: VisitRules, index: int) -> Iterator[Visit]:
    """The visits of draw `index`, a function of the seed and it alone."""
    rng = np.random.default_rng([rules.seed, _VISIT, index])
    style, other = (str(s) for s in rng.choice(data.styles, 2, replace=False))
    offset = int(rng.integers(*_OFFSETS))
    jitter = rules.seed + 1
    second = {
        DYNAMIC: (other, 0),
        STATIC: (style, jitter),
        DIFFERENT: (other, jitter),
        SAME: (style, 0),
    }
    for factor in rules.factors:
        yield Visit(factor, name, style, 0, *second[factor], offset)


def _every_visit(data: SequenceSet, name: str, seed: int) -> Iterator[Visit]:
    for a, b in itertools.combinations(data.styles, 2):
        yield Visit(DYNAMIC, name, a, 0, b, 0, 1)
    for style in data.styles:
        yield Visit(STATIC, name, style, 0, style, seed + 1, 1)


def all_pairs(visits: Iterable[Visit], data: SequenceSet, two_frames: bool) -> list[FlowPair]:
    """The pairs of frames of all visits, in order."""
    return [pair for visit in visits for pair in visit.pairs(data, two_frames)]


def distinct_flow_clips(pairs: Iterable[FlowPair]) -> list[FlowClip]:
    """Every clip of the pairs once; those of the same frames stand together."""
    clips = dict.fromkeys(clip for pair in pairs for clip in (pair.a, pair.b))
    groups: dict[tuple[str, str, str], list[FlowClip]] = {}
    for clip in clips:
        groups.setdefault(clip.source, []).append(clip)
    return [clip for group in groups.values() for clip in group]


def write_visits(path: Path, visits: Items[Visit]) -> None:
    """Write a plan as CSV, one row a visit."""
    write_csv(
        path,
        [
            {"visit": index, **asdict(visit), "factor": FACTORS[visit.factor]}
            for index, visit in enumerate(visits)
        ],
    )


def read_visits(path: Path, data: SequenceSet) -> list[Visit]:
    """The visits of a plan file, checked against the sequences and styles at hand.

    Raises DataError with the line of the first row that cannot be used.
    """
    rows = plan_rows(path, Visit.__dataclass_fields__)
    return [_read_visit(row, f"{path}, line {line}", data) for line, row in rows]


def _read_visit(row: dict[str, str], where: str, data: SequenceSet) -> Visit:
    if row["factor"] not in FACTORS:
        raise DataError(f"{where}: factor {row['factor']!r} is none of {', '.join(FACTORS)}")
    if row["video"] not in data.videos:
        raise DataError(f"{where}: {row['video']!r} is not among the {len(data.videos)} sequences")
    for style in (row["style_a"], row["style_b"]):
        if style not in data.styles:
            raise DataError(
                f"{where}: style {style!r} is not among {', '.join(data.styles)} (`styles`)"
            )
    try:
        jitter_a, jitter_b, offset = (int(row[k]) for k in ("jitter_a", "jitter_b", "offset"))
    except (TypeError, ValueError):
        raise DataError(f"{where}: jitter_a, jitter_b and offset must be integers") from None
    if min(jitter_a, jitter_b) < 0:
        raise DataError(f"{where}: a jitter is negative")
    same_style, same_jitter = row["style_a"] == row["style_b"], jitter_a == jitter_b
    factor = _SHARED[same_style, same_jitter]
    if FACTORS[factor] != row["factor"]:
        raise DataError(
            f"{where}: factor {row['factor']!r}, but these styles and jitters make the pair "
            f"{FACTORS[factor]!r}"
        )
    styles = row["style_a"], row["style_b"]
    return Visit(factor, row["video"], styles[0], jitter_a, styles[1], jitter_b, offset)


# What two renderings of a sequence are, by whether they have one style, and one jitter.
_SHARED = {
    (False, True): DYNAMIC,
    (True, False): STATIC,
    (False, False): DIFFERENT,
    (True, True): SAME,
}
