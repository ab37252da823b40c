"""The ResNet family against what the study's own code computed on the same weights."""

import itertools

import pytest
import torch

from models.capture import LOGITS, stage_features
from models.catalogue import find
from tests.helpers import (
    assert_close,
    at_path,
    golden_inputs,
    golden_network,
    golden_stage,
    read_json,
    read_npz,
)

NETWORKS = read_json("state_dicts.json")["networks"]
GOLDEN = tuple(read_json("golden_inputs.json"))
# Clips of 224x224 pixels take long, so one network of each kind of head.
LOGITS_OF = ("fast", "i3d_nln_soft", "slow_ssv2_r50_8x8", "slowfast_r50_4x16")
# The other networks' stages are compared through the command line (test_extract_goldens.py).
STAGES_OF = tuple(name for name in GOLDEN if "slowfast" in name or name not in NETWORKS)
# Their published forward has no classifier, so the reference ran the head by itself.
HEAD_APART = ("slow_ssv2_r50_8x8",)


@pytest.fixture(scope="module", params=GOLDEN)
def golden(request):
    """Name, record and module of every network with golden arrays."""
    return request.param, *golden_network(request.param)


def reference_shapes(name):
    reference = read_json("state_dicts.json")
    entry = reference["networks"][name]
    return {**reference["layouts"][entry["layout"]], **entry["except"]}


@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_has_the_names_and_shapes_of_the_published_one(name):
    with torch.device("meta"):
        module = find(name).module()
    shapes = {key: list(value.shape) for key, value in module.state_dict().items()}
    assert shapes == reference_shapes(name)
    assert sum(p.numel() for p in module.parameters()) == NETWORKS[name]["parameters"]
    assert find(name).num_classes == NETWORKS[name]["classes"]


def test_every_network_of_the_table_is_compared_with_the_reference():
    from models.tables.resnet import NETWORKS as table

    names = {network.name for network in table if not network.name.startswith("demo_")}
    assert names == set(NETWORKS)


@pytest.mark.parametrize("golden", STAGES_OF, indirect=True)
def test_stage_vectors_equal_the_golden_ones(golden):
    name, network, module = golden
    two = len(network.clip.inputs) == 2
    paths = itertools.product(("slow", "fast", "cat") if two else ("",), (True, False))
    points = {
        (stage, *path): own
        for path in paths
        for stage, own in at_path(network, *path).stage_points("all").items()
    }
    n_clips = 1 if "16x8" in name else 2  # clips of 64 frames take long
    features = stage_features(module, [x[:n_clips] for x in golden_inputs(name)], points)
    for key in sorted(points):
        assert_close(features[key], golden_stage(name, *key)[:n_clips])


@pytest.mark.parametrize("golden", LOGITS_OF, indirect=True)
def test_logits_equal_the_golden_ones(golden):
    name, _network, module = golden
    key = f"{name}/{'head' if name in HEAD_APART else 'cls'}@224_preact"
    features = stage_features(module, golden_inputs(name, "@224"), {}, logits=True)
    assert_close(features[LOGITS], read_npz("golden_resnet.npz")[key])


def test_logits_of_larger_clips_average_over_positions():
    _network, module = golden_network("fast_diving48")
    features = stage_features(module, golden_inputs("fast_diving48", "@256"), {}, logits=True)
    assert_close(features[LOGITS], read_npz("golden_resnet.npz")["fast_diving48/cls@256_preact"])


@pytest.mark.parametrize("change", ["weights", "clip"])
def test_the_tolerance_tells_other_weights_and_other_clips_apart(change):
    """The comparison above can fail: the second clip, and a salted bias, are told apart."""
    _network, module = golden_network("fast")
    inputs = golden_inputs("fast")
    if change == "clip":
        inputs = [x.flip(0) for x in inputs]
    else:
        with torch.no_grad():
            module.get_parameter("s5.pathway1_res2.branch2.c_bn.bias").add_(0.05)
    actual = stage_features(module, inputs, find("fast").stage_points("5"))["5"]
    with pytest.raises(AssertionError):
        assert_close(actual, golden_stage("fast", "5"))
