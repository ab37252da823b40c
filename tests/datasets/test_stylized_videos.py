"""A data set of videos: its plans, what is wrong with their frames, and which clips wrap."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.factors import DYNAMIC, STATIC
from datasets.dataset import DataRequest
from datasets.geometry import ClipGeometry, ClipOptions
from datasets.pair_plan import Pair, PairPlan, PlanRules
from datasets.stylized_videos import StylizedVideos, find
from datasets.taken_frames import raw_frames
from datasets.video_plan import Clip, plan_row
from datasets.videos import UNSTYLIZED, Video, VideoSet
from tests.datasets.helpers import touch, touch_styles, video_set
from utils import UserError


def toy_set() -> VideoSet:
    """Five videos, two of them not longer than a window of 64, in classes x and y."""
    counts = {"a": (90, "x"), "b": (64, "x"), "c": (40, "y"), "d": (120, "y"), "e": (9, "y")}
    videos = [Video(name, name, 0, n, label) for name, (n, label) in counts.items()]
    found = video_set(videos, shortest_window=8)
    found.style_folders[UNSTYLIZED] = Path("original")
    return found


def request(root: Path | None, **options) -> DataRequest:
    return DataRequest(**{"stylized": root, "styles": ("1", "2"), **options})


# Recorded from the code before it was made one path for both tasks: digests of plans.
GOLDEN = [
    (1, {}, "39c297b99f6c26a5"),
    (2, {}, "e4e049b5956bd9c2"),
    (1, {"factors": (0, 1, 2, 3)}, "5104f083b15ae705"),
    (1, {"pairing": "sampled", "n_examples": 40}, "29f60ba809647736"),
    (7, {"pairing": "exhaustive"}, "8c4f5c9f22ee157b"),
    (1, {"same_video": False}, "41bda14a03397192"),
    (1, {"shuffle_static": False, "n_examples": 30}, "c56337d4c7960ac5"),
    (1, {"unstylized_static": True, "window": 16}, "84497e472cea329c"),
]


class TestPlan:
    @pytest.mark.parametrize(("seed", "options", "digest"), GOLDEN)
    def test_golden_digests(self, seed, options, digest):
        plan = StylizedVideos(toy_set()).sample(PlanRules(seed, **options))
        assert plan.digest.startswith(digest)
        assert not plan.given

    def test_file_has_a_row_for_each_pair_and_is_read_back(self, tmp_path):
        data, rules = StylizedVideos(toy_set()), PlanRules(3)
        plan = data.sample(rules)
        plan.write(tmp_path / "plan.csv")
        head, first, *_ = (tmp_path / "plan.csv").read_text().splitlines()
        assert head == (
            "pair,factor,video_a,style_a,start_a,shuffle_a,video_b,style_b,start_b,shuffle_b"
        )
        a, b = plan.pairs[0].a, plan.pairs[0].b
        assert first == f"0,dynamic,{a.video},{a.style},{a.start},0,{b.video},{b.style},{b.start},0"
        again = data.read_plan(tmp_path / "plan.csv", rules)
        assert (again.pairs, again.digest, again.given) == (plan.pairs, plan.digest, True)

    def test_unstylized_videos_that_a_file_does_not_show_are_refused(self, tmp_path):
        data = StylizedVideos(toy_set())
        data.sample(PlanRules(3)).write(tmp_path / "plan.csv")
        with pytest.raises(UserError, match=r"`use_normal_app` True: .* leave it out"):
            data.read_plan(tmp_path / "plan.csv", PlanRules(3, unstylized_static=True))
        data.sample(PlanRules(3, unstylized_static=True)).write(tmp_path / "plan.csv")
        data.read_plan(tmp_path / "plan.csv", PlanRules(3, unstylized_static=True))


class TestCheck:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return touch_styles(tmp_path, {"a": 9, "b": 12, "c": 12}, styles="123")

    def plan(self, *names: str, style: str = "2") -> PairPlan:
        pairs = [Pair(DYNAMIC, Clip(n, "1", 0), Clip(n, style, 0)) for n in names]
        return PairPlan(tuple(map(plan_row, pairs)))

    def data(self, root: Path, **options) -> StylizedVideos:
        return find("plain", request(root, styles=("1", "2", "3"), **options))

    def test_sound_videos_have_no_problem_and_their_frames_are_known(self, root):
        data = self.data(root)
        assert data.check(self.plan("a", "b")) == {}
        assert data.found["a", "3"].count == 9
        assert ("c", "1") not in data.found

    def test_an_unequal_count_in_a_style_that_the_plan_does_not_show_is_noticed(self, root):
        # It used to pass, so that another seed stopped where this one had not.
        touch(root / "style_3" / "b", ["000013.jpg"])
        problems = self.data(root).check(self.plan("a", "b"))
        assert list(problems) == ["b"]
        assert f"{root / 'style_3' / 'b'} has 13" in problems["b"]
        assert self.data(root).check(self.plan("a", "c")) == {}

    def test_all_bad_videos_are_found_at_once(self, root):
        (root / "style_1" / "a" / "000004.jpg").unlink()  # seen when videos are listed
        (root / "style_2" / "b" / "000004.jpg").unlink()
        touch(root / "style_3" / "c", ["000013.jpg"])
        data = self.data(root)
        assert list(data.listed.problems) == ["a"]
        assert list(data.listed.videos) == ["b", "c"]
        assert list(data.check(self.plan("b", "c"))) == ["b", "c"]

    def test_unstylized_videos_are_looked_at_where_they_are_shown(self, root):
        touch(root / "original" / "a", (f"{i}.jpg" for i in range(8)))
        data = self.data(root, shows_unstylized=True)
        assert data.check(self.plan("a")) == {}
        problems = data.check(self.plan("a", style=UNSTYLIZED))
        assert f"{root / 'original' / 'a'} has 8" in problems["a"]


I3D = ClipGeometry((("video", 8),), 8)


def wrapped(data: StylizedVideos, plan: PairPlan, geometry: ClipGeometry) -> int:
    """How many clips show other frames than those that follow their start."""
    count = 0
    for clip in plan.clips:
        positions = data.listed.positions(clip.video, clip.start, geometry.window)
        count += any(positions[row] != clip.start + row for row in raw_frames(geometry)[0])
    return count


class TestWrapped:
    def data(self, *counts: int, **options) -> StylizedVideos:
        names = "abcdefgh"[: len(counts)]
        videos = [Video(n, n, 0, count, "x") for n, count in zip(names, counts, strict=True)]
        return StylizedVideos(video_set(videos, **options))

    def given(self, *starts: int) -> PairPlan:
        clips = [Clip(n, "1", start) for n, start in zip("abcd", starts, strict=False)]
        pairs = [Pair(STATIC, clip, Clip(clip.video, "2", clip.start)) for clip in clips]
        return PairPlan(tuple(map(plan_row, pairs)), given=True)

    def test_start_and_span_count_by_hand(self):
        # Nothing used to be said: no video is shorter than the window. 52 + 64 - 64 = 52.
        (note,) = self.data(64, 64, 64, 64).notes(self.given(25, 52, 49, 38), I3D)
        assert note.startswith(
            "wrapped: 8 of 8 clips run past the end of their video, by 52 frames at most"
        )
        # 27 + 64 - 90 = 1, and the others end with their videos at the latest.
        (note,) = self.data(64, 90, 90, 90).notes(self.given(0, 25, 26, 27), I3D)
        assert note.startswith("wrapped: 2 of 8 clips run past the end of their video, by 1 frame ")
        assert self.data(64, 90, 90, 90).notes(self.given(0, 25, 26, 26), I3D) == []

    def test_frames_behind_the_last_one_that_is_taken_do_not_count(self):
        # 8 frames, 4 apart: 29 of a window of 32.
        exact = ClipGeometry((("video", 8),), 4, 32, exact_rate=True)
        assert self.data(29).notes(self.given(0), exact) == []
        (note,) = self.data(28).notes(self.given(0), exact)
        assert "2 of 2 clips" in note
        # A window would be filled evenly; 8 frames 3 apart are 22 of the 28.
        assert note.endswith("a new run with `sampling_rate` 3 avoids that")

    @pytest.mark.parametrize("geometry", [I3D, ClipGeometry((("s", 8), ("f", 32)), 2)])
    @pytest.mark.parametrize("shortest", [8, None])
    @pytest.mark.parametrize("options", [{}, {"same_video": False}, {"shuffle_static": False}])
    def test_advice_holds(self, geometry, shortest, options):
        """Whoever follows it has no wrapped clip, whatever the seed is."""
        data = self.data(34, 44, 50, 60, 63, 64, 90, shortest_window=shortest)
        data.listed.videos["h"] = Video("h", "h", 3, 90, "y")
        data.listed.videos["i"] = Video("i", "i", 3, 99, "y")
        advised = 0
        for seed in range(40):
            rules = PlanRules(seed, window=64, n_examples=6, **options)
            plan = data.sample(rules)
            notes, n = data.notes(plan, geometry), wrapped(data, plan, geometry)
            assert bool(notes) == bool(n)
            if not notes:
                continue
            assert f"wrapped: {n} of {len(plan.clips)} clips" in notes[0]
            advised += 1
            window = int(re.search(r"`n_sample_frames` (\d+) avoids", notes[0])[1])
            other = geometry.changed(ClipOptions(window=window))
            again = data.sample(PlanRules(seed, window=window, n_examples=6, **options))
            assert data.notes(again, other) == []
            assert wrapped(data, again, other) == 0
        assert advised > 20

    def test_advice_is_the_shortest_video_or_one_less_where_a_window_may_begin_late(self):
        for shortest, expected in ((None, 40), (8, 39)):
            data = self.data(40, 50, 60, shortest_window=shortest)
            (note,) = data.notes(data.sample(PlanRules(1)), I3D)
            assert note.endswith(f"; a new run with `n_sample_frames` {expected} avoids that")

    def test_advice_for_given_pairs_is_what_their_starts_leave(self):
        (note,) = self.data(60, 60, 60).notes(self.given(0, 25, 40), I3D)
        assert "`n_sample_frames` 20 avoids that" in note

    @pytest.mark.parametrize(("count", "helps"), [(8, False), (9, True)])
    def test_no_advice_where_a_window_would_not_hold_the_frames(self, count, helps):
        data = self.data(count, 90, 90, shortest_window=8)
        (note,) = data.notes(data.sample(PlanRules(1)), I3D)
        assert ("n_sample_frames" in note) is helps
