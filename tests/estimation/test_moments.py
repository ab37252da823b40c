"""Moments of pairs: exact on small numbers, mergeable, safe against large means."""

from dataclasses import fields

import numpy as np
import pytest

from estimation.moments import PairMoments, total_variance


def assert_same(one, other, rtol=1e-12):
    assert one.n == other.n
    for field in fields(PairMoments)[1:]:
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        scale = max(np.abs(theirs).max(), 1e-300)
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol * scale, err_msg=field.name)


def test_moments_by_hand():
    # Unit 0: a = 1, 3, 5 (mean 3), b = 2, 2, 8 (mean 4). Unit 1: constant.
    m = PairMoments.of(np.array([[1, 7], [3, 7], [5, 7]]), np.array([[2, 7], [2, 7], [8, 7]]))
    assert m.n == 3
    assert m.mean_a.tolist() == [3, 7]
    assert m.mean_b.tolist() == [4, 7]
    assert m.ss_a.tolist() == [4 + 0 + 4, 0]
    assert m.ss_b.tolist() == [4 + 4 + 16, 0]
    assert m.ss_ab.tolist() == [(-2 * -2) + 0 + (2 * 4), 0]
    assert (m.low.tolist(), m.high.tolist()) == ([1, 7], [8, 7])
    assert m.constant.tolist() == [False, True]
    assert m.mean.tolist() == [3.5, 7]
    # About 3.5: a = -2.5, -0.5, 1.5 and b = -1.5, -1.5, 4.5.
    assert m.covariance == pytest.approx([(3.75 + 0.75 + 6.75) / 3, 0])
    assert m.variance == pytest.approx([(6.25 + 0.25 + 2.25 + 2.25 + 2.25 + 20.25) / 6, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_any_numbers_become_float64(dtype, rng):
    a = rng.integers(0, 9, size=(5, 3)).astype(dtype)
    m = PairMoments.of(a, a[::-1])
    assert all(getattr(m, field.name).dtype == np.float64 for field in fields(PairMoments)[1:])


def test_one_pair_has_moments():
    m = PairMoments.of(np.array([[1.0]]), np.array([[3.0]]))
    assert (m.n, m.covariance.tolist(), m.variance.tolist()) == (1, [-1.0], [1.0])


@pytest.mark.parametrize(
    ("offset", "tolerance"), [(0, 1e-13), (1e3, 1e-12), (1e6, 1e-10), (1e8, 1e-8)]
)
def test_large_means_cost_little_accuracy(offset, tolerance, rng):
    """Against the moments before the offset; sums of squares would lose offset**2 * 1e-16."""
    a, b = rng.integers(-50, 50, size=(2, 400, 5)) / 8  # exact in float64 with these offsets
    plain, moved = PairMoments.of(a, b), PairMoments.of(a + offset, b + offset)
    np.testing.assert_allclose(moved.covariance, plain.covariance, rtol=0, atol=tolerance)
    np.testing.assert_allclose(moved.variance, plain.variance, rtol=0, atol=tolerance)
    np.testing.assert_allclose(plain.variance, np.concatenate([a, b]).var(0), rtol=1e-12)


@pytest.mark.parametrize("offset", [0, 1e6], ids="offset {:g}".format)
@pytest.mark.parametrize(
    "cuts", [[1], [39], [20], [1, 2, 3], [7, 8, 30], list(range(1, 40))], ids=str
)
def test_merging_any_split_equals_the_whole(cuts, offset, rng):
    a, b = rng.normal(size=(2, 40, 5)) + offset
    parts = [
        PairMoments.of(x, y) for x, y in zip(np.split(a, cuts), np.split(b, cuts), strict=True)
    ]
    assert_same(PairMoments.merged(parts), PairMoments.of(a, b), 1e-9 if offset else 1e-12)


def test_merging_is_associative_and_commutative(rng):
    one, two, three = (PairMoments.of(*rng.normal(size=(2, n, 4))) for n in (1, 5, 30))
    assert_same(one.merge(two).merge(three), one.merge(two.merge(three)))
    assert_same(one.merge(two), two.merge(one))


def test_merging_constants_of_two_values_is_not_constant():
    low, high = (PairMoments.of(*np.full((2, 3, 1), value)) for value in (0.1, 0.3))
    both = low.merge(high)
    assert (low.constant.tolist(), both.constant.tolist()) == ([True], [False])
    assert both.variance == pytest.approx([0.01])
    assert both.covariance == pytest.approx([0.01])  # members agree


@pytest.mark.parametrize("value", [0.0, 0.1, 0.37, 1 / 3, 5.7, 1e6 + 0.1, -0.1])
def test_constants_have_exactly_no_variance_however_they_are_merged(value):
    parts = [PairMoments.of(*np.full((2, n, 1), value)) for n in (1, 7, 133, 400)]
    whole = PairMoments.merged(parts)
    assert whole.constant.all()
    assert whole.variance.tolist() == whole.covariance.tolist() == [0.0]
    assert total_variance(parts) == 0.0


def test_total_variance_is_that_of_all_clips(rng):
    pairs = [rng.normal(size=(2, n, 6)) * scale for n, scale in ((5, 1), (40, 3), (2, 0.1))]
    everything = np.concatenate([member for pair in pairs for member in pair])
    moments = [PairMoments.of(*pair) for pair in pairs]
    assert total_variance(moments) == pytest.approx(everything.var(0).sum(), rel=1e-12)
    assert total_variance(moments[::-1]) == pytest.approx(total_variance(moments), rel=1e-12)


def test_total_variance_between_factors_alone():
    zero, two = (PairMoments.of(*np.full((2, 4, 1), value)) for value in (0.0, 2.0))
    assert total_variance([zero, two]) == 1.0


def test_total_variance_takes_any_iterable():
    one = PairMoments.of(np.array([[0.0], [2.0]]), np.array([[0.0], [2.0]]))
    assert total_variance(part for part in (one, one)) == 1.0
