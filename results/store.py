"""The feature store: features of every distinct clip at every stage, on disk.

A folder with `clips.csv` (one row a clip), one float32 array [clips, units] per stage
(`<stage>.npy`, opened as a memory map), `done.npy` (which rows are there) and `identity.json`
(what the features depend on). It can be interrupted at any time and filled later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np

from common.parts import in_words
from estimation.estimator import require_finite
from estimation.moments import PairMoments
from utils import DataError, UserError, atomic_path, read_csv, read_json, write_csv, write_json

_CHUNK = 1024
DONE = "done.npy"


class FeatureStore:
    """Features of clips at stages; see the module for the files."""

    def __init__(self, folder: Path, stages: Sequence[str], clips: Sequence[str]):
        self.folder, self.stages, self.clips = folder, tuple(stages), list(clips)
        self._arrays: dict[str, np.ndarray] = {}
        self._done = _open(folder / DONE, "r+")
        if self._done.shape != (len(self.clips),):
            raise DataError(
                f"{folder / DONE} is for {self._done.size} clips, the plan has {len(self.clips)}. "
                "Start a new run"
            )

    @classmethod
    def create(
        cls,
        folder: Path,
        stages: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        identity: Mapping[str, Any],
    ) -> FeatureStore:
        """A new, empty store for one clip per row (the columns of `clips.csv`).

        A column `bytes`, the size of a file, is no part of what a clip is called in messages.
        """
        write_csv(folder / "clips.csv", rows)
        with atomic_path(folder / DONE) as path:
            np.save(path, np.zeros(len(rows), dtype=bool))
        write_json(folder / "identity.json", dict(identity))
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

        Raises UserError if its features were made from anything else than `identity`.
        """
        if not (folder / "identity.json").exists():
            return cls.create(folder, stages, rows, identity)
        other = cls.differences(folder, identity)
        if other:
            raise UserError(
                f"The features in {folder} were made with {in_words(other)}: start a new run"
            )
        store = cls(folder, stages, _labels(rows))
        if changed := cls.changed_clip(folder, rows):
            raise UserError(
                f"The features in {folder} were made with another video: {changed} has changed. "
                "Start a new run"
            )
        write_csv(folder / "clips.csv", rows)
        return store

    @staticmethod
    def differences(folder: Path, identity: Mapping[str, Any]) -> list[str]:
        """Keys of `identity` whose values differ from those of the stored features."""
        if not (folder / "identity.json").exists():
            return []
        found = read_json(folder / "identity.json")
        return [key for key in identity if found.get(key) != identity[key]]

    @classmethod
    def changed_clip(cls, folder: Path, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """The first clip whose features a store has, and whose row is another now, as files are.

        None if there is no store yet.
        """
        if not (folder / "identity.json").exists():
            return None
        done, before = _open(folder / DONE, "r"), read_csv(folder / "clips.csv")
        for index in map(int, np.flatnonzero(done)):
            if index < len(rows) and before[index] != {k: str(v) for k, v in rows[index].items()}:
                return _labels(rows[index : index + 1])[0]
        return None

    @staticmethod
    def is_complete(folder: Path) -> bool:
        """Whether `folder` holds a store with every clip computed."""
        path = folder / DONE
        return path.exists() and bool(_open(path, "r").all())

    @property
    def done(self) -> np.ndarray:
        """Which clips are computed, bool [clips]."""
        return np.asarray(self._done)

    def path(self, stage: str) -> Path:
        """File of a stage's array; characters that file names cannot hold are escaped."""
        return self.folder / f"{quote(stage, safe=',#@ ')}.npy"

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
        for stage in self.stages:
            array = self._array(stage, features[stage].shape[1])
            array[list(rows)] = features[stage]
        self._done[list(rows)] = True

    def features(self, stage: str) -> np.ndarray:
        """The features of a stage, float32 [clips, C], as a read-only memory map."""
        return _open(self.path(stage), "r")

    def _array(self, stage: str, units: int) -> np.ndarray:
        if stage not in self._arrays:
            path, shape = self.path(stage), (len(self.clips), units)
            if not path.exists():
                with atomic_path(path) as temporary:
                    _write_zeros(temporary, shape)
            array = _open(path, "r+")
            if array.shape != shape:
                raise DataError(f"{path} has shape {array.shape}, expected {shape}")
            self._arrays[stage] = array
        return self._arrays[stage]

    def moments(self, stage: str, a: np.ndarray, b: np.ndarray) -> PairMoments:
        """Moments of the pairs (row a[i], row b[i]) of a stage, read in chunks of fixed size."""
        array = self.features(stage)
        return PairMoments.merged(
            PairMoments.of(array[a[i : i + _CHUNK]], array[b[i : i + _CHUNK]])
            for i in range(0, len(a), _CHUNK)
        )


def _open(path: Path, mode: Literal["r", "r+"]) -> np.ndarray:
    """A memory map of an array. Raises DataError if the file is missing or damaged."""
    try:
        return np.lib.format.open_memmap(path, mode=mode)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is missing or damaged: {error}. Start a new run") from None


def _labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        ", ".join(f"{key} {value}" for key, value in row.items() if key != "bytes") for row in rows
    ]


def _write_zeros(path: Path, shape: tuple[int, int]) -> None:
    """A .npy file of float32 zeros with its space reserved, so that a full disk fails here."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    del array
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
