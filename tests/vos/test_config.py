"""The segmentation study's command line, and the JSON configurations beside it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers_vos import as_argv, quick
from utils import DataError, UserError
from vos.config import VosConfig, as_json, configured, load_config
from vos.registry import GONE, find

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "configs").rglob("*.json"))
# fmt: off
OF_THE_STUDY = [
    "dataset", "stg", "checkpoint", "stylized_data_dir", "save_dir", "styles", "n_factors",
    "residual_index", "joint_encoding", "joint_encoding_thresh", "batch_size", "num_workers",
    "device", "random_seed", "cfg_file", "trained_on",
]
# fmt: on
CONTENT = {
    "original_data_root": "json/DAVIS",
    "stylized_data_root": "json/Stylized",
    "split": "val",
    "nreps": 5,
    "crop_size": [480, 854],
    "model": "matnet",
}
ENVIRONMENT = {"ORIGINAL_DATA_ROOT": "env/DAVIS", "STYLIZED_DATA_ROOT": "env/Stylized"}


@pytest.fixture
def written(tmp_path):
    """A function that writes a configuration with some keys changed, None leaves one out."""

    def write(**changes) -> Path:
        content = {k: v for k, v in {**CONTENT, **changes}.items() if v is not None}
        (tmp_path / "cfg.json").write_text(json.dumps(content))
        return tmp_path / "cfg.json"

    return write


class TestCommandLine:
    def test_defaults_are_those_of_the_study(self):
        config = load_config([])
        assert config == VosConfig()
        assert config.styles == ("1", "2", "3", "4")
        assert (config.n_factors, config.residual_index) == (3, 2)
        assert (config.joint_encoding, config.joint_encoding_thresh) == (False, (0.5,))
        assert (config.stg, config.random_seed) == ("all", 1)
        assert config.save_dir == Path("dim_outputs/vos_models")

    def test_options_of_the_study_exist(self):
        names = {field.name for field in dataclasses.fields(VosConfig)}
        assert set(OF_THE_STUDY) - names == {"stylized_data_dir"}
        config = load_config(["--stylized_data_dir", "DIR"])
        assert config.stylized_data_root == Path("DIR")

    def test_false_is_false(self):
        # In the study any text was true, so that every seed wrote the joint-encoding files.
        assert load_config(["--joint_encoding", "False"]).joint_encoding is False
        assert load_config(["--joint_encoding", "True"]).joint_encoding is True

    def test_options_survive_the_command_line(self, tmp_path):
        config = quick(tmp_path, tmp_path / "out", crop_size=(12, 20), nreps=3, styles=("4", "2"))
        assert load_config(as_argv(config)) == config

    @pytest.mark.parametrize("text", ["480,854", "480, 854", " 480 ,854"])
    def test_size(self, text):
        assert load_config(["--crop_size", text]).crop_size == (480, 854)

    @pytest.mark.parametrize("text", ["480", "480,854,3", "480x854", "480,-1", "0,854", "480,", ""])
    def test_size_refused(self, capsys, text):
        with pytest.raises(SystemExit) as leave:
            load_config(["--crop_size", text])
        assert leave.value.code == 2
        assert "is not a height and a width like 480,854" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ("--residual_index 1", "dynamic and static"),
            ("--n_factors 2", "give `residual_index` -1"),
            ("--n_factors 5", "4 factors at most"),
            ("--pairing exhaustive --nreps 2", "visits every sequence once: leave out `nreps`"),
            ("--pairs plan.csv --nreps 2", r"plan\.csv holds the pairs already"),
            ("--pairs plan.csv --pairing sampled", r"plan\.csv holds the pairs already"),
        ],
    )
    def test_contradiction_is_refused(self, argv, words):
        with pytest.raises(UserError, match=words):
            load_config(argv.split())

    def test_help_shows_every_option_and_does_not_import_torch(self):
        script = (
            "import sys\nfrom vos.config import load_config\nimport vos.measure\n"
            "try:\n    load_config(['--help'])\n"
            "except SystemExit as leave:\n    assert leave.code == 0\n"
            "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
        )
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        )
        *shown, imported = result.stdout.splitlines()
        assert imported == "[]"
        words = {word.rstrip(",") for line in shown for word in line.split()}
        assert {f"--{field.name}" for field in dataclasses.fields(VosConfig)} <= words


class TestConfigured:
    def test_configuration_alone(self, written):
        said = configured(VosConfig(cfg_file=written()), {})
        assert (said.original, said.stylized) == (Path("json/DAVIS"), Path("json/Stylized"))
        assert (said.split, said.nreps, said.crop_size) == ("val", 5, (480, 854))
        assert said.network["model"] == "matnet"

    def test_environment_is_stronger_than_the_configuration(self, written):
        said = configured(VosConfig(cfg_file=written()), ENVIRONMENT)
        assert (said.original, said.stylized) == (Path("env/DAVIS"), Path("env/Stylized"))

    def test_command_line_is_stronger_than_both(self, written):
        options = VosConfig(
            cfg_file=written(),
            stylized_data_root=Path("mine"),
            split="train",
            nreps=1,
            crop_size=(64, 96),
        )
        said = configured(options, ENVIRONMENT)
        assert (said.original, said.stylized) == (Path("env/DAVIS"), Path("mine"))
        assert (said.split, said.nreps, said.crop_size) == ("train", 1, (64, 96))

    def test_empty_variable_says_nothing(self, written):
        said = configured(VosConfig(cfg_file=written()), {"ORIGINAL_DATA_ROOT": ""})
        assert said.original == Path("json/DAVIS")

    def test_variables_are_those_of_the_process(self, written, monkeypatch):
        monkeypatch.setenv("STYLIZED_DATA_ROOT", "process")
        assert configured(VosConfig(cfg_file=written())).stylized == Path("process")

    def test_visits_are_those_of_the_study_if_nothing_is_said_of_them(self, written):
        assert configured(VosConfig(cfg_file=written(nreps=None)), {}).nreps == 5

    def test_root_may_be_missing_in_the_configuration_if_said_elsewhere(self, written):
        cfg_file = written(original_data_root=None)
        assert configured(VosConfig(cfg_file=cfg_file), ENVIRONMENT).original == Path("env/DAVIS")
        with pytest.raises(DataError, match=r"'original_data_root' is missing; .*`original_data"):
            configured(VosConfig(cfg_file=cfg_file), {})

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"model": None}, "'model' is missing; set it there$"),
            ({"model": 3}, "'model' is 3"),
            ({"split": ["val"]}, r"'split' is \['val'\]; set it there, or give `split`"),
            ({"nreps": "5"}, "'nreps' is '5'"),
            ({"nreps": 0}, "nreps 0 is below 1"),
            ({"crop_size": "480,854"}, "'crop_size' is '480,854'"),
            ({"crop_size": [480]}, r"crop_size \[480\] is not \[height, width\]"),
            ({"crop_size": [480, 0]}, "is not"),
            ({"crop_size": [480.5, 854]}, "is not"),
            ({"trained_on": 3}, "'trained_on' is 3; set it there"),
            ({"variant": "img"}, "variant 'img' is not supported; expected 'img_flow'"),
            ({"sampling_method": "diff_sq"}, "'diff_sq' is not supported; expected 'noisy_flow'"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_its_key(self, written, changes, words):
        with pytest.raises(DataError, match=rf"cfg\.json: .*{words}"):
            configured(VosConfig(cfg_file=written(**changes)), {})

    @pytest.mark.parametrize("content", ["{", "[]", '{"extra_args": 3}'])
    def test_file_that_is_no_configuration_is_refused(self, tmp_path, content):
        (tmp_path / "cfg.json").write_text(content)
        with pytest.raises(DataError, match=r"cfg\.json"):
            configured(VosConfig(cfg_file=tmp_path / "cfg.json"), {})

    def test_missing_file_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"none\.json does not exist"):
            configured(VosConfig(cfg_file=tmp_path / "none.json"), {})


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_configuration_describes_a_network(path):
    said = configured(VosConfig(cfg_file=path), {})
    assert (said.split, said.crop_size) == ("val", (480, 854))
    assert said.nreps == (1 if "cinematograms" in path.stem else 5)
    model = said.network["model"]
    if model in GONE:
        with pytest.raises(UserError, match="cannot be run"):
            find(model, said.network)
    else:
        assert find(model, said.network).name == model


def test_record_is_json_complete_and_of_full_paths(tmp_path):
    config = quick(tmp_path, Path("out"), checkpoint="weights.pth")
    record = json.loads(json.dumps(as_json(config)))
    assert set(record) == {field.name for field in dataclasses.fields(VosConfig)}
    assert record["save_dir"] == str(Path("out").absolute())
    assert record["checkpoint"] == str(Path("weights.pth").absolute())
    assert record["pairs"] is None
    assert as_json(dataclasses.replace(config, checkpoint="random"))["checkpoint"] == "random"
