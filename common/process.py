"""An entry point as a process: its exit code, its streams, and the signals that end it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from utils import UserError, as_options, is_out_of_memory


class Ended(KeyboardInterrupt):
    """The system asks the process to end.

    signal: with which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


def run_script(main: Callable[[], int | None]) -> int:
    """Exit code of an entry point: its own or 0; 2 after an error that a user can mend, shown
    without a traceback; 1 after any other one; 128 and the signal after Ctrl-C, SIGTERM or SIGHUP.

    Whatever becomes of the reader of its output, the entry point runs to its end.
    """
    _keep_streams_open()
    _end_in_order()
    try:
        return main() or 0
    except KeyboardInterrupt as stop:
        number = getattr(stop, "signal", signal.SIGINT)
        what = (
            "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        )
        _complain(f"\n{what}. {stop}".rstrip(), stop)
        return 128 + number
    except Exception as error:
        return report(error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def report(error: Exception, of: str = "") -> int:
    """Show an error as an entry point does that it ends; returns the exit code.

    of: what it happened to.
    """
    where, code = f"error: {of}: " if of else "error: ", exit_code(error)
    if code == 2:
        _complain(f"{where}{in_a_sentence(error)}", error)
        return code
    traceback.print_exception(error)
    notes = error if sys.version_info < (3, 11) else None  # else they are shown already
    _complain(f"{where}this is a mistake in the toolkit: report it with the lines above", notes)
    return code


def exit_code(error: Exception) -> int:
    """2 for an error that a user can mend, 1 for any other one."""
    users = isinstance(error, UserError | OSError | UnicodeError) or is_out_of_memory(error)
    return 2 if users else 1


def _complain(text: str, error: BaseException | None = None) -> None:
    """Print a message, and the notes of an error below it, for the command line."""
    notes = getattr(error, "__notes__", ())
    print(as_options("\n".join([text, *notes])), file=sys.stderr)


def in_a_sentence(error: Exception) -> str:
    """What an error says to a user: of one that the system raised, the path and why."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return f"{' and '.join(names) or 'a file'}: {error.strerror}"
    if isinstance(error, UnicodeError):
        return f"a name or a text that is not valid in this environment's encoding: {error}"
    if is_out_of_memory(error):
        return (
            "out of memory: give a smaller `batch_size` or `image_size`, or fewer `num_workers`. "
            f"{error}"
        ).rstrip()
    return f"{type(error).__name__}: {error}"


def _end_in_order() -> None:
    """Let SIGTERM, and the end of a terminal, end the process as Ctrl-C does."""

    def end(number: int, frame: Any) -> None:
        raise Ended(number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # SIGHUP is ignored where nohup has it so.
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, end)


class _Lasting:
    """A stream of text that outlives its reader: what nobody reads any more is dropped."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        self._whatever_happens(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Write what is waiting."""
        self._whatever_happens(self._stream.flush)

    def _whatever_happens(self, call: Callable[..., Any], *given: Any) -> None:
        try:
            call(*given)
        except (OSError, ValueError):  # such as a closed pipe, a full disk, a closed stream
            with contextlib.suppress(OSError, ValueError):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, self._stream.fileno())
                os.close(nothing)


def _keep_streams_open() -> None:
    """Give a process output and error streams that can be written to, whatever happens to those
    that it was started with, and whatever characters their encoding lacks."""
    # Else the next file that is opened takes the number of a closed stream, and with it what C
    # libraries write there.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _Lasting):
            continue
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        with contextlib.suppress(AttributeError, OSError, ValueError):  # no file of the system
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Lasting(stream))
