"""The table of video transformers: MViT and TimeSformer. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from datasets.geometry import ClipGeometry
from models.registry import Network, Tap, Variant, Weights


@dataclass(frozen=True)
class MViTSpec:
    """MViT-B: size of its clips, and how many of its 16 blocks pool keys and values."""

    frames: int = 16
    crop: int = 224
    pooled_blocks: int = 16


@dataclass(frozen=True)
class TimeSformerSpec:
    """TimeSformer with divided space-time attention: size of its clips and of its parts."""

    frames: int
    crop: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12


def _block_taps(prefix: str):
    def taps(stage: str, path: str, fuse: bool) -> tuple[Tap, ...]:
        return (Tap(f"{prefix}{stage}"),)

    return taps


def _recognise_mvit(names: Collection[str]) -> Variant:
    """The study ran a narrower form, without the pooling of keys and values in two blocks."""
    if any("blocks.14.attn.pool_k." in name for name in names):
        return Variant(MViTSpec())
    return Variant(MViTSpec(pooled_blocks=14), "no key/value pooling in blocks 14 and 15")


def _mvit(name: str, **more) -> Network:
    # The published file lies on a drive that gives no direct address.
    page = (
        "Download the file of MVIT_B_16x4_CONV listed at "
        "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md and give --checkpoint"
    )
    return Network(
        name=name,
        family="MViT",
        build="models.mvit:build",
        spec=MViTSpec(),
        stages=tuple(str(block) for block in range(16)),
        taps=_block_taps("blocks."),
        clip=ClipGeometry((("video", 16),), 4, window=64, short_side=256, crop=224),
        num_classes=400,
        trained_on="Kinetics-400",
        weights=Weights(page),
        head="head.projection.",
        **more,
    )


def _timesformer(name: str, frames: int, rate: int, file: str, **more) -> Network:
    spec = TimeSformerSpec(frames)
    page = (
        f"Download {file} listed at https://github.com/facebookresearch/TimeSformer#model-zoo "
        "and give --checkpoint"
    )
    return Network(
        name=name,
        family="TimeSformer",
        build="models.timesformer:build",
        spec=spec,
        stages=tuple(str(block) for block in range(spec.depth)),
        taps=_block_taps("model.blocks."),
        clip=ClipGeometry(
            (("video", frames),), rate, window=frames * rate, short_side=256, crop=224
        ),
        weights=Weights(page),
        head="model.head.",
        **more,
    )


NETWORKS = (
    _mvit("mvit", recognise=_recognise_mvit),
    _mvit("mvit_kvpool16"),
    _timesformer(
        "timesformer",
        8,
        32,
        "TimeSformer_divST_8x32_224_K400.pyth",
        num_classes=400,
        trained_on="Kinetics-400",
        by_dataset={"ssv2": "timesformer_ssv2"},
    ),
    _timesformer(
        "timesformer_ssv2",
        16,
        8,
        "TimeSformer_divST_8_224_SSv2.pyth",
        num_classes=174,
        trained_on="SSv2",
    ),
)
