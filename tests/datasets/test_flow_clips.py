"""Inputs of segmentation networks: what is read, how it is resized, normalised and jittered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import flow_clips
from datasets.batches import BadVideo, Batch, iter_batches, read_frame, stacked
from datasets.chunks import in_batches
from datasets.davis import BACKWARD, FORWARD
from datasets.flow_clips import FlowReader, to_input
from datasets.flow_jitter import Jitter, sample_jitters
from datasets.flow_plan import FlowClip
from datasets.geometry import FlowGeometry
from datasets.pair_plan import PlanRules
from datasets.stylized_sequences import StylizedSequences
from tests.datasets.helpers_davis import save, sequences, write_trees
from tests.helpers import assert_close

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CROP = (10, 16)
ONE, TWO = FlowGeometry(CROP), FlowGeometry(CROP, frames=2)
PLAIN, JITTERED = FlowClip("bear", "00001", "1"), FlowClip("bear", "00001", "1", 7)
OTHER = FlowClip("bear", "00001", "2")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The trees, made once: not to be changed."""
    return write_trees(tmp_path_factory.mktemp("trees"), {"bear": 5, "cows": 4})


def batches(root: Path, clips: list[FlowClip], geometry: FlowGeometry = ONE, **options) -> list:
    data = sequences(root, backward=geometry.frames > 1)
    reader = FlowReader(data, geometry)
    batches = in_batches(clips, options.pop("batch_size", 100))
    return list(iter_batches([batches], reader, **options))


def inputs(root: Path, clips: list[FlowClip], geometry: FlowGeometry = ONE) -> list:
    """Image and flow of all clips, from one batch."""
    (batch,) = batches(root, clips, geometry)
    assert batch.clips == clips
    return batch.inputs


def expected(image: Image.Image, size: tuple[int, int] = CROP) -> np.ndarray:
    """What a network is shown of an image, computed by hand, [3, H, W]."""
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return ((resized / 255 - MEAN) / STD).transpose(2, 0, 1)


def image_file(root: Path, clip: FlowClip) -> Image.Image:
    folder = {"1": "Lynx", "2": "Maruska640", "3": "Zuzka1"}[clip.style]
    return Image.open(
        root / "stylized/JPEGImages" / folder / clip.video / f"{clip.frame}.jpg"
    ).convert("RGB")


def flow_file(root: Path, clip: FlowClip, folder: str = FORWARD) -> Image.Image:
    return Image.open(root / "original" / folder / clip.video / f"{clip.frame}.png")


class TestPreprocessing:
    def test_pixels_by_hand(self):
        pixels = np.zeros((1, 2, 3), np.uint8)
        pixels[0, 1] = (255, 51, 102)
        (x,) = to_input(torch.from_numpy(pixels[None]))
        assert (x.shape, x.dtype) == ((3, 1, 2), torch.float32)
        black = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
        other = [0.515 / 0.229, (0.2 - 0.456) / 0.224, (0.4 - 0.406) / 0.225]
        assert_close(x[:, 0], torch.tensor([black, other]).T)

    def test_image_and_flow_are_squeezed_to_the_crop_and_both_normalised(self, root):
        image, flow = inputs(root, [PLAIN])
        assert image.shape == flow.shape == (1, 3, *CROP)
        np.testing.assert_allclose(image[0], expected(image_file(root, PLAIN)), atol=1e-5)
        np.testing.assert_allclose(flow[0], expected(flow_file(root, PLAIN)), atol=1e-5)

    @pytest.mark.parametrize("size", [(12, 20), (5, 33), (480, 7)])
    def test_aspect_ratio_is_not_kept(self, root, size):
        image, _ = inputs(root, [PLAIN], FlowGeometry(size))
        np.testing.assert_allclose(image[0], expected(image_file(root, PLAIN), size), atol=1e-5)

    @pytest.mark.parametrize("geometry", [ONE, TWO], ids=["one frame", "two frames"])
    def test_flow_of_another_size_is_first_fitted_for_one_frame_alone(self, tmp_path, geometry):
        root = write_trees(tmp_path, {"bear": 4})
        rng = np.random.default_rng(3)
        for folder in (FORWARD, BACKWARD):
            pixels = rng.integers(0, 256, (31, 9, 3), dtype=np.uint8)
            save(root / "original" / folder / "bear/00001.png", pixels)
        clip = FlowClip("bear", "00001", "1", other="00002" if geometry is TWO else "")
        _, flow = inputs(root, [clip], geometry)
        small = flow_file(root, clip)
        fitted = expected(small.resize((20, 12), Image.Resampling.BICUBIC))
        direct = expected(small)
        assert abs(fitted - direct).max() > 0.1
        found = flow[0] if geometry is ONE else flow[0, 0, :3]
        np.testing.assert_allclose(found, direct if geometry is TWO else fitted, atol=1e-5)

    def test_flow_is_fitted_to_each_styles_own_size(self, tmp_path):
        # Whatever the other style of the pair, which another run may not read at all.
        root = write_trees(tmp_path, {"bear": 4})
        image_file(root, OTHER).resize((14, 30)).save(
            root / "stylized/JPEGImages/Maruska640/bear/00001.jpg"
        )
        save(root / "original" / FORWARD / "bear/00001.png", np.asarray(image_file(root, PLAIN)))
        _, both = inputs(root, [PLAIN, OTHER])
        for index, clip in enumerate((PLAIN, OTHER)):
            assert torch.equal(inputs(root, [clip])[1][0], both[index])
        fitted = flow_file(root, PLAIN).resize((14, 30), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(both[1], expected(fitted), atol=1e-5)


class TestPairs:
    def test_dynamic_pair_has_one_flow_to_the_bit(self, root):
        image, flow = inputs(root, [PLAIN, OTHER])
        assert torch.equal(flow[0], flow[1])
        assert not torch.equal(image[0], image[1])

    def test_static_pair_has_one_image_to_the_bit(self, root):
        image, flow = inputs(root, [PLAIN, JITTERED])
        assert torch.equal(image[0], image[1])
        assert (flow[0] - flow[1]).abs().max() > 0.05

    def test_jitter_is_of_the_crop_and_comes_before_normalisation(self, root):
        _, flow = inputs(root, [JITTERED])
        (jitter,) = sample_jitters(7, "bear", "00001", 1)
        crop = flow_file(root, JITTERED).resize((16, 10), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(flow[0], expected(jitter(crop)), atol=1e-5)


class TestTwoFrames:
    CLIP = FlowClip("bear", "00001", "1", 7, "00003")

    def test_frames_stand_apart_and_flows_on_the_channels(self, root):
        plain = FlowClip("bear", "00001", "1", 0, "00003")
        image, flow = inputs(root, [plain], TWO)
        assert (image.shape, flow.shape) == ((1, 2, 3, *CROP), (1, 2, 6, *CROP))
        for index, name in enumerate(("00001", "00003")):
            shown = FlowClip("bear", name, "1")
            np.testing.assert_allclose(
                image[0, index], expected(image_file(root, shown)), atol=1e-5
            )
            for channels, folder in ((slice(0, 3), FORWARD), (slice(3, 6), BACKWARD)):
                wanted = expected(flow_file(root, shown, folder))
                np.testing.assert_allclose(flow[0, index, channels], wanted, atol=1e-5)

    def test_a_frame_has_its_own_jitter_wherever_it_stands(self, root):
        # The study drew anew whenever a frame was read.
        turned = FlowClip("bear", "00003", "1", 7, "00001")
        _, flow = inputs(root, [self.CLIP, turned], TWO)
        assert torch.equal(flow[0, 0], flow[1, 1])
        assert torch.equal(flow[0, 1], flow[1, 0])

    def test_forward_and_backward_flow_are_jittered_apart(self, root):
        _, flow = inputs(root, [self.CLIP], TWO)
        forward, backward = sample_jitters(7, "bear", "00001", 2)
        assert forward != backward
        for channels, jitter, folder in (
            (slice(0, 3), forward, FORWARD),
            (slice(3, 6), backward, BACKWARD),
        ):
            image = flow_file(root, self.CLIP, folder).resize((16, 10), Image.Resampling.BILINEAR)
            np.testing.assert_allclose(flow[0, 0, channels], expected(jitter(image)), atol=1e-5)

    def test_same_frame_twice(self, root):
        image, flow = inputs(root, [FlowClip("bear", "00001", "1", 7, "00001")], TWO)
        assert torch.equal(image[0, 0], image[0, 1])
        assert torch.equal(flow[0, 0], flow[0, 1])


def drawn(n: int = 3000) -> list[Jitter]:
    return [sample_jitters(seed, "bear", "00001", 1)[0] for seed in range(1, n + 1)]


class TestJitter:
    def test_a_function_of_seed_sequence_and_frame(self):
        assert sample_jitters(7, "bear", "00001", 2) == sample_jitters(7, "bear", "00001", 2)
        assert sample_jitters(7, "bear", "00001", 1) == sample_jitters(7, "bear", "00001", 2)[:1]
        others = [(8, "bear", "00001"), (7, "cows", "00001"), (7, "bear", "00002")]
        values = {sample_jitters(*other, 1)[0].hue for other in [(7, "bear", "00001"), *others]}
        assert len(values) == 4

    def test_golden_values(self):
        # Recorded once: results must not change with a version of this code or of NumPy.
        forward, backward = sample_jitters(2, "bear", "00001", 2)
        values = [forward.hue, forward.saturation, backward.hue, backward.saturation]
        assert values == pytest.approx([-0.0341967540, 1.2224603827, 0.0582340167, 0.8319908113])
        assert forward.hue_first
        assert backward.hue_first

    def test_ranges_are_those_of_the_study(self):
        hues = np.array([jitter.hue for jitter in drawn()])
        factors = np.array([jitter.saturation for jitter in drawn()])
        for values, limit in ((hues, 0.5), (factors - 1, 1.0)):
            assert 0.9 * limit < values.max() <= limit
            assert -limit <= values.min() < -0.9 * limit
            # Over 3000 draws the mean has a standard deviation of below limit / 100.
            assert abs(values.mean()) < 0.04 * limit
        # |hue| = h u with h in 0.1..0.5 and u in 0..1: 0.3 / 2 on average. Drawn from the widest
        # range at once it would be 0.25. Likewise (0.1 + 1) / 2 / 2 for saturation, against 0.5.
        assert np.abs(hues).mean() == pytest.approx(0.15, abs=0.01)
        assert np.abs(factors - 1).mean() == pytest.approx(0.275, abs=0.015)
        assert 0.45 < np.mean([jitter.hue_first for jitter in drawn()]) < 0.55

    def test_flows_of_a_frame_share_their_range(self):
        # Small ranges make both values small: absolute values correlate, signed ones do not.
        pairs = np.array(
            [[j.saturation - 1 for j in sample_jitters(s, "a", "b", 2)] for s in range(1, 3001)]
        )
        assert np.corrcoef(np.abs(pairs).T)[0, 1] > 0.15
        assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.08

    @pytest.mark.parametrize(
        ("jitter", "colour"),
        [
            pytest.param(Jitter(0, 1, True), (255, 0, 0), id="nothing"),
            pytest.param(Jitter(1 / 3, 1, True), (0, 255, 0), id="a third round: green"),
            pytest.param(Jitter(-1 / 3, 1, False), (0, 0, 255), id="a third back: blue"),
            # Red is as bright as 0.299 * 255 = 76.
            pytest.param(Jitter(0, 0, True), (76, 76, 76), id="no saturation: grey"),
            # Green (0.587 * 255 = 150) after the turn, red before it: the order matters.
            pytest.param(Jitter(1 / 3, 0, True), (150, 150, 150), id="hue first"),
            pytest.param(Jitter(1 / 3, 0, False), (76, 76, 76), id="saturation first"),
        ],
    )
    def test_change_by_hand(self, jitter, colour):
        red = Image.new("RGB", (2, 2), (255, 0, 0))
        # PIL keeps hue in 256 steps, which are 6 of 255 apart, and rounds once more.
        np.testing.assert_allclose(np.asarray(jitter(red))[0, 0], colour, atol=7)


class TestBatches:
    def plan(self, root: Path, two_frames: bool) -> list[FlowClip]:
        data = StylizedSequences(sequences(root, backward=two_frames))
        return data.sample(PlanRules(1, nreps=2, two_frames=two_frames)).clips

    @pytest.mark.parametrize("geometry", [ONE, TWO], ids=["one frame", "two frames"])
    def test_batch_size_workers_and_other_clips_change_nothing(self, root, geometry):
        clips = self.plan(root, geometry.frames > 1)
        together = [list(x) for x in zip(*inputs(root, clips, geometry), strict=True)]
        for options in ({"batch_size": 3}, {"batch_size": 4, "num_workers": 2}):
            made = batches(root, clips, geometry, **options)
            assert [clip for batch in made for clip in batch.clips] == clips
            assert {len(batch.clips) for batch in made[:-1]} == {options["batch_size"]}
            found = [x for batch in made for x in zip(*batch.inputs, strict=True)]
            for own, other in zip(found, together, strict=True):
                assert all(torch.equal(x, y) for x, y in zip(own, other, strict=True))
        for index in range(0, len(clips), 5):
            alone = inputs(root, [clips[index]], geometry)
            assert all(torch.equal(x[0], y) for x, y in zip(alone, together[index], strict=True))

    @pytest.mark.parametrize("geometry", [ONE, TWO], ids=["one frame", "two frames"])
    def test_pictures_that_are_normalised_where_the_network_is_give_the_same(self, root, geometry):
        other = "00003" if geometry is TWO else ""
        shown = [("1", 0), ("2", 7), ("1", 7), ("1", 0)]
        clips = [FlowClip("bear", "00001", style, jitter, other) for style, jitter in shown]
        reader = FlowReader(sequences(root, backward=bool(other)), geometry)
        readings = [reader.read(clips, raw) for raw in (False, True)]
        assert [reading[0].dtype for reading in readings] == [torch.float32, torch.uint8]
        one, two = (
            [[stacked([x]) for x in own] for own in reader.inputs(reading, clips)]
            for reading in readings
        )
        assert len(one) == len(two) == 4
        for own, as_well in zip(one, two, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(own, as_well, strict=True))

    def test_pictures_that_clips_share_are_sent_once(self, root):
        reader = FlowReader(sequences(root), ONE)
        # Two images and two flows, of four clips.
        pictures, _ = reader.read([PLAIN, JITTERED, OTHER, FlowClip("bear", "00001", "2", 7)], True)
        assert pictures.shape == (4, *CROP, 3)

    @pytest.mark.parametrize("other", ["", "00003", "00001"], ids=["one", "two", "one twice"])
    def test_each_file_is_read_once(self, root, monkeypatch, other):
        read: Counter[Path] = Counter()

        def counting(path: Path) -> np.ndarray:
            read[path.relative_to(root)] += 1
            return read_frame(path)

        monkeypatch.setattr(flow_clips, "read_frame", counting)
        shown = [("1", 0), ("1", 7), ("2", 0), ("2", 7)]
        clips = [FlowClip("bear", "00001", style, jitter, other) for style, jitter in shown]
        batches(root, clips, TWO if other else ONE)
        frames = {"00001", other} - {""}
        folders = 4 if other else 3  # two styles, and the flows
        assert len(read) == folders * len(frames)
        assert set(read.values()) == {1}

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("part", ["image", "flow"])
    def test_unreadable_file_gives_its_sequence_and_path_and_the_rest_goes_on(
        self, tmp_path, workers, part
    ):
        root = write_trees(tmp_path, {"bear": 4, "cows": 4})
        folder = "stylized/JPEGImages/Lynx" if part == "image" else f"original/{FORWARD}"
        path = root / folder / f"bear/00001.{'jpg' if part == 'image' else 'png'}"
        path.write_bytes(path.read_bytes()[:100])
        sound = FlowClip("cows", "00001", "1")
        made = batches(root, [PLAIN, JITTERED, sound], num_workers=workers)
        (bad,) = [item for item in made if isinstance(item, BadVideo)]
        assert bad.video == "bear"
        assert str(path) in bad.reason
        (batch,) = [item for item in made if isinstance(item, Batch)]
        assert batch.clips == [sound]
