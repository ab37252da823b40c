"""Names of videos and frames: each is that of one folder or file, and of nothing elsewhere."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

from utils import DataError

# What file systems hold, in bytes.
LONGEST_NAME = 255
_SHOWN = 60


def name_problem(name: str) -> str:
    """What keeps a name from being that of one folder or file; empty if nothing does.

    >>> name_problem("../style_2/n1"), name_problem("n1")
    ('leads to another folder', '')
    """
    if name in ("", ".", ".."):
        return "names no folder of its own"
    if set(name) & {"/", "\\"}:
        return "leads to another folder"
    if "\0" in name:
        return "has a NUL character"
    if problem := coding_problem(name):
        return problem
    if len(name.encode()) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes"
    return ""


def coding_problem(name: str, advice: str = "") -> str:
    """What keeps a name from being text that files can be called here; empty if nothing does.

    advice: what helps where it is the name's fault, and not that of the environment's encoding.
    """
    encoding = sys.getfilesystemencoding()
    if name.encode(encoding, "ignore").decode(encoding) == name:
        return ""
    with contextlib.suppress(UnicodeError):
        if encoding != "utf-8" and name.encode("utf-8", "surrogateescape").decode("utf-8"):
            return f"is UTF-8, but the environment's encoding is {encoding}; set PYTHONUTF8=1"
    return f"is not UTF-8{advice}"


def require_name(name: str, where: str) -> str:
    """The name. Raises DataError, which begins with `where`, unless it is that of one folder or
    file."""
    if problem := name_problem(name):
        raise DataError(
            f"{where}: the name {shortened(name)} {problem}; expected that of one folder or file"
        )
    return name


def printable(text: str) -> str:
    """Text that can be written as UTF-8: a file name may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode()


def shortened(value: object) -> str:
    """A value for a message, cut if it is long."""
    text = printable(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def is_folder(path: Path) -> bool:
    """Whether a folder is there. Raises DataError where the system does not let one look."""
    try:  # not Path.is_dir, which from Python 3.14 on says no in place of an error
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise DataError(printable(f"{path} cannot be looked at: {error.strerror}")) from None


def listed(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, in any order. Raises DataError if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        raise DataError(f"{folder} does not exist") from None
    except NotADirectoryError:
        raise DataError(f"{folder} is not a folder of frames") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(printable(f"{folder} cannot be listed: {why}")) from None
