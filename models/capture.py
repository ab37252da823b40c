"""Features of stages: forward hooks that live inside a `with` block, and pooling to units."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.registry import Tap

LOGITS = "logits"


class _Enough(Exception):
    """Raised by the last hook: all requested stages are there, the rest is not computed."""


def pool_units(x: Tensor) -> Tensor:
    """Mean over all but clips and units, [B, C].

    Units are the channels of maps [B, C, T, H, W] and [B, C, H, W], and the last axis of tokens
    [B, N, C], over which the mean includes a class token.
    """
    if x.ndim == 3:
        return x.mean(1)
    return x.mean(tuple(range(2, x.ndim))) if x.ndim > 2 else x


@contextlib.contextmanager
def capture(network: nn.Module, taps: Sequence[Tap], *, stop: bool) -> Iterator[dict[Tap, Tensor]]:
    """Pooled outputs [B, C] of `taps`, filled by each forward inside the block.

    Hooks are removed when the block ends, also after an error. With `stop` the forward ends at
    the last tap, by an exception that the block swallows.
    """
    pooled: dict[Tap, Tensor] = {}
    by_module: dict[str, list[Tap]] = {}
    for tap in taps:
        by_module.setdefault(tap.module, []).append(tap)

    def hook(own: list[Tap]):
        def store(module: nn.Module, inputs: Any, output: Any) -> None:
            outputs = [output] if isinstance(output, Tensor) else output
            pooled.update({tap: pool_units(outputs[tap.index]) for tap in own})
            if stop and len(pooled) == len(set(taps)):
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
    stages: Mapping[str, Sequence[Tap]],
    *,
    logits: bool = False,
) -> dict[str, Tensor]:
    """Features [B, C] of every stage from one forward, and "logits" [B, classes] if asked for.

    `stages` maps a stage to its taps; those of several taps are concatenated in their order,
    each averaged over its own frames and positions.
    """
    taps = [tap for own in stages.values() for tap in own]
    result: dict[str, Tensor] = {}
    with torch.inference_mode(), capture(network, taps, stop=not logits) as pooled:
        output = network(*inputs)
        if logits:
            result[LOGITS] = output
    features = {name: torch.cat([pooled[tap] for tap in own], 1) for name, own in stages.items()}
    return {**features, **result}
