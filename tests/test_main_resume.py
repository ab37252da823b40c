"""Interrupted runs: nothing computed twice, nothing mixed, nothing overwritten."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import main
from config import Config
from measure.prepare import prepare
from tests import helpers_runs
from tests.helpers_runs import VIDEOS, Forwards, computed, options, read_rows, write_videos
from utils import UserError

data, no_network = helpers_runs.videos, helpers_runs.no_network
TABLES = ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")


@pytest.fixture
def interrupted(data, tmp_path):
    """A function that runs with some options until Ctrl-C after k batches; gives the folder."""

    def run(k: int, **more) -> Path:
        chosen = options(data, tmp_path, stg="all", batch_size=4, run_name="broken", **more)
        with pytest.MonkeyPatch.context() as patch:
            Forwards(patch, interrupt_after=k)
            with contextlib.suppress(KeyboardInterrupt):
                computed(prepare(Config(**chosen)))
        return tmp_path / "broken"

    return run


@pytest.mark.parametrize("k", [0, 1, 3])
def test_resume_alone_computes_the_rest_and_gives_the_same_numbers(
    data, tmp_path, interrupted, monkeypatch, k
):
    folder = interrupted(k)
    forwards = Forwards(monkeypatch)
    main.main(["--resume", str(folder)])
    assert forwards.sizes == [4, 4, 4, 3][k:]
    whole = main.measure(Config(**options(data, tmp_path, stg="all", batch_size=4, run_name="ok")))
    for name in TABLES:
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()
    for stage in "12345":
        stored = (np.load(f / "features" / f"{stage}.npy") for f in (folder, whole.folder))
        np.testing.assert_array_equal(*stored)


def test_interruption_says_how_to_go_on(data, tmp_path, monkeypatch):
    Forwards(monkeypatch, interrupt_after=2)
    config = Config(**options(data, tmp_path, batch_size=4, run_name="broken"))
    with pytest.raises(KeyboardInterrupt, match=r"8 of 15 clips .*--resume .*broken"):
        main.measure(config)


def test_plan_and_record_are_there_before_anything_is_computed(interrupted):
    folder = interrupted(0)
    assert {path.name for path in folder.iterdir()} == {"plan.csv", "config.json", "features"}
    assert not np.load(folder / "features" / "done.npy").any()


def test_other_batch_size_and_workers_may_finish_a_run(interrupted, monkeypatch):
    folder = interrupted(1)
    forwards = Forwards(monkeypatch)
    main.main(["--resume", str(folder), "--batch_size", "16", "--num_workers", "1"])
    assert forwards.sizes == [11]


def test_finished_run_is_estimated_anew_without_the_network(interrupted, request):
    folder = interrupted(4)
    main.main(["--resume", str(folder)])
    before = (folder / "layerwise.csv").read_bytes()
    request.getfixturevalue("no_network")
    main.main(["--resume", str(folder), "--joint_encoding_thresh", "0.1,0.2"])
    assert (folder / "layerwise.csv").read_bytes() == before
    assert {"class_at_0.1", "class_at_0.2"} < set(read_rows(folder / "units.csv")[0])


@pytest.mark.parametrize("done", [1, 4], ids=["unfinished", "finished"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "demo_appearance"),
        ("--stg", "5"),
        ("--random_seed", "2"),
        ("--image_size", "40"),
        ("--n_sample_frames", "12"),
        # The classifier's size decides which random weights the convolutions get.
        ("--num_classes", "5"),
    ],
)
def test_option_that_changes_features_is_refused(interrupted, request, option, value, done):
    folder = interrupted(done)
    assert np.load(folder / "features" / "done.npy").sum() == min(4 * done, 15)
    store = {path.name: path.read_bytes() for path in (folder / "features").iterdir()}
    request.getfixturevalue("no_network")
    words = r"broken holds features that were made with another \w+.*Start a new run: leave out"
    with pytest.raises(UserError, match=words):
        main.main(["--resume", str(folder), option, value])
    assert {path.name: path.read_bytes() for path in (folder / "features").iterdir()} == store


def test_slowfast_path_is_part_of_what_was_computed(interrupted):
    folder = interrupted(1, model="slowfast_r50_4x16", n_examples=4, path="slow")
    for option, value in (("--path", "cat"), ("--fuse", "False")):
        with pytest.raises(UserError, match="made with another path"):
            main.main(["--resume", str(folder), "--stg", "all", option, value])


def test_other_videos_are_refused(interrupted, tmp_path):
    folder = interrupted(1)
    others = write_videos(tmp_path / "others", VIDEOS, styles="321")
    for style in "12":  # the same names, other pictures
        shutil.rmtree(others / f"style_{style}")
        shutil.copytree(others / "style_3", others / f"style_{style}")
    words = "made with another video: .* Start a new run: .*give another `run_name`"
    with pytest.raises(UserError, match=words):
        main.main(["--resume", str(folder), "--stylized_data_dir", str(others)])


def test_moved_videos_are_accepted(interrupted, data, tmp_path):
    folder = interrupted(1)
    shutil.copytree(data, tmp_path / "moved")
    main.main(["--resume", str(folder), "--stylized_data_dir", str(tmp_path / "moved")])
    assert (folder / "layerwise.csv").exists()


def test_run_stopped_by_a_corrupt_frame_goes_on_when_it_is_mended(data, tmp_path):
    shutil.copytree(data, tmp_path / "videos")
    frame = tmp_path / "videos" / "style_2" / "eggs" / "000001.png"
    content = frame.read_bytes()
    frame.write_bytes(content[: len(content) // 2])
    chosen = options(tmp_path / "videos", tmp_path, run_name="run", batch_size=1)
    with pytest.raises(UserError, match=r"(?s)000001\.png.*Repair them"):
        main.measure(Config(**chosen))
    frame.write_bytes(content)
    main.main(["--resume", str(tmp_path / "run")])
    assert (tmp_path / "run" / "layerwise.csv").exists()


def test_changed_plan_is_refused(interrupted):
    folder = interrupted(1)
    lines = (folder / "plan.csv").read_text().splitlines()
    (folder / "plan.csv").write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(UserError, match="made with another plan"):
        main.main(["--resume", str(folder)])


@pytest.mark.parametrize("defect", ["a hole", "unequal counts"])
def test_videos_dropped_before_the_interruption_stay_listed(data, tmp_path, defect):
    broken = tmp_path / "videos"
    shutil.copytree(data, broken)
    folder = broken / "style_3" / "ball"
    if defect == "a hole":
        (folder / "000005.png").unlink()
    else:
        shutil.copy(folder / "000018.png", folder / "000019.png")
    chosen = options(broken, tmp_path, run_name="run", on_bad_video="skip", batch_size=4)
    with pytest.MonkeyPatch.context() as patch:
        Forwards(patch, interrupt_after=1)
        with pytest.raises(KeyboardInterrupt):
            main.measure(Config(**chosen))
    main.main(["--resume", str(tmp_path / "run")])
    assert [r["video"] for r in read_rows(tmp_path / "run" / "skipped_videos.csv")] == ["ball"]
