"""How a network wants its clips (`ClipGeometry`). Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from utils import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClipOptions:
    """What the command line asks of clips; None: as the network wants it.

    frames: of the last input. rate: raw frames between two of them. window: raw frames that a clip
    spans. mean, std: one value or one per channel.
    """

    frames: int | None = None
    rate: int | None = None
    window: int | None = None
    crop: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ClipGeometry:
    """How a network wants its clips.

    inputs: (name, frames) of each input in the order the network takes them.
    sampling_rate: raw frames between two input frames in training (of the last input).
    window: raw frames that a clip spans; every input is a uniform subsample of it.
    short_side, crop: pixels; frames are scaled to `short_side`, then centre-cropped to `crop`.
    mean, std: per channel, in the network's channel order and value range.
    channels: "RGB" or "BGR". value_range: pixels are in 0..value_range before mean and std (1 or
    255). transform: a preprocessing of the network's own, from uint8 [T, H, W, 3] (RGB) to float32
    [3, T, crop, crop], each frame by itself, which stands for all of these numbers.
    """

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

    @property
    def alpha(self) -> int | None:
        """Fast frames per slow frame, None for a network with one input."""
        return self.inputs[1][1] // self.inputs[0][1] if len(self.inputs) == 2 else None

    @property
    def normalisation(self) -> str:
        """How pixels are brought to the network's values, in words."""
        if self.transform:
            return "the network's own preprocessing"
        mean, std = (" ".join(f"{v:g}" for v in x) for x in (self.mean, self.std))
        return f"{self.channels} 0 to {self.value_range}, mean {mean}, std {std}"

    def changed(self, wanted: ClipOptions) -> ClipGeometry:
        """The same geometry but for what is wanted; another crop scales the short side with it,
        and another number of frames or rate the window.

        Raises UserError where the network's own preprocessing cannot be changed.
        """
        given = {"crop": wanted.crop, "mean": wanted.mean, "std": wanted.std}
        fixed = [name for name, value in given.items() if value is not None]
        if self.transform and fixed and (fixed != ["crop"] or wanted.crop != self.crop):
            raise UserError(
                f"`{fixed[0]}`: this network brings its own preprocessing (clips of {self.crop} "
                "pixels); leave it out"
            )
        crop, rate = wanted.crop or self.crop, wanted.rate or self.sampling_rate
        frames = wanted.frames or self.inputs[-1][1]
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
        return replace(
            self,
            inputs=inputs,
            sampling_rate=rate,
            window=wanted.window or window,
            crop=crop,
            short_side=short_side,
            mean=self._scaled(wanted.mean) or self.mean,
            std=self._scaled(wanted.std) or self.std,
        )

    def _scaled(self, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        """Values of pixels in 0..1, per channel, in the network's range."""
        return values and tuple(value * self.value_range for value in per_channel(values))


def apply_transform(transform: Callable[[Tensor], Tensor], frames: Tensor, crop: int) -> Tensor:
    """Frames uint8 [T, H, W, 3] through a network's own preprocessing, float32 [3, T, crop, crop].

    Raises UserError if that is not what it gives.
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
    """Three values, of three or of one that holds for every channel."""
    return values * 3 if len(values) == 1 else values
