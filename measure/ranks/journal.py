"""Journals: features that a process which does not write the feature store has computed.

A file of its own beside the store's, to which each batch is appended, and is on the disk then. The
first process takes them into the store when the others are done, or when the run is started again.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from results.store import FeatureStore

_SUFFIX = ".journal"
# What a record begins with: these bytes, the CRC-32 of what follows, and its length.
_MARK, _HEAD = b"FEATURES", struct.Struct("<8sIQ")
# Seconds until a new folder is seen on the other machines of a network file system.
_SEEN = 90.0

Record = tuple[list[int], dict[str, np.ndarray]]


class Journal:
    """A journal of features, which stands in for the feature store.

    done: which rows of the store are computed, as far as this process knows; bool [rows].
    path: of the file, which appears with the first features.
    """

    def __init__(self, folder: Path, rank: int, stages: Sequence[str], done: np.ndarray):
        """One in the folder of the feature store."""
        name = f"{socket.gethostname()}-{os.getpid()}-{rank}-{uuid.uuid4().hex[:8]}"
        self.path, self.stages, self.done = folder / (name + _SUFFIX), tuple(stages), done.copy()
        self._file: BinaryIO | None = None

    def write(self, rows: Sequence[int], features: Mapping[str, np.ndarray]) -> None:
        """Append the features [len(rows), C] of some rows at every stage."""
        body = io.BytesIO()
        np.save(body, np.array(rows, dtype="<i8"))
        for stage in self.stages:
            np.save(body, np.ascontiguousarray(features[stage], dtype="<f4"))
        content = body.getvalue()
        if self._file is None:
            self._file = _opened(self.path)
        self._file.write(_HEAD.pack(_MARK, zlib.crc32(content), len(content)) + content)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done[list(rows)] = True

    def forget(self, rows: Sequence[int] = ()) -> None:
        """Remove all that was written: these rows are to be computed again."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.done[list(rows)] = False

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None


def _opened(path: Path) -> BinaryIO:
    """A new file, in a folder that another machine may just have made."""
    end = time.monotonic() + _SEEN
    while True:
        try:
            return path.open("xb")
        except FileNotFoundError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def journals(folder: Path) -> list[Path]:
    """The journals in the folder of a feature store."""
    return sorted(folder.glob("*" + _SUFFIX))


def rows_in(folder: Path) -> set[int]:
    """The rows that the journals in the folder of a feature store have."""
    return {row for path in journals(folder) for rows, _ in _records(path) for row in rows}


def merge(store: FeatureStore, paths: Iterable[Path]) -> None:
    """Take what a store lacks from journals, and remove them.

    Records that are damaged or cut off are left out: their clips stay to be computed.
    """
    paths = list(paths)
    for path in paths:
        for rows, arrays in _records(path):
            done = store.done
            new = [i for i, row in enumerate(rows) if row in range(len(done)) and not done[row]]
            if new and len(arrays) == len(store.stages):
                features = dict(zip(store.stages, (x[new] for x in arrays), strict=True))
                store.write([rows[i] for i in new], features)
    for path in paths:
        path.unlink(missing_ok=True)


def _records(path: Path) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Rows, and their features at every stage, of each record that is whole."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            mark, checksum, length = _HEAD.unpack(head)
            if mark != _MARK or length > path.stat().st_size:
                return
            content = file.read(length)
            if len(content) == length and zlib.crc32(content) == checksum:
                yield _unpacked(content)


def _unpacked(content: bytes) -> tuple[list[int], list[np.ndarray]]:
    body, arrays = io.BytesIO(content), []
    while body.tell() < len(content):
        arrays.append(np.load(body, allow_pickle=False))
    return arrays[0].tolist(), arrays[1:]
