"""What scripts that write must not replace: the files and folders that they read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils import UserError

# Options of main.py that name a file which is read.
_FILES = ("cfg_file", "checkpoint", "pairs")


def given_files(options: Mapping[str, Any]) -> list[Path]:
    """The files that options of main.py say are read."""
    return [Path(options[name]) for name in _FILES if options.get(name)]


def require_apart(source: Path, target: Path, what: str) -> None:
    """Raise UserError for a folder to write that is `source`, or lies in it, among its `what`."""
    place = target.resolve()
    if source.resolve() in (place, *place.parents):
        raise UserError(f"{target} lies in {source}, among the {what}: give another folder")
