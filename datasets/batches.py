"""From clips to batches of input tensors, which other processes may read."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
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
    clip: the first one that shows it, of those that are read together.
    """

    video: str
    reason: str
    clip: Any


@dataclass(frozen=True)
class Batch:
    """Some clips and their inputs.

    clips: B clips.
    inputs: in the network's order, float32 [B, ...] each, such as [B, 3, T, H, W]; on the GPU if
        the network is on one.
    """

    clips: list[Any]
    inputs: list[Tensor]


@dataclass(frozen=True)
class Shown:
    """What a clip shows of its source, which is copied once: into its batch.

    x: all frames or pictures that clips of the source show, float32.
    dim: the axis of x along which they stand.
    places: on it, of those that the clip shows, in its order, int64.
    shape: of an input, in which they follow one another.
    """

    x: Tensor
    dim: int
    places: Tensor
    shape: tuple[int, ...]

    def write(self, out: Tensor) -> None:
        """Write an input of the clip to a tensor of its shape."""
        size = list(self.x.shape)
        size[self.dim] = len(self.places)
        places = self.places.to(self.x.device)
        torch.index_select(self.x.detach(), self.dim, places, out=out.view(size))


def stacked(clips: Sequence[Shown]) -> Tensor:
    """An input of B clips, float32 [B, ...]."""
    batch = torch.empty(len(clips), *clips[0].shape, device=clips[0].x.device)
    for clip, out in zip(clips, batch, strict=True):
        clip.write(out)
    return batch


class Reader(Protocol):
    """What reads the clips of a data set; it is copied to other processes."""

    def read(self, clips: Sequence[Any], raw: bool) -> Any:
        """All that clips of one source need, tensors alone or in lists. Raises FrameError for a
        frame that cannot be read.

        raw: leave what can be done on a GPU to `inputs`.
        """

    def inputs(self, reading: Any, clips: Sequence[Any]) -> Iterator[list[Shown]]:
        """The inputs of each of the clips that were read, made on the device of the reading."""


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
    raw: bool

    def __call__(self, group: Sequence[AnyClip]) -> Any:
        try:
            return self.reader.read(group, self.raw)
        # Returned, not raised: they are dealt with where the batches are used, in one process.
        except FrameError as error:
            return BadVideo(group[0].video, str(error), group[0])
        except UserError as error:
            return error


def iter_batches(
    chunks: Iterable[Chunk],
    reader: Reader,
    *,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> Generator[Batch | BadVideo, None, None]:
    """The batches of every chunk, and a `BadVideo` for each group of clips that cannot be read,
    which their batches lack.

    chunks: asked for one by one, when a reading of the next one can begin.
    device: of the network. Inputs are made there, ahead of their batch, if it is a GPU.

    Clips of one source must be next to each other in a chunk; their files are read once, by
    `num_workers` processes beside this one.

    Raises ReaderError (see `datasets.readers`) if one of these dies or hangs.
    """
    sizes: deque[int] = deque()  # of the batches that are asked for

    def groups() -> Iterator[list[Any]]:
        for chunk in chunks:
            sizes.extend(map(len, chunk))
            yield from sources_of([clip for batch in chunk for clip in batch])

    device = torch.device(device)
    on_gpu = _makes_inputs(device)
    move = partial(_moved, device=device) if on_gpu else None
    readings = in_order(_Reading(reader, on_gpu), groups(), _name, num_workers, move)
    ready: list[Any] = []
    waiting: list[list[Shown]] = []
    left_out = 0
    with contextlib.closing(readings):
        for group, reading in readings:
            if isinstance(reading, UserError):
                raise reading
            if isinstance(reading, BadVideo):
                yield reading
                inputs: Iterable[Any] = [None] * len(group)
            else:
                inputs = reader.inputs(reading, group)
            for clip, own in zip(group, inputs, strict=True):
                if own is None:
                    left_out += 1
                else:
                    ready.append(clip)
                    waiting.append(own)
                if len(ready) + left_out < sizes[0]:
                    continue
                if ready:
                    yield _batch(ready, waiting)
                ready, waiting, left_out = [], [], 0
                sizes.popleft()


def _name(group: Sequence[Any]) -> str:
    """What a group of clips is called in messages."""
    return f"video {group[0].video} (style {group[0].style})"


def _batch(clips: list[Any], inputs: list[list[Shown]]) -> Batch:
    return Batch(clips, [stacked(own) for own in zip(*inputs, strict=True)])


def _makes_inputs(device: torch.device) -> bool:
    """Whether a device makes inputs of what readers have decoded.

    A GPU does that in no time, and is sent a quarter of the bytes. A CPU has the network to compute
    meanwhile: one process of many threads takes longer for it than the readers, one thread each.
    """
    return device.type == "cuda"


def _moved(reading: Any, device: torch.device) -> Any:
    """A reading whose tensors are on their way to a device, from pinned memory where it is a GPU.

    This is done in the thread that waits for a reader, while another batch is computed.
    """
    if isinstance(reading, Tensor):
        pinned = reading.pin_memory() if device.type == "cuda" else reading
        return pinned.to(device, non_blocking=True)
    return [_moved(part, device) for part in reading] if isinstance(reading, list) else reading
