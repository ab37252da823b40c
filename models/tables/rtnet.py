"""The table of RTNet: two streams with attention between them, two frames a clip. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.tasks import SEGMENTATION
from datasets.geometry import FlowGeometry
from models.network import HookPoint, Network, Weights
from models.tables.two_stream import FUSED, MOT, SIZE, STREAMS, in_archive

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AttentionSpec:
    """The attention of one level of RTNet.

    heads: their number.
    hidden_divisor: of the channels, for the hidden width of the channel scaling.
    pooled: whether positions are halved for it.
    standard: ordinary attention, or that of the published ResNeXt network.
    bias: whether its projections have one.
    """

    heads: int
    hidden_divisor: int
    pooled: bool = False
    standard: bool = False
    bias: bool = True


@dataclass(frozen=True)
class RTNetSpec:
    """What distinguishes one RTNet from another.

    trunk: torchvision's name of the streams' network.
    widths: channels of its four layers.
    bridged: whether 1x1 convolutions narrow the features before fusion and decoder.
    stem: the module that stage conv1 is taken from.
    attention: of the four levels.
    """

    trunk: str
    widths: tuple[int, ...]
    bridged: bool
    stem: str
    attention: tuple[AttentionSpec, ...]


def _points(spec: RTNetSpec) -> dict[str, tuple[HookPoint, ...]]:
    points = {}
    for index, stream in enumerate(STREAMS):
        points[f"conv1,{stream}"] = HookPoint(
            f"{'temporal' if stream == MOT else 'spatial'}_net.{spec.stem}"
        )
        for level in (1, 2, 3, 4):
            points[f"layer{level},{stream}"] = HookPoint(f"level{level}", index)
    for level in (1, 2, 3):
        points[f"layer{level},{FUSED}"] = HookPoint(f"Transformerstafm{level}")
    # Level 4 has no fusion block: the first stage of the image stream's decoder stands for it.
    points[f"layer4,{FUSED}"] = HookPoint("spatial_net.decoder4")
    return {stage: (point,) for stage, point in points.items()}


def _finest_of_first_frame(logits: Sequence[Tensor]) -> Tensor:
    """Log-odds [B, H, W] from the logits of four levels, each [2B, 1, H, W]."""
    return logits[0][0::2, 0]


def _network(name: str, spec: RTNetSpec, weights: str) -> Network:
    return Network(
        name=name,
        family="RTNet",
        build="vos.modules.rtnet:build",
        spec=spec,
        points=_points,
        task=SEGMENTATION,
        clip=FlowGeometry(SIZE, frames=2),
        log_odds=_finest_of_first_frame,
        weights=Weights(weights, untrained="_random"),
    )


NETWORKS = (
    _network(
        "rtnet",
        RTNetSpec(
            trunk="resnext50_32x4d",
            widths=(256, 512, 1024, 2048),
            bridged=True,
            stem="inconv.0",
            attention=(
                AttentionSpec(1, 1, pooled=True),
                AttentionSpec(2, 2),
                AttentionSpec(4, 4),
                AttentionSpec(8, 8),
            ),
        ),
        in_archive("model_RX50.pth"),
    ),
    _network(
        "rtnet34",
        RTNetSpec(
            trunk="resnet34",
            widths=(64, 128, 256, 512),
            bridged=False,
            # After batch norm, ReLU and pool, as in the study; rtnet's is before them.
            stem="inconv",
            attention=(
                AttentionSpec(1, 1, pooled=True),
                AttentionSpec(2, 2, standard=True, bias=False),
                AttentionSpec(4, 4, standard=True, bias=False),
                AttentionSpec(8, 8, standard=True, bias=False),
            ),
        ),
        "None are published: train it and give its {'state_dict': ...} file",
    ),
)
