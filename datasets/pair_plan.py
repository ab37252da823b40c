"""Pairs of clips, and the pair plan of a run: which clips are compared, set before any is read.

Its file is a CSV table that a person can read and give back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from common.factors import DIFFERENT, DYNAMIC, FACTORS, STATIC
from common.files import columns_of, read_numbered_csv, write_csv
from datasets.names import shortened
from utils import DataError, UserError

PAIRINGS = ("anchored", "sampled", "crossed", "exhaustive")
# Those that show every sequence of a segmentation data set once.
ONCE = ("crossed", "exhaustive")
# The largest integer of a plan file. A seed may be any integer, but plans are read by people.
MOST = 2**128 - 1


class AnyClip(Protocol):
    """One network input of any kind; hashable."""

    @property
    def video(self) -> str:
        """Name of the video that it shows."""

    @property
    def source(self) -> tuple:
        """What clips that are read together have in common."""


@dataclass(frozen=True)
class Pair:
    """Two clips, and what they share.

    factor: id of what they share: 0 dynamic, 1 static, ...
    a, b: the clips.
    """

    factor: int
    a: Any
    b: Any


@dataclass(frozen=True)
class PlanRules:
    """How a plan is sampled.

    seed: of all random choices.
    factors: ids of the scored ones, to sample pairs for.
    pairing: one of `PAIRINGS`.
    n_examples: number of pairs of the scored factors, None for one pass over the videos (3000 pairs
        at most).
    nreps: passes over the sequences of a segmentation data set.
    window: raw frames that a clip spans.
    same_video: whether a dynamic pair shows one video, else two of one class.
    shuffle_static: whether a static pair is a clip and its shuffle, else two videos of different
        classes.
    unstylized_static: whether static pairs show unstylized videos.
    two_frames: whether a clip of a sequence has two frames.
    parts: whether different pairs are wanted where they are not scored.
    """

    seed: int
    factors: tuple[int, ...] = (DYNAMIC, STATIC)
    pairing: str = "anchored"
    n_examples: int | None = None
    nreps: int = 5
    window: int = 64
    same_video: bool = True
    shuffle_static: bool = True
    unstylized_static: bool = False
    two_frames: bool = False
    parts: bool = False

    @property
    def for_parts(self) -> tuple[int, ...]:
        """Ids of factors whose pairs are not scored, and serve to part the variance: that of
        different pairs, where these go with the dynamic and the static ones."""
        goes = {DYNAMIC, STATIC} <= set(self.factors) and DIFFERENT not in self.factors
        alike = self.same_video and self.shuffle_static and not self.unstylized_static
        wanted = self.parts and self.pairing != "sampled"
        return (DIFFERENT,) if wanted and goes and alike else ()

    def require_two_factors(self) -> None:
        """Raise UserError unless dynamic and static pairs are all that is scored."""
        others = [FACTORS[factor] for factor in self.factors if factor not in (DYNAMIC, STATIC)]
        if others:
            raise UserError(
                f"`pairing` {self.pairing} scores dynamic and static pairs alone, `n_factors` and "
                f"`residual_index` ask for {' and '.join(others)} ones: leave these options out, "
                "or give `pairing` anchored"
            )


@dataclass(frozen=True)
class PlanRow:
    """A row of a plan file.

    cells: its values, by column.
    pairs: the pairs that it stands for.
    """

    cells: Mapping[str, Any]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class PairPlan:
    """All pairs of a run, in order.

    rows: the rows of its file.
    numbered: name of the column that numbers them.
    given: whether it was read from a file; else it is sampled anew in another run.
    """

    rows: tuple[PlanRow, ...]
    numbered: str = "pair"
    given: bool = False

    @cached_property
    def pairs(self) -> list[Pair]:
        """The pairs of all rows."""
        return [pair for row in self.rows for pair in row.pairs]

    @cached_property
    def clips(self) -> list[Any]:
        """Every clip once; clips of one source are next to each other."""
        return distinct_clips(self.pairs)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all pairs in their order."""
        return _digest(self.pairs)

    def digest_of(self, factors: Collection[int]) -> str:
        """SHA-256 of the pairs of some factors in their order."""
        return _digest(pair for pair in self.pairs if pair.factor in factors)

    def without(self, videos: Collection[str]) -> PairPlan:
        """The plan without the rows that show any of these videos."""
        kept = (
            row
            for row in self.rows
            if not any(clip.video in videos for pair in row.pairs for clip in (pair.a, pair.b))
        )
        return replace(self, rows=tuple(kept))

    def without_factor(self, factor: int) -> PairPlan:
        """The plan without the rows of a factor."""
        kept = (row for row in self.rows if all(pair.factor != factor for pair in row.pairs))
        return replace(self, rows=tuple(kept))

    def count(self, factors: Collection[int]) -> int:
        """How many rows have a pair of one of these factors."""
        return sum(any(pair.factor in factors for pair in row.pairs) for row in self.rows)

    def write(self, path: Path) -> None:
        """Write the plan as CSV."""
        write_csv(path, [{self.numbered: i, **row.cells} for i, row in enumerate(self.rows)])


def _digest(pairs: Iterable[Pair]) -> str:
    text = "\n".join(f"{pair.factor} {pair.a} {pair.b}" for pair in pairs)
    return hashlib.sha256(text.encode()).hexdigest()


def distinct_clips(pairs: Iterable[Pair]) -> list[Any]:
    """Every clip of the pairs once; clips of one source are next to each other."""
    clips = dict.fromkeys(clip for pair in pairs for clip in (pair.a, pair.b))
    groups: dict[tuple, list[Any]] = {}
    for clip in clips:
        groups.setdefault(clip.source, []).append(clip)
    return [clip for group in groups.values() for clip in group]


def require_factors(
    pairs: Sequence[Pair],
    names: Sequence[str],
    estimated: Sequence[int],
    more: str,
    for_parts: Sequence[int] = (),
) -> None:
    """Raise DataError if a factor to estimate has fewer than two pairs, or another one has any.

    names: those of all factors, in order of their ids.
    estimated: ids of the factors to estimate.
    more: what gives more pairs.
    for_parts: ids of the factors that may have pairs, and need none.
    """
    for factor in estimated:
        found = sum(pair.factor == factor for pair in pairs)
        if found < 2:
            raise DataError(
                f"the plan has too few pairs for the factor {names[factor]!r}: {found}, at least 2 "
                f"needed; {more}"
            )
    known = {*estimated, *for_parts}
    others = {names[pair.factor] for pair in pairs if pair.factor not in known}
    if others:
        raise DataError(
            f"the plan has pairs of the factors {', '.join(sorted(others))}, which are not among "
            f"those to estimate: give `n_factors` {len(names)} `residual_index` -1, or other "
            "`pairs`"
        )


def read_factor(row: Mapping[str, str], where: str) -> int:
    """The id of the factor that a row of a plan file names. Raises DataError for another word."""
    if row["factor"] not in FACTORS:
        raise DataError(f"{where}: factor {row['factor']!r} is none of {', '.join(FACTORS)}")
    return FACTORS.index(row["factor"])


def read_integer(row: Mapping[str, str], column: str, where: str) -> int:
    """The integer in a column. Raises DataError for anything else, and beyond 128 bits."""
    text = row[column]
    try:
        value = int(text)
    except ValueError:  # also for more digits than Python reads
        value = None
    if value is None or abs(value) > MOST:
        raise DataError(
            f"{where}: {column} {shortened(text)} must be an integer of at most 128 bits"
        )
    return value


def plan_rows(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """The line number and the cells of every row of a plan file that has at least `columns`.

    Raises DataError if it cannot be read or lacks a column.
    """
    rows = read_numbered_csv(path)
    found = columns_of(rows)
    if not set(columns) <= set(found):
        raise DataError(
            f"{path}: expected a header with {', '.join(sorted(columns))} and at least "
            f"one row; found {', '.join(found) or 'no row'}"
        )
    return rows
