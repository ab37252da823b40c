"""Designs of pairs, and what stands beside the published numbers, by definition: partners are
looked up pair by pair, and without a video or a style all is computed from scratch."""

import itertools
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import stats

from estimation.design import Design
from estimation.intervals import Interval
from estimation.stage import Rules, estimate_stage

DYNAMIC, STATIC, DIFFERENT = range(3)
INTERVALS = ("scores", "shares", "unit_scores", "chance", "adjusted", "adjusted_units")
INTERVALS += ("parts", "part_units")
COLUMNS = ("value", "corrected", "se", "lo", "hi")


# ---- Designs. A clip is a video, a style and an order (0 natural, 1 shuffled).


@dataclass(frozen=True)
class Pairs:
    """Pairs of clips: features x [rows, C] and, per pair, rows, factors, videos and styles [N]."""

    x: np.ndarray
    a: np.ndarray
    b: np.ndarray
    factor: np.ndarray
    video: np.ndarray
    style_a: np.ndarray
    style_b: np.ndarray

    def where(self, kept):
        """Some of the pairs."""
        columns = [field.name for field in fields(self)[1:]]
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    def estimate(self, **rules):
        """Their estimate."""
        x, *columns = (getattr(self, field.name) for field in fields(self))
        return estimate_stage(x.__getitem__, Design.shown(*columns), Rules(**rules))


def crossed(n_videos, n_styles):
    """(factor, video, style, style) of every pair that there can be."""
    styles = range(n_styles)
    dynamic = [(DYNAMIC, s, t) for s, t in itertools.combinations(styles, 2)]
    static = [(STATIC, s, s) for s in styles]
    different = [(DIFFERENT, s, t) for s, t in itertools.permutations(styles, 2)]
    return [(f, v, s, t) for v in range(n_videos) for f, s, t in dynamic + static + different]


def anchored(rng, n_videos, n_styles):
    """One to three times a pair of every factor for each video; some of them repeat."""
    plan = []
    for v in range(n_videos):
        for _ in range(rng.integers(1, 4)):
            s, t = rng.choice(n_styles, 2, replace=False)
            plan += [(DYNAMIC, v, s, t), (STATIC, v, s, s), (DIFFERENT, v, s, t)]
    return plan


def unbalanced(rng, counts, n_styles, factors=(DYNAMIC, STATIC, DIFFERENT)):
    """Up to so many pairs of each factor for every video, of any styles, equal ones included."""
    plan = [
        (f, v, *rng.integers(0, n_styles, 2))
        for v, most in enumerate(counts)
        for f in factors
        for _ in range(rng.integers(0, most + 1))
    ]
    # Two pairs are the least for each factor.
    return plan + [(f, v, 0, 1) for f in factors for v in (0, len(counts) - 1)]


def features(rng, plan, n_units=5):
    """The pairs of a plan, with features that depend on video, style, order and all together."""
    factor, video, style_a, style_b = np.array(plan).T
    shape = (video.max() + 1, max(style_a.max(), style_b.max()) + 1, 2, n_units)
    x = 3 + rng.normal(size=shape) * rng.uniform(0.2, 1, n_units)
    for kept in itertools.product((0, 1), repeat=3):
        own = [n if k else 1 for n, k in zip(shape, kept, strict=False)]
        x = x + rng.normal(size=(*own, n_units)) * rng.uniform(0, 1, n_units)
    order = np.isin(factor, (STATIC, DIFFERENT)).astype(int)  # of the second member
    row = np.arange(x[..., 0].size).reshape(shape[:3])
    a, b = row[video, style_a, 0], row[video, style_b, order]
    return Pairs(x.reshape(-1, n_units), a, b, factor, video, style_a, style_b)


# ---- By definition.


def by_definition(pairs, n_factors=3, residual_index=2, confidence=0.95):
    """All that an `Inference` holds: [value, corrected, se, lo, hi] of numbers with intervals."""
    factors = [f for f in (DYNAMIC, STATIC, DIFFERENT) if f in pairs.factor]

    def numbers(some):
        found = _published(some, n_factors, residual_index)
        return {**found, **_adjusted(some, factors)}

    every = numbers(pairs)
    videos = np.unique(pairs.video)
    without = [numbers(pairs.where(pairs.video != v)) for v in videos]
    found = {
        name: _interval(every[name], np.array([n[name] for n in without]), confidence)
        for name in INTERVALS
    }
    n_scored = [factors.index(DYNAMIC), factors.index(STATIC)]
    _, corrected, se, _, _ = found["adjusted_units"][:, n_scored]
    # A score that all videos agree on is above 0 for sure, or it is 0 but for rounding.
    t = np.where(abs(corrected) < 1e-12, -np.inf, corrected / se)
    found["p_units"] = stats.t.sf(t, max(len(videos) - 1, 1))
    found["q_units"] = np.array([_rates(p, dependent=False) for p in found["p_units"]])
    found["q_by_units"] = np.array([_rates(p, dependent=True) for p in found["p_units"]])
    styles = np.unique([pairs.style_a, pairs.style_b])
    shown = [(pairs.style_a != s) & (pairs.style_b != s) for s in styles]
    left = [_adjusted(pairs.where(kept), factors) for kept in shown]
    found["adjusted_range"] = _range([n["adjusted"] for n in left])
    found["parts_range"] = _range([n["parts"] for n in left])
    return found


def _ratio(x, y):
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), y)
    return np.divide(x, y, out=np.full(x.shape, np.nan), where=y != 0)


def _of(pairs, factor):
    """The members of a factor's pairs about their common mean, and their variance."""
    own = pairs.where(pairs.factor == factor)
    a, b = pairs.x[own.a], pairs.x[own.b]
    m = (a.mean(0) + b.mean(0)) / 2
    m = np.where((a == a[0]).all(0) & (b == a[0]).all(0), a[0], m)
    return own, a - m, b - m, ((a - m) ** 2 + (b - m) ** 2).mean(0) / 2


def _published(pairs, n_factors, residual_index):
    scored = [f for f in range(n_factors) if f != residual_index]
    counted = pairs if DIFFERENT in scored else pairs.where(pairs.factor != DIFFERENT)
    members = pairs.x[np.append(counted.a, counted.b)]
    total = members.var(0).sum() if len(members) else np.nan
    scores, units = np.ones(n_factors), np.ones((n_factors, pairs.x.shape[1]))
    for f in scored:
        if f not in pairs.factor:
            scores[f], units[f] = np.nan, np.nan
            continue
        _, alpha, beta, variance = _of(pairs, f)
        covariance = (alpha * beta).mean(0)
        scores[f], units[f] = covariance.sum() / total, _ratio(covariance, variance)
    shares = np.exp(scores) / np.exp(scores).sum()
    return {"scores": scores, "shares": shares, "unit_scores": units}


def _chance(own, alpha, beta, factor):
    video, style_a, style_b = own.video, own.style_a, own.style_b
    if factor == DYNAMIC:  # every pair in both orders
        alpha, beta = np.concatenate([alpha, beta]), np.concatenate([beta, alpha])
        video = np.concatenate([video, video])
        style_a, style_b = np.concatenate([style_a, style_b]), np.concatenate([style_b, style_a])
    means = []
    for i in range(len(alpha)):
        partners = (video != video[i]) & (style_b != style_a[i])
        if partners.any():
            means.append((alpha[i] * beta[partners]).mean(0))
    return np.mean(means, axis=0) if means else np.full(alpha.shape[1], np.nan)


def _adjusted(pairs, factors):
    none = np.full(pairs.x.shape[1], np.nan)
    shared, beyond, chance, variance = {}, {}, {}, {}
    for f in factors:
        shared[f] = beyond[f] = chance[f] = variance[f] = none
        if f in pairs.factor:
            own, alpha, beta, variance[f] = _of(pairs, f)
            chance[f] = _chance(own, alpha, beta, f)
            shared[f] = (alpha * beta).mean(0) - chance[f]
            beyond[f] = variance[f] - chance[f]
    whole = np.mean([beyond.get(f, none) for f in range(3)], axis=0)
    dynamic, static, both = (shared.get(f, none) for f in range(3))
    parts = np.array([static - both, dynamic - both, both])
    parts = np.array([*parts, whole - parts.sum(0)])
    return {
        "chance": np.array([_ratio(chance[f].sum(), variance[f].sum()) for f in factors]),
        "adjusted": np.array([_ratio(shared[f].sum(), beyond[f].sum()) for f in factors]),
        "adjusted_units": np.array([_ratio(shared[f], beyond[f]) for f in factors]),
        "parts": _ratio(parts.sum(1), whole.sum()),
        "part_units": _ratio(parts, whole),
    }


def _interval(value, without, confidence):
    n = len(without)
    none = np.full(np.shape(value), np.nan)
    if n < 3:
        return np.array([value, none, none, none, none])
    mean = without.mean(0)
    corrected = value - (n - 1) * (mean - value)
    se = np.sqrt((n - 1) / n * ((without - mean) ** 2).sum(0))
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * se
    return np.array([value, corrected, se, corrected - half, corrected + half])


def _rates(p, dependent):
    """False discovery rates, one p-value after the other."""
    known = p[~np.isnan(p)]
    m = len(known)
    factor = sum(1 / k for k in range(1, m + 1)) if dependent else 1
    rates = np.full(p.shape, np.nan)
    for i in np.flatnonzero(~np.isnan(p)):
        above = [x for x in known if x >= p[i]]
        rates[i] = min(1, *(x * m * factor / np.sum(known <= x) for x in above), 1)
    return rates


def _range(numbers):
    ends = np.full((*numbers[0].shape, 2), np.nan)
    if len(numbers) >= 3:
        for place in np.ndindex(numbers[0].shape):
            known = [n[place] for n in numbers if not np.isnan(n[place])]
            if len(known) > 1:
                ends[place] = min(known), max(known)
    return ends


# ---- Comparison.


def flat(inference):
    """The arrays of an `Inference`, those of an interval stacked as `COLUMNS`."""
    found = {field.name: getattr(inference, field.name) for field in fields(inference)}
    return {
        name: np.array([getattr(x, c) for c in COLUMNS]) if isinstance(x, Interval) else x
        for name, x in found.items()
        if isinstance(x, (Interval, np.ndarray))
    }


def assert_inference(inference, expected, value=1e-10, rest=1e-8):
    """Equal to a dict as `by_definition` makes it, undefined where that is."""
    found = flat(inference)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        both = [(array, expected[name])]
        if name in INTERVALS:
            both = list(zip(array, expected[name], strict=True))
        for index, (one, other) in enumerate(both):
            tolerance = value if index == 0 else rest
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance, err_msg=name)
