"""Which modules a network runs, and what each gives: read off one forward of a clip of zeros."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from datasets.geometry import ClipGeometry
from models.capture import elements, stage_features, unit_axis
from models.network import BY_SHAPE, Network, Tap, UnitRule
from utils import UserError


@dataclass
class Use:
    """How a module was used in a forward: how often, and the shapes it gave (of its elements by
    index or name; of a single tensor under None)."""

    calls: int = 0
    shapes: dict[int | str | None, tuple[int, ...]] = field(default_factory=dict)


def zeros(clip: ClipGeometry, device: torch.device | str = "cpu") -> list[Tensor]:
    """One clip of zeros in every input of a network, [1, 3, T, crop, crop] each."""
    return [torch.zeros(1, 3, n, clip.crop, clip.crop, device=device) for _, n in clip.inputs]


def outline(module: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Use]:
    """The use of every module in one forward, by path; "" is the network itself.

    Raises UserError if the forward fails.
    """
    uses = {name: Use() for name, _ in module.named_modules()}

    def hook(use: Use):
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            use.calls += 1
            held = {None: output} if isinstance(output, Tensor) else elements(output)
            use.shapes = {key: tuple(value.shape) for key, value in held.items()}

        return note

    handles = [
        part.register_forward_hook(hook(uses[name])) for name, part in module.named_modules()
    ]
    try:
        with torch.inference_mode(), first_forward(inputs):
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return uses


@contextlib.contextmanager
def first_forward(inputs: Sequence[Tensor]) -> Iterator[None]:
    """Raises UserError with the shapes of the inputs for whatever is raised in the block."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a user's network may raise anything
        shapes = " and ".join(str(list(x.shape)) for x in inputs)
        raise UserError(
            f"the network cannot take a clip {shapes}: {type(error).__name__}: {error}. Give it "
            "the `clip_frames` and `crop` that it was made for; a network with other inputs needs "
            "a few lines of adapter (README, own networks)"
        ) from error


def require_stages(
    module: nn.Module,
    inputs: Sequence[Tensor],
    stages: Mapping[str, Sequence[Tap]],
    rule: UnitRule,
    batch_size: int,
) -> None:
    """Raise UserError for a stage that cannot be measured, after one whole forward of one clip.

    It may not be reached, be used twice, be no single tensor, or fold its frames into the batch,
    which needs batches of one clip.
    """
    unfolded = replace(rule, folded=False)
    with first_forward(inputs):
        features = stage_features(module, inputs, stages, rule=unfolded, whole=True)
    for stage, x in features.items():
        if len(x) > 1 and batch_size > 1:
            raise UserError(
                f"stage {stage!r} has {len(x)} rows a clip: it folds frames or positions into the "
                "batch; give `batch_size` 1, where all of them belong to one clip"
            )


@dataclass(frozen=True)
class StageRow:
    """A line of `--list_stages`: how to name a stage, its output's shape, its number of units.

    default: whether `stg` all` takes it. calls: forwards of the module in one of the network.
    """

    stage: str
    shape: tuple[int, ...]
    units: int
    default: bool
    calls: int = 1


def list_stages(
    network: Network, module: nn.Module, path: str, fuse: bool, device: str = "cpu"
) -> list[StageRow]:
    """Every stage that the network has, or can be asked for, in order.

    Shapes are those of one clip; `path` and `fuse` as on the command line. On the device "meta",
    where a network runs without computing, `module` must be there too.
    """
    uses = outline(module, zeros(network.clip, device))
    if not network.modules:
        return _table_rows(network, module, uses, path, fuse)
    rows = []
    for stage in network.modules:
        (tap,) = network.taps(stage, path, fuse)
        part, use = module.get_submodule(tap.module), uses[tap.module]
        if not use.calls and not isinstance(part, nn.ModuleList):
            rows.append(StageRow(stage, (), 0, stage in network.stages, 0))
        for key, shape in use.shapes.items():
            single = key is None or len(use.shapes) == 1
            name = stage if single else f"{stage}#{key}"
            units = count_units(part, shape, network.units)
            rows.append(StageRow(name, shape, units, stage in network.stages, use.calls))
    return rows


def _table_rows(
    network: Network, module: nn.Module, uses: Mapping[str, Use], path: str, fuse: bool
) -> list[StageRow]:
    rows = []
    for stage in network.stages:
        taps = network.taps(stage, path, fuse)
        shapes = [_shape(uses[tap.module], tap) for tap in taps]
        parts = [module.get_submodule(tap.module) for tap in taps]
        units = [count_units(p, s, network.units) for p, s in zip(parts, shapes, strict=True)]
        rows.append(StageRow(stage, shapes[0], sum(units), True))
    return rows


def _shape(use: Use, tap: Tap) -> tuple[int, ...]:
    return next(iter(use.shapes.values())) if tap.index is None else use.shapes[tap.index]


def measurable(network: Network) -> Network:
    """A user's own network with those of its stages alone that can be measured: reached once by a
    forward, and one tensor."""
    assert network.own is not None
    uses = outline(network.own, zeros(network.clip))
    taps = {stage: network.taps(stage, "", True)[0] for stage in network.stages}
    kept = [stage for stage, tap in taps.items() if _is_measurable(network, uses[tap.module], tap)]
    return replace(network, stages=tuple(kept) or network.stages, any_stages=False)


def _is_measurable(network: Network, use: Use, tap: Tap) -> bool:
    assert network.own is not None
    part, shapes = network.own.get_submodule(tap.module), list(use.shapes.values())
    return use.calls == len(shapes) == 1 and count_units(part, shapes[0], network.units) > 0


def count_units(part: nn.Module, shape: Sequence[int], rule: UnitRule = BY_SHAPE) -> int:
    """The number of units in an output of this shape; 0 for one without the axis of units."""
    try:
        return shape[unit_axis(part, len(shape), rule)] if len(shape) > 1 else 0
    except UserError:
        return 0
