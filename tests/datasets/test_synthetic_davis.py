"""The synthetic set in the trees of Stylized DAVIS: true flow, masks, styles, and its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import synthetic_davis
from datasets.davis import BACKWARD, FORWARD, STYLE_FOLDERS, check_files
from datasets.flow_colours import flow_image
from datasets.synthetic_davis import Scene, draw_scene, flow_of, make_davis, mask_of
from tests.datasets.helpers_davis import sequences
from utils import UserError

SIZE = (24, 36)
# A disc of radius 4 at x 10, y 8, which moves 3 to the right and 2 up; the ground moves down.
SCENE = Scene(start=(10, 8), velocity=(3, -2), background=(0, 1), radius=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A set of two sequences of four frames: not to be changed."""
    root = tmp_path_factory.mktemp("davis") / "set"
    make_davis(root, 2, 4, SIZE)
    return root


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


class TestFlow:
    def test_disc_is_where_it_should_be(self):
        mask = mask_of(SCENE, 0, SIZE)
        assert (mask.shape, mask.dtype) == (SIZE, bool)
        y, x = np.nonzero(mask)
        assert (x.min(), x.max(), y.min(), y.max()) == (6, 14, 4, 12)
        # Points with whole coordinates within 4 of the centre.
        assert mask.sum() == 49

    @pytest.mark.parametrize("frame", [0, 3, 5, 8, 30])
    def test_flow_is_what_moves_the_mask_also_round_the_border(self, frame):
        flow = flow_of(SCENE, frame, SIZE, gap=1)
        assert (flow.shape, flow.dtype) == ((2, *SIZE), np.float32)
        mask = mask_of(SCENE, frame, SIZE)
        y, x = np.nonzero(mask)
        moved = np.zeros_like(mask)
        moved[(y + flow[1, y, x].astype(int)) % 24, (x + flow[0, y, x].astype(int)) % 36] = True
        np.testing.assert_array_equal(moved, mask_of(SCENE, frame + 1, SIZE))
        assert set(map(tuple, flow[:, ~mask].T)) == {(0, 1)}

    def test_backward_flow_leads_to_the_frame_before(self):
        flow = flow_of(SCENE, 2, SIZE, gap=-1)
        mask = mask_of(SCENE, 2, SIZE)
        assert set(map(tuple, flow[:, mask].T)) == {(-3, 2)}
        assert set(map(tuple, flow[:, ~mask].T)) == {(0, -1)}
        y, x = np.nonzero(mask)
        assert mask_of(SCENE, 1, SIZE)[(y + 2) % 24, (x - 3) % 36].all()

    def test_scenes_differ_and_are_functions_of_seed_and_number(self):
        scenes = [draw_scene(seed, index, SIZE) for seed in (1, 2) for index in range(4)]
        assert len(set(scenes)) == 8
        assert scenes[5] == draw_scene(2, 1, SIZE)
        for scene in scenes:
            # A 24th of the short side in a frame, and a 60th for the ground.
            assert np.hypot(*scene.velocity) == pytest.approx(1)
            assert np.hypot(*scene.background) == pytest.approx(0.4)


class TestFiles:
    def test_loader_finds_all_it_needs(self, made):
        for backward in (False, True):
            data = sequences(made, backward=backward, styles=tuple(STYLE_FOLDERS))
            assert list(data.videos) == ["disc_00", "disc_01"]
            wanted = [(video, style) for video in data.videos for style in data.styles]
            assert check_files(data, wanted) == {}

    def test_flow_images_and_masks_are_the_true_ones(self, made):
        data = sequences(made)
        for index, video in enumerate(data.videos):
            scene = draw_scene(1, index, SIZE)
            for folder, gap in ((FORWARD, 1), (BACKWARD, -1)):
                found = pixels(data.flow(video, folder, "00002"))
                np.testing.assert_array_equal(found, flow_image(flow_of(scene, 2, SIZE, gap)))
            mask = mask_of(scene, 2, SIZE)
            np.testing.assert_array_equal(pixels(data.mask(video, "00002")), 255 * mask)

    def test_styles_look_different_and_move_alike(self, tmp_path):
        # Larger than the rest, so that JPEG does not blur the picture.
        make_davis(tmp_path / "set", 1, 2, (96, 144))
        data = sequences(tmp_path / "set", styles=tuple(STYLE_FOLDERS))
        scene = draw_scene(1, 0, (96, 144))
        shift = [round(v) for v in scene.velocity]
        before, after = (mask_of(scene, frame, (96, 144)) for frame in (0, 1))
        frames = {}
        for style in data.styles:
            first, second = (
                pixels(data.image("disc_00", style, f"0000{k}")).astype(float) for k in (0, 1)
            )
            frames[style] = first
            moved = np.roll(first, shift[::-1], (0, 1))
            both = np.roll(before, shift[::-1], (0, 1)) & after
            # Inside, the disc's texture goes with it; JPEG adds some noise.
            assert np.abs(moved - second)[both].mean() < 4
            assert np.abs(first - second)[both].mean() > 8
        for style in "234":
            assert np.abs(frames[style] - frames["1"]).mean() > 15

    def test_same_seed_same_set(self, made, tmp_path):
        make_davis(tmp_path / "same", 2, 4, SIZE, seed=1)
        make_davis(tmp_path / "other", 2, 4, SIZE, seed=2)
        names = sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file())
        assert len(names) == 1 + 2 * 4 * (5 + 2 + 1)  # the list; images, flow and mask of frames
        same = [(tmp_path / "same" / n).read_bytes() == (made / n).read_bytes() for n in names]
        other = [(tmp_path / "other" / n).read_bytes() == (made / n).read_bytes() for n in names]
        assert all(same)
        assert sum(other) == 1  # the list


class TestNothingHalf:
    def test_existing_folder_is_not_overwritten(self, tmp_path):
        (tmp_path / "set").mkdir()
        with pytest.raises(UserError, match="set exists and is not overwritten"):
            make_davis(tmp_path / "set", 1, 3, SIZE)
        assert list((tmp_path / "set").iterdir()) == []

    def test_interrupted_set_is_not_there_and_the_next_one_is_whole(self, tmp_path, monkeypatch):
        def stop(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(synthetic_davis, "write_text", stop)
            with pytest.raises(KeyboardInterrupt):
                make_davis(tmp_path / "set", 2, 3, SIZE)
        assert not (tmp_path / "set").exists()
        make_davis(tmp_path / "set", 1, 3, SIZE)
        assert list(sequences(tmp_path / "set").videos) == ["disc_00"]
        assert not list((tmp_path / "set").rglob("disc_01"))
        assert [path.name for path in tmp_path.iterdir()] == ["set"]
