"""Forwards that give the features of stages in a way: one result, within rounding, at several
speeds."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from common.memory import keep_memory
from models.capture import stage_features
from models.folding import fold, norms_after_convolutions
from models.network import HookPoint, UnitRule
from models.way import FP32, Way
from utils import counted, is_out_of_memory

# Inputs of clips to features [B, C] of every stage.
Forward = Callable[[Sequence[Tensor]], dict[str, Tensor]]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class Staged:
    """A network, and where its stages are.

    module: in evaluation mode; it stays as it is.
    points: of each stage.
    rule: what a unit is.
    """

    module: nn.Module
    points: Mapping[str, Sequence[HookPoint]]
    rule: UnitRule

    @property
    def convolves(self) -> bool:
        """Whether a tenth of its parameters, or more, are those of convolutions."""
        parts = (p for p in self.module.modules() if isinstance(p, nn.modules.conv._ConvNd))
        own = sum(part.weight.numel() for part in parts)
        return 10 * own >= sum(p.numel() for p in self.module.parameters())

    def plain(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Features of every stage as the network's modules compute them."""
        return stage_features(self.module, inputs, self.points, rule=self.rule)


def forward_in(way: Way, network: Staged, inputs: Sequence[Tensor]) -> Forward:
    """The forward of a network in a way, by modules of its own, for batches as `inputs`.

    The forward ends after the last stage, and what comes behind is not compiled. Raises whatever
    the network, or the compiler, raises.
    """
    keep_memory(way.memory)
    if way.is_plain:
        return network.plain
    module = copy.deepcopy(network.module)
    own = Staged(module, network.points, network.rule)
    if way.folded:
        kept = {point.module for points in network.points.values() for point in points}
        fold(module, norms_after_convolutions(module, lambda: own.plain(inputs), kept))
    if way.channels_last:
        _to_channels_last(module)
    if way.precision != FP32:
        _to_precision(module, DTYPES[way.precision])
    forward = _prepared(own.plain, way, inputs[0].device.type)
    if not (way.pruned or way.compiled):
        return forward
    graph, stages = _recorded(forward, inputs)
    run = _compiled(graph, inputs) if way.compiled else graph
    return _of_size(len(inputs[0]), run, stages)


def _prepared(forward: Forward, way: Way, device: str) -> Forward:
    """The same forward, with inputs laid out, and products computed, as a way has them."""

    def prepared(inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        laid_out = [_channels_last(x) for x in inputs] if way.channels_last else inputs
        with _computing(way.precision, device):
            return forward(laid_out)

    return prepared


def _computing(precision: str, device: str) -> contextlib.AbstractContextManager:
    if precision == FP32:
        return contextlib.nullcontext()
    return torch.autocast(device, DTYPES[precision], cache_enabled=False)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=_LAYOUTS[x.ndim]) if x.ndim in _LAYOUTS else x


def _to_channels_last(module: nn.Module) -> None:
    """Not by `module.to`, which refuses networks that hold tensors of four and of five axes."""
    for value in (*module.parameters(), *module.buffers()):
        value.data = _channels_last(value.data)


def _to_precision(module: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights that autocast would round in every forward."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            part.weight.data = part.weight.data.to(dtype)


def _recorded(forward: Forward, inputs: Sequence[Tensor]) -> tuple[fx.GraphModule, list[str]]:
    """One run of a forward, operator by operator, without those that no stage depends on; and its
    stages in the order in which it returns them.

    Hooks, and the end after the last stage, are no part of it. Raises where the forward takes
    values from tensors, which cannot be recorded.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    stages: list[str] = []

    def run(*inputs: Tensor) -> list[Tensor]:
        features = forward(inputs)
        stages[:] = features
        return list(features.values())

    with torch.no_grad():
        # What works in place would count as something that others depend on.
        graph = make_fx(torch.func.functionalize(run))(*inputs)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph, stages


def _compiled(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., list[Tensor]]:
    """A recorded forward, compiled with its weights frozen into it."""
    from torch._inductor import config

    with torch.no_grad(), config.patch(freezing=True), _quiet():
        run = torch.compile(graph, dynamic=False)
        run(*inputs)
    return run


def _of_size(size: int, run: Callable[..., list[Tensor]], stages: Sequence[str]) -> Forward:
    """A forward for batches of up to `size` clips; smaller ones are filled with their last clip."""

    def forward(inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        clips = len(inputs[0])
        with torch.no_grad():
            found = run(*(_filled(x, size) for x in inputs))
        return {s: x[: len(x) * clips // size] for s, x in zip(stages, found, strict=True)}

    return forward


def _filled(x: Tensor, size: int) -> Tensor:
    return torch.cat([x, x[-1:].expand(size - len(x), *x.shape[1:])]) if len(x) < size else x


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the compiler's warnings, which are for those who write networks."""
    before: Any = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class Fitting:
    """A forward that goes on with fewer clips at a time where memory does not suffice for more."""

    def __init__(self, network: Staged, way: Way, forward: Forward):
        self.network, self.way, self.forward = network, way, forward

    def __call__(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Features of every stage. Raises as the forward does, if one clip is too many."""
        size = self.way.batch_size
        parts = list(zip(*(x.split(size) for x in inputs), strict=True))
        try:
            found = [self.forward(part) for part in parts]
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        else:
            return {stage: torch.cat([x[stage] for x in found]) for stage in found[0]}
        # Not inside the handler, whose error holds what the forward had computed.
        self._with_half(inputs)
        return self(inputs)

    def _with_half(self, inputs: Sequence[Tensor]) -> None:
        half = min(self.way.batch_size, len(inputs[0])) // 2 or 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.way = replace(self.way, batch_size=half)
        print(f"out of memory: goes on with {counted(half, 'clip')} at a time", flush=True)
        self.forward = forward_in(self.way, self.network, [x[:half] for x in inputs])
