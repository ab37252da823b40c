"""What a user's own network is asked for: clips, weights, and a transform that must fit."""

import json
import random
import sys

import numpy as np
import pytest

import main
from config import Config
from datasets.clips import preprocess
from datasets.geometry import ClipGeometry, ClipOptions
from measure.prepare import prepare
from models.network import find
from models.own.resolve import digest
from tests import helpers_runs
from tests.helpers import assert_close
from tests.helpers_runs import options
from utils import UserError

data = helpers_runs.videos


@pytest.fixture(autouse=True)
def path_restored(monkeypatch):
    """A file may import its neighbours, so its folder comes onto the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


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
    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 256, 2)), {wanted}

def drawn():
    network = nn.Linear(1, 2)
    nn.init.constant_(network.weight, np.random.rand())
    nn.init.constant_(network.bias, random.random())
    return network
"""
TRANSFORM = "{'frames': 4, 'crop': 8, 'transform': transform}"


@pytest.fixture
def written(tmp_path):
    """A function that writes the file of code and names the network of `build` in it."""

    def write(wanted="{}", change=""):
        code = CODE.format(wanted=wanted, change=change)
        (tmp_path / "asked_net.py").write_text(code)
        return f"{tmp_path / 'asked_net.py'}:build"

    return write


def chosen(data, tmp_path, model, **more):
    """Options of a run of one's own network as it was built."""
    own = options(data, tmp_path, model=model, stg="0", **more)
    return {k: v for k, v in own.items() if k in more or k not in ("image_size", "checkpoint")}


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
def test_short_side_of_a_factory(clip, crop, found, written):
    network = find(written(repr({"frames": 4, **clip})))
    assert network.with_clip(ClipOptions(crop=crop)).clip.short_side == found


@pytest.mark.parametrize(
    ("clip", "crop"), [({"short_side": 16}, 32), ({"short_side": 16, "crop": 32}, None)]
)
def test_frames_smaller_than_the_crop_are_refused(clip, crop, written):
    network = find(written(repr({"frames": 4, **clip})))
    with pytest.raises(UserError, match="short side of 16 pixels are smaller than the crop of 32"):
        network.with_clip(ClipOptions(crop=crop))


def test_colours_on_the_command_line_are_those_of_pixels_in_0_to_1():
    import torch

    clip = ClipGeometry((("video", 2),), 1, 2, short_side=4, crop=4, value_range=255)
    changed = clip.changed(ClipOptions(mean=(0.2,), std=(0.1, 0.2, 0.4)))
    assert (changed.mean, changed.std) == ((51.0,) * 3, (25.5, 51.0, 102.0))
    assert clip.changed(ClipOptions()) == clip
    frames = torch.full((2, 4, 4, 3), 102, dtype=torch.uint8)  # 0.4 of 255
    found = preprocess(frames, changed)[:, 0, 0, 0].tolist()
    assert_close(found, [2, 1, 0.5], 1e-5)


@pytest.mark.parametrize("key", ["mean", "std"])
@pytest.mark.parametrize("value", ["float('nan')", "(1, float('inf'), 1)"])
def test_colours_that_are_no_numbers(key, value, written, capsys):
    with pytest.raises(UserError, match=f"preprocessing '{key}' is .*, not one number or three"):
        find(written(f"{{'{key}': {value}}}"))
    with pytest.raises(SystemExit) as caught:
        main.main([f"--{key}", "nan", "--list_stages"])
    assert caught.value.code == 2
    assert f"argument --{key}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("{'frames': 4, 'crop': 8, 'transform': fails}", ": KeyError: 'size'"),
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
    wanted, words, written, data, tmp_path
):
    with pytest.raises(UserError, match=rf"asked_net\.py:build: 'transform'.*{words}"):
        main.measure(Config(**chosen(data, tmp_path, written(wanted), run_name="run")))
    assert not (tmp_path / "run").exists()


# ---- Its weights.


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ("random", r"`checkpoint` random: .*asked_net\.py:build decides its weights; leave it out"),
        ("auto", "`checkpoint` auto: no address of a file .*: leave `checkpoint` out"),
        (
            "absent.pth",
            r"absent\.pth is not a file\. .*its weights: leave `checkpoint` out",
        ),
    ],
)
def test_checkpoints_that_it_cannot_have(checkpoint, words, written, data, tmp_path):
    model = written("{'frames': 4, 'crop': 8}")
    with pytest.raises(UserError, match=words) as caught:
        prepare(Config(**chosen(data, tmp_path, model, checkpoint=checkpoint)))
    assert "random measures" not in str(caught.value)


def test_draws_of_every_library_follow_the_seed_and_leave_others_alone(written):
    name = written().replace(":build", ":drawn")
    np.random.seed(5)
    random.seed(5)
    expected = np.random.rand(), random.random()
    np.random.seed(5)
    random.seed(5)
    one, same, other = (digest(find(name, seed=seed).own) for seed in (1, 1, 2))
    assert one == same != other
    assert (np.random.rand(), random.random()) == expected


# ---- Its code.


def test_features_of_other_code_are_not_mixed(written, data, tmp_path):
    model = written(TRANSFORM)
    plan = prepare(Config(**chosen(data, tmp_path, model, run_name="run")))
    folder, _, _ = main.compute_features(plan)
    record = json.loads((folder / "config.json").read_text())
    assert record["source"] == plan.network.source
    done = np.load(folder / "features" / "done.npy")
    done[-1] = False
    np.save(folder / "features" / "done.npy", done)

    # The same weights, other pixels.
    written(TRANSFORM, change="/ 255")
    with pytest.raises(UserError, match=r"made with another source \(source: "):
        main.main(["--resume", str(folder)])
    written(TRANSFORM)
    main.main(["--resume", str(folder)])
    assert (folder / "layerwise.csv").exists()
