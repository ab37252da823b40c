"""From clips of videos to input tensors: only the frames that the network sees, each decoded once.

Preprocessing is that of the study: of a window of raw frames every input takes some, evenly spread;
/255, mean and std, short side (bilinear), centre crop. A GPU does it from frames as decoded.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.batches import FrameError, Shown, read_frame
from datasets.geometry import ClipGeometry, apply_transform
from datasets.taken_frames import permutation, raw_frames
from datasets.video_plan import Clip
from datasets.videos import FrameFolder, VideoSet
from utils import UserError, is_out_of_memory


def preprocess(frames: Tensor, geometry: ClipGeometry) -> Tensor:
    """A network input, float32 [3, T, crop, crop], from frames uint8 [T, H, W, 3] (RGB), made on
    their device."""
    if geometry.transform:
        return _transformed(frames, geometry)
    channels = frames.permute(3, 0, 1, 2).contiguous()  # [3, T, H, W]: faster, while it is small
    if geometry.channels == "BGR":
        channels = channels.flip(0)
    mean, std = (
        torch.tensor(v, device=frames.device).view(3, 1, 1, 1)
        for v in (geometry.mean, geometry.std)
    )
    x = channels.float().div_(255 / geometry.value_range).sub_(mean).div_(std)
    size = _scaled_size(x.shape[2:], geometry)
    if size != list(x.shape[2:]):
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    top, left = (round((v - geometry.crop) / 2) for v in size)
    return x[:, :, top : top + geometry.crop, left : left + geometry.crop].contiguous()


def _scaled_size(size: Sequence[int], geometry: ClipGeometry) -> list[int]:
    """Height and width of scaled frames."""
    # The longer side is truncated, as in PyTorchVideo's short_side_scale.
    return [int(v / min(size) * geometry.short_side) for v in size]


def preprocess_each(frames: Iterable[np.ndarray], geometry: ClipGeometry) -> Tensor:
    """As `preprocess`, to the bit, from frames that are decoded one after the other.

    Few of them are there at once at their full size; all, for a network's own preprocessing.
    """
    frames = iter(frames)
    first = next(frames)
    n = _at_once(first.shape[:2], geometry)
    decoded = itertools.chain([first], frames)
    parts = []
    while group := list(itertools.islice(decoded, n)):
        parts.append(preprocess(torch.from_numpy(np.stack(group)), geometry))
    return torch.cat(parts, 1)


def preprocess_raw(frames: Tensor, geometry: ClipGeometry) -> Tensor:
    """As `preprocess`, from frames of which few are there at once as floats at their full size."""
    n = _REGISTER if frames.is_cuda else _at_once(frames.shape[1:3], geometry)
    return torch.cat([preprocess(some, geometry) for some in frames.split(n or len(frames))], 1)


# PyTorch scales to small sizes (height + width) many frames in one step, whose rounding depends on
# the place of a frame among as many as a register holds: 16 at most. Beyond, each is by itself.
_SMALL, _REGISTER = 128, 16


def _at_once(size: Sequence[int], geometry: ClipGeometry) -> int | None:
    """How many frames of a size are preprocessed together; None: all."""
    if geometry.transform:
        return None
    return _REGISTER if sum(_scaled_size(size, geometry)) <= _SMALL else 1


def _transformed(frames: Tensor, geometry: ClipGeometry) -> Tensor:
    assert geometry.transform
    try:
        return apply_transform(geometry.transform, frames, geometry.crop)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a user's function may raise anything
        if is_out_of_memory(error):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"the network's own preprocessing fails: {type(error).__name__}: {error} "
            f"({last.filename}, line {last.lineno}: {last.line})"
        ) from None


def _decoded(frames: FrameFolder, positions: Iterable[int]) -> Iterator[np.ndarray]:
    """Frames as uint8 [H, W, 3]. Raises FrameError for one of another size than the first."""
    size: tuple[int, ...] = ()
    for position in positions:
        frame = read_frame(frames.path(position))
        size = size or frame.shape
        if frame.shape != size:
            sizes = sorted([size, frame.shape])
            raise FrameError(f"{frames.path(position)}: frames of unequal size: {sizes}")
        yield frame


class VideoReader:
    """Reads the frames of clips that a network sees, each once; shuffles them afterwards."""

    def __init__(
        self,
        videos: VideoSet,
        frames: Mapping[tuple[str, str], FrameFolder],
        geometry: ClipGeometry,
    ):
        self.videos, self.frames, self.geometry = videos, frames, geometry
        self.taken = raw_frames(geometry)

    def read(self, clips: Sequence[Clip], raw: bool = False) -> Tensor:
        """The frames that clips of one source show, each once, float32 [3, T, crop, crop].

        raw: give them as they were decoded, uint8 [T, H, W, 3], where these are fewer bytes (not of
            large frames) and the network has no preprocessing of its own.

        Raises FrameError for an unreadable frame.
        """
        seen, _ = self._seen(clips[0])
        frames = _decoded(self.frames[clips[0].video, clips[0].style], seen)
        first = next(frames)
        frames = itertools.chain([first], frames)
        if raw and not self.geometry.transform and first.size <= self._bytes:
            return torch.from_numpy(np.stack(list(frames)))
        return preprocess_each(frames, self.geometry)

    @property
    def _bytes(self) -> int:
        """Of a frame as a network sees it."""
        return 3 * self.geometry.crop**2 * torch.float32.itemsize

    def inputs(self, reading: Tensor, clips: Sequence[Clip]) -> Iterator[list[Shown]]:
        """The inputs of each clip, [3, T, crop, crop] each, its frames in its own order.

        reading: of `read`, on the device where the inputs are made.
        """
        is_raw = reading.dtype == torch.uint8
        frames = preprocess_raw(reading, self.geometry) if is_raw else reading
        _, places = self._seen(clips[0])
        shapes = self.geometry.shapes.values()
        for clip in clips:
            orders = [permutation(clip.shuffle, i, len(own)) for i, own in enumerate(places)]
            yield [
                Shown(frames, 1, own[order], shape)
                for own, order, shape in zip(places, orders, shapes, strict=True)
            ]

    def _seen(self, clip: Clip) -> tuple[list[int], list[Tensor]]:
        """The positions of the frames that a clip shows, each once, and for each input the places
        of its frames among them, int64 [T]."""
        positions = self.videos.positions(clip.video, clip.start, self.geometry.window)
        seen = sorted({positions[row] for taken in self.taken for row in taken})
        place = {position: i for i, position in enumerate(seen)}
        return seen, [torch.tensor([place[positions[i]] for i in own]) for own in self.taken]
