"""From clips of videos to input tensors: only the frames that the network sees, each decoded once.

Preprocessing is that of the study: of a window of raw frames every input takes some, evenly spread;
/255, mean and std, short side (bilinear), centre crop.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.batches import FrameError, read_frame
from datasets.geometry import ClipGeometry, apply_transform
from datasets.taken_frames import permutation, raw_frames
from datasets.video_plan import Clip
from datasets.videos import FrameFolder, VideoSet
from utils import UserError, is_out_of_memory


def preprocess(frames: Tensor, geometry: ClipGeometry) -> Tensor:
    """A network input, float32 [3, T, crop, crop], from frames uint8 [T, H, W, 3] (RGB)."""
    if geometry.transform:
        return _transformed(frames, geometry)
    x = frames.permute(3, 0, 1, 2).float() / (255 / geometry.value_range)  # [3, T, H, W]
    if geometry.channels == "BGR":
        x = x.flip(0)
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (geometry.mean, geometry.std))
    x = (x - mean) / std
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

    def read(self, clips: Sequence[Clip]) -> list[Tensor]:
        """The inputs of clips of the same frames in natural order, float32 [3, T, H, W] each.

        Raises FrameError for an unreadable frame.
        """
        clip, geometry = clips[0], self.geometry
        frames = self.frames[clip.video, clip.style]
        positions = self.videos.positions(clip.video, clip.start, geometry.window)
        seen = sorted({positions[row] for taken in self.taken for row in taken})
        unique = preprocess_each(_decoded(frames, seen), geometry)
        place = {position: i for i, position in enumerate(seen)}
        return [unique[:, [place[positions[row]] for row in taken]] for taken in self.taken]

    def inputs(self, reading: list[Tensor], position: int, clip: Clip) -> list[Tensor]:
        """The inputs of a clip, its frames in its own order."""
        if clip.shuffle == 0:
            return reading
        return [x[:, permutation(clip.shuffle, i, x.shape[1])] for i, x in enumerate(reading)]
