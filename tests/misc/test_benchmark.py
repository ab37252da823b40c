"""misc/benchmark.py: what is timed and how it is scaled; no seconds are asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import main as main_script
from config import Config, load_config
from datasets import batches
from datasets.batches import Batch, iter_batches
from datasets.synthetic import make
from measure.loaded import LoadedNetwork
from measure.prepare import prepare
from misc import benchmark
from misc.benchmarking import parts
from misc.benchmarking.costs import VIDEOS, Costs, Counts, Round, measured, panel, table
from misc.benchmarking.parts import Members, Timed, floor_seconds, spread, study_seconds
from tests import helpers_runs
from tests.helpers_runs import as_argv, options, read_rows
from utils import UserError

videos, without_figures = helpers_runs.videos, helpers_runs.without_figures

COUNTS = Counts(videos=12, pairs=24, clips=48, stages=5)
ROUNDS = [
    Round(study_start=4.0, study_pair=1.0, main=30.0, again=2.0, floor=20.0),
    Round(study_start=6.0, study_pair=2.0, main=26.0, again=3.0, floor=19.0),
    Round(study_start=5.0, study_pair=9.0, main=26.0, again=2.0, floor=24.0),
]


class TestCosts:
    costs = Costs.of(COUNTS, ROUNDS)

    def test_medians_are_of_each_part_by_itself(self):
        assert self.costs.typical == Round(5.0, 2.0, 26.0, 2.0, 20.0)

    def test_study_runs_all_pairs_for_each_stage_and_statistic(self):
        # Of every run the first two pairs belong to its start.
        assert self.costs.study == 5 * 2 * (5 + 22 * 2)

    def test_one_stage_takes_two_runs(self):
        assert Costs.of(Counts(1, 2, 4, stages=1), ROUNDS).study == 2 * 5

    def test_ratios(self):
        study, main, floor = self.costs.rows()
        assert [row["part"] for row in (study, main, floor)] == ["study", "main", "floor"]
        assert (study["to_main"], study["to_floor"]) == (490 / 26, 490 / 20)
        assert (main["to_main"], main["to_floor"]) == (1, 26 / 20)
        assert (floor["to_main"], floor["to_floor"]) == (20 / 26, 1)

    def test_as_many_videos_cost_what_was_measured(self):
        assert self.costs.of_videos(12) == {"study": 490, "main": 26, "floor": 20}

    def test_more_videos_cost_more_but_for_the_starts(self):
        # Ten times the pairs and clips.
        expected = {"study": 10 * (5 + 238 * 2), "main": 2 + 10 * 24, "floor": 200}
        assert self.costs.of_videos(120) == expected

    def test_table_says_what_is_scaled_and_what_is_measured(self):
        head, study, main, floor = table(self.costs).splitlines()
        assert head.split()[:3] == ["seconds", "a", "clip"]
        assert "490.0" in study
        assert "10 runs (5 stages, 2 statistics) of 24 pairs, scaled: 5 s until" in study
        assert "2 s for each other one, measured" in study
        assert "from start to exit, measured; started again: 2 s" in main
        assert "48 distinct clips in memory" in floor

    def test_figure_has_a_line_for_each_in_hours(self):
        shown = panel(self.costs, "net")
        assert shown.logarithmic
        assert list(shown.positions) == list(VIDEOS)
        study, main, floor = shown.series
        assert study.values[0] == self.costs.of_videos(10)["study"] / 3600
        assert main.values[-1] == self.costs.of_videos(10000)["main"] / 3600
        assert floor.label == "the forward alone"

    def test_rounds_are_kept_as_they_were_measured(self):
        rows = measured(ROUNDS)
        assert [row["round"] for row in rows] == [1, 2, 3]
        assert rows[2]["study_pair_seconds"] == 9


class TestParts:
    """The study's procedure, and the floor, on a few real pictures."""

    @pytest.fixture
    def chosen(self, videos, tmp_path) -> list[str]:
        more = {"stg": "1", "way": "plain", "n_sample_frames": 12}
        return as_argv(options(videos, tmp_path, **more))

    def test_members_are_the_clips_of_the_run_with_all_of_their_windows_decoded(
        self, chosen, monkeypatch
    ):
        run = prepare(load_config(chosen))
        pairs = [(pair.a, pair.b) for pair in run.plan.pairs]
        assert any(clip.shuffle for pair in pairs for clip in pair)
        decoded = []
        original = batches.read_frame
        monkeypatch.setattr(batches, "read_frame", lambda p: decoded.append(p) or original(p))
        for pair, members in zip(pairs, Members(run, pairs), strict=False):
            assert len(decoded) == 2 * 12
            for clip, inputs in zip(pair, members, strict=True):
                (batch,) = iter_batches([[[clip]]], run.data.reader(run.geometry))
                assert isinstance(batch, Batch)
                for own, expected in zip(inputs, batch.inputs, strict=True):
                    assert torch.equal(own, expected[0])
            decoded.clear()

    def test_study_runs_both_members_of_two_pairs_at_a_time_with_gradients(
        self, chosen, monkeypatch
    ):
        sizes = []
        original = parts.load_for

        def noted(run):
            network, record = original(run)
            network.module.register_forward_hook(
                lambda _, x, out: sizes.append((len(x[0]), out.requires_grad))
            )
            return network, record

        monkeypatch.setattr(parts, "load_for", noted)
        assert study_seconds(chosen, 3).number == 3
        # The first batch, which is of the start; then two pairs and one, each in two forwards.
        assert sizes == [(2, True)] * 4 + [(1, True)] * 2

    def test_floor_runs_every_distinct_clip_in_the_way_of_the_run(
        self, chosen, tmp_path, monkeypatch
    ):
        done = main_script.measure(load_config(chosen))
        record = json.loads((done.folder / "config.json").read_text())
        (done.folder / "config.json").write_text(
            json.dumps({**record, "way": {"steps": ["channels_last"], "batch_size": 3}})
        )
        sizes = []
        original = LoadedNetwork.features

        def features(network, inputs):
            sizes.append(len(inputs[0]))
            return original(network, inputs)

        monkeypatch.setattr(LoadedNetwork, "features", features)
        found = floor_seconds(chosen, done.folder)
        clips = len(prepare(load_config(chosen)).rows)
        assert found.number == clips
        warm_up = len(set(sizes))
        assert sum(sizes[warm_up:]) == clips
        assert max(sizes) == 3

    def test_clips_that_do_not_fit_into_memory_are_run_again(self, chosen, monkeypatch):
        done = main_script.measure(load_config(chosen))
        monkeypatch.setattr(parts, "_MOST_BYTES", 1)
        clips = len(prepare(load_config(chosen)).rows)
        assert floor_seconds(chosen, done.folder).number >= clips

    def test_sampled_pairs_are_spread(self):
        assert spread("abcdefg", 3) == "ace"
        assert spread("abc", 8) == "abc"

    def test_part_in_a_process_of_its_own(self):
        found, seconds = benchmark.alone(spread, "abcd", 2)
        assert found == "ac"
        assert seconds > 0

    @pytest.mark.parametrize(
        ("part", "given", "message"),
        [
            (study_seconds, (["--model", "no_net"], 2), "'no_net' is not known"),
            (os._exit, (9,), "has been ended"),
        ],
    )
    def test_errors_of_that_process(self, part, given, message):
        with pytest.raises(UserError, match=message):
            benchmark.alone(part, *given)


OPTIONS = ("--dataset", "synthetic", "--model", "demo_motion", "--n_examples", "4")


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """A function that calls the script; nothing is run. It gives the options that main.py had."""
    commands, asked = [], []

    def run(command, **_):
        commands.append(command)
        (Path(load_config(command[2:]).save_dir) / "run" / "features").mkdir(
            parents=True, exist_ok=True
        )
        return SimpleNamespace(returncode=0)

    def alone(part, *given):
        asked.append((part, given))
        return Timed(8.0, 4), 10.0

    monkeypatch.setattr(benchmark.subprocess, "run", run)
    monkeypatch.setattr(benchmark, "alone", alone)
    monkeypatch.setattr(benchmark, "save_figure", lambda path, grid: path)
    for place in ("mine", "out/synthetic_videos"):
        make(tmp_path / place, 4)

    def call(*options: str) -> SimpleNamespace:
        argv = [*OPTIONS, "--save_dir", str(tmp_path / "out"), "--save", str(tmp_path / "costs")]
        benchmark.main([*argv, *options])
        configs: list[Config] = []
        for _, script, *given in commands:
            assert Path(script).name == "main.py"
            configs.append(load_config(given))
        return SimpleNamespace(configs=configs, asked=asked, costs=tmp_path / "costs")

    return call


@pytest.mark.parametrize("spelling", ["--stylized_data_dir={}", "--stylized_data_root={}"])
def test_own_videos_however_they_are_given(spelling, timed, tmp_path):
    for config in timed(spelling.format(tmp_path / "mine"), "--repeats", "1").configs:
        assert config.stylized_data_dir == tmp_path / "mine"
        assert config.save_dir != tmp_path / "out"


def test_rounds_in_turn_each_in_a_fresh_folder_on_the_same_videos(timed, tmp_path):
    found = timed("--repeats", "2", "--sampled", "4")
    assert [part for part, _ in found.asked] == [study_seconds, floor_seconds] * 2
    folders = [config.save_dir for config in found.configs]
    assert len(folders) == 4  # each run is started again
    assert folders[0] == folders[1] != folders[2] == folders[3]
    assert {c.stylized_data_dir for c in found.configs} == {tmp_path / "out/synthetic_videos"}
    (_, (options, sampled)), (_, (same, folder)) = found.asked[:2]
    assert sampled == 4
    assert options == same
    assert folder == folders[0] / "run"


def test_tables(timed, capsys):
    costs = timed("--repeats", "2", "--sampled", "4").costs
    assert {path.name for path in costs.iterdir()} == {
        "benchmark.csv",
        "benchmark_rounds.csv",
        "benchmark_videos.csv",
    }
    rows = read_rows(costs / "benchmark_rounds.csv")
    assert [(row["study_start_seconds"], row["study_pair_seconds"]) for row in rows] == [
        ("2.0", "2.0")
    ] * 2
    study = read_rows(costs / "benchmark.csv")[0]
    assert float(study["seconds"]) == 5 * 2 * (2 + 2 * 2)  # of four pairs, two are of the start
    assert [int(row["videos"]) for row in read_rows(costs / "benchmark_videos.csv")] == [*VIDEOS]
    out = capsys.readouterr().out
    assert "4 scored pairs" in out
    assert "the study's procedure" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume", "some_run"), "--resume: what is timed is a whole run"),
        (("--repeats", "0"), "--repeats: 0 is below 1"),
        (("--sampled", "1"), "--sampled: 1 is below 2"),
        (("--samples", "3"), "Did you mean 'sampled'"),
    ],
)
def test_refused_before_anything_is_timed(options, message, timed, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "one_round", None)
    with pytest.raises(SystemExit) as stopped:
        timed(*options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_place_that_cannot_be_written(timed, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "one_round", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"`save` .* cannot be written"):
        timed("--save", str(tmp_path / "file" / "costs"))


def test_run_that_fails_ends_the_benchmark(timed, monkeypatch, tmp_path):
    failed = SimpleNamespace(returncode=2)
    monkeypatch.setattr(benchmark.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="the run failed"):
        timed()
    assert not (tmp_path / "costs" / "benchmark.csv").exists()
