"""Interrupted runs: nothing computed twice, nothing mixed, nothing overwritten."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from config import Config
from measure.loaded import LoadedNetwork
from measure.prepare import prepare
from models.catalogue import find
from tests import helpers_runs
from tests.helpers_runs import (
    VIDEOS,
    Forwards,
    computed,
    contents,
    done,
    options,
    read_rows,
    write_videos,
)
from utils import UserError

data, no_network = helpers_runs.videos, helpers_runs.no_network
without_figures = helpers_runs.without_figures
TABLES = ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")


@pytest.fixture
def interrupted(data, tmp_path):
    """A function that runs with some options until Ctrl-C after k batches; gives the folder."""

    def run(k: int, **more) -> Path:
        usual = {"stg": "all", "batch_size": 4, "run_name": "broken"}
        chosen = options(data, tmp_path, **{**usual, **more})
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
    assert forwards.sizes == [4, 4, 4, 4, 4][k:]
    whole = main.measure(Config(**options(data, tmp_path, stg="all", batch_size=4, run_name="ok")))
    for name in TABLES:
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()
    for stage in "12345":
        stored = (np.load(f / "features" / f"{stage}.npy") for f in (folder, whole.folder))
        np.testing.assert_array_equal(*stored)


def test_interruption_says_how_to_go_on(data, tmp_path, monkeypatch):
    Forwards(monkeypatch, interrupt_after=2)
    config = Config(**options(data, tmp_path, batch_size=4, run_name="broken"))
    with pytest.raises(KeyboardInterrupt, match=r"8 of 20 clips .*--resume .*broken"):
        main.measure(config)


def test_plan_and_record_are_there_before_anything_is_computed(interrupted):
    folder = interrupted(0)
    assert {path.name for path in folder.iterdir()} == {"plan.csv", "config.json", "features"}
    assert not done(folder).any()


def test_other_batch_size_and_workers_may_finish_a_run(interrupted, monkeypatch):
    folder = interrupted(1)
    forwards = Forwards(monkeypatch)
    main.main(["--resume", str(folder), "--batch_size", "16", "--num_workers", "1"])
    assert forwards.sizes == [16, 4]  # as a run of these options alone has them


def test_batches_are_those_of_a_whole_run(data, tmp_path, interrupted, monkeypatch):
    """A clip may have other features, by rounding, in a batch of another size: a batch that lacks
    one clip alone is computed as a whole, and what is stored of it stays."""
    original = LoadedNetwork.features

    def depending(network, inputs):
        found = original(network, inputs)
        return {stage: x + np.float32(1e-4) * len(inputs[0]) for stage, x in found.items()}

    monkeypatch.setattr(LoadedNetwork, "features", depending)
    folder = interrupted(5)
    whole = contents(folder / "features")
    sums = np.load(folder / "features" / "checksums.npy")
    sums[[6, 17]] = -1
    np.save(folder / "features" / "checksums.npy", sums)
    forwards = Forwards(monkeypatch)
    main.main(["--resume", str(folder)])
    assert forwards.sizes == [4, 4]
    assert contents(folder / "features") == whole


def test_finished_run_is_estimated_anew_without_the_network(interrupted, request):
    folder = interrupted(5)
    main.main(["--resume", str(folder)])
    before = (folder / "layerwise.csv").read_bytes()
    request.getfixturevalue("no_network")
    main.main(["--resume", str(folder), "--joint_encoding_thresh", "0.1,0.2"])
    assert (folder / "layerwise.csv").read_bytes() == before
    assert {"class_at_0.1", "class_at_0.2"} < set(read_rows(folder / "units.csv")[0])


@pytest.mark.parametrize("done", [1, 5], ids=["unfinished", "finished"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "demo_appearance"),
        ("--stg", "5"),
        ("--image_size", "40"),
        ("--n_sample_frames", "12"),
        ("--precision", "bf16"),
        # The classifier's size decides which random weights the convolutions get.
        ("--num_classes", "5"),
    ],
)
def test_option_that_changes_features_is_refused(interrupted, request, option, value, done):
    folder = interrupted(done)
    assert helpers_runs.done(folder).sum() == 4 * done
    store = {path.name: path.read_bytes() for path in (folder / "features").iterdir()}
    request.getfixturevalue("no_network")
    words = r"broken holds features that were made with (an)?other \w+.*Start a new run: leave out"
    with pytest.raises(UserError, match=words):
        main.main(["--resume", str(folder), option, value])
    assert {path.name: path.read_bytes() for path in (folder / "features").iterdir()} == store


def test_slowfast_path_is_part_of_what_was_computed(interrupted):
    few = {"n_examples": 4, "parts": False}
    folder = interrupted(1, model="slowfast_r50_4x16", path="slow", **few)
    for option, value in (("--path", "cat"), ("--fuse", "False")):
        with pytest.raises(UserError, match="made with another pathway"):
            main.main(["--resume", str(folder), "--stg", "all", option, value])


def test_other_videos_are_refused(interrupted, tmp_path):
    folder = interrupted(1)
    others = write_videos(tmp_path / "others", VIDEOS, styles="321")
    for old, new in ("1-", "21", "32", "-3"):  # the same names, other pictures
        (others / f"style_{old}").rename(others / f"style_{new}")
    words = "made with another video: .* Start a new run: .*give a `run_name`"
    with pytest.raises(UserError, match=words):
        main.main(["--resume", str(folder), "--stylized_data_dir", str(others)])


class TestChangedFrames:
    """Every frame that was shown counts, not the first one alone."""

    def change(self, frame: Path) -> None:
        """Another picture of the same size in bytes."""
        content = bytearray(frame.read_bytes())
        content[-1] ^= 1
        frame.write_bytes(content)

    @pytest.mark.parametrize("thorough", [False, True])
    @pytest.mark.parametrize("done", [1, 5], ids=["unfinished", "finished"])
    def test_run_is_not_mixed(self, data, tmp_path, interrupted, thorough, done):
        copy = Path(shutil.copytree(data, tmp_path / "copy"))
        folder = interrupted(done, stylized_data_dir=copy, thorough=thorough, start="first")
        row = read_rows(folder / "features" / "clips.csv")[0]
        frames = copy / f"style_{row['style']}" / row["video"]
        self.change(frames / "000005.png")  # of a window from the first on, the third that is seen
        with pytest.raises(UserError, match=f"another video: video {row['video']}, .*has changed"):
            main.main(["--resume", str(folder)])

    def test_time_alone_does_not_count_where_contents_are_compared(
        self, data, tmp_path, interrupted
    ):
        copy = Path(shutil.copytree(data, tmp_path / "copy"))
        for thorough in (False, True):
            folder = interrupted(1, stylized_data_dir=copy, thorough=thorough)
            for path in copy.rglob("*.png"):
                path.touch()
            if thorough:
                main.main(["--resume", str(folder)])
            else:
                with pytest.raises(UserError, match="has changed"):
                    main.main(["--resume", str(folder)])
                shutil.rmtree(folder)

    def test_how_they_are_compared_is_that_of_the_run(self, interrupted):
        folder = interrupted(1)
        with pytest.raises(UserError, match="leave out `thorough`"):
            main.main(["--resume", str(folder), "--thorough", "True"])


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
    with pytest.raises(UserError, match=r"(?s)000001\.png.*Repair it"):
        main.measure(Config(**chosen))
    frame.write_bytes(content)
    main.main(["--resume", str(tmp_path / "run")])
    assert (tmp_path / "run" / "layerwise.csv").exists()


def test_changed_plan_is_refused(interrupted):
    folder = interrupted(1)
    lines = (folder / "plan.csv").read_text().splitlines()
    (folder / "plan.csv").write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(UserError, match=r"made with other pairs \(plan\)"):
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


class TestChangedFile:
    """What a file has made is not mixed with what it makes after a change."""

    @pytest.fixture
    def network(self, tmp_path, monkeypatch) -> Path:
        monkeypatch.setattr(sys, "path", [*sys.path])
        file = tmp_path / "changing_net.py"
        file.write_text(
            "from torch import nn\n"
            "def build():\n"
            "    net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.Conv3d(4, 6, 1))\n"
            "    return net, {'frames': 4, 'crop': 32}\n"
        )
        return file

    def chosen(self, data: Path, file: Path, **more) -> dict:
        options_ = options(data, file.parent / "runs", model=f"{file}:build", **more)
        return {k: v for k, v in options_.items() if k not in ("checkpoint", "image_size")}

    @pytest.mark.parametrize("done", [1, None], ids=["unfinished", "finished"])
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param("4, 3)", "4, 3, bias=False)", id="other weights"),
            pytest.param("import nn", "import nn  # !", id="same weights"),
        ],
    )
    def test_resumption_names_the_file_and_a_way_out(self, data, network, request, done, old, new):
        options = self.chosen(data, network, batch_size=4)
        name = "changing_net.py_build_plain_seed1"
        folder = network.parent / "runs" / name
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            Forwards(patch, interrupt_after=done)
            main.measure(Config(**options))
        before = contents(folder)
        network.write_text(network.read_text().replace(old, new))
        with pytest.raises(UserError) as refusal:
            main.main(["--resume", str(folder)])
        assert f"{network}:build has changed" in str(refusal.value)
        assert "as built has changed" not in str(refusal.value)
        assert "Start a new run: leave out `resume`" in str(refusal.value)
        assert contents(folder) == before
        # What is advised works.
        assert main.measure(Config(**options)).folder == folder.parent / f"{name}-2"
        assert contents(folder) == before

    def test_name_is_taken_then(self, data, network):
        options = self.chosen(data, network, run_name="mine")
        main.measure(Config(**options))
        network.write_text(network.read_text() + "# changed\n")
        words = r"other code of the network \(\S*changing_net.py:build has changed\).*`run_name`"
        with pytest.raises(UserError, match=words):
            main.measure(Config(**options))
        main.measure(Config(**{**options, "run_name": "other"}))

    def test_weights(self, data, tmp_path):
        file = tmp_path / "w.pyth"
        state = find("demo_motion").module().state_dict()
        torch.save(state, file)
        options_ = {**options(data, tmp_path / "runs", run_name="run"), "checkpoint": str(file)}
        main.measure(Config(**options_))
        torch.save({name: value + 1 for name, value in state.items()}, file)
        with pytest.raises(UserError, match=rf"other weights \({file} has changed\)"):
            main.main(["--resume", str(tmp_path / "runs" / "run")])
        # Other weights that were asked for are no changed file.
        with pytest.raises(UserError, match="other weights, other random weights and"):
            main.main(["--resume", str(tmp_path / "runs" / "run"), "--checkpoint", "random"])


@pytest.mark.parametrize("done", [1, 5], ids=["unfinished", "finished"])
def test_run_of_an_older_version_goes_on(interrupted, data, tmp_path, monkeypatch, done):
    # That version sampled no pairs that are not scored.
    chosen = {"model": "slowfast_r50_4x16", "path": "slow", "stg": "5", "parts": False}
    folder = interrupted(done, **chosen)
    record = json.loads((folder / "config.json").read_text())
    identity = json.loads((folder / "features" / "identity.json").read_text())
    # As that version wrote it: a crop is a number, the last stage is the default, and there is
    # nothing of segmentation.
    newer = ("cfg_file", "name", "trained_on", "original_data_root", "start", "nreps", "parts")
    for name in newer:
        del record["options"][name]
    record["options"] |= {"image_size": 32, "stg": None}
    del identity["form"]
    kept = ("started", "options", "checkpoint", "device", "bad_videos", "versions")
    older = {**{name: record[name] for name in kept}, **identity}
    (folder / "config.json").write_text(json.dumps(older))
    (folder / "features" / "identity.json").write_text(json.dumps(identity))

    forwards = Forwards(monkeypatch)
    main.main(["--resume", str(folder)])
    assert sum(forwards.sizes) == max(15 - 4 * done, 0)
    whole = main.measure(
        Config(**options(data, tmp_path, run_name="whole", batch_size=4, **chosen))
    )
    assert read_rows(folder / "layerwise.csv")[0]["path"] == "slow"
    for name in TABLES:
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, " does not exist"),
        (lambda path: path.write_text("a\n1\n"), ": expected a header with .*"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), ", line .*"),
    ],
    ids=["missing", "header", "cut"],
)
def test_a_plan_that_is_damaged_calls_for_a_new_run(interrupted, damage, words):
    folder = interrupted(1)
    damage(folder / "plan.csv")
    with pytest.raises(UserError, match=rf"^{folder}/plan.csv{words}\. Start a new run: leave"):
        main.main(["--resume", str(folder)])
