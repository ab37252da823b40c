"""The estimator: values by hand, limits and refusals."""

import math

import numpy as np
import pytest

from estimation.estimator import require_finite, softmax
from tests.helpers import assert_close
from tests.helpers_estimation import estimate_pairs
from utils import DataError


def estimate(*factors, ids=None, **rules):
    """The estimate of pairs of several factors: (a, b) of each, N values of one unit or N rows.

    ids: of the factors; 0, 1, ... by default.
    """
    ids = range(len(factors)) if ids is None else ids
    a, b = (
        np.concatenate([np.array(x, dtype=float).reshape(len(x), -1) for x in members])
        for members in zip(*factors, strict=True)
    )
    return estimate_pairs(a, b, np.repeat(ids, [len(x) for x, _ in factors]), **rules)


def test_scores_by_hand():
    # Dynamic: a = b = 0, 2, so covariance 1, variance 1. Static: a = 0, 2 and b = 2, 0: -1, 1.
    # All eight values: 0 and 2 four times each, variance 1.
    result = estimate(([0, 2], [0, 2]), ([0, 2], [2, 0]))
    assert result.factors == ("dynamic", "static", "residual")
    assert result.scores.tolist() == [1.0, -1.0, 1.0]
    assert result.unit_scores.tolist() == [[1.0], [-1.0], [1.0]]
    assert result.total_variance == 1.0
    assert result.n_pairs == (2, 2, 0)
    e, total = math.e, 2 * math.e + 1 / math.e
    assert result.shares == pytest.approx([e / total, 1 / e / total, e / total])
    assert result.dims == (0, 0, 1)
    assert result.dims_percent == (0.0, 0.0, 100.0)


def test_layer_and_unit_scores_have_different_normalisers():
    # Dynamic: +-1, static: +-3, members identical. Covariances 1 and 9; the total variance is
    # that of 4 values +-1 and 4 values +-3: (4 * 1 + 4 * 9) / 8 = 5.
    result = estimate(([-1, 1], [-1, 1]), ([-3, 3], [-3, 3]))
    assert result.scores.tolist() == [1 / 5, 9 / 5, 1.0]  # a score above 1 is possible
    assert result.unit_scores[:2].tolist() == [[1.0], [1.0]]


def test_a_shift_between_members_lowers_the_score():
    # a = 0, 2 and b = 10, 12 about the common mean 6: covariance (-6 * 4 + -4 * 6) / 2 = -24,
    # variance of 0, 2, 10, 12 = 26; Pearson's r is 1.
    result = estimate(([0, 2], [10, 12]), ([0, 2], [0, 2]))
    assert result.unit_scores[0] == pytest.approx([-24 / 26])


def test_a_gain_between_members_lowers_the_score():
    # a = -1, 1 and b = -3, 3: covariance 3, variance (1 + 9) / 2 = 5; Pearson's r is 1.
    result = estimate(([-1, 1], [-3, 3]), ([0, 2], [0, 2]))
    assert result.unit_scores[0] == pytest.approx([3 / 5])


def test_layer_score_sums_units_before_it_divides():
    # Unit 0 varies by +-10 and is shared, unit 1 varies by +-1 and is opposed.
    a, b = [[-10, -1], [10, 1]], [[-10, 1], [10, -1]]
    result = estimate((a, b), (a, a))
    assert result.scores[0] == pytest.approx((100 - 1) / 101)
    assert result.unit_scores[0].tolist() == [1.0, -1.0]


def test_dims_are_truncated_and_the_last_factor_takes_the_remainder():
    # Three scores of 1: shares of a third of 32 units, 10.67 each.
    a = np.arange(64.0).reshape(2, 32) % 7 + np.arange(2)[:, None]
    result = estimate((a, a), (a, a))
    assert result.scores == pytest.approx([1, 1, 1])
    assert result.dims == (10, 10, 12)
    assert result.dims_percent == (31.2, 31.2, 37.5)  # round(31.25, 1) is 31.2 in Python


def test_remainder_goes_to_the_last_factor_even_if_another_is_the_residual():
    # Four shares of a quarter of 34 units, 8.5 each.
    a = np.arange(68.0).reshape(2, 34) % 7 + np.arange(2)[:, None]
    result = estimate(*[(a, a)] * 3, ids=(0, 1, 3), n_factors=4, residual_index=2)
    assert result.factors == ("dynamic", "static", "residual", "same")
    assert result.dims == (8, 8, 8, 10)
    assert result.n_pairs == (2, 2, 0, 2)


def test_residual_pairs_enter_the_total_variance_alone():
    result = estimate(([0, 2], [0, 2]), ([0, 2], [2, 0]), ([0, 8, 4], [4, 0, 8]))
    values = np.array([0, 2] * 4 + [0, 8, 4] * 2)
    assert result.total_variance == pytest.approx(values.var())
    assert result.scores == pytest.approx([1 / values.var(), -1 / values.var(), 1])
    assert result.n_pairs == (2, 2, 3)


@pytest.mark.parametrize(
    ("n_factors", "residual_index", "names"),
    [
        (2, -1, ("dynamic", "static")),
        (3, -1, ("dynamic", "static", "different")),
        (4, -1, ("dynamic", "static", "different", "same")),
        (4, 3, ("dynamic", "static", "different", "residual")),
    ],
)
def test_other_numbers_of_factors(n_factors, residual_index, names):
    a = np.array([[0.0, 1.0], [2.0, 5.0]])
    ids = [k for k in range(n_factors) if k != residual_index]
    result = estimate(
        *[(a, a)] * len(ids), ids=ids, n_factors=n_factors, residual_index=residual_index
    )
    assert result.factors == names
    assert result.scores == pytest.approx([1] * n_factors)
    assert result.shares == pytest.approx([1 / n_factors] * n_factors)
    assert sum(result.dims) == result.n_units == 2


def test_softmax_of_large_scores():
    assert softmax(np.array([1000.0, 1000.0, -1000.0])).tolist() == [0.5, 0.5, 0.0]


# ---- Limits.


def test_single_unit_and_two_pairs_are_enough():
    result = estimate(([1, 2], [1, 3]), ([1, 2], [2, 2]))
    assert np.isfinite(result.scores).all()
    assert result.dims == (0, 0, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 5.7, 1e6 + 0.1])
def test_constant_unit_has_no_unit_score_and_adds_nothing(value, rng):
    a, b = rng.normal(size=(2, 800, 3))
    factor = np.arange(800) % 2
    a[:, 1] = b[:, 1] = value
    result = estimate_pairs(a, b, factor)
    without = estimate_pairs(a[:, ::2], b[:, ::2], factor)
    assert np.isnan(result.unit_scores[:2, 1]).all()
    assert np.isfinite(result.unit_scores[:, ::2]).all()
    assert_close(result.scores, without.scores, 1e-14)
    assert_close(result.total_variance, without.total_variance, 1e-14)


def test_unit_that_is_constant_within_one_factor_has_no_score_there_alone():
    result = estimate(([3, 3], [3, 3]), ([0, 2], [0, 2]))
    assert np.isnan(result.unit_scores[0, 0])
    assert result.unit_scores[1, 0] == 1.0
    assert result.scores[0] == 0.0


def test_units_that_vary_between_factors_alone_have_layer_scores_of_zero():
    result = estimate(([0, 0], [0, 0]), ([2, 2], [2, 2]))
    assert result.scores.tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(result.unit_scores[:2]).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_all_constant_is_refused(value):
    same = np.full((7, 4), value)
    with pytest.raises(DataError, match="every unit is constant"):
        estimate((same, same), (same, same))


# ---- Refusals.

GOOD = ([0, 2], [0, 2])


def test_missing_factor_is_refused():
    with pytest.raises(DataError, match=r"factor 1 \(static\) has 0 pairs.*`n_factors`"):
        estimate(GOOD)


def test_missing_fourth_factor_is_refused():
    with pytest.raises(DataError, match=r"factor 3 \(same\) has 0 pairs"):
        estimate(GOOD, GOOD, GOOD, n_factors=4, residual_index=2)


def test_single_pair_is_refused():
    with pytest.raises(DataError, match=r"factor 0 \(dynamic\) has 1 pairs, at least 2"):
        estimate(([0], [2]), GOOD)


def test_single_residual_pair_is_no_reason_to_refuse():
    assert estimate(GOOD, GOOD, ([0], [2])).n_pairs == (2, 2, 1)


@pytest.mark.parametrize("factor", [3, -1, 17])
def test_factor_out_of_range_is_refused(factor):
    with pytest.raises(DataError, match=rf"factor {factor} is out of range: expected 0\.\.2"):
        estimate(GOOD, GOOD, GOOD, ids=(0, 1, factor))


@pytest.mark.parametrize("scale", [1e155, 1e200, 1e308], ids="{:g}".format)
def test_variance_that_overflows_is_refused(scale, rng):
    a, b = rng.uniform(-1, 1, size=(2, 20, 3)) * scale
    shown = {"video": np.arange(20) // 4, "style_a": np.arange(20) % 4, "style_b": np.ones(20)}
    for known in ({}, shown):
        with pytest.raises(DataError, match="the features are too large"):
            estimate_pairs(a, b, np.arange(20) % 2, **known)


@pytest.mark.parametrize("scale", [1e-100, 1e100], ids="{:g}".format)
def test_values_far_from_one_are_no_reason_to_refuse(scale, rng):
    a, b = rng.normal(size=(2, 20, 3))
    plain, scaled = (estimate_pairs(x * a, x * b, np.arange(20) % 2) for x in (1, scale))
    assert_close(scaled.scores, plain.scores, 1e-14)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_values_that_are_not_finite_are_named(value):
    features = np.zeros((3, 4), dtype=np.float32)
    features[1, 2] = features[2, 0] = value
    with pytest.raises(DataError) as caught:
        require_finite(features, "layer3,app", ["video 1", "video 7, style 2", "video 9"])
    words = ["stage layer3,app", "unit 2", "video 7, style 2", str(value), "2 of 12"]
    assert [word for word in words if word not in str(caught.value)] == []


def test_finite_values_pass():
    require_finite(np.full((2, 2), 3e38, dtype=np.float32), "5", ["a", "b"])
