"""Frames that are decoded one after the other give, to the bit, what all at once gave."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from datasets.batches import FrameError, stacked
from datasets.geometry import ClipGeometry
from datasets.video_clips import VideoReader, permutation, preprocess_each, preprocess_raw
from datasets.video_plan import Clip
from datasets.videos import Video, scan_frames
from tests.datasets.helpers import noise, video_set, write_frames


def all_at_once(frames: np.ndarray, geometry: ClipGeometry) -> torch.Tensor:
    """How inputs were made before: every frame at its full size in one tensor."""
    x = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / (255 / geometry.value_range)
    if geometry.channels == "BGR":
        x = x.flip(0)
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (geometry.mean, geometry.std))
    x = (x - mean) / std
    height, width = x.shape[2:]
    size = [int(v / min(height, width) * geometry.short_side) for v in (height, width)]
    if size != [height, width]:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    top, left = (round((v - geometry.crop) / 2) for v in size)
    return x[:, :, top : top + geometry.crop, left : left + geometry.crop]


def geometry(short_side: int, crop: int, **options) -> ClipGeometry:
    chosen = {"mean": (0.4, 0.45, 0.5), "std": (0.2, 0.225, 0.25), **options}
    return ClipGeometry((("video", 8),), 1, short_side=short_side, crop=crop, **chosen)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 40])
@pytest.mark.parametrize(
    ("height", "width", "short", "crop"),
    [
        pytest.param(32, 40, 32, 32, id="no scaling"),
        pytest.param(256, 340, 256, 224, id="no scaling, of a study's size"),
        pytest.param(32, 40, 20, 16, id="small to smaller"),
        pytest.param(33, 41, 63, 60, id="to 63 + 78, larger"),
        pytest.param(64, 64, 48, 48, id="to 48 + 48"),
        pytest.param(91, 91, 64, 64, id="to 64 + 64, the last small size"),
        pytest.param(91, 93, 64, 64, id="to 64 + 65, the first that is not"),
        pytest.param(241, 321, 256, 256, id="odd, a little larger"),
        pytest.param(321, 241, 128, 112, id="portrait, smaller"),
        pytest.param(9, 61, 32, 18, id="very wide"),
    ],
)
def test_inputs_are_the_same_to_the_bit(count, height, width, short, crop):
    frames = noise(count, seed=height, height=height, width=width)
    for options in ({}, {"channels": "BGR", "value_range": 255}):
        own = geometry(short, crop, **options)
        wanted = all_at_once(frames, own)
        assert torch.equal(preprocess_each(iter(frames), own), wanted)
        assert torch.equal(preprocess_raw(torch.from_numpy(frames), own), wanted)


@pytest.fixture
def reader(tmp_path):
    """Makes a reader of a video of such frames."""

    def make(frames: np.ndarray, own: ClipGeometry) -> VideoReader:
        write_frames(tmp_path / "style_1" / "a", frames)
        videos = video_set([Video("a", "a", 0, len(frames))], "1")
        return VideoReader(videos, {("a", "1"): scan_frames(tmp_path / "style_1" / "a")}, own)

    return make


def inputs(made: VideoReader, clips: list[Clip], raw: bool = False) -> list[list[torch.Tensor]]:
    found = made.inputs(made.read(clips, raw), clips)
    return [[stacked([x])[0] for x in own] for own in found]


RAW = pytest.mark.parametrize("raw", [False, True], ids=["by readers", "where the network is"])


@RAW
@pytest.mark.parametrize("grey", [False, True])
def test_clips_are_the_same_to_the_bit(reader, tmp_path, grey, raw):
    own = ClipGeometry((("slow", 4), ("fast", 8)), 1, window=12, short_side=20, crop=16)
    frames = noise(12, seed=1, height=20, width=25)
    made = reader(frames, own)
    if grey:
        frames = np.stack([frame[:, :, :1].repeat(3, 2) for frame in frames])
        for number, frame in enumerate(frames, 1):
            path = tmp_path / "style_1" / "a" / f"{number:06d}.png"
            Image.fromarray(frame[:, :, 0]).save(path)
    clips = [Clip("a", "1", 0), Clip("a", "1", 0, 9)]
    (slow, fast), (slow_shuffled, fast_shuffled) = inputs(made, clips, raw)
    seen = all_at_once(frames[[0, 1, 3, 4, 6, 7, 9, 11]], own)
    assert torch.equal(fast, seen)
    assert torch.equal(slow, seen[:, [0, 2, 5, 7]])  # frames 0, 3, 7 and 11
    assert torch.equal(slow_shuffled, slow[:, permutation(9, 0, 4)])
    assert torch.equal(fast_shuffled, fast[:, permutation(9, 1, 8)])


@RAW
def test_a_network_s_own_preprocessing_is_given_all_frames_at_once_by_readers(reader, raw):
    given = []

    def own(frames: torch.Tensor) -> torch.Tensor:
        given.append(frames)
        return frames[:, :16, :16].permute(3, 0, 1, 2).float()

    frames = noise(8, seed=2)
    made = reader(frames, geometry(16, 16, window=8, transform=own))
    reading = made.read([Clip("a", "1", 0)], raw)
    assert torch.equal(given[0], torch.from_numpy(frames))
    ((x,),) = made.inputs(reading, [Clip("a", "1", 0)])
    assert torch.equal(stacked([x])[0], own(given[0]))
    assert len(given) == 2  # once by the reader, and once by this test


def test_preprocessing_may_give_what_learns_and_lies_in_another_order(reader):
    def own(frames: torch.Tensor) -> torch.Tensor:
        return frames[:, :16, :16].float().requires_grad_().permute(3, 0, 1, 2)

    frames = noise(8, seed=2)
    made = reader(frames, geometry(16, 16, window=8, transform=own))
    ((x,),) = inputs(made, [Clip("a", "1", 0, 3)])
    order = permutation(3, 0, 8)
    assert not x.requires_grad
    assert torch.equal(x, torch.from_numpy(frames[order, :16, :16]).float().permute(3, 0, 1, 2))


@pytest.mark.parametrize(
    ("height", "width", "kind"),
    [
        pytest.param(32, 32, torch.uint8, id="as many bytes as 16 x 16 floats"),
        pytest.param(32, 33, torch.float32, id="a few more"),
    ],
)
def test_frames_leave_their_reader_as_what_is_fewer_bytes(reader, height, width, kind):
    frames = noise(8, seed=4, height=height, width=width)
    made, clips = reader(frames, geometry(16, 16, window=8)), [Clip("a", "1", 0)]
    assert made.read(clips, raw=True).dtype == kind
    assert made.read(clips).dtype == torch.float32
    ((x,),) = inputs(made, clips, raw=True)
    assert torch.equal(x, all_at_once(frames, made.geometry))


@RAW
def test_a_frame_of_another_size_is_refused_with_its_path(reader, tmp_path, raw):
    made = reader(noise(8, seed=3), geometry(32, 32, window=8))
    write_frames(tmp_path / "style_1" / "a", noise(1, 0, height=30), first=5)
    with pytest.raises(FrameError, match=r"000005\.png: frames of unequal size: .*30.*32"):
        made.read([Clip("a", "1", 0)], raw)


def test_decoded_frames_are_not_kept():
    """Of frames of 3 MB each, a few are there at a time, not all 32."""

    def decoded():
        for _ in range(32):
            yield np.zeros((1000, 1000, 3), np.uint8)

    tracemalloc.start()
    try:
        preprocess_each(decoded(), geometry(70, 64))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12e6
