"""Lists of networks, data sets and seeds: what is shared, what a failure does, what is skipped."""

from __future__ import annotations

import dataclasses
import json
import re
import weakref
from pathlib import Path

import pytest

import main
from common.process import run_script
from datasets import stylized_videos
from datasets.catalogue import DATASETS
from measure.features import LoadedNetwork
from misc import re_estimate
from tests import helpers_runs, helpers_vos
from tests.helpers_runs import Writes, as_argv, contents, options
from utils import UserError

data, no_network = helpers_runs.videos, helpers_runs.no_network
trees, tiny = helpers_vos.trees, helpers_vos.tiny  # runs plot no figures
BOTH = "demo_motion,demo_appearance"
MOTION, APPEARANCE = (f"demo_{name}_plain_seed1" for name in ("motion", "appearance"))


def run(given: dict, *more: str) -> int:
    return run_script(lambda: main.main([*as_argv(given), *more]))


def results(folder: Path) -> dict[str, bytes]:
    """All that a run leaves, but for its record, which has the time in it."""
    left = contents(folder)
    return {str(p.relative_to(folder)): x for p, x in left.items() if p.name != "config.json"}


def table(shown: str) -> list[tuple[str, ...]]:
    """The rows of the last table, but for the minutes: what was asked for as one text, the result,
    the number of clips, the folder or why it failed."""
    head, *lines = shown[shown.rindex("  network  ") :].splitlines()
    ends = [head.index(name) for name in ("result", "clips", "minutes", "folder, or")]
    cuts = [(0, ends[0]), (ends[0], ends[1]), (ends[1], ends[2]), (ends[3], None)]
    return [tuple(" ".join(line[a:b].split()) for a, b in cuts) for line in lines]


@pytest.fixture
def both(data, tmp_path) -> dict:
    """Two networks on one data set."""
    return options(data, tmp_path, stg="4,5", batch_size=4, model=BOTH, way="plain")


class Fails:
    """Stands before the features of the network: those of the n-th network raise an error."""

    def __init__(self, monkeypatch, number: int, error: BaseException):
        self.modules: list[weakref.ref] = []
        original = LoadedNetwork.features

        def features(network, inputs):
            if not self.modules or self.modules[-1]() is not network.module:
                self.modules.append(weakref.ref(network.module))
            if len(self.modules) == number:
                raise type(error)(*error.args)  # one that is kept would keep its frames
            return original(network, inputs)

        monkeypatch.setattr(LoadedNetwork, "features", features)


class TestRuns:
    def test_each_is_what_its_own_command_would_be(self, both, tmp_path, capsys):
        many = tmp_path / "many"
        assert run({**both, "random_seed": "3,1", "save_dir": many}) == 0
        expected = []
        for seed in "31":
            for model in BOTH.split(","):
                own = tmp_path / f"{model}{seed}"
                one = {**both, "model": model, "random_seed": seed, "save_dir": own}
                assert main.main(as_argv(one)) == 0
                (folder,) = own.iterdir()
                assert results(many / folder.name) == results(folder)
                expected.append((f"{model} plain {seed}", "done", "20", str(many / folder.name)))
        first = capsys.readouterr().out.partition("4 of 4 runs are there:")[2]
        assert table(first.partition("\nnetwork: ")[0]) == expected

    def test_videos_are_found_and_planned_once(self, both, monkeypatch):
        calls = []

        def counted(what, function):
            return lambda *given: (calls.append(what), function(*given))[1]

        entry = DATASETS["plain"]
        found = dataclasses.replace(entry, find=counted("found", entry.find))
        monkeypatch.setitem(DATASETS, "plain", found)
        for name in ("sample_pairs", "check_frames"):
            monkeypatch.setattr(
                stylized_videos, name, counted(name, getattr(stylized_videos, name))
            )
        assert run({**both, "random_seed": "1,2"}) == 0
        assert calls == ["found", *["sample_pairs", "check_frames"] * 2]

    def test_networks_of_one_name_have_folders_of_their_own(self, both, tmp_path):
        for name, width in (("one", 4), ("two", 6)):
            (tmp_path / f"{name}.py").write_text(
                "from torch import nn\n\n\ndef build():\n"
                f"    network = nn.Sequential(nn.Conv3d(3, {width}, 3), nn.ReLU())\n"
                '    return network, {"frames": 4, "rate": 2, "crop": 32, "name": "mine"}\n'
            )
        own = {name: value for name, value in both.items() if name != "checkpoint"}
        models = ",".join(f"{tmp_path / name}.py:build" for name in ("one", "two"))
        assert run({**own, "model": models, "stg": "all", "save_dir": tmp_path / "runs"}) == 0
        found = {path.name for path in (tmp_path / "runs").iterdir()}
        assert found == {"mine_plain_seed1", "mine_plain_seed1-2"}

    def test_segmentation(self, trees, tmp_path, capsys):
        config = helpers_vos.quick(trees, tmp_path)
        argv = [*helpers_vos.as_argv(config), "--random_seed", "1,2"]
        assert main.main(argv) == 0
        assert {row[:2] for row in table(capsys.readouterr().out)} == {
            ("tiny_davis_random StylizedDAVIS 1", "done"),
            ("tiny_davis_random StylizedDAVIS 2", "done"),
        }
        before = contents(tmp_path)
        assert main.main(argv) == 0
        assert {row[1] for row in table(capsys.readouterr().out)} == {"was finished"}
        assert contents(tmp_path) == before
        next((tmp_path / "final").rglob("*_001.txt")).unlink()
        assert main.main(argv) == 0
        assert [row[1] for row in table(capsys.readouterr().out)] == ["done", "was finished"]
        assert contents(tmp_path) == before


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "code", "why"),
        [
            (UserError("too `batch_size`\nfor it"), 2, "too --batch_size for it"),
            (RuntimeError("CUDA out of memory"), 2, "out of memory: give a smaller --batch_size"),
            (ZeroDivisionError("by 0"), 1, "ZeroDivisionError: by 0"),
        ],
        ids=["users", "memory", "toolkit's"],
    )
    def test_one_does_not_stop_the_rest(
        self, both, tmp_path, monkeypatch, capsys, error, code, why
    ):
        with pytest.MonkeyPatch.context() as patch:
            Fails(patch, 1, error)
            assert run(both) == code
        shown = capsys.readouterr()
        (failed, done) = table(shown.out)
        assert failed[:3] == ("demo_motion plain 1", "failed", "20")
        assert failed[3].startswith(why)
        assert done == ("demo_appearance plain 1", "done", "20", str(tmp_path / APPEARANCE))
        assert "0 of 20 clips are kept; finish with the same command" in shown.err
        assert (
            f"error: demo_motion on plain, seed 1: {'' if code == 2 else 'this is a'}" in shown.err
        )
        writes = Writes(monkeypatch)  # the same command again does what is left
        assert run(both) == 0
        assert writes.sizes == [4] * 5
        assert [row[1] for row in table(capsys.readouterr().out)] == ["done", "was finished"]

    def test_networks_do_not_stay_in_memory(self, both, monkeypatch):
        fails = Fails(monkeypatch, 2, UserError("no"))
        assert run({**both, "random_seed": "1,2"}) == 2
        assert len(fails.modules) == 4
        assert [module() for module in fails.modules[:3]] == [None] * 3

    def test_what_cannot_be_prepared_is_known_before_the_first_is_computed(
        self, both, monkeypatch, capsys
    ):
        Fails(monkeypatch, 1, KeyboardInterrupt())
        more = {"model": f"nope,{BOTH}", "dataset": "plain,StylizedDAVIS"}
        assert run({**both, **more}) == 130
        shown = capsys.readouterr()
        assert "error: nope on plain, seed 1: --model 'nope' is not known" in shown.err
        wrong = (
            "error: demo_motion on StylizedDAVIS, seed 1: --dataset StylizedDAVIS is for networks"
        )
        assert shown.err.index(wrong) < shown.err.index("interrupted")
        assert [row[:2] for row in table(shown.out)] == [
            ("nope plain 1", "failed"),
            ("demo_motion plain 1", "stopped"),
            ("demo_appearance plain 1", "not begun"),
            *((f"{name} StylizedDAVIS 1", "not begun") for name in ("nope", *BOTH.split(","))),
        ]

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"n_factors": 9}, "--n_factors 9: pairs exist for 4"),
            ({"save_dir": "FILE"}, "--save_dir: .*FILE cannot be made: .* is not a folder"),
            ({"stylized_data_dir": "nowhere"}, "--stylized_data_dir nowhere does not exist"),
            ({"run_name": "x"}, "--run_name is of one run, and 2 are asked for: .*give --save_dir"),
            ({"resume": "x"}, "--resume is of one run, .*the same command, started again, fin"),
            ({"name": "x"}, "--name would be that of several networks"),
        ],
        ids=str,
    )
    def test_what_is_wrong_with_all_is_refused_once(
        self, both, tmp_path, monkeypatch, capsys, no_network, more, words
    ):
        monkeypatch.chdir(tmp_path)
        Path("FILE").touch()
        assert run({**both, **more}) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()[:1]
        assert re.match(f"error: {words}", line)
        assert list(tmp_path.iterdir()) == [tmp_path / "FILE"]

    def test_lists_of_stages_are_of_one_network(self, both):
        with pytest.raises(UserError, match="`list_stages` goes with one network"):
            main.main([*as_argv(both), "--list_stages"])


class TestFinished:
    def states(self, given: dict, capsys, *more: str) -> list[str]:
        assert run(given, *more) == 0
        return [row[1] for row in table(capsys.readouterr().out)]

    def test_is_skipped_and_stays_as_it_is(self, both, tmp_path, capsys, request):
        assert self.states(both, capsys) == ["done", "done"]
        before = contents(tmp_path)
        request.getfixturevalue("no_network")
        assert self.states(both, capsys) == ["was finished", "was finished"]
        assert contents(tmp_path) == before

    def test_is_estimated_anew_where_anything_is_missing_or_other(
        self, both, tmp_path, capsys, request
    ):
        assert self.states(both, capsys) == ["done", "done"]
        before = contents(tmp_path)
        request.getfixturevalue("no_network")
        (tmp_path / MOTION / "units.csv").unlink()
        assert self.states(both, capsys) == ["done", "was finished"]
        assert contents(tmp_path) == before
        re_estimate.main([str(tmp_path / APPEARANCE), "--confidence", "0.5"])
        assert self.states(both, capsys) == ["was finished", "done"]
        assert results(tmp_path / APPEARANCE) == {
            str(path.relative_to(tmp_path / APPEARANCE)): content
            for path, content in before.items()
            if path.is_relative_to(tmp_path / APPEARANCE) and path.name != "config.json"
        }
        assert self.states(both, capsys, "--confidence", "0.5") == ["done", "done"]
        assert self.states(both, capsys, "--confidence", "0.5") == ["was finished"] * 2
        assert self.states(both, capsys) == ["done", "done"]

    def test_groups_are_read_each_time(self, both, tmp_path, capsys):
        groups = tmp_path / "groups.csv"
        groups.write_text("video,group\narms,a\nball,a\n")
        both = {**both, "save_dir": tmp_path / "runs"}
        assert self.states(both, capsys, "--groups", str(groups)) == ["done", "done"]
        assert self.states(both, capsys, "--groups", str(groups)) == ["done", "done"]

    def test_is_not_where_results_were_half_written(self, both, tmp_path, capsys, monkeypatch):
        assert self.states(both, capsys) == ["done", "done"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("results.tables.unit_columns", lambda results: 1 / 0)
            assert run(both, "--confidence", "0.5") == 1
        record = json.loads((tmp_path / MOTION / "config.json").read_text())
        assert record["results"] is None
        capsys.readouterr()
        assert self.states(both, capsys) == ["done", "done"]
