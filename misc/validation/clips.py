"""Clips of validation: synthetic or real frames, changed in one thing, and the features of them.

Letters in shape comments: T frames, H and W pixels, V videos, S styles, C units.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets.batches import read_frame
from datasets.geometry import ClipGeometry
from datasets.synthetic import draw_video, render_at
from datasets.taken_frames import raw_frames
from datasets.video_clips import preprocess
from datasets.video_layouts import find_videos
from datasets.videos import check_frames
from measure.features import LoadedNetwork
from utils import DataError

# Of frames uint8 [T, H, W, 3] and a generator that is the same for a video in a style.
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
# Places of frames, from their number and a generator that is the same for a video in a style.
Order = Callable[[int, np.random.Generator], np.ndarray]

SYNTHETIC_FRAMES = 24
# Added to seeds, so that draws for different purposes are independent.
_START, _CHANGE, _ORDER = 11, 12, 13


@dataclass(frozen=True)
class Footage:
    """Videos in styles, frame by frame.

    name: what they are called in tables.
    videos: how many there are.
    styles: their ids.
    read: from video, style and the number of raw frames of a window, the places in it that are
        shown, to frames uint8 [T, H, W, 3].
    """

    name: str
    videos: int
    styles: tuple[str, ...]
    read: Callable[[int, str, int, Sequence[int]], np.ndarray]

    def of_styles(self, n: int) -> Footage:
        """The same videos in the first `n` styles."""
        return Footage(self.name, self.videos, self.styles[:n], self.read)


def synthetic(seed: int, videos: int, n_styles: int = 4, size: int = 64) -> Footage:
    """Synthetic videos, rendered as they are asked for, from random starts."""

    def read(video: int, style: str, window: int, places: Sequence[int]) -> np.ndarray:
        rng = np.random.default_rng([seed, video, _START])
        start = int(rng.integers(0, max(0, SYNTHETIC_FRAMES - window), endpoint=True))
        return render_at(draw_video(seed, video), int(style), start + np.array(places), size)

    return Footage("synthetic", videos, tuple(str(k + 1) for k in range(n_styles)), read)


def stored(folder: Path, styles: Sequence[str]) -> Footage:
    """Videos in the plain layout, from the middle of each. Raises DataError for unreadable ones."""
    found = find_videos("plain", folder, styles, start="middle")
    names = list(found.videos)
    frames, problems = check_frames(found, ((name, s) for name in names for s in styles))
    if problems:
        raise DataError(f"{folder}: {next(iter(problems.values()))}")

    def read(video: int, style: str, window: int, places: Sequence[int]) -> np.ndarray:
        own = found.videos[names[video]]
        start = own.start + max(0, own.length - window) // 2
        positions = found.positions(own.name, start, window)
        shown = frames[own.name, style]
        return np.stack([read_frame(shown.path(positions[place])) for place in places])

    return Footage("real", len(names), tuple(styles), read)


# ---- What is changed.


def as_it_is(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing."""
    return frames


def frozen(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every frame is the first one."""
    return np.repeat(frames[:1], len(frames), 0)


def flicker(amount: float) -> Change:
    """Every frame has its own gain of each colour, with this standard deviation about 1."""

    def change(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gains = 1 + amount * rng.standard_normal((len(frames), 1, 1, 3))
        return np.clip(np.rint(frames * gains), 0, 255).astype(np.uint8)

    return change


def jpeg(quality: int) -> Change:
    """Every frame goes through JPEG at this quality."""

    def coded(frame: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return lambda frames, rng: np.stack([coded(frame) for frame in frames])


def cropped(share: float) -> Change:
    """The centre of every frame, so much of its height and width."""

    def change(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = (max(1, round(share * side)) for side in frames.shape[1:3])
        top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
        return np.ascontiguousarray(frames[:, top : top + height, left : left + width])

    return change


def shuffled(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random permutation."""
    return rng.permutation(n)


def backwards(n: int, rng: np.random.Generator) -> np.ndarray:
    """From the last to the first."""
    return np.arange(n)[::-1]


# ---- Features.


def features(
    network: LoadedNetwork,
    geometry: ClipGeometry,
    footage: Footage,
    change: Change = as_it_is,
    order: Order = shuffled,
    seed: int = 1,
) -> Mapping[str, np.ndarray]:
    """The features of every stage, float32 [V * S * 2, C], rows as in `designs`."""
    found: dict[str, list[np.ndarray]] = {stage: [] for stage in network.points}
    for video in range(footage.videos):
        clips = torch.stack(
            [
                clip
                for style in footage.styles
                for clip in two_orders(geometry, footage, video, style, change, order, seed)
            ]
        )  # [S * 2, 3, T, H, W]
        for stage, values in network.features([clips]).items():
            found[stage].append(values)
    return {stage: np.concatenate(values) for stage, values in found.items()}


def two_orders(
    geometry: ClipGeometry,
    footage: Footage,
    video: int,
    style: str,
    change: Change,
    order: Order,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip [3, T, H, W] of a video in a style, and the same frames in the other order."""
    own = [seed, video, int(style)]
    places = raw_frames(geometry)[0]
    frames = footage.read(video, style, geometry.window, places)
    frames = change(frames, np.random.default_rng([*own, _CHANGE]))
    clip = preprocess(torch.from_numpy(frames), geometry)
    other = order(clip.shape[1], np.random.default_rng([*own, _ORDER])).copy()
    return clip, clip[:, other]
