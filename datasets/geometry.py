"""How a network wants its clips (`ClipGeometry`). Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ClipGeometry:
    """How a network wants its clips.

    inputs: (name, frames) of each input in the order the network takes them.
    sampling_rate: raw frames between two input frames in training (of the last input).
    window: raw frames that a clip spans; every input is a uniform subsample of it.
    short_side, crop: pixels; frames are scaled to `short_side`, then centre-cropped to `crop`.
    mean, std: per channel (RGB), for values in [0, 1].
    """

    inputs: tuple[tuple[str, int], ...]
    sampling_rate: int
    window: int = 64
    short_side: int = 256
    crop: int = 256
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)

    @property
    def alpha(self) -> int | None:
        """Fast frames per slow frame, None for a network with one input."""
        return self.inputs[1][1] // self.inputs[0][1] if len(self.inputs) == 2 else None

    def resized(self, crop: int | None, window: int | None) -> ClipGeometry:
        """The same geometry with another crop (short side in proportion) or window."""
        short_side = self.short_side if crop is None else round(self.short_side * crop / self.crop)
        return replace(
            self, crop=crop or self.crop, short_side=short_side, window=window or self.window
        )
