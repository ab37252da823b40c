"""Files: written completely or not at all, read with their faults named."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from utils import DataError, UserError, WriteError, counted


def partial_prefix() -> str:
    """How the names of files and folders begin that this process has not finished."""
    return f".partial-{socket.gethostname()}-{os.getpid()}-"


def clear_partials(folder: Path, whosever: bool = False) -> None:
    """Remove what processes of this machine that are gone had not finished in a folder.

    whosever: what any process has not finished, where no other one can be at work.
    """
    for path in folder.glob(".partial-*"):
        if whosever or _is_abandoned(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # another user's
                    path.unlink(missing_ok=True)


def _is_abandoned(name: str) -> bool:
    found = re.fullmatch(r"\.partial-(.+)-(\d+)-[^-]*", name)
    if os.name == "nt" or not found or found[1] != socket.gethostname():
        return False  # on Windows there is no signal that does nothing
    try:
        os.kill(int(found[2]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it is another user's
        return False
    return False


# What systems say of files and folders that cannot be waited for.
_NOT_SYNCED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def sync_file(path: Path) -> None:
    """Wait until what was written to a file is on the disk, where a power cut leaves it."""
    with path.open("r+b") as file:
        _sync(file.fileno(), getattr(os, "fdatasync", os.fsync))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system lets one."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # such as Windows, or a folder that may be written to, and not read
        return
    try:
        _sync(opened, os.fsync)
    finally:
        os.close(opened)


def _sync(opened: int, sync: Callable[[int], None]) -> None:
    try:
        sync(opened)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, unless they are there; their names are on the disk then."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync_folder(place.parent)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder that appears at `folder` when the block ends without error, with what is in it:
    files that are on the disk, such as `atomic_path` leaves.

    Raises OSError if it cannot be made, or if there is one that is not empty.
    """
    make_folders(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=partial_prefix()) as name:
        new = Path(name) / folder.name  # unlike the one above it, not private
        new.mkdir()
        yield new
        sync_folder(new)
        new.rename(folder)
    sync_folder(folder.parent)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without error. What
    was written is on the disk before, so that no power cut leaves a part of it there.

    Raises WriteError if nothing can be written there.
    """
    try:
        make_folders(path.parent)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=partial_prefix(), suffix=path.suffix
        )
    except OSError as error:
        why = error.strerror
        raise WriteError(f"{path} cannot be written: {why}", why) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync_file(temporary)
    except OSError as error:
        why = error.strerror
        if why and error.filename is None and not isinstance(error, UserError):
            # Of what was written: of files that are opened the error has the name.
            raise WriteError(f"{path} cannot be written: {why}", why) from error
        raise
    else:
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, completely or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Write JSON that any reader takes: no NaN (use None), two spaces of indent."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def open_csv(path: Path) -> Iterator[TextIO]:
    """A file for the csv module to write, which takes its place at `path` when it is complete."""
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        yield file


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV with a header; None and NaN become empty cells."""
    with open_csv(path) as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({key: "" if value != value else value for key, value in row.items()})


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, as text."""
    return [row for _, row in read_numbered_csv(path)]


def read_numbered_csv(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The line number and the cells, as text, of every row of a CSV file with a header.

    Raises DataError, with the line, for a column that is there twice and for a row that has more
    or fewer cells than the header, and if the file cannot be read.
    """
    require_regular(path)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
            if twice:
                raise DataError(f"{path}, line 1: the column {twice[0]!r} is there more than once")
            for cells in filter(None, reader):
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {counted(len(cells), 'cell')}, expected "
                        f"{len(header)} as in the header"
                    )
                rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return rows


def columns_of(rows: Sequence[tuple[int, Mapping[str, str]]]) -> list[str]:
    """The columns of rows that `read_numbered_csv` gave; none of an empty file."""
    return list(map(str, rows[0][1])) if rows else []


def require_regular(path: Path) -> os.stat_result:
    """What the system says of a file that can be read to its end, unlike a pipe or a device.

    Raises DataError for anything else: a missing file, a dangling link, a folder, a device.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        problem = "is a link to a file that does not exist" if path.is_symlink() else ""
        raise DataError(f"{path} {problem or 'does not exist'}") from None
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {why}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise DataError(f"{path} is {kind}, expected a file")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError where it is missing or unreadable."""
    require_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise DataError(f"{path} is not readable JSON: it is nested too deeply") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def why_unwritable(folder: Path) -> str:
    """Why nothing can be written in a folder, or why it cannot be made; empty if it can."""
    place = folder.absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir():
        return f"{there} is not a folder"
    return "" if os.access(there, os.W_OK) else f"{there} cannot be written to"


def check_output(path: Path, option: str = "save", inputs: Iterable[Path] = ()) -> str:
    """ " (replaced)" if a file stands at `path`, else nothing; for the line that reports it.

    option: what it was given by.
    inputs: files that are read.

    Raises UserError, before any work is done, if no file can be written there, or if it is one of
    the inputs.
    """
    if os.path.realpath(path) in map(os.path.realpath, inputs):
        raise UserError(f"`{option}` {path} is a file that is read: give another one to write")
    if path.is_dir() or why_unwritable(path.parent):
        raise UserError(
            f"`{option}` {path} cannot be written: expected a file in a writable folder"
        )
    return " (replaced)" if path.exists() else ""
