"""Pair plans, whatever their clips are: pairs, distinct clips, digest, and what is left of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from common.factors import DIFFERENT, DYNAMIC, FACTORS, SAME, STATIC
from datasets.pair_plan import (
    Pair,
    PairPlan,
    PlanRow,
    PlanRules,
    distinct_clips,
    plan_rows,
    require_factors,
)
from datasets.video_plan import Clip, plan_row
from utils import DataError

A1, A2, A1_SHUFFLED = Clip("a", "1", 0), Clip("a", "2", 0), Clip("a", "1", 0, 5)
B1, B2 = Clip("b", "1", 3), Clip("b", "2", 3)
PAIRS = [Pair(DYNAMIC, A1, A2), Pair(DYNAMIC, B2, B1), Pair(STATIC, A1, A1_SHUFFLED)]


def plan(pairs: list[Pair], **options) -> PairPlan:
    return PairPlan(tuple(map(plan_row, pairs)), **options)


class TestPlan:
    def test_pairs_of_all_rows_in_their_order(self):
        assert plan(PAIRS).pairs == PAIRS
        rows = (PlanRow({}, tuple(PAIRS[:2])), PlanRow({}, ()), PlanRow({}, tuple(PAIRS[2:])))
        assert PairPlan(rows).pairs == PAIRS

    def test_every_clip_once_and_those_of_one_source_together(self):
        # The shuffle comes last among the pairs, but is read with its anchor.
        assert plan(PAIRS).clips == [A1, A1_SHUFFLED, A2, B2, B1]
        assert distinct_clips([]) == []

    def test_digest_is_that_of_the_pairs_in_words(self):
        text = (
            "0 a (style 1, start 0) a (style 2, start 0)\n"
            "0 b (style 2, start 3) b (style 1, start 3)\n"
            "1 a (style 1, start 0) a (style 1, start 0, shuffle 5)"
        )
        assert plan(PAIRS).digest == hashlib.sha256(text.encode()).hexdigest()

    def test_digest_follows_order_factor_and_clips_but_not_the_file(self):
        digests = {
            plan(pairs).digest
            for pairs in (PAIRS, PAIRS[::-1], PAIRS[:2], [*PAIRS[:2], Pair(SAME, A1, A1_SHUFFLED)])
        }
        assert len(digests) == 4
        whole = PairPlan((PlanRow({"other": 1}, tuple(PAIRS)),), numbered="visit", given=True)
        assert whole.digest == plan(PAIRS).digest

    def test_without_videos_drops_every_row_that_shows_one_on_either_side(self):
        both = Pair(STATIC, A1, B1)
        for video, kept in (("a", [PAIRS[1]]), ("b", [PAIRS[0], PAIRS[2]]), ("c", [*PAIRS, both])):
            left = plan([*PAIRS, both], numbered="visit", given=True).without({video: "reason"})
            assert left.pairs == kept
            assert (left.numbered, left.given) == ("visit", True)
        assert plan(PAIRS).without(["a", "b"]).pairs == []

    def test_without_a_factor_drops_its_rows(self):
        left = plan(PAIRS, numbered="visit", given=True).without_factor(DYNAMIC)
        assert (left.pairs, left.numbered, left.given) == (PAIRS[2:], "visit", True)
        assert plan(PAIRS).without_factor(DIFFERENT).pairs == PAIRS

    def test_count_is_that_of_rows_with_a_pair_of_the_factors(self):
        whole = PairPlan((PlanRow({}, tuple(PAIRS)), PlanRow({}, (PAIRS[2],)), PlanRow({}, ())))
        found = [whole.count(factors) for factors in ((DYNAMIC,), (DYNAMIC, STATIC), (DIFFERENT,))]
        assert found == [1, 2, 0]

    def test_file_has_the_cells_of_every_row_and_its_number(self, tmp_path):
        rows = tuple(PlanRow({"factor": "dynamic", "note": n}, ()) for n in ("x", "y, z"))
        PairPlan(rows, numbered="visit").write(tmp_path / "plan.csv")
        text = (tmp_path / "plan.csv").read_text()
        assert text == 'visit,factor,note\n0,dynamic,x\n1,dynamic,"y, z"\n'

    def test_rows_that_are_left_are_numbered_anew(self, tmp_path):
        plan(PAIRS).without({"b"}).write(tmp_path / "plan.csv")
        lines = (tmp_path / "plan.csv").read_text().splitlines()
        assert lines[1:] == ["0,dynamic,a,1,0,0,a,2,0,0", "1,static,a,1,0,0,a,1,0,5"]


def pairs_of(counts: Mapping[int, int]) -> list[Pair]:
    return [Pair(factor, A1, A2) for factor, n in counts.items() for _ in range(n)]


class TestRequireFactors:
    @pytest.mark.parametrize(
        ("counts", "estimated", "words"),
        [
            ({DYNAMIC: 2, STATIC: 1}, (0, 1), "'static': 1, at least 2"),
            ({STATIC: 5}, (0, 1), "'dynamic': 0"),
            ({DYNAMIC: 2, STATIC: 2}, (0, 1, 2), "'different': 0"),
            ({DYNAMIC: 2, STATIC: 2, DIFFERENT: 2}, (0, 1, 3), "'same': 0"),
        ],
        ids=["one static", "no dynamic", "no residual", "residual in the middle"],
    )
    def test_too_few_pairs_of_a_factor(self, counts, estimated, words):
        with pytest.raises(DataError, match=rf"factor {words}.* needed; give more$"):
            require_factors(pairs_of(counts), FACTORS, estimated, "give more")

    def test_the_residual_needs_none(self):
        require_factors(pairs_of({DYNAMIC: 2, STATIC: 2}), FACTORS, (0, 1), "give more")

    @pytest.mark.parametrize("factor", [DIFFERENT, SAME])
    def test_pairs_of_a_factor_that_is_not_estimated_are_refused(self, factor):
        # Such a plan comes from a run with 4 factors, and is read back for 3.
        pairs = pairs_of({DYNAMIC: 2, STATIC: 2, factor: 2})
        with pytest.raises(DataError, match=rf"factors {FACTORS[factor]}, .*`n_factors` 4"):
            require_factors(pairs, FACTORS, (0, 1), "give more")

    @pytest.mark.parametrize("n", [0, 1, 5])
    def test_pairs_for_parts_are_neither_refused_nor_needed(self, n):
        pairs = pairs_of({DYNAMIC: 2, STATIC: 2, DIFFERENT: n})
        require_factors(pairs, FACTORS, (0, 1), "give more", (DIFFERENT,))
        more = [*pairs, *pairs_of({SAME: 1})]
        with pytest.raises(DataError, match="factors same, which"):
            require_factors(more, FACTORS, (0, 1), "give more", (DIFFERENT,))


class TestForParts:
    """Which factors have pairs that are not scored."""

    @pytest.mark.parametrize("factors", [(0, 1), (0, 1, 3)])
    @pytest.mark.parametrize("pairing", ["anchored", "crossed", "exhaustive"])
    def test_different_ones_if_they_are_asked_for(self, factors, pairing):
        assert PlanRules(1, factors, pairing, parts=True).for_parts == (DIFFERENT,)
        assert PlanRules(1, factors, pairing).for_parts == ()

    @pytest.mark.parametrize(
        "options",
        [
            {"pairing": "sampled"},
            {"factors": (0, 1, 2)},
            {"factors": (0, 1, 2, 3)},
            {"factors": (1, 3)},
            {"same_video": False},
            {"shuffle_static": False},
            {"unstylized_static": True},
        ],
        ids=str,
    )
    def test_none_where_they_do_not_go_with_the_others(self, options):
        assert PlanRules(**{"seed": 1, "parts": True, **options}).for_parts == ()


def test_rows_of_a_file_with_their_lines(tmp_path: Path):
    path = tmp_path / "plan.csv"
    path.write_text('b,a,more\n1,2,\n\n"3\n",4,x\n')
    assert plan_rows(path, ("a", "b")) == [
        (2, {"b": "1", "a": "2", "more": ""}),
        (5, {"b": "3\n", "a": "4", "more": "x"}),
    ]
    with pytest.raises(DataError, match=r"^/.*: expected a header with a, c .* found b, a, more"):
        plan_rows(path, ("c", "a"))
