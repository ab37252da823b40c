"""What must not change the numbers beside the published ones, and what they must be."""

import numpy as np
import pytest

from common.factors import DIFFERENT
from estimation.inference import PARTS, ends, false_discovery_rates
from tests.helpers_inference import (
    COLUMNS,
    Pairs,
    anchored,
    assert_inference,
    crossed,
    features,
    flat,
    unbalanced,
)


@pytest.fixture(params=[1, 2], ids="seed {}".format)
def pairs(request):
    rng = np.random.default_rng(request.param)
    return features(rng, unbalanced(rng, [5, 1, 3, 9, 2, 4, 7], 4))


def with_features(pairs, x):
    return Pairs(x, pairs.a, pairs.b, pairs.factor, pairs.video, pairs.style_a, pairs.style_b)


def assert_same(one, other):
    assert_inference(one.inference, flat(other.inference), 1e-11, 1e-9)
    np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-12)


# ---- What changes nothing.


def test_order_of_pairs_changes_nothing(pairs, rng):
    assert_same(pairs.where(rng.permutation(len(pairs.a))).estimate(), pairs.estimate())


def test_names_of_videos_and_styles_change_nothing(pairs, rng):
    videos = rng.permutation([f"v {n}" for n in range(7)])
    styles = rng.permutation(["ink", "Öl", "none", "7"])
    renamed = Pairs(
        pairs.x,
        pairs.a,
        pairs.b,
        pairs.factor,
        videos[pairs.video],
        styles[pairs.style_a],
        styles[pairs.style_b],
    )
    assert_same(renamed.estimate(), pairs.estimate())


def test_swapping_the_members_of_dynamic_pairs_changes_nothing(pairs, rng):
    swap = (pairs.factor == 0) & (rng.random(len(pairs.a)) < 0.5)
    swapped = Pairs(
        pairs.x,
        np.where(swap, pairs.b, pairs.a),
        np.where(swap, pairs.a, pairs.b),
        pairs.factor,
        pairs.video,
        np.where(swap, pairs.style_b, pairs.style_a),
        np.where(swap, pairs.style_a, pairs.style_b),
    )
    assert_same(swapped.estimate(), pairs.estimate())


@pytest.mark.parametrize("shift", [1.0, -1e6], ids="{:g}".format)
def test_shift_of_a_unit_changes_nothing(pairs, shift):
    x = np.round(pairs.x * 64) / 64  # exact with these shifts
    shifts = np.linspace(-1, 1, x.shape[1]) * shift
    one, other = (with_features(pairs, moved).estimate() for moved in (x, x + shifts))
    assert_same(other, one)


@pytest.mark.parametrize("scale", [-1e-6, 3.0, 1e6], ids="{:g}".format)
def test_common_scale_changes_nothing(pairs, scale):
    assert_same(with_features(pairs, pairs.x * scale).estimate(), pairs.estimate())


def test_scale_of_a_unit_changes_no_number_of_units(pairs):
    scales = 10.0 ** np.arange(-2, 3)
    one, other = (flat(with_features(pairs, pairs.x * s).estimate().inference) for s in (1, scales))
    for name in ("unit_scores", "adjusted_units", "part_units", "p_units", "q_units"):
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-9, err_msg=name)


def test_repeating_all_pairs_changes_nothing(pairs):
    twice = pairs.where(np.tile(np.arange(len(pairs.a)), 2))
    assert_same(twice.estimate(), pairs.estimate())


def test_pairs_of_a_group_are_those_of_one_video(pairs):
    """The group takes the place of the video in all respects."""
    group = np.where(pairs.video < 3, 0, pairs.video)
    grouped = Pairs(*(pairs.x, pairs.a, pairs.b, pairs.factor, group), pairs.style_a, pairs.style_b)
    inference = grouped.estimate().inference
    assert inference.n_videos == len(np.unique(group)) < pairs.estimate().inference.n_videos
    names = np.array(["a", *"abcdefg"])[grouped.video]
    named = Pairs(pairs.x, pairs.a, pairs.b, pairs.factor, names, pairs.style_a, pairs.style_b)
    assert_inference(named.estimate().inference, flat(inference))


@pytest.mark.parametrize("design", [crossed, anchored])
def test_different_pairs_at_the_residual_index_change_no_published_number(design, rng):
    plan = crossed(5, 3) if design is crossed else anchored(rng, 8, 3)
    pairs = features(rng, plan)
    found, without = (p.estimate() for p in (pairs, pairs.where(pairs.factor != DIFFERENT)))
    for name in ("scores", "shares", "unit_scores", "total_variance", "dims", "n_pairs"):
        assert np.array_equal(getattr(found, name), getattr(without, name)), name
    for name in ("scores", "shares", "unit_scores"):
        one, other = (getattr(e.inference, name) for e in (found, without))
        for column in COLUMNS:
            assert np.array_equal(getattr(one, column), getattr(other, column)), name
    assert without.inference.factors == found.inference.factors[:2]
    assert np.isfinite(found.inference.parts.lo).all()
    assert np.isnan(without.inference.parts.value).all()


# ---- What the numbers are.


def test_parts_add_up_to_one(pairs):
    inference = pairs.estimate().inference
    for parts in (inference.parts, inference.part_units):
        for numbers in (parts.value, parts.corrected):
            np.testing.assert_allclose(numbers.sum(0), 1, rtol=0, atol=1e-12)


def test_intervals_lie_about_the_corrected_numbers_and_widen_with_confidence(pairs):
    narrow, wide = (pairs.estimate(confidence=c).inference for c in (0.5, 0.99))
    for name in ("scores", "adjusted", "adjusted_units", "parts"):
        one, other = getattr(narrow, name), getattr(wide, name)
        np.testing.assert_allclose((one.lo + one.hi) / 2, one.corrected, rtol=0, atol=1e-12)
        assert (other.lo <= one.lo).all()
        assert (other.hi >= one.hi).all()


def planted(rng, n_videos, n_styles):
    """Pairs, and units that encode the style, the video, the order of each video and nothing."""
    pairs = features(rng, crossed(n_videos, n_styles))
    rows = np.arange(len(pairs.x))
    video, style, order = np.unravel_index(rows, (n_videos, n_styles, 2))
    of_video, of_style = rng.normal(size=(2, n_videos, 2)), rng.normal(size=n_styles)
    own = [of_style[style], of_video[0][video, 0], of_video[1][video, order]]
    return with_features(pairs, np.stack([*own, rng.normal(size=len(rows))], 1))


@pytest.mark.parametrize("n_styles", [2, 3, 4, 8])
def test_units_that_encode_one_thing_alone(n_styles, rng):
    """The published score of the style is -1 / (S - 1); the adjusted one does not depend on S."""
    found = planted(rng, 60, n_styles).estimate()
    style, video, clip, noise = found.inference.adjusted_units.value.T
    np.testing.assert_allclose(style, [0, 1, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(video, 1, rtol=0, atol=1e-12)
    assert clip[0] == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(clip[1:], 0, rtol=0, atol=0.35)
    np.testing.assert_allclose(noise, 0, rtol=0, atol=0.25)
    assert found.unit_scores[0, 0] == pytest.approx(-1 / (n_styles - 1))
    p = found.inference.p_units
    assert (p[:, 1] < 1e-6).all()  # the video
    assert (p[0, 0], p[1, 0] < 1e-6, p[0, 2] < 1e-6) == (1, True, True)
    parts = dict(zip(PARTS, found.inference.part_units.value, strict=True))
    np.testing.assert_allclose(parts["static_only"][:2], [1, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts["both"][:2], [0, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts["neither"][:2], 0, rtol=0, atol=1e-12)


def test_parts_of_known_variance(rng):
    """Static only, dynamic only, both and neither, planted; the mean over some sets of videos."""
    n_videos, n_styles, n_units = 60, 4, 24
    shape = (n_videos, n_styles, 2, n_units)
    variances = {"static_only": 0.3, "dynamic_only": 0.2, "both": 0.4, "neither": 0.1}
    pairs = features(rng, crossed(n_videos, n_styles), n_units)
    means = []
    for _ in range(8):
        x = variances["static_only"] ** 0.5 * rng.normal(size=(n_videos, n_styles, 1, n_units))
        x = x + variances["dynamic_only"] ** 0.5 * rng.normal(size=(n_videos, 1, 2, n_units))
        x += variances["both"] ** 0.5 * rng.normal(size=(n_videos, 1, 1, n_units))
        x += variances["neither"] ** 0.5 * rng.normal(size=shape)
        means.append(with_features(pairs, x.reshape(-1, n_units)).estimate().inference.parts.value)
    np.testing.assert_allclose(np.mean(means, 0), list(variances.values()), rtol=0, atol=0.02)


def test_intervals_of_noise_cover_zero_as_often_as_they_say(rng):
    """Units are independent here, each a simulation of its own; 1000 of them."""
    pairs = features(rng, anchored(rng, 30, 4), n_units=1000)
    inference = with_features(pairs, rng.normal(size=pairs.x.shape)).estimate().inference
    units = inference.adjusted_units
    covered = ((units.lo <= 0) & (units.hi >= 0)).mean(1)
    np.testing.assert_allclose(covered, 0.95, rtol=0, atol=0.03)
    np.testing.assert_allclose((inference.p_units < 0.05).mean(1), 0.05, rtol=0, atol=0.02)
    assert (inference.q_units < 0.05).mean() < 0.005
    assert (inference.q_by_units >= inference.q_units).all()


# ---- Pieces.


def test_false_discovery_rates_by_hand():
    p = np.array([[0.01, 0.04, np.nan, 0.03, 0.5], [np.nan] * 5])
    rates = false_discovery_rates(p, "bh")
    # 4 p-values: 0.01 * 4 / 1, then the least of 0.03 * 4 / 2 and 0.04 * 4 / 3, ...
    np.testing.assert_allclose(rates[0], [0.04, 0.04 * 4 / 3, np.nan, 0.04 * 4 / 3, 0.5])
    assert np.isnan(rates[1]).all()


def test_ends_of_fewer_than_three_numbers_and_of_undefined_ones():
    one, other = np.array([1.0, np.nan, 5, np.nan]), np.array([3.0, np.nan, np.nan, np.nan])
    third = np.array([0, np.nan, 0, 0])
    assert np.isnan(ends([one, other], (4,))).all()
    found = ends([one, other, third], (4,))
    np.testing.assert_array_equal(found, [[0, 3], [np.nan] * 2, [0, 5], [np.nan] * 2])


def test_two_styles_have_no_range_whatever_static_pairs_show(rng):
    """Unstylized static pairs (`use_normal_app`): without either style there is no dynamic pair."""
    plan = [pair for v in range(8) for pair in ((0, v, 0, 1), (1, v, 2, 2))]
    found = features(rng, plan).estimate().inference
    assert np.isfinite(found.adjusted.value[0])
    assert np.isnan(found.adjusted_range).all()
