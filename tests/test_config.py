"""The options: types, defaults, refusals, contradictions, and what they must not import."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from config import Config, add_options, as_json, load_config
from measure.request import resolved
from tests import helpers_config
from tests.helpers_config import parse
from utils import UserError

refused = helpers_config.refused

# fmt: off
OF_THE_STUDY = [
    "dataset", "model", "stg", "checkpoint", "stylized_data_dir", "save_dir", "styles",
    "n_examples", "n_factors", "residual_index", "joint_encoding", "joint_encoding_thresh", "path",
    "fuse", "app_shuffle", "use_normal_app", "m_same", "batch_size", "num_workers", "image_size",
    "n_sample_frames", "device", "random_seed", "cfg_file", "trained_on",
]
# fmt: on


def test_defaults_are_those_of_the_study():
    config = parse()
    assert config.styles == ("1", "2", "3", "4")
    assert (config.n_factors, config.residual_index) == (3, 2)
    assert config.joint_encoding_thresh == (0.5,)
    assert (config.app_shuffle, config.use_normal_app, config.m_same) == (True, False, True)
    assert (config.pairing, config.parts) == ("anchored", True)
    assert (config.path, config.fuse) == ("fast", True)
    # None: as the JSON configuration says, if there is one; else the network's, or the task's.
    assert (config.model, config.dataset, config.nreps, config.trained_on) == (None,) * 4
    assert config.stg == "all"
    usual = resolved(config, {})
    assert (usual.model, usual.dataset) == ("i3d", "StylizedActivityNet")
    assert resolved(Config(model="matnet"), {}).dataset == "StylizedDAVIS"
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
        assert f"{text!r} is not one of True, False, 1, 0" in refused("--fuse", text)


class TestNumbers:
    @pytest.mark.parametrize(
        ("name", "low"),
        [
            ("batch_size", 1),
            ("num_workers", 0),
            ("n_examples", 1),
            ("n_sample_frames", 1),
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

    def test_passes_over_sequences(self, refused):
        assert parse("--model", "matnet", "--nreps", "1").nreps == 1
        assert "argument --nreps: 0 is below 1" in refused("--model", "matnet", "--nreps", "0")

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

    @pytest.mark.parametrize(
        ("option", "name", "text", "value"),
        [
            ("image_size", "image_size", "112", (112, 112)),
            ("crop", "image_size", "112", (112, 112)),
            ("crop_size", "image_size", "480,854", (480, 854)),
            ("crop_size", "image_size", "480x854", (480, 854)),
            ("split", "subset", "val", "val"),
            ("stylized_data_root", "stylized_data_dir", "there", Path("there")),
        ],
    )
    def test_other_names_of_options(self, option, name, text, value):
        assert getattr(parse(f"--{option}", text), name) == value

    @pytest.mark.parametrize("text", ["0", "-1", "", "big", "1.5", "480,", "480,854,3", "0,480"])
    def test_crop_refused(self, refused, text):
        message = refused(f"--image_size={text}")
        assert f"{text!r} is not a size like 256 or 480,854" in message

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


class TestValuesInPython:
    """`Config(...)` takes what the command line takes, and what JSON holds."""

    @pytest.mark.parametrize(
        ("name", "given", "value"),
        [
            ("stylized_data_dir", "videos", Path("videos")),
            ("save_dir", Path("runs"), Path("runs")),
            ("styles", "1,2", ("1", "2")),
            ("styles", ["1", "2"], ("1", "2")),
            ("image_size", "480,854", (480, 854)),
            ("image_size", [480, 854], (480, 854)),
            # As an int, it was taken, and failed much later.
            ("image_size", 112, (112, 112)),
            ("stg", 5, "5"),
            ("device", 0, "0"),
            ("mean", 0.4, (0.4,)),
            ("joint_encoding_thresh", [0.3, 0.5], (0.3, 0.5)),
            ("fuse", "False", False),
            ("fuse", 0, False),
            ("batch_size", "3", 3),
            ("unit_dim", -1, -1),
        ],
    )
    def test_taken(self, name, given, value):
        found = getattr(Config(**{name: given}), name)
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("name", "given", "words"),
        [
            ("styles", "1,1", "is not a list of distinct names"),
            ("fuse", "yes", "is not one of True, False"),
            ("batch_size", 0, "0 is below 1"),
            ("batch_size", "many", "'many' is not an integer"),
            ("path", "diagonal", "'diagonal' is not known.*slow, fast, cat"),
            ("dataset", "SSv2", r"'SSv2' is not known\. Did you mean 'ssv2'\?"),
            ("image_size", [0, 480], "is not a size"),
            ("image_size", [1, 2, 3], "is not a size"),
            ("std", 0, "above 0"),
            ("unit_dim", "last", "last"),
        ],
    )
    def test_refused_with_the_field(self, name, given, words):
        with pytest.raises(UserError, match=f"^`{name}`: .*{words}"):
            Config(**{name: given})

    def test_a_changed_copy_is_checked_as_well(self):
        config = Config(styles="1,2", image_size=64)
        assert dataclasses.replace(config, stg=4) == Config(styles="1,2", image_size=64, stg="4")
        with pytest.raises(UserError, match="`n_examples`: 0 is below 1"):
            dataclasses.replace(config, n_examples=0)


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
