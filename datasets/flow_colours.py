"""Optical flow as colour images: direction is hue, length is saturation."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.utils import flow_to_image


def flow_image(flow: np.ndarray) -> np.ndarray:
    """The picture, uint8 [H, W, 3], of a flow in pixels, float32 [2, H, W] (x, y).

    The colour wheel is that of Baker et al. (IJCV 2011) as torchvision has it; the longest vector
    of the image gets the full colours. Raises ValueError for NaN or inf.
    """
    if not np.isfinite(flow).all():
        raise ValueError("a flow with NaN or inf has no picture")
    picture = flow_to_image(torch.from_numpy(np.ascontiguousarray(flow, dtype=np.float32)))
    return picture.permute(1, 2, 0).numpy()
