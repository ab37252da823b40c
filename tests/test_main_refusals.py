"""What stops a run, when, and with which words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import main
from config import Config
from measure.loaded import LoadedNetwork
from tests import helpers_runs
from tests.helpers_runs import as_argv, options, read_rows
from utils import DataError, UserError

sound, no_network = helpers_runs.videos, helpers_runs.no_network
ROOT = Path(__file__).parents[1]


@pytest.fixture
def data(sound, tmp_path) -> Path:
    """A copy of the videos, to be broken."""
    return Path(shutil.copytree(sound, tmp_path / "videos"))


@pytest.mark.usefixtures("no_network")
class TestRequest:
    """Refused before any network is loaded or folder made."""

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            pytest.param({"model": "i3"}, "'i3' is not known.*Did you mean 'i3d'", id="model"),
            pytest.param({"model": "I3D"}, "'I3D' is not known. Did you mean 'i3d'", id="case"),
            pytest.param(
                {"model": "sam", "dataset": None}, "'sam' cannot be run: .*Detectron", id="gone"
            ),
            pytest.param({"stg": "6"}, "stage '6' is not in .*Available: 1, 2, 3", id="stage"),
            pytest.param({"stg": "1,res5"}, "stage 'res5' is not in", id="one of two stages"),
            pytest.param({"device": "cuda:99"}, "cuda:99 is not on this machine", id="device"),
            pytest.param({"styles": ("1", "7")}, "give `styles` 1,2,3", id="style"),
            pytest.param({"styles": ("1",)}, "needs two styles", id="one style"),
            pytest.param(
                {"use_normal_app": True},
                "original is not a folder: .*`normal_data_dir`, or leave out `use_normal_app`",
                id="original",
            ),
            pytest.param({"m_same": False}, "needs action classes", id="m_same without classes"),
            pytest.param(
                {"n_examples": 2},
                "too few pairs for the factor 'dynamic': 1, .* give a larger `n_examples`$",
                id="pairs",
            ),
            pytest.param({"residual_index": 0}, "`residual_index` 0", id="residual"),
            pytest.param(
                {"stylized_data_dir": Path("no")},
                "`stylized_data_dir` no does not exist; expected a folder with style_1",
                id="no such folder",
            ),
            pytest.param(
                {"stylized_data_dir": None}, "`stylized_data_dir` is missing", id="no folder"
            ),
            pytest.param({"dataset": "ssv2"}, r"labels\.json does not exist", id="no JSON"),
            pytest.param(
                {"pairs": Path("no.csv")}, r"`pairs`: no\.csv does not exist", id="no plan"
            ),
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

    @pytest.mark.parametrize("more", [[], ["--list_stages"]], ids=["measured", "listed"])
    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ("--model matnet --app_shuffle True", "`app_shuffle` is for networks of action"),
            ("--model demo_motion --nreps 1", "`nreps` is for networks of segmentation"),
            ("--n_factors 9", "4 factors at most"),
        ],
    )
    def test_options_that_do_not_go_together(self, argv, words, more):
        with pytest.raises(UserError, match=words):
            main.main([*argv.split(), *more])

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


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "inf"])
def test_feature_that_is_not_finite_stops_with_stage_unit_and_clip(
    data, tmp_path, monkeypatch, value
):
    original = LoadedNetwork.features

    def features(network, inputs):
        found = original(network, inputs)
        found["4"][1, 3] = value
        return found

    monkeypatch.setattr(LoadedNetwork, "features", features)
    chosen = options(data, tmp_path, stg="4,5", run_name="run")
    with pytest.raises(DataError, match=rf"clip .*, stage 4, unit 3: the feature is {value}") as e:
        main.measure(Config(**chosen))
    clip = read_rows(tmp_path / "run" / "features" / "clips.csv")[1]
    assert f"{clip['video']} (style {clip['style']}, start {clip['start']}" in str(e.value)
    assert not (tmp_path / "run" / "layerwise.csv").exists()


class TestProcess:
    """main.py as a command."""

    def run(self, *argv: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "main.py"), *argv]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            pytest.param(
                {"residual_index": 1}, "--residual_index 1 with --n_factors", id="factors"
            ),
            pytest.param(
                {"stylized_data_dir": "/no/such"}, "--stylized_data_dir /no/such", id="data"
            ),
            pytest.param({"checkpoint": "no.pyth"}, "--checkpoint no.pyth is not a", id="weights"),
            pytest.param({"model": "I3D"}, "--model 'I3D' is not known. Did you mean", id="model"),
            pytest.param({"model": "matnet"}, "--dataset plain is for networks of", id="task"),
            pytest.param({"path": "slow"}, "--path slow: network 'demo_motion' does", id="pathway"),
        ],
    )
    def test_user_error_is_one_message_and_exit_code_2(self, data, tmp_path, change, words):
        done = self.run(*as_argv({**options(data, tmp_path), **change}))
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {words}")
        assert "`" not in line
        assert done.stdout == ""

    def test_bad_option_exits_with_2_and_names_it(self):
        done = self.run("--batch_size", "none")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: argument --batch_size: 'none' is not an integer.")

    def test_success_exits_with_0(self, data, tmp_path):
        done = self.run(*as_argv(options(data, tmp_path, run_name="run", num_workers=1)))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"tables:  {tmp_path / 'run'}" in done.stdout
