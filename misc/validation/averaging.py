"""A network that sees single frames and averages over time: no order of frames can change it.

    python main.py --model misc/validation/averaging.py:build --stg all --dataset synthetic

So its static score is 1 and its dynamic only part 0, by construction. Its weights are random.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

CHANNELS = (3, 16, 32, 64)
SEED = 1


class Averaging(nn.Module):
    """Convolutions of single frames; the average over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv3d(i, o, (1, 5, 5), (1, 2, 2), (0, 2, 2)), nn.ReLU())
                for i, o in itertools.pairwise(CHANNELS)
            )
        )
        self.head = nn.Linear(CHANNELS[-1], 8)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.blocks(clip).mean((2, 3, 4)))  # [B, 8]


def build(frames: int = 8, crop: int = 64) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and how it wants its clips."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = Averaging()
    return network, {"frames": frames, "rate": 2, "crop": crop, "name": "averaging frames"}
