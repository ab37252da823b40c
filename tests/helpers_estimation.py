"""Pairs of features, and the estimator's formulae in exact rational arithmetic, one by one."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from common.factors import DIFFERENT, FACTORS, scored_factors
from estimation.design import Design
from estimation.stage import Rules, estimate_stage
from results.blocks import Results
from tests.helpers import read_npz
from tests.helpers_inference import crossed, features

SAME = FACTORS.index("same")
CASES = ("corr8", "corr256", "four_res2", "four_nores", "degenerate", "offset1e4")


def estimate_pairs(a, b, factor, video=None, style_a=None, style_b=None, **rules):
    """The estimate of labelled pairs (a, b) [N, C]; videos and styles as far as they are known."""
    rows = np.arange(2 * len(factor)).reshape(2, -1)
    if video is None:
        design = Design.of(*rows, factor)
    else:
        design = Design.shown(*rows, factor, video, style_a, style_b)
    return estimate_stage(np.concatenate([a, b]).__getitem__, design, Rules(**rules))


def random_pairs(rng, n_pairs=24, n_units=6, n_factors=3, residual_index=2):
    """Correlated features a, b [N, C] and labels [N] of the factors that have pairs."""
    labels = [k for k in range(n_factors) if k != residual_index]
    factor = np.resize(labels, n_pairs)
    shared = rng.normal(size=(n_pairs, n_units))
    weight = rng.uniform(-1, 1, size=(n_factors, n_units))[factor]
    a = shared + 0.3 * rng.normal(size=shared.shape)
    b = weight * shared + 0.5 * rng.normal(size=shared.shape) + rng.normal(size=n_units)
    return a, b, factor


def known_pairs(rng, n_videos, n_styles, n_units, factors):
    """Every pair of some factors that there can be, of videos and styles that are known."""
    plan = [pair for pair in crossed(n_videos, n_styles) if pair[0] in factors]
    if SAME in factors:  # a clip and itself
        plan += [(SAME, v, s, s) for v in range(n_videos) for s in range(n_styles)]
    return features(rng, plan, n_units)


def make_results(
    units,
    *,
    thresholds=(0.5,),
    n_factors=3,
    residual_index=2,
    dead=(),
    n_pairs=24,
    videos=0,
    styles=3,
    different=False,
    confidence=0.95,
    **fields,
):
    """Results on random pairs, `units` by stage, with some dead units (indices) at every stage.

    videos, styles: how many there are; without videos nothing is known of what the pairs show.
    different: whether there are different pairs for the parts of the variance.
    """
    estimates = {}
    rules = Rules(n_factors, residual_index, confidence)
    scored = scored_factors(n_factors, residual_index)
    for stage, n_units in units.items():
        rng = np.random.default_rng(len(estimates))
        if videos:
            factors = {*scored, *[DIFFERENT] * different}
            pairs = known_pairs(rng, videos, styles, n_units, factors)
            pairs.x[:, list(dead)] = 0.1
            estimates[stage] = pairs.estimate(**vars(rules))
            continue
        a, b, factor = random_pairs(rng, n_pairs, n_units, n_factors, residual_index)
        a[:, list(dead)] = b[:, list(dead)] = 0.1
        estimates[stage] = estimate_pairs(a, b, factor, **vars(rules))
    texts = {"model": "i3d", "pathway": "", "dataset": "ssv2", "weights": "random", **fields}
    return Results(**texts, estimates=estimates, thresholds=thresholds)


@dataclass(frozen=True)
class Golden:
    """A case of the published estimator: pairs in, results out."""

    name: str
    a: np.ndarray
    b: np.ndarray
    factor: np.ndarray
    options: dict
    expected: dict


def golden_case(name):
    """One of `CASES`, with the pairs as float64."""
    stored = read_npz("golden_estimator.npz")
    pairs = "four_res2" if name == "four_nores" else name
    prefix = f"{name}__f64__"
    return Golden(
        name,
        stored[f"{pairs}__za"].astype(np.float64),
        stored[f"{pairs}__zb"].astype(np.float64),
        stored[f"{pairs}__factors"],
        {key: int(stored[f"{name}__{key}"]) for key in ("n_factors", "residual_index")},
        {key.removeprefix(prefix): v for key, v in stored.items() if key.startswith(prefix)},
    )


def _mean(values):
    return sum(values, Fraction(0)) / len(values)


def _variance(values):
    middle = _mean(values)
    return _mean([(value - middle) ** 2 for value in values])


def slow_estimate(a, b, factor, n_factors, residual_index):
    """Scores [K], unit scores [K, C] (None where undefined), shares [K] and dims [K], slowly.

    Follows the published formulae word for word, in exact fractions until the last division.
    """
    n_pairs, n_units = a.shape
    a = [[Fraction(float(x)) for x in row] for row in a]
    b = [[Fraction(float(x)) for x in row] for row in b]
    total = sum(_variance([row[u] for row in a] + [row[u] for row in b]) for u in range(n_units))
    scores, unit_scores = [], []
    for k in range(n_factors):
        if k == residual_index:
            scores.append(1.0)
            unit_scores.append([1.0] * n_units)
            continue
        of_factor = [i for i in range(n_pairs) if factor[i] == k]
        covariances, row = [], []
        for u in range(n_units):
            first, second = [a[i][u] for i in of_factor], [b[i][u] for i in of_factor]
            m = (_mean(first) + _mean(second)) / 2
            covariances.append(
                _mean([(x - m) * (y - m) for x, y in zip(first, second, strict=True)])
            )
            variance = _variance(first + second)
            row.append(float(covariances[-1] / variance) if variance else None)
        scores.append(float(sum(covariances) / total))
        unit_scores.append(row)
    weights = [math.exp(score) for score in scores]
    shares = [weight / sum(weights) for weight in weights]
    dims = [int(share * n_units) for share in shares[:-1]]
    return scores, unit_scores, shares, [*dims, n_units - sum(dims)]
