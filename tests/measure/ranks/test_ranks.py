"""Several processes on one run: the same files, whoever computes what, and whoever is killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import main
from common.process import run_script
from measure.loaded import LoadedNetwork
from measure.run import Run
from tests import helpers_ranks, helpers_runs, helpers_vos
from tests.helpers_processes import Ended, killed_at_call, needs_fork
from tests.helpers_ranks import in_ranks, let_take_most
from tests.helpers_runs import as_argv, options
from tests.measure.test_kills import results
from utils import UserError

data, without_figures = helpers_runs.videos, helpers_runs.without_figures
trees, tiny = helpers_vos.trees, helpers_vos.tiny
soon = helpers_ranks.soon

pytestmark = needs_fork
ROOT = Path(__file__).parents[3]
# Of so many points at which one process, or all, are killed: 20 in all, of both tasks.
KILLS = 5


def script(argv: list[str]) -> Callable[[], int]:
    return lambda: run_script(lambda: main.main(argv))


@pytest.fixture(params=["recognition", "segmentation"])
def argv(request, data, trees, tmp_path) -> Callable[[str], list[str]]:
    """The command line of a run in a folder of some name."""

    def of(name: str) -> list[str]:
        if request.param == "recognition":
            return as_argv(options(data, tmp_path / name, batch_size=2))
        return helpers_vos.as_argv(helpers_vos.quick(trees, tmp_path / name, batch_size=2))

    return of


@pytest.fixture
def whole(argv, tmp_path) -> dict[str, bytes]:
    """All that one process leaves."""
    main.main(argv("whole"))
    return results(tmp_path / "whole")


def test_number_of_processes_changes_no_byte(argv, whole, tmp_path):
    for size in (2, 3):
        ends = in_ranks([script(argv(f"ranks{size}"))] * size, tmp_path / "streams")
        assert [end.code for end in ends] == [0] * size, ends
        assert results(tmp_path / f"ranks{size}") == whole
        assert all(end.out == end.err == "" for end in ends[1:]), ends
        assert "20 distinct clips" in ends[0].out or "StylizedDAVIS" in ends[0].out


@pytest.mark.parametrize("all_die", [False, True], ids=["one", "all"])
def test_killed_at_any_point_it_goes_on_to_the_same_bytes(argv, whole, tmp_path, all_die):
    streams = tmp_path / "streams"
    counted = [killed_at_call(script(argv("counted")), None)] * 2
    calls = [int(end.out.split()[-1]) for end in in_ranks(counted, streams)]
    rng, died = np.random.default_rng(int(all_die)), 0
    for number in range(KILLS):
        rank = number % 2
        works = [script(argv(f"killed{number}"))] * 2
        point = int(rng.integers(1, calls[rank]))
        works[rank] = killed_at_call(works[rank], point)
        ends = in_ranks(works, streams, all_die)
        died += ends[rank].code == -signal.SIGKILL
        assert ends[1 - rank].code == 0 if ends[rank].code == 0 else ends[1 - rank].code != 0
        if number < 3:
            main.main(argv(f"killed{number}"))
        else:
            ends = in_ranks([script(argv(f"killed{number}"))] * 3, streams)
            assert [end.code for end in ends] == [0] * 3, ends
        place = tmp_path / f"killed{number}"
        assert results(place) == whole, f"rank {rank} of 2, call {point} of {calls[rank]}"
        assert not [*place.rglob(".*"), *place.rglob("*.journal")]
    assert died >= KILLS - 1


class TestEnds:
    """Whatever stops one process is said once, and stops the others."""

    @pytest.fixture
    def chosen(self, data, tmp_path) -> dict:
        return options(data, tmp_path / "runs", batch_size=1, run_name="run")

    def ranks(self, tmp_path: Path, *chosen: dict) -> list[Ended]:
        return in_ranks([script(as_argv(one)) for one in chosen], tmp_path / "streams")

    def at_third(self, monkeypatch, does: Callable[[], None], rank: int) -> None:
        """Something happens in the third forward of one process."""
        let_take_most(monkeypatch, rank)
        features, seen = LoadedNetwork.features, []

        def deadly(network, inputs):
            seen.append(1)
            if os.environ.get("RANK") == str(rank) and len(seen) == 3:
                does()
            return features(network, inputs)

        monkeypatch.setattr(LoadedNetwork, "features", deadly)

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def test_process_that_dies(self, chosen, tmp_path, monkeypatch):
        self.at_third(monkeypatch, self.kill, rank=1)
        first, second = self.ranks(tmp_path, chosen, chosen)
        assert (first.code, second.code) == (2, -9)
        words = r"error: the process of rank 1 \(process \d+ on \S+\) has died: nothing was heard "
        assert re.search(words, first.err), first.err
        assert re.search(r"\n\d+ of 20 clips are kept; finish with the same command, or", first.err)

    def test_first_process_that_dies(self, chosen, tmp_path, monkeypatch):
        self.at_third(monkeypatch, self.kill, rank=0)
        ends = self.ranks(tmp_path, chosen, chosen, chosen)
        assert [end.code for end in ends] == [-9, 2, 2]
        for end in ends[1:]:
            assert "error: the first process, or what started it, cannot be reached" in end.err
            assert "Traceback" not in end.err

    @pytest.mark.parametrize(
        ("error", "codes", "words"),
        [
            (MemoryError(), [2, 2], "cannot go on: out of memory: give a smaller"),
            (ZeroDivisionError("by zero"), [2, 1], "was ended by ZeroDivisionError"),
            (KeyboardInterrupt(), [2, 130], "was ended by KeyboardInterrupt"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_error(self, chosen, tmp_path, monkeypatch, error, codes, words):
        self.at_third(monkeypatch, lambda: (_ for _ in ()).throw(error), rank=1)
        first, second = self.ranks(tmp_path, chosen, chosen)
        assert [first.code, second.code] == codes
        assert re.search(rf"error: rank 1 \(process \d+ on \S+\) {words}", first.err), first.err
        assert "of 20 clips are kept" in first.err
        assert second.err == "" or codes[1] != 2

    def test_refusal_is_printed_once(self, chosen, tmp_path):
        wrong = {**chosen, "styles": ("1", "7")}
        first, second = self.ranks(tmp_path, wrong, wrong)
        assert (first.code, second.code) == (2, 2)
        assert "error: " in first.err
        assert (second.out, second.err) == ("", "")
        assert not (tmp_path / "runs").exists()

    def test_other_weights_are_refused(self, chosen, tmp_path, monkeypatch):
        """As where each machine has files of its own."""
        weights = Run.weights.func
        other = lambda run: weights(run) + os.environ.get("RANK", "")  # noqa: E731
        monkeypatch.setattr(Run, "weights", property(other))
        first, second = self.ranks(tmp_path, chosen, chosen)
        assert (first.code, second.code) == (2, 2)
        words = "cannot go on: it measures with other weights than the first one: give all"
        assert re.search(words, first.err), first.err
        assert second.err == ""

    def test_options_are_those_of_the_first_process(self, chosen, tmp_path):
        ends = self.ranks(tmp_path, chosen, {**chosen, "random_seed": 2})
        assert [end.code for end in ends] == [0, 0]

    def test_one_run_of_a_sweep_that_fails_does_not_end_the_others(
        self, chosen, tmp_path, monkeypatch
    ):
        del chosen["run_name"]
        main.main(as_argv({**chosen, "save_dir": tmp_path / "alone", "random_seed": 2}))
        features = LoadedNetwork.features

        def failing(network, inputs):
            if os.environ.get("RANK") == "1" and not (tmp_path / "failed").exists():
                (tmp_path / "failed").touch()
                raise UserError("no more")
            return features(network, inputs)

        monkeypatch.setattr(LoadedNetwork, "features", failing)
        let_take_most(monkeypatch, 1)
        several = {**chosen, "random_seed": "1,2"}
        first, second = self.ranks(tmp_path, several, several)
        assert (first.code, second.code) == (2, 2)
        assert re.search(r"rank 1 .* cannot go on: no more", first.err), first.err
        assert second.err == ""
        name = "demo_motion_plain_seed2"
        assert results(tmp_path / "runs" / name) == results(tmp_path / "alone" / name)

    def test_network_that_is_not_steady_leaves_nothing(self, chosen, tmp_path, monkeypatch):
        """Whichever process has noticed it."""
        original, seen = LoadedNetwork._guarded, []

        def changing(network, forward, inputs):
            seen.append(1)
            found = original(network, forward, inputs)
            changes = os.environ.get("RANK") == "1" and len(seen) > 4
            return {stage: x + changes for stage, x in found.items()}

        monkeypatch.setattr(LoadedNetwork, "_guarded", changing)
        let_take_most(monkeypatch, 1)
        ends = self.ranks(tmp_path, chosen, chosen, chosen)
        assert [end.code for end in ends] == [2, 2, 2]
        assert re.search(r"rank 1 .* cannot go on: stage '\w+': the features of", ends[0].err)
        assert not helpers_runs.done(tmp_path / "runs" / "run").any()
        assert not list((tmp_path / "runs").rglob("*.journal"))


class TestBadVideos:
    @pytest.fixture
    def broken(self, data, tmp_path, monkeypatch) -> Path:
        let_take_most(monkeypatch, 1)
        copy = Path(shutil.copytree(data, tmp_path / "videos"))
        for video in ("chess", "eggs"):
            for path in copy.glob(f"style_*/{video}/*"):
                path.write_bytes(b"broken")
        return copy

    def test_all_are_named_once(self, broken, tmp_path):
        argv = as_argv(options(broken, tmp_path / "runs", batch_size=1))
        ends = in_ranks([script(argv)] * 3, tmp_path / "streams")
        assert [end.code for end in ends] == [2, 2, 2]
        assert "error: 2 videos with a frame that cannot be read:\n  " in ends[0].err
        assert ends[1].err == ends[2].err == ""

    def test_those_left_out_are_as_with_one_process(self, broken, tmp_path):
        chosen = {"batch_size": 1, "on_bad_video": "skip", "max_bad": 50}
        main.main(as_argv(options(broken, tmp_path / "one", **chosen)))
        argv = as_argv(options(broken, tmp_path / "three", **chosen))
        ends = in_ranks([script(argv)] * 3, tmp_path / "streams")
        assert [end.code for end in ends] == [0, 0, 0], ends
        assert results(tmp_path / "three") == results(tmp_path / "one")

    def test_too_many(self, broken, tmp_path):
        argv = as_argv(options(broken, tmp_path / "runs", batch_size=1, on_bad_video="skip"))
        ends = in_ranks([script(argv)] * 2, tmp_path / "streams")
        assert [end.code for end in ends] == [2, 2]
        assert "2 of 5 videos (40 %) would be left out" in ends[0].err
        assert ends[1].err == ""


def test_torchrun(data, tmp_path, monkeypatch):
    """As a user starts it; threads are as many as in one process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    chosen = {"batch_size": 4, "stg": "5", "n_examples": 4, "parts": False}
    commands = {
        "one": [],
        "two": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    }
    for name, runner in commands.items():
        argv = as_argv(options(data, tmp_path / name, **chosen))
        done = subprocess.run(
            [sys.executable, *runner, str(ROOT / "main.py"), *argv],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    one, two = (
        {k: v for k, v in results(tmp_path / name).items() if not k.endswith((".pdf", ".png"))}
        for name in commands
    )
    assert one == two
    assert done.stdout.count("tables:") == 1
