"""The pair plan of segmentation: what is sampled, from what alone, and plan files."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from common.factors import DIFFERENT, DYNAMIC, FACTORS, SAME, STATIC
from datasets.davis import SequenceSet
from datasets.flow_jitter import sample_jitters
from datasets.flow_plan import (
    FlowClip,
    SequencePair,
    read_sequence_pairs,
    sample_sequence_pairs,
)
from datasets.pair_plan import PAIRINGS, Pair, PairPlan, PlanRules, distinct_clips
from tests.datasets.helpers_davis import SEQUENCES, toy
from utils import DataError, UserError


def rules(**options) -> PlanRules:
    return PlanRules(**{"seed": 3, "nreps": 2, **options})


def all_pairs(found: list[SequencePair], data: SequenceSet, two_frames: bool) -> list[Pair]:
    return [pair for own in found for pair in own.pairs(data, two_frames)]


def write(path: Path, found: list[SequencePair]) -> None:
    PairPlan(tuple(own.row(toy(), False) for own in found), numbered="visit").write(path)


def is_dynamic(pair: SequencePair) -> bool:
    return pair.style_a != pair.style_b and pair.jitter_a == pair.jitter_b == 0


def is_static(pair: SequencePair) -> bool:
    return pair.style_a == pair.style_b and pair.jitter_a == 0 < pair.jitter_b


class TestAnchored:
    def test_each_draw_gives_a_dynamic_and_a_static_pair_with_one_first_half(self):
        found = sample_sequence_pairs(toy(), rules())
        assert [p.video for p in found[::2]] == [*SEQUENCES, *SEQUENCES]
        for dynamic, static in zip(found[::2], found[1::2], strict=True):
            assert (dynamic.factor, static.factor) == (DYNAMIC, STATIC)
            assert is_dynamic(dynamic)
            assert is_static(static)
            assert (dynamic.video, dynamic.style_a, dynamic.offset) == (
                static.video,
                static.style_a,
                static.offset,
            )

    def test_every_ordered_pair_of_styles_and_every_offset_occurs(self):
        found = sample_sequence_pairs(toy(), rules(nreps=200))[::2]
        styles = Counter((p.style_a, p.style_b) for p in found)
        assert len(styles) == 6
        # 600 draws over 6: 100 each, with a standard deviation of 9.
        assert all(50 < n < 150 for n in styles.values())
        assert {p.offset for p in found} == set(range(-10, 10))

    def test_all_jitters_have_one_seed_so_that_a_frame_has_one_jitter(self):
        assert {p.jitter_b for p in sample_sequence_pairs(toy(), rules())[1::2]} == {4}
        assert {p.jitter_b for p in sample_sequence_pairs(toy(), rules(seed=0))[1::2]} == {1}

    @pytest.mark.parametrize(
        ("fourth", "changes"),
        [pytest.param(DIFFERENT, True, id="different"), pytest.param(SAME, False, id="same")],
    )
    def test_other_factors(self, fourth, changes):
        for pair in sample_sequence_pairs(toy(), rules(factors=(0, 1, fourth)))[2::3]:
            assert pair.factor == fourth
            assert (pair.style_a != pair.style_b) is changes
            assert (pair.jitter_b == 4) is changes


class TestSampled:
    def test_factors_alternate_so_that_every_sequence_has_its_share(self):
        # The study served factors by order of serving, which left some sequences with none of one.
        found = sample_sequence_pairs(toy(), rules(pairing="sampled", nreps=5))
        assert [p.video for p in found] == [*SEQUENCES] * 5
        assert all(is_dynamic(p) if p.factor == DYNAMIC else is_static(p) for p in found)
        shares = Counter((p.video, p.factor) for p in found)
        assert sorted(shares.values()) == [2, 2, 2, 3, 3, 3]
        totals = Counter(p.factor for p in found)
        assert abs(totals[DYNAMIC] - totals[STATIC]) <= 1


@pytest.mark.parametrize("pairing", ["crossed", "exhaustive"])
@pytest.mark.parametrize("styles", ["12", "1234"])
def test_every_pair_of_styles_and_every_jitter(styles, pairing):
    found = sample_sequence_pairs(toy(styles=styles), rules(pairing=pairing))
    for name in SEQUENCES:
        own = [p for p in found if p.video == name]
        dynamic = [(p.style_a, p.style_b) for p in own if p.factor == DYNAMIC and is_dynamic(p)]
        static = [p.style_a for p in own if p.factor == STATIC and is_static(p)]
        assert dynamic == list(combinations(styles, 2))
        assert static == list(styles)
        assert len(dynamic) + len(static) == len(own)


class TestParts:
    """Different pairs beside the scored ones."""

    @pytest.mark.parametrize("seed", [0, 1, 7])
    @pytest.mark.parametrize("pairing", PAIRINGS)
    @pytest.mark.parametrize("nreps", [1, 3])
    def test_scored_pairs_stay_as_they_are(self, seed, pairing, nreps):
        given = {"seed": seed, "pairing": pairing, "nreps": nreps}
        found, without = (sample_sequence_pairs(toy(), rules(**given, parts=p)) for p in (1, 0))
        assert [pair for pair in found if pair.factor != DIFFERENT] == without
        assert (len(found) > len(without)) is (pairing != "sampled")

    def test_anchored(self):
        # The scored pairs as recorded once, with what follows from them.
        found = sample_sequence_pairs(toy({"a": 3, "b": 4}), rules(seed=1, nreps=1, parts=True))
        assert found == [
            SequencePair(DYNAMIC, "a", "2", 0, "1", 0, 0),
            SequencePair(STATIC, "a", "2", 0, "2", 2, 0),
            SequencePair(DIFFERENT, "a", "2", 0, "1", 2, 0),
            SequencePair(DYNAMIC, "b", "3", 0, "1", 0, -9),
            SequencePair(STATIC, "b", "3", 0, "3", 2, -9),
            SequencePair(DIFFERENT, "b", "3", 0, "1", 2, -9),
        ]
        # Of every frame two styles, with the flow as it is and jittered.
        assert len(distinct_clips(all_pairs(found, toy({"a": 3, "b": 4}), True))) == 4 * (3 + 4)

    @pytest.mark.parametrize("pairing", ["crossed", "exhaustive"])
    def test_all_styles(self, pairing):
        data = toy({"a": 2}, styles="12")
        found = sample_sequence_pairs(data, rules(seed=4, pairing=pairing, parts=True))
        assert found == [
            SequencePair(DYNAMIC, "a", "1", 0, "2", 0, 1),
            SequencePair(STATIC, "a", "1", 0, "1", 5, 1),
            SequencePair(STATIC, "a", "2", 0, "2", 5, 1),
            SequencePair(DIFFERENT, "a", "1", 0, "2", 5, 1),
            SequencePair(DIFFERENT, "a", "2", 0, "1", 5, 1),
        ]
        assert len(distinct_clips(all_pairs(found, data, False))) == 4 * 2


class TestDeterminism:
    @pytest.mark.parametrize("pairing", PAIRINGS)
    def test_same_seed_same_plan_other_seed_other_plan(self, pairing):
        first, again, other = (
            sample_sequence_pairs(toy(), rules(seed=seed, pairing=pairing)) for seed in (3, 3, 4)
        )
        assert first == again
        assert first != other

    def test_fewer_passes_are_the_beginning_of_more(self):
        many, few = (sample_sequence_pairs(toy(), rules(nreps=n)) for n in (5, 2))
        assert many[:12] == few

    def test_golden_plan(self):
        # Recorded once: a plan must not change with a version of this code or of NumPy.
        assert sample_sequence_pairs(toy({"a": 3, "b": 4}), rules(seed=1, nreps=1)) == [
            SequencePair(DYNAMIC, "a", "2", 0, "1", 0, 0),
            SequencePair(STATIC, "a", "2", 0, "2", 2, 0),
            SequencePair(DYNAMIC, "b", "3", 0, "1", 0, -9),
            SequencePair(STATIC, "b", "3", 0, "3", 2, -9),
        ]

    def test_global_random_states_neither_matter_nor_change(self):
        plans = []
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            before = random.getstate(), np.random.get_state()[1].tolist()
            plans.append(sample_sequence_pairs(toy(), rules()))
            assert before == (random.getstate(), np.random.get_state()[1].tolist())
        assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("styles", "options", "words"),
    [
        ("1", {}, "needs two styles, `styles` gives 1 for toy: 1"),
        ("", {}, "gives 0 for toy: none"),
        (
            "123",
            {"pairing": "exhaustive", "factors": (0, 1, 2)},
            "exhaustive scores .* for different",
        ),
        ("123", {"pairing": "crossed", "factors": (0, 1, 3)}, "crossed scores .* ask for same"),
    ],
)
def test_rules_that_cannot_be_met_are_refused(styles, options, words):
    with pytest.raises(UserError, match=words):
        sample_sequence_pairs(toy(styles=styles), rules(**options))


class TestPairs:
    DYNAMIC_PAIR = SequencePair(DYNAMIC, "a", "1", 0, "2", 0, 2)
    STATIC_PAIR = SequencePair(STATIC, "a", "1", 0, "1", 4, -4)

    def test_one_pair_for_every_frame(self):
        f = ("00000", "00001", "00002")
        assert all_pairs([self.DYNAMIC_PAIR, self.STATIC_PAIR], toy({"a": 3}), False) == [
            *(Pair(DYNAMIC, FlowClip("a", k, "1"), FlowClip("a", k, "2")) for k in f),
            *(Pair(STATIC, FlowClip("a", k, "1"), FlowClip("a", k, "1", 4)) for k in f),
        ]

    def test_second_frame_is_the_offset_away_round_the_end(self):
        pairs = all_pairs([self.DYNAMIC_PAIR, self.STATIC_PAIR], toy({"a": 3}), True)
        shown = [(int(p.a.frame), int(p.a.other)) for p in pairs]
        # Of three frames: 2 further, and 4 back, which is 2 further as well.
        assert shown == [(0, 2), (1, 0), (2, 1)] * 2
        assert all(p.a.source == p.b.source for p in pairs)

    def test_offset_of_none_is_the_same_frame_twice(self):
        pair = dataclasses.replace(self.DYNAMIC_PAIR, offset=0)
        assert [p.a.other for p in all_pairs([pair], toy({"a": 2}), True)] == ["00000", "00001"]

    @pytest.mark.parametrize("two_frames", [False, True])
    def test_distinct_clips_are_each_there_once_those_of_the_same_frames_together(self, two_frames):
        data = toy()
        pairs = all_pairs(sample_sequence_pairs(data, rules(nreps=30)), data, two_frames)
        clips = distinct_clips(pairs)
        assert len(clips) == len(set(clips))
        assert set(clips) == {clip for pair in pairs for clip in (pair.a, pair.b)}
        sources = [clip.source for clip in clips]
        changes = sum(a != b for a, b in pairwise(sources))
        assert changes + 1 == len(set(sources))
        if not two_frames:  # three styles, each with its jitter, of every frame
            assert len(clips) == 6 * sum(SEQUENCES.values())


class TestFiles:
    @pytest.fixture
    def rows(self, tmp_path) -> list[str]:
        write(tmp_path / "plan.csv", sample_sequence_pairs(toy(), rules()))
        return (tmp_path / "plan.csv").read_text().splitlines()

    @pytest.mark.parametrize("pairing", PAIRINGS)
    @pytest.mark.parametrize("parts", [True, False])
    def test_round_trip(self, tmp_path, pairing, parts):
        found = sample_sequence_pairs(toy(), rules(pairing=pairing, parts=parts))
        write(tmp_path / "plan.csv", found)
        assert read_sequence_pairs(tmp_path / "plan.csv", toy()) == found

    def test_a_person_can_read_and_write_it(self, tmp_path, rows):
        assert rows[0] == "visit,factor,video,style_a,jitter_a,style_b,jitter_b,offset"
        assert rows[1].startswith("0,dynamic,bear,")
        (tmp_path / "mine.csv").write_text(
            "video,factor,style_a,jitter_a,style_b,jitter_b,offset,note\n"
            "cows,static,2,0,2,77,0,by hand\n"
            "bear,dynamic,1,0,3,0,-3,\n"
        )
        assert read_sequence_pairs(tmp_path / "mine.csv", toy()) == [
            SequencePair(STATIC, "cows", "2", 0, "2", 77, 0),
            SequencePair(DYNAMIC, "bear", "1", 0, "3", 0, -3),
        ]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("0,motion,bear,1,0,2,0,1", "factor 'motion' is none of dynamic, static"),
            ("0,dynamic,zebra,1,0,2,0,1", "'zebra' is not among the 3 sequences"),
            ("0,dynamic,bear,1,0,9,0,1", "style '9' is not among 1, 2, 3"),
            ("0,static,bear,1,0,1,x,1", "jitter_b 'x' must be an integer"),
            ("0,static,bear,1,0,1,2.5,1", "jitter_b '2.5' must be an integer"),
            ("0,static,bear,1,0,1,-4,1", "a jitter is negative"),
            ("0,dynamic,bear,1,0,1,4,1", "factor 'dynamic', but .* make the pair 'static'"),
            ("0,static,bear,1,0,2,0,1", "factor 'static', but .* make the pair 'dynamic'"),
            ("0,static,bear,1,0,2,4,1", f"factor 'static', but .* '{FACTORS[DIFFERENT]}'"),
            ("0,dynamic,bear,1,4,1,4,1", f"factor 'dynamic', but .* '{FACTORS[SAME]}'"),
            ("0,static,bear,1,0", "5 cells, expected 8 as in the header"),
            ("0,static,bear,1,0,1,4", "7 cells, expected 8 as in the header"),
            ("0,static,bear,1,0,1,4,1,1", "9 cells, expected 8 as in the header"),
            (
                f"0,static,bear,1,0,1,{9 * 10**4000},1",
                r"jitter_b '90+\.\.\. must",
            ),
            (
                f"0,static,bear,1,0,1,4,{'9' * 5000}",
                r"offset '9+\.\.\. must be an integer",
            ),
        ],
        ids=[
            "factor",
            "video",
            "style",
            "text",
            "fraction",
            "negative",
            "not dynamic",
            "not static",
            "nor both",
            "nor none",
            "cut off",
            "no offset",
            "too long",
            "huge",
            "more digits than Python reads",
        ],
    )
    def test_unusable_row_is_refused_with_its_line(self, tmp_path, rows, row, words):
        path = tmp_path / "bad.csv"
        path.write_text("\n".join([*rows[:4], row, *rows[4:]]))
        with pytest.raises(DataError, match=rf"bad\.csv, line 5: .*{words}"):
            read_sequence_pairs(path, toy())

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "found no row"),
            (b"visit,factor,video,style_a,jitter_a,style_b,jitter_b,offset\n", "found no row"),
            (b"factor,video\ndynamic,bear\n", r"a header with .*offset.* found factor, video"),
            (b"\xff\xfe\x00", "cannot be read"),
        ],
        ids=["empty", "header alone", "another table", "no text"],
    )
    def test_file_that_is_no_plan_is_refused(self, tmp_path, content, words):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(DataError, match=rf"bad\.csv.*{words}"):
            read_sequence_pairs(tmp_path / "bad.csv", toy())

    def test_a_column_that_is_there_twice_is_refused(self, tmp_path, rows):
        (tmp_path / "bad.csv").write_text(f"{rows[0]},offset\n{rows[1]},3\n")
        with pytest.raises(DataError, match=r"bad\.csv, line 1: the column 'offset' .*more than"):
            read_sequence_pairs(tmp_path / "bad.csv", toy())

    def test_seeds_of_many_digits_are_used(self, tmp_path):
        pairs = [SequencePair(STATIC, "bear", "1", 0, "1", 10**26, -(10**26))]
        write(tmp_path / "plan.csv", pairs)
        assert read_sequence_pairs(tmp_path / "plan.csv", toy()) == pairs
        assert len(all_pairs(pairs, toy(), True)) == SEQUENCES["bear"]
        assert len(sample_jitters(10**26, "bear", "00000", 2)) == 2

    def test_missing_file_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"^/.*none\.csv does not exist"):
            read_sequence_pairs(tmp_path / "none.csv", toy())
