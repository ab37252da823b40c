"""The pair plan of action recognition: what is sampled, and from what alone."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from common.factors import DIFFERENT, DYNAMIC, SAME, STATIC
from datasets.pair_plan import Pair, PlanRules, distinct_clips
from datasets.video_plan import Clip, sample_pairs
from datasets.videos import UNSTYLIZED, Video
from tests.datasets.helpers import toy, video_set
from utils import UserError


def rules(**options) -> PlanRules:
    return PlanRules(**{"seed": 3, **options})


class TestAnchored:
    def test_each_draw_gives_a_dynamic_and_a_static_pair_of_one_anchor(self):
        pairs = sample_pairs(toy(), rules())
        assert len(pairs) == 10
        for dynamic, static in zip(pairs[::2], pairs[1::2], strict=True):
            assert (dynamic.factor, static.factor) == (DYNAMIC, STATIC)
            assert dynamic.a == static.a
            assert dynamic.a.shuffle == 0

    def test_dynamic_pair_is_the_same_frames_in_two_styles(self):
        for pair in sample_pairs(toy(), rules(n_examples=200))[::2]:
            assert (pair.b.video, pair.b.start) == (pair.a.video, pair.a.start)
            assert pair.b.style != pair.a.style
            assert pair.b.shuffle == 0

    def test_static_pair_is_a_clip_and_its_shuffle(self):
        shuffles = []
        for pair in sample_pairs(toy(), rules(n_examples=200))[1::2]:
            assert dataclasses.replace(pair.b, shuffle=0) == pair.a
            shuffles.append(pair.b.shuffle)
        assert min(shuffles) > 0
        assert len(set(shuffles)) == len(shuffles)

    def test_one_pass_shows_every_video_once(self):
        anchors = [pair.a.video for pair in sample_pairs(toy(20), rules())[::2]]
        assert sorted(anchors) == list(toy(20).videos)
        assert anchors != list(toy(20).videos)

    def test_later_passes_show_every_video_again_in_another_order(self):
        pairs = sample_pairs(toy(20), rules(n_examples=120))[::2]
        passes = [[pair.a.video for pair in pairs[i : i + 20]] for i in (0, 20, 40)]
        assert [sorted(videos) for videos in passes] == [list(toy(20).videos)] * 3
        assert len(set(map(tuple, passes))) == 3

    def test_every_style_and_every_pair_of_styles_occurs(self):
        pairs = sample_pairs(toy(), rules(n_examples=600))
        counts = Counter((p.a.style, p.b.style) for p in pairs if p.factor == DYNAMIC)
        assert len(counts) == 6
        # 300 draws over 6 ordered pairs: 50 each, with a standard deviation of 6.5.
        assert all(25 < n < 75 for n in counts.values())


class TestSize:
    def test_default_is_one_pass_but_3000_pairs_at_most(self):
        many = video_set([Video(f"v{i}", f"v{i}", 0, 90) for i in range(1600)])
        assert len(sample_pairs(many, rules())) == 3000
        assert len(sample_pairs(many, rules(pairing="sampled"))) == 1600
        assert len(sample_pairs(toy(7), rules())) == 14
        assert len(sample_pairs(toy(7), rules(factors=(0, 1, 2, 3)))) == 28

    @pytest.mark.parametrize("pairing", ["anchored", "sampled"])
    @pytest.mark.parametrize("n", [1, 7, 10, 31])
    def test_n_examples_is_met_exactly(self, pairing, n):
        assert len(sample_pairs(toy(), rules(pairing=pairing, n_examples=n))) == n


class TestDeterminism:
    @pytest.mark.parametrize("pairing", ["anchored", "sampled", "exhaustive"])
    def test_same_seed_same_plan_other_seed_other_plan(self, pairing):
        first, again, other = (
            sample_pairs(toy(), rules(seed=seed, pairing=pairing)) for seed in (3, 3, 4)
        )
        assert first == again
        assert first != other

    @pytest.mark.parametrize("pairing", ["anchored", "sampled"])
    def test_a_shorter_plan_is_the_beginning_of_a_longer_one(self, pairing):
        long = sample_pairs(toy(), rules(pairing=pairing, n_examples=60))
        for n in (1, 9, 10, 33):
            assert sample_pairs(toy(), rules(pairing=pairing, n_examples=n)) == long[:n]

    def test_golden_plan(self):
        # Recorded once: a plan must not change with a version of this code or of NumPy.
        first, second = Clip("c", "2", 12), Clip("a", "2", 24)
        assert sample_pairs(toy(3), rules(seed=1, n_examples=4)) == [
            Pair(DYNAMIC, first, Clip("c", "3", 12)),
            Pair(STATIC, first, Clip("c", "2", 12, 925312022)),
            Pair(DYNAMIC, second, Clip("a", "1", 24)),
            Pair(STATIC, second, Clip("a", "2", 24, 142105611)),
        ]

    def test_global_random_states_neither_matter_nor_change(self):
        plans, states = [], []
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            before = random.getstate(), np.random.get_state()[1].tolist()
            plans.append(sample_pairs(toy(), rules()))
            states.append(before == (random.getstate(), np.random.get_state()[1].tolist()))
        assert plans[0] == plans[1]
        assert states == [True, True]


class TestSampled:
    def test_one_random_factor_per_draw(self):
        pairs = sample_pairs(toy(20), rules(pairing="sampled"))
        assert sorted(pair.a.video for pair in pairs) == list(toy(20).videos)
        counts = Counter(
            p.factor for p in sample_pairs(toy(), rules(pairing="sampled", n_examples=400))
        )
        # A fair coin thrown 400 times: 200 with a standard deviation of 10.
        assert set(counts) == {DYNAMIC, STATIC}
        assert abs(counts[DYNAMIC] - 200) < 50

    def test_pairs_are_as_when_anchored(self):
        for pair in sample_pairs(toy(), rules(pairing="sampled", n_examples=100)):
            assert (pair.a.video, pair.a.start) == (pair.b.video, pair.b.start)
            assert (pair.a.style == pair.b.style) == (pair.factor == STATIC)
            assert (pair.b.shuffle == 0) == (pair.factor == DYNAMIC)


class TestExhaustive:
    @pytest.mark.parametrize("n_videos", [1, 4])
    @pytest.mark.parametrize("styles", ["12", "123", "1234"])
    def test_every_pair_of_styles_and_every_shuffle(self, n_videos, styles):
        pairs = sample_pairs(toy(n_videos, styles=styles), rules(pairing="exhaustive"))
        dynamic = [p for p in pairs if p.factor == DYNAMIC]
        static = [p for p in pairs if p.factor == STATIC]
        s = len(styles)
        assert len(dynamic) == n_videos * s * (s - 1) / 2
        assert len(static) == n_videos * s
        assert len(pairs) == len(dynamic) + len(static)
        unordered = {(p.a.video, frozenset((p.a.style, p.b.style))) for p in dynamic}
        names = toy(n_videos).videos
        assert unordered == {(v, frozenset(two)) for v in names for two in combinations(styles, 2)}
        assert {(p.a.video, p.a.style) for p in static} == {(v, k) for v in names for k in styles}
        assert all(dataclasses.replace(p.b, shuffle=0) == p.a != p.b for p in static)

    def test_a_video_is_shown_in_one_window(self):
        pairs = sample_pairs(toy(), rules(pairing="exhaustive"))
        windows = {(clip.video, clip.start) for p in pairs for clip in (p.a, p.b)}
        assert len(windows) == 5
        assert len({start for _, start in windows}) > 1

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"n_examples": 10}, "leave out `n_examples`"),
            ({"factors": (0, 1, 2)}, "`pairing` exhaustive scores .* ask for different ones"),
            ({"same_video": False}, "`m_same` True"),
        ],
        ids=["n_examples", "four factors", "m_same"],
    )
    def test_what_does_not_go_with_it_is_refused(self, options, words):
        with pytest.raises(UserError, match=words):
            sample_pairs(toy(labels="xxyyy"), rules(pairing="exhaustive", **options))


class TestStart:
    def starts(self, video: Video, window: int = 64, **options) -> set[int]:
        videos = video_set([video], **options)
        pairs = sample_pairs(videos, rules(n_examples=1200, window=window))
        return {clip.start for pair in pairs for clip in (pair.a, pair.b)}

    @pytest.mark.parametrize(
        ("length", "in_the_study", "plain"),
        [
            pytest.param(100, 36, 36, id="longer than the window: up to 100 - 64"),
            pytest.param(65, 1, 1, id="one longer: up to 65 - 64"),
            pytest.param(64, 56, 0, id="as long as the window: up to 64 - 8"),
            pytest.param(40, 32, 0, id="shorter: up to 40 - 8"),
            pytest.param(9, 1, 0, id="nine frames: up to 9 - 8"),
            pytest.param(8, 0, 0, id="eight frames: 0 alone"),
        ],
    )
    def test_every_start_that_the_rule_admits_occurs(self, length, in_the_study, plain):
        video = Video("a", "a", 0, length)
        assert self.starts(video, shortest_window=8) == set(range(in_the_study + 1))
        assert self.starts(video) == set(range(plain + 1))

    def test_segment_offsets_the_starts(self):
        assert self.starts(Video("a", "a", 30, 42), window=10) == {30, 31, 32}

    def test_activitynet_starts_at_the_segment(self):
        assert self.starts(Video("a", "a", 17, 99), start="first") == {17}


class TestOtherRules:
    def test_m_same_false_is_two_videos_of_one_class(self):
        videos = toy(6, labels="xxyyyy")
        pairs = [
            p for p in sample_pairs(videos, rules(same_video=False, n_examples=200)) if not p.factor
        ]
        assert len(pairs) == 100
        for pair in pairs:
            assert pair.a.video != pair.b.video
            assert videos.videos[pair.a.video].label == videos.videos[pair.b.video].label
            assert pair.a.style != pair.b.style
        # The study removed a drawn video from its class for good; here all partners stay.
        assert {p.b.video for p in pairs if p.a.video in "cdef"} == set("cdef")

    def test_app_shuffle_false_is_two_videos_of_two_classes(self):
        videos = toy(6, labels="xxyyzz")
        pairs = sample_pairs(videos, rules(shuffle_static=False, n_examples=200))[1::2]
        for pair in pairs:
            assert videos.videos[pair.a.video].label != videos.videos[pair.b.video].label
            assert pair.a.style == pair.b.style
            assert pair.b.shuffle == 0
        assert {p.b.video for p in pairs if p.a.video in "ab"} == set("cdef")

    def test_app_shuffle_false_without_classes_is_any_two_videos(self):
        pairs = sample_pairs(toy(3), rules(shuffle_static=False, n_examples=60))[1::2]
        assert all(p.a.video != p.b.video and p.a.style == p.b.style for p in pairs)

    def test_use_normal_app_shows_static_pairs_unstylized(self):
        videos = toy()
        videos.style_folders[UNSTYLIZED] = Path("original")
        pairs = sample_pairs(videos, rules(unstylized_static=True, n_examples=40))
        for dynamic, static in zip(pairs[::2], pairs[1::2], strict=True):
            assert static.a == dataclasses.replace(dynamic.a, style=UNSTYLIZED)
            assert static.b.style == UNSTYLIZED
            assert static.b.shuffle > 0
            assert UNSTYLIZED not in (dynamic.a.style, dynamic.b.style)

    def test_factor_different_is_another_style_shuffled(self):
        pairs = sample_pairs(toy(), rules(factors=(DYNAMIC, STATIC, DIFFERENT), n_examples=90))
        assert [p.factor for p in pairs] == [DYNAMIC, STATIC, DIFFERENT] * 30
        for pair in pairs[2::3]:
            assert (pair.b.video, pair.b.start) == (pair.a.video, pair.a.start)
            assert pair.b.style != pair.a.style
            assert pair.b.shuffle > 0

    def test_factor_same_is_one_clip_twice(self):
        pairs = sample_pairs(toy(), rules(factors=(DYNAMIC, STATIC, SAME), n_examples=90))
        assert all(pair.a == pair.b == pairs[3 * i].a for i, pair in enumerate(pairs[2::3]))

    @pytest.mark.parametrize(
        ("videos", "options", "words"),
        [
            pytest.param(toy(styles="1"), {}, "needs two styles, `styles` 1", id="one style"),
            pytest.param(toy(), {"same_video": False}, "needs action classes", id="no classes"),
            pytest.param(
                toy(3, labels="xxy"),
                {"same_video": False},
                "c is the only video of class 'y'",
                id="a class of one video",
            ),
            pytest.param(
                toy(1), {"shuffle_static": False}, "at least two videos", id="a single video"
            ),
            pytest.param(
                toy(3, labels="xxx"),
                {"shuffle_static": False},
                "at least two classes",
                id="a single class",
            ),
        ],
    )
    def test_rules_that_cannot_be_met_are_refused(self, videos, options, words):
        with pytest.raises(UserError, match=words):
            sample_pairs(videos, rules(**options))


def test_distinct_clips_are_each_there_once_those_of_the_same_frames_together():
    pairs = sample_pairs(toy(4), rules(n_examples=100))
    clips = distinct_clips(pairs)
    assert len(clips) == len(set(clips))
    assert set(clips) == {clip for pair in pairs for clip in (pair.a, pair.b)}
    shown = [(clip.video, clip.style, clip.start) for clip in clips]
    changes = sum(one != other for one, other in pairwise(shown))
    assert changes + 1 == len(set(shown))


def test_anchored_pairs_share_clips():
    # 5 draws: an anchor, its other style and its shuffle each.
    assert len(distinct_clips(sample_pairs(toy(), rules()))) == 15
