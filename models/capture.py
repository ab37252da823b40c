"""Features of stages: forward hooks that live inside a `with` block, and pooling to units."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.network import BY_SHAPE, HookPoint, UnitRule
from utils import UserError

LOGITS = "logits"

# Convolutions, pooling, batch and instance norms of any number of axes.
_CHANNELS_FIRST = (
    *(nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm),
    *(nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd),
    *(nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd),
)


class _Enough(Exception):
    """Raised by the last hook: all requested stages are there, so the forward can end."""


def unit_axis(module: nn.Module, ndim: int, rule: UnitRule = BY_SHAPE) -> int:
    """Axis of the units in an output of `module` with `ndim` axes.

    This is `rule.dim` if given. Otherwise the module decides if it leaves no doubt: axis 1 for the
    channels of convolutions, pooling and batch norms, the last axis for the features of linear
    layers and layer norms. Otherwise the shape decides: axis 1 of maps [B, C, T, H, W] and
    [B, C, H, W] (the last axis if `rule.maps_last`), the last axis of tokens [B, N, C].

    Raises UserError if the output has no axis `rule.dim`, or if that is the axis of the clips.
    """
    if rule.dim is not None:
        if rule.dim not in range(-ndim, ndim) or rule.dim % ndim == 0:
            raise UserError(
                f"`unit_dim` {rule.dim}: an output of {type(module).__name__} has {ndim} axes, "
                f"and that of the units is one of 1 to {ndim - 1}"
            )
        return rule.dim
    if isinstance(module, _CHANNELS_FIRST):
        return 1
    if _has_features_last(module) or ndim == 3 or (rule.maps_last and ndim > 3):
        return ndim - 1
    return 1


def _has_features_last(module: nn.Module) -> bool:
    """Linear layers, and layer norms of one axis; classes derived from these may permute axes."""
    norm = type(module) is nn.LayerNorm and len(module.normalized_shape) == 1
    return isinstance(module, nn.Linear) or norm


def pool_units(x: Tensor, axis: int) -> Tensor:
    """Mean over all axes except the first and that of the units, [B, C].

    The mean over tokens includes a class token. The result has its own memory, as later layers may
    work in place. It is in float32 for maps of half precision, which would round it once more.
    """
    rest = [k for k in range(1, x.ndim) if k != axis % x.ndim]
    half = x.dtype in (torch.bfloat16, torch.float16)
    if rest:
        return x.mean(rest, dtype=torch.float32) if half else x.mean(rest)
    return x.float() if half else x.clone()


def element(output: Any, point: HookPoint) -> Tensor:
    """The tensor that `point` names in the output of its module.

    Raises UserError, listing the elements, if it does not name exactly one.
    """
    if isinstance(output, Tensor) and point.index is None:
        return output
    held = elements(output)
    if point.index is None and len(held) == 1:
        return next(iter(held.values()))
    named = {str(key): value for key, value in held.items()}
    if point.index is not None and str(point.index) in named:
        return named[str(point.index)]
    there = ", ".join(f"{point.module}#{key}" for key in held)
    name = point.module if point.index is None else f"{point.module}#{point.index}"
    found = f"holds {there}" if there else f"is one {type(output).__name__}"
    if not there and point.index is not None:
        found += ": leave out the #"
    raise UserError(f"stage {name!r} is not one tensor: the module's output {found}")


def elements(output: Any) -> dict[int | str, Tensor]:
    """The tensors in a tuple, a list or a dict, by index or name; empty for anything else."""
    if isinstance(output, Mapping):
        pairs = list(output.items())
    elif isinstance(output, Sequence) and not isinstance(output, str):
        pairs = list(enumerate(output))
    else:
        pairs = []
    return {key: value for key, value in pairs if isinstance(value, Tensor)}


@contextlib.contextmanager
def capture(
    network: nn.Module,
    points: Sequence[HookPoint],
    *,
    stop: bool,
    rule: UnitRule = BY_SHAPE,
) -> Iterator[dict[HookPoint, Tensor]]:
    """Pooled outputs [B, C] of `points`, filled by the one forward inside the block.

    Hooks are removed when the block ends, also after an error. With `stop` the forward ends at
    the last point, by an exception that the block swallows.

    Raises UserError if the forward uses one of the modules twice: which use is meant is ambiguous.
    """
    pooled: dict[HookPoint, Tensor] = {}
    by_module: dict[str, list[HookPoint]] = {}
    for point in dict.fromkeys(points):
        by_module.setdefault(point.module, []).append(point)

    def hook(own: list[HookPoint]):
        def store(module: nn.Module, inputs: Any, output: Any) -> None:
            for point in own:
                if point in pooled:
                    raise UserError(
                        f"stage {point.module!r}: the network uses this module more than once in a "
                        "forward, so its output is ambiguous; take the module that contains it"
                    )
                x = element(output, point)
                if x.ndim < 2:
                    raise UserError(
                        f"stage {point.module!r} is of shape {list(x.shape)}, without units"
                    )
                pooled[point] = pool_units(x, unit_axis(module, x.ndim, rule))
            if stop and len(pooled) == len(set(points)):
                raise _Enough

        return store

    handles = []
    try:
        for name, own in by_module.items():
            handles.append(network.get_submodule(name).register_forward_hook(hook(own)))
        yield pooled
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()


def stage_features(
    network: nn.Module,
    inputs: Sequence[Tensor],
    stages: Mapping[str, Sequence[HookPoint]],
    *,
    logits: bool = False,
    rule: UnitRule = BY_SHAPE,
    whole: bool = False,
) -> dict[str, Tensor]:
    """Features [B, C] of every stage from one forward, and "logits" [B, classes] if requested.

    stages: the points of each stage; several are concatenated in order, each averaged over its
        own frames and positions.
    logits: whether what the network returns is requested too.
    whole: whether the forward goes on after the last stage; with `logits` it does.

    Raises UserError for a stage that the forward does not reach exactly once.
    """
    points = [point for own in stages.values() for point in own]
    result: dict[str, Tensor] = {}
    stop = not logits and not whole
    with torch.inference_mode(), capture(network, points, stop=stop, rule=rule) as pooled:
        output = network(*inputs)
        if logits:
            result = _named(output, len(inputs[0]))
    for stage, own in stages.items():
        if any(point not in pooled for point in own):
            raise UserError(f"stage {stage!r}: the forward does not reach this module")
    features = {
        name: torch.cat([pooled[point] for point in own], 1) for name, own in stages.items()
    }
    if rule.folded:
        features = {n: _one_row_a_clip(n, x, len(inputs[0])) for n, x in features.items()}
    return {**features, **result}


def _one_row_a_clip(stage: str, x: Tensor, clips: int) -> Tensor:
    """The features of a stage [clips, C]; several rows of a single clip are averaged."""
    if len(x) == clips:
        return x
    if clips == 1:
        return x.mean(0, keepdim=True)
    raise UserError(folded(stage, len(x), clips))


def folded(stage: str, rows: int, clips: int) -> str:
    """The message for a stage that does not have one row per clip."""
    return (
        f"stage {stage!r} has {rows} rows for {clips} clips: it folds frames or positions into "
        "the batch; give `batch_size` 1, where all of them belong to one clip"
    )


def _named(output: Any, clips: int) -> dict[str, Tensor]:
    """What a network returns: a tensor as "logits", those of a tuple or list as "logits1",
    "logits2", ..., those of a dict as "logits#name".

    Raises UserError if it returns no tensor, or one whose rows do not belong to clips.
    """
    held = elements(output)
    if isinstance(output, Tensor):
        named = {LOGITS: output}
    elif isinstance(output, Mapping):
        named = {f"{LOGITS}#{key}": part for key, part in held.items()}
    else:
        named = {f"{LOGITS}{number}": part for number, part in enumerate(held.values(), 1)}
    if not named:
        raise UserError(f"--logits: the network returns {type(output).__name__}, no tensor")
    for name, x in named.items():
        if not x.ndim or len(x) % clips:
            raise UserError(
                f"--logits: the network returns {name!r} of shape {list(x.shape)} for {clips} "
                "clips, not a row per clip; leave it out by a few lines of adapter "
                "(docs/networks.md)"
            )
    return named
