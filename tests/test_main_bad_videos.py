"""Videos that cannot be read: a run stops and names them, or leaves them out by request."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import main
from config import Config
from measure.loaded import LoadedNetwork
from measure.prepare import prepare
from tests import helpers_runs
from tests.helpers_runs import Forwards, computed, options, read_rows, write_videos
from utils import DataError, UserError

sound = helpers_runs.videos
without_figures = helpers_runs.without_figures


@pytest.fixture
def data(sound, tmp_path) -> Path:
    """A copy of the videos, to be broken."""
    return Path(shutil.copytree(sound, tmp_path / "videos"))


def skipped(folder: Path) -> dict[str, str]:
    return {row["video"]: row["reason"] for row in read_rows(folder / "skipped_videos.csv")}


class TestCorruptFrame:
    @pytest.fixture
    def broken(self, data) -> Path:
        """Frame 4 of every style of one video, which every window of it shows."""
        for style in "123":
            for path in (data / f"style_{style}" / "chess").iterdir():
                path.write_bytes(b"broken")
        return data / "style_1" / "chess"

    @pytest.mark.parametrize("workers", [0, 1])
    def test_stops_with_its_path(self, data, tmp_path, broken, workers):
        chosen = options(data, tmp_path, num_workers=workers)
        words = r"(?s)chess: \S*chess/000001\.png.*\nRepair it, or give `on_bad_video` skip"
        with pytest.raises(DataError, match=words):
            main.measure(Config(**chosen))

    def test_skip_drops_the_video_for_all_factors_and_lists_it(
        self, sound, data, tmp_path, broken, capsys
    ):
        chosen = options(
            data, tmp_path, stg="all", on_bad_video="skip", max_bad=20, run_name="skip"
        )
        found = main.measure(Config(**chosen))
        assert list(skipped(found.folder)) == ["chess"]
        assert "000001.png" in skipped(found.folder)["chess"]
        assert (
            f"left out: 1 video, see {found.folder}/skipped_videos.csv" in capsys.readouterr().out
        )
        assert {e.n_pairs for e in found.results.estimates.values()} == {(4, 4, 0)}

        # The same numbers as from the plan without that video.
        lines = (found.folder / "plan.csv").read_text().splitlines()
        (tmp_path / "rest.csv").write_text("\n".join(x for x in lines if "chess" not in x))
        rest = options(sound, tmp_path, stg="all", pairs=tmp_path / "rest.csv", run_name="rest")
        expected = main.measure(Config(**rest))
        for stage, estimate in expected.results.estimates.items():
            own = found.results.estimates[stage]
            np.testing.assert_allclose(own.scores, estimate.scores, atol=1e-5)
            np.testing.assert_allclose(own.unit_scores, estimate.unit_scores, atol=1e-4)

    def test_list_goes_when_the_video_is_repaired(self, sound, data, tmp_path, broken):
        config = Config(**options(data, tmp_path, stg="5", on_bad_video="skip"))
        folder = main.measure(config).folder
        assert list(skipped(folder)) == ["chess"]
        shutil.copytree(sound, data, dirs_exist_ok=True)
        again = main.measure(config)
        assert again.folder == folder
        assert again.results.estimates["5"].n_pairs == (5, 5, 0)
        assert not (folder / "skipped_videos.csv").exists()

    def test_a_frame_that_no_clip_shows_may_be_broken(self, data, tmp_path):
        # dance has 12 frames, so all its clips show 0, 2, 4, 6, 8, 10, then 0 and 3 again.
        for style in "123":
            (data / f"style_{style}" / "dance" / "000002.png").write_bytes(b"broken")
        computed(prepare(Config(**options(data, tmp_path))))

    def test_too_few_videos_left_says_so(self, data, tmp_path):
        for path in data.rglob("*.png"):
            if path.parent.name != "chess":
                path.write_bytes(b"broken")
        with pytest.raises(DataError, match=r"factor 0 \(dynamic\) has 1 pairs, at least 2"):
            main.measure(Config(**options(data, tmp_path, on_bad_video="skip", max_bad=100)))

    def test_no_video_left_says_so(self, data, tmp_path):
        for path in data.rglob("*.png"):
            path.write_bytes(f"broken {path.parts[-3]}".encode())
        with pytest.raises(DataError, match=r"factor 0 \(dynamic\) has 0 pairs, at least 2"):
            main.measure(Config(**options(data, tmp_path, on_bad_video="skip", max_bad=100)))


class TestSeveralCorruptFrames:
    """All unreadable videos are named at once, so that they are repaired at once."""

    def break_videos(self, data: Path, *videos: str) -> dict[Path, bytes]:
        """Break the first frame of videos in every style; returns what the files were."""
        frames = [p for p in data.rglob("000001.png") if p.parent.name in videos]
        whole = {path: path.read_bytes() for path in frames}
        for path in frames:
            path.write_bytes(whole[path][:50])
        return whole

    def start_at_first_frame(self, data: Path, save_dir: Path) -> Config:
        return Config(**options(data, save_dir, start="first", batch_size=1, stg="5"))

    def test_all_are_named_and_what_was_computed_is_kept(self, data, tmp_path, monkeypatch):
        whole = self.break_videos(data, "ball", "dance", "eggs")
        config = self.start_at_first_frame(data, tmp_path / "runs")
        with pytest.raises(DataError) as stop:
            main.measure(config)
        head, *named, advice = str(stop.value).splitlines()
        assert head == "3 videos with a frame that cannot be read:"
        assert {line.split(":")[0].strip() for line in named} == {"ball", "dance", "eggs"}
        assert all("000001.png" in line for line in named)
        assert advice.startswith("Repair them")
        folder = tmp_path / "runs" / "demo_motion_plain_seed1"
        done = helpers_runs.done(folder)
        (kept,) = stop.value.__notes__
        assert f"{done.sum()} of 20 clips are kept; finish with the same command, or" in kept
        assert f"--resume {folder}" in kept
        assert not (folder / "layerwise.csv").exists()

        # Repaired, the rest is computed.
        for path, content in whole.items():
            path.write_bytes(content)
        forwards = Forwards(monkeypatch)
        assert main.measure(config).folder == folder
        assert sum(forwards.sizes) == 20 - done.sum()

    def test_none_is_computed_after_the_first(self, data, tmp_path, monkeypatch):
        order = [clip.video for clip in prepare(self.start_at_first_frame(data, tmp_path)).rows]
        first, second = list(dict.fromkeys(order))[1:3]
        self.break_videos(data, first, second)
        with pytest.raises(DataError, match=f"(?s)2 videos .*{first}: .*{second}: "):
            main.measure(self.start_at_first_frame(data, tmp_path))
        done = helpers_runs.done(tmp_path / "demo_motion_plain_seed1")
        assert done.tolist() == [row < order.index(first) for row in range(20)]

    def test_ten_are_named_at_most(self, tmp_path):
        data = write_videos(tmp_path / "videos", {f"v{i:02d}": 8 for i in range(12)}, "12")
        self.break_videos(data, *(f"v{i:02d}" for i in range(12)))
        chosen = {**options(data, tmp_path), "styles": ("1", "2")}
        with pytest.raises(DataError) as stop:
            main.measure(Config(**chosen))
        head, *lines = str(stop.value).splitlines()
        assert head == "10 videos or more with a frame that cannot be read:"
        assert sum("000001.png" in line for line in lines) == 10

    def test_folders_that_cannot_be_used_are_named_together_too(self, data, tmp_path):
        for video in ("ball", "dance"):
            (data / "style_2" / video / "000003.png").unlink()
        with pytest.raises(UserError, match=r"(?s)2 of the videos .*ball: .*dance: .*Repair them"):
            main.measure(self.start_at_first_frame(data, tmp_path))


class TestNotFinite:
    """A network that gives NaN for some clips."""

    @pytest.fixture
    def nan_for_ball(self, sound, tmp_path, monkeypatch) -> Config:
        """A run in which the network gives NaN for every shuffled clip of one video."""
        config = Config(**options(sound, tmp_path, stg="4,5", batch_size=4))
        shuffled = [clip for clip in prepare(config).rows if clip.video == "ball" and clip.shuffle]
        assert shuffled
        order, features = list(prepare(config).rows), LoadedNetwork.features
        seen = []

        def broken(network, inputs):
            found = features(network, inputs)
            batch = order[len(seen) : len(seen) + len(inputs[0])]
            seen.extend(batch)
            for row, clip in enumerate(batch):
                if clip in shuffled:
                    found["5"][row, 3] = np.nan
            return found

        monkeypatch.setattr(LoadedNetwork, "features", broken)
        return config

    def test_stops_with_the_clip_and_a_way_out(self, nan_for_ball):
        words = (
            r"clip ball \(style ., start \d+, shuffle \d+\), stage 5, unit 3: the feature is nan"
        )
        with pytest.raises(DataError, match=rf"{words}\. Give `on_nan` skip"):
            main.measure(nan_for_ball)

    @pytest.mark.parametrize("batch_size", [1, 4])
    def test_skip_leaves_the_video_out_of_all_factors(self, nan_for_ball, capsys, batch_size):
        found = main.measure(replace(nan_for_ball, on_nan="skip", batch_size=batch_size))
        assert skipped(found.folder) == {"ball": "stage 5, unit 3: the feature is nan"}
        assert "left out: 1 video" in capsys.readouterr().out
        assert {e.n_pairs for e in found.results.estimates.values()} == {(4, 4, 0)}
        done = helpers_runs.done(found.folder)
        assert done.sum() == len(done) - 2  # its clips in order are kept

    def test_too_many_stop(self, nan_for_ball):
        config = replace(nan_for_ball, on_nan="skip", on_bad_video="skip", max_bad=19.9)
        with pytest.raises(UserError, match=r"1 of 5 videos \(20 %\) .* `max_bad` 19\.9 allows"):
            main.measure(config)


class TestTooMany:
    @pytest.fixture
    def two_of_five(self, data) -> Path:
        for video in ("ball", "dance"):
            (data / "style_2" / video / "000001.png").unlink()
            (data / "style_2" / video / "000003.png").unlink()
        return data

    def test_folders(self, two_of_five, tmp_path):
        chosen = options(two_of_five, tmp_path, on_bad_video="skip")
        words = r"(?s)2 of 5 videos \(40 %\) .*`max_bad` 20 allows:\n  ball: .*\n  dance: .*larger"
        with pytest.raises(UserError, match=words):
            main.measure(Config(**chosen))
        assert not (tmp_path / "demo_motion_plain_seed1").exists()
        found = main.measure(Config(**{**chosen, "max_bad": 40}))
        assert list(skipped(found.folder)) == ["ball", "dance"]

    def test_frames_that_turn_out_to_be_damaged(self, data, tmp_path):
        for path in data.rglob("*.png"):
            if path.parent.name in ("ball", "dance"):
                path.write_bytes(b"broken")
        chosen = options(data, tmp_path, on_bad_video="skip", batch_size=1)
        with pytest.raises(UserError, match=r"2 of 5 videos \(40 %\)") as stop:
            main.measure(Config(**chosen))
        assert "clips are kept; finish with the same command" in helpers_runs.notes(stop.value)
        main.measure(Config(**{**chosen, "max_bad": 50}))


class TestBadFolders:
    def test_skip_drops_a_video_with_a_hole_and_lists_it(self, data, tmp_path):
        for style in "23":
            (data / f"style_{style}" / "ball" / "000005.png").unlink()
        found = main.measure(Config(**options(data, tmp_path, on_bad_video="skip")))
        assert list(skipped(found.folder)) == ["ball"]
        assert "000005.png is missing" in skipped(found.folder)["ball"]
        assert "ball" not in (found.folder / "plan.csv").read_text()

    def test_no_list_where_nothing_is_skipped(self, data, tmp_path):
        found = main.measure(Config(**options(data, tmp_path, on_bad_video="skip")))
        assert not (found.folder / "skipped_videos.csv").exists()

    def test_folder_missing_in_the_first_style_is_a_problem(self, data, tmp_path):
        shutil.rmtree(data / "style_1" / "ball")
        with pytest.raises(UserError, match="ball"):
            main.measure(Config(**options(data, tmp_path)))
