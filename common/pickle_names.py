"""The functions that a pickle of plain containers and arrays of numbers asks for, of our own.

NumPy's functions trust what a pickle hands them: an array of objects may be eight bytes of the
file, taken for an address. These ones check their arguments and make arrays of numbers only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_MOST_AXES = 32  # of NumPy before release 2


class Blocked(Exception):
    """What a pickle asks for and does not get."""


@dataclass(frozen=True)
class Name:
    """A name that a pickle may ask for, and what is called in its stead."""

    call: Callable[..., Any]


class Draft:
    """An object whose state comes later in the pickle.

    make: the object from its state.
    made: the object, None before that.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make
        self.made: Any = None


def keyed(items: list[Any]) -> dict[Any, Any]:
    """The dict of alternating keys and values. Raises Blocked for keys that are not plain.

    Tuples within tuples, each there twice, would take for ever to hash.
    """
    keys = items[::2]
    for key in keys:
        if not isinstance(key, str | int | float | np.generic):
            raise Blocked(f"a dict with a {type(key).__name__} as key")
    return dict(zip(keys, items[1::2], strict=True))


class Names:
    """The admitted names for a file of `size` bytes.

    A part of a file can be used many times, so what is made of it is counted: every byte of an
    array, and of a text turned into bytes, stands in an honest file once.
    """

    def __init__(self, size: int) -> None:
        self._left = 2 * size
        ndarray = Name(_refuse_call)
        dtype, reconstruct = Name(_dtype), Name(partial(self._reconstruct, ndarray))
        self._known: Mapping[tuple[str, str], Name] = {
            ("numpy", "ndarray"): ndarray,
            ("numpy", "dtype"): dtype,
            # NumPy 2 renamed the package; files name either.
            **{
                (f"numpy.{core}.{module}", name): call
                for core in ("core", "_core")
                for module, name, call in (
                    ("multiarray", "_reconstruct", reconstruct),
                    ("multiarray", "scalar", Name(self._scalar)),
                    ("numeric", "_frombuffer", Name(self._from_buffer)),
                )
            },
            ("collections", "OrderedDict"): Name(_ordered_dict),
            # How Python 3 writes bytes, and none, into the old protocols.
            ("_codecs", "encode"): Name(self._encode),
            ("__builtin__", "bytes"): Name(_no_bytes),
        }

    def find(self, module: str, name: str) -> Name:
        """What stands for a name. Raises Blocked for one that is not admitted."""
        if (module, name) not in self._known:
            raise Blocked(f"{module}.{name}")
        return self._known[module, name]

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("its arrays are larger than the file")

    def _encode(self, text: Any, encoding: Any) -> bytes:
        if type(text) is not str or type(encoding) is not str or encoding != "latin1":
            raise ValueError("bytes in an unknown form")
        self._spend(len(text))
        return text.encode("latin1")

    def _reconstruct(self, ndarray: Name, kind: Any, shape: Any, code: Any) -> Draft:
        if kind is not ndarray:
            raise ValueError("an array of an unknown kind")
        return Draft(self._from_state)

    def _from_state(self, state: Any) -> np.ndarray:
        _version, shape, dtype, fortran, data = state
        return self._array(shape, dtype, data, "F" if fortran is True else "C")

    def _scalar(self, dtype: Any, data: Any) -> Any:
        return self._array((), dtype, data)[()]

    def _from_buffer(
        self, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
    ) -> np.ndarray:
        if axes is None:
            return self._array(shape, dtype, data, order)
        if order != "K" or sorted(_integers(axes)) != list(range(len(_integers(shape)))):
            raise ValueError("an array in an unknown order")
        return self._array(shape, dtype, data).transpose(axes)

    def _array(self, shape: Any, dtype: Any, data: Any, order: str = "C") -> np.ndarray:
        """An array in memory of its own, from exactly the bytes that its shape takes."""
        if isinstance(data, str):  # bytes as Python 2 wrote them
            data = self._encode(data, "latin1")
        if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray):
            raise ValueError("an array without numbers")
        size = math.prod(_integers(shape)) * dtype.itemsize
        if size != len(data) or order not in ("C", "F"):
            raise ValueError(f"an array of {len(data)} bytes, expected as many as its shape takes")
        self._spend(size)
        view = np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
        return view.astype(dtype.newbyteorder("="), order="K")


def _integers(shape: Any) -> tuple[int, ...]:
    """The shape itself. Raises ValueError unless it is a tuple of a few integers from zero."""
    if type(shape) is not tuple or len(shape) > _MOST_AXES:
        raise ValueError("an array without a shape")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array whose shape is not of integers from zero")
    return shape


def _dtype(code: Any, align: Any = False, copy: Any = True) -> Draft:
    """A type of numbers, whose state adds the order of its bytes."""
    if type(code) is not str or not _NUMBERS.fullmatch(code):
        raise Blocked(f"an array of {code[:20] if type(code) is str else type(code).__name__}")
    return Draft(partial(_ordered, code))


def _ordered(code: str, state: Any) -> np.dtype:
    _version, order, *within = state[:5]
    if any(part is not None for part in within):
        raise Blocked("an array with fields")
    if type(order) is not str or order not in ("<", ">", "=", "|"):
        raise ValueError("numbers in an unknown order of bytes")
    return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    """Python 2 hands over lists of a key and a value."""
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise ValueError("a dict that is not of pairs")
    return keyed([part for pair in pairs for part in pair])


def _no_bytes() -> bytes:
    return b""


def _refuse_call(*arguments: Any) -> Any:
    raise ValueError("a call of what is only a name")
