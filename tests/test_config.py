"""The command line: types, defaults, refusals, contradictions, and what it must not import."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from config import Config, add_options, as_json, load_config
from utils import UserError

ROOT = Path(__file__).parents[1]
# Of action recognition; `cfg_file` and `trained_on` belong to the segmentation study.
# fmt: off
OF_THE_STUDY = [
    "dataset", "model", "stg", "checkpoint", "stylized_data_dir", "save_dir", "styles",
    "n_examples", "n_factors", "residual_index", "joint_encoding", "joint_encoding_thresh", "path",
    "fuse", "app_shuffle", "use_normal_app", "m_same", "batch_size", "num_workers", "image_size",
    "n_sample_frames", "device", "random_seed",
]
# fmt: on
DATA = ["--stylized_data_dir", "videos"]


def parse(*argv: str) -> Config:
    return load_config([*DATA, *argv])


@pytest.fixture
def refused(capsys):
    """A function that parses options which must be refused and returns the last line shown."""

    def run(*argv: str) -> str:
        with pytest.raises(SystemExit) as leave:
            parse(*argv)
        assert leave.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return run


def test_defaults_are_those_of_the_study():
    config = parse()
    assert config.styles == ("1", "2", "3", "4")
    assert (config.n_factors, config.residual_index) == (3, 2)
    assert config.joint_encoding_thresh == (0.5,)
    assert (config.app_shuffle, config.use_normal_app, config.m_same) == (True, False, True)
    assert (config.path, config.fuse, config.model) == ("fast", True, "i3d")
    assert config.save_dir == Path("dim_outputs")
    assert config.joint_encoding is False


def test_commands_of_the_contract_parse():
    data = ["--stylized_data_dir", "DIR", "--dataset", "StylizedActivityNet"]
    config = load_config(["--joint_encoding", "True", *data, "--model", "i3d", "--stg", "5"])
    assert config.joint_encoding is True
    assert (config.dataset, config.model, config.stg) == ("StylizedActivityNet", "i3d", "5")
    assert config.stylized_data_dir == Path("DIR")


@pytest.mark.parametrize("name", OF_THE_STUDY)
def test_option_of_the_study_exists(name):
    assert name in {option.name for option in dataclasses.fields(Config)}


class TestBooleans:
    NAMES = ("joint_encoding", "app_shuffle", "use_normal_app", "m_same", "fuse")

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(
        ("text", "value"),
        [("True", True), ("1", True), ("true", True), ("False", False), ("0", False)],
    )
    def test_accepted(self, name, text, value):
        assert getattr(parse(f"--{name}", text), name) is value

    @pytest.mark.parametrize("text", ["yes", "2", "", "Falsch", "None"])
    def test_refused(self, refused, text):
        assert "is none of True, False, 1, 0" in refused("--fuse", text)


class TestNumbers:
    @pytest.mark.parametrize(
        ("name", "low"),
        [
            ("batch_size", 1),
            ("num_workers", 0),
            ("n_examples", 1),
            ("n_sample_frames", 1),
            ("image_size", 8),
            ("random_seed", 0),
            ("num_classes", 1),
            ("clip_frames", 1),
            ("sampling_rate", 1),
        ],
    )
    def test_smallest_value_and_the_one_below(self, refused, name, low):
        assert getattr(parse(f"--{name}", str(low)), name) == low
        message = refused(f"--{name}", str(low - 1))
        assert f"--{name}" in message
        assert f"{low - 1} is below {low}" in message

    @pytest.mark.parametrize("text", ["eight", "1.5", "", "1e3"])
    def test_text_is_refused(self, refused, text):
        assert f"{text!r} is not an integer" in refused("--batch_size", text)

    def test_no_residual(self):
        config = parse("--residual_index", "-1", "--n_factors", "4")
        assert (config.residual_index, config.n_factors) == (-1, 4)


class TestClips:
    def test_nothing_is_chosen_by_default(self):
        config = parse()
        chosen = (config.clip_frames, config.sampling_rate, config.image_size, config.unit_dim)
        assert chosen == (None,) * 4
        assert (config.mean, config.std, config.weights_dir) == (None, None, None)

    @pytest.mark.parametrize("name", ["crop", "image_size"])
    def test_crop_has_two_names(self, name):
        assert parse(f"--{name}", "112").image_size == 112

    @pytest.mark.parametrize("text", ["-1", "0", "4"])
    def test_axis_of_the_units(self, text):
        assert parse("--unit_dim", text).unit_dim == int(text)

    @pytest.mark.parametrize(
        ("text", "expected"), [("0.5", (0.5,)), ("0.4,0.5,0.6", (0.4, 0.5, 0.6)), ("1", (1.0,))]
    )
    @pytest.mark.parametrize("name", ["mean", "std"])
    def test_colours(self, name, text, expected):
        assert getattr(parse(f"--{name}", text), name) == expected

    @pytest.mark.parametrize("text", ["", "grey", "0.5,0.5", "1,2,3,4", "0.5;0.5;0.5"])
    @pytest.mark.parametrize("name", ["mean", "std"])
    def test_colours_refused(self, refused, name, text):
        assert "is not one number or three" in refused(f"--{name}", text)

    @pytest.mark.parametrize("text", ["0", "-1", "0.2,0,0.2"])
    def test_deviations_are_above_zero(self, refused, text):
        assert "standard deviations are above 0" in refused(f"--std={text}")
        assert min(parse(f"--mean={text}").mean) <= 0


class TestLists:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1,2,3,4", ("1", "2", "3", "4")),
            ("4,2", ("4", "2")),
            (" wave , udnie ", ("wave", "udnie")),
            ("1,", ("1",)),
        ],
    )
    def test_styles(self, text, expected):
        assert parse("--styles", text).styles == expected

    @pytest.mark.parametrize("text", ["", ",", "1,2,1"])
    def test_styles_refused(self, refused, text):
        assert "is not a list of distinct names" in refused("--styles", text)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0.5", (0.5,)),
            ("0.3,0.5,0.7", (0.3, 0.5, 0.7)),
            ("0.5,0.5", (0.5,)),
            ("-0.5", (-0.5,)),
            ("0", (0.0,)),
        ],
    )
    def test_thresholds(self, text, expected):
        assert parse("--joint_encoding_thresh", text).joint_encoding_thresh == expected

    @pytest.mark.parametrize("text", ["", "half", "0.5;0.7", "0.5,,0.7"])
    def test_thresholds_that_are_no_numbers(self, refused, text):
        assert "is not a list of numbers" in refused("--joint_encoding_thresh", text)

    @pytest.mark.parametrize("text", ["1", "1.5", "-1.1", "nan", "inf", "0.5,2"])
    def test_thresholds_out_of_range(self, refused, text):
        assert "thresholds lie in [-1, 1)" in refused(f"--joint_encoding_thresh={text}")


class TestRefusals:
    def test_unknown_and_shortened_options(self, refused):
        assert "--stage" in refused("--stage", "5")
        assert "--n_ex" in refused("--n_ex", "5")

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("dataset", "StylizedActivityNet"),
            ("path", "slow"),
            ("pairing", "exhaustive"),
            ("on_bad_video", "skip"),
        ],
    )
    def test_unknown_choice_lists_the_known_ones(self, refused, name, known):
        message = refused(f"--{name}", "nonsense")
        assert "nonsense" in message
        assert known in message

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            pytest.param("--residual_index 0", "`residual_index` 0 .* expected -1 or 2", id="dyn"),
            pytest.param("--residual_index 1", "dynamic and static", id="residual is static"),
            pytest.param("--residual_index 3", "expected -1 or 2", id="residual out of range"),
            pytest.param("--n_factors 5", "4 factors at most", id="five factors"),
            pytest.param(
                "--n_factors 2", r"give `residual_index` -1", id="two factors and a residual"
            ),
            pytest.param(
                "--use_normal_app True --app_shuffle False",
                "`use_normal_app` True goes with `app_shuffle` True",
                id="unstylized, not shuffled",
            ),
            # Given pairs would win, and the other option be ignored without a word.
            pytest.param("--pairs plan.csv --n_examples 9", "`n_examples`", id="pairs, n_examples"),
            pytest.param("--pairs plan.csv --pairing sampled", "`pairing`", id="pairs, pairing"),
            pytest.param("--pairs plan.csv --m_same False", "`m_same`", id="pairs, m_same"),
            pytest.param("--pairs plan.csv --app_shuffle 0", "`app_shuffle`", id="pairs, shuffle"),
        ],
    )
    def test_contradiction_is_refused(self, argv, words):
        with pytest.raises(UserError, match=words):
            parse(*argv.split())

    def test_data_folder_is_needed_but_for_the_synthetic_set(self):
        with pytest.raises(UserError, match="`stylized_data_dir` is missing"):
            load_config(["--model", "i3d"])
        assert load_config(["--dataset", "synthetic"]).stylized_data_dir is None


class TestResume:
    """`resume` DIR` alone repeats the options of that run."""

    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        config = Config(
            model="c2d",
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
        assert (config.batch_size, config.fuse, config.model) == (3, True, "c2d")

    def test_run_name_is_refused(self, folder):
        with pytest.raises(UserError, match="leave out `run_name`"):
            load_config(["--resume", str(folder), "--run_name", "second"])

    @pytest.mark.parametrize(
        "argv",
        ["--pairs other.csv", "--n_examples 99", "--pairing sampled", "--m_same False"],
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


def test_record_is_json_and_complete():
    record = json.loads(json.dumps(as_json(parse("--n_examples", "3"))))
    assert set(record) == {option.name for option in dataclasses.fields(Config)}
    assert record["stylized_data_dir"] == str(Path("videos").absolute())
    assert record["styles"] == ["1", "2", "3", "4"]
    assert record["checkpoint"] is None


@pytest.mark.parametrize(
    ("option", "given", "recorded"),
    [
        ("checkpoint", "auto", "auto"),
        ("checkpoint", "random", "random"),
        ("checkpoint", "weights/i3d.pkl", "{here}/weights/i3d.pkl"),
        ("weights_dir", "weights", "{here}/weights"),
        ("model", "i3d", "i3d"),
        ("model", "torchvision:r3d_18", "torchvision:r3d_18"),
        ("model", "nets/my_net.py:build", "{here}/nets/my_net.py:build"),
        # A folder, and an id of the same form where there is no such folder.
        ("model", "hf:nets/vivit", "hf:{here}/nets/vivit"),
        ("model", "hf:google/vivit", "hf:google/vivit"),
    ],
)
def test_record_can_be_resumed_from_elsewhere(option, given, recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets" / "vivit").mkdir(parents=True)
    record = as_json(parse(f"--{option}", given))
    assert record[option] == recorded.format(here=tmp_path)


def test_part_of_the_options_can_be_added_to_another_parser():
    parser = argparse.ArgumentParser()
    add_options(parser, only=("model", "styles"))
    assert vars(parser.parse_args(["--styles", "2,3"])) == {"styles": ("2", "3")}
    assert "--batch_size" not in parser.format_help()


def test_help_shows_every_option_and_does_not_import_torch():
    script = (
        "import sys, main\n"
        "try:\n    main.main(['--help'])\n"
        "except SystemExit as leave:\n    assert leave.code == 0\n"
        "print([name for name in ('torch', 'matplotlib', 'scipy') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *shown, imported = result.stdout.splitlines()
    assert imported == "[]"
    options = {word for line in shown for word in line.split() if word.startswith("--")}
    assert {f"--{option.name}" for option in dataclasses.fields(Config)} <= options
