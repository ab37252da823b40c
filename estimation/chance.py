"""What two clips of a design share by chance: the partner is taken from another video, and of
another style.

It is the mean, over the first members of a factor's pairs, of the mean product with all second
members of other videos and other styles. No loop over pairs of pairs is needed: a second member
enters by its video and its style alone. Letters in shapes: V videos, W of them, S styles, P cells
(a video and a style each), G groups of cells, C units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from estimation.design import Cells, Members
from estimation.sums import Sums, incidence, summing


@dataclass(frozen=True)
class _Table:
    """Sums over the first members of all videos, a row for each number of removed second members.

    Those that are weighted are divided by how many second members there are left for a first one.

    products: of first members and the second ones of other videos and styles, weighted.
    second: these second members, as often as there are first ones, weighted.
    first: first members, weighted.
    n: number of first members, weighted.
    plain_first, plain_n: first members and their number, as they are.
    """

    products: np.ndarray
    second: np.ndarray
    first: np.ndarray
    n: np.ndarray
    plain_first: np.ndarray
    plain_n: np.ndarray


class Chance:
    """The chance level of the pairs of a factor, with all videos and without each.

    For first members of a style s, a video has k second members of other styles. Without the video
    the means are over so many fewer. Cells of the same s and k are a group: of one, sums are
    enough.
    """

    def __init__(self, members: tuple[Members, Members], units: int):
        """Nothing yet; members are those of all videos, by role."""
        self.members = members
        first, second = (m.count for m in members)
        others = second.sum(1, keepdims=True) - second  # k, [V, S]
        n_styles = others.shape[1]
        keys, group = np.unique(others * n_styles + np.arange(n_styles), return_inverse=True)
        self.group = group.reshape(others.shape)  # [V, S]
        self.k, self.style = np.divmod(keys, n_styles)  # [G] each
        self.n_others = others.sum(0)[self.style]  # [G]
        self.n = np.bincount(group.ravel(), first.ravel(), len(keys))[:, None]  # [G, 1]
        # By group: first members, their products with the second members of their own video and
        # other styles, and the latter as often as there are first members.
        self.first, self.products, self.own = np.zeros((3, len(keys), units))
        self.second = np.zeros((n_styles, units))  # by style

    def add(self, videos: slice, sums: Sums) -> None:
        """Add the sums of some videos."""
        first, second = (members.cells(videos) for members in self.members)
        others = _others(sums, first, second)  # [P, C]
        of_group = summing(self.group[videos][first.video, first.style], len(self.k))
        self.first += of_group @ sums.first
        self.products += of_group @ (sums.first * others)
        self.own += of_group @ (first.count[:, None] * others)
        self.second += summing(second.style, len(self.second)) @ sums.second

    def of_all(self, mean: np.ndarray) -> np.ndarray:
        """The chance level with all videos, [1, C]; NaN where no pair has a partner.

        mean: of both members about the reference of the sums, [1, C].
        """
        table = self._table((self.n_others - self.k)[None])
        sums = table.products - mean * (table.second + table.plain_first)
        return np.asarray((sums + mean**2 * table.plain_n) / table.plain_n)

    def without(self, videos: slice, sums: Sums, mean: np.ndarray) -> np.ndarray:
        """The chance level without each of some videos, [W, C].

        sums: of these videos.
        mean: of both members without each of them, [W, C].
        """
        first, second = (members.cells(videos) for members in self.members)
        table, group = self._removed, self.group[videos]
        every = _one_of_each(group, len(self.k))
        of_video = summing(second.video, len(group))
        found = every @ table.products - mean * (every @ (table.second + table.plain_first))
        found += mean**2 * (every @ table.plain_n)
        # The removed second members, where they were partners: of all styles but one.
        found -= (of_video @ sums.second) * (every @ table.first - mean * (every @ table.n))
        at = group[second.video, second.style]
        found += of_video @ (sums.second * (table.first[at] - mean[second.video] * table.n[at]))
        own, n = self._removed_first(group, first, _others(sums, first, second), sums, mean)
        return np.asarray((found - own) / (every @ table.plain_n - n))

    def _removed_first(
        self, group: np.ndarray, first: Cells, others: np.ndarray, sums: Sums, mean: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the first members of the removed videos are in these sums, and their number."""
        at, m = group[first.video, first.style], mean[first.video]
        left = (self.n_others - 2 * self.k)[at][:, None]
        seen, n = left > 0, first.count[:, None]
        own = (sums.first - m * n) * ((self._total[at] - 2 * others) * _inverse(left))
        own -= seen * (m * sums.first - m**2 * n)
        of_video = summing(first.video, len(group))
        return of_video @ own, of_video @ (seen * n)

    @property
    def _total(self) -> np.ndarray:
        """Second members of all videos of other styles than a group's, [G, C]."""
        return self.second.sum(0) - self.second[self.style]

    @cached_property
    def _removed(self) -> _Table:
        """The table with as many removed as each group has second members of other styles."""
        left = self.n_others - self.k - self.k[:, None]
        return self._table(np.where(self.style == self.style[:, None], left, 0))

    def _table(self, left: np.ndarray) -> _Table:
        """The table for numbers of second members that are left for each group, [rows, G]."""
        weight, seen = _inverse(left), (left > 0).astype(np.float64)
        return _Table(
            products=weight @ (self.first * self._total - self.products),
            second=weight @ (self.n * self._total - self.own),
            first=weight @ self.first,
            n=weight @ self.n,
            plain_first=seen @ self.first,
            plain_n=seen @ self.n,
        )


def _others(sums: Sums, first: Cells, second: Cells) -> np.ndarray:
    """For every cell of first members, the second members of its video and other styles, [P, C]."""
    of_video = summing(second.video, len(second.place)) @ sums.second  # [W, C]
    others = of_video[first.video]
    own = second.place[first.video, first.style]
    others[own >= 0] -= sums.second[own[own >= 0]]
    return others


def _one_of_each(groups: np.ndarray, n: int) -> Any:
    """Rows of n groups to sums over those in each row of `groups`, [W, S]."""
    rows = np.arange(len(groups)).repeat(groups.shape[1])
    return incidence(rows, groups.ravel(), (len(groups), n))


def _inverse(n: np.ndarray) -> np.ndarray:
    """1 / n, and 0 where nothing is left."""
    return np.where(n > 0, 1 / np.maximum(n, 1), 0.0)
