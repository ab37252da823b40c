"""What processes of a team tell each other: numbers and texts by key.

For a team of one they are kept in memory. Else they are in a store of PyTorch's, which only a
thread of its own talks to: it shows the others that this process lives, looks after them, and
is given up where it gets no answer. So nobody waits for ever, and signals are always heard.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from typing import TYPE_CHECKING, Any, Protocol

from utils import UserError

if TYPE_CHECKING:
    from torch.distributed import Store

# Seconds from one sign of life to the next; how many times in a row one may be missing; seconds
# from one look at what others have told to the next.
BEAT, MISSES, POLL = 5.0, 8, 0.05


class Lost(UserError):
    """A process of the team that has died, or cannot be reached any more."""


class Called(KeyboardInterrupt):
    """The thread that watches the others calls the main one.

    trouble: why.
    unsteady: whether what was computed is not to be kept.
    """

    def __init__(self, trouble: UserError) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble
        self.unsteady: bool = getattr(trouble, "unsteady", False)


class Keys(Protocol):
    """Numbers and texts that all processes of a team see."""

    def add(self, key: str, number: int) -> int:
        """Add to a number, which is 0 at first; returns the sum."""

    def set(self, key: str, text: str) -> None:
        """Set a text."""

    def get(self, key: str) -> str | None:
        """A text; None if it is not set."""

    def set_at_last(self, key: str, text: str) -> None:
        """Set a text, whatever the trouble, if that can be done at once."""


class Memory:
    """Those of a process alone."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    def add(self, key: str, number: int) -> int:
        """Add to a number, which is 0 at first; returns the sum."""
        self._numbers[key] = self._numbers.get(key, 0) + number
        return self._numbers[key]

    def set(self, key: str, text: str) -> None:
        """Set a text."""
        self._texts[key] = text

    def get(self, key: str) -> str | None:
        """A text; None if it is not set."""
        return self._texts.get(key)

    set_at_last = set


class Shared:
    """Those in a store of PyTorch's.

    trouble: what is wrong in the team, once something is; raised by all methods then.
    """

    def __init__(self, store: Store, watch: Watch):
        self.trouble: UserError | None = None
        self._store, self._watch = Direct(store), watch
        self._asked: queue.SimpleQueue[tuple[Callable[[Direct], Any], Future]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._calling = threading.Lock()
        self._to_call: int | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def add(self, key: str, number: int) -> int:
        """Add to a number, which is 0 at first; returns the sum. Raises Lost without an answer."""
        return self._ask(lambda store: store.add(key, number))

    def set(self, key: str, text: str) -> None:
        """Set a text. Raises Lost without an answer."""
        self._ask(lambda store: store.set(key, text))

    def get(self, key: str) -> str | None:
        """A text; None if it is not set. Raises Lost without an answer."""
        return self._ask(lambda store: store.get(key))

    def set_at_last(self, key: str, text: str) -> None:
        """Set a text, whatever the trouble, if that can be done at once."""
        answer: Future = Future()
        self._asked.put((lambda store: store.set(key, text), answer))
        with contextlib.suppress(NoAnswer, RuntimeError):
            answer.result(timeout=1)

    def turn_to(self, run: int) -> None:
        """Look for trouble in a run; 0 for none. That of an earlier one is over, unless a process
        has died."""
        with self._calling:
            self._watch.run = run
            if not isinstance(self.trouble, Lost):
                self.trouble = None

    @contextlib.contextmanager
    def calling(self, run: int) -> Iterator[None]:
        """Inside the block, which the main thread runs, it is interrupted (`Called`) when there is
        trouble in a run, whatever it is doing."""
        self.turn_to(run)
        number = getattr(signal, "SIGURG", None)  # which does nothing unless it is asked for
        if number is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def called(*given: Any) -> None:
            if self._to_call is not None and self.trouble:
                self._to_call = None
                raise Called(self.trouble)

        before = signal.signal(number, called)
        self._to_call = threading.get_ident()
        try:
            if self.trouble:
                raise Called(self.trouble)
            yield
        finally:
            with self._calling:
                self._to_call = None
            signal.signal(number, before)

    def close(self) -> None:
        """End the thread, unless it waits for an answer that does not come."""
        self._closed.set()
        self._asked.put((lambda store: None, Future()))
        self._thread.join(2 * POLL + 1)

    def _ask(self, work: Callable[[Direct], Any]) -> Any:
        if self.trouble:
            raise self.trouble
        answer: Future = Future()
        self._asked.put((work, answer))
        try:
            return answer.result(timeout=BEAT * MISSES)
        except NoAnswer:
            self.trouble = Lost(f"no answer from the first process in {BEAT * MISSES:.0f} seconds")
        except RuntimeError as error:  # PyTorch's, for a connection that is broken
            self.trouble = self.trouble or _broken(error)
        raise self.trouble

    def _serve(self) -> None:
        next_beat = time.monotonic()
        while not self._closed.is_set():
            wait = next_beat - time.monotonic()
            with contextlib.suppress(queue.Empty):
                work, answer = self._asked.get(timeout=max(wait, 0.001))
                try:
                    answer.set_result(work(self._store))
                except Exception as error:
                    answer.set_exception(error)
            if time.monotonic() >= next_beat:
                self._look()
                next_beat = time.monotonic() + BEAT

    def _look(self) -> None:
        run = self._watch.run
        try:
            found = self._watch(self._store)
        except RuntimeError as error:  # PyTorch's, for a connection that is broken
            found = _broken(error)
        with self._calling:
            # What is of an earlier run is over; what is not will be found at the next look, too.
            if found is None or self.trouble or run != self._watch.run:
                return
            self.trouble = found
            if self._to_call is not None:
                signal.pthread_kill(self._to_call, signal.SIGURG)


class Watch(Protocol):
    """Tells the others that this process lives, and looks after them.

    run: number of the run that is being measured, 0 before the first.
    """

    run: int

    def __call__(self, keys: Direct) -> UserError | None:
        """What is wrong, if anything."""


class Direct:
    """Those in a store of PyTorch's, from the calling thread: RuntimeError where it is gone."""

    def __init__(self, store: Store):
        self._store = store

    def add(self, key: str, number: int) -> int:
        """Add to a number, which is 0 at first; returns the sum."""
        return self._store.add(key, number)

    def set(self, key: str, text: str) -> None:
        """Set a text."""
        self._store.set(key, text)

    def get(self, key: str) -> str | None:
        """A text; None if it is not set."""
        return self._store.get(key).decode() if self._store.check([key]) else None

    set_at_last = set


def _broken(error: Exception) -> Lost:
    return Lost(
        f"the first process, or what started it, cannot be reached any more ({_short(error)})"
    )


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
