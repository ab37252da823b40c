"""What a unit is, and which tensor a stage is: axes, elements of outputs, and what is refused."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from models.capture import stage_features, unit_axis
from models.network import BY_SHAPE, HookPoint, UnitRule
from utils import UserError


def hooks(module):
    """Names of the modules that carry forward hooks."""
    return [name for name, part in module.named_modules() if part._forward_hooks]


MAPS, IMAGES, TOKENS, VECTORS = 5, 4, 3, 2


@pytest.mark.parametrize(
    ("module", "ndim", "rule", "axis"),
    [
        (nn.Identity(), MAPS, BY_SHAPE, 1),
        (nn.Identity(), IMAGES, BY_SHAPE, 1),
        (nn.Identity(), TOKENS, BY_SHAPE, 2),
        (nn.Identity(), VECTORS, BY_SHAPE, 1),
        # The module goes before the shape: tokens of a 1-d convolution, maps of a layer norm.
        (nn.Conv1d(1, 1, 1), TOKENS, BY_SHAPE, 1),
        (nn.BatchNorm1d(1), TOKENS, BY_SHAPE, 1),
        (nn.LayerNorm(1), MAPS, BY_SHAPE, 4),
        (nn.Linear(1, 1), IMAGES, BY_SHAPE, 3),
        (nn.InstanceNorm1d(1), TOKENS, BY_SHAPE, 1),
        (nn.ConvTranspose1d(1, 1, 1), TOKENS, BY_SHAPE, 1),
        (nn.SyncBatchNorm(1), TOKENS, BY_SHAPE, 1),
        # Classes derived from a layer norm may turn axes, and its axes may be several.
        (LayerNorm2d(1), IMAGES, BY_SHAPE, 1),
        (LayerNorm2d(1), TOKENS, BY_SHAPE, 2),
        (nn.LayerNorm((1, 1)), IMAGES, BY_SHAPE, 1),
        # Families whose maps have their channels last: convolutions keep theirs.
        (nn.Identity(), MAPS, UnitRule(maps_last=True), 4),
        (nn.Identity(), IMAGES, UnitRule(maps_last=True), 3),
        (nn.Conv3d(1, 1, 1), MAPS, UnitRule(maps_last=True), 1),
        (nn.AdaptiveAvgPool3d(1), MAPS, UnitRule(maps_last=True), 1),
        (nn.MaxPool2d(2), IMAGES, UnitRule(maps_last=True), 1),
        # What the user says goes before everything.
        (nn.Conv3d(1, 1, 1), MAPS, UnitRule(dim=2, maps_last=True), 2),
        (nn.Identity(), TOKENS, UnitRule(dim=1), 1),
    ],
)
def test_axis_of_the_units(module, ndim, rule, axis):
    assert unit_axis(module, ndim, rule) == axis


@pytest.mark.parametrize(
    ("dim", "expected"),
    [(1, [[1.5, 5.5]]), (2, [[2.0, 3.0, 4.0, 5.0]]), (-1, [[2.0, 3.0, 4.0, 5.0]])],
)
def test_unit_dim_chooses_what_is_averaged(dim, expected):
    network = nn.Sequential(nn.Identity())
    tokens = torch.arange(8.0).reshape(1, 2, 4)  # rows 0 1 2 3 and 4 5 6 7
    points = {"0": (HookPoint("0"),)}
    assert (
        stage_features(network, [tokens], points, rule=UnitRule(dim=dim))["0"].tolist() == expected
    )


@pytest.mark.parametrize("dim", [0, 3, 7, -3, -4])
def test_axis_that_cannot_be_that_of_units_is_refused(dim):
    points = {"0": (HookPoint("0"),)}
    with pytest.raises(UserError, match=rf"`unit_dim` {dim}: .*3 axes"):
        stage_features(
            nn.Sequential(nn.Identity()), [torch.zeros(1, 2, 4)], points, rule=UnitRule(dim=dim)
        )


def test_stages_keep_their_values_when_later_layers_work_in_place():
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    with torch.no_grad():
        network[0].weight.copy_(-torch.eye(3))
        network[0].bias.zero_()
    stages = {"0": (HookPoint("0"),), "2": (HookPoint("2"),)}
    assert stage_features(network, [ONE], stages)["0"].tolist() == [[-1.0] * 3] * 2


class Several(nn.Module):
    """Gives what it is told to, whatever comes in."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


ONE, TWO = torch.full((2, 3), 1.0), torch.full((2, 3), 2.0)


@pytest.mark.parametrize(
    ("output", "name", "expected"),
    [
        ((ONE, TWO), "0#1", TWO),
        ([ONE, TWO], "0#0", ONE),
        ({"a": ONE, "b": TWO}, "0#b", TWO),
        ({"a": None, "b": TWO}, "0#b", TWO),
        # The only tensor needs no name.
        ((TWO, None), "0", TWO),
        ({"a": ONE}, "0", ONE),
        ({"a": ONE}, "0#a", ONE),
        (OrderedDict(a=ONE, b=TWO), "0#a", ONE),
        # Names that look like numbers are names.
        ({"0": ONE, "1": TWO}, "0#1", TWO),
        ({"-1": TWO, "a": ONE}, "0#-1", TWO),
    ],
)
def test_element_of_an_output(output, name, expected):
    network = nn.Sequential(Several(output))
    features = stage_features(network, [ONE], {"s": (HookPoint.named(name),)}, whole=True)
    assert torch.equal(features["s"], expected)


@pytest.mark.parametrize(
    ("output", "name", "words"),
    [
        ((ONE, TWO), "0", "'0' is not one tensor: the module's output holds 0#0, 0#1"),
        ({"a": ONE, "b": TWO}, "0#c", "'0#c' is not one tensor: .* holds 0#a, 0#b"),
        ((ONE, TWO), "0#2", "'0#2' is not one tensor: .* holds 0#0, 0#1"),
        ((ONE, TWO), "0#-1", "'0#-1' is not one tensor: .* holds 0#0, 0#1"),
        ((ONE, TWO), "0#--1", "'0#--1' is not one tensor: .* holds 0#0, 0#1"),
        (ONE, "0#0", "'0#0' is not one tensor: .* is one Tensor: leave out the #"),
    ],
)
def test_element_that_is_not_there_is_refused_with_those_that_are(output, name, words):
    network = nn.Sequential(Several(output))
    with pytest.raises(UserError, match=words):
        stage_features(network, [ONE], {"s": (HookPoint.named(name),)})
    assert hooks(network) == []


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ({"scores": ONE, "image": TWO}, ["logits#scores", "logits#image"]),
        ((ONE, None, TWO), ["logits1", "logits2"]),
        ([ONE], ["logits1"]),
    ],
    ids=["dict", "tuple", "list"],
)
def test_logits_of_a_network_with_several_outputs(output, names):
    features = stage_features(Several(output), [ONE], {}, logits=True)
    assert list(features) == names
    assert torch.equal(features[names[0]], ONE)


@pytest.mark.parametrize("output", [None, "text", (), {"a": None}, 5.0])
def test_network_without_logits_is_refused(output):
    with pytest.raises(UserError, match=rf"--logits: .* returns {type(output).__name__}, no tens"):
        stage_features(Several(output), [ONE], {}, logits=True)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"loss": torch.zeros(()), "scores": ONE}, r"'logits#loss' of shape \[\] for 2 clips"),
        ((ONE, torch.zeros(3, 3)), r"'logits2' of shape \[3, 3\] for 2 clips"),
    ],
)
def test_logits_that_are_not_those_of_clips_are_refused(output, words):
    with pytest.raises(UserError, match=words):
        stage_features(Several(output), [ONE], {}, logits=True)


class FramesInBatch(nn.Module):
    """Runs its layer on every frame by itself: rows in order clip, frame."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, clip):
        return self.layer(clip.transpose(1, 2).flatten(0, 1))  # [B*T, C, H, W]


def test_rows_of_one_clip_are_averaged_and_those_of_several_refused():
    clips = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4, 1, 1)  # [B, C, T, 1, 1]
    points, rule = {"layer": (HookPoint("layer"),)}, UnitRule(folded=True)
    one = stage_features(FramesInBatch(), [clips[:1]], points, rule=rule)["layer"]
    assert one.tolist() == [[1.5, 5.5, 9.5]]  # the mean over 4 frames of 0-3, 4-7, 8-11
    with pytest.raises(UserError, match=r"'layer' has 8 rows for 2 clips.*`batch_size` 1"):
        stage_features(FramesInBatch(), [clips], points, rule=rule)


def test_module_that_is_used_twice_is_refused():
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)
    with pytest.raises(UserError, match=r"'1': the network uses this module more than once"):
        stage_features(network, [ONE], {"1": (HookPoint("1"),)}, whole=True)
    assert hooks(network) == []


def test_module_that_is_not_reached_is_refused():
    network = nn.Sequential(nn.Linear(3, 3))
    network[0].aside = nn.ReLU()
    with pytest.raises(UserError, match=r"stage '0\.aside': the forward does not reach"):
        stage_features(network, [ONE], {"0.aside": (HookPoint("0.aside"),)})
