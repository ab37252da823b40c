"""Small things that every part shares: errors, devices, atomic files, progress."""

from __future__ import annotations

import contextlib
import csv
import difflib
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import torch


class UserError(Exception):
    """A request or input that cannot be used; shown without a traceback, exit code 2."""


class DataError(UserError):
    """Data that does not fit its contract: a layout, a frame, a file of features."""


class WriteError(UserError, OSError):
    """A file whose place cannot be written to.

    why: what the system says of it, for messages of their own.
    """

    def __init__(self, message: str, why: str | None = None) -> None:
        super().__init__(message)
        self.strerror = why


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, that of the machine or of its GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # On the CPU PyTorch has no class for it.
    said = ("can't allocate memory", "Storage size calculation overflowed")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in said)


def as_options(text: str) -> str:
    """Text for the command line: fields, which messages have in backticks, as options.

    >>> as_options("give `styles` 1,2")
    'give --styles 1,2'
    """
    return re.sub(r"`(\w+)`", r"--\1", text)


def add_note(error: BaseException, text: str) -> None:
    """Add a line that is shown below an error (from Python 3.11 on also in its traceback)."""
    error.__notes__ = [*getattr(error, "__notes__", ()), text]  # type: ignore[attr-defined]


def resolve_device(text: str | None) -> torch.device:
    """The device for `device`: cpu, cuda, cuda:1, mps, an integer (that GPU), or the best.

    Convolutions on a GPU are set to full float32, so that features do not depend on the device
    beyond rounding. Raises UserError for a device that this machine does not have.
    """
    # 3-D pooling is not there on MPS in every supported release; it is read at import.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    import torch

    torch.backends.cudnn.allow_tf32 = False
    gpus = torch.cuda.device_count()
    has_mps = torch.backends.mps.is_available()
    if text is None:
        return torch.device("cuda" if gpus else "mps" if has_mps else "cpu")
    present = ["cpu", *(f"cuda:{i}" for i in range(gpus)), *(["mps"] if has_mps else [])]
    name = f"cuda:{text}" if text.isdigit() else "cuda:0" if text == "cuda" else text
    if name not in present:
        raise UserError(
            f"`device` {text} is not on this machine. Present: {', '.join(present)}; "
            "leave `device` out to take the best"
        )
    return torch.device(name)


def suggestion(name: str, known: Iterable[str]) -> str:
    """ " Did you mean ...?" with the nearest known names, whatever their case, or nothing.

    >>> suggestion("I3D", ["i3d", "x3d_s"]), suggestion("activitynet", ["StylizedActivityNet"])
    (" Did you mean 'i3d'?", " Did you mean 'StylizedActivityNet'?")
    """
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3)
    near = near or [word for word in by_lower if len(name) > 2 and name.lower() in word][:3]
    return f" Did you mean {' or '.join(repr(by_lower[word]) for word in near)}?" if near else ""


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
                path.unlink(missing_ok=True)


def _is_abandoned(name: str) -> bool:
    found = re.fullmatch(r"\.partial-(.+)-(\d+)-[^-]*", name)
    if not found or found[1] != socket.gethostname():
        return False
    try:
        os.kill(int(found[2]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it is another user's
        return False
    return False


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without error.

    Raises WriteError if nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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


# How many times its size the arrays of an .npz file may take: nearly what zeros compress to.
_MOST_INFLATED = 1000


def open_npz(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file, without unpickling.

    Raises DataError if it is not one, and if its arrays take over a thousand times its size.
    """
    import zipfile

    import numpy as np

    size = require_regular(path).st_size
    try:
        with path.open("rb") as file:
            # Of anything else, NumPy advises to unpickle it.
            if not zipfile.is_zipfile(file):
                raise DataError(f"{path} is not a whole .npz file: it is cut off, or another file")
            with np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays:
                inflated = sum(member.file_size for member in arrays.zip.infolist())
                if inflated > _MOST_INFLATED * size:
                    raise DataError(
                        f"{path} has {size} bytes and would take {inflated}, over {_MOST_INFLATED} "
                        "times as many: expected arrays that compress less, or numpy.savez's"
                    )
                return {name: arrays[name] for name in arrays.files}
    except DataError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise DataError(f"{path} is not a readable .npz file of plain arrays: {error}") from None


def save_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz file, completely or not at all, under exactly this name."""
    import zipfile

    import numpy as np

    # np.savez takes names as keywords, and some are its own.
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


# Seconds from one line of progress to the next, where no terminal shows a bar.
LINE_EVERY = 60.0


class _Lines:
    """A stream for a progress bar that is no terminal: every state of the bar is a line."""

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line:
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        sys.stderr.flush()


def progress(items: Iterable, what: str, unit: str, total: int | None = None, done: int = 0):
    """`items` with a progress bar (rate and time left) on a terminal; piped, a line a minute."""
    from tqdm import tqdm

    piped = not sys.stderr.isatty()
    often = dict.fromkeys(("mininterval", "maxinterval", "delay"), LINE_EVERY)
    return tqdm(
        items,
        desc=what,
        unit=unit,
        total=total,
        initial=done,
        ascii=piped,
        ncols=80 if piped else None,
        file=_Lines() if piped else None,
        **({**often, "miniters": 1, "leave": False} if piped else {}),
    )


def file_name(text: str) -> str:
    """A name, such as a network's, with what file names cannot hold replaced by "_".

    >>> file_name("torchvision:r3d_18")
    'torchvision_r3d_18'
    """
    return re.sub(r"[^\w.-]+", "_", text)


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "video"), counted(2, "video")
    ('1 video', '2 videos')
    """
    return f"{number} {noun}" + "s" * (number != 1)


def format_table(head: list[str], rows: list[list[str]], left: bool = False) -> str:
    """Rows of text under a head, columns aligned to the right, or to the left."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    align = str.ljust if left else str.rjust
    return "\n".join(("  " + "  ".join(map(align, line, widths))).rstrip() for line in lines)
