"""Pairs of features to estimates; no network is needed any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, Protocol

import numpy as np

from common.factors import DIFFERENT, scored_factors
from datasets.pair_plan import Pair
from estimation.design import Design
from estimation.estimator import Estimate
from estimation.stage import Rules, estimate_stage, readings
from estimation.sums import Read
from utils import DataError, progress

# Stages that are estimated at a time: each takes a few hundred megabytes.
_AT_ONCE = 4


class Store(Protocol):
    """What features are read from; `results.store.FeatureStore` says what its members are."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that there are."""

    def reader(self, stage: str) -> Read:
        """Rows to features of a stage."""


def estimate_stages(
    store: Store,
    pairs: Sequence[Pair],
    rows: Mapping[Any, Sequence[int]],
    rules: Rules,
    groups: Mapping[str, str] | None = None,
) -> dict[str, Estimate]:
    """The estimate of every stage of a store.

    rows: of every clip in the store; those of a pair's clips are paired in order.
    groups: of videos that belong together; others stand for themselves.

    Memory does not grow with the number of pairs beyond a few integers a pair.

    Raises DataError if a factor has no pairs (see `estimation.stage.estimate_stage`).
    """
    design = design_of(pairs, rows, rules, groups or {})
    total = len(store.stages) * readings(design) * len(np.unique([design.a, design.b]))
    with (
        progress((), "estimates", "clip", total=total, delay=3) as bar,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        own = partial(_estimate, store, design, rules, _Count(bar.update))
        found = dict(zip(store.stages, pool.map(own, store.stages), strict=True))
    # Of several rows a clip, pairs of clips count.
    clips = Counter(pair.factor for pair in pairs)
    return {
        stage: replace(e, n_pairs=tuple(clips[k] if n else 0 for k, n in enumerate(e.n_pairs)))
        for stage, e in found.items()
    }


@dataclass(frozen=True)
class _Count:
    """What was read by any thread, for a bar."""

    update: Callable[[int], Any]
    lock: Lock = field(default_factory=Lock)

    def of(self, read: Read, rows: np.ndarray) -> np.ndarray:
        """The features of some rows."""
        features = read(rows)
        with self.lock:
            self.update(len(rows))
        return features


def _estimate(store: Store, design: Design, rules: Rules, count: _Count, stage: str) -> Estimate:
    try:
        return estimate_stage(partial(count.of, store.reader(stage)), design, rules)
    except DataError as error:
        raise DataError(f"stage {stage}: {error}") from None


def design_of(
    pairs: Sequence[Pair],
    rows: Mapping[Any, Sequence[int]],
    rules: Rules,
    groups: Mapping[str, str],
) -> Design:
    """The pairs as rows of the store. Where some show two videos, nothing is known of them, and
    different pairs that are there for the parts alone are left out."""
    is_known = one_video_each(pairs)
    scored = scored_factors(rules.n_factors, rules.residual_index)
    kept = [p for p in pairs if is_known or p.factor != DIFFERENT or p.factor in scored]
    columns = list(zip(*_matched(kept, rows, groups), strict=True))
    a, b, factor, *shown = columns or [()] * 6
    if not is_known:
        return Design.of(np.array(a), np.array(b), np.array(factor))
    return Design.shown(np.array(a), np.array(b), np.array(factor), *shown)


def one_video_each(pairs: Sequence[Pair]) -> bool:
    """Whether the two clips of every pair show the same video, as intervals need it."""
    return all(pair.a.video == pair.b.video for pair in pairs)


def _matched(
    pairs: Sequence[Pair], rows: Mapping[Any, Sequence[int]], groups: Mapping[str, str]
) -> Iterator[tuple]:
    """Rows of both clips, factor, video or its group, and styles, for every pair of rows."""
    for pair in pairs:
        a, b = pair.a, pair.b
        video = groups.get(a.video, a.video)
        shown = (pair.factor, video, a.style, b.style)
        for both in zip(rows[a], rows[b], strict=True):
            yield *both, *shown
