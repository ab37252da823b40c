"""Files of paired features, pairs.npz: checked, and read row by row.

`a` and `b` [N, C] are the features of the two members of N pairs, `factor` [N] says what they
share; `video`, `style_a` and `style_b` [N], if they are there, what they show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.npz import mapped_npz, release
from datasets.names import shortened
from estimation.design import Design
from utils import DataError

_FEATURES = ("a", "b")
_NEEDED = (*_FEATURES, "factor")
_SHOWN = ("video", "style_a", "style_b")
# Numbers that are read at once.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PairFile:
    """N pairs, whose members are the rows of one table: first all of `a`, then all of `b`.

    a, b: features [N, C], as maps.
    design: the pairs as rows.
    """

    a: np.ndarray
    b: np.ndarray
    design: Design

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The features of some rows in ascending order, [n, C]."""
        n = len(self.a)
        split = int(np.searchsorted(rows, n))
        found = np.empty((len(rows), self.a.shape[1]), np.result_type(self.a, self.b))
        found[:split] = self.a[rows[:split]]
        found[split:] = self.b[rows[split:] - n]
        release(self.a, self.b)
        return found


@contextlib.contextmanager
def open_pairs(path: Path) -> Iterator[PairFile]:
    """The pairs in a file, for the block alone: their features are read when they are asked for.

    Raises DataError where arrays are missing or do not fit, and for NaN or inf.
    """
    with mapped_npz(path) as arrays:
        _require_arrays(path, arrays)
        shown = [_labels(arrays[name], f"{name!r} of {path}") for name in _SHOWN if name in arrays]
        for name in _FEATURES:
            _require_finite(arrays[name], f"{name!r} of {path.name}")
        a, b, factor = (arrays[name] for name in _NEEDED)
        rows = np.arange(len(factor))
        pairs = (rows, len(rows) + rows, factor)
        yield PairFile(a, b, Design.shown(*pairs, *shown) if shown else Design.of(*pairs))


def _require_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise DataError unless all arrays are there, of such shapes and types as they must be."""
    if missing := sorted(set(_NEEDED) - set(arrays)):
        raise DataError(f"{path} has no {', '.join(missing)}; found {', '.join(arrays)}")
    a, b, factor = (arrays[name] for name in _NEEDED)
    if a.ndim != 2 or a.shape != b.shape or factor.shape != a.shape[:1] or not a.size:
        raise DataError(
            f"{path}: a {list(a.shape)}, b {list(b.shape)}, factor {list(factor.shape)}; "
            "expected [N, C], [N, C] and [N]"
        )
    if factor.dtype.kind not in "iu" or a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: a is {a.dtype}, b {b.dtype}, factor {factor.dtype}; expected numbers and "
            "integer factor ids"
        )
    shown = [name for name in _SHOWN if name in arrays]
    lacking = [name for name in _SHOWN if name not in arrays]
    if shown and lacking:
        raise DataError(
            f"{path} has {', '.join(shown)}, but no {', '.join(lacking)}: intervals need all of "
            f"{', '.join(_SHOWN)}; give these, or none of them"
        )
    for name in shown:
        if arrays[name].shape != factor.shape:
            raise DataError(
                f"{path}: {name} {list(arrays[name].shape)}, factor {list(factor.shape)}; expected "
                "one for each pair"
            )
    if shown and (arrays["style_a"].dtype.kind in "iu") != (arrays["style_b"].dtype.kind in "iu"):
        raise DataError(
            f"{path}: style_a is {arrays['style_a'].dtype}, style_b {arrays['style_b'].dtype}; "
            "expected both to be texts, or both integers"
        )


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    """Names as integers or texts. Raises DataError for anything else."""
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "U":
        return np.array(array)
    if array.dtype.kind != "S":
        raise DataError(f"{what} is {array.dtype}; expected texts or integers")
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{what}: {shortened(error.object)} is no UTF-8 text") from None


def _require_finite(features: np.ndarray, what: str) -> None:
    """Raise DataError with the unit and the pair of the first NaN or inf."""
    found, bad = "", 0
    step = max(1, _CHUNK // features.shape[1])
    for start in range(0, len(features), step):
        block = features[start : start + step]
        finite = np.isfinite(block)
        if not finite.all():
            row, unit = np.argwhere(~finite)[0]
            bad += np.count_nonzero(~finite)
            where = f"stage {what}, unit {unit}, clip pair {start + row}"
            found = found or f"{where}: the feature is {block[row, unit]}"
        release(features)
    if found:
        raise DataError(f"{found} ({bad} of {features.size} values not finite)")
