"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def norms_after_convolutions(
    module: nn.Module, forward: Callable[[], Any], kept: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Paths of convolutions, and of the batch norms that take what these return, as one `forward`
    shows them; without those in `kept`, and without modules that run more than once.

    What else takes a convolution's output is not seen.
    """
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()
    last: list[Any] = ["", None]  # the convolution that ran last, and what it returned

    def convolved(name: str):
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            last[:] = name, output

        return note

    def normed(name: str):
        def note(module: nn.Module, inputs: Any) -> None:
            calls[name] += 1
            if inputs and inputs[0] is last[1]:
                pairs.append((last[0], name))

        return note

    handles = []
    try:
        for name, part in module.named_modules():
            if type(part) in _CONVOLUTIONS:
                handles.append(part.register_forward_hook(convolved(name)))
            elif type(part) in _NORMS and _has_statistics(part):
                handles.append(part.register_forward_pre_hook(normed(name)))
        with torch.inference_mode():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return [own for own in pairs if all(calls[n] == 1 and n not in kept for n in own)]


def _has_statistics(norm: nn.Module) -> bool:
    return not norm.training and norm.running_mean is not None


def fold(module: nn.Module, pairs: Sequence[tuple[str, str]]) -> None:
    """Fold batch norms into convolutions, in place: in float64, rounded once."""
    for convolution, norm in pairs:
        before: Any = module.get_submodule(convolution)
        after: Any = module.get_submodule(norm)
        dtype = before.weight.dtype
        _replace(module, convolution, fuse_conv_bn_eval(before.double(), after.double()).to(dtype))
        _replace(module, norm, nn.Identity())


def _replace(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)
