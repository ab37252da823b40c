"""What a network's modules give: read off one forward, and refused where it cannot be measured."""

import pytest
import torch
from torch import nn

from datasets.geometry import ClipGeometry
from models.catalogue import find
from models.network import Tap, UnitRule, Weights
from models.outline import count_units, list_stages, measurable, outline, require_stages, zeros
from models.own.resolve import record
from tests.helpers import tiny_network
from utils import UserError

CLIP = ClipGeometry((("video", 4),), 1, 4, crop=8)


class Odd(nn.Module):
    """A module of every kind: folded, used twice, unused, of several outputs, of a number."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 6, 1)
        self.relu = nn.ReLU()
        self.blocks = nn.ModuleList([nn.Conv3d(6, 6, 1)])
        self.frames = nn.Flatten(0, 1)
        self.split = Split()
        self.total = Total()
        self.spare = nn.Linear(2, 2)
        self.head = nn.Linear(6, 5)

    def forward(self, clip):
        x = self.relu(self.blocks[0](self.relu(self.stem(clip))))
        self.frames(x.transpose(1, 2))
        self.total(x)
        return self.head(self.split(x)["all"])


class Split(nn.Module):
    def forward(self, x):
        return {"all": x.mean((2, 3, 4)), "nothing": None, "image": x.mean(2)}


class Total(nn.Module):
    def forward(self, x):
        return x.sum()


@pytest.fixture
def module():
    return Odd().eval()


def hooks(module):
    return [name for name, part in module.named_modules() if part._forward_hooks]


# path: calls, shapes by element.
USES = {
    "": (1, {None: (1, 5)}),
    "stem": (1, {None: (1, 6, 4, 8, 8)}),
    "relu": (2, {None: (1, 6, 4, 8, 8)}),
    "blocks": (0, {}),
    "blocks.0": (1, {None: (1, 6, 4, 8, 8)}),
    "frames": (1, {None: (4, 6, 8, 8)}),
    "split": (1, {"all": (1, 6), "image": (1, 6, 8, 8)}),
    "total": (1, {None: ()}),
    "spare": (0, {}),
    "head": (1, {None: (1, 5)}),
}


def test_outline_is_the_use_of_every_module(module):
    uses = outline(module, zeros(CLIP))
    assert {name: (use.calls, use.shapes) for name, use in uses.items()} == USES
    assert hooks(module) == []


def test_zeros_are_one_clip_for_every_input():
    assert [tuple(x.shape) for x in zeros(CLIP)] == [(1, 3, 4, 8, 8)]
    two = zeros(find("slowfast_r50_4x16").clip)
    assert [tuple(x.shape) for x in two] == [(1, 3, 4, 256, 256), (1, 3, 32, 256, 256)]


# ---- Tables.


def test_rows_of_a_network_of_ones_own(module):
    weights = Weights("here", built="0")
    network = record("odd", "own", module, lambda spec, classes: Odd(), CLIP, weights)
    rows = list_stages(network, module, "fast", True)
    shown = [(row.stage, row.shape, row.units, row.calls) for row in rows]
    assert shown == [
        ("stem", (1, 6, 4, 8, 8), 6, 1),
        ("relu", (1, 6, 4, 8, 8), 6, 2),
        ("blocks.0", (1, 6, 4, 8, 8), 6, 1),
        ("frames", (4, 6, 8, 8), 6, 1),
        ("split#all", (1, 6), 6, 1),
        ("split#image", (1, 6, 8, 8), 6, 1),
        ("total", (), 0, 1),
        ("spare", (), 0, 0),
        ("head", (1, 5), 5, 1),
    ]
    # Blocks with parameters; the unused one is among them, and marked as not reached.
    assert [row.stage for row in rows if row.default] == ["stem", "blocks.0", "spare", "head"]


def test_all_takes_what_can_be_measured():
    module = Odd().eval()
    for name in ("frames", "total", "split"):  # blocks with parameters, as those that count
        module.get_submodule(name).weight = nn.Parameter(torch.zeros(1))
    module.relu = nn.PReLU()
    weights = Weights("here", built="0")
    network = record("odd", "own", module, lambda spec, classes: Odd(), CLIP, weights)
    assert network.stages == (
        *("stem", "relu", "blocks.0", "frames", "split", "total", "spare", "head"),
    )
    network = measurable(network)
    # Not: used twice, several tensors, a number, not reached.
    assert network.stages == ("stem", "blocks.0", "frames", "head")
    rows = list_stages(network, module, "fast", True)
    assert tuple(row.stage for row in rows if row.default) == network.stages


@pytest.mark.parametrize(
    ("kind", "path", "fuse", "units"),
    [
        ("one", "fast", True, [4, 16, 32, 64, 128]),
        ("two", "cat", True, [10, 40, 80, 160, 192]),
        ("two", "slow", False, [4, 16, 32, 64, 128]),
    ],
)
def test_rows_of_a_network_of_the_study(kind, path, fuse, units):
    network = tiny_network(kind)
    module = network.module()
    rows = list_stages(network, module, path, fuse)
    assert [row.stage for row in rows] == ["1", "2", "3", "4", "5"]
    assert {row.default for row in rows} == {True}
    assert [row.units for row in rows] == units


@pytest.mark.parametrize(
    ("shape", "rule", "units"),
    [
        ((1, 6, 4, 8, 8), UnitRule(), 6),
        ((1, 4, 8, 8, 6), UnitRule(maps_last=True), 6),
        ((1, 9, 6), UnitRule(), 6),
        ((1, 9, 6), UnitRule(dim=1), 9),
        ((1, 6), UnitRule(dim=4), 0),
        ((), UnitRule(), 0),
        ((3,), UnitRule(), 0),
    ],
)
def test_number_of_units(shape, rule, units):
    assert count_units(nn.Identity(), shape, rule) == units


# ---- Refusals.


def require(module, name, batch_size=8, rule=UnitRule(folded=True)):  # noqa: B008
    require_stages(module, zeros(CLIP), {name: (Tap.named(name),)}, rule, batch_size)


@pytest.mark.parametrize("name", ["stem", "blocks.0", "split#image", "head"])
def test_stage_that_can_be_measured(name, module):
    require(module, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu", "'relu': the network uses this module more than once"),
        ("spare", "stage 'spare': the forward does not reach this module"),
        ("split", "'split' is not one tensor: the module's output holds split#all, split#image"),
        ("frames", "'frames' has 4 rows a clip.*give `batch_size` 1"),
    ],
)
def test_stage_that_cannot_be_measured(name, words, module):
    with pytest.raises(UserError, match=words):
        require(module, name)
    assert hooks(module) == []


def test_folded_frames_are_fine_in_batches_of_one(module):
    require(module, "frames", batch_size=1)


def test_number_without_units_is_refused(module):
    with pytest.raises(UserError, match=r"stage 'total' is of shape \[\], without units"):
        require(module, "total")


@pytest.mark.parametrize("look", [outline, lambda m, x: require(m, "stem")], ids=["list", "check"])
def test_error_in_the_forward_leaves_no_hook(look, module):
    module.head = nn.Linear(7, 5)
    with pytest.raises(UserError, match=r"cannot take a clip \[1, 3, 4, 8, 8\]: RuntimeError"):
        look(module, [torch.zeros(1, 3, 4, 8, 8)])
    assert hooks(module) == []
