"""The folder of a run: what it is called, how it comes to be, and what a second start does."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

import main
from config import Config
from measure import folder as folders
from measure.prepare import prepare
from tests import helpers_runs
from tests.helpers_runs import Forwards, as_argv, contents, notes, options
from utils import UserError

data, no_network = helpers_runs.videos, helpers_runs.no_network
without_figures = helpers_runs.without_figures
USUAL = "demo_motion_plain_seed1"
TABLES = ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")


def chosen(data: Path, save_dir: Path, **more) -> dict:
    return {**options(data, save_dir), "stg": "4,5", "batch_size": 4, **more}


def interrupt(config: Config, after: int) -> str:
    """Begin a run, and interrupt it after some batches; returns what is said then."""
    with pytest.MonkeyPatch.context() as patch:
        Forwards(patch, interrupt_after=after)
        with pytest.raises(KeyboardInterrupt) as stop:
            main.measure(config)
    return notes(stop.value)


class TestSecondStart:
    """The same command again goes on in the folder that it has."""

    def test_finished_run_is_estimated_anew_from_its_features(self, data, tmp_path, request):
        argv = as_argv(chosen(data, tmp_path))
        main.main(argv)
        before = contents(tmp_path)
        assert {path.relative_to(tmp_path).parts[0] for path in before} == {USUAL}
        for name in TABLES[1:]:
            (tmp_path / USUAL / name).unlink()
        request.getfixturevalue("no_network")
        main.main(argv)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("run_name", [None, "mine"])
    def test_interrupted_run_goes_on(self, data, tmp_path, monkeypatch, capsys, run_name):
        config = Config(**chosen(data, tmp_path, run_name=run_name))
        folder = tmp_path / (run_name or USUAL)
        words = "8 of 20 clips are kept; finish with the same command, or python main.py --resume "
        assert interrupt(config, 2) == f"{words}{folder}"
        capsys.readouterr()
        forwards = Forwards(monkeypatch)
        assert main.measure(config).folder == folder
        assert forwards.sizes == [4, 4, 4]
        assert "resuming: 8 of 20 clips are done" in capsys.readouterr().out
        whole = main.measure(Config(**chosen(data, tmp_path, run_name="whole"))).folder
        for name in TABLES:
            assert (folder / name).read_bytes() == (whole / name).read_bytes()

    @pytest.mark.parametrize("run_name", [None, "mine"])
    @pytest.mark.parametrize(
        "more",
        [
            {"batch_size": 1},
            {"num_workers": 1},
            {"joint_encoding": True},
            {"on_bad_video": "skip"},
            {"on_nan": "skip", "max_bad": 50},
            {"weights_dir": "elsewhere"},
        ],
        ids=str,
    )
    def test_options_that_change_no_number_are_those_of_the_same_run(
        self, data, tmp_path, request, run_name, more
    ):
        options = chosen(data, tmp_path, run_name=run_name)
        folder = main.measure(Config(**options)).folder
        request.getfixturevalue("no_network")
        assert main.measure(Config(**{**options, **more})).folder == folder

    def test_moved_videos_are_the_same(self, data, tmp_path, request):
        folder = main.measure(Config(**chosen(data, tmp_path))).folder
        shutil.copytree(data, tmp_path / "moved")
        request.getfixturevalue("no_network")
        assert main.measure(Config(**chosen(tmp_path / "moved", tmp_path))).folder == folder

    def test_other_videos_of_the_same_names_are_another_run(self, data, tmp_path):
        videos = Path(shutil.copytree(data, tmp_path / "videos"))
        main.measure(Config(**chosen(videos, tmp_path / "runs")))
        before = contents(tmp_path / "runs" / USUAL)
        for style in "123":  # another video of as many frames
            shutil.rmtree(videos / f"style_{style}" / "ball")
            shutil.copytree(data / f"style_{style}" / "arms", videos / f"style_{style}" / "ball")
            for number in (19, 20):
                (videos / f"style_{style}" / "ball" / f"{number:06d}.png").unlink()
        other = main.measure(Config(**chosen(videos, tmp_path / "runs")))
        assert other.folder == tmp_path / "runs" / f"{USUAL}-2"
        assert contents(tmp_path / "runs" / USUAL) == before
        words = "another video: .*ball.* has changed.*give a `run_name`"
        with pytest.raises(UserError, match=words):
            main.main(["--resume", str(tmp_path / "runs" / USUAL)])


OTHER = [
    {"stg": "5"},
    {"model": "demo_appearance", "name": "demo_motion"},
    {"n_examples": 8},
    {"parts": False},
    {"pairing": "crossed"},
    {"n_factors": 4, "residual_index": -1},
    {"joint_encoding_thresh": "0.3"},
    {"image_size": 40},
    {"mean": "0.4"},
    {"start": "first"},
    {"styles": ("1", "2")},
    {"unit_dim": 2},
    {"num_classes": 5},
]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    """A folder that holds a run of usual options, and the same one under a name."""
    place = tmp_path_factory.mktemp("finished")
    main.measure(Config(**chosen(data, place)))
    main.measure(Config(**chosen(data, place, run_name="mine")))
    return place


class TestOtherRuns:
    """What belongs to another run is never overwritten."""

    @pytest.mark.parametrize("more", OTHER, ids=str)
    def test_another_run_has_a_number_behind_its_name(self, data, finished, more):
        before = contents(finished)
        run = prepare(Config(**chosen(data, finished, **more)))
        assert folders.find_folder(run) == finished / f"{USUAL}-2"
        assert contents(finished) == before

    def test_numbers_go_on_and_are_found_again(self, data, finished, tmp_path):
        place = Path(shutil.copytree(finished, tmp_path / "runs"))
        names = [
            main.measure(Config(**chosen(data, place, stg=stg))).folder.name
            for stg in ("5", "4", "5", "4,5", "4")
        ]
        assert names == [f"{USUAL}{number}" for number in ("-2", "-3", "-2", "", "-3")]

    def test_run_of_a_version_without_different_pairs_is_none_with_them(
        self, data, tmp_path, request
    ):
        argv = chosen(data, tmp_path, run_name="mine", stg="5")
        old = main.measure(Config(**argv, parts=False)).folder
        record = json.loads((old / "config.json").read_text())
        del record["options"]["parts"]
        (old / "config.json").write_text(json.dumps(record))
        before = contents(old)
        with pytest.raises(UserError, match="mine exists, was made with other values of `parts`,"):
            main.measure(Config(**argv))
        assert contents(old) == before
        request.getfixturevalue("no_network")
        assert main.measure(Config(**argv, parts=False)).folder == old
        main.main(["--resume", str(old)])

    def test_another_seed_has_a_name_of_its_own(self, data, finished):
        run = prepare(Config(**chosen(data, finished, random_seed=2)))
        assert folders.find_folder(run) == finished / "demo_motion_plain_seed2"

    @pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"], ids=repr)
    def test_folder_that_is_none_of_a_run_is_left_alone(self, data, tmp_path, content):
        (tmp_path / USUAL).mkdir()
        if content is not None:
            (tmp_path / USUAL / "config.json").write_text(content)
        before = contents(tmp_path / USUAL)
        folder = main.measure(Config(**chosen(data, tmp_path))).folder
        assert folder == tmp_path / f"{USUAL}-2"
        assert contents(tmp_path / USUAL) == before

    @pytest.mark.parametrize("more", [*OTHER, {"random_seed": 2}], ids=str)
    def test_name_of_another_run_is_refused_before_videos_are_scanned(
        self, data, finished, monkeypatch, more
    ):
        before = contents(finished)
        monkeypatch.setattr(
            "measure.prepare.find_data", lambda *given: pytest.fail("the videos are scanned")
        )
        option = next(iter(more))
        words = rf"mine exists, was made with other values of .*{option}.*: give another `run_name`"
        with pytest.raises(UserError, match=words):
            main.measure(Config(**chosen(data, finished, run_name="mine", **more)))
        assert contents(finished) == before

    def test_name_of_a_folder_that_is_no_run_is_refused(self, data, tmp_path, no_network):
        (tmp_path / "taken").mkdir()
        words = "taken exists, is not that of a run of this version, and is not overwritten"
        with pytest.raises(UserError, match=words):
            main.measure(Config(**chosen(data, tmp_path, run_name="taken")))
        assert not any((tmp_path / "taken").iterdir())


class TestMakingIt:
    """The folder appears with its plan and its record, or not at all."""

    @pytest.fixture
    def broken(self, monkeypatch):
        """The record cannot be written: the disk is full, or the user stops the run."""

        def stop_with(error: BaseException) -> None:
            def write(path, value):
                raise error

            monkeypatch.setattr(folders, "write_json", write)

        return stop_with

    def test_nothing_is_left_of_an_interruption(self, data, tmp_path, broken):
        broken(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            main.measure(Config(**chosen(data, tmp_path / "runs")))
        assert list((tmp_path / "runs").iterdir()) == []

    def test_nothing_is_left_of_a_full_disk(self, data, tmp_path, broken):
        broken(OSError("no space left"))
        with pytest.raises(UserError, match=r"`save_dir`: .* cannot be made: no space left"):
            main.measure(Config(**chosen(data, tmp_path / "runs")))
        assert list((tmp_path / "runs").iterdir()) == []

    def test_plan_and_record_are_there_when_it_appears(self, data, tmp_path, monkeypatch):
        seen = []
        original = Path.rename

        def rename(self, target):
            assert not (tmp_path / USUAL).exists()
            moved = original(self, target)
            seen.append({path.name for path in (tmp_path / USUAL).iterdir()})
            return moved

        monkeypatch.setattr(Path, "rename", rename)
        run = prepare(Config(**chosen(data, tmp_path)))
        folders.make_folder(folders.find_folder(run), run, {})
        assert seen == [{"plan.csv", "config.json"}]
        assert list(tmp_path.iterdir()) == [tmp_path / USUAL]

    def test_others_may_look_into_it(self, data, tmp_path):
        before = os.umask(0o022)
        try:
            run = prepare(Config(**chosen(data, tmp_path)))
            folders.make_folder(tmp_path / "run", run, {})
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / "run" / "config.json").stat().st_mode) == 0o644

    def test_folder_that_another_process_makes_meanwhile_is_not_overwritten(self, data, tmp_path):
        run = prepare(Config(**chosen(data, tmp_path)))
        folders.make_folder(tmp_path / USUAL, run, {"by": "the other"})
        before = contents(tmp_path)
        with pytest.raises(UserError, match="was made by another run just now: start again"):
            folders.make_folder(tmp_path / USUAL, run, {"by": "this one"})
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("more", [{}, {"run_name": "run"}], ids=str)
    def test_place_that_cannot_be_written(self, data, tmp_path, more):
        (tmp_path / "file").write_text("a file")
        with pytest.raises(UserError, match=r"`save_dir`: .* cannot be made"):
            main.measure(Config(**chosen(data, tmp_path / "file", **more)))
        assert (tmp_path / "file").read_text() == "a file"

    def test_none_is_made_if_the_network_does_not_load(self, data, tmp_path):
        (tmp_path / "w.pyth").write_bytes(b"no weights")
        config = Config(**chosen(data, tmp_path / "runs", checkpoint=str(tmp_path / "w.pyth")))
        with pytest.raises(UserError, match=r"w\.pyth"):
            main.measure(config)
        assert not (tmp_path / "runs").exists()
