"""`model` my_net.py:build`: a network from a function in a user's file.

The function takes nothing and returns a network that takes clips [B, 3, T, H, W], alone or with a
dict that says how it wants them; its keys are those of `PREPROCESSING`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from datasets.geometry import ClipGeometry, apply_transform, per_channel
from models.digest import digest
from models.network import RANDOM, Network, OwnSpec, Weights
from models.own.resolve import record
from models.own.user_code import load_function
from utils import UserError, sha256, suggestion


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


# Key of the dict: what it may hold, and the check that also brings it into form.
PREPROCESSING: dict[str, tuple[str, Callable[[Any], Any]]] = {
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
_TAKE_RANDOM = "give it a parameter 'random', which is True where untrained weights are asked for"
# What a transform does itself.
_TRANSFORMED = ("short_side", "mean", "std", "channels", "value_range")


def resolve(name: str, num_classes: int | None) -> tuple[Network, nn.Module]:
    """The network that the function in `name` ("FILE.py:FUNCTION") returns, as it returns it.

    Raises UserError if there is no such file or function, or if what it returns is no network.
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

    network = record(
        module.eval(),
        name=_name(name, wanted) or f"{path.name}:{function}",
        family="own",
        build=build,
        clip=geometry(name, wanted),
        weights=Weights(
            f"{name} decides its weights" + ("" if takes_random else f" ({_TAKE_RANDOM})"),
            built=digest(module),
            can_be_random=takes_random,
        ),
        any_frames=True,
        any_stages=True,
        source=sha256(path),
    )
    return network, module


def _name(name: str, wanted: Mapping[str, Any]) -> str:
    """What results are called, "" where nothing is said. Raises UserError if it is no text."""
    given = wanted.get("name", "")
    if not isinstance(given, str):
        raise UserError(f"{name}: preprocessing 'name' is {given!r}, not a text")
    return given


def geometry(name: str, wanted: Mapping[str, Any]) -> ClipGeometry:
    """The clips that a factory asks for; frames or crop are 0 where it does not say.

    Raises UserError for a key or a value that is none.
    """
    values = {}
    for key, value in wanted.items():
        if key == "name":
            continue
        if key not in PREPROCESSING:
            raise UserError(
                f"{name}: preprocessing {key!r} is not known. Expected: "
                f"{', '.join(PREPROCESSING)}.{suggestion(str(key), PREPROCESSING)}"
            )
        expected, check = PREPROCESSING[key]
        try:
            values[key] = check(value)
        except (TypeError, ValueError):
            raise UserError(f"{name}: preprocessing {key!r} is {value!r}, not {expected}") from None
    if "transform" in values:
        _require_alone(name, values)
        _try_transform(name, values)
    frames, rate, crop = (values.pop(k, default) for k, default in _SIZES)
    values.setdefault("short_side", crop)
    return ClipGeometry(
        (("video", frames),), rate, frames * rate, crop=crop, exact_rate=True, **values
    )


_SIZES = (("frames", 0), ("rate", 1), ("crop", 0))


def _require_alone(name: str, values: Mapping[str, Any]) -> None:
    """Raise UserError for a transform without the size it gives, or with what it stands for."""
    if "crop" not in values:
        raise UserError(f"{name}: 'transform' needs 'crop', the height and width of its frames")
    others = [key for key in _TRANSFORMED if key in values]
    if others:
        raise UserError(f"{name}: 'transform' stands for {others[0]!r} too: leave that out")


def _try_transform(name: str, values: Mapping[str, Any]) -> None:
    """Raise UserError for a transform that fails, or gives another shape than it should."""
    crop, transform = values["crop"], values["transform"]
    frames = torch.zeros(values.get("frames", 4), 2 * crop, 3 * crop, 3, dtype=torch.uint8)
    try:
        apply_transform(transform, frames, crop)
    except Exception as error:  # it may raise anything
        raise UserError(f"{name}: 'transform': {type(error).__name__}: {error}") from error


def _called(name: str, factory: Callable[[], Any]) -> tuple[nn.Module, Mapping[str, Any]]:
    """What the factory returns: the network, and its preprocessing if it says one."""
    result = factory()
    network, wanted = result if isinstance(result, tuple) and len(result) == 2 else (result, {})
    if not isinstance(network, nn.Module) or not isinstance(wanted, Mapping):
        raise UserError(
            f"{name} returned {type(result).__name__}; expected a torch.nn.Module, or one and a "
            "dict that says how it wants its clips"
        )
    return network, wanted
