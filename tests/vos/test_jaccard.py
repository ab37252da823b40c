"""Region similarity: by hand on small masks and short sequences, and a slow second way."""

import numpy as np
import pytest

from vos.jaccard import Similarity, average, jaccard, summary


def columns(first, last, width=8):
    """A mask of 4 rows with columns `first` to `last`, the upper end excluded."""
    mask = np.zeros((4, width), dtype=bool)
    mask[:, first:last] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "truth", "expected"),
    [
        pytest.param(columns(0, 4), columns(2, 6), 2 / 6, id="2 shared columns of 6"),
        pytest.param(columns(0, 4), columns(0, 4), 1, id="the same"),
        pytest.param(columns(0, 4), columns(4, 8), 0, id="side by side"),
        pytest.param(columns(0, 8), columns(0, 2), 2 / 8, id="inside"),
        pytest.param(columns(0, 0), columns(0, 0), 1, id="both empty"),
        pytest.param(columns(0, 0), columns(0, 8), 0, id="empty and full"),
        pytest.param(columns(0, 8), columns(0, 0), 0, id="full and empty"),
    ],
)
def test_jaccard_by_hand(mask, truth, expected):
    assert jaccard(mask, truth) == expected


def test_jaccard_equals_counting_pixels(rng):
    for _ in range(20):
        mask, truth = rng.random((2, 13, 17)) < rng.random()
        expected = (mask & truth).sum() / (mask | truth).sum()
        assert jaccard(mask, truth) == pytest.approx(expected, abs=1e-15)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="different sizes"):
        jaccard(columns(0, 4), columns(0, 4, width=9))


@pytest.mark.parametrize(
    ("values", "recall", "first", "last"),
    [
        # Borders at 0, 1.75, 3.5, 5.25, 7, that is 0, 2, 4, 5, 7.
        pytest.param(
            [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2, 0.0], 4 / 8, [0.9, 0.8, 0.7], [0.4, 0.2, 0.0],
            id="8 frames",
        ),
        # Borders at 0, 2, 4, 6, 8.
        pytest.param(
            [0.1, 0.2, 0.6, 0.6, 0.9, 0.6, 0.7, 0.8, 1.0], 7 / 9, [0.1, 0.2, 0.6], [0.7, 0.8, 1.0],
            id="9 frames, growing",
        ),
        # Borders at 0, 0.5, 1, 1.5, 2: halves go up, to 1 and 2.
        pytest.param([0.9, 0.3, 0.1], 1 / 3, [0.9, 0.3], [0.1], id="3 frames"),
        # Borders at 0, 1.5, 3, 4.5, 6: halves go up, to 2 and 5.
        pytest.param(
            [1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0], 3 / 7, [1.0, 0.8, 0.6], [0.1, 0.0], id="7 frames"
        ),
        pytest.param([0.4], 0, [0.4], [0.4], id="1 frame"),
    ],
)  # fmt: skip
def test_mean_recall_and_decay_by_hand(values, recall, first, last):
    result = summary(values)

    assert result.mean == pytest.approx(sum(values) / len(values))
    assert result.recall == pytest.approx(recall)
    assert result.decay == pytest.approx(np.mean(first) - np.mean(last))


def test_sequences_longer_than_a_byte_counts_keep_their_quarters():
    """The benchmark's own code keeps borders in 8 bits, which go wrong from 257 frames on."""
    values = np.r_[np.full(200, 1.0), np.full(201, 0.25)]

    assert summary(values) == Similarity(mean=values.mean(), recall=200 / 401, decay=0.75)


def test_nothing_to_sum_up_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        summary([])


def test_sequences_count_once_however_long():
    short, long = summary([1.0, 1.0]), summary([0.2] * 50)

    assert average([short, long]).mean == pytest.approx(0.6)
    assert average([short, long]).recall == 0.5
    assert average([Similarity(1, 1, 0.2), Similarity(1, 1, -0.4)]).decay == pytest.approx(-0.1)
