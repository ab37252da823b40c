"""A user's own network, by a name that says where it is from.

    torchvision:r3d_18     a video network of torchvision
    hf:FOLDER_OR_ID        a video network of the transformers library
    my_net.py:build        whatever the function `build` in my_net.py returns

Each becomes a `Network` whose stages can be any module path. The module is built here once, to
inspect it, and again when its weights are loaded: the record holds none.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from datasets.geometry import ClipOptions
from models.network import HookPoint, Network, OwnSpec, UnitRule
from models.outline import measurable
from models.seeding import seeded
from utils import UserError, suggestion

# By what precedes the colon in a name: the function that resolves what follows it.
SOURCES = {
    "torchvision": "models.own.torchvision:resolve",
    "hf": "models.own.transformers:resolve",
}


def resolve(
    name: str, num_classes: int | None, seed: int, clips: ClipOptions, unit_dim: int | None
) -> Network:
    """The network that `name` stands for, for the requested clips and axis of units; if it has
    random weights, they follow `seed`.

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
    file, function = target.split(":")
    with seeded(seed):
        network, module = getattr(importlib.import_module(file), function)(rest, num_classes)
    network = network.adapted(clips, unit_dim)
    return measurable(network, module) if network.any_stages else network


def record(
    module: nn.Module, *, stages: tuple[str, ...] = (), inside: str = "", **fields: Any
) -> Network:
    """The `Network` of a module that was built to inspect it, and that it does not hold.

    stages: what `stg` all stands for; default: the top-level blocks.
    inside: path of the user's network in the module if that is an adapter; stages are named
        without it.
    fields: others of `Network`.
    """
    inner = module.get_submodule(inside)
    prefix = f"{inside}." if inside else ""
    points = {s: (HookPoint.named(prefix + s),) for s in stages or top_level_blocks(inner)}
    return Network(
        spec=OwnSpec(),
        points=lambda spec: points,
        modules=tuple(path for path, _ in inner.named_modules() if path),
        inside=prefix,
        smallest_crop=1,
        **{"head": "-", "unit_rule": UnitRule(folded=True), **fields},
    )


def top_level_blocks(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Paths of the blocks that a network consists of, in order.

    These are the children with parameters. A list does not run itself, so its items take its place;
    a module with a single child is only a wrapper around it.
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
