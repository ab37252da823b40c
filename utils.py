"""Small things that every part shares: errors, devices, progress, words."""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

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
    said = (
        *("out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED"),
        "Storage size calculation overflowed",
    )
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


def _let_mps_fall_back() -> None:
    """Run on the CPU what MPS lacks (3-D pooling, in some releases); torch reads it at import."""
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")


def require_device(text: str | None) -> None:
    """Raise UserError for a `device` that this machine does not have.

    What every machine has is not looked for: torch, which takes a second to import, is not needed
    where all features are there already.
    """
    _let_mps_fall_back()
    if text not in (None, "cpu"):
        resolve_device(text)


def resolve_device(text: str | None) -> torch.device:
    """The device for `device`: cpu, cuda, cuda:1, mps, an integer (that GPU), or the best.

    "cuda", and the best where there are GPUs, is this process's own GPU, if torchrun has started
    several on this machine.

    Convolutions on a GPU are set to full float32, so that features do not depend on the device
    beyond rounding. Raises UserError for a device that this machine does not have, and for a
    LOCAL_RANK that is no number.
    """
    _let_mps_fall_back()
    import torch

    torch.backends.cudnn.allow_tf32 = False
    gpus = torch.cuda.device_count()
    has_mps = torch.backends.mps.is_available()
    own = _local_rank() % gpus if gpus else 0
    if own and text in (None, "cuda"):
        torch.cuda.set_device(own)  # where memory is pinned, too
        return torch.device(f"cuda:{own}")
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


def _local_rank() -> int:
    text = os.environ.get("LOCAL_RANK") or "0"
    if not text.isdecimal():
        raise UserError(
            f"LOCAL_RANK is {text}, and is to be the number of this process on its machine, from "
            "0: unset it, or start all processes with torchrun"
        )
    return int(text)


def suggestion(name: str, known: Iterable[str]) -> str:
    """ " Did you mean ...?" with the nearest known names, whatever their case, or nothing.

    >>> suggestion("I3D", ["i3d", "x3d_s"]), suggestion("activitynet", ["StylizedActivityNet"])
    (" Did you mean 'i3d'?", " Did you mean 'StylizedActivityNet'?")
    """
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3)
    near = near or [word for word in by_lower if len(name) > 2 and name.lower() in word][:3]
    return f" Did you mean {' or '.join(repr(by_lower[word]) for word in near)}?" if near else ""


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


@functools.cache
def _bars_lock() -> threading.RLock:
    return threading.RLock()


def progress(
    items: Iterable,
    what: str,
    unit: str,
    total: int | None = None,
    done: int = 0,
    delay: float = 0.0,
    shown: bool = True,
):
    """`items` with a progress bar (rate and time left) on a terminal; piped, a line a minute.

    delay: seconds until the bar is shown.
    shown: whether it is at all.
    """
    from tqdm import tqdm

    # No lock that other processes share, which one that is killed would leave locked, and no thread
    # of its own, which copies of this process would lack.
    tqdm.set_lock(_bars_lock())
    tqdm.monitor_interval = 0
    piped = not sys.stderr.isatty()
    seldom = dict.fromkeys(("mininterval", "maxinterval", "delay"), LINE_EVERY)
    return tqdm(
        items,
        desc=what,
        unit=unit,
        total=total,
        initial=done,
        miniters=1,
        disable=not shown,
        ascii=piped,
        ncols=80 if piped else None,
        file=_Lines() if piped else None,
        **({**seldom, "leave": False} if piped else {"delay": delay, "leave": not delay}),
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
