"""What a network's modules give: read off one forward, and refused where it cannot be measured."""

import pytest
import torch
from torch import nn

from datasets.geometry import ClipGeometry
from models.catalogue import find
from models.network import HookPoint, UnitRule, Weights
from models.outline import count_units, list_stages, measurable, outline, require_stages, zeros
from models.own.resolve import record
from tests.helpers import at_path, tiny_network
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


def own(module, **more):
    """The record of a module as if it were a user's own network."""
    return record(
        module,
        name="odd",
        family="own",
        build=lambda spec, classes: Odd(),
        clip=CLIP,
        weights=Weights("here", built="0"),
        **more,
    )


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


@pytest.mark.parametrize(
    ("clip", "clips", "shapes"),
    [
        (CLIP, 1, [(1, 3, 4, 8, 8)]),
        (CLIP, 5, [(5, 3, 4, 8, 8)]),
        (find("slowfast_r50_4x16").clip, 1, [(1, 3, 4, 256, 256), (1, 3, 32, 256, 256)]),
        (find("matnet").clip, 2, [(2, 3, 480, 854), (2, 3, 480, 854)]),
        (find("rtnet").clip, 1, [(1, 2, 3, 480, 854), (1, 2, 6, 480, 854)]),
    ],
    ids=["one", "several", "two pathways", "flow", "two frames"],
)
def test_zeros_are_clips_for_every_input(clip, clips, shapes):
    found = zeros(clip, clips=clips)
    assert [tuple(x.shape) for x in found] == shapes
    assert {x.dtype for x in found} == {torch.float32}
    assert not any(x.any() for x in found)


# ---- Tables.


def test_rows_of_a_network_of_ones_own(module):
    rows = list_stages(own(module), module)
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
    network = own(module)
    assert network.stages == (
        *("stem", "relu", "blocks.0", "frames", "split", "total", "spare", "head"),
    )
    network = measurable(network, module)
    # Not: used twice, several tensors, a number, not reached.
    assert network.stages == ("stem", "blocks.0", "frames", "head")
    rows = list_stages(network, module)
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
    network = at_path(tiny_network(kind), path, fuse)
    rows = list_stages(network, network.module())
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


def require(module, name, batch_size=8, rows=1):
    points = {name: (HookPoint.named(name),)}
    require_stages(module, zeros(CLIP, clips=batch_size), points, UnitRule(folded=True), rows)


@pytest.mark.parametrize("name", ["stem", "blocks.0", "split#image", "head"])
def test_stage_that_can_be_measured(name, module):
    require(module, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu", "'relu': the network uses this module more than once"),
        ("spare", "stage 'spare': the forward does not reach this module"),
        ("split", "'split' is not one tensor: the module's output holds split#all, split#image"),
        ("frames", "'frames' has 32 rows for 8 clips.*give `batch_size` 1"),
    ],
)
def test_stage_that_cannot_be_measured(name, words, module):
    with pytest.raises(UserError, match=words):
        require(module, name)
    assert hooks(module) == []


def test_folded_frames_are_fine_in_batches_of_one(module):
    require(module, "frames", batch_size=1)


def test_rows_that_clips_have_are_fine_in_any_batch(module):
    require(module, "frames", rows=4)
    with pytest.raises(UserError, match="'stem' has 8 rows for 8 clips"):
        require(module, "stem", rows=4)


def test_batch_is_that_which_will_be_run(module):
    """A network that works with one clip, and fails with more, is found out."""
    module.head = OneClip()
    require(module, "stem", batch_size=1)
    with pytest.raises(UserError, match=r"cannot take clips \[8, 3, 4, 8, 8\]: ValueError: too"):
        require(module, "stem")
    assert hooks(module) == []


class OneClip(nn.Module):
    def forward(self, x):
        (clip,) = x
        return clip


def test_number_without_units_is_refused(module):
    with pytest.raises(UserError, match=r"stage 'total' is of shape \[\], without units"):
        require(module, "total")


@pytest.mark.parametrize("look", [outline, lambda m, x: require(m, "stem")], ids=["list", "check"])
def test_error_in_the_forward_leaves_no_hook(look, module):
    module.head = nn.Linear(7, 5)
    with pytest.raises(UserError, match=r"cannot take clips \[\d, 3, 4, 8, 8\]: RuntimeError"):
        look(module, [torch.zeros(1, 3, 4, 8, 8)])
    assert hooks(module) == []
