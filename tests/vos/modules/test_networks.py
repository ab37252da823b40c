"""Parts of the segmentation networks: hand-computed values and properties."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.tables.matnet import CO_ATTENTION
from models.tables.rtnet import AttentionSpec
from tests.helpers import assert_close, clip, fill
from vos.modules import parts
from vos.modules.coattention import CoAttention, attend
from vos.modules.fusion import ConvexFusion, GatedFusion, MaxStreamMap, StreamMap
from vos.modules.rtnet import Output
from vos.modules.rtnet_attention import Cross, Self, standard, transposed


def filled(module):
    module.load_state_dict(fill(module.state_dict()))
    return module.eval()


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def test_transposed_attention_sums_over_the_axis_that_is_not_normalised():
    # One channel, two positions. Query 0 sees both keys alike, query 1 only key 1.
    query = torch.tensor([[[[0.0, 100.0]]]])
    key = torch.tensor([[[[-1.0, 1.0]]]])
    value = torch.tensor([[[[4.0, 10.0]]]])
    # Key 0 gets half of value 0; key 1 gets half of value 0 and all of value 1.
    assert_close(transposed(query, key, value).flatten(), [2.0, 12.0], 1e-5)
    # Ordinary attention: query 0 gets the mean of the values, query 1 gets value 1.
    assert_close(standard(query, key, value).flatten(), [7.0, 10.0], 1e-5)


@pytest.mark.parametrize("function", [standard, transposed])
def test_attention_equals_its_definition(function):
    query, key, value = (clip(name, (2, 3, 4, 5)) for name in "qkv")
    expected = torch.zeros(2, 3, 4, 5)
    for b in range(2):
        for h in range(3):
            scores = query[b, h].T @ key[b, h] / 4**0.5  # [queries, keys]
            weights = scores.softmax(1)
            seen = weights if function is transposed else weights.T
            expected[b, h] = value[b, h] @ seen
    assert_close(function(query, key, value), expected, 1e-5)


SPECS = {
    "pooled": AttentionSpec(1, 1, pooled=True),
    "heads": AttentionSpec(4, 4),
    "standard": AttentionSpec(2, 2, standard=True, bias=False),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_matrices_in_portions_change_nothing(spec, monkeypatch):
    x, y = clip("x", (3, 8, 5, 6)), clip("y", (3, 8, 5, 6))
    modules = [filled(Cross(8, spec, shared=False))]
    modules += [filled(CoAttention(32, CO_ATTENTION[kind], "softmax")) for kind in CO_ATTENTION]
    inputs = [(x, y)] + [(clip("a", (3, 32, 4, 3)), clip("b", (3, 32, 4, 3)))] * len(CO_ATTENTION)
    whole = [module(*pair) for module, pair in zip(modules, inputs, strict=True)]
    monkeypatch.setattr(parts, "_AT_ONCE", 1)
    for module, pair, expected in zip(modules, inputs, whole, strict=True):
        for found, wanted in zip(module(*pair), expected, strict=True):
            assert_close(found, wanted)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_clips_of_a_batch_do_not_see_each_other(spec):
    x, y = clip("x", (3, 8, 5, 6)), clip("y", (3, 8, 5, 6))
    cross, self_ = filled(Cross(8, spec, shared=True)), filled(Self(8, spec))
    for i in range(3):
        assert_close(self_(x)[i : i + 1], self_(x[i : i + 1]))
        for together, alone in zip(cross(x, y), cross(x[i : i + 1], y[i : i + 1]), strict=True):
            assert_close(together[i : i + 1], alone)


def test_attending_weights_positions_of_each_clip_by_a_softmax():
    projection = nn.Conv2d(1, 1, 1, bias=False)
    projection.weight.fill_(1)
    x = torch.tensor([[[[0.0, 2**0.5]]], [[[3.0, 3.0]]]])  # two clips of two positions
    weight = torch.tensor([0.0, 2**0.5]).softmax(0)
    expected = torch.stack([x[0, 0, 0] * weight, torch.tensor([1.5, 1.5])])
    assert_close(attend(x, projection).flatten(1), expected, 1e-5)


def test_five_cascades_of_unidirectional_coattention_by_hand():
    module = filled(CoAttention(32, CO_ATTENTION["coatt"], "tanh"))
    app, mot = clip("app", (1, 32, 2, 3)), clip("mot", (1, 32, 2, 3))
    a, b = app[0].flatten(1), mot[0].flatten(1)  # [C, HW]
    first_a, first_b = a, b
    for cascade in range(5):
        seen_a = a * _project(module.proj1, a).softmax(1)
        seen_b = b * _project(module.proj2, b).softmax(1)
        affinity = (_project(module.projb, seen_b).T @ _project(module.proja, seen_a)).tanh()
        mixed = torch.stack([(seen_a * row).sum(1) for row in affinity], 1)  # by flow position
        mixed = mixed / mixed.norm(dim=0)
        if cascade < 4:
            a, b = F.relu(mixed + a), F.relu(seen_b + b)
    expected = F.relu(mixed + first_a), F.relu(seen_b + first_b)
    for found, wanted in zip(module(app, mot), expected, strict=True):
        assert_close(found[0].flatten(1), wanted)


def _project(convolution, x):
    return convolution.weight[:, :, 0, 0] @ x + convolution.bias[:, None]


@pytest.mark.parametrize("spatial", [StreamMap, MaxStreamMap])
def test_convex_fusion_stays_between_its_streams(spatial):
    app, mot = clip("app", (2, 8, 6, 6)), clip("mot", (2, 8, 6, 6))
    fused = filled(ConvexFusion(8, 4, spatial(), add=True))(app.abs(), mot.abs())
    assert (fused >= 0).all()
    assert (fused <= (1 + 1e-5) * torch.maximum(app.abs(), mot.abs())).all()
    stacked = filled(ConvexFusion(8, 4, spatial(), add=False))(app.abs(), mot.abs())
    assert_close(stacked[:, :8] + stacked[:, 8:], fused, 1e-5)


def test_gated_fusion_without_its_gate_is_the_streams_themselves():
    module = filled(GatedFusion(16, use_global=True))
    app, mot = clip("app", (1, 16, 4, 4)), clip("mot", (1, 16, 4, 4))
    module.spatial.bn.weight.zero_()
    module.spatial.bn.bias.zero_()
    assert torch.equal(module(app, mot), torch.cat([app, mot], 1))
    # A raw gate of -1 for channels scaled by a half, and a scalar of a half: a quarter is lost.
    module.spatial.bn.bias.fill_(-1)
    for part in (module.excitation_2, module.global_attention):
        part[0].weight.zero_()
        part[0].bias.zero_()
    assert_close(module(app, mot), 0.75 * torch.cat([app, mot], 1), 1e-5)


def test_resizing_logits_equals_resizing_features_as_published():
    module, x = filled(Output(8)), clip("x", (2, 8, 5, 7))
    features = F.interpolate(module.conv1(x), (20, 28), mode="bilinear", align_corners=True)
    assert_close(module(x, (20, 28)), module.conv2(features), 1e-5)
