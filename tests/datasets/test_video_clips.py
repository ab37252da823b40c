"""From frames to one network input: which frames are taken, their order, and preprocessing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from datasets.geometry import ClipGeometry
from datasets.video_clips import permutation, preprocess, raw_frames, subsample
from tests.datasets.helpers import noise
from tests.helpers import assert_close


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

    def test_as_many_as_there_are_is_all(self):
        assert subsample(64, 64).tolist() == list(range(64))


class TestPermutation:
    def test_is_a_permutation_and_a_function_of_its_arguments(self):
        first = permutation(77, 0, 32)
        assert sorted(first.tolist()) == list(range(32))
        assert torch.equal(first, permutation(77, 0, 32))
        assert not torch.equal(first, permutation(78, 0, 32))
        assert not torch.equal(first, permutation(77, 1, 32))

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


def slow_preprocess(frames: np.ndarray, geometry: ClipGeometry) -> np.ndarray:
    """The study's preprocessing by its definition, pixel by pixel, float64 [3, T, crop, crop]."""
    height, width = frames.shape[1:3]
    short = geometry.short_side
    if height <= width:
        size = short, int(np.floor(width / height * short))
    else:
        size = int(np.floor(height / width * short)), short
    top, left = (round((extent - geometry.crop) / 2) for extent in size)
    x = (frames / 255 - np.array(geometry.mean)) / np.array(geometry.std)
    out = np.empty((3, len(frames), geometry.crop, geometry.crop))
    for i in range(geometry.crop):
        y0, y1, y = points(i + top, height, size[0])
        for j in range(geometry.crop):
            x0, x1, z = points(j + left, width, size[1])
            above = (1 - z) * x[:, y0, x0] + z * x[:, y0, x1]
            below = (1 - z) * x[:, y1, x0] + z * x[:, y1, x1]
            out[:, :, i, j] = ((1 - y) * above + y * below).T
    return out


def points(target: int, old: int, new: int) -> tuple[int, int, float]:
    """The two old pixels around the centre of a new pixel, and the weight of the second."""
    centre = max((target + 0.5) * old / new - 0.5, 0.0)
    low = int(centre)
    return low, min(low + 1, old - 1), centre - low


def geometry(short_side: int, crop: int, **options) -> ClipGeometry:
    return ClipGeometry((("video", 2),), 1, short_side=short_side, crop=crop, **options)


class TestPreprocess:
    @pytest.mark.parametrize(
        ("height", "width", "short", "crop"),
        [
            pytest.param(32, 40, 32, 32, id="no scaling, cropped"),
            pytest.param(32, 40, 20, 16, id="smaller"),
            pytest.param(32, 40, 48, 40, id="larger"),
            pytest.param(40, 32, 48, 40, id="portrait"),
            pytest.param(33, 33, 20, 20, id="square"),
            # 53 / 37 * 24 = 34.4, so 34, and (34 - 19) / 2 = 7.5 rounds to 8 (to even).
            pytest.param(37, 53, 24, 19, id="margin 7.5 rounds to 8"),
            # 53 / 37 * 24 = 34.4, so 34, and (34 - 21) / 2 = 6.5 rounds to 6 (to even).
            pytest.param(53, 37, 24, 21, id="margin 6.5 rounds to 6"),
            pytest.param(9, 61, 18, 18, id="very wide"),
        ],
    )
    def test_equals_the_slow_definition(self, height, width, short, crop):
        frames = noise(2, seed=height, height=height, width=width)
        own = geometry(short, crop, mean=(0.4, 0.45, 0.5), std=(0.2, 0.225, 0.25))
        result = preprocess(torch.from_numpy(frames), own)
        assert result.shape == (3, 2, crop, crop)
        assert result.dtype == torch.float32
        assert_close(result, slow_preprocess(frames, own))

    def test_longer_side_is_truncated(self):
        # 91 columns, not 92: 53 / 37 * 64 = 91.7. The crop then starts at 13.5, rounded to 14;
        # with 92 columns every pixel would come from elsewhere.
        frames = noise(1, seed=1, height=37, width=53)
        own = geometry(64, 64)
        assert_close(preprocess(torch.from_numpy(frames), own), slow_preprocess(frames, own))

    @pytest.mark.parametrize(
        ("value", "expected"), [(0, -2.0), (255, 0.55 / 0.225), (51, -0.25 / 0.225)]
    )
    def test_values_by_hand(self, value, expected):
        frames = torch.full((2, 40, 60, 3), value, dtype=torch.uint8)
        result = preprocess(frames, geometry(32, 24))
        assert_close(result, torch.full((3, 2, 24, 24), expected), 1e-5)

    def test_channels_have_their_own_mean_and_std(self):
        frames = torch.tensor([51, 102, 204], dtype=torch.uint8).expand(1, 8, 8, 3)
        own = geometry(8, 8, mean=(0.1, 0.2, 0.3), std=(0.1, 0.4, 0.5))
        assert preprocess(frames, own)[:, 0, 0, 0].tolist() == pytest.approx([1.0, 0.5, 1.0])

    def test_crop_is_in_the_middle(self):
        frames = torch.zeros(1, 8, 12, 3, dtype=torch.uint8)
        frames[0, 2:6, 4:8] = 255
        assert preprocess(frames, geometry(8, 4)).min() > 2
        assert preprocess(frames, geometry(8, 6))[0, 0].gt(0).sum() == 16
