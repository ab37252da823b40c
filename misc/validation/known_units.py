"""A network whose units are known by construction, for clips like those of the synthetic set.

    python main.py --model misc/validation/known_units.py:build --stg units --dataset synthetic

Every unit is a formula on the pixels, and nothing is learned. `UNITS` has them in the order of
their numbers, and what each of them should be found to encode, and why.

Letters in shape comments: B clips, T frames, H and W pixels, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

FRAMES, RATE, CROP = 8, 2, 64
# Pixels of a cell: about what a shape moves from one frame of a clip to the next.
CELL = 4
# The largest prime below 2^31: sums of products of its residues with bytes stay within 64 bits.
PRIME = 2**31 - 1


# Mean and scale of the two units that are mixed, over 256 synthetic videos of seed 7 in styles 1 to
# 4: with these scales, the parts of both have a total of 1.
MEAN_RED, SCALE_RED = 0.4982, 0.3134
MEAN_HEADING, SCALE_HEADING = 0.0038, 0.7042
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)


def mean_red(clip: Tensor) -> Tensor:
    """Mean of the red channel over the clip."""
    return clip[:, 0].mean((1, 2, 3))  # [B]


def mean_blue(clip: Tensor) -> Tensor:
    """Mean of the blue channel over the clip."""
    return clip[:, 2].mean((1, 2, 3))  # [B]


def contrast(clip: Tensor) -> Tensor:
    """Standard deviation of the pixels of the first frame, over its channels as well."""
    return clip[:, :, 0].flatten(1).std(1)  # [B]


def difference_energy(clip: Tensor) -> Tensor:
    """Mean squared difference of neighbouring frames."""
    return clip.diff(dim=2).square().mean((1, 2, 3, 4))  # [B]


def roughness(clip: Tensor) -> Tensor:
    """The same of coarse frames, over their variance in time (von Neumann's ratio)."""
    moving = coarse_changes(clip)
    energy = moving.diff(dim=2).square().mean((1, 2, 3, 4))
    return energy / moving.square().mean((1, 2, 3, 4)).clamp_min(1e-9)  # [B]


def place(clip: Tensor) -> Tensor:
    """Where things change, from left (-1) to right (1), as the sine of a turn."""
    spread = coarse_changes(clip).square().mean((1, 2)).sqrt()  # [B, h, w]
    columns = spread.mean(1)  # [B, w]
    turns = (torch.arange(columns.shape[1], device=clip.device) + 0.5) / columns.shape[1]
    waves = torch.sin(2 * torch.pi * turns)
    return (columns * waves).sum(1) / columns.sum(1).clamp_min(1e-9)  # [B]


def motion_right(clip: Tensor) -> Tensor:
    """Motion to the right against motion to the left, whatever the contrast: near 0 where neither
    prevails, as in shuffled clips."""
    return opponent(clip, 4)  # [B]


def motion_down(clip: Tensor) -> Tensor:
    """Motion downwards against motion upwards, in the same way."""
    return opponent(clip, 3)  # [B]


def heading_right(clip: Tensor) -> Tensor:
    """Cosine of the direction of motion, which every clip has, shuffled ones a random one."""
    x, y = opponent(clip, 4), opponent(clip, 3)
    return x / torch.hypot(x, y).clamp_min(1e-9)  # [B]


def heading_down(clip: Tensor) -> Tensor:
    """Sine of the direction of motion, in the same way."""
    x, y = opponent(clip, 4), opponent(clip, 3)
    return y / torch.hypot(x, y).clamp_min(1e-9)  # [B]


def noise(clip: Tensor) -> Tensor:
    """A hash of all bytes of the clip, from -1 to 1."""
    levels = (clip * 255).round().long().flatten(1)  # [B, 3 T H W]
    generator = torch.Generator().manual_seed(1)
    weights = torch.randint(PRIME, levels.shape[1:], generator=generator).to(clip.device)
    mixed = (levels * weights).sum(1) % PRIME
    mixed = mixed * 48271 % PRIME
    return mixed.to(clip.dtype) * (2 / PRIME) - 1  # [B]


def dead(clip: Tensor) -> Tensor:
    """Zero."""
    return torch.zeros_like(clip[:, 0, 0, 0, 0])  # [B]


def mixture(ratio: float, clip: Tensor) -> Tensor:
    """Mean red and the direction of motion, which has this share of the variance."""
    static = (mean_red(clip) - MEAN_RED) / SCALE_RED
    dynamic = (heading_right(clip) - MEAN_HEADING) / SCALE_HEADING
    return (1 - ratio) ** 0.5 * static + ratio**0.5 * dynamic  # [B]


def coarse_changes(clip: Tensor) -> Tensor:
    """Frames in cells, less their mean over time: what stands still is gone, [B, 3, T, h, w]."""
    cells = nn.functional.avg_pool3d(clip, (1, CELL, CELL))
    return cells - cells.mean(2, keepdim=True)


def opponent(clip: Tensor, axis: int) -> Tensor:
    """How much more frames are like the one before moved by a cell forth than back along an axis,
    over the energy of both: a normalised opponent energy [B]. The picture goes round, as that of
    the synthetic set does."""
    moving = coarse_changes(clip)
    before, after = moving[:, :, :-1], moving[:, :, 1:]
    forth, back = ((before.roll(k, axis) * after).sum((1, 2, 3, 4)) for k in (1, -1))
    return (forth - back) / moving.square().sum((1, 2, 3, 4)).clamp_min(1e-9)  # [B]


class Known(NamedTuple):
    """A unit that is known.

    name: in tables.
    formula: clips [B, 3, T, H, W] in 0..1 to the unit [B].
    part: that should be its largest one; "dead", or empty for a mixture.
    why: it should.
    """

    name: str
    formula: Callable[[Tensor], Tensor]
    part: str
    why: str


STATIC, DYNAMIC, BOTH, NEITHER = "static_only", "dynamic_only", "both", "neither"
UNITS = (
    Known("mean red", mean_red, STATIC, "colours are the style's, and no order changes them"),
    Known("mean blue", mean_blue, STATIC, "as mean red"),
    Known("contrast", contrast, STATIC, "the style's; the size of the shape adds"),
    Known("place of change", place, BOTH, "the same in all styles and orders"),
    Known("heading right", heading_right, DYNAMIC, "the video's; shuffled, another one"),
    Known("heading down", heading_down, DYNAMIC, "the video's; shuffled, another one"),
    Known("motion right", motion_right, DYNAMIC, "the video's; shuffled, little is left"),
    Known("motion down", motion_down, DYNAMIC, "the video's; shuffled, little is left"),
    Known("roughness in time", roughness, DYNAMIC, "relative to contrast; shuffling raises it"),
    Known("difference energy", difference_energy, DYNAMIC, "of motion, but times the contrast"),
    Known("noise", noise, NEITHER, "another one for every clip"),
    Known("dead", dead, "dead", "constant"),
    *(Known(f"mixture {r:g}", partial(mixture, r), "", "dynamic share by design") for r in RATIOS),
)


class Formulas(nn.Module):
    """The units of `UNITS`, from clips [B, 3, T, H, W] to [B, U]."""

    def forward(self, clip: Tensor) -> Tensor:
        return torch.stack([unit.formula(clip) for unit in UNITS], 1)


class KnownUnits(nn.Module):
    """The network: one stage."""

    def __init__(self) -> None:
        super().__init__()
        self.units = Formulas()

    def forward(self, clip: Tensor) -> Tensor:
        return self.units(clip)


def build() -> tuple[nn.Module, dict[str, Any]]:
    """The network, and how it wants its clips: pixels in 0..1."""
    clips = {"frames": FRAMES, "rate": RATE, "crop": CROP, "mean": 0, "std": 1}
    return KnownUnits(), {**clips, "name": "known units"}
