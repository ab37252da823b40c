"""The four built-in styles of misc/stylize.py, on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from misc import stylize
from misc.stylize import STYLES
from tests.datasets.helpers import noise


def halves(left: tuple[int, ...], right: tuple[int, ...]) -> Image.Image:
    """A picture of 32 x 32 pixels, each half of one colour."""
    image = Image.new("RGB", (32, 32), left)
    image.paste(right, (16, 0, 32, 32))
    return image


@pytest.mark.parametrize("style", STYLES.values(), ids=lambda style: style.__name__)
@pytest.mark.parametrize("size", [(32, 32), (37, 16), (16, 90)], ids=str)
def test_style_keeps_the_size_and_the_frame_and_is_deterministic(style, size):
    frame = Image.fromarray(noise(1, 3, size[1], size[0])[0])
    before = frame.tobytes()
    one, two = style(frame), style(frame)
    assert (one.size, one.mode) == (size, "RGB")
    assert one.tobytes() == two.tobytes()
    assert frame.tobytes() == before


def test_gouache_is_flat_and_keeps_the_place_of_colours():
    speckled = np.asarray(halves((200, 70, 70), (70, 70, 200))).copy()
    speckled[8, 8] = speckled[24, 24] = 0  # single pixels, which no brush paints
    drawn = np.asarray(stylize.gouache(Image.fromarray(speckled)))
    assert len({tuple(colour) for colour in drawn[:, :12].reshape(-1, 3)}) == 1
    assert len({tuple(colour) for colour in drawn[:, 20:].reshape(-1, 3)}) == 1
    assert drawn[0, 0, 0] > drawn[0, 0, 2] + 100
    assert drawn[0, -1, 2] > drawn[0, -1, 0] + 100


def test_blueprint_draws_contours_on_dark_blue():
    drawn = np.asarray(stylize.blueprint(halves((0, 0, 0), (255, 255, 255)))).astype(int)
    blue = (0x0B, 0x2A, 0x5B)
    # Up to the margin, and none along it.
    for columns in (slice(0, 11), slice(21, 32)):
        assert (drawn[:, columns] == blue).all()
    assert (drawn[1:-1, 11:21].max(1) > 200).all()  # between the halves


def test_mosaic_has_tiles_of_four_pixels_and_turns_hues_by_a_third():
    drawn = np.asarray(stylize.mosaic(Image.fromarray(noise(1, 5, 24, 32)[0])))
    tiles = drawn.reshape(6, 4, 8, 4, 3)
    assert (tiles == tiles[:, :1, :, :1]).all()
    assert len(np.unique(tiles[:, 0, :, 0].reshape(-1, 3), axis=0)) > 40
    red, blue = np.asarray(stylize.mosaic(halves((255, 0, 0), (0, 0, 255))))[0, [0, -1]]
    # PIL keeps hue in 256 steps, which are 6 of 255 apart.
    np.testing.assert_allclose(red.astype(int), (0, 255, 0), atol=7)  # red becomes green
    np.testing.assert_allclose(blue.astype(int), (255, 0, 0), atol=7)  # blue becomes red


def test_halftone_has_two_colours_and_more_of_the_bright_one_where_it_is_bright():
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 16, 0)
    drawn = np.asarray(stylize.halftone(Image.fromarray(np.stack([ramp] * 3, 2))))
    assert {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()} == {
        (0x20, 0x12, 0x0A),
        (0xFF, 0x9A, 0x3C),
    }
    orange = (drawn[..., 0] == 0xFF).reshape(16, 4, 16).mean((0, 2))  # by quarter of the ramp
    # A quarter's mean brightness is 1/8, 3/8, 5/8 or 7/8; thresholds are 16 equidistant ones.
    np.testing.assert_allclose(orange, [1 / 8, 3 / 8, 5 / 8, 7 / 8], atol=0.04)


def test_styles_look_different():
    frame = Image.fromarray(noise(1, 3, 8, 8)[0]).resize((64, 64), Image.Resampling.BICUBIC)
    looks = [np.asarray(style(frame)).astype(float) for style in STYLES.values()]
    looks.append(np.asarray(frame).astype(float))
    for i, look in enumerate(looks):
        assert all(np.abs(look - other).mean() > 20 for other in looks[:i])
