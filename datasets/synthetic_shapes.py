"""What synthetic videos are made of: shapes and textures, as signed distances at (u, v).

Arrays of any one shape go in, and one of that shape comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

# Shapes: the distance to the outline, negative inside, of a shape of radius 1. None of them is
# its own image under a rotation, or a spin could not be told from its reverse.


def _drop(u: Array, v: Array) -> Array:
    along = np.clip((v + 0.4) / 1.4, 0, 1)
    return np.hypot(u, v + 0.4 - 1.4 * along) - 0.65 * (1 - along)


def _moon(u: Array, v: Array) -> Array:
    return np.maximum(np.hypot(u, v) - 1, 0.75 - np.hypot(u - 0.55, v))


def _wedge(u: Array, v: Array) -> Array:
    return np.maximum(np.hypot(u, v) - 1, (u - np.abs(v)) * np.float32(np.sqrt(0.5)))


def _ell(u: Array, v: Array) -> Array:
    upright = np.maximum(np.abs(u + 0.45) - 0.35, np.abs(v) - 0.9)
    return np.minimum(upright, np.maximum(np.abs(u) - 0.8, np.abs(v - 0.55) - 0.35))


def _heart(u: Array, v: Array) -> Array:
    x, y = np.abs(u) / 1.5, (0.85 - v) / 1.5
    lobe = np.hypot(x - 0.25, y - 0.75) - np.float32(np.sqrt(0.125))
    nearest = np.maximum(x + y, 0) / 2
    tip = np.minimum(np.hypot(x, y - 1), np.hypot(x - nearest, y - nearest)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, tip) * 1.5


# Textures: the distance to the edge between two colours in periods, positive in the first.


def _stripe(x: Array) -> Array:
    return np.abs(x % 1 - 0.5) - 0.25


def _checks(u: Array, v: Array) -> Array:
    a, b = _stripe(u), _stripe(v)
    return np.sign(a * b) * np.minimum(np.abs(a), np.abs(b))


def _dots(u: Array, v: Array) -> Array:
    return np.hypot(u % 1 - 0.5, v % 1 - 0.5) - 0.32


def _waves(u: Array, v: Array) -> Array:
    return _stripe(v + 0.3 * np.sin(2 * np.pi * u / 1.6))


def _chevrons(u: Array, v: Array) -> Array:
    return _stripe(v + np.abs(u % 2 - 1)) * np.float32(np.sqrt(0.5))


def _bricks(u: Array, v: Array) -> Array:
    shifted = u / 1.8 + 0.5 * (np.floor(v) % 2)
    return np.minimum(0.5 - np.abs(v % 1 - 0.5), 1.8 * (0.5 - np.abs(shifted % 1 - 0.5))) - 0.12


def _weave(u: Array, v: Array) -> Array:
    return np.maximum(_stripe(u + v), _stripe(u - v)) * np.float32(np.sqrt(0.5))


Pattern = Callable[[Array, Array], Array]

SHAPES: dict[str, Pattern] = {
    "drop": _drop,
    "moon": _moon,
    "wedge": _wedge,
    "ell": _ell,
    "heart": _heart,
}
TEXTURES: dict[str, Pattern] = {
    "stripes": lambda u, v: _stripe((u + v) * np.float32(np.sqrt(0.5))),
    "dots": _dots,
    "checks": _checks,
    "waves": _waves,
    "rings": lambda u, v: _stripe(np.hypot(u, v)),
    "chevrons": _chevrons,
    "bricks": _bricks,
    "weave": _weave,
}
