"""Designs of pairs: names to codes, ranges of videos, counts of members."""

import numpy as np
import pytest

from estimation.design import Design


def design_of(*pairs):
    """Pairs of (a, b, factor, video, style, style)."""
    return Design.shown(*(np.array(column) for column in zip(*pairs, strict=True)))


def test_names_become_codes_and_styles_of_both_members_are_the_same():
    pairs = [(0, 1, 0, "w", "ink", "oil"), (2, 3, 0, "v", "oil", "gouache")]
    design = design_of(*pairs)
    assert (design.n_videos, design.n_styles, design.is_known) == (2, 3, True)
    assert design.video.tolist() == [1, 0]
    assert (design.style_a.tolist(), design.style_b.tolist()) == ([1, 2], [2, 0])


def test_pairs_of_which_nothing_is_known():
    design = Design.of(np.arange(3), np.arange(3, 6), np.array([0, 1, 1]))
    assert not design.is_known
    assert design.factors == (0, 1)
    assert next(design.by_video().batches(2))[0] == slice(0, 1)


def test_no_pairs():
    assert Design.of([], [], []).factors == ()
    assert Design.shown([], [], [], [], [], []).factors == ()


@pytest.mark.parametrize("most", [1, 2, 7, 20, 1000])
def test_batches_hold_every_pair_once_and_no_more_rows_than_they_may(most, rng):
    video = rng.integers(0, 12, 80)
    a, b = (10 * video + rng.integers(0, 10, 80) for _ in range(2))
    design = Design.shown(a, b, video % 3, video, video % 2, video % 4).by_video()
    batches = list(design.batches(most))
    assert [x for videos, _ in batches for x in range(12)[videos]] == list(range(12))
    assert np.concatenate([pairs.a for _, pairs in batches]).tolist() == design.a.tolist()
    for videos, pairs in batches:
        assert set(pairs.video) == set(range(12)[videos])
        rows = np.unique([pairs.a, pairs.b])
        assert len(rows) <= most or videos.stop - videos.start == 1


def test_members_by_role():
    pairs = [(0, 1, factor, 0, 0, 1) for factor in (0, 2)] + [(2, 3, 0, 1, 0, 2)]
    design = design_of(*pairs)
    first, second = design.members(2)
    assert first.count.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert second.count.tolist() == [[0, 1, 0], [0, 0, 0]]
    first, second = design.members(0)  # dynamic: all members are both
    assert first is second
    assert first.count.tolist() == [[1, 1, 0], [1, 0, 1]]
    cells = first.cells(slice(1, 2))
    assert (cells.video.tolist(), cells.style.tolist()) == ([0, 0], [0, 2])
    assert cells.place.tolist() == [[0, -1, 1]]


def test_pairs_without_a_style_keep_their_codes():
    pairs = [(0, 1, 0, 0, 0, 1), (2, 3, 0, 1, 1, 2), (4, 5, 0, 2, 0, 2)]
    design = design_of(*pairs).without_style(1)
    assert design.video.tolist() == [2]
    assert (design.n_videos, design.n_styles) == (3, 3)
