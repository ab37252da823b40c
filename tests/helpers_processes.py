"""A part of a test in a process of its own, which may be killed, and leaves what it printed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are copied")


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    code: its exit code, or minus the signal that killed it.
    out, err: what it printed.
    """

    code: int
    out: str
    err: str


def forked(work: Callable[[], int | None], folder: Path) -> Ended:
    """Do some work in a copy of this process, with its streams in files of a folder."""
    return ended(started(work, folder), folder)


def started(work: Callable[[], int | None], folder: Path) -> int:
    """Begin some work in a copy of this process; returns the number of the copy."""
    pid = os.fork()
    if pid == 0:
        _work(work, _streams(folder))
    return pid


def ended(pid: int, folder: Path) -> Ended:
    """How a copy ends, once it does."""
    _, status = os.waitpid(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), *(p.read_text() for p in _streams(folder)))


def _streams(folder: Path) -> list[Path]:
    return [folder / "stdout.txt", folder / "stderr.txt"]


def _work(work: Callable[[], int | None], streams: list[Path]) -> None:
    """Never returns: what comes after it is the work of the process that was copied."""
    code = 99
    try:
        for number, path in enumerate(streams, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        for name in ("SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        code = work() or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def killed_at_call(work: Callable[[], Any], number: int | None) -> Callable[[], None]:
    """The work, during which the process is killed at the n-th call of any function; without a
    number it ends and prints how many calls there were."""

    def traced() -> None:
        calls = 0

        def tick(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            if event in ("call", "c_call"):
                calls += 1
                if calls == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(tick)
        try:
            work()
        finally:
            sys.setprofile(None)
        print(f"calls {calls}")

    return traced


def abandoned(folder: Path) -> Path:
    """A name in a folder, of what a process that is gone had not finished."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return folder / f".partial-{socket.gethostname()}-{pid}-x"
