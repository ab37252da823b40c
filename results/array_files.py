"""Arrays of features in files: rows with checksums, written in place, read as memory maps."""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from utils import DataError

# Bytes of zeros that are written at once.
_BLOCK = 1 << 20


# NumPy reads headers by Python's parser, which in Python 3.11 two threads disturb for each other
# (SystemError: AST constructor recursion depth mismatch).
_PARSING = threading.Lock()


def checksum(stage: str, row: int, values: np.ndarray) -> int:
    """CRC-32 of the features of a clip at a stage; in another place they have another one."""
    place = f"{stage}\n{row}\n{len(values)}".encode()
    return zlib.crc32(values.tobytes(), zlib.crc32(place))


def open_array(path: Path) -> np.ndarray | None:
    """A read-only memory map of an array; None if the file is missing or damaged.

    Raises DataError for one that may be sound, but that the system does not let one read.
    """
    if not path.is_file():
        return None
    try:
        with _PARSING:
            return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception:  # a damaged file can raise anything
        return None


def read_rows(path: Path, rows: np.ndarray) -> np.ndarray:
    """Rows of the array in a file, [len(rows), ...].

    Not through a memory map, whose pages would count as memory that is taken.

    Raises DataError for a file that is shorter than it was.
    """
    with path.open("rb") as file:
        shape, dtype = _header(file)
        start, found = file.tell(), np.empty((len(rows), *shape[1:]), dtype)
        for first, last in _runs(rows):
            file.seek(start + int(rows[first]) * found[:1].nbytes)
            wanted = found[first:last]
            if file.readinto(wanted.data) < wanted.nbytes:
                raise DataError(f"{path} was cut off while it was read")
    return found


def write_rows(path: Path, rows: Sequence[int] | np.ndarray, values: np.ndarray) -> None:
    """Write values [len(rows), ...] into rows of the array in a file.

    Not through a memory map: with that, a file that was cut off meanwhile ends the process.
    """
    with path.open("r+b") as file:
        _header(file)
        start, size = file.tell(), values[:1].nbytes
        # Neighbours at once: a process that is killed leaves all or none of them.
        for first, last in _runs(rows):
            file.seek(start + int(rows[first]) * size)
            file.write(values[first:last].tobytes())


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array in a file, which stands at the array's first byte then."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    with _PARSING:
        shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    return shape, dtype


def _runs(rows: Sequence[int] | np.ndarray) -> Iterator[tuple[int, int]]:
    """The first place, and that behind the last, of every run of neighbours."""
    ends = [*np.flatnonzero(np.diff(rows) != 1) + 1, len(rows)] if len(rows) else []
    yield from zip([0, *ends[:-1]], ends, strict=True) if ends else ()


def write_zeros(path: Path, shape: tuple[int, int]) -> None:
    """A .npy file of float32 zeros, all of them written: a full disk fails here, and rows that are
    put in their place are on the disk as soon as their bytes are, without a note of where."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    size, block = 4 * math.prod(shape), bytes(_BLOCK)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, _BLOCK):
            file.write(block[: size - start])
