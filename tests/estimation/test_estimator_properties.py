"""What must not change the estimate, and what must change it in a known way."""

import numpy as np
import pytest

from estimation.estimator import CLASSES, joint_encoding
from tests.helpers_estimation import estimate_pairs, random_pairs


@pytest.fixture(params=[1, 2, 3], ids="seed {}".format)
def pairs(request):
    return random_pairs(np.random.default_rng(request.param), 60, 8)


def assert_same(one, other, atol=1e-12):
    np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=atol)
    np.testing.assert_allclose(one.unit_scores, other.unit_scores, rtol=0, atol=atol)
    assert one.dims == other.dims


def test_swapping_the_members_changes_nothing(pairs, rng):
    a, b, factor = pairs
    whole = estimate_pairs(a, b, factor)
    assert_same(estimate_pairs(b, a, factor), whole)
    swap = rng.random(len(a)) < 0.5  # of some pairs only
    mixed = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    assert_same(estimate_pairs(*mixed, factor), whole)


def test_order_of_pairs_changes_nothing(pairs, rng):
    a, b, factor = pairs
    order = rng.permutation(len(a))
    assert_same(estimate_pairs(a[order], b[order], factor[order]), estimate_pairs(a, b, factor))


def test_order_of_units_changes_the_order_of_their_scores_alone(pairs, rng):
    a, b, factor = pairs
    order = rng.permutation(a.shape[1])
    whole, permuted = estimate_pairs(a, b, factor), estimate_pairs(a[:, order], b[:, order], factor)
    np.testing.assert_allclose(
        permuted.unit_scores, whole.unit_scores[:, order], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(permuted.scores, whole.scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, -1e6, 1e8], ids="shift {:g}".format)
def test_shift_of_a_unit_changes_nothing(pairs, shift):
    a, b, factor = pairs
    shifts = np.linspace(-1, 1, a.shape[1]) * shift
    moved = estimate_pairs(a + shifts, b + shifts, factor)
    # float64 itself keeps about 1e-8 of a unit-variance feature on a mean of 1e8.
    assert_same(moved, estimate_pairs(a, b, factor), max(1e-12, 1e-15 * abs(shift)))


@pytest.mark.parametrize("scale", [1e-6, 0.5, 1e6], ids="scale {:g}".format)
def test_common_scale_changes_nothing(pairs, scale):
    a, b, factor = pairs
    assert_same(estimate_pairs(scale * a, scale * b, factor), estimate_pairs(a, b, factor), 1e-10)


def test_scale_or_sign_of_single_units_changes_no_unit_score_but_the_weights_of_units(pairs):
    a, b, factor = pairs
    scales = np.array([1e-3, -1, 2, -5, 10, 0.1, 1e3, -1e2])
    whole, scaled = estimate_pairs(a, b, factor), estimate_pairs(a * scales, b * scales, factor)
    np.testing.assert_allclose(scaled.unit_scores, whole.unit_scores, rtol=0, atol=1e-10)
    heavy = estimate_pairs(a[:, 6:7], b[:, 6:7], factor)  # 1e3 outweighs all others
    np.testing.assert_allclose(scaled.scores, heavy.scores, rtol=0, atol=0.05)
    assert np.abs(scaled.scores - whole.scores).max() > 0.01


def test_repeating_all_pairs_changes_nothing(pairs):
    twice = [np.concatenate([x, x]) for x in pairs]
    assert_same(estimate_pairs(*twice), estimate_pairs(*pairs))


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e6])
def test_identical_members_have_unit_scores_of_one_and_no_more(pairs, offset):
    a, _, factor = pairs
    unit_scores = estimate_pairs(a + offset, a + offset, factor).unit_scores
    np.testing.assert_allclose(unit_scores, 1, rtol=0, atol=1e-12)
    assert unit_scores.max() == 1.0


def test_identical_members_in_equal_factors_have_a_layer_score_of_one(pairs):
    a, _, _ = pairs
    result = estimate_pairs(np.concatenate([a, a]), np.concatenate([a, a]), np.repeat([0, 1], 60))
    np.testing.assert_allclose(result.scores, 1, rtol=0, atol=1e-12)


def test_opposed_members_have_unit_scores_of_minus_one(pairs):
    a, _, factor = pairs
    for k in (0, 1):
        a[factor == k] -= a[factor == k].mean(0)
    result = estimate_pairs(a, -a, factor)
    np.testing.assert_allclose(result.unit_scores[:2], -1, rtol=0, atol=1e-12)


def test_independent_members_have_scores_near_zero(rng):
    a, b = rng.normal(size=(2, 20000, 4))
    result = estimate_pairs(a, b, np.arange(20000) % 2)
    assert np.abs(result.scores[:2]).max() < 0.02
    assert np.abs(result.unit_scores[:2]).max() < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_unit_scores_stay_within_minus_one_and_one(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(6, 50)) * 10.0 ** rng.integers(-3, 4, 50)
    b = a * rng.choice([1, -1, 1 + 1e-15, 0], 50) + rng.choice([0, 1e-12, 5], 50)
    unit_scores = estimate_pairs(a, b, np.arange(6) % 2).unit_scores
    assert np.nanmax(np.abs(unit_scores)) <= 1


# ---- Classes of units.


@pytest.mark.parametrize(
    ("dynamic", "static", "expected"),
    [
        (0.9, 0.1, "dynamic"),
        (0.1, 0.9, "static"),
        (0.9, 0.9, "joint"),
        (0.1, 0.1, "residual"),
        (0.5, 0.1, "residual"),
        (0.5, 0.5, "residual"),
        (0.5, 0.9, "static"),
        (0.9, 0.5, "dynamic"),
        (np.nextafter(0.5, 1), 0.5, "dynamic"),
        (-1.0, -1.0, "residual"),
        (np.nan, 0.9, "dead"),
        (0.9, np.nan, "dead"),
        (np.nan, np.nan, "dead"),
    ],
)
def test_class_of_a_unit(dynamic, static, expected):
    classes = joint_encoding(np.array([[dynamic], [static], [1.0]]), 0.5)
    assert {name: units.tolist() for name, units in classes.items()} == {
        name: [0] if name == expected else [] for name in CLASSES
    }


def test_other_factors_do_not_enter_the_classes():
    scores = np.array([[0.9], [0.1], [np.nan], [np.nan]])
    assert joint_encoding(scores, 0.5)["dynamic"].tolist() == [0]


@pytest.mark.parametrize("threshold", [-1.0, -0.25, 0.0, 0.1, 0.25, 0.5, 0.75, 0.999])
def test_every_unit_is_in_exactly_one_class_also_with_ties_and_nan(threshold, rng):
    grid = [-1, -0.25, 0, 0.1, 0.25, 0.5, 0.75, 0.999, 1, np.nan]
    scores = np.array(np.meshgrid(grid, grid)).reshape(2, -1)
    scores = np.concatenate([scores, rng.uniform(-1, 1, size=(2, 50))], 1)
    classes = joint_encoding(scores, threshold)
    units = np.concatenate(list(classes.values()))
    assert tuple(classes) == CLASSES
    assert sorted(units.tolist()) == list(range(scores.shape[1]))
    assert len(classes["dead"]) == 2 * len(grid) - 1


def test_a_higher_threshold_moves_units_towards_the_residual_only(rng):
    scores = rng.uniform(-1, 1, size=(2, 300))
    classes = [joint_encoding(scores, t) for t in (0.1, 0.4, 0.8)]
    residual = [set(c["residual"].tolist()) for c in classes]
    joint = [set(c["joint"].tolist()) for c in classes]
    assert residual[0] < residual[1] < residual[2]
    assert joint[0] > joint[1] > joint[2]
