"""Options of a run that is resumed, read back from its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config import Config, as_json, load_config
from utils import UserError


class TestResume:
    """`--resume DIR` alone repeats the options of that run."""

    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        config = Config(
            model="slowfast_r50_8x8",
            styles=("3", "1"),
            fuse=False,
            joint_encoding_thresh=(0.3, 0.7),
            n_examples=12,
            run_name="first",
            image_size=64,
            device="cpu",
            save_dir=tmp_path,
            stylized_data_dir=Path("videos"),
        )
        (tmp_path / "config.json").write_text(json.dumps({"options": as_json(config)}))
        return tmp_path

    def test_options_come_back(self, folder):
        config = load_config(["--resume", str(folder)])
        assert (config.styles, config.joint_encoding_thresh) == (("3", "1"), (0.3, 0.7))
        assert (config.save_dir, config.resume) == (folder, folder)
        record = json.loads((folder / "config.json").read_text())["options"]
        again = json.loads(json.dumps(as_json(config)))
        changed = {name: (old, again[name]) for name, old in record.items() if old != again[name]}
        assert changed == {
            "run_name": ("first", None),
            "resume": (None, str(folder)),
        }

    def test_a_given_option_replaces_the_saved_one(self, folder):
        config = load_config(["--resume", str(folder), "--batch_size", "3", "--fuse", "1"])
        assert (config.batch_size, config.fuse, config.model) == (3, True, "slowfast_r50_8x8")

    @pytest.mark.parametrize("name", ["", "../other", "a/b", ".."])
    def test_run_name_is_that_of_a_folder(self, name):
        with pytest.raises(UserError, match="no name of a folder"):
            load_config(["--run_name", name])

    def test_run_name_is_refused(self, folder):
        with pytest.raises(UserError, match="leave out `run_name`"):
            load_config(["--resume", str(folder), "--run_name", "second"])

    @pytest.mark.parametrize(
        "argv",
        [
            *("--pairs other.csv", "--n_examples 99", "--pairing sampled", "--m_same False"),
            "--parts False",
        ],
    )
    def test_what_the_saved_plan_overrules_is_refused(self, folder, argv):
        with pytest.raises(UserError, match=argv.split()[0].removeprefix("--")):
            load_config(["--resume", str(folder), *argv.split()])

    def test_folder_without_a_run_is_refused(self, tmp_path):
        with pytest.raises(UserError, match=r"`resume` .*nowhere is not the folder of a run"):
            load_config(["--resume", str(tmp_path / "nowhere")])

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param("{", id="cut off"),
            pytest.param("{}", id="no options"),
            pytest.param("[]", id="a list"),
            pytest.param('{"options": {"batch_size": 0}}', id="value out of range"),
            pytest.param('{"options": {"unknown": 0}}', id="option of another version"),
        ],
    )
    def test_unusable_record_is_refused_with_its_path(self, tmp_path, content):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config\.json"):
            load_config(["--resume", str(tmp_path)])


# As versions before the segmentation networks moved in wrote them.
# fmt: off
OLD_OPTIONS = {
    "model": "slowfast_r50_4x16", "checkpoint": "random", "weights_dir": None,
    "num_classes": None, "allow_other_head": False, "stg": None, "unit_dim": None,
    "path": "fast", "fuse": True, "dataset": "plain", "stylized_data_dir": "/videos",
    "normal_data_dir": None, "subset": None, "styles": ["1", "2"], "n_sample_frames": None,
    "clip_frames": None, "sampling_rate": None, "image_size": 256, "mean": [0.4], "std": None,
    "on_bad_video": "stop", "random_seed": 3, "pairing": "anchored", "n_examples": None,
    "pairs": None, "app_shuffle": True, "use_normal_app": False, "m_same": True,
    "n_factors": 3, "residual_index": 2, "joint_encoding": False,
    "joint_encoding_thresh": [0.5], "save_dir": "/runs", "run_name": "old", "resume": None,
    "batch_size": 8, "num_workers": 2, "device": None,
}
# fmt: on


class TestOlderRecord:
    def test_options_come_back(self, tmp_path):
        record = {"options": OLD_OPTIONS, "stages": ["5"]}
        (tmp_path / "config.json").write_text(json.dumps(record))
        config = load_config(["--resume", str(tmp_path)])
        assert config == Config(
            model="slowfast_r50_4x16",
            checkpoint="random",
            stg="5",  # the default was the last stage, and is all now
            path="fast",
            dataset="plain",
            stylized_data_dir=Path("/videos"),
            styles=("1", "2"),
            image_size=(256, 256),
            mean=(0.4,),
            random_seed=3,
            save_dir=Path("/runs"),
            resume=tmp_path,
            batch_size=8,
        )
