"""Clips as pictures for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from datasets.flow_clips import MEAN, STD
from datasets.geometry import ClipGeometry, FlowGeometry, Geometry


def displayable(geometry: Geometry) -> Geometry:
    """The same frames and crop, but RGB values in 0..1 in place of those that the network wants."""
    if isinstance(geometry, FlowGeometry):
        return geometry
    return replace(
        geometry,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        channels="RGB",
        value_range=1,
        transform=None,
    )


def pictures(inputs: Sequence[Tensor], geometry: Geometry) -> np.ndarray:
    """The inputs of one clip, made by a displayable geometry, as uint8 [N, H, W, 3].

    These are the frames of the last input in order, or each frame followed by its flow images.
    """
    if isinstance(geometry, ClipGeometry):
        frames = inputs[-1].transpose(0, 1)  # [T, 3, H, W]
    else:
        parts = [x.reshape(geometry.frames, -1, 3, *geometry.size) for x in inputs]
        stacked = torch.cat(parts, 1).flatten(0, 1)  # frame, its flow, ... [N, 3, H, W]
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        frames = stacked * std + mean
    return (255 * frames.permute(0, 2, 3, 1)).round().clamp(0, 255).to(torch.uint8).numpy()
