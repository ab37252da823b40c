"""The data sets: annotation files, folder names, what is left out and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.video_layouts import LAYOUTS, find_videos
from datasets.videos import UNSTYLIZED, Video
from tests.datasets.helpers import touch, touch_styles
from utils import DataError

LABELS = {"Pushing something": "0", "Lifting something up": "1"}
NOT_STYLIZED = "annotated but not among the stylized videos"


def write(path: Path, content: Any) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def frames(root: Path, video: str, count: int, name: str = "{:06d}.jpg", first: int = 1) -> None:
    names = [name.format(i) for i in range(first, first + count)]
    for style in "12":
        touch(root / f"style_{style}" / video, names)


class TestActivityNet:
    def entry(self, *segments, subset="validation", label="Rowing", **more) -> dict:
        annotations = [{"segment": segment, "label": label} for segment in segments]
        return {"subset": subset, "annotations": annotations, **more}

    def find(self, root: Path, database: dict[str, Any], **options):
        (root / "style_1").mkdir(exist_ok=True)
        (root / "style_2").mkdir(exist_ok=True)
        write(root / "activitynet_v13.json", {"database": database})
        return find_videos("StylizedActivityNet", root, "12", **options)

    def test_first_segment_at_five_frames_per_second(self, tmp_path):
        frames(tmp_path, "v_abc", 100)
        found = self.find(tmp_path, {"abc": self.entry([1.5, 9.9], [12.0, 19.0])})
        # floor(1.5 * 5) = floor(7.5), floor(9.9 * 5) = floor(49.5)
        assert found.videos == {"abc": Video("abc", "v_abc", 7, 49, "Rowing")}
        assert found.start == "first"
        assert found.folder("abc", "2") == tmp_path / "style_2" / "v_abc"

    def test_segment_ends_with_the_video(self, tmp_path):
        frames(tmp_path, "v_abc", 40)
        found = self.find(tmp_path, {"abc": self.entry([2.0, 30.0])})
        assert (found.videos["abc"].start, found.videos["abc"].end) == (10, 40)

    def test_frame_count_of_the_file_comes_first(self, tmp_path):
        # The study's own copy of the annotation had "num_frames".
        frames(tmp_path, "v_abc", 50)
        found = self.find(tmp_path, {"abc": self.entry([2.0, 30.0], num_frames=45)})
        assert found.videos["abc"].end == 45

    def test_what_the_study_left_out_is_counted(self, tmp_path):
        for video, count in {"ok": 32, "short": 31, "brief": 60, "second": 60, "none": 60}.items():
            frames(tmp_path, f"v_{video}", count)
        database = {
            "ok": self.entry([0.0, 3.2]),  # 16 frames
            "short": self.entry([0.0, 6.0]),
            "brief": self.entry([0.0, 3.1]),  # floor(15.5) = 15 frames
            "second": self.entry([0.0, 5.0], [6.0, 8.0]),
            "none": self.entry(),
            "absent": self.entry([0.0, 8.0]),
            "trained_on": self.entry([0.0, 8.0], subset="training"),
        }
        found = self.find(tmp_path, database)
        assert list(found.videos) == ["ok"]
        assert found.left_out == {
            NOT_STYLIZED: 1,
            "shorter than 32 frames": 1,
            "with a segment under 16 frames, or none": 3,
        }
        assert found.problems == {}

    def test_segment_behind_the_end_is_left_out(self, tmp_path):
        frames(tmp_path, "v_abc", 40)
        frames(tmp_path, "v_ok", 40)
        found = self.find(tmp_path, {"abc": self.entry([9, 20]), "ok": self.entry([0, 8])})
        assert list(found.videos) == ["ok"]

    def test_another_subset(self, tmp_path):
        frames(tmp_path, "v_abc", 40)
        found = self.find(
            tmp_path, {"abc": self.entry([0.0, 8.0], subset="training")}, subset="training"
        )
        assert list(found.videos) == ["abc"]

    def test_broken_video_is_a_problem_not_a_rule(self, tmp_path):
        frames(tmp_path, "v_abc", 40)
        frames(tmp_path, "v_hole", 40)
        hole = tmp_path / "style_1" / "v_hole" / "000003.jpg"
        hole.unlink()
        found = self.find(tmp_path, {k: self.entry([0.0, 8.0]) for k in ("abc", "hole")})
        assert list(found.videos) == ["abc"]
        assert list(found.problems) == ["hole"]
        assert f"{hole} is missing" in found.problems["hole"]

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            pytest.param({"annotations": []}, "abc has no 'subset'", id="no subset"),
            pytest.param({"subset": "validation"}, "abc has no 'annotations'", id="no annotations"),
            pytest.param(
                {"subset": "validation", "annotations": [{"label": "Rowing"}]},
                "abc has no 'segment'",
                id="no segment",
            ),
            pytest.param(
                {"subset": "validation", "annotations": [{"segment": [0.0, 8.0]}]},
                "abc has no 'label'",
                id="no label",
            ),
            pytest.param(
                {"subset": "validation", "annotations": [{"segment": [3], "label": "Rowing"}]},
                "abc.*segment",
                id="segment without end",
            ),
            pytest.param(
                {"subset": "validation", "annotations": [{"segment": ["0", "8"], "label": "R"}]},
                "abc.*segment",
                id="segment of text",
            ),
            pytest.param("validation", "abc has no 'subset'", id="entry is text"),
        ],
    )
    def test_incomplete_entry_is_refused_with_file_and_video(self, tmp_path, entry, words):
        frames(tmp_path, "v_abc", 40)
        with pytest.raises(DataError, match=rf"activitynet_v13\.json.*{words}"):
            self.find(tmp_path, {"abc": entry})

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            pytest.param("{", "is not readable JSON", id="cut off"),
            pytest.param("", "is not readable JSON", id="empty"),
            pytest.param({"videos": {}}, "has no 'database'", id="no database"),
            pytest.param([], "has no 'database'", id="a list"),
            pytest.param({"database": []}, "database", id="database is a list"),
        ],
    )
    def test_unusable_file_is_refused_with_its_path(self, tmp_path, content, words):
        touch_styles(tmp_path, {"v_abc": 40})
        write(tmp_path / "activitynet_v13.json", content)
        with pytest.raises(DataError, match=rf"activitynet_v13\.json.*{words}"):
            find_videos("StylizedActivityNet", tmp_path, "12")

    def test_missing_file_is_refused_with_its_path(self, tmp_path):
        touch_styles(tmp_path, {"v_abc": 40})
        with pytest.raises(DataError, match=r"activitynet_v13\.json does not exist"):
            find_videos("StylizedActivityNet", tmp_path, "12")


class TestSSv2:
    def find(self, root: Path, entries: Any, labels: Any = None, **options):
        subset = options.get("subset", "validation")
        write(root / f"something-something-v2-{subset}.json", entries)
        write(root / "something-something-v2-labels.json", labels or LABELS)
        return find_videos("ssv2", root, "12", **options)

    def test_stylized_videos_with_their_template_as_label(self, tmp_path):
        frames(tmp_path, "74225", 20)
        frames(tmp_path, "116154", 8)
        found = self.find(
            tmp_path,
            [
                {"id": "74225", "label": "pushing a cup", "template": "Pushing [something]"},
                {"id": "116154", "template": "Lifting [something] up"},
                {"id": "5", "template": "Pushing [something]"},
            ],
        )
        assert found.videos == {
            "74225": Video("74225", "74225", 0, 20, "Pushing something"),
            "116154": Video("116154", "116154", 0, 8, "Lifting something up"),
        }
        assert found.left_out == {NOT_STYLIZED: 1}
        assert found.start == "random"

    def test_short_ones_are_left_out_and_broken_ones_are_problems(self, tmp_path):
        frames(tmp_path, "1", 7)
        frames(tmp_path, "2", 9)
        frames(tmp_path, "3", 9)
        (tmp_path / "style_1" / "3" / "000005.jpg").unlink()
        entries = [{"id": i, "template": "Pushing [something]"} for i in "123"]
        found = self.find(tmp_path, entries)
        assert list(found.videos) == ["2"]
        assert found.left_out == {"shorter than 8 frames": 1}
        assert list(found.problems) == ["3"]

    def test_another_subset_has_its_own_file(self, tmp_path):
        frames(tmp_path, "1", 9)
        entries = [{"id": "1", "template": "Pushing [something]"}]
        assert list(self.find(tmp_path, entries, subset="train").videos) == ["1"]

    @pytest.mark.parametrize(
        ("entries", "words"),
        [
            pytest.param([{"template": "Pushing [something]"}], "has no 'id'", id="no id"),
            pytest.param([{"id": "1"}], "1 has no 'template'", id="no template"),
            pytest.param(
                [{"id": "1", "template": "Eating [something]"}],
                r"'Eating something' of video 1 is not in .*labels\.json",
                id="unknown template",
            ),
            pytest.param({"1": "Pushing something"}, "entry 1 has no 'id'", id="not a list"),
            pytest.param("[{]", "is not readable JSON", id="broken"),
        ],
    )
    def test_unusable_annotation_is_refused_with_its_path(self, tmp_path, entries, words):
        frames(tmp_path, "1", 9)
        with pytest.raises(DataError, match=rf"something-something-v2-validation\.json.*{words}"):
            self.find(tmp_path, entries)

    def test_both_files_are_needed(self, tmp_path):
        frames(tmp_path, "1", 9)
        write(tmp_path / "something-something-v2-validation.json", [])
        with pytest.raises(DataError, match=r"something-something-v2-labels\.json does not exist"):
            find_videos("ssv2", tmp_path, "12")
        write(tmp_path / "something-something-v2-labels.json", {})
        (tmp_path / "something-something-v2-validation.json").unlink()
        with pytest.raises(DataError, match=r"v2-validation\.json does not exist"):
            find_videos("ssv2", tmp_path, "12")


class TestDiving48:
    def entry(self, name: str, start: int, end: int, label: int = 20) -> dict[str, Any]:
        return {"vid_name": name, "start_frame": start, "end_frame": end, "label": label}

    def find(self, root: Path, entries: Any):
        touch_styles(root, {})
        write(root / "Diving48_V2_test.json", entries)
        return find_videos("Diving48", root, "12")

    def test_length_is_from_start_frame_to_end_frame(self, tmp_path):
        frames(tmp_path, "x_00001", 50, "image_{:05d}.jpg", first=0)
        found = self.find(tmp_path, [self.entry("x_00001", 100, 145, label=7)])
        assert found.videos == {"x_00001": Video("x_00001", "x_00001", 0, 45, "7")}
        assert found.start == "random"

    def test_what_is_left_out_is_counted(self, tmp_path):
        for name in ("ok", "short"):
            frames(tmp_path, name, 8, "image_{:05d}.jpg", first=0)
        entries = [self.entry("ok", 0, 8), self.entry("short", 0, 7), self.entry("absent", 0, 60)]
        found = self.find(tmp_path, entries)
        assert list(found.videos) == ["ok"]
        assert found.left_out == {"shorter than 8 frames": 1, NOT_STYLIZED: 1}

    @pytest.mark.parametrize("key", ["vid_name", "start_frame", "end_frame", "label"])
    def test_missing_key_is_refused_with_the_path(self, tmp_path, key):
        frames(tmp_path, "ok", 8, "image_{:05d}.jpg", first=0)
        entry = {k: v for k, v in self.entry("ok", 0, 8).items() if k != key}
        with pytest.raises(DataError, match=rf"Diving48_V2_test\.json: .* has no '{key}'"):
            self.find(tmp_path, [entry])


class TestPlain:
    def test_every_folder_of_the_first_style_in_order_of_names(self, tmp_path):
        root = touch_styles(tmp_path, {"b": 10, "a": 8, "c": 30})
        (root / "style_1" / "readme.txt").touch()
        found = find_videos("plain", root, "12")
        assert list(found.videos) == ["a", "b", "c"]
        assert found.videos["c"] == Video("c", "c", 0, 30, None)
        assert found.styles == ("1", "2")
        assert found.start == "random"

    def test_styles_need_not_be_numbers(self, tmp_path):
        for style in ("wave", "udnie"):
            touch(tmp_path / f"style_{style}" / "a", (f"{i}.png" for i in range(8)))
        assert find_videos("plain", tmp_path, ["wave", "udnie"]).styles == ("wave", "udnie")

    def test_short_and_broken_videos_are_problems(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 8, "few": 7, "empty": 0})
        found = find_videos("plain", root, "12")
        assert list(found.videos) == ["a"]
        assert "too few frames" in found.problems["few"]
        assert "has 7, at least 8 are needed" in found.problems["few"]
        assert str(root / "style_1" / "empty") in found.problems["empty"]

    def test_unstylized_videos_are_found_beside_the_styles(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 8})
        touch(root / "original" / "a", (f"{i}.jpg" for i in range(8)))
        found = find_videos("plain", root, "12", unstylized=root / "original")
        assert found.folder("a", UNSTYLIZED) == root / "original" / "a"
        assert found.styles == ("1", "2")


def test_short_videos_of_the_study_may_start_up_to_8_frames_before_their_end(tmp_path):
    frames(tmp_path, "x", 9)
    write(tmp_path / "something-something-v2-labels.json", {"Pushing": "0"})
    write(tmp_path / "something-something-v2-validation.json", [{"id": "x", "template": "Pushing"}])
    write(tmp_path / "Diving48_V2_test.json", [TestDiving48().entry("x", 0, 9)])
    found = {name: find_videos(name, tmp_path, "12") for name in ("ssv2", "Diving48", "plain")}
    assert {name: videos.shortest_window for name, videos in found.items()} == {
        "ssv2": 8,
        "Diving48": 8,
        "plain": None,
    }


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_no_video_at_all_is_refused_with_the_reasons(tmp_path, dataset):
    touch_styles(tmp_path, {"x": 3, "v_x": 3})
    rowing = {"subset": "validation", "annotations": [{"segment": [0, 8], "label": "Rowing"}]}
    write(tmp_path / "activitynet_v13.json", {"database": {"x": rowing}})
    write(tmp_path / "something-something-v2-labels.json", {"Pushing": "0"})
    write(tmp_path / "something-something-v2-validation.json", [{"id": "x", "template": "Pushing"}])
    dive = {"vid_name": "x", "start_frame": 0, "end_frame": 3, "label": 1}
    write(tmp_path / "Diving48_V2_test.json", [dive])
    with pytest.raises(DataError, match=rf"{dataset}: no video to measure in .*(short|too few)"):
        find_videos(dataset, tmp_path, "12")
