"""Several processes on one run: copies of this one, with the environment that torchrun sets."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch.distributed  # noqa: F401  before processes are copied, which need it

from datasets import chunks, video_clips
from datasets.batches import read_frame
from measure import assist
from measure.ranks import joining, keys
from tests.helpers_processes import Ended, ended, started

Work = Callable[[], int | None]


@pytest.fixture(autouse=True)
def soon(monkeypatch) -> None:
    """Processes that have died are noticed in two seconds, nobody lingers, and chunks are small, so
    that there is one for everybody."""
    monkeypatch.setattr(chunks, "_CLIPS", 2)
    for module in (keys, joining):
        monkeypatch.setattr(module, "BEAT", 0.25)
    monkeypatch.setattr(assist, "_LAST_WORDS", 0)
    monkeypatch.setattr(joining, "PATIENCE", 30.0)
    monkeypatch.setattr(joining, "PARTING", 5.0)


def let_take_most(monkeypatch, rank: int) -> None:
    """The other processes read slowly, so that this one has much to do."""

    def slow(path: Path) -> np.ndarray:
        if os.environ.get("RANK") not in (None, str(rank)):
            time.sleep(0.03)
        return read_frame(path)

    monkeypatch.setattr(video_clips, "read_frame", slow)


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """The variables of a process of a team."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def in_ranks(works: Sequence[Work], folder: Path, all_die: bool = False) -> list[Ended]:
    """Do some work in each of as many processes of a team; returns how they end.

    all_die: whether all are killed as soon as one was.
    """
    port, pids, streams = free_port(), [], []
    for rank, work in enumerate(works):
        streams.append(folder / f"rank{rank}")
        streams[-1].mkdir(exist_ok=True, parents=True)
        place = environment(rank, len(works), port)
        pids.append(
            started(lambda place=place, work=work: os.environ.update(place) or work(), streams[-1])
        )
    if all_die:
        first = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if first and first.si_status == signal.SIGKILL:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
    return [ended(pid, place) for pid, place in zip(pids, streams, strict=True)]
