"""A network from a user's file: what it sees of the frames, and what its function may say."""

import json

import numpy as np
import pytest

from config import Config, load_config
from datasets.geometry import ClipGeometry, ClipOptions
from models.catalogue import find
from tests.datasets.helpers import write_frames
from tests.helpers import assert_close, stored
from tests.helpers_runs import as_argv, read_rows
from tests.models.own.helpers import chosen, computed
from utils import UserError

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
    own = chosen(colours, tmp_path, model, styles=("1", "2"), stg="pixels")
    config = load_config(as_argv({**own, **size, **given, "sampling_rate": 1}))
    _, folder, store = computed(config)
    found = stored(store, "pixels")
    clips = read_rows(folder / "features" / "clips.csv")
    assert len(clips) == 8
    for row, values in zip(clips, found, strict=True):
        video, style = int(row["video"][1:]), int(row["style"])
        shown = range(int(row["start"]), int(row["start"]) + 4)
        rgb = np.mean([colour(video, style, t) for t in shown], axis=0)
        assert_close(values, expected(rgb), 1e-5)


@pytest.mark.parametrize(
    ("wanted", "given", "shown"),
    [
        ("'rate': 2", {}, (0, 2, 4, 6)),
        ("'rate': 1", {}, (0, 1, 2, 3)),
        ("'rate': 1", {"sampling_rate": 2}, (0, 2, 4, 6)),
        # A window that is asked for is filled evenly.
        ("'rate': 1", {"n_sample_frames": 8}, (0, 2, 4, 7)),
        ("'rate': 1", {"n_sample_frames": 4}, (0, 1, 2, 3)),
    ],
)
def test_frames_are_as_far_apart_as_the_rate_says(colours, written, tmp_path, wanted, given, shown):
    model = written(IDENTITY.format(f", {{'frames': 4, 'crop': 8, 'mean': 0, 'std': 1, {wanted}}}"))
    own = chosen(colours, tmp_path, model, styles=("1", "2"), stg="pixels", start="first", **given)
    _, folder, store = computed(Config(**own))
    clips = read_rows(folder / "features" / "clips.csv")
    for row, values in zip(clips, stored(store, "pixels"), strict=True):
        pixels = [colour(int(row["video"][1:]), int(row["style"]), t) / 255 for t in shown]
        assert_close(values, np.mean(pixels, axis=0), 1e-5)


def test_folded_frames_need_batches_of_one_clip(colours, written, tmp_path):
    model = written(IDENTITY.format(", {'frames': 4, 'crop': 8}"))
    base = chosen(colours, tmp_path, model, styles=("1", "2"), stg="frames,pixels")
    with pytest.raises(UserError, match=r"'frames' has 8 rows for 2 clips.*give `batch_size` 1"):
        computed(Config(**base))
    assert not list(tmp_path.glob("my_net*_plain_*"))
    _, _, store = computed(Config(**base, batch_size=1))
    one = stored(store, "frames")
    assert one.shape == (8, 3)
    assert_close(one, stored(store, "pixels"), 1e-5)


def test_run_is_recorded_and_resumed_from_elsewhere(colours, written, tmp_path, monkeypatch):
    written(IDENTITY.format(", {'frames': 4, 'crop': 8}"))
    monkeypatch.chdir(tmp_path)
    own = chosen(colours, tmp_path, "my_net.py:build", styles=("1", "2"), stg="all")
    run, folder, store = computed(Config(**own, run_name="run"))
    record = json.loads((folder / "config.json").read_text())
    assert record["options"]["model"] == f"{tmp_path}/my_net.py:build"
    assert record["network"] == "my_net.py:build"
    assert record["weights"] == record["checkpoint"]["sha256"] == run.weights
    assert store.stages == ("last",)  # the only block with parameters

    monkeypatch.chdir("/")
    _, again, same = computed(load_config(["--resume", str(folder)]))
    assert again == folder
    assert np.array_equal(stored(same, "last"), stored(store, "last"))


# ---- What a factory may say.


def geometry(frames, rate, **more):
    return ClipGeometry((("video", frames),), rate, frames * rate, exact_rate=True, **more)


@pytest.mark.parametrize(
    ("wanted", "clip"),
    [
        ({"frames": 8, "crop": 112}, geometry(8, 1, crop=112, short_side=112)),
        (
            {"frames": 8, "rate": 4, "crop": 112},
            geometry(8, 4, crop=112, short_side=112),
        ),
        (
            {"frames": 8.0, "crop": 112, "short_side": 128, "mean": 0.5, "std": [1, 2, 3]},
            geometry(8, 1, crop=112, short_side=128, mean=(0.5,) * 3, std=(1.0, 2.0, 3.0)),
        ),
    ],
)
def test_preprocessing_of_a_factory(wanted, clip, written):
    network = find(written(IDENTITY.format(f", {wanted!r}")))
    assert network.clip == clip
    assert (network.name, network.family) == ("my_net.py:build", "own")


def test_command_line_goes_before_the_factory(written):
    name = written(IDENTITY.format(", {'frames': 4, 'rate': 2, 'crop': 8, 'mean': 0}"))
    clip = find(name, clips=ClipOptions(frames=6, crop=(16, 16), mean=(0.1, 0.2, 0.3))).clip
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
        ("{'transform': print, 'crop': 8, 'mean': 0}", "'transform' does the work of 'mean' too"),
    ],
)
def test_preprocessing_that_is_none(wanted, words, written):
    with pytest.raises(UserError, match=words):
        find(written(IDENTITY.format(f", {wanted}")))


def test_clips_that_nobody_describes(written):
    name = written(IDENTITY.format(", {'frames': 4}"))
    with pytest.raises(UserError, match="`clip_frames` and `image_size` are missing: the network "):
        find(name)
    assert find(name, clips=ClipOptions(crop=(8, 8))).clip.inputs == (("video", 4),)
