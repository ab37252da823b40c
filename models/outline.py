"""Which modules a network runs, and what each gives: read off one forward of a clip of zeros."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from datasets.geometry import Geometry
from models.capture import elements, folded, stage_features, unit_axis
from models.network import BY_SHAPE, Network, Tap, UnitRule
from models.own.user_code import described
from utils import UserError


@dataclass
class Use:
    """How a module was used in a forward: how often, and the shapes it gave (of its elements by
    index or name; of a single tensor under None)."""

    calls: int = 0
    shapes: dict[int | str | None, tuple[int, ...]] = field(default_factory=dict)


def zeros(clip: Geometry, device: torch.device | str = "cpu", clips: int = 1) -> list[Tensor]:
    """Clips of zeros in every input of a network, [clips, 3, T, H, W] or with other axes."""
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
    """Raises UserError with the shapes of the inputs for whatever is raised in the block."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a user's network may raise anything
        shapes = " and ".join(str(list(x.shape)) for x in inputs)
        raise UserError(
            f"the network cannot take clips {shapes}: {described(error)}\nGive it the "
            "`clip_frames` and `image_size` that it was made for, and a `batch_size` that it can "
            "take; a network with other inputs needs a few lines of adapter (docs/networks.md)"
        ) from error


def require_stages(
    module: nn.Module,
    inputs: Sequence[Tensor],
    stages: Mapping[str, Sequence[Tap]],
    rule: UnitRule,
    rows: int = 1,
) -> None:
    """Raise UserError for a stage that cannot be measured, after one whole forward of a batch.

    It may not be reached, be used twice, be no single tensor, or fold its frames into the batch,
    which needs batches of one clip. rows: of features that a clip has.
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
    """A line of `--list_stages`: how to name a stage, its output's shape, its number of units.

    default: whether `stg` all` takes it. calls: forwards of the module in one of the network.
    """

    stage: str
    shape: tuple[int, ...]
    units: int
    default: bool
    calls: int = 1


def list_stages(network: Network, module: nn.Module, device: str = "cpu") -> list[StageRow]:
    """Every stage that the network has, or can be asked for, in order.

    Shapes are those of one clip. On the device "meta", where a network runs without computing,
    `module` must be there too.
    """
    uses = outline(module, zeros(network.clip, device))
    if not network.modules:
        return _table_rows(network, module, uses)
    rows = []
    for stage in network.modules:
        ((tap,),) = network.stage_taps(stage).values()
        part, use = module.get_submodule(tap.module), uses[tap.module]
        if not use.calls and not isinstance(part, nn.ModuleList):
            rows.append(StageRow(stage, (), 0, stage in network.stages, 0))
        for key, shape in use.shapes.items():
            single = key is None or len(use.shapes) == 1
            name = stage if single else f"{stage}#{key}"
            units = count_units(part, shape, network.units)
            rows.append(StageRow(name, shape, units, stage in network.stages, use.calls))
    return rows


def _table_rows(network: Network, module: nn.Module, uses: Mapping[str, Use]) -> list[StageRow]:
    rows = []
    for stage, taps in network.stage_taps("all").items():
        shapes = [_shape(uses[tap.module], tap) for tap in taps]
        parts = [module.get_submodule(tap.module) for tap in taps]
        units = [count_units(p, s, network.units) for p, s in zip(parts, shapes, strict=True)]
        rows.append(StageRow(stage, shapes[0], sum(units), True))
    return rows


def _shape(use: Use, tap: Tap) -> tuple[int, ...]:
    return next(iter(use.shapes.values())) if tap.index is None else use.shapes[tap.index]


def measurable(network: Network, module: nn.Module) -> Network:
    """A user's own network with those of its stages alone that can be measured: reached once by a
    forward, and one tensor."""
    uses = outline(module, zeros(network.clip))

    def can_be(tap: Tap) -> bool:
        use, part = uses[tap.module], module.get_submodule(tap.module)
        shapes = list(use.shapes.values())
        return use.calls == len(shapes) == 1 and count_units(part, shapes[0], network.units) > 0

    taps = network.taps(network.spec)
    kept = {stage: own for stage, own in taps.items() if all(map(can_be, own))} or taps
    return replace(network, taps=lambda spec: kept, any_stages=False)


def count_units(part: nn.Module, shape: Sequence[int], rule: UnitRule = BY_SHAPE) -> int:
    """The number of units in an output of this shape; 0 for one without the axis of units."""
    try:
        return shape[unit_axis(part, len(shape), rule)] if len(shape) > 1 else 0
    except UserError:
        return 0
