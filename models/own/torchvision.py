"""`model` torchvision:NAME: torchvision's video networks, with their own preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import torch
import torchvision.models.video
from torch import Tensor, nn
from torchvision import models as zoo

from datasets.geometry import ClipGeometry
from models.network import Network, UnitRule, Weights
from models.own.resolve import record, top_level_blocks
from utils import UserError, suggestion

PAGE = "https://docs.pytorch.org/vision/stable/models.html#video-classification"


@dataclass(frozen=True)
class Family:
    """What torchvision documents of its networks only in prose.

    pattern: of their names.
    frames: of the clips that they were evaluated on.
    rate: raw frames from one of these to the next, at 30 frames a second.
    blocks: the module whose children are the stages; empty for the network itself.
    any_frames: whether they take clips of any number of frames.
    unit_rule: what a unit is.
    """

    pattern: str
    frames: int
    rate: int
    blocks: str = ""
    any_frames: bool = True
    unit_rule: UnitRule = UnitRule(folded=True)


FAMILIES = (
    Family("s3d", 128, 2, "features"),
    Family("mvit_*", 16, 4, "blocks", any_frames=False),
    Family("swin3d_*", 32, 2, "features", unit_rule=UnitRule(maps_last=True, folded=True)),
    # The residual networks, and any that torchvision may add.
    Family("*", 16, 2),
)


@dataclass(frozen=True)
class PublishedTransform:
    """The preprocessing that torchvision publishes with weights: frames uint8 [T, H, W, 3] to
    float32 [3, T, crop, crop].

    weights: their name, such as "R3D_18_Weights.KINETICS400_V1".
    """

    weights: str

    def __call__(self, frames: Tensor) -> Tensor:
        return zoo.get_weight(self.weights).transforms()(frames.permute(0, 3, 1, 2))


def resolve(name: str, num_classes: int | None) -> tuple[Network, nn.Module]:
    """The video network that torchvision calls `name`, with random weights.

    Raises UserError with the known names for an unknown one.
    """
    known = zoo.list_models(module=torchvision.models.video)
    if name not in known:
        raise UserError(
            f"`model` torchvision:{name} is not among torchvision's video networks. Available: "
            f"{', '.join(known)}.{suggestion(name, known)}"
        )

    def build(spec: Any, classes: int) -> nn.Module:
        return zoo.get_model(name, weights=None, num_classes=classes)

    published: Any = zoo.get_model_weights(name).DEFAULT
    family = next(family for family in FAMILIES if fnmatch(name, family.pattern))
    classes = len(published.meta["categories"])
    module = build(None, num_classes or classes).eval()
    network = record(
        module,
        name=f"torchvision:{name}",
        family="torchvision",
        build=build,
        clip=geometry(str(published), family),
        weights=Weights(PAGE, published.url),
        stages=_stages(module, family),
        num_classes=num_classes or classes,
        trained_on="Kinetics-400",
        head=_head(module),
        any_frames=family.any_frames,
        unit_rule=family.unit_rule,
    )
    return network, module


def geometry(weights: str, family: Family) -> ClipGeometry:
    """The clips for published weights; the crop is what their preprocessing gives."""
    transform = PublishedTransform(weights)
    crop = transform(torch.zeros(1, 256, 256, 3, dtype=torch.uint8)).shape[-1]
    frames, rate = family.frames, family.rate
    return ClipGeometry(
        (("video", frames),),
        rate,
        frames * rate,
        crop=crop,
        short_side=crop,
        transform=transform,
        exact_rate=True,
    )


def _stages(module: nn.Module, family: Family) -> tuple[str, ...]:
    """The blocks, without the classifier."""
    if not family.blocks:
        return tuple(name for name in top_level_blocks(module) if f"{name}." != _head(module))
    return tuple(
        f"{family.blocks}.{name}"
        for name, _ in module.get_submodule(family.blocks).named_children()
    )


def _head(module: nn.Module) -> str:
    """Prefix of the names of the classifier's parameters: it is the last child."""
    return f"{list(module.named_children())[-1][0]}."
