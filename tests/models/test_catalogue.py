"""Every network by name: what is found, what is refused, and what the tables promise."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.tasks import RECOGNITION, SEGMENTATION
from datasets.taken_frames import raw_frames
from models import catalogue
from models.catalogue import by_name, find, networks, task_of
from models.tables import resnet
from tests.helpers import at_path
from utils import UserError

NAMES = tuple(networks())


def test_every_table_is_in_the_catalogue():
    tables = [[network.name for network in table.NETWORKS] for table in catalogue.TABLES]
    assert list(NAMES) == [name for table in tables for name in table]
    assert all(networks()[name].name == name for name in NAMES)


@pytest.mark.parametrize("where", ["one table", "two tables"])
def test_two_networks_of_one_name_are_refused(where, monkeypatch):
    table, name = (resnet, "i3d") if where == "one table" else (catalogue.matnet, "x3d_s")
    monkeypatch.setattr(table, "NETWORKS", (*table.NETWORKS, networks()[name]))
    with pytest.raises(ValueError, match=f"two networks are called {name!r}: rename one"):
        find("c2d")


def test_networks_are_kept_by_their_names_in_order():
    one, two = (replace(networks()["i3d"], name=name) for name in ("b", "a"))
    assert list(by_name([one, two])) == ["b", "a"]
    assert by_name([]) == {}


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("i3d", RECOGNITION),
        ("demo_motion", RECOGNITION),
        ("matnet_bidir", SEGMENTATION),
        ("rtnet34", SEGMENTATION),
        ("sam", SEGMENTATION),
        # A user's own networks.
        ("torchvision:r3d_18", RECOGNITION),
        ("my_net.py:build", RECOGNITION),
    ],
)
def test_task_of_a_name(name, task):
    assert task_of(name) == task


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("i3dd", "i3d"),
        ("slowfast_r50_8x9", "slowfast_r50_8x8"),
        ("fast_divng48", "fast_diving48"),
        ("matnets", "matnet"),
        # Whatever their case, and parts of a name.
        ("I3D", "i3d"),
        ("SLOWFAST_R50_8X8", "slowfast_r50_8x8"),
        ("MATNet", "matnet"),
        ("deeplab", "twostream_deeplabv3plus_resnet101"),
    ],
)
def test_unknown_network_is_refused_with_the_nearest_name(wrong, near):
    with pytest.raises(UserError, match=f"{wrong!r} is not known.*Did you mean .*{near!r}"):
        find(wrong)


def test_unknown_network_far_from_all_names_gets_the_list_alone():
    with pytest.raises(UserError, match="Available: c2d, i3d") as caught:
        find("zzzzzz")
    message = str(caught.value)
    assert "Did you mean" not in message
    assert [name for name in NAMES if name not in message] == []
    assert "torchvision:NAME, hf:FOLDER or FILE.py:FUNCTION" in message


def test_network_that_nobody_can_run_says_why():
    with pytest.raises(UserError, match=r"`model` 'sam' cannot be run: it needs PyTorch 0\.4"):
        find("sam")


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
def test_entries_of_a_data_set_exist(name):
    assert {*networks()[name].by_dataset.values()} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_tap_is_a_module_of_the_network(name):
    network = find(name)
    # Older torchvision cannot build MViT without memory.
    with torch.device("cpu" if network.family == "MViT" else "meta"):
        modules = dict(network.module().named_modules())
    for path in ("slow", "fast", "cat"):
        for fuse in (True, False):
            points = at_path(network, path, fuse).stage_points("all")
            assert tuple(points) == network.stages
            assert all(point.module in modules for own in points.values() for point in own)


@pytest.mark.parametrize("name", [n.name for n in networks().values() if n.task == RECOGNITION])
def test_frames_of_the_study_are_spread_evenly_over_the_window(name):
    """Bit for bit as in the study; records of its runs say nothing of another way."""
    clip = find(name).clip
    expected = [torch.linspace(0, clip.window - 1, n).long().tolist() for _, n in clip.inputs]
    assert raw_frames(clip) == expected
    assert "exact_rate" not in clip.identity()


def test_listing_networks_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from models.catalogue import find; "
        "find('i3d').stage_points('all'); find('matnet').stage_points('all'); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
