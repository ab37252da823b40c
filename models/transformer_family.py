"""The table of video transformers: MViT and TimeSformer. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.geometry import ClipGeometry
from models.registry import Network, Tap, Variant, Weights

if TYPE_CHECKING:
    from torch import Tensor


# Listed there as MVIT_B_16x4_CONV; the direct form of the address, past the warning about its size.
MVIT_WEIGHTS = Weights(
    "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md",
    "https://drive.usercontent.google.com/download?id=194gJinVejq6A1FmySNKQ8vAN5-FOY-QL"
    "&export=download&confirm=t",
    file="MVIT_B_16x4_CONV.pyth",
)
TIMESFORMER_PAGE = "https://github.com/facebookresearch/TimeSformer#model-zoo"
TIMESFORMER_FILES = "https://www.dropbox.com/s"


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


def _recognise_mvit(state: Mapping[str, Tensor]) -> Variant:
    """The study ran a narrower form, without the pooling of keys and values in two blocks."""
    if any("blocks.14.attn.pool_k." in name for name in state):
        return Variant(MViTSpec(), state)
    return Variant(MViTSpec(pooled_blocks=14), state, "no key/value pooling in blocks 14 and 15")


def _stretch_time(frames: int) -> Callable[[Mapping[str, Tensor]], Variant]:
    """For a published file of fewer frames: each row of its time embedding serves several.

    As in the study, row i comes from row i // 2 of the 8-frame file.
    """

    def recognise(state: Mapping[str, Tensor]) -> Variant:
        spec = TimeSformerSpec(frames)
        name = next((name for name in state if name.endswith("time_embed")), None)
        rows = state[name].shape[1] if name and state[name].ndim == 3 else frames
        if name is None or rows in (0, frames) or frames % rows:
            return Variant(spec, state)
        stretched = {**state, name: state[name].repeat_interleave(frames // rows, 1)}
        return Variant(spec, stretched, f"time embedding of {rows} frames stretched to {frames}")

    return recognise


def _mvit(name: str, **more) -> Network:
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
        weights=MVIT_WEIGHTS,
        head="head.projection.",
        only_crop=224,
        **more,
    )


def _timesformer(name: str, frames: int, rate: int, url: str, **more) -> Network:
    spec = TimeSformerSpec(frames)
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
        weights=Weights(TIMESFORMER_PAGE, f"{url}?dl=1", file=url.rsplit("/", 1)[-1]),
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
        f"{TIMESFORMER_FILES}/g5t24we9gl5yk88/TimeSformer_divST_8x32_224_K400.pyth",
        num_classes=400,
        trained_on="Kinetics-400",
        by_dataset={"ssv2": "timesformer_ssv2"},
    ),
    _timesformer(
        "timesformer_ssv2",
        16,
        8,
        f"{TIMESFORMER_FILES}/tybhuml57y24wpm/TimeSformer_divST_8_224_SSv2.pyth",
        num_classes=174,
        trained_on="SSv2",
        recognise=_stretch_time(16),
    ),
)
