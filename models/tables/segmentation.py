"""The table of segmentation networks: FusionSeg, MATNet and RTNet. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.network import Tap
from vos.registry import Segmenter

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = ("conv1", "layer1", "layer2", "layer3", "layer4")
APP, MOT, FUSED = "app_stream", "mot_stream", "sensor_fusion"


@dataclass(frozen=True)
class FusionSegSpec:
    """What tells one FusionSeg from another; the options of its configuration.

    fuse_early: whether the fusion belongs to the backbone or to the head; a matter of names.
    fuse_bnorm: whether a batch norm follows it.
    """

    output_stride: int = 16
    fuse_early: bool = True
    fuse_bnorm: bool = False
    num_classes: int = 2


@dataclass(frozen=True)
class CoAttentionKind:
    """What tells one cross connection of MATNet from another.

    gated: whether sigmoid gates add the streams' own features.
    reciprocal: whether the flow stream gets features too.
    add: whether the image stream gets those of the flow stream as they are, after the last cascade.
    norm_fn: the norm of the affinities where it cannot be chosen.
    """

    gated: bool = False
    reciprocal: bool = False
    add: bool = False
    norm_fn: str | None = None


CO_ATTENTION = {
    "coatt": CoAttentionKind(),
    "coatt_gated": CoAttentionKind(gated=True),
    "coatt_recip": CoAttentionKind(reciprocal=True),
    "coatt_gated_recip": CoAttentionKind(gated=True, reciprocal=True, norm_fn="tanh"),
    "coatt_add": CoAttentionKind(add=True),
}


@dataclass(frozen=True)
class MATNetSpec:
    """What tells one MATNet from another; the `extra_args` of its configuration."""

    cc_type: str = "coatt"
    fusion_type: str = "gated"
    norm_fn: str = "tanh"
    use_global: bool = True
    use_spatial_conv: bool = False


@dataclass(frozen=True)
class AttentionSpec:
    """The attention of one level of RTNet.

    hidden_divisor: of the channels, for the hidden width of the channel scaling.
    pooled: whether positions are halved for it.
    standard: ordinary attention, or that of the published ResNeXt network.
    """

    heads: int
    hidden_divisor: int
    pooled: bool = False
    standard: bool = False
    bias: bool = True


@dataclass(frozen=True)
class RTNetSpec:
    """What tells one RTNet from another.

    bridged: whether 1x1 convolutions narrow the features before fusion and decoder.
    stem: the module that stage conv1 is taken from.
    """

    trunk: str
    widths: tuple[int, ...]
    bridged: bool
    stem: str
    attention: tuple[AttentionSpec, ...]


def _units(conv1: int, streams: tuple[int, ...], fused: dict[str, int]) -> dict[str, int]:
    """Units of the stages in the study's order, from the widths of conv1 and layer1 to layer4."""
    widths = dict(zip(LAYERS, (conv1, *streams), strict=True))
    units = {f"{layer},{name}": n for name in (APP, MOT) for layer, n in widths.items()}
    return units | {f"{layer},{FUSED}": n for layer, n in fused.items()}


def _fusionseg_taps(spec: FusionSegSpec) -> dict[str, Tap]:
    owner = "backbone" if spec.fuse_early else "classifier"
    taps = {f"{layer},{s}": Tap(f"backbone.{s}.{layer}") for s in (APP, MOT) for layer in LAYERS}
    fused = {f"{layer},{FUSED}": Tap(f"{owner}.{FUSED}.{layer}") for layer in ("layer1", "layer4")}
    return taps | fused


def _matnet_taps(spec: MATNetSpec) -> dict[str, Tap]:
    taps = {f"layerf,{FUSED}": Tap("decoder.RF2")}
    for index, stream in enumerate((APP, MOT)):
        taps[f"conv1,{stream}"] = Tap(f"encoder.conv1_{index + 1}")
        # Before any exchange; those of the later levels after it.
        taps[f"layer1,{stream}"] = Tap(f"encoder.res2_{index + 1}")
        for level in (2, 3, 4):
            taps[f"layer{level},{stream}"] = Tap(f"encoder.coa_res{level + 1}", index)
    for level in (1, 2, 3, 4):
        taps[f"layer{level},{FUSED}"] = Tap(f"encoder.gated_res{level + 1}")
    return taps


def _rtnet_taps(spec: RTNetSpec) -> dict[str, Tap]:
    # Level 4 has no fusion block: the first stage of the image stream's decoder stands for it.
    taps = {f"layer4,{FUSED}": Tap("spatial_net.decoder4")}
    for index, (stream, net) in enumerate(((APP, "spatial_net"), (MOT, "temporal_net"))):
        taps[f"conv1,{stream}"] = Tap(f"{net}.{spec.stem}")
        for level in (1, 2, 3, 4):
            taps[f"layer{level},{stream}"] = Tap(f"level{level}", index)
    for level in (1, 2, 3):
        taps[f"layer{level},{FUSED}"] = Tap(f"Transformerstafm{level}")
    return taps


def _object_over_rest(logits: Tensor) -> Tensor:
    """Log-odds [B, H, W] from the logits [B, 2, H, W] of rest and object."""
    return logits[:, 1] - logits[:, 0]


def _finest_of_first_frame(logits: Sequence[Tensor]) -> Tensor:
    """Log-odds [B, H, W] from the logits of four levels, each [2B, 1, H, W]."""
    return logits[0][0::2, 0]


def _rtnet(name: str, spec: RTNetSpec, published: str) -> Segmenter:
    return Segmenter(
        name=name,
        build="vos.modules.rtnet:build",
        spec=spec,
        units=_units(64, spec.widths, dict(zip(LAYERS[1:], (64, 128, 256, 256), strict=True))),
        taps=_rtnet_taps,
        inputs={"image": (2, 3), "flow": (2, 6)},
        log_odds=_finest_of_first_frame,
        frames=2,
        published=published,
    )


_WIDTHS = (256, 512, 1024, 2048)

NETWORKS = (
    Segmenter(
        name="twostream_deeplabv3plus_resnet101",
        build="vos.modules.fusionseg:build",
        spec=FusionSegSpec(),
        units=_units(64, _WIDTHS, {"layer1": 256, "layer4": 2048}),
        taps=_fusionseg_taps,
        inputs={"image": (3,), "flow": (3,)},
        log_odds=_object_over_rest,
        options={
            "output_stride": (16, 8),
            "fuse_early": (True, False),
            "fuse_bnorm": (False, True),
        },
        published="checkpoints_fseg/latest_twostream_deeplabv3plus_resnet101_{}_os16.pth",
        trainings=("davis", "taovos", "imgnetvid", "davisrdc"),
    ),
    Segmenter(
        name="matnet",
        build="vos.modules.matnet:build",
        spec=MATNetSpec(),
        units=_units(
            64,
            _WIDTHS,
            {"layer1": 512, "layer2": 1024, "layer3": 2048, "layer4": 4096, "layerf": 256},
        ),
        taps=_matnet_taps,
        inputs={"image": (3,), "flow": (3,)},
        options={
            "cc_type": tuple(CO_ATTENTION),
            "fusion_type": ("gated", "convex_gated"),
            "norm_fn": ("tanh", "softmax"),
            "use_global": (True, False),
            "use_spatial_conv": (False, True),
        },
        in_extra_args=True,
        in_folder=True,
        unused=r"encoder\.coa_res\d\.(bottolneck\d|bna|bnb)\.|decoder\.(pred[345]|concat)\."
        r"|decoder\.RF\d\.(convFS1|pdc\.block[23])\.",
        published="checkpoints_matnet/",
    ),
    _rtnet(
        "rtnet",
        RTNetSpec(
            trunk="resnext50_32x4d",
            widths=_WIDTHS,
            bridged=True,
            stem="inconv.0",
            attention=(
                AttentionSpec(1, 1, pooled=True),
                AttentionSpec(2, 2),
                AttentionSpec(4, 4),
                AttentionSpec(8, 8),
            ),
        ),
        "model_RX50.pth",
    ),
    _rtnet(
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
        "",
    ),
)
