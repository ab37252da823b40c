"""A user's own network by its name: whose it is, its stages, and what stands for its weights."""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from datasets.geometry import ClipGeometry, ClipOptions
from models.capture import stage_features
from models.checkpoints import load
from models.network import BUILT, Weights, find
from models.own.resolve import digest, record, top_level_blocks
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
    more = {"weights": Weights("here", built=digest(module)), "clip": CLIP, **more}
    return record("mine", "own", module, lambda spec, classes: little(1), **more)


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
    network = own(Wrapped(little()), inside="network")
    assert network.requested_stages("all") == ("stem", "blocks.0", "blocks.1", "head")
    assert network.requested_stages(None) == ("head",)
    assert network.requested_stages("blocks.1.0,drop,stem") == ("stem", "blocks.1.0", "drop")
    features = stage_features(
        network.own, [clip("x", (2, 3, 4, 8, 8))], network.stage_taps("stem,blocks.1", "fast", True)
    )
    plain = network.own.network.stem(clip("x", (2, 3, 4, 8, 8)))
    assert_close(features["stem"], plain.mean((2, 3, 4)), 1e-5)
    plain = network.own.network.blocks[1](network.own.network.blocks[0](plain))
    assert_close(features["blocks.1"], plain.mean((2, 3, 4)), 1e-5)


def test_elements_of_one_module_come_in_the_order_they_were_asked_in():
    network = own(little())
    assert network.requested_stages("head#b,stem#1,head#a") == ("stem#1", "head#b", "head#a")
    (tap,) = network.taps("blocks.0#logits", "fast", True)
    assert (tap.module, tap.index) == ("blocks.0", "logits")
    assert network.taps("stem#-1", "fast", True)[0].index == "-1"


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


def test_digest_is_that_of_names_and_values():
    one = little()
    assert digest(one) == digest(little()) == digest(copy.deepcopy(one))
    assert len(digest(one)) == 64
    changed = copy.deepcopy(one)
    with torch.no_grad():
        changed.stem.weight[0, 0] += 1e-6
    assert len({digest(one), digest(changed), digest(little(1)), digest(Wrapped(one))}) == 4


def test_digest_takes_every_kind_of_value():
    module = nn.BatchNorm1d(2).to(torch.bfloat16)
    module.register_buffer("flags", torch.tensor([True, False]))
    module.register_buffer("nothing", torch.zeros(0))
    before = digest(module)
    module.flags[1] = True
    assert digest(module) != before


class Extra(nn.Linear):
    """Keeps something beside its parameters."""

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


def test_digest_takes_a_module_s_extra_state():
    module = Extra(2, 2)
    module.scale = 1.5
    before = digest(module)
    assert digest(module) == before
    module.scale = 2.5
    assert digest(module) != before


def test_weights_are_those_that_it_was_built_with():
    network = own(little())
    assert network.checkpoint(None) == BUILT
    module, loaded = load(network, BUILT)
    assert module is network.own
    assert (loaded.source, loaded.sha256) == ("as built", digest(little()))


def test_other_weights_can_be_loaded_into_a_new_module(tmp_path):
    network, path = own(little()), tmp_path / "other.pth"
    torch.save(little(2).state_dict(), path)
    module, loaded = load(network, str(path))
    assert module is not network.own
    assert (digest(module), loaded.source) == (digest(little(2)), str(path))
    assert digest(network.own) == digest(little())


def test_random_weights_follow_the_seed_and_leave_other_draws_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "drawn.py").write_text("from torch import nn\nbuild = lambda: nn.Linear(2, 2)")
    before = torch.random.get_rng_state()
    name = f"{tmp_path}/drawn.py:build"
    one, same, other = (digest(find(name, seed=seed).own) for seed in (1, 1, 2))
    assert one == same != other
    assert torch.equal(torch.random.get_rng_state(), before)


# ---- Its clips.


def test_clip_options_change_what_they_name_and_the_window_with_it():
    network = own(little(), any_frames=True)
    clip = network.with_clip(ClipOptions(frames=6, rate=3, crop=16, mean=(0.5,), std=(1, 2, 3)))
    assert clip.clip == ClipGeometry(
        (("video", 6),), 3, 18, short_side=16, crop=16, mean=(0.5,) * 3, std=(1, 2, 3)
    )
    assert network.with_clip(ClipOptions(window=50)).clip == replace(CLIP, window=50)
    assert network.with_clip(ClipOptions()).clip == CLIP


def test_short_side_is_scaled_with_the_crop():
    network = own(little(), clip=replace(CLIP, short_side=12))
    assert network.with_clip(ClipOptions(crop=20)).clip.short_side == 30


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
        (ClipOptions(crop=9), "`crop`: .*clips of 8 pixels"),
    ],
)
def test_own_preprocessing_cannot_be_changed_in_part(options, words):
    network = own(little(), clip=replace(CLIP, transform=lambda frames: frames))
    with pytest.raises(UserError, match=words):
        network.with_clip(options)
    assert network.with_clip(ClipOptions(crop=8)).clip.crop == 8
