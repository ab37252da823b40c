"""A user's own network by its name: whose it is, its stages, and what stands for its weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from datasets.geometry import ClipGeometry, ClipOptions
from models.capture import stage_features
from models.catalogue import find
from models.checkpoints import load
from models.digest import digest
from models.network import BUILT, HookPoint, Weights
from models.own.resolve import record, top_level_blocks
from tests.helpers import assert_close, clip
from utils import UserError

CLIP = ClipGeometry((("video", 4),), 2, 8, crop=8, short_side=8)


def little(seed=0):
    """A network of 3-d convolutions: a stem, a list of two blocks, and a classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        blocks = nn.ModuleList([nn.Sequential(nn.Conv3d(4, 4, 1), nn.ReLU()) for _ in range(2)])
        return Little(blocks).eval()


class Little(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.stem, self.blocks, self.head = nn.Conv3d(3, 4, 1), blocks, nn.Linear(4, 5)
        self.drop = nn.Dropout()

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x.mean((2, 3, 4))))


class Wrapped(nn.Module):
    """What an adapter looks like: the user's network inside another one."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


def own(module, **more):
    """The record of a module; the network's weights are those of `little()`."""
    fields = {
        "name": "mine",
        "family": "own",
        "build": lambda spec, classes: little(0 if spec.trained else torch.initial_seed()),
        "clip": CLIP,
        "weights": Weights("here", built=digest(little())),
        **more,
    }
    return record(module, **fields)


# ---- Whose a name is.


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvison:r3d_18", "expected torchvision:NAME.*Did you mean 'torchvision'"),
        ("timm:resnet50", "expected torchvision:NAME, hf:FOLDER or FILE.py:FUNCTION"),
        ("my_net:build", r"FILE\.py:FUNCTION"),
        (":", "expected torchvision:NAME"),
        ("torchvision:", "is not among torchvision's video networks"),
        ("torchvision:resnet18", "is not among torchvision's video networks"),
        ("torchvision:r3d_81", "Did you mean 'r3d_18'"),
        ("no_such.py:build", r"there is no file no_such\.py"),
    ],
)
def test_name_of_no_network_is_refused(name, words):
    with pytest.raises(UserError, match=words):
        find(name)


def test_networks_of_the_study_name_the_other_kinds_too():
    with pytest.raises(UserError, match=r"torchvision:NAME, hf:FOLDER or FILE\.py:FUNCTION"):
        find("r3d_18")


# ---- Its stages.


@pytest.mark.parametrize(
    ("module", "blocks"),
    [
        # The items of a list stand for it; what has no parameters is no block.
        (little(), ["stem", "blocks.0", "blocks.1", "head"]),
        # A single child is a wrapper, however deep.
        (Wrapped(Wrapped(little())), [f"network.network.{p}" for p in ("stem", "blocks.0")]),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Linear(4, 2)), ["0", "2"]),
        (nn.Sequential(nn.ReLU()), []),
        # A single child that is no container is the only block.
        (nn.Sequential(nn.Linear(2, 2)), ["0"]),
        (nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}), ["a", "b"]),
    ],
    ids=["list", "wrapped", "no parameters", "nothing", "one", "dict"],
)
def test_blocks_that_all_stands_for(module, blocks):
    assert list(top_level_blocks(module))[: max(len(blocks), 1)] == blocks


def test_every_path_is_a_stage_without_the_name_of_the_adapter():
    module = Wrapped(little())
    network = own(module, inside="network")
    assert network.requested_stages("all") == ("stem", "blocks.0", "blocks.1", "head")
    assert network.requested_stages("blocks.1.0,drop,stem") == ("stem", "blocks.1.0", "drop")
    points = network.stage_points("stem,blocks.1")
    features = stage_features(module, [clip("x", (2, 3, 4, 8, 8))], points)
    plain = module.network.stem(clip("x", (2, 3, 4, 8, 8)))
    assert_close(features["stem"], plain.mean((2, 3, 4)))
    plain = module.network.blocks[1](module.network.blocks[0](plain))
    assert_close(features["blocks.1"], plain.mean((2, 3, 4)))


def test_elements_of_one_module_come_in_the_order_they_were_asked_in():
    network = own(little())
    assert network.requested_stages("head#b,stem#1,head#a") == ("stem#1", "head#b", "head#a")
    points = network.stage_points("blocks.0#logits,stem#-1")
    assert points["blocks.0#logits"] == (HookPoint("blocks.0", "logits"),)
    assert points["stem#-1"] == (HookPoint("stem", "-1"),)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("blocks.7", r"Did you mean .*'blocks\.[01]'"),
        ("steam", "Did you mean 'stem'"),
        ("network.stem", "'network.stem' is not in network 'mine'"),
        ("block.0#1", "'block.0#1' is not in network 'mine'"),
        ("", "names no stage"),
    ],
)
def test_unknown_stage_gets_the_nearest_paths(stage, words):
    with pytest.raises(UserError, match=words) as caught:
        own(Wrapped(little()), inside="network").requested_stages(stage)
    if stage:
        assert "any module path (--list_stages prints them)" in str(caught.value)


# ---- Its weights.


def test_weights_are_those_that_it_was_built_with():
    network = own(little())
    assert network.checkpoint(None) == BUILT
    module, loaded = load(network, BUILT)
    assert digest(module) == digest(little())
    assert not module.training
    assert (loaded.source, loaded.sha256) == ("as built", digest(little()))


def test_weights_that_are_others_each_time_are_refused():
    network = own(little(), build=lambda spec, classes: little(torch.seed()))
    with pytest.raises(UserError, match="mine comes with other weights each time it is built"):
        load(network, BUILT)


def test_untrained_weights_follow_the_seed():
    network = own(little())
    assert network.checkpoint("random") == "random"
    one, same, other = (digest(load(network, "random", seed=seed)[0]) for seed in (1, 1, 2))
    assert one == same != other
    assert one != network.weights.built


def test_other_weights_can_be_loaded_into_a_new_module(tmp_path):
    network, path = own(little()), tmp_path / "other.pth"
    torch.save(little(2).state_dict(), path)
    module, loaded = load(network, str(path))
    assert (digest(module), loaded.source) == (digest(little(2)), str(path))
    assert digest(load(network, BUILT)[0]) == digest(little())


# ---- Its clips.


def test_clip_options_change_what_they_name_and_the_window_with_it():
    network = own(little(), any_frames=True)
    wanted = ClipOptions(frames=6, rate=3, crop=(16, 16), mean=(0.5,), std=(1, 2, 3))
    clip = network.with_clip(wanted)
    assert clip.clip == ClipGeometry(
        (("video", 6),), 3, 18, short_side=16, crop=16, mean=(0.5,) * 3, std=(1, 2, 3)
    )
    assert network.with_clip(ClipOptions(window=50)).clip == replace(CLIP, window=50)
    assert network.with_clip(ClipOptions()).clip == CLIP


def test_short_side_is_scaled_with_the_crop():
    network = own(little(), clip=replace(CLIP, short_side=12))
    assert network.with_clip(ClipOptions(crop=(20, 20))).clip.short_side == 30


def test_number_of_frames_that_cannot_be_chosen():
    network = own(little())
    assert network.with_clip(ClipOptions(frames=4)).clip.inputs == (("video", 4),)
    with pytest.raises(UserError, match="`clip_frames` 5: network 'mine' takes 4 frames"):
        network.with_clip(ClipOptions(frames=5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ClipOptions(mean=(0.5,)), "`mean`: this network brings its own preprocessing"),
        (ClipOptions(std=(0.5,)), "`std`"),
        (ClipOptions(crop=(9, 9)), "`image_size`: .*clips of 8 pixels"),
    ],
)
def test_own_preprocessing_cannot_be_changed_in_part(options, words):
    network = own(little(), clip=replace(CLIP, transform=lambda frames: frames))
    with pytest.raises(UserError, match=words):
        network.with_clip(options)
    assert network.with_clip(ClipOptions(crop=(8, 8))).clip.crop == 8
