"""Frames that are no files, and folders that cannot be looked at: found before anything is read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import batches
from datasets.batches import FrameError, read_frame
from datasets.davis import FORWARD, check_files
from datasets.video_layouts import find_videos
from datasets.videos import check_frames, scan_frames, style_folders
from tests.datasets.helpers import touch, touch_styles
from tests.datasets.helpers_davis import sequences, write_list, write_trees
from utils import DataError

# What a path is made into, and what is said of it.
UNUSUAL = {
    "dangling": (lambda path: path.symlink_to("nowhere.jpg"), "is a link to a file that does not"),
    "loop": (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels"),
    "folder": (lambda path: path.mkdir(), "is a folder, expected a file"),
    "pipe": (lambda path: os.mkfifo(path), "is a pipe or a device, expected a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device, expected a file"),
    "long link": (lambda path: path.symlink_to("x" * 300), "cannot be read: File name too long"),
}


@pytest.fixture(params=UNUSUAL)
def unusual(request):
    """Makes a path into something else; returns what is said of it."""

    def make(path: Path) -> str:
        path.unlink(missing_ok=True)
        UNUSUAL[request.param][0](path)
        return rf"{path} {UNUSUAL[request.param][1]}"

    return make


def closed(monkeypatch, folder: Path) -> None:
    """Have the system refuse to look into a folder (tests may run as root, whom it lets)."""

    def guarded(function):
        def call(path, *rest, **options):
            if folder in (Path(path), *Path(path).parents):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *rest, **options)

        return call

    monkeypatch.setattr(os, "scandir", guarded(os.scandir))
    monkeypatch.setattr(os, "stat", guarded(os.stat))
    monkeypatch.setattr(Path, "stat", guarded(Path.stat))


class TestVideos:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return touch_styles(tmp_path, {"a": 9, "b": 12})

    def test_a_frame_that_is_no_file_is_a_problem_of_its_video(self, root, unusual):
        videos = find_videos("plain", root, "12")
        words = unusual(root / "style_2" / "a" / "000004.jpg")
        _, problems = check_frames(videos, [(v, s) for v in "ab" for s in "12"])
        assert list(problems) == ["a"]
        assert problems["a"].startswith(words)
        with pytest.raises(DataError, match=words):
            scan_frames(root / "style_2" / "a")

    def test_links_to_files_are_frames(self, root):
        for path in sorted((root / "style_1" / "b").iterdir()):
            (root / "style_1" / "a" / path.name).unlink(missing_ok=True)
            (root / "style_1" / "a" / path.name).symlink_to(path)
        assert scan_frames(root / "style_1" / "a").count == 12

    def test_other_things_beside_the_frames_do_not_matter(self, root):
        (root / "style_1" / "a" / "old").mkdir()
        (root / "style_1" / "a" / "link.txt").symlink_to("nowhere")
        assert scan_frames(root / "style_1" / "a").count == 9

    def test_a_folder_that_cannot_be_listed_is_a_problem_of_its_video(self, root, monkeypatch):
        videos = find_videos("plain", root, "12")
        closed(monkeypatch, root / "style_2" / "a")
        _, problems = check_frames(videos, [(v, s) for v in "ab" for s in "12"])
        assert problems == {"a": f"{root}/style_2/a cannot be listed: Permission denied"}
        listed = find_videos("plain", root, "12")
        assert list(listed.videos) == ["b"]
        assert listed.problems == {"a": f"{root}/style_2/a cannot be looked at: Permission denied"}

    def test_a_closed_root_or_style_is_refused(self, root, monkeypatch):
        closed(monkeypatch, root / "style_2")
        with pytest.raises(DataError, match="style_2 cannot be looked at: Permission denied"):
            style_folders(root, "12", None)
        closed(monkeypatch, root)
        with pytest.raises(DataError, match="cannot be looked at: Permission denied"):
            style_folders(root, "12", None)

    def test_paths_that_are_too_long_are_refused(self, root):
        with pytest.raises(DataError, match="cannot be looked at: File name too long"):
            style_folders(root / ("x" * 300), "12", None)
        with pytest.raises(DataError, match="cannot be looked at: File name too long"):
            style_folders(root, ["1", "x" * 300], None)
        with pytest.raises(DataError, match="cannot be read: File name too long"):
            find_videos("Diving48", root, "12", subset="x" * 300)

    def test_names_that_are_not_utf8_are_problems_of_their_videos(self, root):
        for style in (b"style_1", b"style_2"):
            os.mkdir(os.path.join(os.fsencode(root), style, b"caf\xe9"))  # noqa: PTH102, PTH118
        videos = find_videos("plain", root, "12")
        assert list(videos.videos) == ["a", "b"]
        assert list(videos.problems) == [r"caf\udce9"]
        words = r"/caf\udce9: the name is not UTF-8; rename the folder"
        assert videos.problems[r"caf\udce9"].endswith(words)

    def test_names_are_not_blamed_for_the_encoding_of_the_environment(self, root):
        for style in ("style_1", "style_2"):
            shutil.copytree(root / style / "a", root / style / "caf\xe9")
        (root / "style_1" / "a" / "\xe9000001.jpg").touch()
        code = (
            "from pathlib import Path; from datasets.video_layouts import find_videos\n"
            "from datasets.videos import scan_frames; from datasets.names import name_problem\n"
            "root = Path(sys.argv[1]); print(*find_videos('plain', root, '12').problems.values())\n"
            "try: scan_frames(root / 'style_1' / 'a')\n"
            "except Exception as error: print(error)\n"
            "print(*map(name_problem, ('a', 'caf\\xe9', '\\udcff')), sep='|')"
        )
        environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; {code}", str(root)],
            env={**os.environ, **environment},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        words = "is UTF-8, but the environment's encoding is ascii; set PYTHONUTF8=1"
        videos, frames, names = done.stdout.splitlines()
        assert rf"caf\udcc3\udca9: the name {words}" in videos
        assert frames.endswith(rf"\udcc3\udca9000001.jpg: the name {words}")
        assert names == f"|{words}|is not UTF-8"

    def test_a_frame_whose_name_is_not_utf8_is_refused(self, root):
        folder = root / "style_1" / "a"
        os.rename(folder / "000003.jpg", os.fsencode(folder) + b"/\xe9000003.jpg")  # noqa: PTH104
        with pytest.raises(DataError, match=r"\\udce9000003\.jpg: the name is not UTF-8; rename"):
            scan_frames(folder)

    @pytest.mark.parametrize("dataset", ["StylizedActivityNet", "Diving48"])
    def test_a_video_that_cannot_be_looked_at_is_a_problem(self, root, monkeypatch, dataset):
        rowing = {"subset": "validation", "annotations": [{"segment": [0, 8], "label": "Rowing"}]}
        dive = {"vid_name": "a", "label": 1, "start_frame": 0, "end_frame": 9}
        text = str({"database": {"a": rowing}}) if dataset != "Diving48" else str([dive])
        name = "Diving48_V2_test" if dataset == "Diving48" else "activitynet_v13"
        (root / f"{name}.json").write_text(text.replace("'", '"'))
        closed(monkeypatch, root / "style_1" / ("a" if dataset == "Diving48" else "v_a"))
        with pytest.raises(DataError, match=r"no video to measure .* cannot be looked at: Perm"):
            find_videos(dataset, root, "12")


class TestSequences:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return write_trees(tmp_path)

    @pytest.mark.parametrize("tree", ["stylized/JPEGImages/Lynx", f"original/{FORWARD}"])
    def test_a_frame_that_is_no_file_is_a_problem_of_its_sequence(self, root, unusual, tree):
        data = sequences(root)
        words = unusual(next((root / tree / "cows").glob("00001.*")))
        problems = check_files(data, [(video, "1") for video in data.videos])
        assert list(problems) == ["cows"]
        assert problems["cows"].startswith(words)

    def test_a_closed_folder_is_a_problem_of_its_sequence(self, root, monkeypatch):
        data = sequences(root)
        closed(monkeypatch, root / "original" / FORWARD / "cows")
        problems = check_files(data, [(video, "1") for video in data.videos])
        assert list(problems) == ["cows"]
        assert problems["cows"].endswith("Permission denied")

    def test_a_list_that_is_no_file_is_refused(self, root, unusual):
        words = unusual(root / "original/ImageSets/480p/val.txt")
        with pytest.raises(DataError, match=words):
            sequences(root)

    @pytest.mark.parametrize(
        "frame", ["bear/x\0", "a\\b/1", "n" * 300 + "/1", "bear/" + "n" * 252, "bear/.", "bear/.."]
    )
    def test_no_line_leads_elsewhere(self, root, frame):
        write_list(root, ["bear/00000", frame])
        with pytest.raises(DataError, match=r"val\.txt, line 2: "):
            sequences(root)

    @pytest.mark.parametrize("again", ["cows/00001", "cows/../cows/00001", "x/cows/00001"])
    def test_a_frame_that_is_listed_twice_is_refused_with_both_lines(self, root, again):
        # It used to be shown, and to count, twice.
        write_list(root, ["cows/00000", "cows/00001", "bear/00001", again])
        words = r"val\.txt, line 4: (cows/00001 is already on line 2; take|.*expected a line like)"
        with pytest.raises(DataError, match=words):
            sequences(root)


class TestReadFrame:
    def test_what_is_no_file_is_refused(self, tmp_path, unusual):
        words = unusual(tmp_path / "1.png")
        with pytest.raises(FrameError, match=words):
            read_frame(tmp_path / "1.png")

    def test_a_frame_that_may_not_be_read_is_refused(self, tmp_path, monkeypatch):
        touch(tmp_path, ["1.png"])

        def refused(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(batches.Image, "open", refused)
        with pytest.raises(FrameError, match=r"1\.png: .*Permission denied"):
            read_frame(tmp_path / "1.png")

    @pytest.mark.parametrize(
        ("size", "sound"), [((64, 2), True), ((2, 64), True), ((2, 65), False)]
    )
    def test_stripes_are_refused(self, tmp_path, size, sound):
        # Scaled to a short side of 256, 2 x 30000 pixels are 256 x 3840000: 12 GB as floats.
        Image.new("RGB", size).save(tmp_path / "1.png")
        if sound:
            assert read_frame(tmp_path / "1.png").shape == (size[1], size[0], 3)
        else:
            with pytest.raises(FrameError, match=r"1\.png: 2x65 pixels, .* at most 32 times"):
                read_frame(tmp_path / "1.png")

    @pytest.mark.parametrize("most", [60, 40], ids=["a warning of Pillow", "its error"])
    def test_more_pixels_than_pillow_trusts_are_refused(self, tmp_path, monkeypatch, most):
        Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(tmp_path / "1.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(FrameError, match=r"1\.png: Image size \(100 pixels\) exceeds limit"):
            read_frame(tmp_path / "1.png")
