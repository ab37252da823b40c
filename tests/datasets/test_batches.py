"""Batches of clips: which frames are read, how often, in which order; what cannot be read."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import batches as batches_module
from datasets import video_clips as clips_module
from datasets.batches import BadVideo, Batch, FrameError, iter_batches, read_frame
from datasets.chunks import in_batches
from datasets.geometry import ClipGeometry
from datasets.pair_plan import PlanRules
from datasets.stylized_videos import StylizedVideos
from datasets.taken_frames import permutation
from datasets.video_clips import preprocess
from datasets.video_layouts import find_videos
from datasets.video_plan import Clip
from datasets.videos import check_frames
from tests.datasets.helpers import noise, write_frames
from tests.helpers import assert_close
from utils import UserError

ONE = ClipGeometry((("video", 4),), 1, window=10, short_side=16, crop=16)
TWO = ClipGeometry((("slow", 4), ("fast", 8)), 1, window=10, short_side=16, crop=16)
# What ONE and TWO take of a window of 10: i * 9 / 3, and i * 9 / 7 truncated.
SLOW, FAST = [0, 3, 6, 9], [0, 1, 2, 3, 5, 6, 7, 9]


@pytest.fixture
def root(tmp_path) -> Path:
    """Videos a (12 frames) and b (8 frames, so they cycle) in styles 1 and 2."""
    for index, (video, style) in enumerate([("a", 1), ("a", 2), ("b", 1), ("b", 2)]):
        count = {"a": 12, "b": 8}[video]
        write_frames(tmp_path / f"style_{style}" / video, noise(count, seed=index))
    return tmp_path


def batches(root: Path, clips: list[Clip], geometry: ClipGeometry = ONE, **options) -> list:
    videos = find_videos("plain", root, "12")
    frames, problems = check_frames(videos, [(v, s) for v in videos.videos for s in "12"])
    assert not problems
    reader = StylizedVideos(videos, frames).reader(geometry)
    batches = in_batches(clips, options.pop("batch_size", 1))
    return list(iter_batches([batches], reader, **options))


def expected(root: Path, video: str, style: str, positions: list[int]) -> torch.Tensor:
    """The input made of the frames at `positions`, read one by one."""
    folder = root / f"style_{style}" / video
    frames = [Image.open(folder / f"{p + 1:06d}.png").convert("RGB") for p in positions]
    return preprocess(torch.from_numpy(np.stack([np.asarray(f) for f in frames])), ONE)


def test_clip_shows_a_subsample_of_its_window(root):
    (batch,) = batches(root, [Clip("a", "2", 1)])
    (x,) = batch.inputs
    assert (x.shape, x.dtype) == ((1, 3, 4, 16, 16), torch.float32)
    assert_close(x[0], expected(root, "a", "2", [1, 4, 7, 10]), 1e-5)


def test_clip_of_an_exact_rate_shows_every_third_frame(root):
    # Evenly spread over the window of 12 they would be 0, 3, 7 and 11.
    exact = replace(ONE, sampling_rate=3, window=12, exact_rate=True)
    (batch,) = batches(root, [Clip("a", "2", 0)], exact)
    assert_close(batch.inputs[0][0], expected(root, "a", "2", [0, 3, 6, 9]))


def test_short_video_cycles(root):
    # Frames 2..7, then 2..5 again: positions 0, 3, 6, 9 of the window are 2, 5, 2, 5.
    (batch,) = batches(root, [Clip("b", "1", 2)])
    assert_close(batch.inputs[0][0], expected(root, "b", "1", [2, 5, 2, 5]), 1e-5)


def test_both_inputs_of_slowfast_are_subsamples_of_one_window(root):
    (batch,) = batches(root, [Clip("a", "1", 2)], TWO)
    slow, fast = batch.inputs
    assert_close(slow[0], expected(root, "a", "1", [2 + p for p in SLOW]), 1e-5)
    assert_close(fast[0], expected(root, "a", "1", [2 + p for p in FAST]), 1e-5)


def test_shuffled_clip_is_its_anchor_with_frames_permuted(root):
    anchor, shuffled = Clip("a", "1", 1), Clip("a", "1", 1, 99)
    (batch,) = batches(root, [anchor, shuffled], batch_size=2)
    first, second = batch.inputs[0]
    order = permutation(99, 0, 4)
    assert order.tolist() != [0, 1, 2, 3]
    assert torch.equal(second, first[:, order])


def test_slowfast_shuffles_each_input_by_its_own_permutation(root):
    (batch,) = batches(root, [Clip("a", "1", 1), Clip("a", "1", 1, 5)], TWO, batch_size=2)
    orders = []
    for x, n in zip(batch.inputs, (4, 8), strict=True):
        anchor, shuffled = x
        same = [[torch.equal(shuffled[:, i], anchor[:, j]) for j in range(n)] for i in range(n)]
        order = [row.index(True) for row in same]
        assert sorted(order) == list(range(n)) != order
        orders.append(order)
    assert orders == [permutation(5, 0, 4).tolist(), permutation(5, 1, 8).tolist()]


def test_dynamic_pair_shows_the_same_frames_in_two_styles(root):
    # The frames carry their number in their grey value, so that it can be read off the inputs.
    for style in "12":
        grey = [np.full((16, 16, 3), 10 * i + int(style), np.uint8) for i in range(12)]
        write_frames(root / f"style_{style}" / "a", grey)
    (one, two) = batches(root, [Clip("a", "1", 2), Clip("a", "2", 2)])
    numbers = [
        ((b.inputs[0][0, 0, :, 8, 8] * 0.225 + 0.45) * 255).round().long() for b in (one, two)
    ]
    assert numbers[0].tolist() == [21, 51, 81, 111]
    assert numbers[1].tolist() == [22, 52, 82, 112]


@pytest.mark.parametrize("geometry", [ONE, TWO], ids=["one input", "slow and fast"])
def test_only_the_frames_that_are_seen_are_read(root, geometry):
    (sound,) = batches(root, [Clip("a", "1", 1)], geometry)
    seen = {1 + p for p in (SLOW if geometry is ONE else SLOW + FAST)}
    unseen = [p for p in range(12) if p not in seen]
    assert len(unseen) >= 3
    for position in unseen:
        (root / "style_1" / "a" / f"{position + 1:06d}.png").write_bytes(b"broken")
    (batch,) = batches(root, [Clip("a", "1", 1)], geometry)
    assert all(torch.equal(x, y) for x, y in zip(batch.inputs, sound.inputs, strict=True))


@pytest.mark.parametrize(
    ("geometry", "clip", "positions"),
    [
        pytest.param(ONE, Clip("a", "1", 1), [1, 4, 7, 10], id="one input"),
        pytest.param(TWO, Clip("a", "1", 1), [1, 2, 3, 4, 6, 7, 8, 10], id="slow and fast"),
        pytest.param(ONE, Clip("b", "1", 2), [2, 5], id="a cycling video"),
    ],
)
def test_each_frame_is_decoded_once(root, monkeypatch, geometry, clip, positions):
    read: Counter[str] = Counter()

    def counting(path: Path) -> np.ndarray:
        read[path.name] += 1
        return read_frame(path)

    monkeypatch.setattr(clips_module, "read_frame", counting)
    shuffles = [Clip(clip.video, clip.style, clip.start, seed) for seed in (7, 8)]
    batches(root, [clip, *shuffles], geometry, batch_size=2)
    assert read == {f"{position + 1:06d}.png": 1 for position in positions}


class TestOrder:
    def plan(self, root: Path) -> list[Clip]:
        rules = PlanRules(seed=1, n_examples=14, window=10)
        return StylizedVideos(find_videos("plain", root, "12")).sample(rules).clips

    @pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
    def test_clips_keep_their_order_and_the_last_batch_may_be_smaller(self, root, batch_size):
        clips = self.plan(root)
        made = batches(root, clips, batch_size=batch_size)
        assert [clip for batch in made for clip in batch.clips] == clips
        sizes = [len(batch.clips) for batch in made]
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
        assert 1 <= sizes[-1] <= batch_size
        assert [len(batch.inputs[0]) for batch in made] == sizes

    @pytest.mark.parametrize("geometry", [ONE, TWO], ids=["one input", "slow and fast"])
    def test_batch_size_and_workers_change_nothing(self, root, geometry):
        clips = self.plan(root)
        reference = [x for b in batches(root, clips, geometry) for x in zip(*b.inputs, strict=True)]
        made = batches(root, clips, geometry, batch_size=4, num_workers=2)
        inputs = [x for batch in made for x in zip(*batch.inputs, strict=True)]
        assert [clip for batch in made for clip in batch.clips] == clips
        assert len(inputs) == len(reference) == len(clips)
        for own, other in zip(inputs, reference, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(own, other, strict=True))

    def test_no_clips_no_batches(self, root):
        assert batches(root, [], num_workers=2) == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("geometry", [ONE, TWO], ids=["one input", "slow and fast"])
def test_inputs_made_where_the_network_is_are_the_same(root, monkeypatch, geometry, workers):
    clips = [Clip("a", "1", 1), Clip("a", "1", 1, 9), Clip("b", "1", 0), Clip("a", "2", 1)]
    small = replace(geometry, short_side=32, crop=32)
    wanted = batches(root, clips, small, batch_size=3)
    sent = []
    moved = batches_module._moved

    def noting(reading, device):
        sent.append(reading.dtype)
        return moved(reading, device)

    monkeypatch.setattr(batches_module, "_makes_inputs", lambda device: True)
    monkeypatch.setattr(batches_module, "_moved", noting)
    found = batches(root, clips, small, batch_size=3, num_workers=workers)
    assert sent == [torch.uint8] * 3
    assert [batch.clips for batch in found] == [batch.clips for batch in wanted]
    for own, other in zip(found, wanted, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(own.inputs, other.inputs, strict=True))


def test_readings_go_to_a_gpu_through_pinned_memory(monkeypatch):
    """Tensors alone and in lists; what says which of them a clip shows stays as it is."""
    steps = []

    def pin(x):
        steps.append("pinned")
        return x

    def to(x, device, non_blocking):
        steps.append((str(device), non_blocking))
        return x

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    x, y = torch.ones(2), torch.zeros(3)
    assert batches_module._makes_inputs(torch.device("cuda", 1))
    reading = batches_module._moved([x, [y, [0, 1]]], torch.device("cuda", 1))
    assert reading[0] is x
    assert reading[1][0] is y
    assert reading[1][1] == [0, 1]
    assert steps == ["pinned", ("cuda:1", True)] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpu_makes_the_same_inputs_but_for_rounding(root, workers):
    clips = [Clip("a", "1", 1), Clip("a", "1", 1, 9), Clip("b", "1", 0)]
    scaled = replace(TWO, short_side=40, crop=32)
    wanted = batches(root, clips, scaled, batch_size=2)
    found = batches(root, clips, scaled, batch_size=2, num_workers=workers, device="cuda")
    for own, other in zip(found, wanted, strict=True):
        for x, y in zip(own.inputs, other.inputs, strict=True):
            assert x.is_cuda
            assert_close(x.cpu(), y, 1e-5)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_readers_make_the_inputs_for_other_devices(root, device):
    (batch,) = batches(root, [Clip("a", "1", 1)], device=device)
    assert batch.inputs[0].device == torch.device("cpu")


class TestUnreadable:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_corrupt_frame_gives_its_video_and_path_and_the_rest_goes_on(self, root, workers):
        broken = root / "style_1" / "b" / "000003.png"
        broken.write_bytes(b"broken")
        clips = [Clip("a", "1", 0), Clip("b", "1", 2), Clip("b", "1", 2, 9), Clip("b", "2", 2)]
        made = batches(root, clips, batch_size=8, num_workers=workers)
        (found,) = [item for item in made if isinstance(item, BadVideo)]
        assert found.video == "b"
        assert str(broken) in found.reason
        (batch,) = [item for item in made if isinstance(item, Batch)]
        assert batch.clips == [clips[0], clips[3]]

    def test_truncated_frame_gives_its_path(self, root):
        path = root / "style_2" / "a" / "000001.png"
        path.write_bytes(path.read_bytes()[:900])
        (bad,) = batches(root, [Clip("a", "2", 0)])
        assert isinstance(bad, BadVideo)
        assert str(path) in bad.reason

    def test_frames_of_unequal_size_give_folder_and_sizes(self, root):
        write_frames(root / "style_1" / "a", noise(1, 0, height=30), first=4)
        (bad,) = batches(root, [Clip("a", "1", 0)])
        assert bad.video == "a"
        assert str(root / "style_1" / "a") in bad.reason
        assert "unequal size" in bad.reason
        assert "30" in bad.reason
        assert "32" in bad.reason

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
    def test_one_frame_of_another_mode_is_no_problem(self, root, mode):
        path = root / "style_1" / "a" / "000004.png"
        Image.open(path).convert(mode).save(path)
        (batch,) = batches(root, [Clip("a", "1", 0)])
        assert_close(batch.inputs[0][0], expected(root, "a", "1", [0, 3, 6, 9]))


class TestReadFrame:
    @pytest.mark.parametrize(
        ("mode", "pixel", "expected"),
        [
            pytest.param("RGB", (10, 20, 30), (10, 20, 30), id="RGB"),
            pytest.param("L", 77, (77, 77, 77), id="grayscale"),
            pytest.param("RGBA", (10, 20, 30, 40), (10, 20, 30), id="RGBA loses its alpha"),
            pytest.param("LA", (9, 40), (9, 9, 9), id="grayscale with alpha"),
            pytest.param("1", 1, (255, 255, 255), id="black and white"),
        ],
    )
    def test_modes(self, tmp_path, mode, pixel, expected):
        Image.new(mode, (6, 4), pixel).save(tmp_path / "1.png")
        frame = read_frame(tmp_path / "1.png")
        assert frame.dtype == np.uint8
        assert frame.shape == (4, 6, 3)
        assert (frame == expected).all()

    @pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"], ids=["none", "index", "bytes"])
    def test_palette(self, tmp_path, transparency):
        # Pillow warns where it converts bytes of transparency to RGB; here warnings are errors.
        image = Image.new("P", (6, 4), 1)
        image.putpalette([0, 0, 0, 200, 100, 50])
        options = {} if transparency is None else {"transparency": transparency}
        image.save(tmp_path / "1.png", **options)
        assert (read_frame(tmp_path / "1.png") == (200, 100, 50)).all()

    def test_sixteen_bits_are_not_clipped(self, tmp_path):
        # Pillow's convert("RGB") would make any such frame white. Half of white is 0x8000.
        Image.fromarray(np.full((4, 6), 0x8000, dtype=np.uint16)).save(tmp_path / "1.png")
        with contextlib.suppress(FrameError):
            assert (read_frame(tmp_path / "1.png") == 128).all()

    def test_jpeg_and_png_of_the_same_picture_are_alike(self, tmp_path):
        Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "1.png")
        Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "1.jpg", quality=95)
        png, jpg = (read_frame(tmp_path / f"1.{ext}").astype(int) for ext in ("png", "jpg"))
        assert abs(png - jpg).max() <= 3

    @pytest.mark.parametrize("ext", ["png", "jpg"])
    @pytest.mark.parametrize("damage", ["empty", "junk", "truncated", "header only"])
    def test_damaged_file_is_refused_with_its_path(self, tmp_path, ext, damage):
        path = tmp_path / f"frame_7.{ext}"
        Image.fromarray(noise(1, 0, 64, 64)[0]).save(path)
        content = path.read_bytes()
        kept = {
            "empty": b"",
            "junk": b"no image at all",
            "truncated": content[: len(content) // 2],
            "header only": content[:40],
        }
        path.write_bytes(kept[damage])
        with pytest.raises(FrameError, match=rf"frame_7\.{ext}: \w"):
            read_frame(path)

    def test_flipped_bytes_inside_a_png_are_refused(self, tmp_path):
        path = tmp_path / "frame_7.png"
        Image.fromarray(noise(1, 0, 64, 64)[0]).save(path)
        content = bytearray(path.read_bytes())
        content[2000:2010] = bytes(255 - b for b in content[2000:2010])
        path.write_bytes(content)
        with pytest.raises(FrameError, match=r"frame_7\.png"):
            read_frame(path)

    def test_missing_file_is_refused_with_its_path(self, tmp_path):
        with pytest.raises(FrameError, match=r"nowhere\.png"):
            read_frame(tmp_path / "nowhere.png")


class Refusing:
    """A reader like one whose network has a preprocessing that fails."""

    def read(self, clips, raw):
        raise UserError("the network's own preprocessing fails")

    def inputs(self, reading, clips):
        raise AssertionError("nothing was read")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_error_of_a_user_is_the_same_from_every_process(num_workers):
    clips = [Clip("a", "1", 0)]
    with pytest.raises(UserError, match=r"^the network's own preprocessing fails$"):
        list(iter_batches([[clips]], Refusing(), num_workers=num_workers))
