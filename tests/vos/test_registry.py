"""Finding a segmentation network, its variants, stages, checkpoint and folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.vos.helpers import bare_module
from utils import DataError, UserError
from vos.registry import find, is_segmenter, networks, read_config

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.json"))
FUSIONSEG = "twostream_deeplabv3plus_resnet101"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_of_a_known_network(path):
    config = read_config(path)
    assert is_segmenter(config["model"])
    if config["model"] == "sam":
        with pytest.raises(UserError, match=r"cannot be run: it needs PyTorch 0\.4"):
            find("sam", config)
    else:
        network = find(config["model"], config)
        assert network.frames == (2 if config.get("fwbwflow") else 1)
    assert config["crop_size"] == [480, 854]


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("matnet_davis", "matnet_fusion_type_gated"),
        ("cc_types/matnet_davis_bidir_gated", "matnet_cc_type_coatt_gated_recip"),
        ("fusion_types/matnet_davis_gated_fusion", "matnet_fusion_type_gated_use_global_False"),
        ("rtnet_davis", "rtnet"),
        ("rtnet_34_davis", "rtnet34"),
        ("twostreamv3plus_davis", f"{FUSIONSEG}_davis"),
    ],
)
def test_folder_of_results_is_named_as_in_the_study(file, folder):
    config = read_config(ROOT / "configs" / f"{file}.json")
    assert find(config["model"], config).folder() == folder


def test_folder_of_fusionseg_names_what_it_was_trained_on():
    network = find(FUSIONSEG)
    assert network.folder("taovos") == f"{FUSIONSEG}_taovos"
    with pytest.raises(UserError, match=r"'taovo' is not known.*Did you mean 'taovos'"):
        network.folder("taovo")
    assert find("matnet").folder("taovos") == "matnet"


def test_extra_args_choose_the_variant():
    extra = {"cc_type": "coatt_recip", "norm_fn": "softmax", "use_global": False}
    spec = find("matnet", {"extra_args": extra, "output_stride": 8, "fuse_bnorm": False}).spec
    assert (spec.cc_type, spec.norm_fn, spec.use_global) == ("coatt_recip", "softmax", False)
    assert spec.fusion_type == "gated"
    assert find("matnet").spec.cc_type == "coatt"  # the table itself is unchanged


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("matnet", {"extra_args": {"cc_type": "coattn"}}, "cc_type 'coattn' is not known"),
        ("matnet", {"extra_args": {"use_global": "False"}}, "use_global 'False' is not known"),
        ("matnet", {"extra_args": {"cctype": "coatt"}}, "Did you mean 'cc_type'"),
        ("rtnet", {"extra_args": {"cc_type": "coatt"}}, "not known to network 'rtnet'"),
        ("rtnet", {"model": "rtnet34"}, "give `model` rtnet34"),
        (FUSIONSEG, {"output_stride": 32}, "output_stride 32 is not known"),
        ("matnets", {}, "Did you mean 'matnet'"),
    ],
)
def test_what_is_unknown_is_refused(name, config, words):
    with pytest.raises(UserError, match=words):
        find(name, config)


@pytest.mark.parametrize("content", [[], {"extra_args": "gated"}, 3])
def test_file_that_is_no_configuration_is_refused(content, tmp_path):
    (tmp_path / "cfg.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="is no configuration"):
        read_config(tmp_path / "cfg.json")


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        (None, ["layer4,sensor_fusion"]),
        ("layer3,app_stream", ["layer3,app_stream"]),
        (
            " layer1 , sensor_fusion, conv1,app_stream,",
            ["conv1,app_stream", "layer1,sensor_fusion"],
        ),
        ("layer2,mot_stream,layer2,mot_stream", ["layer2,mot_stream"]),
        ("layerf,sensor_fusion", ["layerf,sensor_fusion"]),
    ],
)
def test_stage_names_contain_a_comma_and_are_joined_by_commas(text, stages):
    assert list(find("matnet").stage_taps(text)) == stages


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layer3", "stage 'layer3' is not in network 'rtnet'"),
        ("layer3,app", "Did you mean 'layer3,app_stream'"),
        ("layerf,sensor_fusion", "'layerf,sensor_fusion' is not in"),
        ("app_stream,layer3", "'app_stream,layer3'"),
        (",", "names no stage"),
    ],
)
def test_unknown_stages_are_refused(text, words):
    with pytest.raises(UserError, match=words):
        find("rtnet").requested_stages(text)


def test_all_stages_come_in_the_studys_order():
    layers = ["conv1", "layer1", "layer2", "layer3", "layer4"]
    expected = [f"{layer},{stream}" for stream in ("app_stream", "mot_stream") for layer in layers]
    fused = [f"{layer},sensor_fusion" for layer in layers[1:]]
    assert list(find("rtnet").requested_stages("all")) == expected + fused
    assert list(find(FUSIONSEG).stages) == [*expected, fused[0], fused[3]]
    assert list(find("matnet").stages) == [*expected, *fused, "layerf,sensor_fusion"]


@pytest.mark.parametrize("name", networks())
def test_every_stage_has_a_module(name):
    network = find(name)
    modules = dict(bare_module(network).named_modules())
    taps = network.taps(network.spec)
    assert set(taps) == set(network.units)
    assert all(tap.module in modules for tap in taps.values())


def test_checkpoints_are_files_and_for_matnet_folders(tmp_path):
    file = tmp_path / "model.pth"
    file.touch()
    assert find("rtnet").checkpoint(str(file)) == str(file)
    assert find("rtnet").checkpoint("random") == "random"
    assert find("matnet").checkpoint(str(tmp_path)) == str(tmp_path)
    with pytest.raises(UserError, match="is not a file: network 'rtnet'"):
        find("rtnet").checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "trained_on", "words"),
    [
        (FUSIONSEG, "imgnetvid", "latest_twostream_deeplabv3plus_resnet101_imgnetvid_os16.pth"),
        (FUSIONSEG, None, "resnet101_davis_os16.pth"),
        ("matnet", None, "checkpoints_matnet/"),
        ("rtnet", None, "model_RX50.pth"),
        ("rtnet34", None, "None are published"),
    ],
)
def test_missing_checkpoint_says_where_it_is_published(name, trained_on, words):
    with pytest.raises(UserError, match=words):
        find(name).checkpoint(None, trained_on)


def test_listing_networks_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from vos.registry import find; find('matnet').stage_taps('all'); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("fuse_bnorm", [False, True])
def test_late_fusion_is_the_same_under_other_names(fuse_bnorm):
    early = find(FUSIONSEG, {"fuse_bnorm": fuse_bnorm})
    late = find(FUSIONSEG, {"fuse_bnorm": fuse_bnorm, "fuse_early": False})
    names = {
        name.replace("backbone.sensor_fusion", "classifier.sensor_fusion")
        for name in bare_module(early).state_dict()
    }
    assert set(bare_module(late).state_dict()) == names
    tap = late.stage_taps("layer1,sensor_fusion")["layer1,sensor_fusion"][0]
    assert tap.module == "classifier.sensor_fusion.layer1"


@pytest.mark.parametrize(("stride", "dilations"), [(16, [1, 1, 1, 2]), (8, [1, 2, 2, 4])])
def test_output_stride_dilates_all_but_the_first_block(stride, dilations):
    module = bare_module(find(FUSIONSEG, {"output_stride": stride}))
    found = [
        module.get_submodule(f"backbone.mot_stream.layer{layer}.{block}.conv2").dilation[0]
        for layer in (3, 4)
        for block in (0, 1)
    ]
    assert found == dilations
    with torch.device("meta"):
        frames = torch.empty(1, 3, 64, 96)
    assert module(frames, frames).shape == (1, 2, 64, 96)
