"""What a user's own network is asked for: clips, weights, and a transform that must fit."""

import json

import numpy as np
import pytest
import torch

import main
from config import Config
from datasets.geometry import ClipGeometry, ClipOptions
from datasets.video_clips import preprocess
from measure.folder import find_folder
from measure.prepare import prepare
from models.catalogue import find
from tests import helpers_runs
from tests.helpers import assert_close
from tests.models.own.helpers import chosen, computed
from utils import UserError, file_name

data = helpers_runs.videos
without_figures = helpers_runs.without_figures


CODE = """
import random
import numpy as np
import torch
from torch import nn

def transform(frames):
    return frames[:, :8, :8].permute(3, 0, 1, 2).float() {change}

def fails(frames):
    return {{}}["size"]

def build():
    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.AdaptiveAvgPool3d(1)), {wanted}
"""
TRANSFORM = "{'frames': 4, 'crop': 8, 'transform': transform}"


@pytest.fixture
def asked(written):
    """A function that writes the file of code and names the network of `build` in it."""

    def write(wanted="{}", change=""):
        return written(CODE.format(wanted=wanted, change=change), "asked_net.py")

    return write


# ---- Its clips.


@pytest.mark.parametrize(
    ("clip", "crop", "found"),
    [
        # A factory's short side holds where its crop is left to the command line.
        ({"short_side": 64}, 32, 64),
        ({"short_side": 64, "crop": 32}, 48, 96),
        ({"short_side": 32}, 32, 32),
    ],
)
def test_short_side_of_a_factory(clip, crop, found, asked):
    network = find(asked(repr({"frames": 4, **clip})), clips=ClipOptions(crop=(crop, crop)))
    assert network.clip.short_side == found


@pytest.mark.parametrize(
    ("clip", "crop"), [({"short_side": 16}, (32, 32)), ({"short_side": 16, "crop": 32}, None)]
)
def test_frames_smaller_than_the_crop_are_refused(clip, crop, asked):
    name = asked(repr({"frames": 4, **clip}))
    with pytest.raises(UserError, match="short side of 16 pixels are smaller than the crop of 32"):
        find(name, clips=ClipOptions(crop=crop))


def test_rate_and_window_contradict_each_other(asked, data, tmp_path):
    model = asked("{'frames': 4, 'crop': 8}")
    config = Config(**chosen(data, tmp_path, model, n_sample_frames=8, sampling_rate=2))
    with pytest.raises(UserError, match=r"`sampling_rate` 2 and `n_sample_frames` 8.*one of the"):
        prepare(config)


@pytest.mark.parametrize("given", [{}, {"clip_frames": 6}])
def test_window_below_the_frames_is_refused(given, asked, data, tmp_path):
    model = asked("{'frames': 4, 'crop': 8}")
    window = given.get("clip_frames", 4) - 1
    with pytest.raises(
        UserError, match=f"`n_sample_frames` {window}: .* give at least {window + 1}"
    ):
        prepare(Config(**chosen(data, tmp_path, model, n_sample_frames=window, **given)))
    prepare(Config(**chosen(data, tmp_path, model, n_sample_frames=window + 1, **given)))


def test_colours_on_the_command_line_are_those_of_pixels_in_0_to_1():
    clip = ClipGeometry((("video", 2),), 1, 2, short_side=4, crop=4, value_range=255)
    changed = clip.changed(ClipOptions(mean=(0.2,), std=(0.1, 0.2, 0.4)))
    assert (changed.mean, changed.std) == ((51.0,) * 3, (25.5, 51.0, 102.0))
    assert clip.changed(ClipOptions()) == clip
    frames = torch.full((2, 4, 4, 3), 102, dtype=torch.uint8)  # 0.4 of 255
    found = preprocess(frames, changed)[:, 0, 0, 0].tolist()
    assert_close(found, [2, 1, 0.5], 1e-5)


@pytest.mark.parametrize("key", ["mean", "std"])
@pytest.mark.parametrize("value", ["float('nan')", "(1, float('inf'), 1)"])
def test_colours_that_are_no_numbers(key, value, asked, capsys):
    with pytest.raises(UserError, match=f"preprocessing '{key}' is .*, not one number or three"):
        find(asked(f"{{'{key}': {value}}}"))
    with pytest.raises(SystemExit) as caught:
        main.main([f"--{key}", "nan", "--list_stages"])
    assert caught.value.code == 2
    assert f"argument --{key}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            "{'frames': 4, 'crop': 8, 'transform': fails}",
            r": KeyError: 'size'\n  .*asked_net\.py, line 11, in fails: return \{\}\[.size.\]$",
        ),
        (
            "{'frames': 4, 'crop': 9, 'transform': transform}",
            r"gives torch\.float32 \[3, 4, 8, 8\] for 4 frames; .*float32 \[3, 4, 9, 9\]",
        ),
        (
            "{'frames': 4, 'crop': 8, 'transform': lambda f: transform(f).double()}",
            r"gives torch\.float64 .* expected torch\.float32",
        ),
        ("{'crop': 8, 'transform': lambda f: transform(f).tolist()}", "gives list"),
    ],
    ids=["error", "shape", "kind", "list"],
)
def test_transform_that_does_not_fit_is_refused_before_there_is_a_folder(
    wanted, words, asked, data, tmp_path
):
    with pytest.raises(UserError, match=rf"asked_net\.py:build: 'transform'.*{words}"):
        main.measure(Config(**chosen(data, tmp_path, asked(wanted), run_name="run")))
    assert not (tmp_path / "run").exists()


# ---- Its weights.


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        (
            "random",
            r"`checkpoint` random: .*asked_net\.py:build decides its weights: leave it out, or "
            "give the function a parameter 'random', for which it gets True",
        ),
        ("auto", "`checkpoint` auto: no address of a file .*: leave `checkpoint` out"),
        (
            "absent.pth",
            r"absent\.pth is not a file\. .*its weights: leave `checkpoint` out",
        ),
    ],
)
def test_checkpoints_that_it_cannot_have(checkpoint, words, asked, data, tmp_path):
    model = asked("{'frames': 4, 'crop': 8}")
    with pytest.raises(UserError, match=words) as caught:
        prepare(Config(**chosen(data, tmp_path, model, checkpoint=checkpoint)))
    assert "random measures" not in str(caught.value)


# ---- Its name.


@pytest.mark.parametrize(
    ("wanted", "given", "name"),
    [
        ("{}", {}, "asked_net.py:build"),
        ("{'name': 'mine'}", {}, "mine"),
        ("{'name': ''}", {}, "asked_net.py:build"),
        ("{'name': 'mine'}", {"name": "yours"}, "yours"),
        ("{}", {"name": "yours"}, "yours"),
    ],
)
def test_name_of_results(wanted, given, name, asked, data, tmp_path):
    model = asked(f"{{'frames': 4, 'crop': 8, **{wanted}}}")
    run = prepare(Config(**chosen(data, tmp_path, model, **given)))
    assert run.model == run.identity["network"] == name
    assert find_folder(run).name == f"{file_name(name)}_plain_seed1"
    assert run.describe().startswith(f"network: {name}, weights as built")


@pytest.mark.parametrize("value", ["5", "None", "['mine']", "b'mine'"])
def test_name_that_is_no_text_is_refused(value, asked):
    with pytest.raises(UserError, match=r"preprocessing 'name' is .*, not a text"):
        find(asked(f"{{'frames': 4, 'crop': 8, 'name': {value}}}"))


def test_name_can_be_given_to_a_network_of_the_study(data, tmp_path):
    given = {"model": "demo_motion", "checkpoint": "random", "image_size": "32", "name": "base"}
    run = prepare(Config(**chosen(data, tmp_path, **given)))
    assert (run.model, find_folder(run).name) == ("base", "base_plain_seed1")


# ---- Its code.


def test_features_of_other_code_are_not_mixed(asked, data, tmp_path):
    model = asked(TRANSFORM)
    own = chosen(data, tmp_path, model, stg="0", run_name="run")
    run, folder, _ = computed(Config(**own))
    record = json.loads((folder / "config.json").read_text())
    assert record["source"] == run.network.source
    checksums = np.load(folder / "features" / "checksums.npy")
    checksums[-1] = -1
    np.save(folder / "features" / "checksums.npy", checksums)

    # The same weights, other pixels.
    asked(TRANSFORM, change="/ 255")
    with pytest.raises(
        UserError, match=r"made with other code of the network \(.*asked_net\.py:build has ch"
    ):
        main.main(["--resume", str(folder)])
    asked(TRANSFORM)
    main.main(["--resume", str(folder)])
    assert (folder / "layerwise.csv").exists()
