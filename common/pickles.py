"""Pickles from elsewhere, read without running what they ask for: untrusted input.

A pickle may name any function to call. This reader knows the few names that NumPy arrays need and
refuses every other one.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from utils import DataError, UserError


class Blocked(Exception):
    """A name that a pickle asks for and does not get."""


class ArraysOnly(pickle.Unpickler):
    """Admits NumPy arrays and plain containers; every other name raises `Blocked`."""

    # `_codecs.encode` is how Python 3 writes bytes into the old protocols.
    ADMITTED: ClassVar[set[tuple[str, str]]] = {
        ("collections", "OrderedDict"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        *(
            (f"numpy.{core}.multiarray", name)
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise Blocked(f"{module}.{name}")
        if module.startswith("numpy."):
            # NumPy 2 renamed the package; files name either.
            core = "_core" if int(np.__version__.split(".")[0]) >= 2 else "core"
            module = f"numpy.{core}.{module.rsplit('.', 1)[-1]}"
        return super().find_class(module, name)


def unpickle(path: Path, kind: type[UserError], otherwise: str) -> Any:
    """The content of a pickle that asks for nothing but NumPy arrays and plain containers.

    Raises an error of `kind` for one that asks for more, or that is damaged or `otherwise`.
    """
    try:
        return ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Blocked as error:
        raise kind(
            f"{path} is refused: the pickle asks for {error}, and only NumPy arrays and plain "
            "containers are read"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise kind(f"{path} is damaged or {otherwise}: {error}") from None


def read_pickle(path: Path) -> Any:
    """The content of a pickle of numbers, texts, lists, dicts and numeric NumPy arrays.

    Raises DataError for a file that is missing or damaged, or that asks for anything else.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    content = unpickle(path, DataError, "not a pickle")
    _require_plain(content, path)
    return content


def _require_plain(content: Any, path: Path) -> None:
    """Walk the content; a list that holds itself ends the walk as well."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) not in seen:
                seen.add(id(value))
                waiting += [*value, *value.values()] if isinstance(value, dict) else value
        elif isinstance(value, np.ndarray | np.generic):
            if value.dtype.kind not in "biuf":
                raise DataError(f"{path} holds an array of {value.dtype}, expected numbers")
        elif not isinstance(value, int | float | str):
            raise DataError(f"{path} holds a {type(value).__name__}, expected plain numbers")
