"""Published weights, fetched once into a folder of the user. Imports no torch.

A file stands under its name only when it is whole. `FILE.sha256` (as `sha256sum -c` reads it) holds
the sum of what came first, and every later use must agree with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from models.network import Network
from models.transfer import AGENT, Part, by_hand, complete
from utils import UserError, sha256, write_text

# Where caches lie, by platform: the variable that may name the place, and the place otherwise.
CACHES = {
    "win32": ("LOCALAPPDATA", "AppData/Local"),
    "darwin": ("", "Library/Caches"),
    "linux": ("XDG_CACHE_HOME", ".cache"),
}
TIMEOUT = 30.0
WAITS = (1.0, 2.0, 4.0)


def default_folder() -> Path:
    """The folder for weights in the user's cache; it need not exist yet."""
    variable, usual = CACHES.get(sys.platform, CACHES["linux"])
    # A relative path in XDG_CACHE_HOME is to be ignored, says its specification.
    given = Path(os.environ.get(variable, ""))
    try:
        return (given if given.is_absolute() else Path.home() / usual) / AGENT
    except RuntimeError:
        raise UserError("no home folder is known: give a folder with `weights_dir`") from None


def published_file(network: Network, folder: Path) -> Path:
    """The published weights of a network, fetched into `folder` unless they are there.

    Raises UserError where no address is known, and as `fetch` does.
    """
    weights = network.weights
    if weights.url is None:
        raise UserError(
            f"no address of a file for network {network.name!r} is known. {weights.advice()}"
        )
    return fetch(weights.url, folder, file=weights.file)


def fetch(
    url: str,
    folder: Path,
    *,
    file: str | None = None,
    timeout: float = TIMEOUT,
    waits: Sequence[float] = WAITS,
) -> Path:
    """The file at `url`, in `folder` under the name `file` (default: the end of the address).

    A file that is there is checked against its recorded SHA-256 and not fetched again. One process
    at a time fetches a file, the others wait for it. `timeout`: seconds without a byte. `waits`:
    seconds before each further attempt.

    Raises UserError, with what to do, where the address gives no file, the transfer does not come
    to its end, the folder cannot be used, or a file is not the one that came first.
    """
    target = folder / _file_name(url, file)
    with _explained(url, target):
        if target.exists():
            _check_sum(target, target)
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not target.exists():
                part = Part(target, url)
                complete(part, timeout, waits)
                _check_sum(part.path, target)
                part.finish()
    return target


def _file_name(url: str, file: str | None) -> str:
    """A bare name: nothing that could lead out of the folder, whatever the address says."""
    address = urllib.parse.urlsplit(url)
    name = file or urllib.parse.unquote(address.path.rsplit("/", 1)[-1])
    if address.scheme not in ("http", "https") or not re.fullmatch(r"\w[\w.+-]*", name):
        raise UserError(f"{url} ({name!r}) is not the http(s) address of a file with a plain name")
    return name


@contextlib.contextmanager
def _explained(url: str, target: Path) -> Iterator[None]:
    """Errors of the disk as UserErrors; those of the network never get here."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{target} cannot be written or read: {error.strerror or error}. Give another folder "
            f"with `weights_dir`. {by_hand(url)}"
        ) from None


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock of a file; wait while another process does. A lock ends with its process."""
    told = False
    with target.with_name(f"{target.name}.lock").open("ab") as file:
        while not _locked(file):
            if not told:
                print(f"another process is fetching {target}: waiting for it", file=sys.stderr)
                told = True
            time.sleep(0.2)
        yield


def _locked(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _check_sum(file: Path, target: Path) -> None:
    """Raise UserError if `file` is not what first stood at `target`; record its sum if none was."""
    record, found = target.with_name(f"{target.name}.sha256"), sha256(file)
    if not record.exists():
        return write_text(record, f"{found}  {target.name}\n")
    expected = record.read_text(encoding="utf-8", errors="replace")[:64]
    if found != expected:
        raise UserError(
            f"{file} is not what came first: its SHA-256 is {found}, {record} says {expected}. "
            f"Delete {file.name} to fetch it again, or {record.name} if the change is right"
        )
    return None
