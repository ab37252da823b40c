"""From frames to one network input: preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.geometry import ClipGeometry
from datasets.video_clips import preprocess
from tests.datasets.helpers import noise
from tests.helpers import assert_close


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
