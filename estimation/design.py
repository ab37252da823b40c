"""Which rows of features make pairs, and what they show: the design that numbers are estimated
from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from common.factors import DYNAMIC

_ARRAYS = ("a", "b", "factor", "video", "style_a", "style_b")


@dataclass(frozen=True)
class Design:
    """N pairs of rows; every array is int64 [N].

    a, b: rows of the first and the second members.
    factor: ids of what the two share.
    video: what both show, or the group of it, 0 to V - 1.
    style_a, style_b: styles of the members, 0 to S - 1.
    n_videos: number of videos V.
    n_styles: number of styles S.
    is_known: whether videos and styles are: numbers that need them are undefined otherwise.
    """

    a: np.ndarray
    b: np.ndarray
    factor: np.ndarray
    video: np.ndarray
    style_a: np.ndarray
    style_b: np.ndarray
    n_videos: int = 1
    n_styles: int = 1
    is_known: bool = False

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, factor: np.ndarray) -> Design:
        """Pairs of which nothing else is known."""
        a, b, factor = (np.asarray(x, np.int64) for x in (a, b, factor))
        nothing = np.zeros_like(factor)
        return cls(a, b, factor, nothing, nothing, nothing)

    @classmethod
    def shown(
        cls,
        a: np.ndarray,
        b: np.ndarray,
        factor: np.ndarray,
        video: Sequence | np.ndarray,
        style_a: Sequence | np.ndarray,
        style_b: Sequence | np.ndarray,
    ) -> Design:
        """Pairs of videos and styles that are called by any names."""
        both = np.concatenate([np.asarray(style_a), np.asarray(style_b)])
        videos, of_video = np.unique(np.asarray(video), return_inverse=True)
        styles, of_style = np.unique(both, return_inverse=True)
        a, b, factor = (np.asarray(x, np.int64) for x in (a, b, factor))
        first, second = of_style.reshape(2, -1)
        return cls(
            a,
            b,
            factor,
            of_video.reshape(-1),
            first,
            second,
            n_videos=len(videos),
            n_styles=len(styles),
            is_known=True,
        )

    @cached_property
    def factors(self) -> tuple[int, ...]:
        """The ids of the factors that have pairs, ascending."""
        return tuple(np.unique(self.factor).tolist())

    def where(self, kept: np.ndarray | slice) -> Design:
        """The pairs that are kept: a slice, bool [N] or places; the codes stay as they are."""
        return replace(self, **{name: getattr(self, name)[kept] for name in _ARRAYS})

    def without_style(self, style: int) -> Design:
        """The pairs that do not show a style."""
        return self.where(self.lacks_style(style))

    def lacks_style(self, style: int) -> np.ndarray:
        """Which pairs do not show a style, bool [N]."""
        return (self.style_a != style) & (self.style_b != style)

    def by_video(self) -> Design:
        """The same pairs, those of one video next to each other, in the order of its code."""
        return self.where(np.argsort(self.video, kind="stable"))

    def batches(self, most: int) -> Iterator[tuple[slice, Design]]:
        """The videos in ranges, and their pairs: of so many rows at most, or of a single video.

        The pairs are sorted by video.
        """
        ends = np.searchsorted(self.video, np.arange(self.n_videos + 1))
        n_rows = int(max(self.a.max(initial=0), self.b.max(initial=0))) + 1
        shown = np.unique(np.tile(self.video * n_rows, 2) + np.append(self.a, self.b))
        rows = np.searchsorted(shown, np.arange(self.n_videos + 1) * n_rows)  # before each video
        first = 0
        while first < self.n_videos:
            last = int(np.searchsorted(rows, rows[first] + most, side="right")) - 1
            last = max(first + 1, last)
            yield slice(first, last), self.where(slice(ends[first], ends[last]))
            first = last

    def members(self, factor: int) -> tuple[Members, Members]:
        """How many first and second members of a factor's pairs every video and style has; where
        members have no roles, all of them are both."""
        own = self.where(self.factor == factor)
        shape = (self.n_videos, self.n_styles)
        first, second = (_counted(own.video, style, shape) for style in (own.style_a, own.style_b))
        if has_no_roles(factor):
            both = Members(first + second)
            return both, both
        return Members(first), Members(second)


def _counted(video: np.ndarray, style: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.bincount(video * shape[1] + style, minlength=shape[0] * shape[1]).reshape(shape)


def has_no_roles(factor: int) -> bool:
    """Whether the members of a factor's pairs can be exchanged: two styles of one clip can. Of
    others the second member is shuffled or jittered."""
    return factor == DYNAMIC


@dataclass(frozen=True)
class Members:
    """How many members of a role every video has of every style.

    count: int64 [V, S].
    """

    count: np.ndarray

    def cells(self, videos: slice) -> Cells:
        """Those of a range of videos."""
        count = self.count[videos]
        video, style = np.nonzero(count)
        place = np.full(count.shape, -1)
        place[video, style] = np.arange(len(video))
        return Cells(video, style, count[video, style], place)


@dataclass(frozen=True)
class Cells:
    """The P cells, of one of W videos and one style, that have members of a role.

    video, style: of each, int64 [P]; the first video of the range is 0.
    count: its members, int64 [P].
    place: which cell a video and a style have, int64 [W, S]; -1 for none.
    """

    video: np.ndarray
    style: np.ndarray
    count: np.ndarray
    place: np.ndarray
