"""The files that clips show: what they are known by, and whether two styles are the same files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from common.factors import DYNAMIC
from common.files import require_regular, sha256
from datasets.pair_plan import Pair, PairPlan
from utils import DataError, UserError


def file_state(path: Path, thorough: bool) -> str:
    """Name, size, and modification time or, if `thorough`, SHA-256 of a file.

    Raises DataError for what is no file that can be read to its end.
    """
    found = require_regular(path)
    try:
        last = sha256(path) if thorough else found.st_mtime_ns
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return f"{path.name}/{found.st_size}/{last}"


def digest(states: Iterable[str], thorough: bool) -> str:
    """What files of these states are known by: "time:" or "content:" and 16 hexadecimal digits.

    "content:" is the same for a copy of the files, "time:" costs no reading.
    """
    text = "\n".join(states).encode()
    kind = "content" if thorough else "time"
    return f"{kind}:{hashlib.blake2b(text, digest_size=8).hexdigest()}"


def same_files(a: Iterable[Path], b: Iterable[Path]) -> bool:
    """Whether files have equal sizes, one by one, and the first two equal bytes.

    Files of two styles mostly differ in the size of the first one, so that no more is looked at.
    Empty files are none that a clip could show.
    """
    first: list[Path] = []
    try:
        for x, y in zip(a, b, strict=True):
            if not 0 < x.stat().st_size == y.stat().st_size:
                return False
            first = first or [x, y]
        return bool(first) and first[0].read_bytes() == first[1].read_bytes()
    except (OSError, ValueError):  # told of where files are checked or read; other numbers of them
        return False


def alike_pairs(plan: PairPlan, files: Callable[[Any], Iterable[Path]]) -> list[Pair]:
    """The dynamic pairs that show the same files in two styles.

    files: returns the files that a clip shows.
    """
    return [
        pair
        for pair in plan.pairs
        if pair.factor == DYNAMIC
        and pair.a.video == pair.b.video
        and pair.a.style != pair.b.style
        and same_files(files(pair.a), files(pair.b))
    ]


def alike_notes(plan: PairPlan, alike: Sequence[Pair]) -> list[str]:
    """How many dynamic pairs are `alike`, if any."""
    if not alike:
        return []
    total = sum(pair.factor == DYNAMIC for pair in plan.pairs)
    a, b = alike[0].a, alike[0].b
    return [
        f"same files: {len(alike)} of {total} dynamic pairs show the same files in two styles, "
        f"such as {a.video} in {a.style} and {b.style}: nothing differs there"
    ]


def require_different(plan: PairPlan, alike: Sequence[Pair], folder: Callable[[str], Path]) -> None:
    """Raise UserError if all dynamic pairs are `alike`.

    folder: returns the folder of a style.
    """
    if alike and len(alike) == sum(pair.factor == DYNAMIC for pair in plan.pairs):
        a, b = (folder(clip.style) for clip in (alike[0].a, alike[0].b))
        raise UserError(
            f"all dynamic pairs ({len(alike)}) show the same files in two styles, such as "
            f"{a} and {b}: nothing differs but the name; give other `styles`, or put the videos of "
            "another style there"
        )
