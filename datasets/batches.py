"""From clips to batches of input tensors, which other processes may read."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common.files import require_regular
from datasets.chunks import Chunk, sources_of
from datasets.pair_plan import AnyClip
from datasets.readers import in_order
from utils import DataError, UserError


class FrameError(DataError):
    """A frame that cannot be decoded: its path and why."""


@dataclass(frozen=True)
class BadVideo:
    """A video with a frame that cannot be read.

    video: its name.
    reason: path of the frame, and what is wrong with it.
    """

    video: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Some clips and their inputs.

    clips: B clips.
    inputs: in the network's order, float32 [B, ...] each, such as [B, 3, T, H, W].
    """

    clips: list[Any]
    inputs: list[Tensor]


class Reader(Protocol):
    """What reads the clips of a data set; it is copied to other processes."""

    def read(self, clips: Sequence[Any]) -> Any:
        """All that clips of one source need. Raises FrameError for a frame that cannot be read."""

    def inputs(self, reading: Any, position: int, clip: Any) -> list[Tensor]:
        """The inputs of a clip of those read, given its position among them."""


# The longer side of a frame in shorter ones; where it is thousands, a scaled frame takes gigabytes.
LONGEST_SIDE = 32


def read_frame(path: Path) -> np.ndarray:
    """A frame as uint8 RGB [H, W, 3].

    Raises FrameError if it is no file or cannot be decoded, if it has more pixels than Pillow takes
    for sound (89 millions, 1 GB as floats), or if a side is over 32 times as long as the other.
    """
    try:
        require_regular(path)  # a pipe would never end
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _pixels(image, path)
    except (FrameError, MemoryError):
        raise
    except DataError as error:
        raise FrameError(str(error)) from None
    except Exception as error:  # a damaged file can raise anything
        raise FrameError(f"{path}: {error or type(error).__name__}") from None


def _pixels(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        raise FrameError(f"{path}: pixels of mode {image.mode}, expected 8 bits a channel")
    if max(image.size) > LONGEST_SIDE * min(image.size):
        raise FrameError(
            f"{path}: {image.width}x{image.height} pixels, expected a longer side of at most "
            f"{LONGEST_SIDE} times the shorter one"
        )
    opaque = image.convert("RGBA") if "transparency" in image.info else image
    return np.asarray(opaque.convert("RGB"))


@dataclass(frozen=True)
class _Reading:
    """What reads clips of one source, or says what is wrong with their video."""

    reader: Reader

    def __call__(self, group: Sequence[AnyClip]) -> Any:
        try:
            return self.reader.read(group)
        # Returned, not raised: they are dealt with where the batches are used, in one process.
        except FrameError as error:
            return BadVideo(group[0].video, str(error))
        except UserError as error:
            return error


def iter_batches(
    chunks: Iterable[Chunk],
    reader: Reader,
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> Generator[Batch | BadVideo, None, None]:
    """The batches of every chunk, and a `BadVideo` for each group of clips that cannot be read,
    which their batches lack.

    chunks: asked for one by one, when a reading of the next one can begin.

    Clips of one source must be next to each other in a chunk; their files are read once, by
    `num_workers` processes beside this one. With `pin_memory`, batches go to a GPU faster.

    Raises ReaderError (see `datasets.readers`) if one of these dies or hangs.
    """
    sizes: deque[int] = deque()  # of the batches that are asked for

    def groups() -> Iterator[list[Any]]:
        for chunk in chunks:
            sizes.extend(map(len, chunk))
            yield from sources_of([clip for batch in chunk for clip in batch])

    readings = in_order(_Reading(reader), groups(), _name, num_workers)
    ready: list[Any] = []
    waiting: list[list[Tensor]] = []
    left_out = 0
    with contextlib.closing(readings):
        for group, reading in readings:
            if isinstance(reading, UserError):
                raise reading
            if isinstance(reading, BadVideo):
                yield reading
            for position, clip in enumerate(group):
                if isinstance(reading, BadVideo):
                    left_out += 1
                else:
                    ready.append(clip)
                    waiting.append(reader.inputs(reading, position, clip))
                if len(ready) + left_out < sizes[0]:
                    continue
                if ready:
                    yield _batch(ready, waiting, pin_memory)
                ready, waiting, left_out = [], [], 0
                sizes.popleft()


def _name(group: Sequence[Any]) -> str:
    """What a group of clips is called in messages."""
    return f"video {group[0].video} (style {group[0].style})"


def _batch(clips: list[Any], inputs: list[list[Tensor]], pin_memory: bool) -> Batch:
    stacked = [torch.stack(own) for own in zip(*inputs, strict=True)]
    return Batch(clips, [x.pin_memory() for x in stacked] if pin_memory else stacked)
