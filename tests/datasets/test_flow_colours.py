"""Flow as colour images: hue by direction, saturation by length."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from datasets.flow_colours import flow_image


def uniform(x: float, y: float) -> np.ndarray:
    flow = np.zeros((2, 4, 6), np.float32)
    flow[0], flow[1] = x, y
    return flow


@pytest.mark.parametrize(
    ("x", "y", "colour"),
    [
        # The wheel has 55 places: 15 from red to yellow, then 6, 4, 11, 13 and 6 back to red by
        # green, cyan, blue and magenta. Right is its start; left is half way round, at 27; down
        # and up are at 13.5 and 40.5.
        pytest.param(1, 0, (255, 0, 0), id="right: red"),
        pytest.param(-1, 0, (0, 255 - 255 * 2 / 11, 255), id="left: 2 of 11 from cyan to blue"),
        pytest.param(0, 1, (255, 255 * 13.5 / 15, 0), id="down: 13.5 of 15 from red to yellow"),
        pytest.param(0, -1, (255 * 4.5 / 13, 0, 255), id="up: 4.5 of 13 from blue to magenta"),
    ],
)
def test_direction_is_hue(x, y, colour):
    picture = flow_image(uniform(x, y))
    assert (picture.shape, picture.dtype) == ((4, 6, 3), np.uint8)
    assert (picture == picture[0, 0]).all()
    np.testing.assert_allclose(picture[0, 0].astype(float), colour, atol=2)


def test_length_is_saturation_and_the_longest_vector_has_all_of_it():
    flow = uniform(0, 0)
    flow[0] = [0, 1, 2, 3, 4, 8]
    picture = flow_image(flow)
    saturation = [colorsys.rgb_to_hsv(*(pixel / 255.0))[1] for pixel in picture[0]]
    np.testing.assert_allclose(saturation, [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 1], atol=0.01)
    assert (picture[:, 0] == 255).all()
    np.testing.assert_array_equal(picture, flow_image(100 * flow))


def test_no_motion_is_white():
    assert (flow_image(uniform(0, 0)) == 255).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_flow_without_a_picture_is_refused(value):
    flow = uniform(1, 1)
    flow[0, 2, 3] = value
    with pytest.raises(ValueError, match="NaN or inf"):
        flow_image(flow)
