"""The estimator against the published one, and against exact fractions on random pairs."""

import numpy as np
import pytest

from estimation import sums
from estimation.estimator import joint_encoding
from tests.helpers_estimation import (
    CASES,
    estimate_pairs,
    golden_case,
    random_pairs,
    slow_estimate,
)

THRESHOLDS = (0.3, 0.5, 0.7)


@pytest.fixture(scope="module", params=CASES)
def golden(request):
    return golden_case(request.param)


@pytest.fixture(scope="module")
def result(golden):
    return estimate_pairs(golden.a, golden.b, golden.factor, **golden.options)


def test_layer_numbers_equal_the_published_ones(golden, result):
    expected = golden.expected
    np.testing.assert_allclose(result.scores, expected["layer_scores"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.shares, expected["layer_softmax"], rtol=0, atol=1e-12)
    assert result.total_variance == pytest.approx(float(expected["total_variance"]), rel=1e-11)
    assert list(result.dims) == expected["dims"].tolist()
    assert list(result.dims_percent) == expected["dims_percent"].tolist()


def test_unit_scores_equal_the_published_ones(golden, result):
    expected = golden.expected["unit_scores"]
    np.testing.assert_allclose(result.unit_scores, expected, rtol=0, atol=1e-11)  # NaN where NaN


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_classes_equal_the_published_ones(golden, result, threshold):
    """But for units in none of the published lists: ties are residual, undefined units dead."""
    found = joint_encoding(result.unit_scores, threshold)
    published = {
        name: golden.expected[f"joint_{threshold}__{name}"].tolist()
        for name in ("dynamic", "static", "joint", "none")
    }
    unlisted = set(range(result.n_units)).difference(*published.values())
    pair = golden.expected["unit_scores"][:2]
    dead = {unit for unit in unlisted if np.isnan(pair[:, unit]).any()}
    ties = unlisted - dead
    assert all((pair[:, unit] == threshold).any() for unit in ties)
    for name in ("dynamic", "static", "joint"):
        assert found[name].tolist() == published[name]
    assert found["residual"].tolist() == sorted([*published["none"], *ties])
    assert found["dead"].tolist() == sorted(dead)


def test_edge_cases_of_the_degenerate_file():
    case = golden_case("degenerate")
    result = estimate_pairs(case.a, case.b, case.factor, **case.options)
    at = {t: joint_encoding(result.unit_scores, t) for t in THRESHOLDS}
    assert all(at[t]["dead"].tolist() == [10, 11, 12, 13] for t in THRESHOLDS)
    assert result.unit_scores[:2, 14].tolist() == [0.5, 0.5]  # exactly, so a tie at 0.5
    assert result.unit_scores[:2, 15] == pytest.approx([1.0, 1.0], abs=1e-14)
    classes = {t: [n for n, units in at[t].items() if 14 in units] for t in THRESHOLDS}
    assert classes == {0.3: ["joint"], 0.5: ["residual"], 0.7: ["residual"]}


@pytest.mark.parametrize("rows", [2, 14, 200])
def test_features_in_chunks_give_the_same_answer(golden, result, rows, monkeypatch):
    monkeypatch.setattr(sums, "_CHUNK", rows * golden.a.shape[1])
    chunked = estimate_pairs(golden.a, golden.b, golden.factor, **golden.options)
    np.testing.assert_allclose(chunked.scores, result.scores, rtol=0, atol=1e-12)
    np.testing.assert_allclose(chunked.unit_scores, result.unit_scores, rtol=0, atol=1e-11)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("n_factors", "residual_index"), [(3, 2), (4, 2), (4, -1), (2, -1), (4, 3)], ids=str
)
def test_random_pairs_against_exact_fractions(seed, n_factors, residual_index):
    rng = np.random.default_rng(seed)
    a, b, factor = random_pairs(rng, 20, 5, n_factors, residual_index)
    if seed % 2:  # some pairs labelled as residual, a constant unit and a large mean
        factor[:2] = max(residual_index, 0)
        a[:, 3] = b[:, 3] = 0.1
        a, b = a + np.array([0, 0, 0, 0, 1e6]), b + np.array([0, 0, 0, 0, 1e6])
    result = estimate_pairs(a, b, factor, n_factors=n_factors, residual_index=residual_index)
    scores, units, shares, dims = slow_estimate(a, b, factor, n_factors, residual_index)
    # A mean of 1e6 costs the digits that float64 has not; squares of it would cost all but four.
    tolerance = 1e-8 if seed % 2 else 1e-12
    np.testing.assert_allclose(result.scores, scores, rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.shares, shares, rtol=0, atol=tolerance)
    expected = np.array(units, dtype=float)  # None becomes NaN
    np.testing.assert_allclose(result.unit_scores, expected, rtol=0, atol=tolerance)
    assert list(result.dims) == dims
