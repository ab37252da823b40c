"""The synthetic data set: its truth is what the frames show, and style and motion are separate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.files import read_csv
from common.process import run_script
from datasets import synthetic
from datasets.synthetic import MOTIONS, STYLES, draw_video, make, masks, poses, render
from datasets.synthetic_shapes import SHAPES
from misc import make_synthetic
from utils import UserError

SIZE = 64
FRAMES = np.arange(24)


def video_of(motion: str, **changes):
    return replace(draw_video(3, 0), motion=motion, **changes)


def centroids(coverage: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) in [0, 1) of each [H, W] on the torus, float64 [T, 2]."""
    turns = np.exp(2j * np.pi * (np.arange(coverage.shape[1]) + 0.5) / coverage.shape[1])
    mass = coverage.astype(np.float64)
    waves = [(mass.sum(axis) * turns).sum(1) for axis in (1, 2)]
    return np.stack([np.angle(wave) / (2 * np.pi) % 1 for wave in waves], 1)


def on_torus(difference: np.ndarray) -> np.ndarray:
    return (difference + 0.5) % 1 - 0.5


def turning(path: np.ndarray) -> np.ndarray:
    """Cross products of successive (x, y): positive is clockwise on the screen."""
    return path[:-1, 0] * path[1:, 1] - path[:-1, 1] * path[1:, 0]


# What a video is.


def test_frames_are_uint8_and_a_function_of_seed_and_index():
    frames = render(draw_video(1, 5), 2, 16, SIZE)
    assert frames.shape == (16, SIZE, SIZE, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, render(draw_video(1, 5), 2, 16, SIZE))
    assert draw_video(1, 5) != draw_video(2, 5)
    assert draw_video(1, 5) != replace(draw_video(1, 13), name="v00005")


def test_every_eight_videos_have_all_motions():
    assert {draw_video(9, index).motion for index in range(16, 24)} == set(MOTIONS)


def test_unknown_style_is_refused():
    with pytest.raises(UserError, match=r"style 9 is not known.*1\.\.8"):
        render(draw_video(1, 0), 9, 1, SIZE)


# Motion is what it is called.


@pytest.mark.parametrize(
    ("motion", "direction"),
    [("right", (1, 0)), ("left", (-1, 0)), ("down", (0, 1)), ("up", (0, -1))],
)
def test_translation_moves_the_shape_at_the_stated_speed(motion, direction):
    video = video_of(motion)
    steps = on_torus(np.diff(centroids(masks(video, FRAMES, SIZE)), axis=0))
    expected = np.array(direction) * video.speed / 32
    np.testing.assert_allclose(steps, np.tile(expected, (23, 1)), atol=1e-3)


@pytest.mark.parametrize(("motion", "sign"), [("clockwise", 1), ("counterclockwise", -1)])
def test_orbit_goes_round_its_centre(motion, sign):
    video = video_of(f"orbit_{motion}", shape="wedge")
    path = on_torus(centroids(masks(video, FRAMES, SIZE)) - [video.x, video.y])
    # The wedge does not turn, so its centre of mass runs on a circle too, about another centre.
    x, y, _ = poses(video, FRAMES)
    offset = on_torus(centroids(masks(video, FRAMES, SIZE)) - np.stack([x, y], 1))
    np.testing.assert_allclose(offset, np.tile(offset[0], (24, 1)), atol=2e-3)
    np.testing.assert_allclose(np.hypot(*(path - offset).T), synthetic.ORBIT_RADIUS, atol=2e-3)
    assert (sign * turning(path - offset) > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("motion", "sign"), [("clockwise", 1), ("counterclockwise", -1)])
def test_spin_turns_the_shape_in_place(motion, sign, shape):
    video = video_of(f"spin_{motion}", shape=shape)
    # The centre of mass of these shapes is not the point they turn about: it shows the turn.
    path = on_torus(centroids(masks(video, FRAMES, 128)) - [video.x, video.y])
    assert (sign * turning(path) > 0).all()
    assert np.hypot(*path.T).max() < 0.5 * video.radius


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turn", [1 / 2, 1 / 3, 1 / 4])
def test_no_shape_is_its_own_image_under_a_rotation(shape, turn):
    video = video_of("right", shape=shape)
    here, turned = (masks(replace(video, angle=a), [0], SIZE) for a in (0, turn))
    assert np.minimum(here, turned).sum() < 0.9 * np.maximum(here, turned).sum()


# One frame says nothing about the motion.


@pytest.mark.parametrize(
    "motions",
    [
        ("right", "left", "down", "up", "spin_clockwise", "spin_counterclockwise"),
        ("orbit_clockwise", "orbit_counterclockwise"),
    ],
    ids=["in place", "orbits"],
)
def test_motions_begin_with_the_same_frame(motions):
    first, *others = (render(video_of(motion), 1, 1, SIZE) for motion in motions)
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("time", [0, 10])
def test_place_and_orientation_are_uniform_at_any_time(motion, time):
    videos = [replace(draw_video(4, index), motion=motion) for index in range(600)]
    for values in np.array([poses(video, [time]) for video in videos])[..., 0].T:
        # The mean of n uniform phases has a length of about n ** -0.5, here 0.04.
        assert abs(np.exp(2j * np.pi * values).mean()) < 0.12


# Style is independent of motion.


@pytest.fixture(scope="module")
def backgrounds() -> dict[int, np.ndarray]:
    """Style to background [H, W, 3]: the median over frames of many videos, mostly bare."""
    videos = [draw_video(5, index) for index in range(16)]
    return {
        style: np.median(np.concatenate([render(v, style, 8, SIZE) for v in videos]), axis=0)
        for style in STYLES
    }


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("motion", MOTIONS)
def test_every_style_shows_the_same_shape_at_the_same_places(backgrounds, style, motion):
    coverage = masks(video_of(motion), FRAMES, SIZE)
    frames = render(video_of(motion), style, 24, SIZE)
    difference = np.abs(frames - backgrounds[style]).max(-1)
    assert (difference[coverage == 0] == 0).all()
    assert (difference[coverage == 1] > 30).all()


def test_styles_look_different(backgrounds):
    video = draw_video(1, 0)
    looks = [render(video, style, 1, SIZE)[0].astype(float) for style in STYLES]
    for i, look in enumerate(looks):
        assert all(np.abs(look - other).mean() > 20 for other in looks[:i])


def test_size_changes_the_resolution_only():
    video = video_of("orbit_clockwise")
    small, large = masks(video, FRAMES, 32), masks(video, FRAMES, 128)
    blocks = large.reshape(24, 32, 4, 32, 4).mean((2, 4))
    assert np.abs(small - blocks).mean() < 0.01


# Files.


def test_make_writes_frames_styles_and_truth(tmp_path):
    make(tmp_path / "set", 3, styles=(2, 5), n_frames=4, size=32, seed=7)
    names = sorted(str(p.relative_to(tmp_path / "set")) for p in tmp_path.rglob("*.jpg"))
    assert len(names) == 3 * 2 * 4
    assert names[0] == "style_2/v00000/00001.jpg"
    rows = read_csv(tmp_path / "set" / "videos.csv")
    assert [row["motion"] for row in rows] == list(MOTIONS)[:3]
    assert float(rows[1]["speed"]) == draw_video(7, 1).speed
    with Image.open(tmp_path / "set" / "style_5" / "v00002" / "00003.jpg") as image:
        written = np.asarray(image).astype(float)
    assert np.abs(written - render(draw_video(7, 2), 5, 3, 32)[2]).mean() < 4  # JPEG
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_complete_folder_is_kept(tmp_path):
    make(tmp_path / "set", 1, n_frames=1, size=16)
    frame = tmp_path / "set" / "style_1" / "v00000" / "00001.jpg"
    frame.write_bytes(b"touched")
    make(tmp_path / "set", 1, n_frames=1, size=16)
    assert frame.read_bytes() == b"touched"


def test_other_content_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(UserError, match="not empty"):
        make(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    make(tmp_path / "set", 1, n_frames=1, size=16)
    with pytest.raises(UserError, match=r"'seed': 1.*'seed': 2"):
        make(tmp_path / "set", 1, n_frames=1, size=16, seed=2)


def test_an_interrupted_make_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(video, *rest):
        if video.name == "v00001":
            raise KeyboardInterrupt
        return render(video, *rest)

    folder = tmp_path / "set"
    folder.mkdir()  # an empty folder may be filled
    monkeypatch.setattr(synthetic, "render", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(folder, 2, n_frames=1, size=16)
    assert [*tmp_path.rglob("*")] == [folder]
    monkeypatch.undo()
    make(folder, 2, n_frames=1, size=16)
    assert (folder / synthetic.MARKER).is_file()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_videos": 0}, "n_videos is 0"),
        ({"size": 8}, "size is 8, it must be at least 16"),
        ({"seed": -1}, "seed is -1"),
        ({"styles": ()}, "at least one"),
        ({"styles": (1, 1)}, "each once"),
        ({"styles": (0,)}, "style 0 is not known"),
    ],
    ids=["no video", "too small", "negative seed", "no style", "a style twice", "unknown style"],
)
def test_arguments_out_of_range_are_refused_before_anything_is_written(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        make(tmp_path / "set", **{"n_videos": 1, **changes})
    assert not any(tmp_path.iterdir())


def test_script_makes_and_refuses(tmp_path, capsys):
    options = ["--n_videos", "1", "--styles", "3", "--n_frames", "2", "--size", "16"]
    make_synthetic.main([str(tmp_path / "set"), *options])
    assert len([*tmp_path.rglob("*.jpg")]) == 2
    assert run_script(lambda: make_synthetic.main([str(tmp_path), *options])) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made"):
        make(tmp_path / "file" / "videos", n_videos=1)
