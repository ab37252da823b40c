"""A user's own network, by a name that says where it comes from.

    torchvision:r3d_18     a video network of torchvision
    hf:FOLDER_OR_ID        a video network of the transformers library
    my_net.py:build        whatever the function `build` in my_net.py returns

All become a `Network` whose stages can be any module path. The module is built once, here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from datasets.geometry import ClipGeometry
from models.network import Network, Tap, UnitRule, Weights, suggestion
from utils import UserError

# How a name begins, and what makes a network of the rest of it.
SOURCES = {
    "torchvision": "models.own.torchvision:resolve",
    "hf": "models.own.transformers:resolve",
}


def resolve(name: str, num_classes: int | None, seed: int) -> Network:
    """The network that `name` stands for; where it has random weights, they follow `seed`.

    Raises UserError if there is none, or if it cannot be built.
    """
    source, _, rest = name.partition(":")
    target = SOURCES.get(source)
    if target is None and ".py:" in name:
        target, rest = "models.own.file:resolve", name
    if target is None:
        raise UserError(
            f"`model` {name!r}: expected torchvision:NAME, hf:FOLDER or FILE.py:FUNCTION."
            f"{suggestion(source, SOURCES)}"
        )
    module, function = target.split(":")
    with _seeded(seed):
        return getattr(importlib.import_module(module), function)(rest, num_classes)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws inside the block, of whatever library, follow `seed`; no other draw depends on them."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def record(
    name: str,
    family: str,
    module: nn.Module,
    build: Callable[[object, int], nn.Module],
    clip: ClipGeometry,
    weights: Weights,
    *,
    stages: tuple[str, ...] = (),
    inside: str = "",
    **more,
) -> Network:
    """The `Network` of a module that is built already.

    stages: what `stg` all` takes, by default the top-level blocks. inside: path of the user's
    network in the module, where an adapter is around it; stages are named without it.
    """
    inner = module.get_submodule(inside)

    def taps(stage: str, path: str, fuse: bool) -> tuple[Tap, ...]:
        return (Tap.named(f"{inside}.{stage}" if inside else stage),)

    return Network(
        name=name,
        family=family,
        build=build,
        spec=None,
        stages=stages or tuple(top_level_blocks(inner)),
        taps=taps,
        clip=clip,
        weights=weights,
        modules=tuple(path for path, _ in inner.named_modules() if path),
        own=module,
        smallest_crop=1,
        **{"num_classes": 0, "trained_on": "", "head": "-", "units": UnitRule(folded=True), **more},
    )


def top_level_blocks(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Paths of the blocks that a network is made of, in order.

    These are the children with parameters; lists are not modules that run, so their items stand
    for them, and what has a single child is only a wrapper around it.
    """
    named = ((f"{prefix}{name}", child) for name, child in module.named_children())
    children = [(path, child) for path, child in named if _first(child.parameters()) is not None]
    if len(children) == 1 and _first(children[0][1].children()) is not None:
        yield from top_level_blocks(children[0][1], f"{children[0][0]}.")
        return
    for path, child in children:
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from (f"{path}.{name}" for name, _ in child.named_children())
        else:
            yield path


def _first(items: Iterator[Any]) -> Any:
    return next(items, None)


def digest(module: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers, names included, as hexadecimal digits."""
    result = hashlib.sha256()
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):  # a module's extra state
            result.update(f"{name} {value!r}".encode())
            continue
        result.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        flat = value.detach().cpu().contiguous().flatten()
        result.update(flat.view(torch.uint8).numpy().tobytes())
    return result.hexdigest()
