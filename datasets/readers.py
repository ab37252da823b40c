"""Processes that read clips beside this one, each through a pipe of its own.

Nothing goes through shared memory, which is small in containers. A process that dies is noticed at
once, with the clip that it was on, and one that hangs after `PATIENCE`.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import queue
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils import UserError, is_out_of_memory

# Seconds to wait for the clips of one source.
PATIENCE = 300.0
_SLICES = 30
# How many readings a process may be ahead.
_AHEAD = 2


class ReaderError(UserError):
    """A process that reads clips has died, hangs, or cannot be started."""


@dataclass(frozen=True)
class Failure:
    """An error in another process that nobody expected.

    text: its traceback.
    """

    text: str


class _Process:
    """One process, and this process's end of its pipe."""

    def __init__(self, read: Callable[[Any], Any]):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_serve, args=(theirs, read), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, task: Any, name: str) -> Any:
        """What the process reads for a task. Raises ReaderError if it dies or hangs meanwhile."""
        try:
            _send(self.pipe, _packed(task))
            # In slices: a whole process that was stopped for a while has not waited.
            if not any(wait([self.pipe], PATIENCE / _SLICES) for _ in range(_SLICES)):
                self.process.kill()
                raise ReaderError(
                    f"nothing was read in {PATIENCE:.0f} seconds: {name}. Is its disk or server "
                    "reachable? Give `num_workers` 0 to read in the main process"
                )
            return _with_tensors(_received(self.pipe))
        except (EOFError, OSError):  # the pipe was closed at the other end
            self.process.join(5)
            code = self.process.exitcode
            raise ReaderError(
                f"a process that reads frames was ended by signal {-code} while it read {name}: is "
                "memory short? Give fewer `num_workers`, or 0 to read in the main process"
                if code and code < 0
                else f"a process that reads frames has ended itself with exit code {code} while it "
                f"read {name}: does the network's preprocessing end it? If it could not start, see "
                "above, and give `num_workers` 0"
            ) from None

    def end(self) -> None:
        """End the process, whatever it does: who waits for it is told."""
        self.process.terminate()

    def close(self) -> None:
        """Give up the pipe, once nobody waits for it."""
        self.end()
        self.process.join(5)
        if self.process.is_alive():  # which Python would wait for at its end, for ever
            self.process.kill()
            self.process.join(5)
        self.pipe.close()


def in_order(
    read: Callable[[Any], Any],
    tasks: Iterable[Any],
    name: Callable[[Any], str],
    processes: int,
    then: Callable[[Any], Any] | None = None,
) -> Generator[tuple[Any, Any], None, None]:
    """Every task and `read` of it, in order, by so many processes; by this one, where there are
    none.

    tasks: asked for as they are needed, a few ahead.
    name: what a task reads, for messages.
    then: what this process does with what was read; ahead, in threads, where others read.

    Raises ReaderError if a process dies, hangs or cannot be started.
    """
    remaining = iter(tasks)
    then = then or (lambda answer: answer)
    if not processes:
        yield from ((task, then(read(task))) for task in remaining)
        return
    first = list(itertools.islice(remaining, processes * _AHEAD))
    with contextlib.ExitStack() as until_done:
        readers = []
        for _ in first[:processes]:
            readers.append(_started(read))
            until_done.callback(readers[-1].close)
        idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for reader in readers:
            idle.put(reader)

        def ask(task: Any) -> Any:
            reader = idle.get()
            try:
                answer = reader.ask(task, name(task))
            finally:
                idle.put(reader)
            return then(answer)

        # Threads start after the processes, which may be copies of this one. They end before the
        # pipes are closed: the number of a closed pipe may be that of the next one.
        threads = ThreadPoolExecutor(processes)
        until_done.callback(threads.shutdown, wait=True, cancel_futures=True)
        for reader in readers:
            until_done.callback(reader.end)
        yield from _results(threads, ask, first, remaining)


def _results(
    threads: ThreadPoolExecutor,
    ask: Callable[[Any], Any],
    first: Sequence[Any],
    remaining: Iterator[Any],
) -> Iterator[tuple[Any, Any]]:
    """Every task and its answer, in order; as many as in `first` are asked for ahead."""
    waiting: deque[tuple[Any, Future]] = deque((task, threads.submit(ask, task)) for task in first)
    while waiting:
        task, future = waiting.popleft()
        result = future.result()
        for another in itertools.islice(remaining, 1):
            waiting.append((another, threads.submit(ask, another)))
        if isinstance(result, Failure):
            raise RuntimeError(f"in a process that reads clips:\n{result.text}")
        yield task, result


def _started(read: Callable[[Any], Any]) -> _Process:
    try:
        return _Process(read)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ReaderError(
            f"what reads the clips cannot be sent to another process ({error}): give "
            "`num_workers` 0, or define the network's preprocessing at the top of its file"
        ) from None
    except OSError as error:
        raise ReaderError(
            f"no process that reads clips can be started ({error}): give `num_workers` 0"
        ) from None


def _serve(pipe: Connection, read: Callable[[Any], Any]) -> None:
    """Answer tasks until the main process ends or has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and callable(signal.getsignal(number)):  # nohup's stays
            signal.signal(number, signal.SIG_DFL)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent
    while pipe in wait([pipe, parent.sentinel]):
        try:
            _send(pipe, _answer(read, _received(pipe)))
        except (EOFError, OSError):
            break
    os._exit(0)  # what this process was copied with is not its own to clean up


@dataclass(frozen=True)
class _Packed:
    """A value as bytes.

    head: all but the contents of arrays, pickled.
    arrays: their contents, where they lie.
    """

    head: bytes
    arrays: list[memoryview]


def _packed(value: Any) -> _Packed:
    """A value for a pipe, whose own `send` would put tensors into shared memory."""
    arrays: list[pickle.PickleBuffer] = []
    # Without `readv` (Windows), arrays are pickled with the rest.
    apart = arrays.append if hasattr(os, "readv") else None
    head = pickle.dumps(value, protocol=5, buffer_callback=apart)
    return _Packed(head, [array.raw() for array in arrays])


def _send(pipe: Connection, packed: _Packed) -> None:
    """Send the arrays from where they lie: each copy of them takes longer than the pipe."""
    sizes = [array.nbytes for array in packed.arrays]
    pipe.send_bytes(pickle.dumps((packed.head, sizes)))
    for array in packed.arrays:
        while array.nbytes:
            array = array[os.write(pipe.fileno(), array) :]


def _received(pipe: Connection) -> Any:
    """What `_send` has sent. Raises EOFError where the pipe ends before."""
    head, sizes = pickle.loads(pipe.recv_bytes())
    return pickle.loads(head, buffers=[_array(pipe, size) for size in sizes])


def _array(pipe: Connection, size: int) -> np.ndarray:
    """So many bytes of a pipe, read to where they stay."""
    array = np.empty(size, np.uint8)
    rest = array.data
    while rest.nbytes:
        count = os.readv(pipe.fileno(), [rest])
        if not count:
            raise EOFError
        rest = rest[count:]
    return array


def _answer(read: Callable[[Any], Any], task: Any) -> _Packed:
    try:
        return _packed(_without_tensors(read(task)))
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            return _packed(
                ReaderError(
                    "out of memory in a process that reads frames: give fewer `num_workers`, or a "
                    "smaller `image_size`"
                )
            )
        return _packed(Failure(traceback.format_exc()))


def _without_tensors(value: Any) -> Any:
    """The same with arrays in place of tensors, which would be sent through shared memory."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return [_without_tensors(part) for part in value] if isinstance(value, list) else value


def _with_tensors(value: Any) -> Any:
    """The same with tensors in place of arrays."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return [_with_tensors(part) for part in value] if isinstance(value, list) else value
