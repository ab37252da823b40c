"""From clips to batches of input tensors, read in processes beside the main one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.pairs import AnyClip
from utils import DataError


class FrameError(DataError):
    """A frame that cannot be decoded: its path and why."""


@dataclass(frozen=True)
class BadVideo:
    """A video that turned out to be unreadable.

    video: its name.
    reason: the frame, and what is wrong with it.
    """

    video: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Clips, and their inputs in the network's order, e.g. [B, 3, T, H, W] float32 each."""

    clips: list[Any]
    inputs: list[Tensor]


class Reader(Protocol):
    """How a data set reads clips. Sent to other processes."""

    def read(self, clips: Sequence[Any]) -> Any:
        """What is read, once, for clips of the same frames. Raises FrameError if it cannot be."""

    def inputs(self, reading: Any, position: int, clip: Any) -> list[Tensor]:
        """The inputs of a clip of what was read, given the clip's position in its group."""


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


class _Readings(Dataset):
    """Item i: what `groups[i]` was read as, or what could not be read."""

    def __init__(self, groups: Sequence[Sequence[AnyClip]], reader: Reader):
        self.groups, self.reader = groups, reader

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Any:
        group = self.groups[index]
        try:
            return self.reader.read(group)
        except FrameError as error:
            # Returned, not raised: what to do about it is decided where the batches are used.
            return BadVideo(group[0].video, str(error))


def iter_batches(
    clips: Sequence[Any],
    reader: Reader,
    *,
    batch_size: int,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch | BadVideo]:
    """Batches of up to `batch_size` clips in the given order, or the video that is unreadable.

    Clips of the same frames must stand together; their files are read once, in `num_workers`
    processes beside this one. With `pin_memory` they go to a GPU faster.
    """
    groups = [list(group) for _, group in itertools.groupby(clips, key=lambda clip: clip.source)]
    loader = DataLoader(
        _Readings(groups, reader),
        batch_size=None,
        num_workers=min(num_workers, len(groups)),
        shuffle=False,
    )
    ready: list[Any] = []
    waiting: list[list[Tensor]] = []
    for group, reading in zip(groups, loader, strict=True):
        if isinstance(reading, BadVideo):
            yield reading
            continue
        for position, clip in enumerate(group):
            ready.append(clip)
            waiting.append(reader.inputs(reading, position, clip))
            if len(ready) == batch_size:
                yield _batch(ready, waiting, pin_memory)
                ready, waiting = [], []
    if ready:
        yield _batch(ready, waiting, pin_memory)


def _batch(clips: list[Any], inputs: list[list[Tensor]], pin_memory: bool) -> Batch:
    stacked = [torch.stack(own) for own in zip(*inputs, strict=True)]
    return Batch(clips, [x.pin_memory() for x in stacked] if pin_memory else stacked)
