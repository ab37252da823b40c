"""Which side waits: what the progress bar says, and the advice at the end of a run."""

from __future__ import annotations

import io
import sys

import pytest
import torch

from common.process import usable_cores
from datasets.batches import Batch
from datasets.video_plan import Clip
from measure import waiting as waiting_module
from measure.filling import fill_store
from measure.left_out import Policy
from measure.waiting import Waiting
from results.store import FeatureStore

CLIPS = [Clip(video, "1", 0) for video in "abc"]


class Clock:
    """A clock that stands still but where it is told to go on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """A network that takes some seconds for a batch."""

    def __init__(self, clock: Clock, seconds: float):
        self.clock, self.seconds = clock, seconds

    def features(self, inputs):
        self.clock.now += self.seconds
        return {"1": inputs[0].numpy()}

    def require_steady(self, inputs, features):
        pass

    def require_as_plain(self, inputs, features):
        """Its features are the plain ones."""


def batches(clock: Clock, seconds: float):
    """Three batches, for each of which so many seconds are read."""
    for clip in CLIPS:
        clock.now += seconds
        yield Batch([clip], [torch.ones(1, 2)])


def run(folder, *, reading: float, computing: float, workers: int = 2) -> Waiting:
    """What is known after a run of three batches."""
    clock = Clock()
    store = FeatureStore.create(folder, ["1"], [{"clip": str(clip)} for clip in CLIPS], {})
    waiting = Waiting(workers, clock)
    rows = {clip: (row,) for row, clip in enumerate(CLIPS)}
    network = Slow(clock, computing)
    fill_store(store, network, batches(clock, reading), rows, Policy(), waiting)
    return waiting


def test_seconds_are_those_of_each_side(tmp_path):
    waiting = run(tmp_path, reading=2, computing=3)
    assert (waiting.seconds, waiting.computed) == (15, 9)
    assert waiting.share == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("reading", "computing", "workers", "words"),
    [
        pytest.param(2, 3, 2, "network waits 40 %", id="slow reading"),
        pytest.param(1, 4, 2, "readers wait", id="20 %"),
        pytest.param(0, 4, 2, "readers wait", id="slow network"),
        pytest.param(1, 9, 0, "reading 10 %", id="one process for both"),
        pytest.param(0, 0, 2, "readers wait", id="no time at all"),
    ],
)
def test_the_bar_says_which_side_waits(tmp_path, monkeypatch, reading, computing, workers, words):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    run(tmp_path, reading=reading, computing=computing, workers=workers)
    last = sys.stderr.getvalue().rstrip().split("\r")[-1]
    assert "3/3" in last
    assert last.endswith(f", {words}]")


@pytest.mark.parametrize(
    ("workers", "cores", "words"),
    [
        (2, 8, "Give more --num_workers than 2 (there are 8 cores)"),
        (0, 2, "Give more --num_workers than 0 (there are 2 cores)"),
        (8, 8, "Smaller image files (down to the size that the network sees), or a faster disk"),
    ],
)
def test_advice_at_the_end_is_what_can_help(tmp_path, capsys, monkeypatch, workers, cores, words):
    monkeypatch.setattr(waiting_module, "usable_cores", lambda: cores)
    run(tmp_path, reading=10, computing=10, workers=workers)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("frames came too slowly: the network waited for them in 50 % of 60 sec")
    assert words in line


@pytest.mark.parametrize(
    ("reading", "computing"),
    [
        pytest.param(5, 5, id="30 seconds"),
        pytest.param(10, 40, id="20 %"),
    ],
)
def test_no_advice_after_a_short_run_or_little_waiting(tmp_path, capsys, reading, computing):
    run(tmp_path, reading=reading, computing=computing)
    assert capsys.readouterr().out == ""


def test_cores_are_those_that_this_process_may_use():
    assert usable_cores() >= 1
