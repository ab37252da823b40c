"""A small network of another family than the demo's: a transformer of space-time tokens.

Two convolutions make a token of 4 frames by 8 pixels or so; three layers of attention follow, over
all tokens of a clip. It is trained as misc/train_demo.py trains the demo's networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from models.catalogue import find
from models.network import HookPoint, Network, Weights

WIDTH, STEM, HEADS, LAYERS = 96, 32, 4, 3
TOKENS = 4 * 8 * 8  # of a clip of 8 frames of 64 pixels


@dataclass(frozen=True)
class Spec:
    """What networks of this family differ in.

    layers: of attention.
    """

    layers: int = LAYERS


class Tubelets(nn.Module):
    """Clips [B, 3, 8, 64, 64] to logits [B, classes]."""

    def __init__(self, layers: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, STEM, (3, 7, 7), (1, 4, 4), (1, 3, 3), bias=False),
            nn.BatchNorm3d(STEM),
            nn.ReLU(),
            nn.Conv3d(STEM, WIDTH, 3, 2, 1, bias=False),
            nn.BatchNorm3d(WIDTH),
        )
        self.place = nn.Parameter(0.02 * torch.randn(1, TOKENS, WIDTH))
        layer = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, **layer)  # type: ignore[arg-type]
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(WIDTH)
        # Named as in the demo's networks.
        self.head = nn.ModuleDict(
            {"dropout": nn.Dropout(), "project": nn.Linear(WIDTH, num_classes)}
        )

    def forward(self, clip: Tensor) -> Tensor:
        tokens = self.stem(clip).flatten(2).transpose(1, 2) + self.place  # [B, N, C]
        pooled = self.norm(self.layers(tokens)).mean(1)  # [B, C]
        return self.head["project"](self.head["dropout"](pooled))


def build(spec: Spec, num_classes: int) -> nn.Module:
    """The module of a record."""
    return Tubelets(spec.layers, num_classes)


def points(spec: Spec) -> Mapping[str, tuple[HookPoint, ...]]:
    """The stem is stage 1, layers of attention follow."""
    modules = ["stem", *(f"layers.{k}" for k in range(spec.layers))]
    return {str(k + 1): (HookPoint(name),) for k, name in enumerate(modules)}


def record(task: str) -> Network:
    """The network for "motion" or "appearance", for the clips of the demo's."""
    changes: dict[str, Any] = {
        "name": f"tubelet_{task}",
        "family": "tubelet",
        "build": build,
        "spec": Spec(),
        "points": points,
        "weights": Weights("Run python misc/validate.py, which trains it"),
    }
    return replace(find(f"demo_{task}"), **changes)
