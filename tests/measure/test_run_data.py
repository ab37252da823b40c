"""What a run finds of its data before anything is computed: missing folders, bad videos, notes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import Config
from measure.prepare import Run, prepare
from tests.datasets.helpers import touch, touch_styles
from tests.datasets.helpers_davis import write_trees
from utils import DataError, UserError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("ORIGINAL_DATA_ROOT", "STYLIZED_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)


def prepared(root: Path | None, **options) -> Run:
    chosen = {
        "model": "demo_motion",
        "checkpoint": "random",
        "dataset": "plain",
        "stylized_data_dir": root,
        "styles": "1,2",
        "device": "cpu",
        **options,
    }
    return prepare(Config(**chosen))


class TestMissingFolders:
    @pytest.mark.parametrize("dataset", [None, "plain", "ssv2", "Diving48"])
    def test_stylized_videos_are_asked_for(self, dataset):
        with pytest.raises(UserError, match=r"`stylized_data_dir` is missing: .*style_1"):
            prepared(None, dataset=dataset)

    @pytest.mark.parametrize("dataset", ["StylizedDAVIS", "StylizedDAVISStereograms"])
    def test_so_is_stylized_davis_for_each_of_its_sets(self, tmp_path, dataset):
        # Only the first one asked for it; the others for a folder with style_1, style_2, ...
        write_trees(tmp_path)
        chosen = {"model": "matnet", "dataset": dataset, "original_data_root": tmp_path}
        with pytest.raises(UserError, match=r"`stylized_data_dir` is missing: .* Stylized DAVIS"):
            prepared(None, **chosen)

    def test_unstylized_videos_that_are_not_there_name_their_option(self, tmp_path):
        root = touch_styles(tmp_path, {"a": 9})
        chosen = {"use_normal_app": True, "normal_data_dir": tmp_path / "raw"}
        with pytest.raises(
            DataError, match=rf"{tmp_path}/raw is not a folder: .*`normal_data_dir`"
        ):
            prepared(root, **chosen)


class TestBadVideos:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        """Twenty videos; six lack a frame in the first style and six in another one."""
        names = [f"v{i:02d}" for i in range(20)]
        root = touch_styles(tmp_path, dict.fromkeys(names, 12))
        for index, name in enumerate(names[:12]):
            (root / f"style_{1 + index % 2}" / name / "000005.jpg").unlink()
        return root

    def test_all_are_listed_at_once_ten_of_them_by_name(self, root):
        # They used to be listed style by style, a run at a time, five of them by name.
        with pytest.raises(UserError) as refused:
            prepared(root)
        first, *lines, last = str(refused.value).splitlines()
        assert first == "12 of the videos to measure cannot be used:"
        named = [line.strip().partition(":")[0] for line in lines[:10]]
        assert len(set(named)) == 10
        assert {int(name[1:]) % 2 for name in named} == {0, 1}
        assert all(re.fullmatch(r"  v\d\d: .*/000005\.jpg is missing: .*", x) for x in lines[:10])
        assert lines[10:] == ["  ... and 2 more"]
        assert "`on_bad_video` skip" in last

    def test_all_are_left_out_if_asked(self, root):
        run = prepared(root, on_bad_video="skip", max_bad=60)
        assert sorted(run.bad_videos) == [f"v{i:02d}" for i in range(12)]
        assert {clip.video for clip in run.rows} == {f"v{i}" for i in range(12, 20)}

    def test_a_style_that_the_plan_does_not_show_counts_too(self, tmp_path):
        # Another seed would have stopped.
        root = touch_styles(tmp_path, {"a": 12, "b": 12}, styles="123")
        plan = prepared(root, styles="1,2").plan
        plan.write(tmp_path / "plan.csv")
        touch(root / "style_3" / "a", ["000013.jpg"])
        with pytest.raises(UserError, match=rf"a: unequal frame counts: {root}/style_3/a has 13"):
            prepared(root, styles="1,2,3", pairs=tmp_path / "plan.csv")


def test_wrapped_clips_are_said_and_the_advice_helps(tmp_path):
    root = touch_styles(tmp_path, {"a": 30, "b": 12, "c": 40})
    text = prepared(root).describe()
    (said,) = re.findall(r"wrapped: .*`n_sample_frames` (\d+) avoids that", text)
    assert said == "12"
    assert "wrapped" not in prepared(root, n_sample_frames=int(said)).describe()


def test_start_is_passed_on(tmp_path):
    root = touch_styles(tmp_path, {"a": 30, "b": 12})
    run = prepared(root, start="middle", n_sample_frames=10)
    assert {(clip.video, clip.start) for clip in run.rows} == {("a", 10), ("b", 1)}
