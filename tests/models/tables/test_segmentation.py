"""The tables of segmentation networks: variants, names of results, stages, where weights are."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.tasks import RECOGNITION, SEGMENTATION
from config import Config
from measure.request import find_network, resolved
from models import catalogue
from models.catalogue import by_name, find, networks, task_of
from tests.vos.helpers import bare_module, units_of
from utils import UserError

ROOT = Path(__file__).parents[3]
FUSIONSEG = "twostream_deeplabv3plus_resnet101"
SEGMENTERS = [name for name, network in networks().items() if network.task == SEGMENTATION]
# The study's variants of MATNet, and the configuration of each.
VARIANTS = {
    "matnet_unidir": "cc_types/matnet_davis_unidir",
    "matnet_unidir_gated": "cc_types/matnet_davis_unidir_gated",
    "matnet_bidir": "cc_types/matnet_davis_bidir",
    "matnet_bidir_gated": "cc_types/matnet_davis_bidir_gated",
    "matnet_gated_fusion": "fusion_types/matnet_davis_gated_fusion",
    "matnet_cvxgated_fusion": "fusion_types/matnet_davis_cvxgated_fusion",
}


def configured(file):
    """The network of a configuration under configs/."""
    return find_network(resolved(Config(cfg_file=ROOT / "configs" / f"{file}.json"), {}))


def test_networks_of_the_study_are_there():
    names = [FUSIONSEG, "matnet", *VARIANTS, "rtnet", "rtnet34"]
    assert names == SEGMENTERS
    assert [find(name).clip.frames for name in names] == [1] * 8 + [2, 2]


def test_task_is_that_of_the_table():
    assert {task_of(name) for name in SEGMENTERS} == {SEGMENTATION}
    assert task_of("sam") == SEGMENTATION
    # One that is in no table is a user's own.
    assert {task_of(name) for name in ("i3d", "my.py:build")} == {RECOGNITION}


@pytest.mark.parametrize(("name", "file"), VARIANTS.items())
def test_variant_by_name_is_that_of_its_configuration(name, file):
    row, described = find(name), configured(file)
    assert row.name == name
    assert row.spec == described.spec
    # Nothing else tells one MATNet from another, but for the name of its results.
    assert replace(row, name=described.name) == described
    assert replace(row, name="matnet", spec=find("matnet").spec) == find("matnet")


def test_two_networks_of_one_name_are_refused():
    rows = [find("matnet"), find("rtnet")]
    assert list(by_name(rows)) == ["matnet", "rtnet"]
    with pytest.raises(ValueError, match="two networks are called 'matnet': rename one"):
        by_name([*rows, replace(rows[1], name="matnet")])


def test_tables_with_one_name_twice_are_refused(monkeypatch):
    monkeypatch.setattr(catalogue, "TABLES", (*catalogue.TABLES, catalogue.matnet))
    with pytest.raises(ValueError, match="two networks are called 'matnet'"):
        networks()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("matnet_davis", "matnet_fusion_type_gated"),
        ("cc_types/matnet_davis_bidir_gated", "matnet_cc_type_coatt_gated_recip"),
        ("fusion_types/matnet_davis_gated_fusion", "matnet_fusion_type_gated_use_global_False"),
        ("rtnet_davis", "rtnet"),
        ("rtnet_34_davis", "rtnet34"),
        ("twostreamv3plus_davis", f"{FUSIONSEG}_davis"),
    ],
)
def test_results_are_named_as_in_the_study(file, name):
    assert configured(file).name == name


def test_results_of_fusionseg_name_what_it_was_trained_on():
    network = find(FUSIONSEG)
    assert network.configured({}).name == f"{FUSIONSEG}_davis"
    assert network.configured({"trained_on": "taovos"}).name == f"{FUSIONSEG}_taovos"
    with pytest.raises(UserError, match=r"trained_on 'taovo' is not .*Did you mean 'taovos'"):
        network.configured({"trained_on": "taovo"})


def test_options_choose_the_variant():
    extra = {"cc_type": "coatt_recip", "norm_fn": "softmax", "use_global": False}
    spec = find("matnet").configured(extra).spec
    assert (spec.cc_type, spec.norm_fn, spec.use_global) == ("coatt_recip", "softmax", False)
    assert spec.fusion_type == "gated"
    assert find("matnet").spec.cc_type == "coatt"  # the table itself is unchanged


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("matnet", {"cc_type": "coattn"}, "cc_type 'coattn' is not known.*Did you mean 'coatt'"),
        ("matnet", {"use_global": "False"}, "use_global 'False' is not known"),
        ("matnet", {"cctype": "coatt"}, "Did you mean 'cc_type'"),
        ("rtnet", {"cc_type": "coatt"}, "'cc_type' is not known to network 'rtnet'.*: none"),
        (FUSIONSEG, {"output_stride": 32}, "output_stride 32 is not known.*: 16, 8"),
    ],
)
def test_options_that_are_unknown_are_refused(name, options, words):
    with pytest.raises(UserError, match=words):
        find(name).configured(options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("matnets", "`model` 'matnets' is not known.*Did you mean 'matnet'"),
        ("MATNet", "Did you mean 'matnet'"),
        ("deeplabv3plus", f"Did you mean '{FUSIONSEG}'"),
        ("sam", r"'sam' cannot be run: it needs PyTorch 0\.4"),
    ],
)
def test_name_that_is_unknown_is_refused(name, words):
    with pytest.raises(UserError, match=words):
        find(name)
    if name != "sam":
        with pytest.raises(UserError, match=words):
            task_of(name)


LAYERS = ["conv1", "layer1", "layer2", "layer3", "layer4"]
STREAMS = [f"{layer},{stream}" for stream in ("app_stream", "mot_stream") for layer in LAYERS]
FUSED = [f"{layer},sensor_fusion" for layer in LAYERS[1:]]


@pytest.mark.parametrize("text", ["all", None])
def test_all_stages_come_in_the_studys_order(text):
    assert list(find("rtnet").requested_stages(text)) == STREAMS + FUSED
    assert list(find(FUSIONSEG).requested_stages(text)) == [*STREAMS, FUSED[0], FUSED[3]]
    matnet = [*STREAMS, *FUSED, "layerf,sensor_fusion"]
    assert list(find("matnet").requested_stages(text)) == matnet


@pytest.mark.parametrize(
    ("text", "stages"),
    [
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
    assert list(find("matnet").stage_points(text)) == stages


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layer3", "stage 'layer3' is not in network 'rtnet'"),
        ("layer3,app", "Did you mean 'layer3,app_stream'"),
        ("layerf,sensor_fusion", "'layerf,sensor_fusion' is not in.*Available: conv1,app_stream; "),
        ("app_stream,layer3", "'app_stream,layer3'"),
        (",", "names no stage"),
    ],
)
def test_unknown_stages_are_refused(text, words):
    with pytest.raises(UserError, match=words):
        find("rtnet").requested_stages(text)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_stage_has_a_module(name):
    network = find(name)
    modules = dict(bare_module(network).named_modules())
    points = network.points(network.spec)
    assert list(points) == list(units_of(name))
    assert all(point.module in modules for (point,) in points.values())


def test_checkpoints_are_files_and_for_matnet_folders(tmp_path):
    file = tmp_path / "model.pth"
    file.touch()
    assert find("rtnet").checkpoint(str(file)) == str(file)
    assert find("rtnet").checkpoint("random") == "random"
    assert find("matnet").checkpoint(str(tmp_path)) == str(tmp_path)
    with pytest.raises(UserError, match="is not a file: network 'rtnet'"):
        find("rtnet").checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            FUSIONSEG,
            {"trained_on": "imgnetvid"},
            "latest_twostream_deeplabv3plus_resnet101_imgnetvid_os16.pth",
        ),
        (FUSIONSEG, {}, "resnet101_davis_os16.pth"),
        ("matnet", {}, "checkpoints_matnet/"),
        ("matnet_bidir", {}, "checkpoints_matnet/"),
        ("rtnet", {}, "model_RX50.pth"),
        ("rtnet34", {}, "None are published"),
    ],
)
def test_missing_checkpoint_says_where_it_is_published(name, options, words):
    with pytest.raises(UserError, match=words):
        find(name).configured(options).checkpoint(None)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_nothing_is_downloaded_from_an_archive(name):
    with pytest.raises(UserError, match=rf"`checkpoint` auto: no address .*'{name}' is known"):
        find(name).checkpoint("auto")


def test_finding_networks_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from models.catalogue import find; find('matnet').stage_points('all'); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("fuse_bnorm", [False, True])
def test_late_fusion_is_the_same_under_other_names(fuse_bnorm):
    early = find(FUSIONSEG).configured({"fuse_bnorm": fuse_bnorm})
    late = find(FUSIONSEG).configured({"fuse_bnorm": fuse_bnorm, "fuse_early": False})
    names = {
        name.replace("backbone.sensor_fusion", "classifier.sensor_fusion")
        for name in bare_module(early).state_dict()
    }
    assert set(bare_module(late).state_dict()) == names
    point = late.stage_points("layer1,sensor_fusion")["layer1,sensor_fusion"][0]
    assert point.module == "classifier.sensor_fusion.layer1"


@pytest.mark.parametrize(("stride", "dilations"), [(16, [1, 1, 1, 2]), (8, [1, 2, 2, 4])])
def test_output_stride_dilates_all_but_the_first_block(stride, dilations):
    module = bare_module(find(FUSIONSEG).configured({"output_stride": stride}))
    found = [
        module.get_submodule(f"backbone.mot_stream.layer{layer}.{block}.conv2").dilation[0]
        for layer in (3, 4)
        for block in (0, 1)
    ]
    assert found == dilations
    with torch.device("meta"):
        frames = torch.empty(1, 3, 64, 96)
    assert module(frames, frames).shape == (1, 2, 64, 96)
