"""The table of MATNet and its variants: two ResNet-101 streams with co-attention. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.network import HookPoint, Network, Weights
from models.tables.two_stream import FUSED, LAYERS, STREAMS, TWO_STREAM, in_archive


@dataclass(frozen=True)
class CoAttentionKind:
    """What distinguishes one cross connection of MATNet from another.

    gated: whether sigmoid gates add the streams' own features.
    reciprocal: whether the flow stream gets features too.
    add: whether the image stream gets those of the flow stream unchanged, after the last cascade.
    norm_fn: the norm of the affinities if it cannot be chosen.
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
    """What distinguishes one MATNet from another: the `extra_args` of its configuration.

    cc_type: cross connection of the streams, a key of `CO_ATTENTION`.
    fusion_type: how their features are brought together.
    norm_fn: norm of the affinities.
    use_global: whether the fusion is gated by global context.
    use_spatial_conv: whether its spatial gates are convolutions.
    """

    cc_type: str = "coatt"
    fusion_type: str = "gated"
    norm_fn: str = "tanh"
    use_global: bool = True
    use_spatial_conv: bool = False


def _points(spec: MATNetSpec) -> dict[str, tuple[HookPoint, ...]]:
    points = {}
    for index, stream in enumerate(STREAMS):
        points[f"conv1,{stream}"] = HookPoint(f"encoder.conv1_{index + 1}")
        # Before any exchange; those of the later levels after it.
        points[f"layer1,{stream}"] = HookPoint(f"encoder.res2_{index + 1}")
        for level in (2, 3, 4):
            points[f"layer{level},{stream}"] = HookPoint(f"encoder.coa_res{level + 1}", index)
    for level, layer in enumerate(LAYERS[1:], 2):
        points[f"{layer},{FUSED}"] = HookPoint(f"encoder.gated_res{level}")
    points[f"layerf,{FUSED}"] = HookPoint("decoder.RF2")
    return {stage: (point,) for stage, point in points.items()}


def _name(name: str, options: Mapping[str, Any], spec: MATNetSpec) -> str:
    """As in the study, the given options are part of the name."""
    return "_".join((name, *(f"{option}_{value}" for option, value in options.items())))


def _network(name: str, **spec: Any) -> Network:
    return Network(
        name=name,
        family="MATNet",
        build="vos.modules.matnet:build",
        spec=MATNetSpec(**spec),
        points=_points,
        options={
            "cc_type": tuple(CO_ATTENTION),
            "fusion_type": ("gated", "convex_gated"),
            "norm_fn": ("tanh", "softmax"),
            "use_global": (True, False),
            "use_spatial_conv": (False, True),
        },
        naming=_name,
        unused=r"encoder\.coa_res\d\.(bottolneck\d|bna|bnb)\.|decoder\.(pred[345]|concat)\."
        r"|decoder\.RF\d\.(convFS1|pdc\.block[23])\.",
        weights=Weights(in_archive("checkpoints_matnet/"), in_folder=True, untrained="_random"),
        **TWO_STREAM,
    )


NETWORKS = (
    _network("matnet"),
    # The study's variants, each a file under configs/.
    _network("matnet_unidir", cc_type="coatt"),
    _network("matnet_unidir_gated", cc_type="coatt_gated"),
    _network("matnet_bidir", cc_type="coatt_recip"),
    _network("matnet_bidir_gated", cc_type="coatt_gated_recip"),
    _network("matnet_gated_fusion", fusion_type="gated", use_global=False),
    _network("matnet_cvxgated_fusion", fusion_type="convex_gated"),
)
