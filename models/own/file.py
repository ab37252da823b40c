"""`model` my_net.py:build: a network from a function in a user's file.

The function returns a network that takes clips [B, 3, T, H, W], by itself or with a dict that says
how it wants them, and what it is called (keys: those of `KEYS`). If it has a parameter `random`,
that is True where untrained weights are asked for.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.files import sha256
from datasets.geometry import ClipGeometry, apply_transform, per_channel
from models.digest import digest
from models.network import RANDOM, Network, OwnSpec, Weights
from models.own.resolve import record
from models.own.user_code import described, imported_neighbours, load_function
from utils import UserError, suggestion


def _colours(value: Any) -> tuple[float, ...]:
    values = (float(value),) if isinstance(value, int | float) else tuple(map(float, value))
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise ValueError
    return per_channel(values)


def _deviations(value: Any) -> tuple[float, ...]:
    values = _colours(value)
    if min(values) <= 0:
        raise ValueError
    return values


def _count(value: Any) -> int:
    if int(value) != value or value < 1:
        raise ValueError
    return int(value)


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError
        return value

    return check


def _callable(value: Any) -> Any:
    if not callable(value):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


# For each key of the dict: what it may hold in words, and the function that checks and converts it.
KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("a text", _text),
    "frames": ("a number of frames", _count),
    "rate": ("raw frames between two frames", _count),
    "crop": ("a number of pixels", _count),
    "short_side": ("a number of pixels", _count),
    "mean": ("one number or three", _colours),
    "std": ("one number or three, above 0", _deviations),
    "channels": ("'RGB' or 'BGR'", _one_of("RGB", "BGR")),
    "value_range": ("1 or 255", _one_of(1, 255)),
    "transform": ("a function of uint8 frames [T, H, W, 3], of each by itself", _callable),
}
_NEVER_RANDOM = (
    "{} decides its weights: leave it out, or give the function a parameter 'random', for which it "
    "gets True where untrained weights are asked for"
)
# Keys for what a transform does itself.
_TRANSFORMED = ("short_side", "mean", "std", "channels", "value_range")


def resolve(name: str, num_classes: int | None) -> tuple[Network, nn.Module]:
    """The record of the network that the function in `name` ("FILE.py:FUNCTION") returns, and the
    module itself.

    Raises UserError if there is no such file or function, or if it does not return a network.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if num_classes:
        raise UserError(f"`num_classes`: {name} decides that itself; leave it out")
    factory = load_function(path, function)
    module, wanted = _called(name, factory)
    takes_random = RANDOM in inspect.signature(factory).parameters

    def build(spec: OwnSpec, classes: int) -> nn.Module:
        return _called(name, factory if spec.trained else partial(factory, random=True))[0]

    values = _checked(name, wanted)
    named = values.pop("name", "")
    network = record(
        module.eval(),
        name=named or f"{path.name}:{function}",
        family="own",
        build=build,
        clip=_geometry(name, values),
        weights=Weights(
            f"{name} decides its weights",
            built=digest(module),
            never_random="" if takes_random else _NEVER_RANDOM.format(name),
        ),
        any_frames=True,
        any_stages=True,
        source=_source(path, function, named),
    )
    return network, module


def _source(path: Path, function: str, named: str) -> str:
    """SHA-256 of the file, of what it has imported from its folder, and, where the network's name
    does not say it, of the function's name."""
    parts = [sha256(path), *([function] if named else [])]
    parts += [f"{file.name} {sha256(file)}" for file in imported_neighbours(path)]
    text = "\n".join(parts)
    return hashlib.sha256(text.encode()).hexdigest() if parts[1:] else text


def _checked(name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a factory says, converted. Raises UserError for an unknown key or an unusable value."""
    values = {}
    for key, value in wanted.items():
        if key not in KEYS:
            raise UserError(
                f"{name}: preprocessing {key!r} is not known. Expected: {', '.join(KEYS)}."
                f"{suggestion(str(key), KEYS)}"
            )
        expected, check = KEYS[key]
        try:
            values[key] = check(value)
        except (TypeError, ValueError):
            raise UserError(f"{name}: preprocessing {key!r} is {value!r}, not {expected}") from None
    return values


def _geometry(name: str, values: dict[str, Any]) -> ClipGeometry:
    """The clips that checked values ask for; frames or crop are 0 if they do not say.

    Raises UserError for a transform that does not fit.
    """
    if "transform" in values:
        _check_transform_keys(name, values)
        _try_transform(name, values)
    frames, rate, crop = (values.get(key, default) for key, default in _SIZES.items())
    others = {key: value for key, value in values.items() if key not in _SIZES}
    inputs = (("video", frames),)
    clips = {"crop": crop, "short_side": crop, "exact_rate": True, **others}
    return ClipGeometry(inputs, rate, frames * rate, **clips)


_SIZES = {"frames": 0, "rate": 1, "crop": 0}


def _check_transform_keys(name: str, values: Mapping[str, Any]) -> None:
    """Raise UserError for a transform without its crop, or with a key for what it does itself."""
    if "crop" not in values:
        raise UserError(f"{name}: 'transform' needs 'crop', the height and width of its frames")
    others = [key for key in _TRANSFORMED if key in values]
    if others:
        raise UserError(f"{name}: 'transform' does the work of {others[0]!r} too: leave that out")


def _try_transform(name: str, values: Mapping[str, Any]) -> None:
    """Raise UserError for a transform that fails, or whose result has the wrong shape or type."""
    crop, transform = values["crop"], values["transform"]
    frames = torch.zeros(values.get("frames", 4), 2 * crop, 3 * crop, 3, dtype=torch.uint8)
    try:
        apply_transform(transform, frames, crop)
    except UserError as error:
        raise UserError(f"{name}: 'transform': {error}") from None
    except (Exception, SystemExit) as error:  # it may raise anything
        raise UserError(f"{name}: 'transform': {described(error)}") from error


def _called(name: str, factory: Callable[[], Any]) -> tuple[nn.Module, Mapping[str, Any]]:
    """What the factory returns: the network, and its preprocessing, empty if there is none."""
    result = factory()
    network, wanted = result if isinstance(result, tuple) and len(result) == 2 else (result, {})
    if not isinstance(network, nn.Module) or not isinstance(wanted, Mapping):
        raise UserError(
            f"{name} returned {type(result).__name__}; expected a torch.nn.Module, or one and a "
            "dict that says how it wants its clips"
        )
    return network, wanted
