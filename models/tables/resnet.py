"""The table of the ResNet family: C2D, I3D, Slow, Fast and SlowFast. Imports no torch.

Numbers follow the configuration files of PySlowFast (github.com/facebookresearch/SlowFast).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets.geometry import ClipGeometry
from models.network import HookPoint, Network, Weights
from models.parameter_names import pytorchvideo_name

STAGES = ("1", "2", "3", "4", "5")
PATHS = ("slow", "fast", "cat")


@dataclass(frozen=True)
class Pathway:
    """One stream of residual stages.

    number: its index in the parameter names (0: slow, or the only one; 1: fast).
    width: channels of the stem; res2 has 4 times as many, and each later stage doubles.
    stem_kernel: temporal extent of the stem's convolution.
    kernels: temporal extents of the blocks of res2..res5; a short pattern repeats.
    """

    number: int
    width: int
    stem_kernel: int
    kernels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Fusion:
    """The lateral connections from fast to slow.

    kernel: their temporal extent.
    alpha: their temporal stride.
    """

    kernel: int
    alpha: int


@dataclass(frozen=True)
class ResNetSpec:
    """What distinguishes one network of the family from another.

    pathways: one, or slow and fast.
    fusion: their lateral connections, if there are two.
    blocks: their number in each stage res2..res5.
    pool_after_res2: temporal kernel and stride of the max pool there (1: none).
    nonlocal_after: per stage res2..res5, the blocks that a non-local block follows.
    head_window: side of the head's average-pool window; None for a global average.
    naming: of the parameters of its published weights: "pyslowfast" or "pytorchvideo".
    path: which of two pathways is measured: "slow", "fast" or "cat", the units of both.
    fuse: whether stages 1 to 4 of two pathways are taken after the lateral connection.
    """

    pathways: tuple[Pathway, ...]
    fusion: Fusion | None = None
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    pool_after_res2: int = 1
    nonlocal_after: tuple[tuple[int, ...], ...] = ((), (), (), ())
    head_window: int | None = 7
    naming: str = "pyslowfast"
    path: str = "fast"
    fuse: bool = True


C2D_KERNELS = ((1,), (1,), (1,), (1,))
I3D_KERNELS = ((3,), (3, 1), (3, 1), (1, 3))
SLOW_KERNELS = ((1,), (1,), (3,), (3,))
FAST_KERNELS = ((3,), (3,), (3,), (3,))

SLOW = Pathway(0, 64, 1, SLOW_KERNELS)
FAST = Pathway(1, 8, 5, FAST_KERNELS)
DEMO = Pathway(0, 8, 5, FAST_KERNELS)

ZOO_PAGE = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
ZOO_FILES = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/kinetics400"
MULTIGRID_FILES = (
    "https://dl.fbaipublicfiles.com/pyslowfast/pyslowfast/model_zoo/multigrid/model_zoo/SSv2"
)
PYTORCHVIDEO_PAGE = (
    "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
)
PYTORCHVIDEO_FILES = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/ssv2"
NONLOCAL_PAGE = "https://github.com/facebookresearch/video-nonlocal-net"
NONLOCAL_FILES = "https://dl.fbaipublicfiles.com/video-nonlocal"
FAST_ADVICE = (
    "No weights of the fast pathway alone are published: train it with PySlowFast "
    "(SLOWFAST_8x8_R50 without its slow pathway) and give the .pyth file with `checkpoint`"
)


def _one_pathway_points(spec: ResNetSpec) -> dict[str, tuple[HookPoint, ...]]:
    return {stage: (HookPoint(f"s{stage}"),) for stage in STAGES}


def _two_pathway_points(spec: ResNetSpec) -> dict[str, tuple[HookPoint, ...]]:
    # The lateral connection of a stage follows it; res5 has none.
    modules = {s: f"s{s}_fuse" if spec.fuse and s != "5" else f"s{s}" for s in STAGES}
    indices = {"slow": (0,), "fast": (1,), "cat": (0, 1)}[spec.path]
    return {
        s: tuple(HookPoint(module, index) for index in indices) for s, module in modules.items()
    }


def _pathway(spec: ResNetSpec) -> str:
    return spec.path if spec.fuse else f"{spec.path}, not fused"


def _always_fused_points(spec: ResNetSpec) -> dict[str, tuple[HookPoint, ...]]:
    # The study's code ignores `fuse` here: the lateral connection is part of the published block.
    return _two_pathway_points(replace(spec, fuse=True))


def _always_fused_pathway(spec: ResNetSpec) -> str:
    return spec.path


# What networks with two pathways have in addition to those with one.
TWO_PATHWAYS: dict[str, Any] = {
    "points": _two_pathway_points,
    "pathway": _pathway,
    "options": {"path": PATHS, "fuse": (True, False)},
}


def _network(name, spec, frames, rate, weights, trained_on="Kinetics-400", **more) -> Network:
    two = len(spec.pathways) == 2
    head = "head.projection."
    if spec.naming == "pytorchvideo":
        head = pytorchvideo_name(head, two)
    inputs = tuple(zip(("slow", "fast") if two else ("video",), frames, strict=True))
    fields: dict[str, Any] = {
        "points": _one_pathway_points,
        "clip": ClipGeometry(inputs, rate),
        "num_classes": CLASSES.get(trained_on, 0),
        **(TWO_PATHWAYS if two else {}),
        **more,
    }
    return Network(
        name=name,
        family="ResNet",
        build="models.modules.resnet:build",
        spec=spec,
        trained_on=trained_on,
        weights=weights,
        head=head,
        **fields,
    )


def _zoo(file: str, folder: str = ZOO_FILES, page: str = ZOO_PAGE) -> Weights:
    return Weights(page, f"{folder}/{file}")


def _demo(name: str, task: str, num_classes: int) -> Network:
    file = Path(__file__).parent.parent / "weights" / f"{name}.safetensors"
    spec = ResNetSpec((DEMO,), blocks=(1, 1, 1, 1), head_window=None)
    weights = Weights(f"Run python misc/train_demo.py, which makes {file.name}", bundled=file)
    clip = ClipGeometry((("video", 8),), 2, window=16, short_side=64, crop=64)
    return _network(
        name, spec, (8,), 2, weights, f"synthetic {task}", clip=clip, num_classes=num_classes
    )


CLASSES = {"Kinetics-400": 400, "SSv2": 174, "Diving48": 48}

C2D_SPEC = ResNetSpec((Pathway(0, 64, 1, C2D_KERNELS),), pool_after_res2=2)
I3D_SPEC = ResNetSpec((Pathway(0, 64, 5, I3D_KERNELS),), pool_after_res2=2)
NLN_SPEC = ResNetSpec(
    I3D_SPEC.pathways, pool_after_res2=2, nonlocal_after=((), (1, 3), (1, 3, 5), ())
)
SLOW_SPEC = ResNetSpec((SLOW,))
FAST_SPEC = ResNetSpec((FAST,))
SLOWFAST_SPEC = ResNetSpec((SLOW, FAST), Fusion(7, 4))
SLOWFAST_4X16_SPEC = ResNetSpec((SLOW, FAST), Fusion(5, 8))
MULTIGRID_SPEC = ResNetSpec((SLOW, FAST), Fusion(7, 4), head_window=None)
SLOW_PTV_SPEC = ResNetSpec((SLOW,), naming="pytorchvideo")
SLOWFAST_PTV_SPEC = ResNetSpec((SLOW, FAST), Fusion(7, 4), naming="pytorchvideo")

# fmt: off
NETWORKS = (
    _network("c2d", C2D_SPEC, (8,), 8,
             _zoo("c2d_baseline_8x8_IN_pretrain_400k.pkl", NONLOCAL_FILES, NONLOCAL_PAGE)),
    _network("i3d", I3D_SPEC, (8,), 8, _zoo("I3D_8x8_R50.pkl")),
    _network("i3d_nln", NLN_SPEC, (8,), 8, _zoo("I3D_NLN_8x8_R50.pkl")),
    _network("slow_r50_8x8", SLOW_SPEC, (8,), 8, _zoo("SLOWONLY_8x8_R50.pkl")),
    _network("slow_r50_4x16", SLOW_SPEC, (4,), 16, _zoo("SLOWONLY_4x16_R50.pkl")),
    _network("fast", FAST_SPEC, (32,), 2, Weights(FAST_ADVICE),
             by_dataset={"ssv2": "fast_ssv2", "Diving48": "fast_diving48"}),
    _network("fast_ssv2", FAST_SPEC, (32,), 2, Weights(FAST_ADVICE), "SSv2"),
    _network("fast_diving48", FAST_SPEC, (32,), 2, Weights(FAST_ADVICE), "Diving48"),
    _network("slowfast_r50_8x8", SLOWFAST_SPEC, (8, 32), 2, _zoo("SLOWFAST_8x8_R50.pkl")),
    _network("slowfast_r50_4x16", SLOWFAST_4X16_SPEC, (4, 32), 2, _zoo("SLOWFAST_4x16_R50.pkl")),
    _network("slow_ssv2_r50_8x8", SLOW_PTV_SPEC, (8,), 8,
             _zoo("SLOW_8x8_R50.pyth", PYTORCHVIDEO_FILES, PYTORCHVIDEO_PAGE), "SSv2"),
    _network("slowfast_ssv2_r50_8x8", SLOWFAST_PTV_SPEC, (8, 32), 2,
             _zoo("SLOWFAST_8x8_R50.pyth", PYTORCHVIDEO_FILES, PYTORCHVIDEO_PAGE), "SSv2",
             points=_always_fused_points, pathway=_always_fused_pathway),
    _network("slowfast_ssv2_16x8", SLOWFAST_SPEC, (16, 64), 2,
             _zoo("SLOWFAST_16x8_R50.pkl", MULTIGRID_FILES), "SSv2"),
    _network("slowfast_ssv2_16x8_multigrid", MULTIGRID_SPEC, (16, 64), 2,
             _zoo("SLOWFAST_16x8_R50_multigrid.pkl", MULTIGRID_FILES), "SSv2"),
    _demo("demo_motion", "motion", 8),
    _demo("demo_appearance", "appearance", 8),
)
# fmt: on
