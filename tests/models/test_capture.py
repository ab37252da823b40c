"""Hooks live inside their block, fire once, and stop the forward when they have enough."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from models.capture import LOGITS, capture, pool_units, stage_features, unit_axis
from models.network import HookPoint
from tests.helpers import assert_close, at_path, tiny_inputs, tiny_network


@pytest.fixture(params=["one", "two", "two published"])
def network(request):
    return tiny_network(request.param)


@pytest.fixture
def module(network):
    return network.module()


def hooks(module):
    """Names of the modules that carry forward hooks."""
    return [name for name, part in module.named_modules() if part._forward_hooks]


def count_calls(module):
    """A counter of forward calls per module name, in `calls`; by pre-hooks."""
    calls = Counter()
    for name, part in module.named_modules():
        part.register_forward_pre_hook(lambda m, i, name=name: calls.update([name]))
    return calls


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 3, 4, 5, 6), (2, 3, 4)), ((2, 3, 5, 6), (2, 3)), ((2, 9, 3), (1,)), ((2, 3), ())],
    ids=["video", "image", "tokens", "vector"],
)
def test_pool_units_averages_all_but_clips_and_units(shape, axes):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    pooled = pool_units(torch.from_numpy(x), unit_axis(nn.Identity(), x.ndim))
    assert pooled.shape == (2, 3)
    assert_close(pooled, x.mean(axes) if axes else x, 1e-5)


def test_stages_have_their_units_and_are_the_means_of_their_maps(network, module):
    stages, inputs = at_path(network, "cat", False).stage_points("all"), tiny_inputs(network)
    maps = {}
    handles = [
        module.get_submodule(point.module).register_forward_hook(
            lambda m, i, output, name=point.module: maps.update({name: output})
        )
        for points in stages.values()
        for point in points
    ]
    module(*inputs)
    for handle in handles:
        handle.remove()
    features = stage_features(module, inputs, stages)
    assert list(features) == list(network.stages)
    for stage, points in stages.items():
        expected = [maps[point.module][point.index or 0].mean((2, 3, 4)) for point in points]
        assert_close(features[stage], torch.cat(expected, 1))


@pytest.mark.parametrize(
    ("path", "fuse", "units"),
    [
        ("slow", True, [8, 32, 64, 128, 128]),
        ("slow", False, [4, 16, 32, 64, 128]),
        ("fast", True, [2, 8, 16, 32, 64]),
        ("fast", False, [2, 8, 16, 32, 64]),
        ("cat", True, [10, 40, 80, 160, 192]),
        ("cat", False, [6, 24, 48, 96, 192]),
    ],
)
def test_pathway_and_fusion_choose_the_units(path, fuse, units):
    network = tiny_network("two")
    points = at_path(network, path, fuse).stage_points("all")
    features = stage_features(network.module(), tiny_inputs(network), points)
    assert [values.shape for values in features.values()] == [(2, n) for n in units]


def test_each_module_runs_once_however_many_stages_are_asked_for(network, module):
    calls = count_calls(module)
    stages = at_path(network, "cat").stage_points("all")
    stage_features(module, tiny_inputs(network), {**stages, "again": stages["2"]}, logits=True)
    assert set(calls.values()) == {1}
    assert calls["head"] == 1


@pytest.mark.parametrize(
    ("stage", "not_run"),
    [("1", ("s2", "s3", "s4", "s5", "head")), ("3", ("s4", "s5", "head")), ("5", ("head",))],
)
def test_later_stages_are_not_computed(network, module, stage, not_run):
    calls = count_calls(module)
    stage_features(module, tiny_inputs(network), at_path(network, "cat").stage_points(stage))
    assert calls[f"s{stage}"] == 1
    assert [name for name in not_run if calls[name]] == []


def test_order_of_the_request_does_not_change_where_the_forward_stops(network, module):
    calls = count_calls(module)
    points = at_path(network, "fast").stage_points("4,2")
    assert list(stage_features(module, tiny_inputs(network), points)) == ["2", "4"]
    assert (calls["s4"], calls["s5"]) == (1, 0)


def test_logits_come_with_the_stages_and_equal_a_plain_forward(network, module):
    inputs, points = tiny_inputs(network), at_path(network, "cat").stage_points("2,5")
    together = stage_features(module, inputs, points, logits=True)
    assert list(together) == ["2", "5", LOGITS]
    with torch.inference_mode():
        assert torch.equal(together[LOGITS], module(*inputs))
    alone = stage_features(module, inputs, points)
    assert all(torch.equal(values, together[name]) for name, values in alone.items())


def test_features_carry_no_gradient(network, module):
    features = stage_features(
        module, tiny_inputs(network), at_path(network, "cat").stage_points("5")
    )
    assert not features["5"].requires_grad


@pytest.mark.parametrize("stop", [True, False], ids=["stopped early", "whole forward"])
def test_no_hook_is_left_after_the_block(network, module, stop):
    with capture(module, [HookPoint("s2", 0), HookPoint("s4", 0)], stop=stop):
        assert hooks(module) == ["s2", "s4"]
        module(*tiny_inputs(network))
    assert hooks(module) == []


def test_no_hook_is_left_after_an_error_in_the_forward_and_the_error_arrives(network, module):
    def fail(*args):
        raise RuntimeError("out of memory")

    module.s3.forward = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        stage_features(module, tiny_inputs(network), at_path(network, "fast").stage_points("2,5"))
    assert hooks(module) == []


def test_hooks_of_others_stay(network, module):
    handle = module.s2.register_forward_hook(lambda *args: None)
    stage_features(module, tiny_inputs(network), at_path(network, "fast").stage_points("all"))
    assert list(module.s2._forward_hooks) == [handle.id]


def test_plain_tensors_are_taken_from_any_module():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 25, 2))
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    features = stage_features(network, [x], {"conv": (HookPoint("0"),), "end": (HookPoint("3"),)})
    assert_close(features["conv"], network[0](x).mean((2, 3)), 1e-5)
    assert_close(features["end"], network(x), 1e-5)


def test_hook_point_on_a_missing_module_is_an_error_and_leaves_no_hook(module):
    with (
        pytest.raises(AttributeError),
        capture(module, [HookPoint("s1"), HookPoint("s9")], stop=True),
    ):
        pass
    assert hooks(module) == []
