"""Whatever ends a run early, what is kept is said, how to go on, and in what code it ends."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import shlex
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from common.process import Ended, run_script
from config import Config
from datasets import video_clips
from datasets.batches import read_frame
from datasets.readers import ReaderError
from measure import folder as folders
from measure.lock import held
from models import forwards
from results import store as stores
from tests import helpers_runs
from tests.helpers_processes import forked, needs_fork
from tests.helpers_runs import as_argv, notes, options
from utils import UserError, WriteError

data, without_figures = helpers_runs.videos, helpers_runs.without_figures


def after(calls: int, function: Callable, error: BaseException) -> Callable:
    """A function that fails from its n-th call on."""
    done = []

    def fails(*given, **named):
        done.append(1)
        if len(done) > calls:
            raise error
        return function(*given, **named)

    return fails


def ended_by(monkeypatch, error: BaseException, data: Path, place: Path) -> BaseException:
    """What a run raises whose third forward (the second of the first batch is a check) fails so."""
    fails = after(3, forwards.stage_features, error)
    monkeypatch.setattr(forwards, "stage_features", fails)
    with pytest.raises(BaseException) as stop:  # noqa: PT011
        main.measure(Config(**options(data, place, batch_size=4)))
    monkeypatch.undo()
    return stop.value


NO_MEMORY = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 7 bytes")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ZeroDivisionError("by zero"), ZeroDivisionError, "by zero"),
        (RuntimeError("shapes"), RuntimeError, "shapes"),
        (NO_MEMORY, UserError, r"out of memory in a forward of 1 clip: .*`image_size`"),
        (torch.OutOfMemoryError("CUDA"), UserError, r"out of memory in a forward of 1 clip"),
        (MemoryError(), UserError, "out of memory in a forward of 1 clip"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (Ended(signal.SIGTERM), Ended, ""),
        (SystemExit(0), UserError, r"ended the process: sys\.exit\(0\)"),
        (OSError(errno.EIO, "Input/output error"), OSError, "Input/output"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_error_in_a_forward(data, tmp_path, monkeypatch, error, kind, words):
    stop = ended_by(monkeypatch, error, data, tmp_path)
    assert isinstance(stop, kind)
    assert re.search(words, str(stop))
    assert notes(stop).startswith("8 of 20 clips are kept; finish with the same command, or ")
    # What is advised works.
    main.main(["--resume", str(tmp_path / "demo_motion_plain_seed1")])


def test_advice_can_be_pasted(data, tmp_path, monkeypatch):
    place = tmp_path / "it's a $folder"
    stop = ended_by(monkeypatch, KeyboardInterrupt(), data, place)
    command = notes(stop).partition("python main.py ")[2]
    main.main(shlex.split(command))
    assert (place / "demo_motion_plain_seed1" / "layerwise.csv").exists()


def test_full_disk_while_features_are_written(data, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "5.npy")
    monkeypatch.setattr(stores, "write_rows", after(14, stores.write_rows, full))
    with pytest.raises(OSError, match="No space left") as stop:
        main.measure(Config(**options(data, tmp_path, batch_size=4)))
    assert "8 of 20 clips are kept" in notes(stop.value)
    monkeypatch.undo()
    main.measure(Config(**options(data, tmp_path, batch_size=4)))


def test_full_disk_while_tables_are_written(data, tmp_path, monkeypatch):
    full = WriteError("units.csv cannot be written: No space left on device")
    monkeypatch.setattr(folders, "write_tables", after(0, folders.write_tables, full))
    with pytest.raises(WriteError, match="No space left") as stop:
        main.measure(Config(**options(data, tmp_path)))
    assert "20 of 20 clips are kept; finish with the same command" in notes(stop.value)


@needs_fork
def test_killed_reader(data, tmp_path, monkeypatch):
    def deadly(path: Path) -> np.ndarray:
        if path.parts[-2] == "dance":
            os.kill(os.getpid(), signal.SIGKILL)
        return read_frame(path)

    context = multiprocessing.get_context("fork")  # with what is patched here
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    monkeypatch.setattr(video_clips, "read_frame", deadly)
    with pytest.raises(ReaderError, match=r"by signal 9 while it read video dance \(style") as stop:
        main.measure(Config(**options(data, tmp_path, batch_size=1, num_workers=1)))
    assert re.match(r"\d+ of 20 clips are kept", notes(stop.value))


class TestProcess:
    """As a process: its exit code, and what a user sees."""

    def network(self, folder: Path, does: str) -> str:
        """A file with a network that does something when it sees its third batch."""
        (folder / "own_net.py").write_text(
            "import os, signal, sys\n"
            "from torch import nn\n"
            "class Net(nn.Sequential):\n"
            "    n = 0\n"
            "    def forward(self, x):\n"
            "        Net.n += len(x) == 4 and bool(x.any())\n"
            f"        if Net.n == 3: {does}\n"
            "        return super().forward(x)\n"
            "def build():\n"
            "    return Net(nn.Conv3d(3, 4, 3)), {'frames': 4, 'crop': 32}\n"
        )
        return f"{folder}/own_net.py:build"

    def run(self, data: Path, tmp_path: Path, does: str):
        given = options(data, tmp_path / "runs", batch_size=4, run_name="run", pairing="sampled")
        given = {k: v for k, v in given.items() if k not in ("checkpoint", "image_size")}
        argv = as_argv({**given, "model": self.network(tmp_path, does), "n_examples": 12})
        return forked(lambda: run_script(lambda: main.main(argv)), tmp_path)

    @needs_fork
    @pytest.mark.parametrize(
        ("does", "code", "words"),
        [
            ("os.kill(os.getpid(), signal.SIGTERM)", 143, "\nended by SIGTERM.\n"),
            ("os.kill(os.getpid(), signal.SIGHUP)", 129, "\nended by SIGHUP.\n"),
            ("os.kill(os.getpid(), signal.SIGINT)", 130, "\ninterrupted.\n"),
            ("raise KeyboardInterrupt", 130, "\ninterrupted.\n"),
            (
                "sys.exit(0)",
                2,
                "error: the network cannot take clips [4, 3, 4, 32, 32]: SystemExit",
            ),
            ("sys.exit()", 2, "SystemExit"),
            ("1 / 0", 2, "ZeroDivisionError"),
            ("raise MemoryError", 2, "out of memory in a forward of 1 clip"),
        ],
    )
    def test_end_in_a_forward(self, data, tmp_path, does, code, words):
        ended = self.run(data, tmp_path, does)
        assert ended.code == code
        assert words in ended.err
        assert "Traceback" not in ended.err
        assert "8 of " in ended.err
        advice = f"finish with the same command, or python main.py --resume {tmp_path}/runs/run"
        assert f"clips are kept; {advice}" in ended.err
        assert not (tmp_path / "runs" / "run" / "layerwise.csv").exists()

    @needs_fork
    def test_signal_that_is_ignored_stays_ignored(self, data, tmp_path):
        """As `nohup` has it."""
        argv = as_argv({**options(data, tmp_path), "n_examples": 4})

        def measured() -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            main.main(argv)

        def with_nohup() -> int:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            return run_script(measured)

        ended = forked(with_nohup, tmp_path)
        assert ended.code == 0, ended.err


class TestLock:
    @needs_fork
    def test_second_of_two_runs_is_refused_by_process_and_host(self, data, tmp_path, monkeypatch):
        config = Config(**options(data, tmp_path, batch_size=4))
        ended_by(monkeypatch, KeyboardInterrupt(), data, tmp_path)
        folder = tmp_path / "demo_motion_plain_seed1"
        with held(folder):
            ended = forked(lambda: run_script(lambda: main.measure(config) and None), tmp_path)
        assert ended.code == 2
        host = os.uname().nodename
        words = rf"error: {folder} is in use: process {os.getpid()} on {host} works there\. Wait "
        assert re.search(words, ended.err)
        assert not (folder / ".lock").exists()
        main.measure(config)

    @needs_fork
    def test_end_of_a_process_frees_its_folder(self, tmp_path):
        def holds() -> None:
            with held(tmp_path):
                os.kill(os.getpid(), signal.SIGKILL)

        (tmp_path / "streams").mkdir()
        assert forked(holds, tmp_path / "streams").code == -9
        with held(tmp_path):
            assert (tmp_path / ".lock").exists()

    @needs_fork
    def test_file_that_takes_no_byte_is_held_all_the_same(self, tmp_path):
        def holds() -> None:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            with held(tmp_path) as alone:
                assert alone

        (tmp_path / "streams").mkdir()
        assert forked(holds, tmp_path / "streams").code == 0
        assert not (tmp_path / ".lock").exists()

    def test_folder_that_cannot_be_written_to_needs_none(self, tmp_path, monkeypatch):
        def fails(*given, **named):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(Path, "open", fails)
        with held(tmp_path):
            pass
        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []


class TestReadOnly:
    """All is intact, and that is what is said."""

    def test_resumption_is_refused_without_a_word_of_damage(self, data, tmp_path, monkeypatch):
        config = Config(**options(data, tmp_path, run_name="run"))
        main.measure(config)
        before = helpers_runs.contents(tmp_path)
        folder = tmp_path / "run"
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: folder != path and access(path, mode))
        with pytest.raises(UserError) as refusal:
            main.main(["--resume", str(folder)])
        assert re.search(
            r"cannot be written to\. What is in .*run is as it was", str(refusal.value)
        )
        assert "damaged" not in str(refusal.value)
        assert helpers_runs.contents(tmp_path) == before


def test_what_a_killed_run_had_not_finished_goes(data, tmp_path, monkeypatch):
    ended_by(monkeypatch, KeyboardInterrupt(), data, tmp_path)
    folder = tmp_path / "demo_motion_plain_seed1"
    (folder / ".partial-abc.csv").write_text("half")
    (folder / "features" / ".partial-abc.npy").write_text("half")
    (folder / ".partial-folder").mkdir()
    host, no_process = socket.gethostname(), 2**22 + 1
    (tmp_path / f".partial-{host}-{no_process}-abc").mkdir()
    (tmp_path / f".partial-{host}-{os.getpid()}-of_another").mkdir()
    (tmp_path / f".partial-elsewhere-{no_process}-abc").mkdir()
    main.measure(Config(**options(data, tmp_path, batch_size=4)))
    left = {path.name for path in tmp_path.rglob(".*")}
    assert left == {  # those that may be of a process that is still there
        f".partial-{host}-{os.getpid()}-of_another",
        f".partial-elsewhere-{no_process}-abc",
    }
