"""Region similarity of masks as the DAVIS benchmark has it (Perazzi et al., CVPR 2016).

J of a frame is the intersection of two masks over their union. A sequence is summed up by mean,
recall and decay, as in the benchmark's own code. Letters in shape comments: H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle

RECALL_ABOVE = 0.5


@dataclass(frozen=True)
class Similarity:
    """mean: of J, in [0, 1]. recall: share of frames with J above 0.5. decay: of J from the first
    quarter of the frames to the last, in [-1, 1]; negative where it grows."""

    mean: float
    recall: float
    decay: float


def jaccard(mask: np.ndarray, truth: np.ndarray) -> float:
    """J of two masks, bool [H, W], in [0, 1]: 1 where both are empty, which then agree.

    Raises ValueError for masks of different sizes.
    """
    if mask.shape != truth.shape:
        raise ValueError(f"masks of different sizes: {mask.shape} and {truth.shape}")
    if not mask.any() and not truth.any():
        return 1.0
    found, expected = (rle.encode(np.asfortranarray(m, dtype=np.uint8)) for m in (mask, truth))
    return float(rle.iou([found], [expected], [False])[0, 0])


def summary(values: Sequence[float] | np.ndarray) -> Similarity:
    """Mean, recall and decay of the J of a sequence's frames, in order.

    Raises ValueError where there is none.
    """
    j = np.asarray(values, dtype=np.float64)  # [frames]
    if j.ndim != 1 or not j.size:
        raise ValueError(f"J of frames of shape {j.shape}; expected a list of at least one")
    first, last = _outer_quarters(len(j))
    decay = j[first].mean() - j[last].mean()
    return Similarity(float(j.mean()), float((j > RECALL_ABOVE).mean()), float(decay))


def _outer_quarters(n: int) -> tuple[slice, slice]:
    """The first and the last of four quarters of `n` frames.

    Five equidistant positions from the first to the last frame, halves rounded up, are the
    borders; a border frame belongs to the quarters on both of its sides.
    """
    # In integers: 0-based position k is (n - 1) k / 4, and floor(x + 1/2) rounds halves up.
    one, three = ((2 * (n - 1) * k + 4) // 8 for k in (1, 3))
    return slice(0, one + 1), slice(three, n)


def average(sequences: Iterable[Similarity]) -> Similarity:
    """Each number's mean over sequences, at least one: each counts once, however long it is."""
    table = np.array([(s.mean, s.recall, s.decay) for s in sequences])  # [sequences, 3]
    return Similarity(*table.mean(0).tolist())
