"""What stands beside the published numbers: against stored ones, and against a slow computation by
definition on designs of many kinds."""

import numpy as np
import pytest

from estimation import sums
from estimation.design import Design
from estimation.inference import PARTS
from estimation.stage import estimate_stage, readings
from tests.helpers import read_npz
from tests.helpers_estimation import estimate_pairs
from tests.helpers_inference import (
    INTERVALS,
    Pairs,
    anchored,
    assert_inference,
    by_definition,
    crossed,
    features,
    flat,
    unbalanced,
)

# ---- Stored numbers.


@pytest.fixture(scope="module", params=["golden_statistics.npz", "golden_statistics_anchored.npz"])
def golden(request):
    """The stored arrays, and what is found for the same pairs."""
    stored = read_npz(request.param)
    columns = ("a", "b", "factor", "video", "style_a", "style_b")
    return stored, estimate_pairs(*(stored[name] for name in columns)).inference


def by_name(inference):
    """The numbers of an `Inference` by the names that they are stored under."""
    names = ("scores", "shares", "unit_scores")
    found = {name: getattr(inference, name) for name in names}
    for k, factor in enumerate(inference.factors):
        for name in ("chance", "adjusted", "adjusted_units"):
            found[f"{name}/{factor}"] = getattr(inference, name)[k]
    for k, part in enumerate(PARTS):
        found[f"decomposition/{part}"] = inference.parts[k]
        found[f"decomposition_units/{part}"] = inference.part_units[k]
    return found


def test_stored_numbers(golden):
    stored, inference = golden
    expected = {k.removeprefix("golden/"): v for k, v in stored.items() if k.startswith("golden/")}
    found = by_name(inference)
    assert found.keys() == expected.keys()
    for name, (value, corrected, lo, hi) in expected.items():
        own = found[name]
        for one, other in ((own.value, value), (own.corrected, corrected)):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-9, err_msg=name)
        for one, other in ((own.lo, lo), (own.hi, hi)):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-8, err_msg=name)


# ---- By definition.

ALL = (0, 1, 2, 3)
DESIGNS = {
    "crossed": lambda rng: crossed(5, 3),
    "crossed, two styles": lambda rng: crossed(6, 2),
    "crossed, one video": lambda rng: crossed(1, 3),
    "crossed, two videos": lambda rng: crossed(2, 3),
    "crossed, three videos": lambda rng: crossed(3, 3),
    "anchored": lambda rng: anchored(rng, 8, 4),
    "anchored, two styles": lambda rng: anchored(rng, 8, 2),
    "unbalanced": lambda rng: unbalanced(rng, [5, 0, 3, 9, 1, 2, 7], 3),
    "unbalanced, two styles": lambda rng: unbalanced(rng, [5, 0, 3, 9, 1, 2, 7], 2),
    "unbalanced, five styles": lambda rng: unbalanced(rng, [5, 0, 3, 9, 1, 2, 7], 5),
    "more styles than are left out at once": lambda rng: anchored(rng, 12, 9),
    "one video dominates": lambda rng: unbalanced(rng, [40, 1, 1, 1, 1, 1, 1], 4),
    "every video another number of pairs": lambda rng: unbalanced(rng, range(1, 14), 4),
    "one style": lambda rng: [(f, v, 0, 0) for f in range(3) for v in range(4)],
    "static pairs of one style": lambda rng: [p for p in crossed(5, 3) if p[0] != 1 or p[2] == 0],
    "static pairs of two videos": lambda rng: [p for p in crossed(5, 3) if p[0] != 1 or p[1] < 2],
    "static pairs of one video": lambda rng: [p for p in crossed(5, 3) if p[0] != 1 or p[1] == 2],
    "static pairs of the last video": lambda rng: [
        p for p in crossed(5, 2) if p[0] != 1 or p[1] > 3
    ],
    "different pairs of one video": lambda rng: [
        p for p in crossed(5, 3) if p[0] != 2 or p[1] == 0
    ],
    "a style of one video": lambda rng: [p for p in crossed(5, 3) if 2 not in p[2:] or p[1] == 1],
    "one style in every pair": lambda rng: [p for p in crossed(5, 3) if 0 in p[2:]],
    "no different pairs": lambda rng: [p for p in crossed(5, 3) if p[0] < 2],
    "a single different pair": lambda rng: (
        [p for p in anchored(rng, 5, 3) if p[0] < 2] + [(2, 3, 0, 1)]
    ),
}


def slowly(pairs, **rules):
    """By definition; what is undefined is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return by_definition(pairs, **rules)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", DESIGNS)
def test_designs(name, seed):
    rng = np.random.default_rng(seed)
    pairs = features(rng, DESIGNS[name](rng))
    assert_inference(pairs.estimate().inference, slowly(pairs))


@pytest.mark.parametrize(
    ("n_factors", "residual_index"), [(4, 3), (4, 2), (4, -1), (3, -1), (2, -1), (5, 4)], ids=str
)
def test_other_factors(n_factors, residual_index, rng):
    rules = {"n_factors": n_factors, "residual_index": residual_index}
    factors = [f for f in range(n_factors) if f != residual_index]
    for kept in (factors, sorted({*factors, 2})):
        pairs = features(rng, unbalanced(rng, [4, 1, 0, 3, 6, 2], 3, kept))
        assert_inference(pairs.estimate(**rules).inference, slowly(pairs, **rules))


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
def test_other_confidence(confidence, rng):
    pairs = features(rng, anchored(rng, 6, 3))
    found = pairs.estimate(confidence=confidence).inference
    assert found.confidence == confidence
    # Near 1 the ends are far from the value.
    assert_inference(found, slowly(pairs, confidence=confidence))


def test_units_that_are_constant_everywhere_or_nearly(rng):
    pairs = features(rng, crossed(5, 3), n_units=6)
    x = pairs.x
    x[:, 0] = 0.1  # dead
    x[6:, 1] = 0.1  # moved by the first video alone
    x[:, 2] = np.arange(len(x)) // 6  # the number of its video
    x[:, 3] = 0.1 * np.repeat(np.tile(np.arange(3), 5), 2)  # that of the style
    x[:, 4] = np.where(np.arange(len(x)) % 2, x[:, 4], 1 / 3)  # natural clips are alike
    x[:6, 5] *= 1e3  # moved by the first video above all
    inference = pairs.estimate().inference
    assert_inference(inference, slowly(pairs))
    units = inference.adjusted_units
    for k, undefined in enumerate(([0, 4], [0], [0])):  # dynamic pairs show natural clips alone
        assert np.flatnonzero(np.isnan(units.value[k])).tolist() == undefined
        assert np.flatnonzero(np.isnan(units.lo[k])).tolist() == sorted([*undefined, 1])
    assert np.isfinite(inference.adjusted.lo).all()  # of the stage
    assert np.isnan(inference.q_units[0]).tolist() == [True, True, False, False, True, False]
    np.testing.assert_allclose(units.value[:, 2:4], [[1, 0], [1, 1], [1, 0]], atol=1e-14)
    np.testing.assert_allclose(inference.p_units[:, 2:4], [[0, 1], [0, 0]], atol=1e-30)


@pytest.mark.parametrize("offset", [1e4, 1e8], ids="{:g}".format)
def test_large_means(offset, rng):
    pairs = features(rng, anchored(rng, 8, 4))
    x = np.round(pairs.x * 64) / 64  # exact with these offsets
    plain, moved = (Pairs(x + shift, *columns(pairs)).estimate() for shift in (0, offset))
    assert_inference(moved.inference, flat(plain.inference), 1e-11, 1e-9)


def columns(pairs):
    return pairs.a, pairs.b, pairs.factor, pairs.video, pairs.style_a, pairs.style_b


# ---- How they are computed does not matter.


@pytest.mark.parametrize(
    ("n_videos", "n_styles", "expected"), [(2, 2, 1), (3, 2, 2), (5, 4, 2), (5, 5, 2), (5, 6, 3)]
)
def test_number_of_readings(n_videos, n_styles, expected, rng):
    """Styles are left out a few at a time: memory does not grow with their number."""
    pairs = features(rng, crossed(n_videos, n_styles))
    design = Design.shown(*columns(pairs))
    rows = []
    estimate_stage(lambda own: rows.append(own) or pairs.x[own], design)
    assert readings(design) == expected
    assert sum(map(len, rows[1:])) == expected * len(pairs.x)  # after a few for the reference


@pytest.mark.parametrize("rows", [2, 10, 37, 100])
def test_features_in_chunks_give_the_same_numbers(rows, rng, monkeypatch):
    """Chunks of a few rows split the pairs of a single video."""
    pairs = features(rng, unbalanced(rng, [25, 1, 5, 0, 3, 8], 4))
    whole = pairs.estimate()
    monkeypatch.setattr(sums, "_CHUNK", rows * pairs.x.shape[1])
    chunked = pairs.estimate()
    np.testing.assert_allclose(chunked.scores, whole.scores, rtol=0, atol=1e-13)
    assert_inference(chunked.inference, flat(whole.inference), 1e-13, 1e-11)


def test_clips_that_pairs_share_are_those_that_they_do_not(rng):
    pairs = features(rng, crossed(4, 3))
    x = pairs.x
    factor, *shown = columns(pairs)[2:]
    found = estimate_pairs(x[pairs.a], x[pairs.b], factor, *shown)
    assert_inference(found.inference, flat(pairs.estimate().inference), 1e-13, 1e-11)


def test_features_of_any_type(rng):
    pairs = features(rng, anchored(rng, 6, 3))
    whole = np.clip(np.round(pairs.x * 9), -128, 127)
    expected = flat(Pairs(whole, *columns(pairs)).estimate().inference)
    for dtype in (np.float32, np.float16, np.int64, np.int8, np.int16):
        found = Pairs(whole.astype(dtype), *columns(pairs)).estimate()
        assert_inference(found.inference, expected, 1e-13, 1e-11)
        assert found.scores.dtype == found.inference.adjusted_units.lo.dtype == np.float64


def test_many_videos_with_different_numbers_of_pairs(rng):
    """Sums by group have to do where there are too many pairs for a computation by definition."""
    pairs = features(rng, unbalanced(rng, rng.integers(0, 30, 200), 4), n_units=2)
    inference = pairs.estimate().inference
    assert inference.n_videos > 180
    own = pairs.where(pairs.video < 40)
    assert_inference(own.estimate().inference, slowly(own))
    assert all(np.isfinite(flat(inference)[name]).all() for name in INTERVALS)
