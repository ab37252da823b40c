"""JSON configurations of segmentation networks, beside the options and the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config import Config, as_json, load_config
from measure.request import find_network, read_cfg_file, resolved
from models.catalogue import GONE
from tests.helpers_vos import as_argv, quick
from utils import DataError, UserError

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "configs").rglob("*.json"))
FUSIONSEG = "twostream_deeplabv3plus_resnet101"
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


def said(environment=None, **options) -> Config:
    """The options with what file and environment say; that of the process is not looked at."""
    return resolved(Config(**options), environment or {})


class TestCommandLine:
    def test_names_of_the_study_and_of_before_are_taken(self):
        given = "--cfg_file c.json --stylized_data_root DIR --split train --crop_size 480,854"
        config = load_config(given.split())
        assert config.stylized_data_dir == Path("DIR")
        assert (config.subset, config.image_size) == ("train", (480, 854))

    def test_options_survive_the_command_line(self, tmp_path):
        config = quick(tmp_path, tmp_path / "out", image_size=(12, 20), nreps=3, styles=("4", "2"))
        assert load_config(as_argv(config)) == config

    @pytest.mark.parametrize("text", ["480,854", "480, 854", " 480 ,854", "480x854"])
    def test_size(self, text):
        config = load_config(["--cfg_file", "c.json", "--crop_size", text])
        assert config.image_size == (480, 854)

    @pytest.mark.parametrize("text", ["480,854,3", "480,-1", "0,854", "480,", ""])
    def test_size_refused(self, capsys, text):
        with pytest.raises(SystemExit) as leave:
            load_config(["--crop_size", text])
        assert leave.value.code == 2
        assert "is not a size like 256 or 480,854" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ("--pairing exhaustive --nreps 2", "shows every sequence once: leave out `nreps`"),
            ("--pairing crossed --nreps 2", "crossed shows every sequence once: leave out `nreps`"),
            # The option that was given is named, not another one.
            ("--pairs plan.csv --nreps 2", r"plan\.csv holds the pairs already: .* `nreps`"),
            ("--pairs plan.csv --pairing sampled", r"holds the pairs already: .* `pairing`$"),
            ("--n_examples 5", "`n_examples` is for networks of action recognition, and this is"),
            ("--app_shuffle False", "`app_shuffle` is for networks of action recognition"),
            ("--num_classes 2", "`num_classes` is for networks of action recognition"),
        ],
    )
    def test_contradiction_is_refused(self, argv, words):
        with pytest.raises(UserError, match=words):
            load_config(["--cfg_file", "c.json", *argv.split()])

    @pytest.mark.parametrize(("option", "value"), [("nreps", "3"), ("original_data_root", "DIR")])
    def test_options_of_segmentation_are_refused_for_other_networks(self, option, value):
        words = f"`{option}` is for networks of segmentation, and this is one of action recognition"
        with pytest.raises(UserError, match=words):
            load_config(["--model", "i3d", f"--{option}", value])
        with pytest.raises(UserError, match=words):
            said(model="i3d", **{option: value})


class TestResolved:
    def test_configuration_alone(self, written):
        config = said(cfg_file=written())
        assert (config.model, config.dataset) == ("matnet", "StylizedDAVIS")
        assert config.original_data_root == Path("json/DAVIS")
        assert config.stylized_data_dir == Path("json/Stylized")
        assert (config.subset, config.nreps, config.image_size) == ("val", 5, (480, 854))

    def test_environment_is_stronger_than_the_configuration(self, written):
        config = said(ENVIRONMENT, cfg_file=written())
        assert config.original_data_root == Path("env/DAVIS")
        assert config.stylized_data_dir == Path("env/Stylized")

    def test_options_are_stronger_than_both(self, written):
        config = said(
            ENVIRONMENT,
            cfg_file=written(),
            stylized_data_dir=Path("mine"),
            subset="train",
            nreps=1,
            image_size=(64, 96),
        )
        assert config.original_data_root == Path("env/DAVIS")
        assert config.stylized_data_dir == Path("mine")
        assert (config.subset, config.nreps, config.image_size) == ("train", 1, (64, 96))

    def test_empty_variable_says_nothing(self, written):
        config = said({"ORIGINAL_DATA_ROOT": ""}, cfg_file=written())
        assert config.original_data_root == Path("json/DAVIS")

    def test_variables_are_those_of_the_process(self, written, monkeypatch):
        monkeypatch.setenv("STYLIZED_DATA_ROOT", "process")
        assert resolved(Config(cfg_file=written())).stylized_data_dir == Path("process")

    def test_a_network_needs_no_configuration(self):
        config = said(ENVIRONMENT, model="matnet")
        assert (config.model, config.dataset) == ("matnet", "StylizedDAVIS")
        assert config.original_data_root == Path("env/DAVIS")
        assert (config.nreps, config.image_size) == (None, None)  # as usual
        assert find_network(config).clip.pixels == (480, 854)

    def test_variables_say_nothing_of_other_networks(self):
        config = said(ENVIRONMENT, model="i3d")
        assert (config.original_data_root, config.stylized_data_dir) == (None, None)

    @pytest.mark.parametrize("key", [*CONTENT][:-1])
    def test_anything_but_the_network_may_be_missing(self, written, key):
        assert said(cfg_file=written(**{key: None})).model == "matnet"

    def test_what_is_given_need_not_be_right_in_the_configuration(self, written):
        config = said(cfg_file=written(nreps="5", split=3), nreps=2, subset="train")
        assert (config.nreps, config.subset) == (2, "train")

    @pytest.mark.parametrize(
        "given",
        [{"pairs": Path("p.csv")}, {"pairing": "exhaustive"}, {"pairing": "crossed"}],
    )
    def test_passes_over_the_sequences_are_those_of_the_configuration_unless_pointless(
        self, written, given
    ):
        assert said(cfg_file=written(), **given).nreps is None
        assert said(cfg_file=written(), pairing="sampled").nreps == 5

    def test_seed_and_gpu_of_the_configuration_are_not_used(self, written):
        config = said(cfg_file=written(random_seed=7, gpu_id="3", num_classes=2))
        assert (config.random_seed, config.device, config.num_classes) == (1, None, None)

    def test_it_can_be_resolved_again(self, written):
        config = said(cfg_file=written())
        assert resolved(config, ENVIRONMENT) == config


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"model": None}, "'model' is missing; set it there$"),
            ({"model": 3}, "'model' is 3"),
            ({"split": ["val"]}, r"'split' is \['val'\]; set it there, or give `subset`"),
            ({"stylized_data_root": 1}, "'stylized_data_root' is 1; .*`stylized_data_dir`"),
            ({"nreps": "5"}, "'nreps' is '5'"),
            ({"nreps": 0}, "nreps 0 is below 1"),
            ({"crop_size": "480,854"}, "'crop_size' is '480,854'.*`image_size`"),
            ({"crop_size": [480]}, r"crop_size \[480\] is not \[height, width\]"),
            ({"crop_size": [480, 0]}, "is not"),
            ({"crop_size": [480.5, 854]}, "is not"),
            ({"variant": "img"}, "variant 'img' is not supported; expected 'img_flow'"),
            ({"sampling_method": "diff_sq"}, "'diff_sq' is not supported; expected 'noisy_flow'"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_its_key(self, written, changes, words):
        with pytest.raises(DataError, match=rf"cfg\.json: .*{words}"):
            said(cfg_file=written(**changes))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("{", "is not readable JSON"),
            ("[]", "is not a configuration"),
            ("3", "is not a configuration"),
            ('{"model": "matnet", "extra_args": "gated"}', "is not a configuration.*extra_args"),
        ],
    )
    def test_file_that_is_no_configuration_is_refused(self, tmp_path, content, words):
        (tmp_path / "cfg.json").write_text(content)
        with pytest.raises(DataError, match=rf"cfg\.json {words}"):
            said(cfg_file=tmp_path / "cfg.json")

    def test_missing_file_names_those_there_are(self, written):
        path = written().with_name("cgf.json")
        with pytest.raises(
            DataError, match=r"cgf\.json does not exist\. Did you mean .*/cfg\.json"
        ):
            said(cfg_file=path)
        with pytest.raises(DataError, match=r"none/c\.json does not exist\. There are: none"):
            said(cfg_file=Path("none/c.json"))

    def test_network_that_contradicts_the_configuration_is_refused(self, written):
        assert said(cfg_file=written(), model="matnet").model == "matnet"
        for other in ("rtnet", "matnet_bidir", "i3d"):
            with pytest.raises(
                UserError, match=r"cfg\.json describes network 'matnet': give `model` m"
            ):
                said(cfg_file=written(), model=other)

    def test_configuration_of_action_recognition_is_refused(self, written):
        with pytest.raises(UserError, match="`cfg_file` is for networks of segmentation"):
            said(cfg_file=written(model="i3d"))

    def test_unknown_network_is_called_so_whatever_else_is_given(self, written):
        with pytest.raises(UserError, match=r"`model` 'matnets' is .*Did you mean 'matnet'"):
            said(cfg_file=written(model="matnets"))
        with pytest.raises(UserError, match=r"`model` 'matnets' is .*Did you mean 'matnet'"):
            load_config(["--model", "matnets", "--nreps", "2"])

    def test_data_set_of_the_other_task_is_refused_with_those_that_fit(self, written):
        with pytest.raises(UserError, match=r"`dataset` ssv2 is for .*: give one of StylizedDAVIS"):
            said(cfg_file=written(), dataset="ssv2")
        with pytest.raises(UserError, match=r"`dataset` StylizedDAVIS is for networks of segment"):
            said(model="i3d", dataset="StylizedDAVIS")


class TestNetwork:
    def test_extra_args_choose_the_form_and_name_the_results(self, written):
        extra = {"cc_type": "coatt_recip", "use_global": False}
        network = find_network(said(cfg_file=written(extra_args=extra)))
        assert (network.spec.cc_type, network.spec.use_global) == ("coatt_recip", False)
        assert network.name == "matnet_cc_type_coatt_recip_use_global_False"

    def test_name_that_is_given_is_stronger(self, written):
        extra = {"cc_type": "coatt_recip"}
        network = find_network(said(cfg_file=written(extra_args=extra), name="mine"))
        assert (network.name, network.spec.cc_type) == ("mine", "coatt_recip")

    def test_configuration_may_name_a_variant_and_nothing_else(self, tmp_path):
        (tmp_path / "cfg.json").write_text(json.dumps({"model": "matnet_bidir"}))
        network = find_network(said(cfg_file=tmp_path / "cfg.json"))
        assert (network.name, network.spec.cc_type) == ("matnet_bidir", "coatt_recip")

    @pytest.mark.parametrize(
        ("written_there", "given", "expected"),
        [(None, None, "davis"), ("taovos", None, "taovos"), ("davis", "imgnetvid", "imgnetvid")],
    )
    def test_training_set_that_is_given_is_stronger(self, written, written_there, given, expected):
        path = written(model=FUSIONSEG, trained_on=written_there)
        assert find_network(said(cfg_file=path, trained_on=given)).name == f"{FUSIONSEG}_{expected}"

    def test_options_of_other_networks_are_no_matter(self, written):
        # The study's configurations say some of them for all networks.
        path = written(trained_on="taovos", output_stride=8, fuse_early=False, fuse_bnorm=False)
        assert find_network(said(cfg_file=path)).name == "matnet"

    def test_form_of_fusionseg_stands_beside_its_name(self, written):
        path = written(model=FUSIONSEG, output_stride=8, fuse_early=False, fuse_bnorm=True)
        spec = find_network(said(cfg_file=path)).spec
        assert (spec.output_stride, spec.fuse_early, spec.fuse_bnorm) == (8, False, True)

    @pytest.mark.parametrize(
        ("changes", "given", "words"),
        [
            ({"extra_args": {"cc_type": "coattn"}}, {}, "cc_type 'coattn' is not known"),
            ({"extra_args": {"cctype": "coatt"}}, {}, "'cctype' is not .*Did you mean 'cc_type'"),
            (
                {"model": "rtnet", "extra_args": {"cc_type": "coatt"}},
                {},
                "'cc_type' is not known to network 'rtnet'",
            ),
            ({"model": FUSIONSEG, "output_stride": 32}, {}, "output_stride 32 is not known"),
            ({"model": FUSIONSEG, "trained_on": 3}, {}, "trained_on 3 is not known"),
            ({"model": FUSIONSEG}, {"trained_on": "taoovs"}, "'taoovs'.*Did you mean 'taovos'"),
            (
                {},
                {"trained_on": "davis"},
                "`trained_on` davis: network 'matnet' does not have this option; leave it out",
            ),
            ({}, {"path": "slow"}, "`path` slow: network 'matnet' does not have this option"),
            ({}, {"image_size": (16, 64)}, "'matnet' takes clips of at least 32 pixels, not 16"),
        ],
    )
    def test_what_the_network_does_not_have_is_refused(self, written, changes, given, words):
        with pytest.raises(UserError, match=words):
            find_network(said(cfg_file=written(**changes), **given))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_configuration_describes_a_network(path):
    config, content = said(cfg_file=path), read_cfg_file(path)
    assert (config.subset, config.image_size) == ("val", (480, 854))
    assert config.nreps == (1 if "cinematograms" in path.stem else 5)
    if config.model in GONE:
        with pytest.raises(UserError, match=r"cannot be run: it needs PyTorch 0\.4"):
            find_network(config)
    else:
        network = find_network(config)
        assert network.name.startswith(config.model)
        assert network.clip.frames == (2 if content.get("fwbwflow") else 1)
        assert network.clip.pixels == (480, 854)


def test_record_has_full_paths_and_is_json(tmp_path):
    config = quick(tmp_path, Path("out"), checkpoint="weights.pth", original_data_root=Path("d"))
    record = json.loads(json.dumps(as_json(config)))
    assert record["cfg_file"] == str(tmp_path / "tiny.json")
    assert record["save_dir"] == str(Path("out").absolute())
    assert record["original_data_root"] == str(Path("d").absolute())
    assert record["checkpoint"] == str(Path("weights.pth").absolute())
    assert (record["pairs"], record["image_size"]) == (None, None)
