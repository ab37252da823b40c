"""The record of a network: its stages, its options and its checkpoint."""

from dataclasses import replace

import pytest

from common.tasks import SEGMENTATION
from datasets.geometry import ClipOptions
from models.catalogue import find, networks
from models.network import HookPoint, Weights
from tests.helpers import at_path
from utils import UserError

NAMES = tuple(networks())
TWO_PATHWAYS = [name for name, network in networks().items() if "path" in network.options]


# ---- Stages.


@pytest.mark.parametrize("name", NAMES)
def test_all_stages_are_the_default(name):
    network = find(name)
    assert network.stages
    assert network.requested_stages(None) == network.requested_stages("all") == network.stages
    assert network.num_classes > 0 or network.task == SEGMENTATION


@pytest.mark.parametrize(
    ("text", "stages"),
    [("5", ("5",)), ("2,5", ("2", "5")), (" 4 , 1 ", ("1", "4")), ("3,3", ("3",)), ("1,", ("1",))],
)
def test_stages_come_in_order_of_depth(text, stages):
    assert find("i3d").requested_stages(text) == stages
    assert tuple(find("i3d").stage_points(text)) == stages


@pytest.mark.parametrize("stage", ["6", "0", "res5", "2,7"])
def test_unknown_stage_is_refused_with_the_known_ones(stage):
    with pytest.raises(UserError, match=r"is not in network 'i3d'\. Available: 1, 2, 3, 4, 5"):
        find("i3d").requested_stages(stage)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_no_stage_is_refused(text):
    with pytest.raises(UserError, match="names no stage"):
        find("i3d").requested_stages(text)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("a.b", HookPoint("a.b")),
        ("a.b#0", HookPoint("a.b", "0")),
        ("a#x", HookPoint("a", "x")),
        ("a#", HookPoint("a")),
        ("a#b#c", HookPoint("a", "b#c")),
    ],
)
def test_tap_by_its_name(text, point):
    assert HookPoint.named(text) == point


# ---- Options of a network.


def points(network, path, stage="3", fuse=True):
    return at_path(network, path, fuse).stage_points(stage)[stage]


def test_networks_with_two_pathways():
    assert [name for name in NAMES if name.startswith("slowfast")] == TWO_PATHWAYS
    assert len(TWO_PATHWAYS) == 5


@pytest.mark.parametrize("name", TWO_PATHWAYS)
def test_paths_of_two_pathways(name):
    network = find(name)
    slow, fast = points(network, "slow")[0], points(network, "fast")[0]
    assert (slow.index, fast.index) == (0, 1)
    assert points(network, "cat") == (slow, fast)
    assert network.stage_points("3")["3"] == (fast,)  # the study's default
    always = name == "slowfast_ssv2_r50_8x8"
    assert (points(network, "slow", fuse=False) == (slow,)) is always
    assert points(network, "cat", "5") == points(network, "cat", "5", fuse=False)


@pytest.mark.parametrize(
    ("name", "options", "pathway"),
    [
        ("i3d", {}, ""),
        ("matnet", {}, ""),
        ("slowfast_r50_8x8", {}, "fast"),
        ("slowfast_r50_8x8", {"path": "cat"}, "cat"),
        ("slowfast_r50_8x8", {"path": "slow", "fuse": False}, "slow, not fused"),
        # Its published blocks hold the lateral connection: it is always there.
        ("slowfast_ssv2_r50_8x8", {"path": "slow", "fuse": False}, "slow"),
    ],
)
def test_pathway_that_is_measured(name, options, pathway):
    network = find(name).configured(options)
    assert network.pathway(network.spec) == pathway
    assert network.name == name


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("slowfast_r50_8x8", {"path": "Slow"}, r"path 'Slow' is not known .* Did you mean 'slow'"),
        ("slowfast_r50_8x8", {"paths": "slow"}, "'paths' is not known .*Did you mean 'path'"),
        ("i3d", {"path": "slow"}, "'path' is not known to network 'i3d'. Available: none"),
    ],
)
def test_options_that_are_unknown_are_refused(name, options, words):
    with pytest.raises(UserError, match=words):
        find(name).configured(options)


def test_options_leave_the_entry_of_the_table_alone():
    before = find("slowfast_r50_8x8")
    assert before.configured({"path": "cat"}).spec != before.spec
    assert find("slowfast_r50_8x8") == before
    assert before.configured({}) == before


# ---- Clips.


def test_clips_that_are_asked_for_are_those_of_the_network():
    network = find("i3d", clips=ClipOptions(crop=(128, 128)))
    assert network.clip.shapes == {"video": (3, 8, 128, 128)}
    assert network.clip.short_side == 128
    small = find("matnet", clips=ClipOptions(crop=(64, 96)))
    assert small.clip.shapes == {"image": (3, 64, 96), "flow": (3, 64, 96)}


def test_frames_that_the_spec_names_follow_the_clips():
    network = find("timesformer", clips=ClipOptions(frames=16, crop=(448, 448)))
    assert (network.spec.frames, network.spec.crop) == (16, 448)
    assert network.clip.shapes == {"video": (3, 16, 448, 448)}


@pytest.mark.parametrize(
    ("name", "clips", "words"),
    [
        ("i3d", ClipOptions(frames=9), "`clip_frames` 9: network 'i3d' takes 8 frames"),
        ("i3d", ClipOptions(crop=(31, 31)), "at least 32 pixels, not 31: give `image_size` 32"),
        ("matnet", ClipOptions(crop=(240, 31)), "at least 32 pixels, not 31"),
        ("mvit", ClipOptions(crop=(256, 256)), "clips of 224 pixels, not 256"),
        ("i3d", ClipOptions(crop=(224, 256)), "square; give `image_size` 224"),
        ("i3d", ClipOptions(window=7), "`n_sample_frames` 7: .* give at least 8"),
        ("slowfast_r50_8x8", ClipOptions(window=31), "`n_sample_frames` 31: .* give at least 32"),
    ],
)
def test_clips_that_a_network_cannot_take(name, clips, words):
    with pytest.raises(UserError, match=words):
        find(name, clips=clips)


@pytest.mark.parametrize(
    ("name", "window"), [("i3d", 8), ("slowfast_r50_8x8", 32), ("timesformer", 8)]
)
def test_window_may_be_as_short_as_the_clip(name, window):
    assert find(name, clips=ClipOptions(window=window)).clip.window == window


# ---- Checkpoints.


def test_random_needs_no_file():
    assert find("i3d").checkpoint("random") == "random"


def test_given_file_goes_before_the_bundled_one(tmp_path):
    given, bundled = tmp_path / "given.pyth", tmp_path / "bundled.safetensors"
    given.touch()
    network = replace(find("i3d"), weights=Weights("page", bundled=bundled))
    with pytest.raises(UserError, match="`checkpoint` is missing"):
        network.checkpoint(None)
    bundled.touch()
    assert network.checkpoint(None) == str(bundled)
    assert network.checkpoint(str(given)) == str(given)


@pytest.mark.parametrize("given", [None, "no/such/file.pkl"], ids=["none", "absent file"])
def test_missing_checkpoint_says_where_to_get_it(given):
    with pytest.raises(UserError) as caught:
        find("i3d").checkpoint(given)
    words = ["I3D_8x8_R50.pkl", "https://dl.fbaipublicfiles.com", "MODEL_ZOO.md", "random"]
    words.append(f"`checkpoint` {given} is not a file" if given else "`checkpoint` is missing")
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_network_says_how_to_get_its_weights(name):
    network = replace(find(name), weights=replace(find(name).weights, bundled=None))
    with pytest.raises(UserError, match="`checkpoint` is missing: network") as caught:
        network.checkpoint(None)
    assert [name for name in network.options if f"{{{name}}}" in str(caught.value)] == []
    assert len(network.weights.advice()) > 20


def test_folder_is_a_checkpoint_only_where_one_is_published(tmp_path):
    with pytest.raises(UserError, match="is not a file: network 'i3d'"):
        find("i3d").checkpoint(str(tmp_path))
    assert find("matnet").checkpoint(str(tmp_path)) == str(tmp_path)


def test_auto_needs_an_address():
    assert find("i3d").checkpoint("auto") == "auto"
    with pytest.raises(UserError, match="`checkpoint` auto: no address of a file for network 'mat"):
        find("matnet").checkpoint("auto")


def test_unpublished_weights_say_so():
    with pytest.raises(UserError, match="No weights of the fast pathway alone are published"):
        find("fast", "ssv2").checkpoint(None)
