"""Masks: those of annotations of every form, and those of probabilities."""

import numpy as np
import pytest
import torch
from PIL import Image

from utils import DataError
from vos.masks import mask_of, read_mask


def test_one_probability_is_resized_bilinearly_and_cut_at_a_half():
    probability = torch.tensor([[0.9, 0.3]])

    # Between the two: 0.9, 0.75, 0.45, 0.3.
    assert mask_of(probability, (1, 4)).tolist() == [[True, True, False, False]]
    assert not mask_of(torch.tensor([[0.5]]), (1, 1)).any()


@pytest.mark.parametrize(
    ("pixels", "mode", "expected"),
    [
        pytest.param([[0, 127, 128, 255]], "L", [[0, 0, 1, 1]], id="0 and 255"),
        pytest.param([[0, 1, 1, 0]], "L", [[0, 1, 1, 0]], id="0 and 1"),
        pytest.param([[0, 1, 2, 0]], "P", [[0, 1, 1, 0]], id="palette of objects"),
        pytest.param([[0, 0, 0, 0]], "L", [[0, 0, 0, 0]], id="empty"),
        pytest.param([[[0, 255, 255], [255, 0, 0]]], "RGB", [[0, 1]], id="first of the colours"),
    ],
)
def test_object_of_an_annotation(pixels, mode, expected, tmp_path):
    image = Image.fromarray(np.array(pixels, dtype=np.uint8))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    assert image.mode == mode
    image.save(tmp_path / "mask.png")

    mask = read_mask(tmp_path / "mask.png")

    assert mask.dtype == bool
    assert mask.astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        pytest.param(np.uint8([[0, 1, 2]]), "values up to 2; expected 0 and 255", id="grey ids"),
        pytest.param(np.uint16([[0, 65535]]), "mode I", id="16 bits"),
    ],
)
def test_other_annotations_are_refused(pixels, words, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "mask.png")

    with pytest.raises(DataError, match=words):
        read_mask(tmp_path / "mask.png")
