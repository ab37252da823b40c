"""A lock on the folder of a run: one process at a time works there."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from utils import UserError

LOCK = ".lock"


@contextlib.contextmanager
def held(folder: Path, instead: str = "another `run_name`") -> Iterator[bool]:
    """Inside the block, no other process can hold the folder; the end of the process, however it
    comes, frees it. Gives whether it is held.

    instead: what a process that is refused may give, in words.

    Without effect where locks of files are not to be had (Windows, some network file systems, a
    folder that cannot be written to).

    Raises UserError, with the process and its host, if another one holds it.
    """
    file = _locked(folder / LOCK, instead)
    if file is None:
        yield False
        return
    with file:
        with contextlib.suppress(OSError):  # a full disk is told of where more is written
            # Not through the file's buffer, which would be written again when it is closed.
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield True
        finally:
            (folder / LOCK).unlink(missing_ok=True)


def _locked(path: Path, instead: str) -> TextIO | None:
    """The lock's file, locked; None where there are no locks."""
    try:
        import fcntl

        file = path.open("a+", encoding="utf-8")
    except (ImportError, OSError):
        return None
    try:
        # Not flock, which processes that read frames would go on holding after this one's end.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        with file:
            file.seek(0)
            holder = file.read().strip() or "another process"
        raise UserError(
            f"{path.parent} is in use: {holder} works there. Wait for it, or end it; or give "
            f"{instead}"
        ) from None
    except OSError:
        file.close()
        return None
    if _is_at(file, path):
        return file
    file.close()  # another process has removed it meanwhile, at its end
    return _locked(path, instead)


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
