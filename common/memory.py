"""The memory of the machine: what is left of it, and what this process keeps of what it frees.

By default glibc maps each large block of memory anew and gives it back when it is freed; a forward
on the CPU then waits for the kernel to clear its activations, up to half of its time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import sys
from pathlib import Path

# Parameters of mallopt, from malloc.h, and their values by default.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 * 1024}
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


def keep_memory(kept: bool) -> bool:
    """Let this process keep the memory that it frees, or give it back again (the default).

    Returns whether the C library is one that can be told (glibc). No result depends on it; with it,
    a process holds up to twice the memory.
    """
    mallopt = _mallopt()
    return mallopt is not None and all(
        mallopt(name, value) for name, value in (_KEPT if kept else _DEFAULT).items()
    )


@functools.cache
def _mallopt():
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # others may have a mallopt of no effect  # noqa: B018
        return library.mallopt
    except (OSError, AttributeError, TypeError):
        return None


def available_memory() -> int | None:
    """Bytes that a process can still have, of the machine and of its container; None where that
    cannot be told."""
    found = [_of_machine(), _of_container()]
    return min((n for n in found if n is not None), default=None)


def peak_memory() -> int:
    """The most bytes that this process has had; 0 where that cannot be told."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _of_machine() -> int | None:
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found[1]) * 1024 if found else None
    return None


def _of_container() -> int | None:
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no limit is a word
        most, now = ((group / f"memory.{name}").read_text() for name in ("max", "current"))
        return int(most) - int(now)
    return None
