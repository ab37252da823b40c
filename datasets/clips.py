"""From clips to input tensors: only the frames that the network sees, each decoded once.

Sampling and preprocessing are those of the study: a window of raw frames, of which every input
takes a uniform subsample; /255, mean and std, short side (bilinear), centre crop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from datasets.geometry import ClipGeometry, apply_transform
from datasets.plan import Clip
from datasets.videos import Frames, VideoSet
from utils import DataError


class FrameError(DataError):
    """A frame that cannot be decoded: its path and why."""


@dataclass(frozen=True)
class BadVideo:
    """A video that turned out to be unreadable, the frame and the reason."""

    video: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Clips and their inputs, in the network's order, e.g. [B, 3, T, H, W] float32 each."""

    clips: list[Any]
    inputs: list[Tensor]


def subsample(length: int, n: int) -> Tensor:
    """`n` equidistant positions from 0 to length - 1, truncated (in float32), int64 [n].

    >>> subsample(64, 8).tolist()
    [0, 9, 18, 27, 36, 45, 54, 63]
    """
    return torch.linspace(0, length - 1, n).long()


def permutation(shuffle: int, input_index: int, n: int) -> Tensor:
    """The order of the `n` frames of one input of a shuffled clip, int64 [n]; own per input."""
    if shuffle == 0:
        return torch.arange(n)
    return torch.from_numpy(np.random.default_rng([shuffle, input_index]).permutation(n))


def read_frame(path: Path) -> np.ndarray:
    """A frame as uint8 RGB [H, W, 3]. Raises FrameError if it cannot be decoded."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise FrameError(f"{path}: pixels of mode {image.mode}, expected 8 bits a channel")
            opaque = image.convert("RGBA") if "transparency" in image.info else image
            return np.asarray(opaque.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FrameError(f"{path}: {error}") from None


def preprocess(frames: Tensor, geometry: ClipGeometry) -> Tensor:
    """Frames uint8 [T, H, W, 3] (RGB) as a network input float32 [3, T, crop, crop]."""
    if geometry.transform:
        return apply_transform(geometry.transform, frames, geometry.crop)
    x = frames.permute(3, 0, 1, 2).float() / (255 / geometry.value_range)  # [3, T, H, W]
    if geometry.channels == "BGR":
        x = x.flip(0)
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (geometry.mean, geometry.std))
    x = (x - mean) / std
    height, width = x.shape[2:]
    # The longer side is truncated, as in PyTorchVideo's short_side_scale.
    size = [int(v / min(height, width) * geometry.short_side) for v in (height, width)]
    if size != [height, width]:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    top, left = (round((v - geometry.crop) / 2) for v in size)
    return x[:, :, top : top + geometry.crop, left : left + geometry.crop].contiguous()


class _Readings(Dataset):
    """Item i: the inputs of the clips in `groups[i]`, which show the same frames, unshuffled."""

    def __init__(
        self,
        groups: Sequence[Sequence[Clip]],
        videos: VideoSet,
        frames: dict[tuple[str, str], Frames],
        geometry: ClipGeometry,
    ):
        self.groups, self.videos = groups, videos
        self.frames, self.geometry = frames, geometry

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> list[Tensor] | BadVideo:
        clip = self.groups[index][0]
        try:
            return self._read(clip)
        except FrameError as error:
            # Returned, not raised: what to do about it is decided where the batches are used.
            return BadVideo(clip.video, str(error))

    def _read(self, clip: Clip) -> list[Tensor]:
        geometry, frames = self.geometry, self.frames[clip.video, clip.style]
        positions = self.videos.positions(clip.video, clip.start, geometry.window)
        rows = [subsample(geometry.window, n).tolist() for _, n in geometry.inputs]
        seen = sorted({positions[row] for taken in rows for row in taken})
        decoded = {position: read_frame(frames.path(position)) for position in seen}
        sizes = {image.shape for image in decoded.values()}
        if len(sizes) > 1:
            raise FrameError(f"{frames.folder}: frames of unequal size: {sorted(sizes)}")
        unique = preprocess(torch.from_numpy(np.stack([decoded[p] for p in seen])), geometry)
        place = {position: i for i, position in enumerate(seen)}
        return [unique[:, [place[positions[row]] for row in taken]] for taken in rows]


def iter_batches(
    clips: Sequence[Clip],
    videos: VideoSet,
    frames: dict[tuple[str, str], Frames],
    geometry: ClipGeometry,
    *,
    batch_size: int,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch | BadVideo]:
    """Batches of up to `batch_size` clips in the given order, or the video that is unreadable.

    Clips that show the same frames must stand together; their frames are read once.
    """
    groups = by_source(clips)
    readings = _Readings(groups, videos, frames, geometry)
    return batches_of(
        groups,
        readings,
        lambda reading, position, clip: _ordered(reading, clip.shuffle),
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=pin_memory,
    )


def by_source(clips: Sequence[Any]) -> list[list[Any]]:
    """Clips that show the same frames, which stand together, in groups."""
    return [list(group) for _, group in itertools.groupby(clips, key=lambda clip: clip.source)]


def batches_of(
    groups: Sequence[Sequence[Any]],
    readings: Dataset,
    inputs: Callable[[Any, int, Any], list[Tensor]],
    *,
    batch_size: int,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch | BadVideo]:
    """Batches of up to `batch_size` clips in the order of `groups`, or what is unreadable.

    Item i of `readings` is what group i was read as, in `num_workers` processes beside this one;
    `inputs` makes the inputs of a clip of it, given the clip's position in its group.
    """
    loader = DataLoader(
        readings, batch_size=None, num_workers=min(num_workers, len(groups)), shuffle=False
    )
    ready: list[Any] = []
    waiting: list[list[Tensor]] = []
    for group, reading in zip(groups, loader, strict=True):
        if isinstance(reading, BadVideo):
            yield reading
            continue
        for position, clip in enumerate(group):
            ready.append(clip)
            waiting.append(inputs(reading, position, clip))
            if len(ready) == batch_size:
                yield _batch(ready, waiting, pin_memory)
                ready, waiting = [], []
    if ready:
        yield _batch(ready, waiting, pin_memory)


def _ordered(reading: list[Tensor], shuffle: int) -> list[Tensor]:
    if shuffle == 0:
        return reading
    return [x[:, permutation(shuffle, i, x.shape[1])] for i, x in enumerate(reading)]


def _batch(clips: list[Any], inputs: list[list[Tensor]], pin_memory: bool) -> Batch:
    stacked = [torch.stack(own) for own in zip(*inputs, strict=True)]
    return Batch(clips, [x.pin_memory() for x in stacked] if pin_memory else stacked)
