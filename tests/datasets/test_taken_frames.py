"""Which frames of a window are taken, and their order."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from datasets.geometry import ClipGeometry
from datasets.taken_frames import permutation, raw_frames, subsample


class TestSubsample:
    @pytest.mark.parametrize(
        ("length", "n", "expected"),
        [
            (64, 8, [0, 9, 18, 27, 36, 45, 54, 63]),
            (64, 4, [0, 21, 42, 63]),
            (16, 8, [0, 2, 4, 6, 8, 10, 12, 15]),
            (61, 13, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]),
            (3, 5, [0, 0, 1, 1, 2]),
            (5, 1, [0]),
            (1, 3, [0, 0, 0]),
        ],
    )
    def test_by_hand(self, length, n, expected):
        assert subsample(length, n).tolist() == expected

    @pytest.mark.parametrize("length", [64, 16, 61, 48, 80])
    @pytest.mark.parametrize("n", [4, 8, 13, 16, 32, 64])
    def test_positions_are_exact_fractions_truncated(self, length, n):
        exact = [int(Fraction(i * (length - 1), n - 1)) for i in range(n)]
        assert subsample(length, n).tolist() == exact

    def test_as_the_study_has_them(self):
        lengths = [*range(1, 70), 128, 250, 301]
        for length, n in itertools.product(lengths, [*range(1, 15), *range(16, 66, 2), 128]):
            expected = torch.linspace(0, length - 1, n).long()
            assert subsample(length, n).tolist() == expected.tolist(), (length, n)

    def test_in_the_middle_of_an_odd_number_they_do_not_depend_on_the_machine(self):
        # A little below 1, where a processor that rounds products as well finds 1.
        assert subsample(3, 15).tolist() == [0] * 8 + [1] * 6 + [2]

    def test_as_many_as_there_are_is_all(self):
        assert subsample(64, 64).tolist() == list(range(64))


class TestPermutation:
    def test_is_a_permutation_and_a_function_of_its_arguments(self):
        first = permutation(77, 0, 32)
        assert sorted(first.tolist()) == list(range(32))
        assert np.array_equal(first, permutation(77, 0, 32))
        assert not np.array_equal(first, permutation(78, 0, 32))
        assert not np.array_equal(first, permutation(77, 1, 32))

    def test_zero_is_the_natural_order(self):
        assert permutation(0, 1, 5).tolist() == [0, 1, 2, 3, 4]

    def test_golden(self):
        # Recorded once: a plan names its shuffles by seed alone.
        assert permutation(1, 0, 8).tolist() == [5, 0, 1, 4, 2, 6, 3, 7]
        assert permutation(2**31 - 1, 1, 8).tolist() == [1, 2, 3, 0, 6, 5, 4, 7]


class TestRawFrames:
    """Which raw frames of a window the inputs take."""

    @pytest.mark.parametrize(
        ("frames", "rate", "expected"),
        [(4, 3, [0, 3, 6, 9]), (4, 1, [0, 1, 2, 3]), (1, 5, [0]), (3, 30, [0, 30, 60])],
    )
    def test_exact_rate_is_multiples_of_the_rate(self, frames, rate, expected):
        # They used to be spread over frames * rate: 0, 3, 7, 11 for four frames, 3 apart.
        own = ClipGeometry((("video", frames),), rate, frames * rate, exact_rate=True)
        assert raw_frames(own) == [expected]

    def test_else_every_input_is_spread_from_the_first_frame_to_the_last(self):
        for window in (32, 61, 64):
            both = ClipGeometry((("slow", 8), ("fast", 32)), 2, window)
            assert raw_frames(both) == [subsample(window, n).tolist() for n in (8, 32)]
        assert raw_frames(ClipGeometry((("video", 8),), 8)) == [[0, 9, 18, 27, 36, 45, 54, 63]]
