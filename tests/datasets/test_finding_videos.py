"""Finding a data set of videos: where its clips start, what is missing, and the synthetic one."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets import stylized_videos
from datasets.dataset import DataRequest
from datasets.geometry import ClipGeometry
from datasets.pair_plan import PlanRules
from datasets.stylized_videos import StylizedVideos, find
from datasets.synthetic import MARKER, make
from datasets.videos import UNSTYLIZED, Video
from tests.datasets.helpers import touch, touch_styles, toy, video_set
from utils import DataError, UserError


def request(root: Path | None, **options) -> DataRequest:
    return DataRequest(**{"stylized": root, "styles": ("1", "2"), **options})


class TestStart:
    @pytest.mark.parametrize("dataset", ["plain", "synthetic"])
    @pytest.mark.parametrize(
        ("start", "expected"),
        [("first", {0}), ("middle", {7}), ("random", set(range(15))), (None, set(range(15)))],
    )
    def test_plain_and_synthetic_sets_start_where_they_are_told(
        self, tmp_path, dataset, start, expected
    ):
        # 24 frames and a window of 10: starts up to 14, and 7 in the middle.
        root = touch_styles(tmp_path, {"a": 24, "b": 24})
        touch(root, [MARKER])
        data = find(dataset, request(root, start=start))
        plan = data.sample(PlanRules(1, window=10, n_examples=400))
        assert {clip.start for clip in plan.clips} == expected

    def test_middle_of_a_segment_and_of_a_short_video(self):
        videos = [Video("long", "long", 5, 26), Video("short", "short", 3, 9)]
        data = StylizedVideos(video_set(videos, start="middle"))
        clips = data.sample(PlanRules(1, window=10)).clips
        # 5 + (21 - 10) // 2, and the first frame.
        assert {(clip.video, clip.start) for clip in clips} == {("long", 10), ("short", 3)}

    @pytest.mark.parametrize(
        ("dataset", "start", "usual"),
        [
            ("StylizedActivityNet", "random", "first"),
            ("ssv2", "first", "random"),
            ("Diving48", "middle", "random"),
        ],
    )
    def test_data_sets_of_the_study_start_as_in_the_study(self, tmp_path, dataset, start, usual):
        words = rf"`start` {start}: windows of {dataset} start as in the study \({usual}\)"
        with pytest.raises(UserError, match=words):
            find(dataset, request(tmp_path, start=start))
        with pytest.raises(DataError, match="missing style folders"):  # the next thing
            find(dataset, request(tmp_path, start=usual))


class TestFind:
    def test_its_answers(self, tmp_path):
        data = find("plain", request(touch_styles(tmp_path, {"b": 9, "a": 8, "short": 3})))
        assert (data.listed.name, list(data.listed.videos)) == ("plain", ["a", "b"])
        assert list(data.listed.problems) == ["short"]
        assert data.listed.left_out == {}
        clips = ClipGeometry((("video", 8),), 8)
        assert data.reader(clips).taken == [[0, 9, 18, 27, 36, 45, 54, 63]]

    @pytest.mark.parametrize("dataset", ["StylizedActivityNet", "ssv2", "Diving48"])
    def test_missing_annotation_points_to_the_set_without_one(self, tmp_path, dataset):
        root = touch_styles(tmp_path, {"a": 9})
        words = rf"{root}/\w.*\.json does not exist, the annotation .*give `dataset` plain$"
        with pytest.raises(DataError, match=words):
            find(dataset, request(root))

    def test_missing_folder_is_asked_for(self):
        with pytest.raises(UserError, match=r"`stylized_data_dir` is missing: .*style_1"):
            find("ssv2", request(None))

    def test_unstylized_videos_are_beside_the_styles_unless_they_are_elsewhere(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9})
        for place, given in (("original", None), ("raw", tmp_path / "raw")):
            (tmp_path / place).mkdir()
            data = find("plain", request(root, shows_unstylized=True, unstylized=given))
            assert data.listed.style_folders[UNSTYLIZED] == tmp_path / place
        assert UNSTYLIZED not in find("plain", request(root)).listed.style_folders

    def test_videos_alone_in_their_class_are_left_out_if_asked(self, monkeypatch):
        def names(labels: str, shared_classes: bool) -> str:
            found = toy(len(labels), labels=labels)
            monkeypatch.setattr(stylized_videos, "find_videos", lambda *rest: found)
            return "".join(
                find("ssv2", request(Path(), shared_classes=shared_classes)).listed.videos
            )

        assert names("xyzy", shared_classes=False) == "abcd"
        assert names("xyzy", shared_classes=True) == "bd"
        with pytest.raises(UserError, match="`m_same` False needs two videos of one class"):
            names("xyz", shared_classes=True)


class TestSynthetic:
    @pytest.fixture(autouse=True)
    def two_videos(self, monkeypatch):
        monkeypatch.setattr(stylized_videos, "SYNTHETIC_VIDEOS", 2)

    @pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty one"])
    def test_made_where_there_is_none_and_kept(self, tmp_path, capsys, there):
        root = tmp_path / "set"
        if there:
            root.mkdir()
        for said in (f"made: 2 synthetic videos in {root}\n", ""):
            data = find("synthetic", request(None, made_in=root))
            assert list(data.listed.videos) == ["v00000", "v00001"]
            assert capsys.readouterr().out == said

    def test_any_synthetic_set_that_is_there_is_taken(self, tmp_path):
        make(tmp_path / "set", 3, n_frames=8, size=16, seed=5)
        assert len(find("synthetic", request(tmp_path / "set")).listed.videos) == 3

    def test_other_videos_are_refused(self, tmp_path):
        # They used to be measured under the name of the synthetic set.
        root = touch_styles(tmp_path, {"a": 9})
        words = rf"`dataset` synthetic: {root} has no {MARKER}, .* give `dataset` plain"
        with pytest.raises(UserError, match=words):
            find("synthetic", request(root))

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "set").touch()
        with pytest.raises(DataError, match="set is not a folder"):
            find("synthetic", request(tmp_path / "set"))
