"""The two halves of a measurement, on made-up networks, clips and features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.factors import DIFFERENT, DYNAMIC, SAME, STATIC
from datasets.clips import BadVideo, Batch
from datasets.plan import Clip, Pair
from measure import pipeline
from measure.pipeline import FrozenNetwork, fill_store
from models.network import Tap
from results.store import FeatureStore
from tests.helpers import assert_close
from utils import DataError

CLIPS = [Clip(video, style, 0) for video in "abc" for style in "12"]
ROWS = {clip: row for row, clip in enumerate(CLIPS)}


def pair(factor: int, a: int, b: int) -> Pair:
    return Pair(factor, CLIPS[a], CLIPS[b])


def new_store(folder, stages=("1", "2")) -> FeatureStore:
    return FeatureStore.create(folder, stages, [{"clip": str(clip)} for clip in CLIPS], {})


class Doubler:
    """Stands in for a network: a clip's only value v gives (v, 2v) at stage 1, (3v) at stage 2."""

    device = torch.device("cpu")

    def features(self, inputs):
        v = inputs[0].reshape(-1, 1).numpy()
        return {"1": np.concatenate([v, 2 * v], 1), "2": 3 * v}


def batch(*rows: int, scale: float = 1.0) -> Batch:
    values = torch.tensor([scale * row for row in rows]).float().view(-1, 1, 1, 1, 1)
    return Batch([CLIPS[row] for row in rows], [values])


class TestFillStore:
    def test_features_land_in_the_rows_of_their_clips(self, tmp_path):
        store = new_store(tmp_path)
        batches = iter([batch(4, 0), batch(5, 1, 2), batch(3)])
        assert fill_store(store, Doubler(), batches, ROWS, "stop") == {}
        assert store.done.all()
        assert store.features("1").tolist() == [[row, 2 * row] for row in range(6)]
        assert store.features("2").tolist() == [[3 * row] for row in range(6)]

    def test_what_is_done_is_kept_when_a_later_batch_fails(self, tmp_path):
        store = new_store(tmp_path)

        def batches():
            yield batch(0, 1)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fill_store(store, Doubler(), batches(), ROWS, "stop")
        again = FeatureStore(tmp_path, ("1", "2"), store.clips)
        assert again.done.tolist() == [True, True, False, False, False, False]
        assert again.features("2")[:2].tolist() == [[0], [3]]

    def test_bad_video_stops_with_its_path(self, tmp_path):
        items = iter([batch(0), BadVideo("b", "b/000003.png: broken"), batch(4)])
        with pytest.raises(DataError, match=r"video b: .*b/000003\.png.*`on_bad_video` skip"):
            fill_store(new_store(tmp_path), Doubler(), items, ROWS, "stop")

    def test_bad_video_is_skipped_and_reported_once(self, tmp_path):
        store = new_store(tmp_path)
        items = iter([batch(0), BadVideo("b", "first"), batch(1), BadVideo("b", "second")])
        assert fill_store(store, Doubler(), items, ROWS, "skip") == {"b": "first"}
        assert store.done.tolist() == [True, True, False, False, False, False]

    def test_nan_stops_with_stage_unit_and_clip_and_nothing_of_its_batch_is_stored(self, tmp_path):
        store = new_store(tmp_path)
        bad = batch(2, 3)
        bad.inputs[0][1] = float("nan")
        with pytest.raises(DataError, match=r"stage 1, unit 0, clip .*b \(style 2, start 0\).*nan"):
            fill_store(store, Doubler(), iter([batch(0), bad]), ROWS, "stop")
        assert store.done.tolist() == [True, False, False, False, False, False]


class TestWithoutVideos:
    PAIRS = (pair(DYNAMIC, 0, 1), pair(STATIC, 0, 2), pair(STATIC, 4, 4))

    def test_pairs_with_a_bad_video_on_either_side_go_for_all_factors(self):
        assert pipeline.without_videos(self.PAIRS, {"a": "broken"}) == [self.PAIRS[2]]
        assert pipeline.without_videos(self.PAIRS, {"b": "broken"}) == [
            self.PAIRS[0],
            self.PAIRS[2],
        ]

    def test_without_bad_videos_nothing_changes(self):
        assert pipeline.without_videos(self.PAIRS, {}) == list(self.PAIRS)


class TestRequireFactors:
    @pytest.mark.parametrize(
        ("counts", "n_factors", "residual", "words"),
        [
            ((2, 1), 3, 2, "'static': 1"),
            ((0, 5), 3, 2, "'dynamic': 0"),
            ((2, 2), 3, -1, "'different': 0"),
            ((2, 2, 2), 4, 2, "'same': 0"),
        ],
        ids=["one static", "no dynamic", "no residual", "residual in the middle"],
    )
    def test_too_few_pairs_of_a_factor(self, counts, n_factors, residual, words):
        pairs = [pair(factor, 0, 1) for factor, n in enumerate(counts) for _ in range(n)]
        with pytest.raises(DataError, match=rf"factor {words}"):
            pipeline.require_factors(pairs, n_factors, residual)

    def test_the_residual_needs_none(self):
        pairs = [pair(DYNAMIC, 0, 1), pair(STATIC, 0, 2)] * 2
        pipeline.require_factors(pairs, 3, 2)

    @pytest.mark.parametrize("factor", [DIFFERENT, SAME])
    def test_pairs_of_a_factor_that_is_not_estimated_are_refused(self, factor):
        # Such a plan comes from a run with 4 factors, and is read back for 3.
        pairs = [pair(DYNAMIC, 0, 1), pair(STATIC, 0, 2), pair(factor, 0, 3)] * 2
        with pytest.raises(DataError, match=r"different|same"):
            pipeline.require_factors(pairs, 3, 2)


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
        store = new_store(tmp_path)
        rng = np.random.default_rng(0)
        values = {s: rng.normal(3, 1, (6, n)).astype(np.float32) for s, n in (("1", 7), ("2", 4))}
        store.write(range(6), values)
        return store

    def estimate(self, store, pairs, rows=ROWS):
        return pipeline.estimate_stages(store, pairs, rows, n_factors=3, residual_index=2)

    def test_equals_the_slow_formula(self, store):
        for stage, estimate in self.estimate(store, self.PAIRS).items():
            x = np.array(store.features(stage), dtype=np.float64)
            members = {f: [p for p in self.PAIRS if p.factor == f] for f in (DYNAMIC, STATIC)}
            rows = [ROWS[clip] for p in self.PAIRS for clip in (p.a, p.b)]
            total = sum(np.mean((x[rows] - x[rows].mean(0)) ** 2, 0))
            for factor, own in members.items():
                a, b = (x[[ROWS[getattr(p, side)] for p in own]] for side in "ab")
                assert estimate.scores[factor] == pytest.approx(slow_score(a, b, total))
            assert estimate.scores[2] == 1
            assert estimate.n_pairs == (3, 2, 0)

    def test_stages_stand_in_their_order(self, store):
        assert list(self.estimate(store, self.PAIRS)) == ["1", "2"]

    def test_order_of_pairs_does_not_matter(self, store):
        one, other = (self.estimate(store, pairs)["1"] for pairs in (self.PAIRS, self.PAIRS[::-1]))
        np.testing.assert_allclose(one.unit_scores, other.unit_scores)

    def test_missing_factor_names_the_stage(self, store):
        with pytest.raises(DataError, match=r"stage 1: factor 1 \(static\) has 0 pairs"):
            self.estimate(store, [p for p in self.PAIRS if p.factor == DYNAMIC])
        with pytest.raises(DataError, match=r"stage 1: factor 0 \(dynamic\) has 0 pairs"):
            self.estimate(store, [])


class TestFrozenNetwork:
    @pytest.fixture
    def network(self) -> FrozenNetwork:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.ReLU()).eval()
        taps = {"conv": (Tap("0"),), "relu": (Tap("1"),)}
        return FrozenNetwork(module, taps, torch.device("cpu"))

    def test_every_stage_from_one_forward_pooled_to_units(self, network):
        x = torch.randn(2, 3, 5, 6, 7)
        features = network.features([x])
        conv = network.module[0](x)
        assert list(features) == ["conv", "relu"]
        assert features["conv"].dtype == np.float32
        assert_close(features["conv"], conv.mean((2, 3, 4)), 1e-5)
        assert_close(features["relu"], conv.relu().mean((2, 3, 4)), 1e-5)

    def test_inputs_are_left_as_they_are_and_no_hook_stays(self, network):
        x = torch.randn(1, 3, 2, 4, 4)
        kept = x.clone()
        network.features([x])
        assert torch.equal(x, kept)
        assert not any(module._forward_hooks for module in network.module.modules())
