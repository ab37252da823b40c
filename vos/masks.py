"""Masks of DAVIS: read from annotations, and made of a network's probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from utils import DataError
from vos.modules.parts import resize


def mask_of(probability: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """Where a probability [H', W'], resized bilinearly, is above 0.5, bool [H, W] of `size`."""
    return (resize(probability[None, None], size)[0, 0] > 0.5).cpu().numpy()


def read_mask(path: Path) -> np.ndarray:
    """The object in an annotation, bool [H, W].

    Object is what is not 0 in a palette file or one of 0 and 1, and 128 or more in one of 0 and
    255 (the first channel of colours). Raises DataError for any other file.
    """
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: the mask cannot be read: {error}") from None
    values = pixels[..., 0] if pixels.ndim == 3 else pixels
    top = int(values.max())
    if mode in ("P", "1") or top <= 1:
        return values != 0
    if values.dtype != np.uint8 or top < 128:
        raise DataError(
            f"{path}: a mask of mode {mode} with values up to {top}; expected 0 and 255, 0 and 1, "
            "or a palette"
        )
    return values >= 128
