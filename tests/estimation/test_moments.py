"""Sums and moments of pairs: exact on small numbers, safe against large means, addable."""

from dataclasses import fields
from functools import reduce

import numpy as np
import pytest

from estimation import sums
from estimation.design import Design
from estimation.moments import Totals, total_variance
from estimation.sums import Features, Selection
from tests.helpers import peak_memory
from tests.helpers_estimation import estimate_pairs
from tests.helpers_inference import anchored, features


def totals_of(a, b):
    """The sums over pairs (a, b) [N, C] of one factor, and the reference that they are about."""
    n = len(a)
    design = Design.of(np.arange(n), n + np.arange(n), np.zeros(n))
    source = Features.of(np.concatenate([a, b]).__getitem__, design)
    totals = Totals(None, a.shape[1])
    for videos, (by_factor,) in source.sums(design, [Selection.of(design)], extremes=True):
        totals.add(videos, by_factor[0])
    return totals, source.reference


def moments_of(a, b):
    return totals_of(a, b)[0].moments()


def test_moments_by_hand():
    # Unit 0: a = 1, 3, 5 and b = 2, 2, 8, common mean 3.5. Unit 1: constant.
    totals, reference = totals_of(
        np.array([[1, 7], [3, 7], [5, 7]]), np.array([[2, 7], [2, 7], [8, 7]])
    )
    m = totals.moments()
    assert m.n.tolist() == [[3]]
    assert (m.mean + reference).tolist() == [[3.5, 7]]
    assert totals.constant.tolist() == [False, True]
    assert (totals.sums.low.tolist(), totals.sums.high.tolist()) == ([1, 7], [8, 7])
    # About 3.5: a = -2.5, -0.5, 1.5 and b = -1.5, -1.5, 4.5.
    assert m.covariance[0] == pytest.approx([(3.75 + 0.75 + 6.75) / 3, 0])
    assert m.variance[0] == pytest.approx([(6.25 + 0.25 + 2.25 + 2.25 + 2.25 + 20.25) / 6, 0])
    assert np.isnan(m.chance).all()  # nothing is known of videos


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint8])
def test_any_numbers_become_float64(dtype, rng):
    a = rng.integers(0, 9, size=(5, 3)).astype(dtype)
    m = moments_of(a, a[::-1])
    assert all(getattr(m, field.name).dtype == np.float64 for field in fields(m))
    assert m.variance[0] == pytest.approx(a.astype(float).var(0))


def test_one_pair_has_moments():
    m = moments_of(np.array([[1.0]]), np.array([[3.0]]))
    assert (m.n.item(), m.covariance.tolist(), m.variance.tolist()) == (1, [[-1.0]], [[1.0]])


@pytest.mark.parametrize(
    ("offset", "tolerance"),
    [(0, 1e-13), (1e3, 1e-12), (1e4, 1e-12), (1e6, 1e-10), (1e8, 1e-8)],
)
def test_large_means_cost_little_accuracy(offset, tolerance, rng):
    """Against the moments before the offset; sums of squares would lose offset**2 * 1e-16."""
    a, b = rng.integers(-50, 50, size=(2, 400, 5)) / 8  # exact in float64 with these offsets
    plain, moved = moments_of(a, b), moments_of(a + offset, b + offset)
    np.testing.assert_allclose(moved.covariance, plain.covariance, rtol=0, atol=tolerance)
    np.testing.assert_allclose(moved.variance, plain.variance, rtol=0, atol=tolerance)
    np.testing.assert_allclose(plain.variance[0], np.concatenate([a, b]).var(0), rtol=1e-12)


def test_large_means_that_differ_between_factors_cost_little_accuracy(rng):
    a, b = rng.integers(-50, 50, size=(2, 800, 5)) / 8
    factor = np.repeat([0, 1], 400)
    plain, moved = (
        estimate_pairs(*(x + offset * factor[:, None] for x in (a, b)), factor).unit_scores
        for offset in (0, 1e4)
    )
    np.testing.assert_allclose(moved, plain, rtol=0, atol=1e-6)


# ---- Sums in chunks.


def parts_of(pairs, most, monkeypatch):
    """The sums over the pairs of one video, in chunks of so many rows."""
    monkeypatch.setattr(sums, "_CHUNK", most * pairs.x.shape[1])
    design = Design.shown(pairs.a, pairs.b, pairs.factor, pairs.video, pairs.style_a, pairs.style_b)
    source = Features.of(pairs.x.__getitem__, design)
    step = max(1, most // 2)
    selection = [Selection.of(design)]
    cuts = range(0, len(design.a), step)
    blocks = [design.where(slice(i, i + step)) for i in cuts]
    return [source._block(block, slice(0, 1), selection, True)[0] for block in blocks]


def assert_same_sums(one, other):
    for factor, own in one.items():
        for field in fields(own):
            mine, theirs = (getattr(x, field.name) for x in (own, other[factor]))
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-10, err_msg=field.name)


def added(one, other):
    return {factor: one[factor] + other[factor] for factor in one}


def test_sums_of_any_split_add_up_in_any_order(rng, monkeypatch):
    pairs = features(rng, [(f, 0, *rng.integers(0, 3, 2)) for f in range(3) for _ in range(9)])
    (whole,) = parts_of(pairs, 100, monkeypatch)
    for most in (2, 5, 14, 30):
        parts = parts_of(pairs, most, monkeypatch)
        assert len(parts) > 1
        assert_same_sums(reduce(added, parts), whole)
        assert_same_sums(reduce(added, parts[::-1]), whole)
    one, two, three, *_ = parts_of(pairs, 14, monkeypatch)
    assert_same_sums(added(added(one, two), three), added(one, added(two, three)))
    assert_same_sums(added(one, two), added(two, one))


@pytest.mark.parametrize("offset", [0, 1e6], ids="offset {:g}".format)
@pytest.mark.parametrize("most", [2, 3, 14, 40, 79], ids="{} rows".format)
def test_moments_of_any_split_equal_the_whole(most, offset, rng, monkeypatch):
    a, b = rng.normal(size=(2, 40, 5)) + offset
    whole = moments_of(a, b)
    monkeypatch.setattr(sums, "_CHUNK", 5 * most)
    split = moments_of(a, b)
    for field in fields(whole):
        mine, theirs = (getattr(x, field.name) for x in (split, whole))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12, err_msg=field.name)


def test_constants_of_two_values_are_not_constant(monkeypatch):
    monkeypatch.setattr(sums, "_CHUNK", 2)  # a pair at a time
    low, high = (np.full((3, 1), value) for value in (0.1, 0.3))
    both = np.concatenate([low, high])
    assert totals_of(low, low)[0].constant.tolist() == [True]
    totals, _ = totals_of(both, both)
    assert totals.constant.tolist() == [False]
    assert totals.moments().variance[0] == pytest.approx([0.01])
    assert totals.moments().covariance[0] == pytest.approx([0.01])  # members agree


@pytest.mark.parametrize("rows", [2, 14, 266, 10_000], ids="{} rows".format)
@pytest.mark.parametrize("value", [0.0, 0.1, 0.37, 1 / 3, 5.7, 1e6 + 0.1, -0.1])
def test_constants_have_exactly_no_variance_however_they_are_read(value, rows, monkeypatch):
    monkeypatch.setattr(sums, "_CHUNK", rows)
    same = np.full((541, 1), value)
    totals, _ = totals_of(same, same)
    moments = totals.moments()
    assert totals.constant.all()
    assert moments.variance.tolist() == moments.covariance.tolist() == [[0.0]]
    assert total_variance([moments, moments], totals.constant) == 0.0


def test_memory_does_not_grow_with_the_number_of_videos(rng, monkeypatch):
    monkeypatch.setattr(sums, "_CHUNK", 1 << 12)
    few, many = (features(rng, anchored(rng, n, 3), n_units=64) for n in (30, 200))
    few.estimate()  # imports, once
    assert peak_memory(many.estimate) < 1.5 * peak_memory(few.estimate)


# ---- The variance of all clips.


def test_total_variance_is_that_of_all_clips(rng):
    pairs = [rng.normal(size=(2, n, 6)) * scale for n, scale in ((5, 1), (40, 3), (2, 0.1))]
    a, b = (np.concatenate(members) for members in zip(*pairs, strict=True))
    found = estimate_pairs(a, b, np.repeat([0, 1, 2], [5, 40, 2]))
    assert found.total_variance == pytest.approx(np.concatenate([a, b]).var(0).sum(), rel=1e-12)


def test_total_variance_between_factors_alone():
    x = np.repeat([[0.0], [2.0]], 4, axis=0)
    found = estimate_pairs(x, x, np.repeat([0, 1], 4))
    assert found.total_variance == 1.0
    assert found.scores.tolist() == [0.0, 0.0, 1.0]


def test_total_variance_takes_any_iterable():
    same = np.array([[0.0], [2.0]])
    totals, _ = totals_of(same, same)
    parts = (totals.moments() for _ in range(2))
    assert total_variance(parts, totals.constant) == [1.0]
