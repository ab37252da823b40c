"""Sums over the pairs of every video, from features that are read in chunks.

All that is estimated comes from these: they add up, so that the size of chunks does not matter.
Letters in shapes: W videos, P cells (a video and a style each), C units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from estimation.design import Design, Members, has_no_roles

# Rows of features, int64 [n], to features, [n, C].
Read = Callable[[np.ndarray], np.ndarray]
# The sums of every factor that has pairs.
ByFactor = dict[int, "Sums"]

# Numbers in the features of a chunk: the memory that is taken is a few hundred bytes for each.
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Sums:
    """Sums over pairs of one factor, by video, of features about a reference; float64.

    n: pairs, [W, 1].
    squares: squared features of both members, [W, C].
    products: of the two members, [W, C].
    total: features of both members, [W, C].
    first: features of the first members by cell, [P, C]; of both members where these have no roles.
    second: of the second members, in the same way.
    low, high: smallest and largest feature of any member, [C], not about the reference; infinite
        where they were not asked for.
    """

    n: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    total: np.ndarray
    first: np.ndarray
    second: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __add__(self, other: Sums) -> Sums:
        """The sums over the pairs of both, which show the same videos and styles."""
        first = self.first + other.first
        return Sums(
            self.n + other.n,
            self.squares + other.squares,
            self.products + other.products,
            self.total + other.total,
            first,
            first if self.second is self.first else self.second + other.second,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def over_videos(self) -> Sums:
        """The sums over all videos, W = 1; cells are left out."""
        none = self.first[:0]
        columns = (self.n, self.squares, self.products, self.total)
        n, squares, products, total = (x.sum(0, keepdims=True) for x in columns)
        return Sums(n, squares, products, total, none, none, self.low, self.high)


@dataclass(frozen=True)
class Selection:
    """Some of the pairs of a design.

    members: of every factor, by role.
    left_out: the style that they do not show; None for all pairs.
    """

    members: Mapping[int, tuple[Members, Members]]
    left_out: int | None = None

    @classmethod
    def of(cls, design: Design, left_out: int | None = None) -> Selection:
        """The pairs of a design that do not show a style."""
        shown = design if left_out is None else design.without_style(left_out)
        return cls({f: shown.members(f) for f in design.factors}, left_out)

    def kept(self, pairs: Design) -> np.ndarray:
        """Which of some pairs are among them, bool [N]."""
        if self.left_out is None:
            return np.ones(len(pairs.a), dtype=bool)
        return pairs.lacks_style(self.left_out)


@dataclass(frozen=True)
class Features:
    """Features of a stage, as they are summed.

    read: rows to features.
    reference: what is subtracted from them, [C], so that large means take no digits.
    """

    read: Read
    reference: np.ndarray

    @classmethod
    def of(cls, read: Read, design: Design) -> Features:
        """Features about the mean of the first rows of a design."""
        first = np.asarray(read(np.unique(design.a[:256])), dtype=np.float64)
        return cls(read, first.mean(0))

    def sums(
        self, design: Design, selections: Sequence[Selection], extremes: bool = False
    ) -> Iterator[tuple[slice, list[ByFactor]]]:
        """Ranges of videos, and their sums over the pairs of each selection.

        design: sorted by video.
        extremes: whether the smallest and the largest features are asked for.
        """
        most = max(2, _CHUNK // len(self.reference))
        for videos, pairs in design.batches(most):
            step = most // 2 if videos.stop - videos.start == 1 else len(pairs.a)
            blocks = (pairs.where(slice(i, i + step)) for i in range(0, len(pairs.a), step))
            parts = (self._block(block, videos, selections, extremes) for block in blocks)
            yield videos, reduce(_added, parts)

    def _block(
        self, pairs: Design, videos: slice, selections: Sequence[Selection], extremes: bool
    ) -> list[ByFactor]:
        """The sums over some pairs, whose features are read once."""
        rows, places = np.unique(np.concatenate([pairs.a, pairs.b]), return_inverse=True)
        a, b = places.reshape(2, -1)
        raw = np.asarray(self.read(rows))
        x = raw.astype(np.float64)  # [n, C]
        x -= self.reference
        squared = np.square(x)
        found = []
        for selection in selections:
            kept = selection.kept(pairs)
            by_factor = {}
            for factor, members in selection.members.items():
                own = np.flatnonzero(kept & (pairs.factor == factor))
                matched = _Matched(pairs.where(own), a[own], b[own], videos, factor, members)
                by_factor[factor] = matched.sums(x, squared, raw if extremes else None)
            found.append(by_factor)
        return found


def _added(one: list[ByFactor], other: list[ByFactor]) -> list[ByFactor]:
    return [{f: x[f] + y[f] for f in x} for x, y in zip(one, other, strict=True)]


@dataclass(frozen=True)
class _Matched:
    """Pairs of one factor among the rows of a block.

    pairs: of the design.
    a, b: where their members are in the block.
    videos: the range that they are of.
    factor: theirs.
    members: of all pairs of the factor, by role.
    """

    pairs: Design
    a: np.ndarray
    b: np.ndarray
    videos: slice
    factor: int
    members: tuple[Members, Members]

    def sums(self, x: np.ndarray, squared: np.ndarray, raw: np.ndarray | None) -> Sums:
        """The sums of features x and their squares [n, C]; their extremes where given raw."""
        n_videos, (n, units) = self.videos.stop - self.videos.start, x.shape
        video, both = self.pairs.video - self.videos.start, np.concatenate([self.a, self.b])
        of_video = incidence(np.tile(video, 2), both, (n_videos, n))
        low, high = np.full(units, np.inf), np.full(units, -np.inf)
        if raw is not None and len(both):
            shown = raw[np.unique(both)]
            low, high = shown.min(0).astype(np.float64), shown.max(0).astype(np.float64)
        first, second = self._by_role(x, video)
        return Sums(
            n=np.bincount(video, minlength=n_videos)[:, None].astype(np.float64),
            squares=of_video @ squared,
            products=self._products(x, video),
            total=of_video @ x,
            first=first,
            second=second,
            low=low,
            high=high,
        )

    def _products(self, x: np.ndarray, video: np.ndarray) -> np.ndarray:
        """The sums of the products of both members by video; each first member is multiplied with
        the sum of its partners."""
        first, pair, place = np.unique(self.a, return_index=True, return_inverse=True)
        partners = incidence(place, self.b, (len(first), len(x))) @ x
        partners *= x[first]
        return np.asarray(summing(video[pair], self.videos.stop - self.videos.start) @ partners)

    def _by_role(self, x: np.ndarray, video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sums of the members of each role by cell."""
        (first, second), pairs = (m.cells(self.videos) for m in self.members), self.pairs
        of_first, of_second = first.place[video, pairs.style_a], second.place[video, pairs.style_b]
        p, n = len(first.count), len(x)
        rows = np.concatenate([self.a, self.b])
        if has_no_roles(self.factor):
            sums = incidence(np.concatenate([of_first, of_second]), rows, (p, n)) @ x
            return sums, sums
        cells = np.concatenate([of_first, p + of_second])
        sums = incidence(cells, rows, (p + len(second.count), n)) @ x
        return sums[:p], sums[p:]


def incidence(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    """How often every (row, column) is there, as a sparse matrix: it sums rows from the left."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def summing(groups: np.ndarray, n: int) -> Any:
    """A matrix that sums rows, each of one of n groups, from the left."""
    from scipy.sparse import csc_array

    rows = len(groups)
    return csc_array((np.ones(rows), groups, np.arange(rows + 1)), shape=(n, rows))
