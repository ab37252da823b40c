"""From pairs of features to estimates."""

from __future__ import annotations

import numpy as np
import pytest

from common.factors import DIFFERENT, DYNAMIC, STATIC
from datasets.pair_plan import Pair
from datasets.video_plan import Clip
from estimation.stage import USUAL, Rules
from measure.estimates import design_of, estimate_stages
from results.store import FeatureStore
from tests.helpers import stored
from utils import DataError

# Two styles of three videos.
CLIPS = [Clip(video, style, 0) for video in "abc" for style in "12"]
ROWS = {clip: (row,) for row, clip in enumerate(CLIPS)}


def pair(factor: int, a: int, b: int) -> Pair:
    return Pair(factor, CLIPS[a], CLIPS[b])


def slow_score(a: np.ndarray, b: np.ndarray, total: float) -> float:
    """The formula of the study, unit by unit and pair by pair."""
    score = 0.0
    for u in range(a.shape[1]):
        m = (sum(a[:, u]) + sum(b[:, u])) / (2 * len(a))
        score += sum((x - m) * (y - m) for x, y in zip(a[:, u], b[:, u], strict=True)) / len(a)
    return score / total


class TestEstimateStages:
    PAIRS = (
        pair(DYNAMIC, 0, 1),
        pair(STATIC, 0, 2),
        pair(DYNAMIC, 2, 3),
        pair(STATIC, 3, 5),
        pair(DYNAMIC, 4, 5),
    )

    @pytest.fixture
    def store(self, tmp_path) -> FeatureStore:
        store = FeatureStore.create(tmp_path, ("1", "2"), [{"clip": str(c)} for c in CLIPS], {})
        rng = np.random.default_rng(0)
        values = {s: rng.normal(3, 1, (6, n)).astype(np.float32) for s, n in (("1", 7), ("2", 4))}
        store.write(range(6), values)
        return store

    def estimate(self, store, pairs, rows=ROWS, rules=USUAL, groups=None):
        return estimate_stages(store, pairs, rows, rules, groups)

    def test_equals_the_slow_formula(self, store):
        for stage, estimate in self.estimate(store, self.PAIRS).items():
            x = np.array(stored(store, stage), dtype=np.float64)
            members = {f: [p for p in self.PAIRS if p.factor == f] for f in (DYNAMIC, STATIC)}
            rows = [ROWS[clip][0] for p in self.PAIRS for clip in (p.a, p.b)]
            total = sum(np.mean((x[rows] - x[rows].mean(0)) ** 2, 0))
            for factor, own in members.items():
                a, b = (x[[ROWS[getattr(p, side)][0] for p in own]] for side in "ab")
                assert estimate.scores[factor] == pytest.approx(slow_score(a, b, total))
            assert estimate.scores[2] == 1
            assert estimate.n_pairs == (3, 2, 0)

    def test_stages_stand_in_their_order(self, store):
        assert list(self.estimate(store, self.PAIRS)) == ["1", "2"]

    def test_order_of_pairs_does_not_matter(self, store):
        one, other = (self.estimate(store, pairs)["1"] for pairs in (self.PAIRS, self.PAIRS[::-1]))
        np.testing.assert_allclose(one.unit_scores, other.unit_scores)

    @pytest.mark.parametrize(("n_factors", "residual"), [(3, 2), (2, -1)])
    def test_pairs_that_are_not_scored_enter_no_number(self, store, n_factors, residual):
        # With three factors the id of different pairs is that of the residual, with two there is
        # no such factor.
        rules = Rules(n_factors, residual)
        more = [*self.PAIRS, pair(DIFFERENT, 0, 5), pair(DIFFERENT, 1, 4), pair(DIFFERENT, 2, 4)]
        found, without = (
            estimate_stages(store, pairs, ROWS, rules) for pairs in (more, self.PAIRS)
        )
        for stage, estimate in without.items():
            for name in ("scores", "shares", "unit_scores"):
                own = getattr(found[stage], name)
                np.testing.assert_array_equal(own, getattr(estimate, name))
            for name in ("dims", "dims_percent", "n_pairs", "total_variance", "factors"):
                assert getattr(found[stage], name) == getattr(estimate, name)

    def test_scored_different_pairs_do(self, store):
        pairs = [*self.PAIRS, pair(DIFFERENT, 0, 5), pair(DIFFERENT, 1, 4)]
        found = estimate_stages(store, pairs, ROWS, Rules(4, 3))
        assert found["1"].n_pairs == (3, 2, 2, 0)
        assert found["1"].total_variance != self.estimate(store, self.PAIRS)["1"].total_variance

    def test_missing_factor_names_the_stage(self, store):
        with pytest.raises(DataError, match=r"stage 1: factor 1 \(static\) has 0 pairs"):
            self.estimate(store, [p for p in self.PAIRS if p.factor == DYNAMIC])
        with pytest.raises(DataError, match=r"stage 1: factor 0 \(dynamic\) has 0 pairs"):
            self.estimate(store, [])

    def test_rows_of_several_frames_are_paired_in_order_and_clips_are_counted(self, store):
        rows = {clip: (2 * i, 2 * i + 1) for i, clip in enumerate(CLIPS[:3])}
        pairs = [pair(DYNAMIC, 0, 1), pair(STATIC, 1, 2), pair(DYNAMIC, 2, 0), pair(STATIC, 0, 1)]
        split = {
            Clip(clip.video, clip.style, frame): (row,)
            for clip, own in rows.items()
            for frame, row in enumerate(own)
        }
        by_frame = [
            Pair(p.factor, *(Clip(c.video, c.style, frame) for c in (p.a, p.b)))
            for p in pairs
            for frame in (0, 1)
        ]
        found, expected = self.estimate(store, pairs, rows), self.estimate(store, by_frame, split)
        for stage in ("1", "2"):
            assert found[stage].scores == pytest.approx(expected[stage].scores)
            assert found[stage].n_pairs == (2, 2, 0)
            assert expected[stage].n_pairs == (4, 4, 0)

    def test_pairs_of_two_videos_have_no_inference(self, store):
        # Pairs 0-2 and 3-5 of `PAIRS` show two videos.
        assert all(e.inference is None for e in self.estimate(store, self.PAIRS).values())

    def test_pairs_of_one_video_each_have_inference(self, store):
        found = self.estimate(store, ONE_VIDEO_EACH, rules=Rules(confidence=0.8))
        for stage, n_units in (("1", 7), ("2", 4)):
            inference = found[stage].inference
            assert (inference.n_videos, inference.confidence) == (3, 0.8)
            assert inference.adjusted_units.lo.shape == (2, n_units)

    def test_videos_of_a_group_are_one(self, store):
        groups = {"a": "group x", "c": "group x", "elsewhere": "group y"}
        found = self.estimate(store, ONE_VIDEO_EACH, groups=groups)
        alone = self.estimate(store, ONE_VIDEO_EACH)
        assert found["1"].inference.n_videos == 2
        assert np.isnan(found["1"].inference.adjusted.lo).all()
        np.testing.assert_allclose(found["1"].scores, alone["1"].scores)

    def test_different_pairs_for_the_parts_alone(self, store):
        """Where videos are known they are no part of the published numbers, else left out."""
        more = [pair(DIFFERENT, 0, 1), pair(DIFFERENT, 4, 5)]
        for pairs in (list(ONE_VIDEO_EACH), list(self.PAIRS)):
            for stage, found in self.estimate(store, pairs + more).items():
                without = self.estimate(store, pairs)[stage]
                assert found.n_pairs == without.n_pairs
                assert found.scores.tolist() == without.scores.tolist()
                assert found.unit_scores[:2].tolist() == without.unit_scores[:2].tolist()

    def test_different_pairs_that_are_scored_are_kept(self, store):
        pairs = [*self.PAIRS, pair(DIFFERENT, 0, 1), pair(DIFFERENT, 4, 5)]
        found = self.estimate(store, pairs, rules=Rules(n_factors=3, residual_index=-1))
        assert found["1"].n_pairs == (3, 2, 2)


ONE_VIDEO_EACH = [
    pair(factor, 2 * video, 2 * video + (factor == DYNAMIC))
    for video in range(3)
    for factor in (DYNAMIC, STATIC)
]


def test_design_has_the_rows_and_names_of_pairs():
    rows = {clip: (2 * i, 2 * i + 1) for i, clip in enumerate(CLIPS)}
    design = design_of(ONE_VIDEO_EACH, rows, USUAL, {"c": "group a"})
    assert design.is_known
    assert (design.n_videos, design.n_styles) == (3, 2)
    assert design.a.tolist() == [0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9]
    assert design.b.tolist() == [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9]
    assert design.factor.tolist() == [0, 0, 1, 1] * 3
    assert design.video.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert design.style_a.tolist() == [0] * 12
    assert design.style_b.tolist() == [1, 1, 0, 0] * 3
