"""Which frames of a window the inputs of a network take, and in which order. Imports no torch."""

from __future__ import annotations

import numpy as np

from datasets.geometry import ClipGeometry


def subsample(length: int, n: int) -> np.ndarray:
    """`n` equidistant positions from 0 to length - 1, truncated (in float32), int64 [n].

    >>> subsample(64, 8).tolist()
    [0, 9, 18, 27, 36, 45, 54, 63]
    """
    # As torch.linspace has them, which the study's code takes: its steps are counted from the
    # nearer end, and rounded once, after they were multiplied.
    step = float(np.float32((length - 1) / max(n - 1, 1)))
    at = np.arange(n)
    spread = np.where(at < n // 2, step * at, length - 1 - step * (n - 1 - at))
    return spread.astype(np.float32).astype(np.int64) if n > 1 else np.zeros(n, dtype=np.int64)


def permutation(shuffle: int, input_index: int, n: int) -> np.ndarray:
    """The order of the `n` frames of an input of a shuffled clip, int64 [n]; one for each input."""
    if shuffle == 0:
        return np.arange(n)
    return np.random.default_rng([shuffle, input_index]).permutation(n)


def raw_frames(geometry: ClipGeometry) -> list[list[int]]:
    """The raw frames that each input takes of a window, as positions from its first frame.

    >>> raw_frames(ClipGeometry((("video", 4),), 2, window=8))
    [[0, 2, 4, 7]]
    >>> raw_frames(ClipGeometry((("video", 4),), 2, window=8, exact_rate=True))
    [[0, 2, 4, 6]]
    """
    if geometry.exact_rate:
        return [[i * geometry.sampling_rate for i in range(n)] for _, n in geometry.inputs]
    return [subsample(geometry.window, n).tolist() for _, n in geometry.inputs]
