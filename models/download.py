"""Published weights, fetched once into a folder of the user. Imports no torch.

A file gets its name only once it is complete. `FILE.sha256` (readable by `sha256sum -c`) holds the
sum of the first download, with which every later use must agree.
"""

from __future__ import annotations

import contextlib
import re
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import atomic_path, require_regular, sha256, write_text
from utils import UserError

if TYPE_CHECKING:
    from requests import Response

    from models.network import Network

AGENT = "static-dynamic"
TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 16
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head)\b", re.I | re.S)


def default_folder() -> Path:
    """The folder for weights in the user's cache; it need not exist yet.

    Raises UserError if the user has no home folder.
    """
    import pooch

    with contextlib.suppress(RuntimeError):
        folder = pooch.os_cache(AGENT)
        if folder.is_absolute():  # a "~" that stands for nothing may have been left in it
            return folder
    raise UserError("no home folder is known: give a folder with `weights_dir`")


def published_file(network: Network, folder: Path) -> Path:
    """The published weights of a network, fetched into `folder` unless they are there.

    Raises UserError if no address is known, and as `fetch` does.
    """
    weights = network.weights
    if weights.url is None:
        raise UserError(
            f"no address of a file for network {network.name!r} is known. {weights.advice()}"
        )
    return fetch(weights.url, folder, file=weights.file)


def fetch(url: str, folder: Path, *, file: str | None = None) -> Path:
    """The file at `url`, in `folder` under the name `file` (default: the end of the address).

    A file that is there already is checked against its recorded SHA-256 and not fetched again.

    Raises UserError, with what to do, if the address gives no file, the transfer is incomplete, the
    folder cannot be used, or a file differs from the first download.
    """
    target = folder / _file_name(url, file)
    try:
        if target.exists():
            _check_sum(target, target)
            return target
        with atomic_path(target) as arrived:
            _download(url, arrived, target.name)
            _check_sum(arrived, target)
    except OSError as error:  # of the disk; those of the network never get here
        raise UserError(
            f"{target} cannot be written or read: {error.strerror or error}. Give another folder "
            f"with `weights_dir`. {_by_hand(url)}"
        ) from None
    return target


def _by_hand(url: str) -> str:
    """The advice that always applies."""
    return f"Or download {url} by hand and give the file's path with `checkpoint`"


def _file_name(url: str, file: str | None) -> str:
    """The plain name for a file. Raises UserError for one that could lead out of the folder."""
    address = urllib.parse.urlsplit(url)
    name = file or urllib.parse.unquote(address.path.rsplit("/", 1)[-1])
    if address.scheme not in ("http", "https") or not re.fullmatch(r"\w[\w.+-]*", name):
        raise UserError(f"{url} ({name!r}) is not the http(s) address of a file with a plain name")
    return name


def _download(url: str, file: Path, name: str) -> None:
    """Write what is at `url` to `file`. Raises UserError unless it is a complete file."""
    import requests

    try:
        trouble = _trouble(_get(url, file, name), file)
    except (requests.RequestException, ValueError) as error:
        trouble = _reason(error)
    if trouble:
        raise UserError(
            f"{url} did not return a file: {trouble}. Start again later, or open the address in a "
            f"browser to see. {_by_hand(url)}"
        )


def _trouble(answer: Response, file: Path) -> str | None:
    """What is wrong with `file`, which came with this answer; None if nothing is."""
    with file.open("rb") as opened:
        is_page = _PAGE.match(opened.read(2000))
    if is_page or "html" in answer.headers.get("Content-Type", ""):
        return "it is a web page (a login, a warning or a limit, perhaps)"
    announced, size = answer.headers.get("Content-Length", "unknown"), file.stat().st_size
    # urllib3 before release 2 does not notice that a transfer ended early, unless it was chunked.
    is_whole = answer.raw.chunked or announced == str(size)
    if is_whole and size and answer.status_code == 200:
        return None
    return f"{size} bytes came, announced: {announced} (status {answer.status_code})"


def _get(url: str, file: Path, name: str) -> Response:
    """The last answer of the server, closed: its body is in `file`."""
    from pooch import HTTPDownloader
    from tqdm import tqdm

    answers: list[Response] = []
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    bar = tqdm(desc=name, total=0, unit="B", unit_scale=True, disable=not sys.stderr.isatty())

    def note(answer: Response, **_: object) -> None:
        answers.append(answer)
        bar.total = int(answer.headers.get("Content-Length", 0))  # pooch skips a bar of length 0

    get = HTTPDownloader(bar, _BLOCK, timeout=TIMEOUT, headers=headers, hooks={"response": note})
    try:
        with bar:
            get(url, str(file), None)
    finally:
        for answer in answers:
            answer.close()
    return answers[-1]


def _reason(error: BaseException) -> str:
    """The original cause of an error of the network, without the layers that passed it on."""
    while error.__context__:
        error = error.__context__
    return str(error) or type(error).__name__


def _check_sum(file: Path, target: Path) -> None:
    """Raise UserError if `file` differs from what was first at `target`; record the first sum."""
    require_regular(file)  # what is no file would be read without end
    record, found = target.with_name(f"{target.name}.sha256"), sha256(file)
    if not record.exists():
        return write_text(record, f"{found}  {target.name}\n")
    require_regular(record)
    expected = record.read_text(encoding="utf-8", errors="replace")[:64]
    if found != expected:
        raise UserError(
            f"{target} differs from the first download: its SHA-256 is {found}, {record} says "
            f"{expected}. Delete {target.name} to fetch it again, or {record.name} if the change "
            "is right"
        )
    return None
