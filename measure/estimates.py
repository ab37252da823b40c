"""Pairs of features to estimates; no network is needed any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from common.factors import scored_factors
from datasets.pair_plan import Pair
from estimation.estimator import Estimate, estimate
from results.store import FeatureStore
from utils import DataError


def estimate_stages(
    store: FeatureStore,
    pairs: Sequence[Pair],
    rows: Mapping[Any, Sequence[int]],
    *,
    n_factors: int,
    residual_index: int,
) -> dict[str, Estimate]:
    """The estimate of every stage of a store.

    rows: of every clip in the store; those of a pair's clips are paired in order.

    Pairs of factors that are not scored do not enter.

    Memory does not grow with the number of pairs beyond three integers a pair.

    Raises DataError if a factor has no pairs (see `estimation.estimator.estimate`).
    """
    known = scored_factors(n_factors, residual_index)
    scored = [pair for pair in pairs if pair.factor in known]
    matched = [
        (pair.factor, a, b)
        for pair in scored
        for a, b in zip(rows[pair.a], rows[pair.b], strict=True)
    ]
    factor, a, b = np.array(matched, dtype=np.int64).reshape(-1, 3).T
    counts = Counter(pair.factor for pair in scored)
    estimates = {}
    for stage in store.stages:
        moments = {
            int(f): store.moments(stage, a[factor == f], b[factor == f]) for f in set(factor)
        }
        try:
            found = estimate(moments, n_factors=n_factors, residual_index=residual_index)
        except DataError as error:
            raise DataError(f"stage {stage}: {error}") from None
        # Of several rows a clip, pairs of clips count.
        n_pairs = tuple(counts.get(k, 0) for k in range(n_factors))
        estimates[stage] = replace(found, n_pairs=n_pairs)
    return estimates
