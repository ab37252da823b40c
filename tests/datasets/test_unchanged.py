"""Shuffles that change nothing: counted, and refused where there are no others."""

from __future__ import annotations

import pytest

from common.factors import DYNAMIC, STATIC
from datasets.geometry import ClipGeometry, ClipOptions
from datasets.pair_plan import Pair, PairPlan, PlanRules
from datasets.stylized_videos import StylizedVideos
from datasets.taken_frames import permutation
from datasets.video_plan import Clip, plan_row
from datasets.videos import Video
from tests.datasets.helpers import toy, video_set
from utils import UserError

ONE = ClipGeometry((("video", 1),), 8, window=8)
TWO = ClipGeometry((("video", 2),), 8, window=16)
EIGHT = ClipGeometry((("video", 8),), 8)
SLOW_FAST = ClipGeometry((("slow", 1), ("fast", 8)), 8)
# Seeds of permutations of two frames.
KEEPS = next(seed for seed in range(1, 99) if permutation(seed, 0, 2).tolist() == [0, 1])
SWAPS = next(seed for seed in range(1, 99) if permutation(seed, 0, 2).tolist() == [1, 0])


def given(*shuffles: int, start: int = 0) -> PairPlan:
    """A plan of static pairs, read from a file."""
    pairs = [Pair(STATIC, Clip("a", "1", start), Clip("a", "1", start, s)) for s in shuffles]
    return PairPlan(tuple(map(plan_row, pairs)), given=True)


def test_one_frame_has_no_order():
    data = StylizedVideos(toy())
    plan = data.sample(PlanRules(1, window=8))
    words = (
        r"5 of 5 shuffled clips show .* order: give a larger `clip_frames`, .*`app_shuffle` False$"
    )
    with pytest.raises(UserError, match=words):
        data.require_usable(plan, ONE)
    assert data.notes(plan, ONE)[0].startswith("unchanged: 5 of 5 shuffled clips show their frames")


def test_permutations_that_keep_the_order_are_counted():
    data = StylizedVideos(toy())
    plan = given(KEEPS, SWAPS, SWAPS)
    data.require_usable(plan, TWO)
    (note,) = data.notes(plan, TWO)
    assert note.startswith("unchanged: 1 of 3 shuffled clips show their frames in the order of ")
    assert note.endswith("; give other `pairs`")
    assert data.notes(given(SWAPS), TWO) == []
    with pytest.raises(UserError, match="1 of 1 shuffled clips show"):
        data.require_usable(given(KEEPS), TWO)


def test_a_window_at_the_end_of_its_video_shows_one_frame_again_and_again():
    data = StylizedVideos(video_set([Video("a", "a", 0, 20)]))
    with pytest.raises(UserError, match=r"3 of 3 shuffled clips .*; give other `pairs`$"):
        data.require_usable(given(5, 6, 7, start=19), EIGHT)
    data.require_usable(given(5, 6, 7, start=0), EIGHT)


def test_a_window_that_goes_round_a_short_video_may_show_one_frame_too():
    # Frames 0, 9, 18, ... of nine that are shown in turn.
    data = StylizedVideos(video_set([Video("a", "a", 0, 9)]))
    plan = data.sample(PlanRules(1))
    with pytest.raises(UserError, match=r"repeat frames: give `n_sample_frames` 9$"):
        data.require_usable(plan, EIGHT)
    data.require_usable(plan, EIGHT.changed(ClipOptions(window=9)))


def test_advice_for_a_plan_that_is_sampled():
    data = StylizedVideos(toy(1))
    plans = (data.sample(PlanRules(seed, window=16)) for seed in range(20))
    kept = [plan for plan in plans if data.notes(plan, TWO)]
    assert 0 < len(kept) < 20
    words = "`clip_frames` if the network takes it, or another `random_seed`"
    with pytest.raises(UserError, match=words):
        data.require_usable(kept[0], TWO)


def test_every_input_counts():
    data = StylizedVideos(toy())
    data.require_usable(given(5, 6), SLOW_FAST)
    assert data.notes(given(5, 6), SLOW_FAST) == []


def test_other_pairs_do_not_count():
    data = StylizedVideos(toy())
    clips = Clip("a", "1", 0), Clip("a", "2", 0)
    other = Clip("b", "1", 0)
    pairs = [Pair(DYNAMIC, *clips), Pair(STATIC, clips[0], other)]
    plan = PairPlan(tuple(map(plan_row, pairs)))
    data.require_usable(plan, ONE)
    assert data.notes(plan, ONE) == []
    data.require_usable(PairPlan(()), ONE)
