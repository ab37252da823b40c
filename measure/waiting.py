"""Which side of a run waits for the other: its network, or the processes that read frames."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from common.process import usable_cores

# The network waits for more than this share of a run of so many seconds: its user is told.
_SHARE, _SECONDS = 0.2, 30.0


class Waiting:
    """The time that passes until batches are there, and until they are dealt with.

    seconds: from the start to the last batch that was dealt with.
    computed: those of them in which batches were dealt with.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic):
        """Starts now. workers: number of processes that read; 0: that of the network does it."""
        self.workers, self.clock = workers, clock
        self.began = clock()
        self.seconds = self.computed = 0.0

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """A block in which a batch is dealt with."""
        came = self.clock()
        yield
        self.computed += self.clock() - came
        self.seconds = self.clock() - self.began

    @property
    def share(self) -> float:
        """Of the time until batches were there, in 0..1."""
        return 1 - self.computed / self.seconds if self.seconds else 0.0

    @property
    def _percent(self) -> str:
        return f"{100 * self.share:.0f} %"

    def __str__(self) -> str:
        """Which side waits, in a few words for a progress bar."""
        if not self.workers:
            return f"reading {self._percent}"
        return f"network waits {self._percent}" if self.share > _SHARE else "readers wait"

    @property
    def advice(self) -> str:
        """What would make the run faster, in sentences; empty unless frames came too slowly."""
        if self.share <= _SHARE or self.seconds <= _SECONDS:
            return ""
        cores = usable_cores()
        return (
            f"frames came too slowly: the network waited for them in {self._percent} of "
            f"{self.seconds:.0f} seconds. "
            + (
                f"Give more `num_workers` than {self.workers} (there are {cores} cores)"
                if self.workers < cores
                else "Smaller image files (down to the size that the network sees), or a faster "
                "disk, would help"
            )
        )
