"""The table of video transformers: MViT and TimeSformer. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datasets.geometry import ClipGeometry
from models.network import HookPoint, Network, Variant, Weights
from utils import UserError

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
    """The spec of an MViT-B.

    frames: of its clips.
    crop: of its clips, in pixels.
    pooled_blocks: how many of its blocks pool keys and values.
    depth: number of blocks.
    """

    frames: int = 16
    crop: int = 224
    pooled_blocks: int = 16
    depth: int = 16


@dataclass(frozen=True)
class TimeSformerSpec:
    """The spec of a TimeSformer with divided space-time attention.

    frames: of its clips.
    crop: of its clips, in pixels.
    stretched: whether a checkpoint of fewer frames is stretched to these.
    patch: side of a patch in pixels.
    width: of a token.
    depth: number of blocks.
    heads: of the attention.
    """

    frames: int
    crop: int = 224
    stretched: bool = False
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12


def _block_points(prefix: str):
    def points(spec: MViTSpec | TimeSformerSpec) -> dict[str, tuple[HookPoint, ...]]:
        return {str(block): (HookPoint(f"{prefix}{block}"),) for block in range(spec.depth)}

    return points


def _fixed_mvit(spec: MViTSpec, state: Mapping[str, Tensor]) -> Variant:
    """The network as it is. Raises UserError if the embeddings are those of other clips."""
    frames = 2 * _rows(state, "pos_embed_temporal", spec.frames // 2)
    if frames != spec.frames:
        raise _other_frames(frames, spec.frames)
    crop = 4 * math.isqrt(_rows(state, "pos_embed_spatial", (spec.crop // 4) ** 2))
    if crop != spec.crop:
        raise UserError(
            f"the checkpoint was trained on clips of {crop} pixels; MViT is measured on clips of "
            f"{spec.crop} pixels: give a checkpoint that was trained on those"
        )
    return Variant(spec, state)


def _recognise_mvit(spec: MViTSpec, state: Mapping[str, Tensor]) -> Variant:
    """The published form, or the study's, which does not pool keys and values in two blocks."""
    _fixed_mvit(spec, state)
    if any("blocks.14.attn.pool_k." in name for name in state):
        return Variant(spec, state)
    narrow = replace(spec, pooled_blocks=14)
    return Variant(narrow, state, "no key/value pooling in blocks 14 and 15")


def _recognise_timesformer(spec: TimeSformerSpec, state: Mapping[str, Tensor]) -> Variant:
    """The form that the embeddings fit, which tell on which clips they were trained.

    Larger clips take the nearest positions, as in the published code and in the study; other
    numbers of frames and smaller clips are refused. As in the study, `stretched` networks also take
    a file of 8 frames: each row of its time embedding then stands for several frames.
    """
    frames = _rows(state, "time_embed", spec.frames)
    positions = _rows(state, "pos_embed", (spec.crop // spec.patch) ** 2 + 1) - 1
    crop = max(math.isqrt(positions), 1) * spec.patch
    repeats = spec.frames // frames if spec.stretched and spec.frames % frames == 0 else 1
    notes = []
    if repeats > 1:
        name = next(name for name in state if name.endswith("time_embed"))
        state = {**state, name: state[name].repeat_interleave(repeats, 1)}
        notes.append(f"time embedding of {frames} frames stretched to {spec.frames}")
    elif frames != spec.frames:
        raise _other_frames(frames, spec.frames)
    if crop > spec.crop:
        raise UserError(
            f"the checkpoint was trained on clips of {crop} pixels, not {spec.crop}: give "
            f"`image_size` {crop}"
        )
    if crop < spec.crop:
        notes.append(f"positions of {crop} pixels, the nearest taken for {spec.crop}")
    return Variant(replace(spec, crop=crop), state, "; ".join(notes))


def _rows(state: Mapping[str, Tensor], embedding: str, otherwise: int) -> int:
    """The number of positions of an embedding [1, positions, width]; `otherwise` without one."""
    found = (value for name, value in state.items() if name.endswith(embedding))
    return next(
        (value.shape[1] for value in found if value.ndim == 3 and value.shape[1]), otherwise
    )


def _other_frames(found: int, wanted: int) -> UserError:
    return UserError(
        f"the checkpoint was trained on clips of {found} frames, not {wanted}: give "
        f"`clip_frames` {found} (and the `sampling_rate` it was trained with)"
    )


def _mvit(name: str, **more) -> Network:
    return Network(
        name=name,
        family="MViT",
        build="models.modules.mvit:build",
        spec=MViTSpec(),
        points=_block_points("blocks."),
        clip=ClipGeometry((("video", 16),), 4, window=64, short_side=256, crop=224),
        num_classes=400,
        trained_on="Kinetics-400",
        weights=MVIT_WEIGHTS,
        head="head.projection.",
        only_crop=224,
        any_frames=True,
        **more,
    )


def _timesformer(spec: TimeSformerSpec, name: str, rate: int, url: str, **more) -> Network:
    return Network(
        name=name,
        family="TimeSformer",
        build="models.modules.timesformer:build",
        spec=spec,
        points=_block_points("model.blocks."),
        clip=ClipGeometry(
            (("video", spec.frames),), rate, window=spec.frames * rate, short_side=256, crop=224
        ),
        weights=Weights(TIMESFORMER_PAGE, f"{url}?dl=1", file=url.rsplit("/", 1)[-1]),
        head="model.head.",
        recognise=_recognise_timesformer,
        any_frames=True,
        **more,
    )


NETWORKS = (
    _mvit("mvit", recognise=_recognise_mvit),
    _mvit("mvit_kvpool16", recognise=_fixed_mvit),
    _timesformer(
        TimeSformerSpec(8),
        "timesformer",
        32,
        f"{TIMESFORMER_FILES}/g5t24we9gl5yk88/TimeSformer_divST_8x32_224_K400.pyth",
        num_classes=400,
        trained_on="Kinetics-400",
        by_dataset={"ssv2": "timesformer_ssv2"},
    ),
    _timesformer(
        TimeSformerSpec(16, stretched=True),
        "timesformer_ssv2",
        8,
        f"{TIMESFORMER_FILES}/tybhuml57y24wpm/TimeSformer_divST_8_224_SSv2.pyth",
        num_classes=174,
        trained_on="SSv2",
    ),
)
