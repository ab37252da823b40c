"""A file over HTTP, on disk as a part that grows until it is whole; only the standard library.

`FILE.part` holds the beginning of a file and `FILE.part.json` what the server said of the whole, so
that a later attempt, or a later process, asks for the rest alone, and only of the very same file.
"""

from __future__ import annotations

import http.client
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils import DataError, UserError, read_json, write_json

AGENT = "static-dynamic"
_BLOCK = 1 << 18
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head)\b", re.I | re.S)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class _CutOff(Exception):
    """The transfer ended early, for a reason that may pass."""


@dataclass(frozen=True)
class Whole:
    """What a server says of a whole file: its address, bytes, and what tells its states apart."""

    url: str
    total: int | None = None
    validator: str | None = None


@dataclass(frozen=True)
class Part:
    """The beginning of the file at `url`, which will stand at `target`."""

    target: Path
    url: str

    @property
    def path(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def record(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.json")

    def size(self) -> int:
        """The bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def whole(self) -> Whole:
        """What is known of the whole file: nothing, where the record is not of this address."""
        try:
            found = Whole(**read_json(self.record))
        except (DataError, TypeError):
            return Whole(self.url)
        sound = found.url == self.url and isinstance(found.total, int | None)
        return found if sound and isinstance(found.validator, str | None) else Whole(self.url)

    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return 0 < self.size() == self.whole().total

    def begin(self, whole: Whole) -> None:
        """Start anew with a file of which the server says this."""
        self.path.unlink(missing_ok=True)
        write_json(self.record, asdict(whole))

    def finish(self) -> None:
        """Give the file its name."""
        self.path.replace(self.target)
        self.record.unlink(missing_ok=True)

    def condition(self) -> dict[str, str]:
        """The headers that ask for the rest, or none where only the whole will do."""
        whole, size = self.whole(), self.size()
        if whole.total is None or not 0 < size < whole.total:
            return {}
        same = {"If-Range": whole.validator} if whole.validator else {}
        return {"Range": f"bytes={size}-", **same}

    def is_continued_by(self, response: Any) -> bool:
        """Whether an answer is the rest of this part."""
        whole = self.whole()
        begins = _RANGE.match(response.headers.get("Content-Range", ""))
        return (
            response.status == 206
            and begins is not None
            and (int(begins[1]), int(begins[2])) == (self.size(), whole.total)
            and _validator(response) in (whole.validator, None)
        )


def by_hand(url: str) -> str:
    """The way that is always open."""
    return f"Or download {url} by hand and give the file's path with `checkpoint`"


def complete(part: Part, timeout: float, waits: Sequence[float]) -> None:
    """Bring a part to its full size, asking for the rest after each early end.

    timeout: seconds without a byte. waits: seconds before each further attempt, counted anew
    whenever the part has become larger than ever.

    Raises UserError where the address gives no file, the last attempt ends early (what came is
    kept), or the disk has no room; OSError where the disk cannot be written.
    """
    left, most = list(waits), part.size()
    while not part.is_whole():
        try:
            return _transfer(part, timeout)
        except _CutOff as cut_off:
            if part.size() > most:
                left, most = list(waits), part.size()
            if not left:
                raise UserError(_given_up(part, cut_off)) from None
            print(f"{_state(part, cut_off)}; trying again in {left[0]:g} s", file=sys.stderr)
            time.sleep(left.pop(0))
    return None


def _state(part: Part, cut_off: _CutOff) -> str:
    total = part.whole().total
    of = f" of {total:,}" if total is not None else ""
    return f"{part.target.name}: {part.size():,}{of} bytes have arrived ({cut_off})"


def _given_up(part: Part, cut_off: _CutOff) -> str:
    kept = f"They are kept in {part.path}: start again to continue"
    advice = kept if part.size() else "Start again when there is a connection"
    return f"{_state(part, cut_off)} from {part.url}. {advice}. {by_hand(part.url)}"


def _transfer(part: Part, timeout: float) -> None:
    """Ask once for what is missing and append it. Raises _CutOff if less than that arrives."""
    condition = part.condition()
    response = _open(part.url, condition, timeout)
    continued = part.is_continued_by(response)
    if not continued and response.status in (206, 416):  # other bytes than the next, or none
        response.close()
        response = _open(part.url, {}, timeout)
    with response:
        whole = Whole(part.url, response.length, _validator(response))
        first = _read(response)
        if not continued:
            _refuse_no_file(response, whole, first)
            part.begin(whole)
        _check_room(part)
        _append(part, response, first)
    total = part.whole().total
    if total is not None and part.size() != total:
        raise _CutOff("the connection was closed")


def _open(url: str, condition: Mapping[str, str], timeout: float) -> Any:
    """The answer of a server: with a file, or 416 where a condition was made."""
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity", **condition}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and condition:
            return error
        error.close()
        if error.code in (408, 429) or error.code >= 500:
            raise _CutOff(f"the server answers {error.code} {error.reason}") from None
        raise UserError(
            f"{url} gives no file: the server answers {error.code} {error.reason}. It may have "
            f"moved. {by_hand(url)}"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _CutOff(f"no answer: {str(reason) or type(reason).__name__}") from None


def _read(response: Any) -> bytes:
    """The next bytes as they come; none at the end."""
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _CutOff(str(error) or type(error).__name__) from None


def _validator(response: Any) -> str | None:
    # A weak ETag does not promise the same bytes.
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _refuse_no_file(response: Any, whole: Whole, beginning: bytes) -> None:
    """Raise UserError for a web page, and for an answer whose end cannot be told from a cut."""
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml") or _PAGE.match(beginning[:2000]):
        raise UserError(
            f"{whole.url} gives a web page, not a file: a login, a warning or a limit, perhaps. "
            f"Open it in a browser to see. {by_hand(whole.url)}"
        )
    sized = whole.total or (whole.total is None and response.chunked)
    if response.status != 200 or not sized or "Content-Encoding" in response.headers:
        raise UserError(
            f"{whole.url} gives no file of known size (the server answers {response.status}, "
            f"{whole.total or 'unknown'} bytes). {by_hand(whole.url)}"
        )


def _check_room(part: Part) -> None:
    """Raise UserError if the rest of a file does not fit on the disk."""
    missing = (part.whole().total or 0) - part.size()
    free = shutil.disk_usage(part.path.parent).free
    if missing > free:
        raise UserError(
            f"{part.path.parent} has {free:,} bytes free and {part.target.name} needs {missing:,} "
            f"more: make room, or give another folder with `weights_dir`. {by_hand(part.url)}"
        )


def _append(part: Part, response: Any, block: bytes) -> None:
    from tqdm import tqdm

    with (
        part.path.open("ab") as file,
        tqdm(
            desc=part.target.name,
            total=part.whole().total,
            initial=part.size(),
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        while block:
            file.write(block)
            bar.update(len(block))
            block = _read(response)
