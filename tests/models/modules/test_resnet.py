"""The parts of the ResNet family, with values that are known without running the code."""

import pytest
import torch
from torch import nn

from models.capture import LOGITS, stage_features
from models.modules.resnet import FastToSlow, Head, NonLocal
from tests.helpers import assert_close, at_path, clip, tiny_inputs, tiny_network
from utils import UserError


def identity_head(window):
    """A head of two channels whose logits are the pooled channels themselves."""
    head = Head(2, 2, window).eval()
    nn.init.eye_(head.projection.weight)
    nn.init.zeros_(head.projection.bias)
    return head


def test_head_averages_windows_then_positions():
    row = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    x = row.expand(1, 2, 3, 7, 8).clone()  # windows of 7 columns: one sees the 1, one does not
    assert_close(identity_head(7)([x]), torch.full((1, 2), 0.5 / 7), 1e-5)


def test_global_head_averages_all_positions():
    row = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    x = row.expand(1, 2, 3, 7, 8).clone()
    assert_close(identity_head(None)([x]), torch.full((1, 2), 1 / 8), 1e-5)


def test_head_concatenates_slow_then_fast():
    slow, fast = torch.full((1, 1, 2, 7, 7), 3.0), torch.full((1, 1, 8, 7, 7), 5.0)
    assert_close(identity_head(7)([slow, fast]), [[3.0, 5.0]], 1e-5)


def test_head_refuses_maps_below_its_window():
    with pytest.raises(UserError, match=r"7x7 positions.* 6x9.* 224x224"):
        identity_head(7)([torch.zeros(1, 2, 1, 6, 9)])


def test_non_local_block_adds_the_mean_of_values_where_all_scores_are_equal():
    block = NonLocal(2).eval()
    for conv in (block.conv_theta, block.conv_phi, block.conv_g, block.conv_out):
        nn.init.ones_(conv.weight)
        nn.init.zeros_(conv.bias)
    nn.init.zeros_(block.conv_theta.weight)  # all scores 0, so plain averaging
    x = torch.tensor([[0.0, -2.0], [0.0, -4.0]]).reshape(1, 1, 1, 2, 2).repeat(1, 2, 2, 1, 1)
    x[:, :, 1] -= 6  # the second frame
    # Values: sum over channels of the 2x2 maxima: 2 * 0 and 2 * -6, their mean -6. Not rectified.
    scale = (1 + block.bn.eps) ** -0.5
    assert_close(block(x), x - 6 * scale, 1e-5)


def test_lateral_connection_puts_the_strided_fast_map_after_the_slow_one():
    fusion = FastToSlow(1, kernel=1, alpha=4).eval()
    fusion.conv_f2s.weight.data = torch.tensor([2.0, -1.0]).reshape(2, 1, 1, 1, 1)
    slow = torch.full((1, 3, 2, 1, 1), 7.0)
    fast = torch.arange(8.0).reshape(1, 1, 8, 1, 1)  # frames 0 and 4 are taken
    fused, same = fusion([slow, fast])
    assert same is fast
    assert fused.shape == (1, 5, 2, 1, 1)
    assert (fused[:, :3] == 7).all()
    lateral = fused[0, 3:, :, 0, 0] * (1 + fusion.bn.eps) ** 0.5
    assert_close(lateral, [[0.0, 8.0], [0.0, 0.0]], 1e-5)


def test_temporal_pool_follows_stage_2_and_precedes_stage_3():
    network = tiny_network("one")
    module, shapes = network.module(), {}
    for name in ("s1", "s2", "s3", "s4", "s5"):
        module.get_submodule(name).register_forward_hook(
            lambda m, i, output, name=name: shapes.update({name: tuple(output[0].shape)})
        )
    with torch.inference_mode():
        module(*tiny_inputs(network, clips=1))
    assert shapes == {
        "s1": (1, 4, 8, 8, 8),
        "s2": (1, 16, 8, 8, 8),
        "s3": (1, 32, 4, 4, 4),
        "s4": (1, 64, 4, 2, 2),
        "s5": (1, 128, 4, 1, 1),
    }


@pytest.mark.parametrize("kind", ["one", "two", "one published", "two published"])
def test_clips_of_a_batch_do_not_influence_each_other(kind):
    network = tiny_network(kind)
    module, points = network.module(), at_path(network, "cat").stage_points("all")
    inputs = tiny_inputs(network, clips=3)
    together = stage_features(module, inputs, points, logits=True)
    alone = stage_features(module, [x[1:2] for x in inputs], points, logits=True)
    assert set(together) == {*network.stages, LOGITS}
    for name, values in alone.items():
        assert_close(values[0], together[name][1])


def test_inputs_are_left_as_they_are():
    network = tiny_network("two")
    inputs = tiny_inputs(network)
    copies = [x.clone() for x in inputs]
    network.module()(*inputs)
    assert all(torch.equal(x, copy) for x, copy in zip(inputs, copies, strict=True))


def test_order_of_frames_matters_to_temporal_kernels_only():
    """Frames reversed: a network with temporal kernels sees it, a single frame's stem does not."""
    network = tiny_network("one")  # temporal kernels from stage 4 on, a 1x7x7 stem
    module, points = network.module(), at_path(network, "fast").stage_points("1,5")
    x = clip("order", (1, 3, 8, 32, 32))
    there = stage_features(module, [x], points)
    back = stage_features(module, [x.flip(2)], points)
    assert_close(there["1"], back["1"], 1e-5)
    assert not torch.allclose(there["5"], back["5"], rtol=1e-3)
