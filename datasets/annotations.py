"""Reading annotation files: every value is of its kind, or a DataError names file and entry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any

from common.files import read_json
from datasets.names import require_name, shortened
from utils import DataError

# More frames than any video has.
MOST_FRAMES = 2**31 - 1
_KINDS: dict[Any, str] = {str: "text", list: "a list", int | str: "a number or text"}


def annotation(path: Path) -> Any:
    """The content of an annotation file. Raises DataError where it is missing or unreadable."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{path} does not exist, the annotation of this data set (docs/data.md shows one). For "
            "videos without annotation give `dataset` plain"
        ) from None
    except OSError:
        pass  # of which reading it tells
    return read_json(path)


def entries(path: Path) -> Any:
    """The content of an annotation file that holds a list or an object."""
    content = annotation(path)
    if not isinstance(content, list | dict):
        raise DataError(f"{path} holds {shortened(content)}, expected a list or an object")
    return content


def named_entries(path: Path, key: str) -> Iterator[tuple[str, Any]]:
    """Name, which stands under `key`, and content of each entry in a list.

    Raises DataError for a name that is not that of one folder, and for one that is there twice.
    """
    numbers: dict[str, int] = {}
    for number, entry in enumerate(entries(path), 1):
        value = typed(entry, key, int | str, path, f"entry {number}")
        name = require_name(str(value), f"{path}, entry {number}")
        if name in numbers:
            raise DataError(
                f"{path}: {name} is listed twice, as entries {numbers[name]} and {number}; "
                "take one out"
            )
        numbers[name] = number
        yield name, entry


def field_of(entry: object, key: str, path: Path, name: str = "") -> Any:
    """entry[key], or DataError that names the file and the entry."""
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(f"{path}: {name or 'an entry'} has no {key!r}")
    return entry[key]


def typed(entry: object, key: str, kind: type | UnionType, path: Path, name: str) -> Any:
    """entry[key] of a type, not empty text, or DataError that names the file and the entry."""
    value = field_of(entry, key, path, name)
    if isinstance(value, bool) or not isinstance(value, kind) or value == "":
        raise DataError(f"{path}: {name} has {key!r} {shortened(value)}, expected {_KINDS[kind]}")
    return value


def whole(entry: object, key: str, path: Path, name: str) -> int:
    """entry[key], a number of frames, or DataError that names the file and the entry."""
    value = field_of(entry, key, path, name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_FRAMES:
        raise DataError(
            f"{path}: {name} has {key!r} {shortened(value)}, expected a whole number from 0 to "
            f"{MOST_FRAMES}"
        )
    return value


def segment(entry: object, path: Path, name: str) -> tuple[float, float]:
    """Start and end of an annotated segment in seconds, which need not be in order.

    Raises DataError, which names the file and the entry, unless both are finite and none negative.
    """
    value = field_of(entry, "segment", path, name)
    times = value if isinstance(value, list) else []
    sound = [t for t in times if isinstance(t, int | float) and not isinstance(t, bool)]
    if len(sound) != 2 or len(times) != 2 or not all(0 <= t <= MOST_FRAMES for t in sound):
        raise DataError(
            f"{path}: {name} has the segment {shortened(value)}, expected [start, end] in seconds"
        )
    return sound[0], sound[1]
