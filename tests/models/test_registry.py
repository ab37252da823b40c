"""Finding a network by name, its stages and its checkpoint."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models.network import Weights, find, networks, suggestion
from utils import UserError

NAMES = tuple(networks())
TWO_PATHWAYS = [name for name in NAMES if len(find(name).clip.inputs) == 2]


def test_names_of_the_table_are_distinct():
    from models.tables.resnet import NETWORKS

    names = [network.name for network in NETWORKS]
    assert len(set(names)) == len(names)
    assert set(names) <= set(NAMES)
    assert all(networks()[name].name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_last_stage_is_the_default_and_all_are_in_order(name):
    network = find(name)
    assert network.requested_stages(None) == (network.stages[-1],)
    assert network.requested_stages("all") == network.stages
    assert network.num_classes > 0


@pytest.mark.parametrize(
    ("text", "stages"),
    [("5", ("5",)), ("2,5", ("2", "5")), (" 4 , 1 ", ("1", "4")), ("3,3", ("3",)), ("1,", ("1",))],
)
def test_stages_come_in_order_of_depth(text, stages):
    assert find("i3d").requested_stages(text) == stages


@pytest.mark.parametrize("stage", ["6", "0", "res5", "2,7"])
def test_unknown_stage_is_refused_with_the_known_ones(stage):
    with pytest.raises(UserError, match=r"is not in network 'i3d'\. Available: 1, 2, 3, 4, 5"):
        find("i3d").requested_stages(stage)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_no_stage_is_refused(text):
    with pytest.raises(UserError, match="names no stage"):
        find("i3d").requested_stages(text)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("i3dd", "i3d"), ("slowfast_r50_8x9", "slowfast_r50_8x8"), ("fast_divng48", "fast_diving48")],
)
def test_unknown_network_is_refused_with_the_nearest_name(wrong, near):
    with pytest.raises(UserError, match=f"{wrong!r} is not known.*Did you mean {near!r}"):
        find(wrong)


def test_unknown_network_far_from_all_names_gets_the_list_alone():
    with pytest.raises(UserError, match="Available: c2d, i3d") as caught:
        find("zzzzzz")
    assert "Did you mean" not in str(caught.value)
    assert suggestion("zzzzzz", NAMES) == ""


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (None, "fast"),
        ("StylizedActivityNet", "fast"),
        ("ssv2", "fast_ssv2"),
        ("Diving48", "fast_diving48"),
    ],
)
def test_fast_stands_for_the_network_trained_on_the_data_set(dataset, name):
    assert find("fast", dataset).name == name


def test_networks_that_exist_once_do_not_depend_on_the_data_set():
    assert find("i3d", "ssv2") == find("i3d")


@pytest.mark.parametrize("name", NAMES)
def test_every_tap_is_a_module_of_the_network(name):
    import torch

    network = find(name)
    # Older torchvision cannot build MViT without memory.
    with torch.device("cpu" if network.family == "MViT" else "meta"):
        modules = dict(network.module().named_modules())
    for stage in network.stages:
        for path in ("slow", "fast", "cat"):
            for fuse in (True, False):
                assert all(tap.module in modules for tap in network.taps(stage, path, fuse))


@pytest.mark.parametrize("name", TWO_PATHWAYS)
def test_paths_of_two_pathways(name):
    taps = find(name).taps
    slow, fast = taps("3", "slow", True)[0], taps("3", "fast", True)[0]
    assert (slow.index, fast.index) == (0, 1)
    assert taps("3", "cat", True) == (slow, fast)
    always = name == "slowfast_ssv2_r50_8x8"
    assert (taps("3", "slow", False) == (slow,)) is always
    assert taps("5", "cat", True) == taps("5", "cat", False)


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


def test_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="is not a file"):
        find("i3d").checkpoint(str(tmp_path))


def test_unpublished_weights_say_so():
    with pytest.raises(UserError, match="No weights of the fast pathway alone are published"):
        find("fast", "ssv2").checkpoint(None)


def test_listing_networks_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from models.network import find, networks; find('i3d').stage_taps("
        "'all', 'fast', True); sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
