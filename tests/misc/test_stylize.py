"""misc/stylize.py: which files it writes, of which sizes, what it keeps and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.files import partial_prefix
from datasets.video_layouts import find_videos
from datasets.videos import UNSTYLIZED, check_frames
from misc.stylize import STYLES, find_sources, main, read_frames, stylize_video
from tests.datasets.helpers import noise, write_frames
from tests.helpers_processes import abandoned, forked, needs_fork
from utils import DataError, UserError

FOLDERS = ("original", "style_1", "style_2", "style_3", "style_4")


@pytest.fixture
def videos(tmp_path) -> Path:
    """Folders of nine frames, and of two in a folder called frames, 20 x 30 pixels of noise."""
    write_frames(tmp_path / "videos" / "a", noise(9, 1, 20, 30))
    write_frames(tmp_path / "videos" / "b" / "frames", noise(2, 2, 20, 30), "{:03d}.jpg", first=7)
    return tmp_path / "videos"


def styled(videos: Path, *options: str) -> Path:
    """Run the script on small frames; the folder beside the videos that it writes."""
    folder = videos.parent / "stylized"
    main([str(videos), str(folder), "--short_side", "16", "--num_workers", "1", *options])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


# ---- Files.


def test_every_frame_in_four_styles_and_the_original(videos, capsys):
    folder = styled(videos)
    assert sorted(p.name for p in folder.iterdir()) == [*FOLDERS, "stylize.json"]
    names = [f"a/{k:05d}.jpg" for k in range(1, 10)] + [f"b/{k:05d}.jpg" for k in (1, 2)]
    assert set(contents(folder)) == {
        "stylize.json",
        *(f"{style}/{name}" for style in FOLDERS for name in names),
    }
    for style in FOLDERS:
        for name in names:
            with Image.open(folder / style / name) as image:
                assert (image.size, image.mode) == ((24, 16), "RGB")  # 16 is the shorter side
    assert capsys.readouterr().out == f"2 videos stylized, 0 were there already: {folder}\n"


def test_frames_are_those_of_the_video_scaled_and_stylized(videos):
    folder = styled(videos)
    for number, path in enumerate(sorted((videos / "a").iterdir()), start=1):
        with Image.open(path) as image:
            frame = image.resize((24, 16), Image.Resampling.BICUBIC)
        wanted = {"original": frame, **{f"style_{k}": STYLES[k](frame) for k in STYLES}}
        for style, picture in wanted.items():
            written = folder / style / "a" / f"{number:05d}.jpg"
            expected = videos.parent / "expected.jpg"
            picture.save(expected, quality=95)
            assert (pixels(written) == pixels(expected)).all(), written


def test_loader_takes_the_set(videos):
    folder = styled(videos)
    found = find_videos("plain", folder, tuple(STYLES), unstylized=folder / UNSTYLIZED)
    assert {name: video.length for name, video in found.videos.items()} == {"a": 9}
    assert list(found.problems) == ["b"]  # too short to be measured
    frames, problems = check_frames(found, [("a", style) for style in (*STYLES, UNSTYLIZED)])
    assert ({frame.count for frame in frames.values()}, problems) == ({9}, {})


def test_same_set_however_many_processes(videos, tmp_path):
    one = contents(styled(videos))
    main([str(videos), str(tmp_path / "two"), "--short_side", "16", "--num_workers", "2"])
    assert contents(tmp_path / "two") == one


def test_number_of_frames_and_styles_can_be_limited(videos):
    folder = styled(videos, "--max_frames", "2", "--styles", "3,1")
    names = ["original", "style_1", "style_3", "stylize.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [len([*(folder / style / "a").iterdir()]) for style in ("style_1", UNSTYLIZED)] == [2, 2]


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((40, 60), 16, (24, 16)),
        ((60, 40), 16, (16, 24)),
        ((10, 10), 32, (32, 32)),  # small ones are enlarged
        ((33, 50), 20, (30, 20)),  # 50 / 33 * 20 = 30.3
        ((20, 30), 20, (30, 20)),
    ],
    ids=["landscape", "portrait", "smaller", "rounded", "as it is"],
)
def test_short_side_is_what_is_asked_for(tmp_path, size, short_side, expected):
    write_frames(tmp_path / "videos" / "a", noise(1, 1, *size))
    stylize_video(tmp_path / "videos" / "a", tmp_path / "out", ("2",), short_side, None)
    for style in ("style_2", UNSTYLIZED):
        with Image.open(tmp_path / "out" / style / "a" / "00001.jpg") as image:
            assert image.size == expected


def test_names_of_folders_may_hold_dots_and_what_is_hidden_is_no_video(tmp_path):
    for name in ("take.1", "take.2", ".cache"):
        write_frames(tmp_path / "videos" / name, noise(1, 1, 16, 16))
    (tmp_path / "videos" / "._clip.mp4").write_bytes(b"what some systems leave beside a file")
    (tmp_path / "videos" / "notes.txt").touch()
    folder = styled(tmp_path / "videos")
    assert sorted(path.name for path in (folder / "style_1").iterdir()) == ["take.1", "take.2"]


# ---- Video files.


def write_video(path: Path, codec: str, shades: list[int]) -> None:
    """A video whose frames are of one shade of blue each; skips where there is no such codec."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 5, (48, 32))
    if not writer.isOpened():
        pytest.skip(f"OpenCV cannot write {codec} here")
    for shade in shades:
        writer.write(np.full((32, 48, 3), (shade, 0, 0), np.uint8))  # blue, green, red
    writer.release()


@pytest.mark.parametrize(
    ("ending", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".AVI", "MJPG")]
)
def test_video_file_is_decoded_in_order_and_in_its_colours(tmp_path, ending, codec):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / f"clip{ending}", codec, [60, 120, 180, 240])
    folder = styled(tmp_path / "videos")
    frames = sorted((folder / UNSTYLIZED / "clip").iterdir())
    assert [path.name for path in frames] == [f"{k:05d}.jpg" for k in (1, 2, 3, 4)]
    means = np.array([pixels(path).mean((0, 1)) for path in frames])  # red, green, blue
    # Video codecs keep colours roughly.
    np.testing.assert_allclose(means[:, 2], [60, 120, 180, 240], atol=20)
    assert means[:, :2].max() < 30


def test_frames_of_a_video_file_can_be_limited(tmp_path):
    write_video(tmp_path / "clip.avi", "MJPG", [60, 120, 180])
    assert len([*read_frames(tmp_path / "clip.avi", 2)]) == 2
    assert len([*read_frames(tmp_path / "clip.avi", 9)]) == 3


@pytest.mark.parametrize(
    ("decoded", "said"),
    [(10, ""), (9, ""), (8, "clip.avi: 8 of 10 frames could be decoded\n")],
)
def test_video_that_ends_early_is_said(monkeypatch, capsys, decoded, said):
    class Capture:
        """A decoder that promises ten frames."""

        def __init__(self, path):
            self.left = decoded

        def read(self):
            self.left -= 1
            return self.left >= 0, np.zeros((16, 16, 3), np.uint8)

        def get(self, key):
            return 10.0

        def release(self):
            pass

    monkeypatch.setattr("cv2.VideoCapture", Capture)
    assert len([*read_frames(Path("clip.avi"), None)]) == decoded
    assert capsys.readouterr().err == said


# ---- What is there already.


def test_complete_videos_are_kept_and_the_rest_is_made(videos, capsys):
    folder = styled(videos)
    (folder / "style_1" / "a" / "00001.jpg").write_bytes(b"touched")
    for path in (folder / "style_2" / "b").iterdir():
        path.unlink()
    (folder / "style_2" / "b").rmdir()
    before = contents(folder)
    capsys.readouterr()
    styled(videos)
    assert capsys.readouterr().out.startswith("1 videos stylized, 1 were there already")
    after = contents(folder)
    assert set(after) - set(before) == {"style_2/b/00001.jpg", "style_2/b/00002.jpg"}
    assert {name: after[name] for name in before} == before


def test_style_can_be_added_later(videos):
    whole = contents(styled(videos))
    other = videos.parent / "other"
    for styles in ("1,2", "2,3,4"):
        main([str(videos), str(other), "--short_side", "16", "--styles", styles])
    assert contents(other) == whole


def test_interrupted_video_is_in_no_style_and_is_made_the_next_time(videos, monkeypatch):
    folder, calls = videos.parent / "out", []

    def interrupt(frame):
        calls.append(frame)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return frame

    with monkeypatch.context() as patch:
        patch.setitem(STYLES, "4", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stylize_video(videos / "a", folder, tuple(STYLES), 16, None)
    assert [*folder.iterdir()] == []
    assert stylize_video(videos / "a", folder, tuple(STYLES), 16, None) == 9
    assert stylize_video(videos / "a", folder, tuple(STYLES), 16, None) is None


def test_what_a_killed_process_left_is_cleared_and_what_others_work_on_is_not(videos):
    folder = styled(videos)
    left, others = abandoned(folder), folder / f"{partial_prefix()}x"
    for path in (left / "1", others):
        path.mkdir(parents=True)
    styled(videos)
    assert [*folder.glob(".partial-*")] == [others]


@needs_fork
def test_a_killed_process_leaves_what_the_next_one_clears(videos):
    folder = videos.parent / "stylized"

    def work() -> None:
        def kill(frame):
            os.kill(os.getpid(), signal.SIGKILL)

        STYLES["4"] = kill
        stylize_video(videos / "a", folder, tuple(STYLES), 16, None)

    assert forked(work, videos.parent).code == -signal.SIGKILL
    assert [*folder.glob(".partial-*")]
    styled(videos)
    assert not [*folder.glob(".partial-*")]


# ---- Refusals.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--short_side", "20"], "'short_side': 16.*'short_side': 20"),
        (["--max_frames", "2"], "'max_frames': None.*'max_frames': 2"),
    ],
)
def test_sizes_are_not_mixed(videos, options, words):
    before = contents(styled(videos))
    with pytest.raises(UserError, match=rf"stylized was made with .*{words}.*another folder"):
        styled(videos, *options)
    assert contents(videos.parent / "stylized") == before


def test_unknown_styles(videos):
    with pytest.raises(UserError, match=r"--styles 5,gouache: the built-in ones are 1,2,3,4"):
        styled(videos, "--styles", "1,5,gouache")
    assert not (videos.parent / "stylized").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--short_side", "8", "8 is below 16"),
        ("--max_frames", "0", "0 is below 1"),
        ("--num_workers", "0", "0 is below 1"),
        ("--styles", "1,1", "list of distinct names"),
    ],
)
def test_options_out_of_range(videos, capsys, option, value, words):
    with pytest.raises(SystemExit) as leave:
        styled(videos, option, value)
    assert leave.value.code == 2
    assert words in capsys.readouterr().err


def test_folders_without_videos(tmp_path):
    with pytest.raises(DataError, match="absent is not a folder"):
        find_sources(tmp_path / "absent")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no video \(\.mp4, .*\) and no folder of frames"):
        find_sources(tmp_path)


def test_two_videos_of_one_name(videos):
    for name in ("a.mp4", "c.mp4", "c.avi"):
        (videos / name).touch()
    with pytest.raises(DataError, match="several videos are called a, c; rename them"):
        find_sources(videos)


@pytest.mark.parametrize("place", [".", "stylized", "deep/er"])
def test_folder_among_the_videos_is_refused(videos, place):
    with pytest.raises(UserError, match="among the videos: give another folder"):
        main([str(videos), str(videos / place)])
    assert sorted(path.name for path in videos.iterdir()) == ["a", "b"]


def test_videos_from_elsewhere_are_not_mixed(videos):
    write_frames(videos.parent / "stylized" / "style_2" / "a", noise(1, 1, 16, 16))
    before = contents(videos.parent / "stylized")
    with pytest.raises(UserError, match="stylized holds videos that were not made here"):
        styled(videos)
    assert contents(videos.parent / "stylized") == before


def test_folder_that_cannot_be_written(videos):
    (videos.parent / "stylized").write_text("a file")
    with pytest.raises(UserError, match="stylized cannot be written: "):
        styled(videos)


@pytest.mark.parametrize(
    ("name", "words"),
    [("c.mp4", r"c\.mp4 holds no frame that can be decoded"), ("c/1.jpg", r"1\.jpg: ")],
    ids=["file", "frame"],
)
def test_video_that_cannot_be_decoded_is_named_and_the_others_stay(tmp_path, videos, name, words):
    (videos / name).parent.mkdir(exist_ok=True)
    (videos / name).write_bytes(b"no video")
    with pytest.raises(DataError, match=words):
        styled(videos)
    folder = tmp_path / "stylized"
    assert not [path for path in folder.rglob("*") if path.name in ("c", ".partial")]
    assert not [*folder.glob(".partial-*")]
    assert sorted(path.name for path in (folder / "style_4").iterdir()) == ["a", "b"]


def test_folder_without_frames_is_named(videos):
    (videos / "notes").mkdir()
    with pytest.raises(DataError, match="notes holds no numbered"):
        styled(videos)
