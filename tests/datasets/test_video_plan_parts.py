"""Different pairs beside the scored ones, and crossed plans, of action recognition."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import combinations, permutations

import pytest

from common.factors import DIFFERENT, DYNAMIC, SAME, STATIC
from datasets.pair_plan import Pair, PlanRules, distinct_clips
from datasets.video_plan import Clip, sample_pairs
from datasets.videos import Video
from tests.datasets.helpers import toy, video_set
from utils import UserError


def rules(**options) -> PlanRules:
    return PlanRules(**{"seed": 3, "parts": True, **options})


def crossed(**options) -> PlanRules:
    return rules(pairing="crossed", **options)


def of(pairs: list[Pair], *factors: int) -> list[Pair]:
    return [pair for pair in pairs if pair.factor in factors]


class TestScoredPairs:
    """They are the same, in the same order, with different pairs and without."""

    @pytest.mark.parametrize("seed", [0, 1, 7])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"n_examples": 1},
            {"n_examples": 37},
            {"factors": (DYNAMIC, STATIC, SAME), "n_examples": 20},
            {"pairing": "exhaustive"},
            {"pairing": "crossed"},
            {"pairing": "crossed", "n_examples": 72},
            {"pairing": "sampled"},
            {"factors": (DYNAMIC, STATIC, DIFFERENT)},
        ],
        ids=str,
    )
    def test_are_those_without_parts(self, seed, options):
        given = {"factors": (DYNAMIC, STATIC), **options, "seed": seed}
        with_parts, without = (sample_pairs(toy(), rules(**given, parts=p)) for p in (True, False))
        assert of(with_parts, *given["factors"]) == without
        adds = given.get("pairing") != "sampled" and DIFFERENT not in given["factors"]
        assert (len(with_parts) > len(without)) is (adds and options != {"n_examples": 1})

    @pytest.mark.parametrize(
        "options", [{"same_video": False}, {"shuffle_static": False}, {"pairing": "sampled"}]
    )
    def test_are_alone_where_different_pairs_do_not_go_with_them(self, options):
        pairs = sample_pairs(toy(6, labels="xxyyzz"), rules(**options, n_examples=20))
        assert len(of(pairs, DYNAMIC, STATIC)) == len(pairs) == 20


class TestAnchored:
    def test_golden_plan(self):
        # The scored pairs as recorded once, with what follows from them.
        first, second = Clip("c", "2", 12), Clip("a", "2", 24)
        assert sample_pairs(toy(3), rules(seed=1, n_examples=4)) == [
            Pair(DYNAMIC, first, Clip("c", "3", 12)),
            Pair(STATIC, first, Clip("c", "2", 12, 925312022)),
            Pair(DIFFERENT, first, Clip("c", "3", 12, 925312022)),
            Pair(DYNAMIC, second, Clip("a", "1", 24)),
            Pair(STATIC, second, Clip("a", "2", 24, 142105611)),
            Pair(DIFFERENT, second, Clip("a", "1", 24, 142105611)),
        ]

    def test_four_clips_a_draw_in_place_of_three(self):
        assert len(distinct_clips(sample_pairs(toy(), rules()))) == 4 * 5
        assert len(distinct_clips(sample_pairs(toy(), rules(parts=False)))) == 3 * 5

    @pytest.mark.parametrize(
        ("n", "factors"),
        [
            (1, [0]),
            (2, [0, 1, 2]),
            (3, [0, 1, 2, 0]),
            (4, [0, 1, 2, 0, 1, 2]),
        ],
    )
    def test_scored_pairs_alone_are_counted_and_a_cut_draw_has_no_different_pair(self, n, factors):
        pairs = sample_pairs(toy(), rules(n_examples=n))
        assert [pair.factor for pair in pairs] == factors

    def test_it_stands_after_all_other_pairs_of_its_draw(self):
        found = sample_pairs(toy(), rules(factors=(DYNAMIC, STATIC, SAME), n_examples=5))
        assert [pair.factor for pair in found] == [0, 1, 3, 2, 0, 1]

    def test_default_is_still_3000_scored_pairs(self):
        many = video_set([Video(f"v{i}", f"v{i}", 0, 90) for i in range(1600)])
        counts = Counter(pair.factor for pair in sample_pairs(many, rules()))
        assert counts == {DYNAMIC: 1500, STATIC: 1500, DIFFERENT: 1500}


@pytest.mark.parametrize("pairing", ["crossed", "exhaustive"])
@pytest.mark.parametrize("styles", ["12", "1234"])
class TestAllStyles:
    """What crossed and exhaustive plans have in common."""

    def test_every_pair_of_styles_every_shuffle_and_every_different_pair(self, pairing, styles):
        pairs = sample_pairs(toy(3, styles=styles), rules(pairing=pairing))
        for name in "abc":
            own = [pair for pair in pairs if pair.a.video == pair.b.video == name]
            natural = {(p.a.style, p.b.style) for p in own if not p.a.shuffle and not p.b.shuffle}
            assert natural == set(combinations(styles, 2))
            assert [p.a.style for p in of(own, STATIC)] == list(styles)
            assert all(dataclasses.replace(p.b, shuffle=0) == p.a for p in of(own, STATIC))
            ordered = [(p.a.style, p.b.style) for p in of(own, DIFFERENT)]
            assert ordered == list(permutations(styles, 2))
            factors = [pair.factor for pair in own]
            assert factors == sorted(factors)
        assert {pair.a.video for pair in pairs} == set("abc")

    def test_different_pairs_take_no_clip_of_their_own(self, pairing, styles):
        pairs = sample_pairs(toy(3, styles=styles), rules(pairing=pairing))
        clips = distinct_clips(pairs)
        assert set(clips) == set(distinct_clips(of(pairs, DYNAMIC, STATIC)))
        assert len(clips) == 3 * 2 * len(styles)
        assert all(p.a.shuffle == 0 < p.b.shuffle for p in of(pairs, DIFFERENT))


class TestCrossed:
    def test_small_plan(self):
        pairs = sample_pairs(toy(1, styles="12"), crossed(seed=1))
        start, shuffles = pairs[0].a.start, [pair.b.shuffle for pair in pairs[1:3]]
        one, two = (Clip("a", style, start) for style in "12")
        mixed_one, mixed_two = (
            Clip("a", style, start, shuffle) for style, shuffle in zip("12", shuffles, strict=True)
        )
        assert 0 not in shuffles
        assert shuffles[0] != shuffles[1]
        assert pairs == [
            Pair(DYNAMIC, one, two),
            Pair(STATIC, one, mixed_one),
            Pair(STATIC, two, mixed_two),
            Pair(DIFFERENT, one, mixed_two),
            Pair(DIFFERENT, two, mixed_one),
        ]

    def test_golden_draws(self):
        # Recorded once: a plan must not change with a version of this code or of NumPy.
        pairs = sample_pairs(toy(3), crossed(seed=1, n_examples=24))
        drawn = [(p.a.video, p.a.start, p.b.shuffle) for p in of(pairs, STATIC)]
        assert drawn == [
            ("c", 17, 962964188),
            ("c", 17, 2015218773),
            ("c", 17, 925312022),
            ("a", 16, 1979141858),
            ("a", 16, 797318295),
            ("a", 16, 142105611),
            ("b", 20, 1866073204),
            ("b", 20, 1933099520),
            ("b", 20, 928642958),
            ("b", 26, 1439828220),
            ("b", 26, 1873285757),
            ("b", 26, 238402117),
        ]

    def test_all_styles_of_a_draw_have_one_window_and_shuffles_of_their_own(self):
        pairs = sample_pairs(toy(), crossed(n_examples=6 * 12))
        draws = [pairs[i : i + 12] for i in range(0, len(pairs), 12)]
        assert len(draws) == 12
        for draw in draws:
            clips = distinct_clips(draw)
            assert len({(clip.video, clip.start) for clip in clips}) == 1
            assert len(clips) == 2 * 3
            assert len({clip.shuffle for clip in clips}) == 1 + 3
        assert len({pair.b.shuffle for pair in of(pairs, STATIC)}) == 3 * 12

    def test_videos_are_those_of_anchored_draws_pass_after_pass(self):
        anchored = sample_pairs(toy(), rules(n_examples=24))[::3]
        assert [pair.factor for pair in anchored] == [DYNAMIC] * 12
        draws = sample_pairs(toy(), crossed(n_examples=72))[::12]
        assert [pair.a.video for pair in draws] == [pair.a.video for pair in anchored]

    @pytest.mark.parametrize("parts", [True, False])
    def test_n_examples_counts_dynamic_and_static_pairs(self, parts):
        pairs = sample_pairs(toy(), crossed(n_examples=18, parts=parts))
        counts = {DYNAMIC: 9, STATIC: 9, **({DIFFERENT: 18} if parts else {})}
        assert Counter(pair.factor for pair in pairs) == counts

    @pytest.mark.parametrize(
        ("n", "styles", "near"),
        [
            pytest.param(8, "123", "6 or 12", id="between two"),
            pytest.param(5, "123", "6", id="less than a draw"),
            pytest.param(1001, "1234", "1000 or 1010", id="four styles"),
            pytest.param(1, "12", "3", id="two styles"),
        ],
    )
    def test_draws_stay_whole(self, n, styles, near):
        words = rf"^`n_examples` {n}: `pairing` crossed gives .* give {near}$"
        with pytest.raises(UserError, match=words):
            sample_pairs(toy(styles=styles), crossed(n_examples=n))

    @pytest.mark.parametrize(
        ("videos", "styles", "draws"),
        [
            pytest.param(4, 3, 4, id="one pass"),
            pytest.param(700, 3, 500, id="3000 pairs: 500 draws of 6"),
            pytest.param(700, 4, 300, id="3000 pairs: 300 draws of 10"),
            pytest.param(2, 80, 1, id="3240 pairs a draw: one draw"),
        ],
    )
    def test_default_is_one_pass_of_3000_pairs_at_most_and_one_draw_at_least(
        self, videos, styles, draws
    ):
        names = [str(style) for style in range(styles)]
        data = video_set([Video(f"v{i}", f"v{i}", 0, 90) for i in range(videos)], names)
        pairs = sample_pairs(data, crossed(parts=False))
        assert len(pairs) == draws * (styles * (styles - 1) // 2 + styles)
        assert len({pair.a.video for pair in pairs}) == draws

    def test_a_shorter_plan_is_the_beginning_of_a_longer_one(self):
        long = sample_pairs(toy(), crossed(n_examples=60))
        assert sample_pairs(toy(), crossed(n_examples=24)) == long[: 4 * 12]

    def test_same_seed_same_plan_other_seed_other_plan(self):
        one, again, other = (sample_pairs(toy(), crossed(seed=seed)) for seed in (3, 3, 4))
        assert one == again
        assert one != other

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"factors": (0, 1, 2)}, "`pairing` crossed scores .* ask for different ones: leave"),
            ({"factors": (0, 1, 2, 3)}, "ask for different and same ones"),
            ({"same_video": False}, "^`m_same` False: .*give `m_same` True, or"),
            ({"shuffle_static": False}, "^`app_shuffle` False: .*give `app_shuffle` True, or"),
            ({"unstylized_static": True}, "^`use_normal_app` True: .*give `use_normal_app` False"),
        ],
        ids=["different", "same", "m_same", "app_shuffle", "use_normal_app"],
    )
    def test_what_does_not_go_with_it_is_refused(self, options, words):
        with pytest.raises(UserError, match=words):
            sample_pairs(toy(labels="xxyyy"), crossed(**options))

    def test_one_style_is_too_few(self):
        with pytest.raises(UserError, match="needs two styles"):
            sample_pairs(toy(styles="1"), crossed())
