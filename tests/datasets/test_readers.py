"""Processes that read clips: in order, ahead, and watched."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import torch

from datasets import readers
from datasets.readers import ReaderError, in_order
from utils import UserError

METHODS = multiprocessing.get_all_start_methods()


def video(task):
    return f"video {task}"


def double(task):
    return [torch.full((2, 3), 2.0 * task), [torch.tensor([task])], f"task {task}"]


def slow_first(task):
    time.sleep(0.2 if task == 0 else 0)
    return task


def dying(task, how):
    if task == 2:
        how()
    return task


def raising(task, error):
    if task == 2:
        raise error
    return task


def hanging(task):
    time.sleep(60 if task == 1 else 0)
    return task


def kill(number):
    os.kill(os.getpid(), number)


def leaving(task, folder):
    (Path(folder) / str(task)).touch()
    return task


def read(function, n=5, processes=2):
    with closing(in_order(function, range(n), video, processes)) as results:
        return [result for _, result in results]


@pytest.fixture(params=METHODS)
def method(request, monkeypatch):
    """Every way to start a process."""
    context = multiprocessing.get_context(request.param)
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    return request.param


@pytest.mark.parametrize("processes", [0, 1, 2, 5])
def test_results_come_in_order(processes):
    assert read(slow_first, processes=processes) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("processes", [0, 2])
def test_this_process_goes_on_with_what_was_read(processes):
    done = []

    def then(answer):
        done.append((os.getpid(), answer))
        return -answer

    with closing(in_order(slow_first, range(9), video, processes, then)) as results:
        found = [next(results)]
        for _ in range(2000):  # ahead of those that are asked for
            if not processes or len(done) == 5:
                break
            time.sleep(0.01)
        assert len(done) == (5 if processes else 1)
        found += results
    assert found == [(task, -task) for task in range(9)]
    assert sorted(done) == [(os.getpid(), task) for task in range(9)]


@pytest.mark.parametrize("processes", [0, 1])
def test_error_in_what_follows_a_reading_is_raised_here(processes):
    def full(answer):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with (
        pytest.raises(torch.OutOfMemoryError),
        closing(in_order(slow_first, range(3), video, processes, full)) as results,
    ):
        next(results)
    assert multiprocessing.active_children() == []


def test_tensors_come_back_whatever_starts_the_processes(method):
    for task, (x, (y,), text) in enumerate(read(double, n=3, processes=1)):
        assert torch.equal(x, torch.full((2, 3), 2.0 * task))
        assert (y.item(), text) == (task, f"task {task}")


def test_arrays_of_any_size_and_layout_come_back():
    for task, (empty, large, turned, text) in enumerate(read(layouts, n=3)):
        assert (empty.shape, empty.dtype) == ((0, 3), torch.uint8)
        assert torch.equal(large, torch.arange(task, task + 500_000))
        assert torch.equal(turned, torch.arange(6.0).reshape(2, 3).T)
        assert text == "x" * 100_000
        large += 1  # of this process alone, and not read-only


def layouts(task):
    """No bytes, more than a pipe holds at a time, and two layouts."""
    empty, large = torch.empty(0, 3, dtype=torch.uint8), torch.arange(task, task + 500_000)
    return [empty, large, torch.arange(6.0).reshape(2, 3).T, "x" * 100_000]


def test_process_that_dies_in_the_middle_of_an_array_is_named():
    with pytest.raises(ReaderError, match="with exit code 3 while it read video 1"):
        read(breaking_off, n=2, processes=1)


def breaking_off(task):
    """Its process ends after the first bytes of the next answer."""

    def send(pipe, packed):
        pipe.send_bytes(pickle.dumps((packed.head, [array.nbytes for array in packed.arrays])))
        os.write(pipe.fileno(), packed.arrays[0][:100])
        os._exit(3)

    readers._send = send
    return [torch.zeros(1000)]


def test_shared_memory_is_not_used(monkeypatch):
    """A small one, as in containers, makes tensors and queues hang that go through it."""
    for name in ("Queue", "SimpleQueue", "Lock", "Semaphore"):
        monkeypatch.setattr(multiprocessing, name, lambda *given: pytest.fail("shared memory"))
    assert len(read(big, n=2)) == 2


def big(task):
    """More than a pipe holds; fails if anything of this process lies in shared memory."""
    x = torch.zeros(300, 300, 30)
    assert not x.is_shared()
    return [x]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (partial(kill, signal.SIGKILL), "by signal 9 while it read video 2"),
        (partial(kill, signal.SIGUSR1), "by signal 10 while it read video 2"),
        (partial(os._exit, 0), "with exit code 0 while it read video 2"),
        (partial(os._exit, 3), "with exit code 3 while it read video 2"),
    ],
    ids=["killed", "ended", "left", "failed"],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_process_that_dies_is_named_with_its_clip(how, words, processes):
    with pytest.raises(ReaderError, match=words):
        read(partial(dying, how=how), processes=processes)


def test_readers_after_those_that_died_get_their_own_answers():
    for _ in range(10):
        with pytest.raises(ReaderError, match="video 2"):
            read(partial(dying, how=partial(os._exit, 3)), processes=1)
        assert read(slow_first, n=3, processes=1) == [0, 1, 2]


def test_process_that_hangs_is_not_waited_for_for_ever(monkeypatch):
    context = multiprocessing.get_context("fork")  # others take long to start
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    monkeypatch.setattr(readers, "PATIENCE", 0.5)
    began = time.monotonic()
    with pytest.raises(ReaderError, match=r"nothing was read in .* video 1\. .*`num_workers` 0"):
        read(hanging)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by zero"), SystemExit(0)], ids=["bug", "exit"]
)
def test_unexpected_error_keeps_its_traceback(error):
    with pytest.raises(RuntimeError, match=rf"(?s)in a process .*{type(error).__name__}"):
        read(partial(raising, error=error))


def test_lack_of_memory_is_a_users_error():
    (*_, result, _, _) = read(partial(raising, error=MemoryError()))
    assert isinstance(result, UserError)
    assert "fewer `num_workers`" in str(result)


def test_what_cannot_be_sent_is_refused(monkeypatch):
    monkeypatch.setattr(multiprocessing, "Process", multiprocessing.get_context("spawn").Process)
    with pytest.raises(ReaderError, match=r"cannot be sent to another process .*`num_workers` 0"):
        read(lambda task: task)


def test_process_that_cannot_be_started_is_refused(monkeypatch):
    def fails(self):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.Process, "start", fails)
    with pytest.raises(ReaderError, match=r"no process .* can be started .*`num_workers` 0"):
        read(double)


def stopping(task):
    os.kill(os.getpid(), signal.SIGSTOP)


def deaf(task):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


@pytest.mark.parametrize("function", [stopping, deaf])
def test_process_that_does_not_end_is_killed(monkeypatch, function):
    """Python would wait for it at its own end."""
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    monkeypatch.setattr(readers, "PATIENCE", 0.5)
    with pytest.raises(ReaderError, match="nothing was read"):
        read(function, n=2, processes=1)
    assert multiprocessing.active_children() == []


def learning(task):
    return [torch.ones(2, requires_grad=True) * task]


def test_tensors_that_learn_come_back():
    assert [x.tolist() for (x,) in read(learning, n=2)] == [[0, 0], [1, 1]]


def test_processes_end_with_their_reading(tmp_path):
    with closing(in_order(partial(leaving, folder=tmp_path), range(50), video, 2)) as results:
        assert next(results) == (0, 0)
        children = multiprocessing.active_children()
        assert len(children) == 2
    assert not any(child.is_alive() for child in children)
    assert len(list(tmp_path.iterdir())) < 50


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of Unix")
def test_processes_end_with_the_main_process(tmp_path):
    """Even if it is killed: no reader goes on for itself."""
    code = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import multiprocessing
from datasets.readers import in_order
def read(task):
    return task
if __name__ == "__main__":
    results = in_order(read, range(5), str, 2)
    next(results)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), 9)
"""
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() and _alive(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail("a reader is still there")


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except FileNotFoundError:
        return False
