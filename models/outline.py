"""Which modules a network runs, and what each returns, observed in one forward of zeros."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from datasets.geometry import Geometry
from models.capture import elements, folded, stage_features, unit_axis
from models.network import BY_SHAPE, HookPoint, Network, UnitRule
from models.own.user_code import described
from utils import UserError, counted, is_out_of_memory


@dataclass
class Use:
    """How a module was used in a forward.

    calls: how often.
    shapes: of its output: of the elements by index or name; of a single tensor under None.
    """

    calls: int = 0
    shapes: dict[int | str | None, tuple[int, ...]] = field(default_factory=dict)


def zeros(clip: Geometry, device: torch.device | str = "cpu", clips: int = 1) -> list[Tensor]:
    """Clips of zeros for every input of a network: float32 [clips, 3, T, H, W], or as
    `clip.shapes` says."""
    return [torch.zeros(clips, *shape, device=device) for shape in clip.shapes.values()]


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
    """Turns whatever is raised in the block into a UserError with the shapes of the inputs."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a user's network may raise anything, or end a script
        if is_out_of_memory(error):
            raise
        shapes = " and ".join(str(list(x.shape)) for x in inputs)
        raise UserError(
            f"the network cannot take clips {shapes}: {described(error)}\nGive it the "
            "`clip_frames` and `image_size` that it was made for, and a `batch_size` that it can "
            "take; a network with other inputs needs a few lines of adapter (docs/networks.md)"
        ) from error


@contextlib.contextmanager
def within_memory(clips: int) -> Iterator[None]:
    """Turns a lack of memory in the block, a forward of so many clips, into a UserError."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        advice = (
            "give a smaller `batch_size`"
            if clips > 1
            else (
                "give a smaller `image_size`, another `device`, or fewer processes that read "
                "(`num_workers`)"
            )
        )
        raise UserError(
            f"out of memory in a forward of {counted(clips, 'clip')}: {advice} ({error})"
        ) from error


def require_stages(
    module: nn.Module,
    inputs: Sequence[Tensor],
    stages: Mapping[str, Sequence[HookPoint]],
    rule: UnitRule,
    rows: int = 1,
) -> None:
    """Raise UserError if a whole forward of a batch fails, or a stage cannot be measured.

    That is one that is not reached, is used twice, is not a single tensor, or folds its frames into
    the batch although that holds several clips.

    rows: of features per clip.
    """
    clips = len(inputs[0])
    with first_forward(inputs):
        unfolded = replace(rule, folded=False)
        features = stage_features(module, inputs, stages, rule=unfolded, whole=True)
    for stage, x in features.items():
        if len(x) != clips * rows and clips > 1:
            raise UserError(folded(stage, len(x), clips))


@dataclass(frozen=True)
class StageRow:
    """A line of `--list_stages`.

    stage: its name, as `stg` takes it.
    shape: of its output for one clip.
    units: their number; 0 if it has no axis of units.
    default: whether it is one of `stg` all.
    calls: how often its module runs in one forward of the network.
    """

    stage: str
    shape: tuple[int, ...]
    units: int
    default: bool
    calls: int = 1


def list_stages(network: Network, module: nn.Module, device: str = "cpu") -> list[StageRow]:
    """Every stage that the network has, or that can be asked for, in order.

    device: of `module`; on "meta" a network runs without computing.
    """
    uses = outline(module, zeros(network.clip, device))
    if not network.modules:
        return _table_rows(network, module, uses)
    rows = []
    for stage in network.modules:
        point = HookPoint.named(network.inside + stage)
        part, use = module.get_submodule(point.module), uses[point.module]
        if not use.calls and not isinstance(part, nn.ModuleList):
            rows.append(StageRow(stage, (), 0, stage in network.stages, 0))
        for key, shape in use.shapes.items():
            single = key is None or len(use.shapes) == 1
            name = stage if single else f"{stage}#{key}"
            units = count_units(part, shape, network.unit_rule)
            rows.append(StageRow(name, shape, units, stage in network.stages, use.calls))
    return rows


def _table_rows(network: Network, module: nn.Module, uses: Mapping[str, Use]) -> list[StageRow]:
    rows = []
    for stage, points in network.stage_points("all").items():
        shapes = [_shape(uses[point.module], point) for point in points]
        parts = [module.get_submodule(point.module) for point in points]
        units = [count_units(p, s, network.unit_rule) for p, s in zip(parts, shapes, strict=True)]
        rows.append(StageRow(stage, shapes[0], sum(units), True))
    return rows


def _shape(use: Use, point: HookPoint) -> tuple[int, ...]:
    return next(iter(use.shapes.values())) if point.index is None else use.shapes[point.index]


def measurable(network: Network, module: nn.Module) -> Network:
    """A user's own network with only those of its stages that can be measured: those that a forward
    reaches once, and that are one tensor."""
    uses = outline(module, zeros(network.clip))

    def can_be(point: HookPoint) -> bool:
        use, part = uses[point.module], module.get_submodule(point.module)
        shapes = list(use.shapes.values())
        return use.calls == len(shapes) == 1 and count_units(part, shapes[0], network.unit_rule) > 0

    points = network.points(network.spec)
    kept = {stage: own for stage, own in points.items() if all(map(can_be, own))} or points
    return replace(network, points=lambda spec: kept, any_stages=False)


def count_units(part: nn.Module, shape: Sequence[int], rule: UnitRule = BY_SHAPE) -> int:
    """The number of units in an output of this shape; 0 if it lacks the axis of units."""
    try:
        return shape[unit_axis(part, len(shape), rule)] if len(shape) > 1 else 0
    except UserError:
        return 0
