"""From frames to one network input: sampling, preprocessing, and reading of frame files."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.clips import FrameError, permutation, preprocess, read_frame, subsample
from datasets.geometry import ClipGeometry, ClipOptions
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
        y0, y1, y = taps(i + top, height, size[0])
        for j in range(geometry.crop):
            x0, x1, z = taps(j + left, width, size[1])
            above = (1 - z) * x[:, y0, x0] + z * x[:, y0, x1]
            below = (1 - z) * x[:, y1, x0] + z * x[:, y1, x1]
            out[:, :, i, j] = ((1 - y) * above + y * below).T
    return out


def taps(target: int, old: int, new: int) -> tuple[int, int, float]:
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


class TestReadFrame:
    @pytest.mark.parametrize(
        ("mode", "pixel", "expected"),
        [
            pytest.param("RGB", (10, 20, 30), (10, 20, 30), id="RGB"),
            pytest.param("L", 77, (77, 77, 77), id="grayscale"),
            pytest.param("RGBA", (10, 20, 30, 40), (10, 20, 30), id="RGBA loses its alpha"),
            pytest.param("LA", (9, 40), (9, 9, 9), id="grayscale with alpha"),
            pytest.param("1", 1, (255, 255, 255), id="black and white"),
        ],
    )
    def test_modes(self, tmp_path, mode, pixel, expected):
        Image.new(mode, (6, 4), pixel).save(tmp_path / "1.png")
        frame = read_frame(tmp_path / "1.png")
        assert frame.dtype == np.uint8
        assert frame.shape == (4, 6, 3)
        assert (frame == expected).all()

    @pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"], ids=["none", "index", "bytes"])
    def test_palette(self, tmp_path, transparency):
        # Pillow warns where it converts bytes of transparency to RGB; here warnings are errors.
        image = Image.new("P", (6, 4), 1)
        image.putpalette([0, 0, 0, 200, 100, 50])
        options = {} if transparency is None else {"transparency": transparency}
        image.save(tmp_path / "1.png", **options)
        assert (read_frame(tmp_path / "1.png") == (200, 100, 50)).all()

    def test_sixteen_bits_are_not_clipped(self, tmp_path):
        # Pillow's convert("RGB") would make any such frame white. Half of white is 0x8000.
        Image.fromarray(np.full((4, 6), 0x8000, dtype=np.uint16)).save(tmp_path / "1.png")
        with contextlib.suppress(FrameError):
            assert (read_frame(tmp_path / "1.png") == 128).all()

    def test_jpeg_and_png_of_the_same_picture_are_alike(self, tmp_path):
        Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "1.png")
        Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "1.jpg", quality=95)
        png, jpg = (read_frame(tmp_path / f"1.{ext}").astype(int) for ext in ("png", "jpg"))
        assert abs(png - jpg).max() <= 3

    @pytest.mark.parametrize("ext", ["png", "jpg"])
    @pytest.mark.parametrize("damage", ["empty", "junk", "truncated", "header only"])
    def test_damaged_file_is_refused_with_its_path(self, tmp_path, ext, damage):
        path = tmp_path / f"frame_7.{ext}"
        Image.fromarray(noise(1, 0, 64, 64)[0]).save(path)
        content = path.read_bytes()
        kept = {
            "empty": b"",
            "junk": b"no image at all",
            "truncated": content[: len(content) // 2],
            "header only": content[:40],
        }
        path.write_bytes(kept[damage])
        with pytest.raises(FrameError, match=rf"frame_7\.{ext}: \w"):
            read_frame(path)

    def test_flipped_bytes_inside_a_png_are_refused(self, tmp_path):
        path = tmp_path / "frame_7.png"
        Image.fromarray(noise(1, 0, 64, 64)[0]).save(path)
        content = bytearray(path.read_bytes())
        content[2000:2010] = bytes(255 - b for b in content[2000:2010])
        path.write_bytes(content)
        with pytest.raises(FrameError, match=r"frame_7\.png"):
            read_frame(path)

    def test_missing_file_is_refused_with_its_path(self, tmp_path):
        with pytest.raises(FrameError, match=r"nowhere\.png"):
            read_frame(tmp_path / "nowhere.png")


class TestGeometry:
    def test_resized_keeps_the_proportion_of_short_side_and_crop(self):
        x3d = geometry(182, 160)
        assert x3d.changed(ClipOptions(crop=80)).short_side == 91
        assert x3d.changed(ClipOptions(crop=80)).crop == 80
        assert x3d.changed(ClipOptions(window=24)) == geometry(182, 160, window=24)
        assert x3d.changed(ClipOptions()) == x3d

    def test_alpha(self):
        assert ClipGeometry((("slow", 8), ("fast", 32)), 2).alpha == 4
        assert geometry(32, 32).alpha is None
