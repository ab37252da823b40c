"""The table of FusionSeg: two DeepLab streams of ResNet-101. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.network import HookPoint, Network, Weights
from models.tables.two_stream import FUSED, LAYERS, STREAMS, TWO_STREAM, in_archive

if TYPE_CHECKING:
    from torch import Tensor

# Not all of them are published.
TRAININGS = ("davis", "taovos", "imgnetvid", "davisrdc")


@dataclass(frozen=True)
class FusionSegSpec:
    """What distinguishes one FusionSeg from another: the options of its configuration.

    output_stride: pixels of the input per position of the last stage.
    fuse_early: whether the fusion is named as part of the backbone, or of the classifier.
    fuse_bnorm: whether a batch norm follows it.
    trained_on: training set of the weights.
    """

    output_stride: int = 16
    fuse_early: bool = True
    fuse_bnorm: bool = False
    trained_on: str = TRAININGS[0]


def _points(spec: FusionSegSpec) -> dict[str, tuple[HookPoint, ...]]:
    fusion = f"{'backbone' if spec.fuse_early else 'classifier'}.{FUSED}"
    modules = {f"{layer},{s}": f"backbone.{s}.{layer}" for s in STREAMS for layer in LAYERS}
    modules |= {f"{layer},{FUSED}": f"{fusion}.{layer}" for layer in ("layer1", "layer4")}
    return {stage: (HookPoint(module),) for stage, module in modules.items()}


def _object_over_rest(logits: Tensor) -> Tensor:
    """Log-odds [B, H, W] from the logits [B, 2, H, W] of rest and object."""
    return logits[:, 1] - logits[:, 0]


def _name(name: str, options: Mapping[str, Any], spec: FusionSegSpec) -> str:
    return f"{name}_{spec.trained_on}"


NETWORKS = (
    Network(
        name="twostream_deeplabv3plus_resnet101",
        family="FusionSeg",
        build="vos.modules.fusionseg:build",
        spec=FusionSegSpec(),
        points=_points,
        num_classes=2,
        log_odds=_object_over_rest,
        options={
            "output_stride": (16, 8),
            "fuse_early": (True, False),
            "fuse_bnorm": (False, True),
            "trained_on": TRAININGS,
        },
        naming=_name,
        weights=Weights(
            in_archive(
                "checkpoints_fseg/latest_twostream_deeplabv3plus_resnet101_{trained_on}_os16.pth"
            ),
            untrained="_random",
        ),
        **TWO_STREAM,
    ),
)
