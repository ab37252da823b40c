"""The C library's memory: kept for the next forward, or given back after every one.

By default glibc maps each large block of memory anew and gives it back when it is freed; a forward
on the CPU then waits for the kernel to clear its activations, up to half of its time.
"""

from __future__ import annotations

import ctypes
import functools

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
