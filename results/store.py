"""The feature store: features of every distinct clip at every stage, on disk.

A folder with `clips.csv` (one row a clip), one float32 array [clips, units] per stage
(`<stage>.npy`), `checksums.npy` (int64 [clips, stages], -1 where a clip is to be computed yet) and
`identity.json` (what the features depend on). It can be interrupted at any time and filled later. A
clip whose features are not those that were written, whatever damaged them, is one to be computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import numpy as np

from common.files import (
    atomic_folder,
    atomic_path,
    read_csv,
    read_json,
    sync_file,
    write_csv,
    write_json,
)
from common.parts import in_words
from estimation.estimator import require_finite
from results.array_files import checksum, open_array, read_rows, write_rows, write_zeros
from utils import DataError, UserError, counted

CHECKSUMS, IDENTITY, CLIPS = "checksums.npy", "identity.json", "clips.csv"
# What stores had in place of checksums until there were some: bool [clips].
_DONE = "done.npy"
_TO_DO = -1
_CHUNK = 1024
# Columns of clips.csv that say which files a clip was read from.
_FILE_COLUMNS = ("files", "bytes")


class FeatureStore:
    """Features of clips at stages; see the module for the files.

    damaged: how many clips had features that were not those written, when it was opened.
    faults: what was wrong with them, a sentence for each stage.
    """

    def __init__(self, folder: Path, stages: Sequence[str], clips: Sequence[str]):
        """The store in `folder`, whose damaged clips count as not computed."""
        self.folder, self.stages, self.clips = folder, tuple(stages), list(clips)
        self._sound: set[str] = set()
        recorded = _read_done(folder)
        self._sums = self._read_checksums()
        damaged = [self._damaged(stage) for stage in self.stages]
        self.faults = [
            self._in_words(stage, rows)
            for stage, rows in zip(self.stages, damaged, strict=True)
            if rows.any()
        ]
        self._sums[np.stack(damaged, 1)] = _TO_DO
        before = len(self.clips) if recorded is None else int(recorded.sum())
        self.damaged = before - int(self.done.sum())

    @classmethod
    def create(
        cls,
        folder: Path,
        stages: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        identity: Mapping[str, Any],
    ) -> FeatureStore:
        """A new, empty store for one clip per row (the columns of `clips.csv`).

        The folder appears when it is complete. A column `files`, which stands for the files that a
        clip was read from, is no part of what the clip is called in messages.
        """
        with atomic_folder(folder) as new:
            write_csv(new / CLIPS, rows)
            _save(new / CHECKSUMS, np.full((len(rows), len(stages)), _TO_DO, dtype=np.int64))
            write_json(new / IDENTITY, dict(identity))
        return cls(folder, stages, _labels(rows))

    @classmethod
    def resume(
        cls,
        folder: Path,
        stages: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        identity: Mapping[str, Any],
    ) -> FeatureStore:
        """The store in `folder`, to be filled further; a new one if none was begun there.

        Raises UserError if its features were made from anything else than `identity`, and DataError
        if it does not say what they were made from.
        """
        if not folder.exists():
            return cls.create(folder, stages, rows, identity)
        other = cls.differences(folder, identity)
        if other:
            raise UserError(f"{folder} holds features that were made with {in_words(other)}")
        if changed := cls.changed_clip(folder, rows):
            raise UserError(
                f"{folder} holds features that were made with another video: {changed} has changed"
            )
        store = cls(folder, stages, _labels(rows))
        store._save_checksums()
        now = [{key: str(value) for key, value in row.items()} for row in rows]
        if read_csv(folder / CLIPS) != now:  # of clips to be computed yet
            write_csv(folder / CLIPS, rows)
        return store

    @classmethod
    def read(cls, folder: Path, stages: Sequence[str]) -> FeatureStore:
        """The store in `folder` as it is, to be read alone.

        Raises DataError if it cannot be told which clips are computed.
        """
        rows, done = read_csv(folder / CLIPS), _read_done(folder)
        if done is None:
            raise DataError(
                f"{folder / CHECKSUMS} is missing or damaged, so that it cannot be told which "
                "features are whole; resumed, the run computes them again"
            )
        if len(done) != len(rows):
            raise DataError(
                f"{folder / CLIPS} lists {counted(len(rows), 'clip')}, {CHECKSUMS} beside it has "
                f"{len(done)}: one of the two is damaged"
            )
        return cls(folder, stages, _labels(rows))

    @staticmethod
    def differences(folder: Path, identity: Mapping[str, Any]) -> list[str]:
        """Keys of `identity` whose values differ from those of the stored features.

        Raises DataError if it is not recorded what these were made from.
        """
        if not folder.exists():
            return []
        try:
            found = read_json(folder / IDENTITY)
        except DataError as error:
            raise DataError(f"what the features were made from cannot be told: {error}") from None
        if not isinstance(found, dict):
            raise DataError(f"{folder / IDENTITY} is damaged: expected a JSON object")
        return [key for key in identity if found.get(key) != identity[key]]

    @classmethod
    def changed_clip(cls, folder: Path, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """The first clip whose features a store has, and whose row is another now, as files are.

        None if there is no store yet. Raises DataError for a damaged list of clips.
        """
        if not folder.exists():
            return None
        try:
            before = read_csv(folder / CLIPS)
        except DataError as error:
            raise DataError(f"which videos the features are of cannot be told: {error}") from None
        if len(before) != len(rows):
            raise DataError(
                f"{folder / CLIPS} is damaged: it lists {len(before)} clips, the plan has "
                f"{len(rows)}"
            )
        done = _read_done(folder)
        for index in map(int, np.flatnonzero(done) if done is not None else ()):
            if index < len(rows) and not _same(before[index], rows[index]):
                return _labels(rows[index : index + 1])[0]
        return None

    @staticmethod
    def n_done(folder: Path, also: Collection[int] = ()) -> int:
        """Number of clips that are recorded as computed in the store in `folder`, 0 without one.

        also: other rows to count, each once.
        """
        done = _read_done(folder)
        recorded = [] if done is None else np.flatnonzero(done).tolist()
        return len({*recorded, *also})

    @property
    def done(self) -> np.ndarray:
        """Which clips are computed, bool [clips]."""
        return np.asarray((self._sums >= 0).all(1))

    def path(self, stage: str) -> Path:
        """File of a stage's array; characters that file names cannot hold are escaped."""
        name = quote(stage, safe=",#@ ")
        if len(name) > 200:  # file names have 255 bytes at most
            name = f"{name[:150]}-{hashlib.sha256(stage.encode()).hexdigest()[:16]}"
        return self.folder / f"{name}.npy"

    def write(self, rows: Sequence[int], features: Mapping[str, np.ndarray]) -> None:
        """Store the features [len(rows), C] of some clips at every stage.

        Raises DataError, with nothing stored, at the first NaN or inf.
        """
        for stage in self.stages:
            if len(features[stage]) != len(rows):
                raise DataError(
                    f"stage {stage}: {len(features[stage])} features for {len(rows)} clips"
                )
            require_finite(features[stage], stage, [self.clips[row] for row in rows])
        paths = []
        for column, stage in enumerate(self.stages):
            values = np.ascontiguousarray(features[stage], dtype="<f4")
            paths.append(self._prepared(stage, values.shape[1]))
            write_rows(paths[-1], rows, values)
            self._sums[rows, column] = [
                checksum(stage, row, value) for row, value in zip(rows, values, strict=True)
            ]
            self._sound.discard(stage)
        for path in paths:  # after all are written: most disks have little left to do for the rest
            sync_file(path)
        # Last: a clip is done when all of it is there, whatever happens to the power.
        self._mark(rows)

    def forget(self, rows: Sequence[int]) -> None:
        """Clips of some rows are to be computed again."""
        self._sums[rows] = _TO_DO
        self._mark(rows)

    def _mark(self, rows: Sequence[int]) -> None:
        """Record which clips of some rows are computed, on the disk."""
        write_rows(self.folder / CHECKSUMS, rows, self._sums[rows])
        sync_file(self.folder / CHECKSUMS)

    def reader(self, stage: str) -> Callable[[np.ndarray], np.ndarray]:
        """Rows to features of a stage, float32 [rows, C], which are read when they are asked for.

        Raises DataError for features that are not those that were written.
        """
        if stage not in self._sound and (damaged := self._damaged(stage)).any():
            raise DataError(self._in_words(stage, damaged))
        return partial(read_rows, self.path(stage))

    def _in_words(self, stage: str, damaged: np.ndarray) -> str:
        """What is wrong with the features of a stage, where those of some clips are damaged."""
        row = int(damaged.argmax())
        return (
            f"{self.path(stage)} is missing or damaged: the features of "
            f"{counted(int(damaged.sum()), 'clip')}, such as {self.clips[row]}, "
            f"{self._fault(stage, row)}; resumed, the run computes them again"
        )

    def _read_checksums(self) -> np.ndarray:
        """The checksums, int64 [clips, stages]; all to do where they cannot be read."""
        shape = (len(self.clips), len(self.stages))
        if (self.folder / _DONE).exists() and not (self.folder / CHECKSUMS).exists():
            return self._adopted()
        found = open_array(self.folder / CHECKSUMS)
        if found is None or found.shape != shape or found.dtype != np.int64:
            return np.full(shape, _TO_DO, dtype=np.int64)
        return np.array(found, order="C")

    def _adopted(self) -> np.ndarray:
        """Checksums for a store from before there were any: its finite features are taken as they
        are."""
        done = _read_done(self.folder)
        sums = np.full((len(self.clips), len(self.stages)), _TO_DO, dtype=np.int64)
        for column, stage in enumerate(self.stages):
            array = open_array(self.path(stage))
            if done is not None and _is_sound(array) and len(array) == len(done) == len(sums):
                for row in map(int, np.flatnonzero(done & np.isfinite(array).all(1))):
                    sums[row, column] = checksum(stage, row, array[row])
        return sums

    def _save_checksums(self) -> None:
        """Record which clips are computed, unless it is recorded so already."""
        path = self.folder / CHECKSUMS
        found = open_array(path)
        if found is None or not found.flags.c_contiguous or not np.array_equal(found, self._sums):
            del found  # a file that is mapped cannot be replaced everywhere
            _save(path, self._sums)
            (self.folder / _DONE).unlink(missing_ok=True)

    def _damaged(self, stage: str) -> np.ndarray:
        """Which clips have other features of a stage than those written, bool [clips]."""
        sums, path = self._sums[:, self.stages.index(stage)], self.path(stage)
        array = open_array(path)
        if not _is_sound(array) or array.shape[:1] != sums.shape:
            return sums >= 0
        damaged = np.zeros(len(sums), dtype=bool)
        done = np.flatnonzero(sums >= 0)
        for rows in np.array_split(done, len(done) // _CHUNK + 1):
            for row, values in zip(rows.tolist(), read_rows(path, rows), strict=True):
                damaged[row] = checksum(stage, row, values) != sums[row]
        if not damaged.any():
            self._sound.add(stage)
        return damaged

    def _fault(self, stage: str, row: int) -> str:
        """What is wrong with the features of a clip, in words."""
        array = open_array(self.path(stage))
        if array is not None and row < len(array) and not np.isfinite(array[row]).all():
            return "hold NaN or inf, which was not written"
        return "are not those that were written"

    def _prepared(self, stage: str, units: int) -> Path:
        """The file of a stage's array, which is made if there is none of use.

        Raises DataError if the array holds features of another number of units.
        """
        path, shape = self.path(stage), (len(self.clips), units)
        array = open_array(path)
        if not _is_sound(array) or array.shape != shape:
            if (self._sums[:, self.stages.index(stage)] >= 0).any():
                found = f"has shape {array.shape}" if _is_sound(array) else "is missing or damaged"
                raise DataError(f"{path} {found}, expected {shape}")
            with atomic_path(path) as temporary:
                write_zeros(temporary, shape)
        return path


def _save(path: Path, sums: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, sums)


def _is_sound(array: np.ndarray | None) -> TypeGuard[np.ndarray]:
    """Whether an array of features is as it was made, whatever its values."""
    return (
        array is not None
        and (array.dtype, array.ndim) == (np.float32, 2)
        and array.flags.c_contiguous
    )


def _read_done(folder: Path) -> np.ndarray | None:
    """Which clips a store records as computed, bool [clips]; None if that cannot be read."""
    sums, done = open_array(folder / CHECKSUMS), open_array(folder / _DONE)
    if sums is not None and sums.ndim == 2:
        return np.asarray((np.array(sums) >= 0).all(1))
    return np.array(done) if done is not None and done.dtype == bool and done.ndim == 1 else None


def _same(old: Mapping[str, str], row: Mapping[str, Any]) -> bool:
    """Whether a clip is as it was in the list; lists of older versions say less of its files."""
    known = [key for key in row if key in old or key not in _FILE_COLUMNS]
    return all(old.get(key) == str(row[key]) for key in known)


def _labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        ", ".join(f"{key} {value}" for key, value in row.items() if key not in _FILE_COLUMNS)
        for row in rows
    ]
