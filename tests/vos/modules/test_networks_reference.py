"""Every network and variant against what the study's own code computed on the same weights."""

import pytest
import torch

from models.capture import stage_features
from models.catalogue import find
from tests.helpers import assert_close, read_npz
from tests.vos.helpers import (
    CASES,
    assert_golden,
    bare_module,
    golden_inputs,
    golden_segmenter,
    golden_state,
    inputs_of,
    layout,
    model_of,
    units_of,
)

MATNETS = [case for case in CASES if case.startswith("matnet/")]
RTNETS = ["rtnet/base", "rtnet34/base"]


@pytest.mark.parametrize("case", CASES)
def test_state_dict_has_the_names_and_shapes_of_the_published_one(case):
    module = bare_module(golden_segmenter(case))
    assert layout(module.state_dict()) == CASES[case]["state_dict"]
    assert sum(p.numel() for p in module.parameters()) == CASES[case]["parameters"]


@pytest.fixture(scope="module")
def matnet_weights():
    """Weights of all variants of MATNet together: most of them are common."""
    return {}


def features_of(case, known, samples=1):
    network = golden_segmenter(case)
    module = bare_module(network)
    module.load_state_dict(golden_state(case, module, known), assign=True)
    inputs = golden_inputs(case, samples)
    return stage_features(module, inputs, network.stage_points("all"), logits=True), network, module


@pytest.mark.parametrize("case", MATNETS)
def test_matnet_equals_the_golden_arrays(case, matnet_weights):
    features, *_ = features_of(case, matnet_weights)
    assert {name: values.shape for name, values in features.items() if "," in name} == {
        name: (1, units) for name, units in units_of("matnet").items()
    }
    assert_golden(case, features)


def test_fusionseg_with_batch_norm_equals_the_golden_arrays():
    case = "twostream_deeplabv3plus_resnet101/fuse_bnorm"
    assert_golden(case, features_of(case, {})[0])


@pytest.mark.parametrize("case", RTNETS)
def test_rtnet_equals_the_golden_arrays_and_samples_do_not_mix(case):
    features, network, module = features_of(case, {})
    assert_golden(case, features)

    # The published code is right for the second sample of a batch up to level 1.
    points = network.stage_points("layer1,app_stream,layer1,mot_stream,layer1,sensor_fusion")
    both = stage_features(module, golden_inputs(case, 2), points)
    for name, values in both.items():
        expected = read_npz("vos_golden.npz")[f"{model_of(case)}/second/{name}"]
        assert_close(values[2:], expected)

    inputs = inputs_of(network, 3, (32, 64))
    points = network.stage_points("all")
    alone = [
        stage_features(module, [x[i : i + 1] for x in inputs], points, logits=True)
        for i in range(3)
    ]
    for samples in (2, 3):
        together = stage_features(module, [x[:samples] for x in inputs], points, logits=True)
        for name, values in together.items():
            assert len(values) == 2 * samples
            assert_close(values, torch.cat([one[name] for one in alone[:samples]]))


# What comes after the last stage that the test below asks for.
LATER = {
    "twostream_deeplabv3plus_resnet101": ("aspp", "project"),
    "matnet": ("gated_res5", "decoder", "GC"),
    "rtnet": ("decoder4", "out1"),
    "rtnet34": ("decoder4", "out1"),
}


@pytest.mark.parametrize("name", LATER)
def test_stages_end_the_forward_and_need_no_decoder(name):
    network = find(name)
    module = bare_module(network)
    heads = [part for path, part in module.named_modules() if path.split(".")[-1] in LATER[name]]
    assert heads
    for part in heads:
        part.register_forward_pre_hook(must_not_run)
    with torch.device("meta"):
        inputs = [torch.empty(1, *shape[:-2], 64, 64) for shape in network.clip.shapes.values()]
    stages = network.stage_points("layer1,sensor_fusion,layer4,mot_stream")
    features = stage_features(module, inputs, stages)
    units = units_of(name)
    assert [values.shape[1] for values in features.values()] == [
        units["layer4,mot_stream"],
        units["layer1,sensor_fusion"],
    ]


def must_not_run(*_):
    raise AssertionError("this part is not needed")
