"""Frame folders: names, holes, counts, and which frames a clip shows."""

from __future__ import annotations

import shlex
from itertools import cycle, islice
from pathlib import Path

import pytest

from datasets.video_layouts import find_videos
from datasets.videos import (
    UNSTYLIZED,
    Video,
    check_frames,
    scan_frames,
    stop_or_skip,
    style_folders,
)
from misc.stylize import find_sources
from tests.datasets.helpers import touch, touch_styles, video_set
from utils import DataError, UserError


@pytest.mark.parametrize(
    ("name", "first"),
    [
        pytest.param("{:06d}.jpg", 1, id="ActivityNet and SSv2"),
        pytest.param("image_{:05d}.jpg", 0, id="Diving48"),
        pytest.param("frame_{:04d}.jpg", 1, id="prefix, from 1"),
        pytest.param("{}.jpg", 1, id="unpadded, from 1"),
        pytest.param("{}.jpg", 0, id="unpadded, from 0"),
        pytest.param("{}.png", 8, id="unpadded, digits grow"),
        pytest.param("{:02d}.jpg", 95, id="padding overflows"),
        pytest.param("{:05d}.png", 317, id="png, from 317"),
        pytest.param("img-{:03d}.jpeg", 1, id="jpeg"),
        pytest.param("{:06d}.JPG", 1, id="capital extension"),
        pytest.param("clip2_take1_{:03d}.jpg", 1, id="numbers in the prefix"),
        pytest.param("1_{:03d}.jpg", 1, id="prefix begins with a number"),
    ],
)
def test_template_and_first_index_are_detected(tmp_path, name, first):
    names = [name.format(i) for i in range(first, first + 12)]
    frames = scan_frames(touch(tmp_path, names))
    assert (frames.first, frames.count) == (first, 12)
    assert [frames.path(position).name for position in range(12)] == names


def test_single_frame(tmp_path):
    frames = scan_frames(touch(tmp_path, ["000007.jpg"]))
    assert frames.count == 1
    assert frames.path(0) == tmp_path / "000007.jpg"


def test_other_files_are_ignored(tmp_path):
    junk = [".DS_Store", "._000001.jpg", "Thumbs.db", "notes.txt", "cover.jpg", "flow_0001.npy"]
    touch(tmp_path, [*junk, "000001.jpg", "000002.jpg"])
    assert scan_frames(tmp_path).count == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param([], "no numbered .jpg or .png frames", id="empty folder"),
        pytest.param(["a.txt", "cover.jpg"], "no numbered .jpg or .png frames", id="only junk"),
        pytest.param(["0001.jpg", "0003.jpg"], "0002.jpg is missing", id="hole"),
        pytest.param(["9.jpg", "11.jpg"], "10.jpg is missing", id="hole where digits grow"),
        pytest.param(["1.jpg", "2.png"], "mixes frame names", id="two extensions"),
        pytest.param(["1.jpg", "2.JPG"], "mixes frame names", id="two spellings"),
        pytest.param(["a_1.jpg", "b_2.jpg"], r"a_N\.jpg, b_N\.jpg", id="two prefixes"),
        pytest.param(["1.jpg", "002.jpg"], "missing", id="two paddings at the end"),
        pytest.param(["1.jpg", "01.jpg", "2.jpg"], "missing", id="one number twice"),
        pytest.param(["1.jpg", "002.jpg", "3.jpg"], "missing", id="two paddings inside"),
        pytest.param(["01.jpg", "1.jpg", "03.jpg"], "missing", id="one number twice, and a hole"),
    ],
)
def test_unusable_folder_is_refused_with_its_path(tmp_path, names, words):
    folder = touch(tmp_path / "video_7", names)
    with pytest.raises(DataError, match=words) as refused:
        scan_frames(folder)
    assert str(folder) in str(refused.value)


def test_missing_folder_and_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        scan_frames(tmp_path / "nowhere")
    (tmp_path / "file.mp4").touch()
    with pytest.raises(DataError, match=r"file\.mp4 is not a folder of frames"):
        scan_frames(tmp_path / "file.mp4")


def as_in_the_study(start: int, end: int, window: int) -> list[int]:
    """The study's rule, counted from 0: the window cut at the end, then cycled."""
    return list(islice(cycle(range(start, min(start + window, end))), window))


@pytest.mark.parametrize(
    ("start", "end", "at", "window", "expected"),
    [
        pytest.param(0, 20, 3, 5, [3, 4, 5, 6, 7], id="inside"),
        pytest.param(0, 8, 3, 5, [3, 4, 5, 6, 7], id="up to the end"),
        pytest.param(0, 6, 3, 5, [3, 4, 5, 3, 4], id="cycles over what follows the start"),
        pytest.param(0, 4, 0, 10, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1], id="cycles twice"),
        pytest.param(5, 9, 5, 6, [5, 6, 7, 8, 5, 6], id="a segment, not the whole video"),
        pytest.param(0, 9, 8, 3, [8, 8, 8], id="one frame left"),
    ],
)
def test_positions(start, end, at, window, expected):
    videos = video_set([Video("a", "a", start, end)])
    assert videos.positions("a", at, window) == expected


def test_positions_follow_the_rule_of_the_study():
    for start, end, window in [(0, 40, 64), (0, 64, 64), (0, 65, 64), (7, 90, 64), (3, 11, 16)]:
        videos = video_set([Video("a", "a", start, end)])
        for at in range(start, end):
            assert videos.positions("a", at, window) == as_in_the_study(at, end, window)


def test_style_folders_by_id(tmp_path):
    touch_styles(tmp_path, {"a": 1}, styles="123")
    (tmp_path / "raw").mkdir()
    found = style_folders(tmp_path, ("3", "1"), tmp_path / "raw")
    assert found == {
        "3": tmp_path / "style_3",
        "1": tmp_path / "style_1",
        UNSTYLIZED: tmp_path / "raw",
    }


def test_missing_style_names_those_that_exist(tmp_path):
    touch_styles(tmp_path, {"a": 1}, styles="12")
    with pytest.raises(DataError, match=r"style_3.*style_4.*give `styles` 1,2$"):
        style_folders(tmp_path, ("1", "2", "3", "4"), None)


def refusal(root: Path, styles: str = "12", unstylized: Path | None = None) -> str:
    with pytest.raises(DataError) as refused:
        style_folders(root, styles, unstylized)
    return str(refused.value)


class TestMissingFolders:
    """A wrong folder is told from another one, and each has the advice that helps."""

    def test_a_single_style_is_no_advice(self, tmp_path):
        touch_styles(tmp_path, {"a": 1}, styles="2")
        text = refusal(tmp_path)
        assert text.startswith(f"missing style folders: {tmp_path / 'style_1'}. ")
        assert text.endswith("only style_2, and pairs need two styles")

    def test_no_folder(self, tmp_path):
        text = refusal(tmp_path / "nowhere")
        assert text.startswith(f"`stylized_data_dir` {tmp_path / 'nowhere'} does not exist; ")
        (tmp_path / "file").touch()
        assert f"{tmp_path / 'file'} is not a folder; expected" in refusal(tmp_path / "file")

    def test_one_level_too_deep_points_to_the_parent(self, tmp_path, monkeypatch):
        touch_styles(tmp_path, {"a": 1})
        for root in (tmp_path / "style_1", tmp_path / "style_1" / ""):
            assert refusal(root).endswith(f"? Give the one above, {tmp_path}")
        monkeypatch.chdir(tmp_path / "style_2")
        assert refusal(Path()).endswith(f"? Give the one above, {tmp_path}")

    def test_video_files_point_to_the_script_that_stylizes_them(self, tmp_path):
        root = touch(tmp_path / "my videos", [f"{i}.mp4" for i in range(4)] + ["b.AVI", "readme"])
        text = refusal(root)
        assert "holds video files (0.mp4, 1.mp4, 2.mp4, 3.mp4, b.AVI): make frames" in text
        *_, python, script, videos, stylized = shlex.split(text)
        assert [python, script, stylized] == ["python", "misc/stylize.py", "FOLDER"]
        assert Path(videos) == root
        assert len(find_sources(root)) == 5

    def test_anything_else_is_listed(self, tmp_path):
        assert refusal(tmp_path).endswith(f"{tmp_path} holds nothing; is it the right folder?")
        touch(tmp_path, ["b.txt"])
        (tmp_path / "a").mkdir()
        assert refusal(tmp_path).endswith("holds a, b.txt; is it the right folder?")
        touch(tmp_path, "cdefghi")
        assert refusal(tmp_path).endswith(
            "a, b.txt, c, d, e, f and 3 more; is it the right folder?"
        )

    def test_no_unstylized_videos_name_their_option(self, tmp_path):
        # It used to advise `styles`, and to call the folder one of a style.
        touch_styles(tmp_path, {"a": 1})
        text = refusal(tmp_path, unstylized=tmp_path / "raw")
        assert text.startswith(
            f"{tmp_path / 'raw'} is not a folder: expected the unstylized videos"
        )
        assert "`normal_data_dir`" in text
        assert "style" not in text.replace(str(tmp_path), "").replace("unstylized", "")


class TestCheckFrames:
    WANTED = (("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"))

    def check(self, root: Path) -> dict[str, str]:
        return check_frames(find_videos("plain", root, "12"), self.WANTED)[1]

    def test_sound_videos_have_no_problem(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9, "b": 12})
        frames, problems = check_frames(find_videos("plain", root, "12"), self.WANTED)
        assert problems == {}
        assert {key: f.count for key, f in frames.items()} == {
            ("a", "1"): 9,
            ("a", "2"): 9,
            ("b", "1"): 12,
            ("b", "2"): 12,
        }

    def test_unequal_counts(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9, "b": 12})
        touch(root / "style_2" / "b", ["000013.jpg"])
        problems = self.check(root)
        assert list(problems) == ["b"]
        assert "unequal frame counts" in problems["b"]
        assert f"{root / 'style_2' / 'b'} has 13" in problems["b"]
        assert f"{root / 'style_1' / 'b'} has 12" in problems["b"]

    def test_hole_in_one_style(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9, "b": 12})
        (root / "style_2" / "a" / "000004.jpg").unlink()
        problems = self.check(root)
        assert list(problems) == ["a"]
        assert f"{root / 'style_2' / 'a' / '000004.jpg'} is missing" in problems["a"]

    def test_video_missing_in_one_style(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9, "b": 12})
        for path in (root / "style_2" / "a").iterdir():
            path.unlink()
        (root / "style_2" / "a").rmdir()
        problems = self.check(root)
        assert problems == {"a": f"{root / 'style_2' / 'a'} does not exist"}

    def test_fewer_frames_than_annotated(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9})
        videos = video_set([Video("a", "a", 0, 10)], "12")
        videos.style_folders.update({s: root / f"style_{s}" for s in "12"})
        _, problems = check_frames(videos, [("a", "1")])
        assert "too few frames" in problems["a"]
        assert "has 9, 10 are needed" in problems["a"]

    def test_names_and_first_index_may_differ_by_style(self, tmp_path):
        touch(tmp_path / "style_1" / "a", (f"{i:06d}.jpg" for i in range(1, 10)))
        touch(tmp_path / "style_2" / "a", (f"image_{i}.png" for i in range(9)))
        frames, problems = check_frames(find_videos("plain", tmp_path, "12"), self.WANTED[:2])
        assert problems == {}
        assert frames["a", "1"].path(4).name == "000005.jpg"
        assert frames["a", "2"].path(4).name == "image_4.png"


@pytest.mark.parametrize("n", [1, 10, 11, 25])
def test_stop_lists_ten_problems_at_most_and_what_to_do(n):
    problems = {f"video_{i}": f"reason {i}" for i in range(n)}
    with pytest.raises(UserError) as refused:
        stop_or_skip(problems, "stop")
    first, *lines, last = str(refused.value).splitlines()
    assert first.startswith(f"{n} of the videos")
    assert lines[:10] == [f"  video_{i}: reason {i}" for i in range(min(n, 10))]
    assert lines[10:] == ([f"  ... and {n - 10} more"] if n > 10 else [])
    assert "`on_bad_video` skip" in last


def test_skip_and_no_problem_go_on():
    stop_or_skip({"a": "reason"}, "skip")
    stop_or_skip({}, "stop")
