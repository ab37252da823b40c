"""The table of X3D networks. Imports no torch.

Numbers follow the configuration files of PySlowFast (github.com/facebookresearch/SlowFast).
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets.geometry import ClipGeometry
from models.network import HookPoint, Network, Weights

STAGES = ("1", "2", "3", "4", "5")
PAGE = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
FILES = "https://dl.fbaipublicfiles.com/pyslowfast/x3d_models"


@dataclass(frozen=True)
class X3DSpec:
    """What distinguishes one X3D from another.

    frames: of the training clips, which fix the window of the classifier's average pool.
    crop: of the training clips, as well.
    blocks: of the residual stages 2..5.
    widths: of these stages; the stem is as wide as the first of them.
    """

    frames: int
    crop: int
    blocks: tuple[int, ...] = (3, 5, 11, 7)
    widths: tuple[int, ...] = (24, 48, 96, 192)


def _points(spec: X3DSpec) -> dict[str, tuple[HookPoint, ...]]:
    return {stage: (HookPoint(f"s{stage}"),) for stage in STAGES}


def _network(name: str, spec: X3DSpec, rate: int, short_side: int, crop: int) -> Network:
    return Network(
        name=name,
        family="X3D",
        build="models.modules.x3d:build",
        spec=spec,
        points=_points,
        clip=ClipGeometry(
            (("video", spec.frames),),
            rate,
            window=spec.frames * rate,
            short_side=short_side,
            crop=crop,
        ),
        num_classes=400,
        trained_on="Kinetics-400",
        weights=Weights(PAGE, f"{FILES}/{name}.pyth"),
        head="head.projection.",
    )


# Frames, training crop; sampling rate, short side and crop of the study's clips.
NETWORKS = (
    _network("x3d_xs", X3DSpec(4, 160), 12, 182, 160),
    _network("x3d_s", X3DSpec(13, 160), 6, 182, 160),
    _network("x3d_m", X3DSpec(16, 224), 5, 256, 224),
    _network("x3d_l", X3DSpec(16, 312, (5, 10, 25, 15)), 5, 356, 312),
)
