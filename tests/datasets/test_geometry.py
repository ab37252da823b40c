"""How networks want their clips: what can be changed, and how it is described and recorded."""

from __future__ import annotations

import json

import pytest
import torch

from datasets.geometry import ClipGeometry, ClipOptions, FlowGeometry, apply_transform, per_channel
from utils import UserError

I3D = ClipGeometry((("video", 8),), 8)
SLOWFAST = ClipGeometry((("slow", 8), ("fast", 32)), 2)
OWN = ClipGeometry((("video", 6),), 3, window=18, short_side=40, crop=32, exact_rate=True)
MATNET, RTNET = FlowGeometry((480, 854)), FlowGeometry((384, 672), frames=2)


def as_floats(frames: torch.Tensor) -> torch.Tensor:
    """Uint8 [T, H, W, 3] to float32 [3, T, 32, 32]."""
    return frames[:, :32, :32].permute(3, 0, 1, 2).float()


def broken(frames: torch.Tensor) -> torch.Tensor:
    """Leaves the frames as they are."""
    return frames


class TestClip:
    def test_shapes_of_one_clip(self):
        assert SLOWFAST.shapes == {"slow": (3, 8, 256, 256), "fast": (3, 32, 256, 256)}
        assert (SLOWFAST.frames, SLOWFAST.pixels, SLOWFAST.rows) == (32, (256, 256), 1)

    @pytest.mark.parametrize(
        ("geometry", "words"),
        [
            (
                SLOWFAST,
                "8 slow + 32 fast frames, evenly spread, from a window of 64, 256x256 pixels, "
                "RGB 0 to 1, mean 0.45 0.45 0.45, std 0.225 0.225 0.225",
            ),
            (
                ClipGeometry((("video", 4),), 5, 20, 32, 32, exact_rate=True, transform=as_floats),
                "4 video frames, 5 apart, from a window of 20, 32x32 pixels, the network's own "
                "preprocessing",
            ),
        ],
        ids=["slowfast", "own"],
    )
    def test_description(self, geometry, words):
        assert geometry.describe() == words

    def test_identity_is_that_of_records_from_before_there_was_an_exact_rate(self):
        assert SLOWFAST.identity() == {
            "inputs": [["slow", 8], ["fast", 32]],
            "sampling_rate": 2,
            "window": 64,
            "short_side": 256,
            "crop": 256,
            "mean": [0.45, 0.45, 0.45],
            "std": [0.225, 0.225, 0.225],
            "channels": "RGB",
            "value_range": 1,
            "transform": None,
        }

    @pytest.mark.parametrize("geometry", [SLOWFAST, OWN, MATNET, RTNET])
    def test_identity_is_what_json_gives_back(self, geometry):
        assert json.loads(json.dumps(geometry.identity())) == geometry.identity()

    def test_exact_rate_and_transforms_are_other_identities(self):
        own = ClipGeometry((("video", 6),), 3, 18, 40, 32)
        changed = ClipGeometry((("video", 6),), 3, 18, 40, 32, transform=as_floats)
        assert own.identity() != OWN.identity() != changed.identity()
        assert OWN.identity()["exact_rate"] is True
        assert changed.identity()["transform"] == "as_floats"


class TestChanged:
    def test_nothing_wanted_nothing_changed(self):
        for geometry in (I3D, SLOWFAST, OWN, MATNET, RTNET):
            assert geometry.changed(ClipOptions()) == geometry

    def test_resized_keeps_the_proportion_of_short_side_and_crop(self):
        x3d = ClipGeometry((("video", 13),), 6, short_side=182, crop=160)
        smaller = x3d.changed(ClipOptions(crop=(80, 80)))
        assert (smaller.short_side, smaller.crop) == (91, 80)
        assert x3d.changed(ClipOptions(window=24)).window == 24

    def test_window_follows_frames_and_rate_unless_it_is_given(self):
        assert I3D.changed(ClipOptions(frames=16)).window == 128
        assert I3D.changed(ClipOptions(rate=2)).window == 16
        assert I3D.changed(ClipOptions(frames=16, rate=2, window=40)).window == 40
        assert I3D.changed(ClipOptions(frames=16)).inputs == (("video", 16),)

    def test_a_given_window_is_filled_evenly(self):
        assert not OWN.changed(ClipOptions(window=30)).exact_rate
        assert OWN.changed(ClipOptions(frames=4, rate=2)).exact_rate
        assert not I3D.changed(ClipOptions(frames=4)).exact_rate

    def test_mean_and_std_are_of_pixels_in_0_to_1(self):
        wide = ClipGeometry((("video", 8),), 8, value_range=255)
        changed = wide.changed(ClipOptions(mean=(0.5,), std=(0.2, 0.4, 0.6)))
        assert changed.mean == (127.5, 127.5, 127.5)
        assert changed.std == pytest.approx((51, 102, 153))

    @pytest.mark.parametrize(
        ("geometry", "wanted", "words"),
        [
            (I3D, {"window": 7}, "`n_sample_frames` 7: a clip of 8 frames .* give at least 8"),
            (SLOWFAST, {"window": 31}, "`n_sample_frames` 31: .* give at least 32"),
            (I3D, {"crop": (224, 256)}, "`image_size` 224,256: .* square; give `image_size` 224"),
            (ClipGeometry((("video", 0),), 1, crop=0), {}, "`clip_frames` and `image_size` are"),
        ],
        ids=["window", "window of the longer input", "not square", "no size"],
    )
    def test_clips_that_cannot_be_made_are_refused(self, geometry, wanted, words):
        with pytest.raises(UserError, match=words):
            geometry.changed(ClipOptions(**wanted))

    def test_a_window_of_just_the_frames_is_allowed(self):
        assert SLOWFAST.changed(ClipOptions(window=32)).window == 32

    @pytest.mark.parametrize("name", ["crop", "mean", "std"])
    def test_own_preprocessing_cannot_be_changed(self, name):
        own = ClipGeometry((("video", 4),), 1, 4, 32, 32, transform=as_floats)
        values = {"crop": (24, 24), "mean": (0.5,), "std": (0.5,)}
        option = {"crop": "image_size"}.get(name, name)
        with pytest.raises(UserError, match=f"`{option}`: this network brings its own"):
            own.changed(ClipOptions(**{name: values[name]}))
        assert own.changed(ClipOptions(crop=(32, 32))) == own


class TestFlow:
    def test_shapes_of_one_clip(self):
        assert MATNET.shapes == {"image": (3, 480, 854), "flow": (3, 480, 854)}
        assert RTNET.shapes == {"image": (2, 3, 384, 672), "flow": (2, 6, 384, 672)}
        assert (MATNET.rows, RTNET.rows) == (1, 2)
        assert MATNET.pixels == (480, 854)

    def test_description_and_size(self):
        assert MATNET.describe() == "1 frame and flow, 480x854 pixels"
        assert RTNET.describe() == "2 frames and flow, 384x672 pixels"
        assert RTNET.changed(ClipOptions(crop=(10, 16))) == FlowGeometry((10, 16), frames=2)
        assert RTNET.identity() == {"size": [384, 672], "frames": 2}


class TestTransform:
    FRAMES = torch.zeros(4, 40, 50, 3, dtype=torch.uint8)

    def test_result_is_passed_on(self):
        assert apply_transform(as_floats, self.FRAMES, 32).shape == (3, 4, 32, 32)

    @pytest.mark.parametrize(
        ("transform", "crop", "words"),
        [
            (
                broken,
                32,
                r"gives torch\.uint8 \[4, 40, 50, 3\] for 4 frames; expected torch\.float",
            ),
            (as_floats, 24, r"expected torch\.float32 \[3, 4, 24, 24\]"),
            (lambda frames: None, 32, r"gives NoneType \[\]"),
        ],
        ids=["uint8", "another size", "nothing"],
    )
    def test_anything_else_is_refused(self, transform, crop, words):
        with pytest.raises(UserError, match=words):
            apply_transform(transform, self.FRAMES, crop)


def test_one_value_holds_for_all_channels():
    assert per_channel((0.5,)) == (0.5, 0.5, 0.5)
    assert per_channel((1, 2, 3)) == (1, 2, 3)
