"""How a network wants its clips: `ClipGeometry`, or `FlowGeometry` with flow. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from utils import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClipOptions:
    """What a user asks of clips; None: as the network wants it.

    frames: number of frames of the last input.
    rate: raw frames from one of them to the next.
    window: raw frames that a clip spans.
    crop: height and width in pixels.
    mean: mean of pixels in 0..1, one value or one per channel.
    std: their standard deviation, likewise.
    """

    frames: int | None = None
    rate: int | None = None
    window: int | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ClipGeometry:
    """How an action-recognition network wants its clips.

    inputs: (name, frames) of each input in the order the network takes them.
    sampling_rate: raw frames from one input frame to the next in training (of the last input).
    window: raw frames that a clip spans.
    short_side: pixels that the shorter side of frames is scaled to.
    crop: height and width of the centre crop in pixels.
    mean: subtracted from each channel, in the network's channel order and value range.
    std: what each channel is divided by.
    channels: "RGB" or "BGR".
    value_range: pixels are in 0..value_range before mean and std, 1 or 255.
    transform: the network's own preprocessing, in place of the numbers above: from uint8
        [T, H, W, 3] (RGB) to float32 [3, T, crop, crop], each frame by itself.
    exact_rate: whether frames are exactly `sampling_rate` apart; else, as in the study, every
        input takes frames that are evenly spread from the first of the window to the last.

    Costs are counted on `cost_clips` clips of `cost_size` pixels (None: of their own size).
    """

    cost_size: ClassVar[tuple[int, int] | None] = None
    cost_clips: ClassVar[int] = 1

    inputs: tuple[tuple[str, int], ...]
    sampling_rate: int
    window: int = 64
    short_side: int = 256
    crop: int = 256
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    channels: str = "RGB"
    value_range: int = 1
    transform: Callable[[Tensor], Tensor] | None = None
    exact_rate: bool = False

    @property
    def frames(self) -> int:
        """Frames of the last input."""
        return self.inputs[-1][1]

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.crop, self.crop

    @property
    def rows(self) -> int:
        """Rows of features of a clip."""
        return 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every input of one clip, [3, T, H, W], by name."""
        return {name: (3, frames, *self.pixels) for name, frames in self.inputs}

    @property
    def normalisation(self) -> str:
        """How pixel values are normalised, in words."""
        if self.transform:
            return "the network's own preprocessing"
        mean, std = (" ".join(f"{v:g}" for v in x) for x in (self.mean, self.std))
        return f"{self.channels} 0 to {self.value_range}, mean {mean}, std {std}"

    def describe(self) -> str:
        """The clips in a few words."""
        frames = " + ".join(f"{n} {name}" for name, n in self.inputs)
        height, width = self.pixels
        spacing = f"{self.sampling_rate} apart" if self.exact_rate else "evenly spread"
        return (
            f"{frames} frames, {spacing}, from a window of {self.window}, {height}x{width} pixels, "
            f"{self.normalisation}"
        )

    def identity(self) -> dict[str, Any]:
        """All fields in JSON types, functions by name."""
        fields = dataclasses.asdict(self)
        if not self.exact_rate:  # as in records of runs from before there was a choice
            del fields["exact_rate"]
        return {name: _as_json(value) for name, value in fields.items()}

    def changed(self, wanted: ClipOptions) -> ClipGeometry:
        """The geometry with what is wanted in place of its own.

        The short side changes with the crop, and the window with the number of frames and the
        rate. Raises UserError where clips cannot be made so, or not with the network's own
        preprocessing.
        """
        crop = self._square(wanted.crop) or self.crop
        self._require_own(wanted, crop)
        if wanted.rate and wanted.window and self.exact_rate:
            raise UserError(
                f"`sampling_rate` {wanted.rate} and `n_sample_frames` {wanted.window}: frames that "
                "are spread over a window have no rate of their own; give one of the two"
            )
        rate, frames = wanted.rate or self.sampling_rate, wanted.frames or self.frames
        if not (frames and crop):
            raise UserError(
                "`clip_frames` and `image_size` are missing: the network does not say how it wants "
                "its clips (`sampling_rate`, `mean` and `std` as well, if not 1, 0.45 and 0.225)"
            )
        window = frames * rate if wanted.frames or wanted.rate else self.window
        short_side = self.short_side or crop
        if self.crop:
            short_side = round(self.short_side * crop / self.crop)
        if short_side < crop:
            raise UserError(
                f"frames scaled to a short side of {short_side} pixels are smaller than the crop "
                f"of {crop}"
            )
        inputs = self.inputs if len(self.inputs) > 1 else ((self.inputs[0][0], frames),)
        changed = replace(
            self,
            inputs=inputs,
            sampling_rate=rate,
            window=wanted.window or window,
            crop=crop,
            short_side=short_side,
            mean=self._scaled(wanted.mean) or self.mean,
            std=self._scaled(wanted.std) or self.std,
            # A window that was asked for is filled evenly.
            exact_rate=self.exact_rate and not wanted.window,
        )
        return changed._checked(wanted.window)

    def _checked(self, window: int | None) -> ClipGeometry:
        """Itself. Raises UserError for a window that has fewer frames than a clip."""
        most = max(frames for _, frames in self.inputs)
        if window and window < most:
            raise UserError(
                f"`n_sample_frames` {window}: a clip of {most} frames from a window of {window} "
                f"would show frames more than once; give at least {most}"
            )
        return self

    def _square(self, crop: tuple[int, int] | None) -> int | None:
        """The side of a square crop. Raises UserError for any other crop."""
        if crop and crop[0] != crop[1]:
            raise UserError(
                f"`image_size` {crop[0]},{crop[1]}: clips of this network are square; give "
                f"`image_size` {crop[0]}"
            )
        return crop[0] if crop else None

    def _require_own(self, wanted: ClipOptions, crop: int) -> None:
        """Raise UserError where the network's own preprocessing would have to change."""
        given = {"image_size": wanted.crop, "mean": wanted.mean, "std": wanted.std}
        fixed = [name for name, value in given.items() if value is not None]
        if self.transform and fixed and (fixed != ["image_size"] or crop != self.crop):
            raise UserError(
                f"`{fixed[0]}`: this network brings its own preprocessing (clips of {self.crop} "
                "pixels); leave it out"
            )

    def _scaled(self, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        """Values for pixels in 0..1, in the network's value range, one per channel."""
        return values and tuple(value * self.value_range for value in per_channel(values))


@dataclass(frozen=True)
class FlowGeometry:
    """How a segmentation network wants its clips: frames, and their flow as colour images.

    size: height and width in pixels.
    frames: frames of a clip; features have a row for each.

    Costs are counted on `cost_clips` clips of `cost_size` pixels, as in the study.
    """

    cost_size: ClassVar[tuple[int, int] | None] = (240, 427)
    cost_clips: ClassVar[int] = 2

    size: tuple[int, int]
    frames: int = 1

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.size

    @property
    def rows(self) -> int:
        """Rows of features of a clip."""
        return self.frames

    @property
    def window(self) -> int:
        """Frames of a clip: it names them, wherever they are."""
        return self.frames

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of image and flow of one clip: [3, H, W] each, or, for two frames,
        [2, 3, H, W] and [2, 6, H, W] with forward and backward flow."""
        if self.frames == 1:
            return {"image": (3, *self.size), "flow": (3, *self.size)}
        return {"image": (self.frames, 3, *self.size), "flow": (self.frames, 6, *self.size)}

    @property
    def fit_flow(self) -> bool:
        """Whether the flow image is first brought to the size of the stylized image, as the
        study's loader did for networks that take one frame."""
        return self.frames == 1

    def describe(self) -> str:
        """The clips in a few words."""
        height, width = self.size
        return f"{self.frames} frame{'s' * (self.frames > 1)} and flow, {height}x{width} pixels"

    def identity(self) -> dict[str, Any]:
        """All fields in JSON types."""
        return {name: _as_json(value) for name, value in dataclasses.asdict(self).items()}

    def changed(self, wanted: ClipOptions) -> FlowGeometry:
        """The geometry with the size that is wanted."""
        return replace(self, size=wanted.crop or self.size)


Geometry = ClipGeometry | FlowGeometry


def _as_json(value: Any) -> Any:
    """Tuples as lists, also nested, and functions by name: what JSON gives back."""
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return [_as_json(v) for v in value] if isinstance(value, tuple) else value


def apply_transform(transform: Callable[[Tensor], Tensor], frames: Tensor, crop: int) -> Tensor:
    """What a network's own preprocessing returns for frames uint8 [T, H, W, 3].

    Raises UserError if that is not float32 [3, T, crop, crop].
    """
    x = transform(frames)
    expected = [3, len(frames), crop, crop]
    shape, kind = list(getattr(x, "shape", ())), str(getattr(x, "dtype", type(x).__name__))
    if shape != expected or kind != "torch.float32":
        raise UserError(
            f"the network's own preprocessing gives {kind} {shape} for {len(frames)} frames; "
            f"expected torch.float32 {expected}"
        )
    return x


def per_channel(values: tuple[float, ...]) -> tuple[float, ...]:
    """Three values, from three or from one for all channels."""
    return values * 3 if len(values) == 1 else values
