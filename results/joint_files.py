"""The files of unit scores and joint-encoding classes of the segmentation study, one per stage.

Written here, `joint_encoding/<model>/<stage>.npz`:

    unit_scores                               float64 [K, C]: dynamic, static and the others
    dynamic, static, joint, residual, dead    int64 [n]: unit indices of each class, ascending
    threshold                                 float64: a class needs a score above it
    seed                                      int64: of the run

Read as well, from the study's code (main_vos.py, utils.py):

    joint_encoding/<model>/raw_<stage>.pkl    float64 [3, C]: unit scores
    joint_encoding/<model>/<stage>.pkl        dict "0".. of indices: dynamic, static, joint, none
    idv_scores/<model>/<stage>.pkl            [C, 3]: softmax over the three scores of each unit
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.factors import DYNAMIC, FACTORS, STATIC
from common.files import require_regular
from common.npz import open_npz, save_npz
from common.pickles import read_pickle
from estimation.estimator import CLASSES, joint_encoding
from utils import DataError

RAW = "raw_"
# The study's class keys; its last class is called "none" there.
_KEYS = {"0": "dynamic", "1": "static", "2": "joint", "3": "residual"}


@dataclass(frozen=True)
class UnitFile:
    """What a file says about the C units of a stage; what it does not hold is None.

    path: of the file.
    stage: that it is about.
    unit_scores: float64 [K, C] in [-1, 1], rows dynamic, static, ...; NaN where undefined.
    shares: float64 [C, K] in 0..1, the softmax over the scores of each unit.
    units: unit indices of each class, at the threshold that the file was made with.
    """

    path: Path
    stage: str
    unit_scores: np.ndarray | None = None
    shares: np.ndarray | None = None
    units: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class UnitFolder:
    """The files of one network.

    path: of the folder.
    files: in order of their names.
    notes: sentences about what was not read, for the user.
    """

    path: Path
    files: tuple[UnitFile, ...]
    notes: tuple[str, ...] = ()


def save_joint(path: Path, unit_scores: np.ndarray, threshold: float = 0.5, seed: int = 0) -> None:
    """Write the unit scores [K, C] of a stage and their classes as .npz, replacing the file."""
    scores = np.asarray(unit_scores, dtype=np.float64)  # [K, C]
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(f"unit scores of shape {list(scores.shape)}, expected [K, C]")
    save_npz(
        path,
        {
            "unit_scores": scores,
            **joint_encoding(scores, threshold),
            "threshold": np.float64(threshold),
            "seed": np.int64(seed),
        },
    )


def seed_of(path: Path) -> int | None:
    """The seed of the run that wrote a file, None for one that does not say."""
    require_regular(path)
    seed = open_npz(path).get("seed")
    return int(seed) if seed is not None and seed.shape == () and seed.dtype.kind in "iu" else None


def unit_shares(file: UnitFile) -> np.ndarray:
    """Shares [C, K] of each unit in 0..1, as in the file or from its scores; NaN if undefined.

    Raises DataError if the file holds neither.
    """
    if file.shares is not None:
        return file.shares
    if file.unit_scores is None:
        raise DataError(f"{file.path} holds classes of units only, expected scores or shares")
    e = np.exp(file.unit_scores)  # [K, C]; scores are small, so nothing overflows
    return (e / e.sum(0)).T  # [C, K]


def read_joint(folder: Path) -> UnitFolder:
    """All files of unit scores, shares and classes in a folder.

    A <stage>.pkl of classes is left out where a raw_<stage>.pkl holds the scores behind it.

    Raises DataError for a folder without such files, for a damaged or unsafe file, and for a stage
    that two files describe.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected one like joint_encoding/MODEL_NAME")
    entries = sorted(folder.iterdir())
    known = [entry for entry in entries if entry.suffix in (".npz", ".pkl")]
    raw = {entry.name for entry in known if entry.name.startswith(RAW)}
    derived = [entry for entry in known if RAW + entry.name in raw and entry.suffix == ".pkl"]
    read = [entry for entry in known if entry not in derived]
    if not read:
        raise DataError(f"{folder} holds no .npz or .pkl file; is it the folder of one network?")
    files = tuple(read_units(entry) for entry in read)
    by_stage: dict[str, UnitFile] = {}
    for file in files:
        if file is not by_stage.setdefault(file.stage, file):
            raise DataError(
                f"{folder}: {by_stage[file.stage].path.name} and {file.path.name} both describe "
                f"stage {file.stage}: move one of them away"
            )
    others = [entry.name for entry in entries if entry not in known]
    notes = []
    if derived:
        notes.append(f"not read, {len(derived)} files of classes: their raw_ files say more")
    if others:
        notes.append(f"not read, {len(others)} not .npz or .pkl: {', '.join(others[:6])}")
    return UnitFolder(folder, files, tuple(notes))


def read_units(path: Path) -> UnitFile:
    """One file of any of the four kinds. Raises DataError if it is damaged, unsafe or another."""
    if path.suffix == ".npz":
        return _read_npz(path)
    content = read_pickle(path)
    if path.name.startswith(RAW):
        stage = path.stem.removeprefix(RAW)
        return UnitFile(path, stage, unit_scores=_scores(content, path))
    if isinstance(content, dict):
        return UnitFile(path, path.stem, units=_classes(content, path))
    return UnitFile(path, path.stem, shares=_shares(content, path))


def _read_npz(path: Path) -> UnitFile:
    require_regular(path)
    arrays = open_npz(path)
    missing = {"unit_scores", "threshold", *CLASSES} - set(arrays)
    if missing:
        raise DataError(f"{path} has no {', '.join(sorted(missing))}; found {', '.join(arrays)}")
    scores = _scores(arrays["unit_scores"], path)
    threshold = arrays["threshold"]
    if threshold.size != 1 or threshold.dtype.kind not in "fiu":
        raise DataError(f"{path}: the threshold is {threshold}, expected a number")
    units = {name: arrays[name] for name in CLASSES}
    expected = joint_encoding(scores, float(threshold.item()))
    wrong = [name for name in CLASSES if not np.array_equal(units[name], expected[name])]
    if wrong:
        raise DataError(
            f"{path}: the units listed as {', '.join(wrong)} are not those that the unit scores "
            f"give at {threshold}; was the file changed?"
        )
    return UnitFile(path, path.stem, unit_scores=scores, units=units)


def _scores(content: Any, path: Path) -> np.ndarray:
    """Unit scores [K, C] as float64."""
    scores = _matrix(content, path)
    if not 2 <= len(scores) <= len(FACTORS) or np.isinf(scores).any():
        raise DataError(
            f"{path}: unit scores {list(scores.shape)}, expected [3, C] without infinite values"
        )
    return scores


def _shares(content: Any, path: Path) -> np.ndarray:
    """Shares [C, K] as float64, which add up to 1 for every unit that has them."""
    shares = _matrix(content, path)
    sums = shares.sum(1)
    if shares.shape[1] < 2 or not np.allclose(sums[~np.isnan(sums)], 1, atol=1e-4):
        raise DataError(
            f"{path}: an array {list(shares.shape)} whose rows do not add up to 1, expected the "
            "shares [C, 3] of C units (unit scores [3, C] are called raw_<stage>.pkl)"
        )
    return shares


def _matrix(content: Any, path: Path) -> np.ndarray:
    """A matrix as float64, from an array or from rows."""
    rows = [content] if isinstance(content, np.ndarray) else content
    try:
        if not all(isinstance(row, np.ndarray) or _numbers(row) for row in rows):
            raise TypeError("expected a matrix, or rows of numbers")
        # A file can name one row many times.
        if sum(np.size(row) for row in rows) > path.stat().st_size:
            raise ValueError("more numbers than the file has bytes")
        matrix = np.asarray(content, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} holds no array of numbers: {error}") from None
    if matrix.ndim != 2 or not matrix.size:
        raise DataError(f"{path}: an array {list(matrix.shape)}, expected factors and units")
    return matrix


def _numbers(row: Any) -> bool:
    """Whether it is a plain sequence of numbers."""
    return isinstance(row, list | tuple) and all(
        isinstance(number, int | float | np.generic) for number in row
    )


def _classes(content: dict, path: Path) -> dict[str, np.ndarray]:
    """Unit indices of the study's four classes, under our names; no unit is dead there."""
    if set(content) != set(_KEYS):
        found = ", ".join(str(key)[:20] for key in list(content)[:6])
        raise DataError(
            f"{path}: classes {found or 'none'}, expected {', '.join(_KEYS)} "
            "(dynamic, static, joint, none)"
        )
    units = {name: _indices(content[key], path) for key, name in _KEYS.items()}
    every = np.concatenate(list(units.values()))
    if len(np.unique(every)) < len(every):
        raise DataError(f"{path}: a unit is in more than one class")
    return {**units, "dead": np.array([], dtype=np.int64)}


def _indices(content: Any, path: Path) -> np.ndarray:
    """Unit indices [n] from zero, as int64."""
    if _numbers(content):
        content = np.asarray(content) if content else np.array([], dtype=np.int64)
    is_list = isinstance(content, np.ndarray) and content.ndim == 1 and content.dtype.kind in "iu"
    if not is_list or (content < 0).any() or (content > np.iinfo(np.int64).max).any():
        raise DataError(f"{path}: expected lists of unit indices from zero")
    return content.astype(np.int64)


def classes_at(file: UnitFile, threshold: float) -> dict[str, np.ndarray]:
    """Unit indices of dynamic, static, joint, residual, and "unclassed", at a threshold.

    As in the study's plots, a unit without a score, or with one exactly at the threshold, is in
    no class. A file of classes only keeps those it was made with.

    Raises DataError if the file holds neither scores nor classes.
    """
    if file.unit_scores is None:
        if file.units is None:
            raise DataError(f"{file.path} holds shares of units, expected scores or classes")
        units, unclassed = dict(file.units), file.units["dead"]
        units.pop("dead")
    else:
        units = joint_encoding(file.unit_scores, threshold)
        at = np.flatnonzero((file.unit_scores[[DYNAMIC, STATIC]] == threshold).any(0))
        unclassed = np.union1d(units.pop("dead"), at)
        units = {name: np.setdiff1d(indices, at) for name, indices in units.items()}
    return {**units, "unclassed": unclassed}
