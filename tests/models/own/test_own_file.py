"""A network from a user's file: what it sees of the frames, and what is said of bad files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import main
from config import Config, load_config
from datasets.geometry import ClipGeometry, ClipOptions
from measure.prepare import prepare
from models.network import find
from tests.datasets.helpers import write_frames
from tests.helpers import assert_close
from tests.helpers_runs import as_argv, options, read_rows
from utils import UserError


@pytest.fixture(autouse=True)
def path_restored(monkeypatch):
    """A file may import its neighbours, so its folder comes onto the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def written(tmp_path):
    """A function that writes a file of code and names the network of `build` in it."""

    def write(code, file="my_net.py"):
        (tmp_path / file).write_text(code)
        return f"{tmp_path / file}:build"

    return write


# A network whose stages are what it gets: `pixels` the clip itself, `frames` a row per frame.
IDENTITY = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pixels, self.frames, self.last = nn.Identity(), nn.Identity(), nn.Linear(3, 2)

    def forward(self, clip):
        x = self.pixels(clip)
        self.frames(x.transpose(1, 2).flatten(0, 1))
        return self.last(x.mean((2, 3, 4)))

def build():
    return Net(){}
"""


# ---- What a network sees.


def colour(video, style, frame):
    """The one colour of a frame: every number in it says where it is from."""
    return np.array([10 * video + frame, 100 + 10 * style + frame, 200 + 3 * video + 2 * style])


@pytest.fixture
def colours(tmp_path):
    """Two videos of 8 frames in two styles, each frame of one colour."""
    for style in (1, 2):
        for video in (1, 2):
            frames = (
                np.broadcast_to(colour(video, style, t), (16, 24, 3)).astype(np.uint8)
                for t in range(8)
            )
            write_frames(tmp_path / "videos" / f"style_{style}" / f"v{video}", frames)
    return tmp_path / "videos"


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        # /255, mean 0.45 and std 0.225 where nothing is said.
        ("", {}, lambda rgb: (rgb / 255 - 0.45) / 0.225),
        (
            "",
            {"mean": "0.5", "std": "0.1,0.2,0.5"},
            lambda rgb: (rgb / 255 - 0.5) / [0.1, 0.2, 0.5],
        ),
        (
            ", {'channels': 'BGR', 'value_range': 255, 'mean': (104, 117, 123), 'std': 1}",
            {},
            lambda rgb: rgb[::-1] - [104, 117, 123],
        ),
        (
            ", {'channels': 'BGR', 'value_range': 1, 'mean': 0, 'std': (1, 2, 4)}",
            {},
            lambda rgb: rgb[::-1] / 255 / [1, 2, 4],
        ),
        (
            ", {'frames': 4, 'crop': 8, 'transform': lambda frames: "
            "frames[:, :8, :8].permute(3, 0, 1, 2).float()}",
            {},
            lambda rgb: rgb,
        ),
    ],
    ids=["default", "command line", "BGR 0..255", "BGR 0..1", "transform"],
)
def test_mean_pixel_of_every_channel(colours, written, tmp_path, wanted, given, expected):
    """By hand: the mean over 4 frames of one colour each, in the network's order and range."""
    model = written(IDENTITY.format(wanted))
    size = {} if "transform" in wanted else {"clip_frames": "4", "crop": "8"}
    chosen = options(colours, tmp_path, styles=("1", "2"), model=model, stg="pixels")
    del chosen["image_size"], chosen["checkpoint"]
    config = load_config(as_argv({**chosen, **size, **given, "sampling_rate": 1}))
    folder, store, _ = main.compute_features(prepare(config))
    found = np.asarray(store.features("pixels"))
    clips = read_rows(folder / "features" / "clips.csv")
    assert len(clips) == 6
    for row, values in zip(clips, found, strict=True):
        video, style = int(row["video"][1:]), int(row["style"])
        shown = range(int(row["start"]), int(row["start"]) + 4)
        rgb = np.mean([colour(video, style, t) for t in shown], axis=0)
        assert_close(values, expected(rgb), 1e-5)


def test_folded_frames_need_batches_of_one_clip(colours, written, tmp_path):
    model = written(IDENTITY.format(", {'frames': 4, 'crop': 8}"))
    base = options(colours, tmp_path, styles=("1", "2"), model=model, stg="frames,pixels")
    del base["checkpoint"], base["image_size"]
    with pytest.raises(UserError, match=r"'frames' has 4 rows a clip.*give `batch_size` 1"):
        main.measure(Config(**base))
    assert not list(tmp_path.glob("my_net*_plain_*"))
    plan = prepare(Config(**base, batch_size=1))
    _, store, _ = main.compute_features(plan)
    one = np.asarray(store.features("frames"))
    assert one.shape == (6, 3)
    assert_close(one, store.features("pixels"), 1e-5)


def test_run_is_recorded_and_resumed_from_elsewhere(colours, written, tmp_path, monkeypatch):
    written(IDENTITY.format(", {'frames': 4, 'crop': 8}"))
    monkeypatch.chdir(tmp_path)
    chosen = options(colours, tmp_path, styles=("1", "2"), model="my_net.py:build", stg="all")
    del chosen["image_size"], chosen["checkpoint"]
    plan = prepare(Config(**chosen, run_name="run"))
    folder, store, _ = main.compute_features(plan)
    record = json.loads((folder / "config.json").read_text())
    assert record["options"]["model"] == f"{tmp_path}/my_net.py:build"
    assert record["network"] == "my_net.py:build"
    assert record["weights"] == record["checkpoint"]["sha256"] == plan.weights
    assert store.stages == ("last",)  # the only block with parameters

    monkeypatch.chdir("/")
    again, same, _ = main.compute_features(prepare(load_config(["--resume", str(folder)])))
    assert again == folder
    assert np.array_equal(same.features("last"), store.features("last"))


# ---- What a factory may say.


@pytest.mark.parametrize(
    ("wanted", "clip"),
    [
        ({}, ClipGeometry((("video", 0),), 1, 0, crop=0, short_side=0)),
        (
            {"frames": 8, "rate": 4, "crop": 112},
            ClipGeometry((("video", 8),), 4, 32, crop=112, short_side=112),
        ),
        (
            {"frames": 8.0, "crop": 112, "short_side": 128, "mean": 0.5, "std": [1, 2, 3]},
            ClipGeometry((("video", 8),), 1, 8, 128, 112, (0.5, 0.5, 0.5), (1.0, 2.0, 3.0)),
        ),
    ],
)
def test_preprocessing_of_a_factory(wanted, clip, written):
    network = find(written(IDENTITY.format(f", {wanted!r}")))
    assert network.clip == clip
    assert (network.name, network.family) == ("my_net.py:build", "own")


def test_command_line_goes_before_the_factory(written):
    network = find(written(IDENTITY.format(", {'frames': 4, 'rate': 2, 'crop': 8, 'mean': 0}")))
    clip = network.with_clip(ClipOptions(frames=6, crop=16, mean=(0.1, 0.2, 0.3))).clip
    assert (clip.inputs, clip.sampling_rate, clip.window) == ((("video", 6),), 2, 12)
    assert (clip.crop, clip.mean) == (16, (0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("{'frame': 4}", "preprocessing 'frame' is not known.*Did you mean 'frames'"),
        ("{'frames': 0}", "'frames' is 0, not a number of frames"),
        ("{'frames': 2.5}", "'frames' is 2.5, not a number"),
        ("{'crop': '224'}", "'crop' is '224', not a number of pixels"),
        ("{'rate': None}", "'rate' is None, not raw frames between two"),
        ("{'mean': (1, 2)}", r"'mean' is \(1, 2\), not one number or three"),
        ("{'std': 'a'}", "'std' is 'a', not"),
        ("{'std': 0}", "'std' is 0, not"),
        ("{'channels': 'rgb'}", "'channels' is 'rgb', not 'RGB' or 'BGR'"),
        ("{'value_range': 100}", "'value_range' is 100, not 1 or 255"),
        ("{'transform': 5}", "'transform' is 5, not a function"),
        ("{'transform': print}", "'transform' needs 'crop'"),
        ("{'transform': print, 'crop': 8, 'mean': 0}", "'transform' stands for 'mean' too"),
    ],
)
def test_preprocessing_that_is_none(wanted, words, written):
    with pytest.raises(UserError, match=words):
        find(written(IDENTITY.format(f", {wanted}")))


def test_clips_that_nobody_describes(written):
    network = find(written(IDENTITY.format(", {'frames': 4}")))
    with pytest.raises(UserError, match=r"`clip_frames` and `crop` are missing: my_net\.py:build"):
        network.with_clip(ClipOptions())
    assert network.with_clip(ClipOptions(crop=8)).clip.inputs == (("video", 4),)


# ---- Files.


def test_file_may_import_its_neighbours(written):
    written("from torch import nn\nparts = [nn.Linear(2, 3)]\n", file="own_parts_of_my_net.py")
    network = find(written("import own_parts_of_my_net as p\nbuild = lambda: p.parts[0]"))
    assert network.own.out_features == 3
    sys.modules.pop("own_parts_of_my_net")


def test_file_may_be_called_like_one_of_the_toolkit(written):
    import utils

    network = find(written("from torch import nn\nbuild = lambda: nn.Linear(2, 3)", "utils.py"))
    assert network.own.out_features == 3
    assert sys.modules["utils"] is utils


def test_network_is_put_into_evaluation_mode(written):
    code = "from torch import nn\nbuild = lambda: nn.Sequential(nn.Linear(2, 3), nn.Dropout())"
    assert not find(written(code)).own.training


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def builds():\n    pass", "the file has no function 'build'.*Did you mean 'builds'"),
        ("build = 5", "the file has no function 'build'"),
        ("def build(:", r"SyntaxError"),
        ("import no_such_module_here", r"ModuleNotFoundError: No module named .*\(line 1 of"),
        ("\n\ndef build():\n    return 1 / 0", r"ZeroDivisionError: .*\(line 4 of .*my_net\.py\)"),
        ("def build(size):\n    pass", "TypeError: .*missing 1 required positional argument"),
        ("def build():\n    pass", "returned NoneType; expected a torch.nn.Module"),
        ("def build():\n    return {}", "returned dict; expected"),
        ("from torch import nn\ndef build():\n    return nn.ReLU(), 5", "returned tuple; expected"),
        ("from torch import nn\ndef build():\n    return nn.ReLU", "returned type; expected"),
    ],
)
def test_file_that_gives_no_network(code, words, written):
    with pytest.raises(UserError, match=words):
        find(written(code))


def test_number_of_classes_is_refused(written):
    with pytest.raises(UserError, match=r"`num_classes`: .*my_net\.py:build decides that itself"):
        find(written(IDENTITY.format("")), num_classes=5)


FAILS = """
import torch
def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7, 2)), {'frames': 4, 'crop': 8}
"""


def test_forward_that_fails_says_on_which_clip(written, colours, tmp_path):
    chosen = options(colours, tmp_path, styles=("1", "2"), model=written(FAILS), stg="1")
    del chosen["image_size"], chosen["checkpoint"]
    with pytest.raises(
        UserError, match=r"cannot take a clip \[1, 3, 4, 8, 8\].*RuntimeError: .*mat1"
    ):
        main.measure(Config(**chosen))
    with pytest.raises(UserError, match="cannot take a clip"):
        main.main(["--model", written(FAILS), "--list_stages"])


def test_reasons_are_shown_without_a_traceback(tmp_path):
    import subprocess

    (tmp_path / "my_net.py").write_text("def build():\n    return 1 / 0")
    root = Path(__file__).parents[3]
    command = [sys.executable, str(root / "main.py"), "--model", "my_net.py:build"]
    done = subprocess.run(
        [*command, "--list_stages"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --model my_net.py:build: ZeroDivisionError: division")
    assert "Traceback" not in done.stderr
