"""What stops a run, when, and with which words; and videos left out by request."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import main
from config import Config
from measure import pipeline
from measure.prepare import prepare
from tests import helpers_runs
from tests.helpers_runs import as_argv, options, read_rows
from utils import DataError, UserError

sound = helpers_runs.videos
ROOT = Path(__file__).parents[1]


@pytest.fixture
def data(sound, tmp_path) -> Path:
    """A copy of the videos, to be broken."""
    return Path(shutil.copytree(sound, tmp_path / "videos"))


def skipped(folder: Path) -> dict[str, str]:
    return {row["video"]: row["reason"] for row in read_rows(folder / "skipped_videos.csv")}


class TestRequest:
    """Refused before any network is loaded or folder made."""

    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch):
        monkeypatch.setattr(main, "load_network", lambda plan: pytest.fail("the network is loaded"))

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            pytest.param({"model": "i3"}, "'i3' is not known.*Did you mean 'i3d'", id="model"),
            pytest.param({"stg": "6"}, "stage '6' is not in .*Available: 1, 2, 3", id="stage"),
            pytest.param({"stg": "1,res5"}, "stage 'res5' is not in", id="one of two stages"),
            pytest.param({"device": "cuda:99"}, "cuda:99 is not on this machine", id="device"),
            pytest.param({"styles": ("1", "7")}, "give `styles` 1,2,3", id="style"),
            pytest.param({"styles": ("1",)}, "needs two styles", id="one style"),
            pytest.param(
                {"use_normal_app": True}, "missing style folders.*original", id="original"
            ),
            pytest.param({"m_same": False}, "needs action classes", id="m_same without classes"),
            pytest.param({"n_examples": 2}, "too few pairs for the factor 'dynamic'", id="pairs"),
            pytest.param({"residual_index": 0}, "`residual_index` 0", id="residual"),
            pytest.param({"stylized_data_dir": Path("no")}, "no is not a folder", id="no folder"),
            pytest.param({"dataset": "ssv2"}, r"labels\.json does not exist", id="no JSON"),
            pytest.param({"pairs": Path("no.csv")}, r"no\.csv cannot be read", id="no plan"),
            pytest.param({"checkpoint": "no.pyth"}, r"no\.pyth is not a file", id="no checkpoint"),
        ],
    )
    def test_refused(self, data, tmp_path, more, words):
        with pytest.raises(UserError, match=words):
            main.measure(Config(**{**options(data, tmp_path / "runs"), **more}))
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            ("i3d", r"I3D_8x8_R50\.pkl.*https://.*MODEL_ZOO\.md.*`checkpoint`"),
            ("slowfast_r50_8x8", r"SLOWFAST_8x8_R50\.pkl from https://"),
            ("fast", "No weights of the fast pathway alone are published"),
        ],
    )
    def test_missing_checkpoint_says_where_weights_are_published(
        self, data, tmp_path, model, words
    ):
        chosen = options(data, tmp_path, model=model, checkpoint=None)
        with pytest.raises(UserError, match=rf"`checkpoint` is missing.*{words}.*random"):
            main.measure(Config(**chosen))

    def test_unequal_frame_counts(self, data, tmp_path):
        frames = data / "style_3" / "ball"
        shutil.copy(frames / "000018.png", frames / "000019.png")
        with pytest.raises(UserError, match=r"ball: unequal frame counts.*has 19.*has 18") as stop:
            main.measure(Config(**options(data, tmp_path)))
        assert "`on_bad_video` skip" in str(stop.value)

    def test_too_few_frames(self, data, tmp_path):
        for number in range(8, 10):
            (data / "style_1" / "eggs" / f"{number:06d}.png").unlink()
        with pytest.raises(UserError, match=r"eggs: too few frames.*has 7, at least 8"):
            main.measure(Config(**options(data, tmp_path)))


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
        with pytest.raises(DataError, match=r"video chess: .*chess/000001\.png.*`on_bad_video`"):
            main.measure(Config(**chosen))

    def test_skip_drops_the_video_for_all_factors_and_lists_it(
        self, sound, data, tmp_path, broken, capsys
    ):
        chosen = options(data, tmp_path, stg="all", on_bad_video="skip", run_name="skip")
        found = main.measure(Config(**chosen))
        assert list(skipped(found.folder)) == ["chess"]
        assert "000001.png" in skipped(found.folder)["chess"]
        assert "left out: 1 unreadable videos" in capsys.readouterr().out
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

    def test_a_frame_that_no_clip_shows_may_be_broken(self, data, tmp_path):
        # dance has 12 frames, so all its clips show 0, 2, 4, 6, 8, 10, then 0 and 3 again.
        for style in "123":
            (data / f"style_{style}" / "dance" / "000002.png").write_bytes(b"broken")
        main.compute_features(prepare(Config(**options(data, tmp_path))))

    def test_too_few_videos_left_says_so(self, data, tmp_path):
        for path in data.rglob("*.png"):
            if path.parent.name != "chess":
                path.write_bytes(b"broken")
        with pytest.raises(DataError, match=r"factor 0 \(dynamic\) has 1 pairs, at least 2"):
            main.measure(Config(**options(data, tmp_path, on_bad_video="skip")))

    def test_no_video_left_says_so(self, data, tmp_path):
        for path in data.rglob("*.png"):
            path.write_bytes(b"broken")
        with pytest.raises(DataError, match=r"factor 0 \(dynamic\) has 0 pairs, at least 2"):
            main.measure(Config(**options(data, tmp_path, on_bad_video="skip")))


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


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "inf"])
def test_feature_that_is_not_finite_stops_with_stage_unit_and_clip(
    data, tmp_path, monkeypatch, value
):
    original = pipeline.FrozenNetwork.features

    def features(network, inputs):
        found = original(network, inputs)
        found["4"][1, 3] = value
        return found

    monkeypatch.setattr(pipeline.FrozenNetwork, "features", features)
    chosen = options(data, tmp_path, stg="4,5", run_name="run")
    with pytest.raises(DataError, match=rf"stage 4, unit 3, clip .*: the feature is {value}") as e:
        main.measure(Config(**chosen))
    clip = read_rows(tmp_path / "run" / "features" / "clips.csv")[1]
    assert f"video {clip['video']}, style {clip['style']}, start {clip['start']}" in str(e.value)
    assert not (tmp_path / "run" / "layerwise.csv").exists()


class TestProcess:
    """main.py as a command."""

    def run(self, *argv: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "main.py"), *argv]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            pytest.param({"residual_index": 1}, "--residual_index 1", id="contradiction"),
            pytest.param({"stylized_data_dir": "/no/such"}, "/no/such is not a folder", id="data"),
            pytest.param({"checkpoint": "none.pyth"}, "none.pyth is not a file", id="checkpoint"),
        ],
    )
    def test_user_error_is_one_message_and_exit_code_2(self, data, tmp_path, change, words):
        done = self.run(*as_argv({**options(data, tmp_path), **change}))
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
        assert "Traceback" not in done.stderr

    def test_bad_option_exits_with_2_and_names_it(self):
        done = self.run("--batch_size", "none")
        assert done.returncode == 2
        assert "argument --batch_size: 'none' is not an integer" in done.stderr
        assert "Traceback" not in done.stderr

    def test_success_exits_with_0(self, data, tmp_path):
        done = self.run(*as_argv(options(data, tmp_path, run_name="run", num_workers=1)))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"tables:  {tmp_path / 'run'}" in done.stdout
