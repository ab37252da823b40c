"""The colour jitter of flow images, by which the second clip of a static pair differs.

Hue and saturation change, as in the study: what stands for the direction and length of motion.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F

# Where the ranges are drawn from that a frame's shift of hue and factor of saturation are in.
HUE, SATURATION = (0.1, 0.5), (0.1, 1.0)


@dataclass(frozen=True)
class Jitter:
    """A change of colours.

    hue: its shift, in turns.
    saturation: its factor.
    hue_first: whether hue is changed first.
    """

    hue: float
    saturation: float
    hue_first: bool

    def __call__(self, image: Image.Image) -> Image.Image:
        steps = [
            lambda x: F.adjust_saturation(x, self.saturation),
            lambda x: F.adjust_hue(x, self.hue),
        ]
        for step in reversed(steps) if self.hue_first else steps:
            image = step(image)
        return image


def sample_jitters(seed: int, video: str, frame: str, n: int) -> list[Jitter]:
    """The jitters of a frame's `n` flow images, a function of seed, sequence and frame alone.

    As in the study, each frame has ranges of its own, and each flow image values in these.
    """
    names = [zlib.crc32(text.encode()) for text in (video, frame)]
    rng = np.random.default_rng([seed, *names])
    hue, saturation = rng.uniform(*HUE), rng.uniform(*SATURATION)
    return [
        Jitter(
            hue=float(rng.uniform(-hue, hue)),
            saturation=float(rng.uniform(max(0, 1 - saturation), 1 + saturation)),
            hue_first=bool(rng.integers(2)),
        )
        for _ in range(n)
    ]
