"""What the files of a clip are known by in the store, and two styles that are the same files."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from common.factors import DYNAMIC, STATIC
from datasets.dataset import DataRequest
from datasets.davis import FORWARD
from datasets.flow_plan import FlowClip
from datasets.geometry import ClipGeometry, FlowGeometry
from datasets.pair_plan import Pair, PairPlan, PlanRow, PlanRules
from datasets.stylized_sequences import find as find_sequences
from datasets.stylized_videos import StylizedVideos
from datasets.stylized_videos import find as find_videos
from datasets.video_plan import Clip, plan_row
from tests.datasets.helpers import noise, write_frames
from tests.datasets.helpers_davis import write_trees
from utils import DataError, UserError

# Of a window of 10: 0, 3, 6 and 9.
FOUR = ClipGeometry((("video", 4),), 1, window=10)
ONE, TWO = FlowGeometry((10, 16)), FlowGeometry((10, 16), frames=2)


def touched(path: Path) -> None:
    """Another modification time of the same content."""
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def same_size(path: Path) -> None:
    """Another content of the same size and modification time."""
    found, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def longer(path: Path) -> None:
    """Another size at the same modification time."""
    found = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


class TestVideos:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        for index, (video, style) in enumerate((v, s) for v in "ab" for s in "12"):
            write_frames(tmp_path / "data" / f"style_{style}" / video, noise(14, index))
        return tmp_path / "data"

    def data(self, root: Path, thorough: bool = False) -> StylizedVideos:
        data = find_videos("plain", DataRequest(root, ("1", "2"), thorough=thorough))
        pairs = [Pair(DYNAMIC, Clip(v, "1", 0), Clip(v, "2", 0)) for v in "ab"]
        assert data.check(PairPlan(tuple(map(plan_row, pairs)))) == {}
        return data

    def files(self, root: Path, thorough: bool = False, start: int = 2, style: str = "1") -> str:
        clip = Clip("a", style, start, 7)
        (row,) = self.data(root, thorough).store_rows(clip, FOUR)
        assert list(row) == ["video", "style", "start", "shuffle", "files"]
        assert (row["video"], row["start"], row["shuffle"]) == ("a", start, 7)
        return row["files"]

    @pytest.mark.parametrize(("thorough", "kind"), [(False, "time"), (True, "content")])
    def test_value_is_a_short_digest_with_its_kind(self, root, thorough, kind):
        value = self.files(root, thorough)
        assert re.fullmatch(rf"{kind}:[0-9a-f]{{16}}", value)
        assert self.files(root, thorough) == value
        assert self.files(root, thorough, start=3) != value
        assert self.files(root, thorough, style="2") != value

    @pytest.mark.parametrize(
        ("change", "thorough", "noticed"),
        [
            (touched, False, True),
            (touched, True, False),
            (same_size, True, True),
            (longer, False, True),
            (longer, True, True),
        ],
    )
    def test_change_of_any_frame_that_is_shown_is_noticed(self, root, change, thorough, noticed):
        # The size of the first frame alone used to be looked at.
        before = self.files(root, thorough)
        for number in (3, 6, 9, 12):  # positions 2, 5, 8 and 11
            other = shutil.copytree(root, root.parent / f"{number}", copy_function=shutil.copy2)
            change(other / "style_1" / "a" / f"{number:06d}.png")
            assert (self.files(other, thorough) != before) is noticed
        change(root / "style_1" / "a" / "000004.png")  # which is not shown
        assert self.files(root, thorough) == before

    def test_a_copy_is_the_same_where_contents_count(self, root):
        copied = shutil.copytree(root, root.parent / "copied", copy_function=shutil.copyfile)
        assert self.files(copied, thorough=True) == self.files(root, thorough=True)
        assert self.files(copied) != self.files(root)

    def test_files_are_looked_at_once(self, root):
        data = self.data(root)
        (before,) = data.store_rows(Clip("a", "1", 2), FOUR)
        shutil.rmtree(root)
        (after,) = data.store_rows(Clip("a", "1", 2, 9), FOUR)
        assert after["files"] == before["files"]

    def test_what_is_no_file_any_more_is_refused(self, root):
        data = self.data(root)
        path = root / "style_1" / "a" / "000006.png"
        path.unlink()
        path.symlink_to("/dev/zero")
        with pytest.raises(DataError, match=r"000006\.png is a pipe or a device"):
            list(data.store_rows(Clip("a", "1", 2), FOUR))

    def test_styles_that_are_the_same_files_are_refused(self, root):
        shutil.rmtree(root / "style_2")
        (root / "style_2").symlink_to("style_1")
        data = self.data(root)
        plan = data.sample(PlanRules(1, window=10))
        assert data.check(plan) == {}
        words = r"all dynamic pairs \(2\) show the same files .*style_\d and .*style_\d: .*`styles`"
        with pytest.raises(UserError, match=words):
            data.require_usable(plan, FOUR)

    def test_some_that_are_the_same_files_are_said(self, root):
        shutil.rmtree(root / "style_2" / "a")
        shutil.copytree(root / "style_1" / "a", root / "style_2" / "a")
        data = self.data(root)
        plan = data.sample(PlanRules(1, window=10))
        data.check(plan)
        data.require_usable(plan, FOUR)
        (note,) = data.notes(plan, FOUR)
        assert note.startswith("same files: 1 of 2 dynamic pairs show the same files in two styles")
        assert "a in 1 and 2" in note or "a in 2 and 1" in note

    def test_one_other_frame_is_enough(self, root):
        shutil.rmtree(root / "style_2")
        shutil.copytree(root / "style_1", root / "style_2")
        for video in "ab":
            longer(root / "style_2" / video / "000007.png")  # shown from the first frame on
        data = self.data(root)
        pairs = [Pair(DYNAMIC, Clip(v, "1", 0), Clip(v, "2", 0)) for v in "ab"]
        plan = PairPlan(tuple(map(plan_row, pairs)))
        data.require_usable(plan, FOUR)
        assert data.notes(plan, FOUR) == []


class TestSequences:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return write_trees(tmp_path / "trees", {"bear": 5, "cows": 4})

    def data(self, root: Path, **options):
        places = {"stylized": root / "stylized", "original": root / "original"}
        return find_sequences("StylizedDAVIS", DataRequest(styles=("1", "2"), **places, **options))

    def test_a_row_for_each_frame_with_what_its_files_are_known_by(self, root):
        clip = FlowClip("bear", "00001", "1", 7, "00003")
        first, second = self.data(root, backward=True).store_rows(clip, TWO)
        assert list(first) == ["video", "frame", "style", "jitter", "other", "row_of", "files"]
        assert (first["row_of"], second["row_of"]) == ("00001", "00003")
        assert re.fullmatch(r"time:[0-9a-f]{16}", first["files"])
        assert first["files"] != second["files"]
        (one,) = self.data(root, thorough=True).store_rows(FlowClip("bear", "00001", "1"), ONE)
        assert re.fullmatch(r"content:[0-9a-f]{16}", one["files"])

    @pytest.mark.parametrize(
        ("change", "thorough", "noticed"),
        [(touched, False, True), (touched, True, False), (same_size, True, True)],
    )
    @pytest.mark.parametrize("tree", ["stylized/JPEGImages/Lynx", f"original/{FORWARD}"])
    def test_change_of_image_or_flow_is_noticed(self, root, tree, change, thorough, noticed):
        def files() -> str:
            data = self.data(root, thorough=thorough)
            (row,) = data.store_rows(FlowClip("bear", "00001", "1"), ONE)
            return row["files"]

        before = files()
        change(next((root / tree / "bear").glob("00002.*")))
        assert files() == before
        change(next((root / tree / "bear").glob("00001.*")))
        assert (files() != before) is noticed

    def test_styles_that_are_the_same_images_are_refused_or_said(self, root):
        images = root / "stylized/JPEGImages"
        data = self.data(root)
        plan = data.sample(PlanRules(1, nreps=1))
        data.require_usable(plan, ONE)
        assert len(data.notes(plan, ONE)) == 1
        for path in (images / "Lynx" / "bear").iterdir():
            shutil.copyfile(path, images / "Maruska640" / "bear" / path.name)
        data.require_usable(plan, ONE)
        # Four of the seven frames.
        assert data.notes(plan, ONE)[1].startswith("same files: 4 of 7 dynamic pairs")
        shutil.rmtree(images / "Lynx")
        (images / "Lynx").symlink_to("Maruska640")
        words = r"all dynamic pairs \(7\) .*(Lynx and .*Maruska640|Maruska640 and .*Lynx): nothing"
        with pytest.raises(UserError, match=words):
            data.require_usable(plan, ONE)

    def test_static_pairs_are_not_looked_at(self, root):
        clip = FlowClip("bear", "00001", "1")
        plan = PairPlan((PlanRow({}, (Pair(STATIC, clip, clip),)),))
        self.data(root).require_usable(plan, ONE)
