"""Clips and pairs of validation: every video in every style, in order and out of it.

Rows of features are those of clips [V, S, 2]: video, style, and 0 in order or 1 out of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from common.factors import DIFFERENT, DYNAMIC, STATIC
from estimation.design import Design

NATURAL, SHUFFLED = 0, 1


class Member(NamedTuple):
    """A clip of a video: its style, and its order."""

    style: int
    order: int


# A factor and its two members.
Triple = tuple[int, Member, Member]


def every_pair(n_videos: int, n_styles: int) -> Design:
    """Of every video every pair of styles, every shuffle, and every style with the shuffle of
    every other one: the pairs of the pairings crossed and exhaustive."""
    styles = range(n_styles)
    pairs: list[Triple] = [
        (DYNAMIC, Member(s, NATURAL), Member(t, NATURAL))
        for s, t in itertools.combinations(styles, 2)
    ]
    pairs += [(STATIC, Member(s, NATURAL), Member(s, SHUFFLED)) for s in styles]
    pairs += [
        (DIFFERENT, Member(s, NATURAL), Member(t, SHUFFLED))
        for s, t in itertools.permutations(styles, 2)
    ]
    return design_of([pairs] * n_videos, n_styles)


def anchored(n_videos: int, n_styles: int, rng: np.random.Generator) -> Design:
    """Of every video one pair of each factor, which share their first clip, in two styles."""

    def drawn() -> list[Triple]:
        anchor, other = (int(style) for style in rng.permutation(n_styles)[:2])
        first = Member(anchor, NATURAL)
        return [
            (DYNAMIC, first, Member(other, NATURAL)),
            (STATIC, first, Member(anchor, SHUFFLED)),
            (DIFFERENT, first, Member(other, SHUFFLED)),
        ]

    return design_of([drawn() for _ in range(n_videos)], n_styles)


def design_of(by_video: Sequence[Sequence[Triple]], n_styles: int) -> Design:
    """The design of the pairs of each video."""

    def row(video: int, clip: Member) -> int:
        return (video * n_styles + clip.style) * 2 + clip.order

    pairs = [
        (row(video, a), row(video, b), factor, video, a.style, b.style)
        for video, own in enumerate(by_video)
        for factor, a, b in own
    ]
    return Design.shown(*np.array(pairs, dtype=np.int64).T)


class Pairing(NamedTuple):
    """How pairs are chosen: as `datasets.video_plan` does, or crossed with one shuffle a video.

    design: from the numbers of videos and styles, and a generator.
    one_shuffle: whether all shuffled clips of a video have one order.
    """

    design: Callable[[int, int, np.random.Generator], Design]
    one_shuffle: bool


def _every_pair(n_videos: int, n_styles: int, rng: np.random.Generator) -> Design:
    return every_pair(n_videos, n_styles)


PAIRINGS = {
    "anchored": Pairing(anchored, one_shuffle=True),
    "crossed": Pairing(_every_pair, one_shuffle=False),
    "one shuffle": Pairing(_every_pair, one_shuffle=True),
}
