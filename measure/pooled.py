"""Finished runs to estimates: one, or several of one network that differ in their seeds, whose
pairs of the same videos are taken together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.parts import in_words
from config import Config
from datasets.pair_plan import Pair
from estimation.stage import Rules
from estimation.sums import Read
from measure.estimates import estimate_stages
from measure.finished import FinishedRun
from measure.groups import read_groups
from results.blocks import Results
from results.store import FeatureStore
from utils import UserError

# What the records of runs that are pooled must have in common, where they have it.
_ALIKE = (
    *("network", "form", "source", "weights", "random", "stages", "path", "clip", "unit_dim"),
    "dataset",
)


@dataclass(frozen=True)
class _Clip:
    """A clip of one of several runs, which may have the same ones.

    run: its place among them.
    clip: as its plan has it.
    """

    run: int
    clip: Any

    @property
    def video(self) -> str:
        """Name of the video that it shows."""
        return self.clip.video

    @property
    def style(self) -> str:
        """Id of its style."""
        return self.clip.style


@dataclass(frozen=True)
class _Stores:
    """Feature stores of the same stages, one behind the other."""

    stores: Sequence[FeatureStore]

    @property
    def stages(self) -> tuple[str, ...]:
        return self.stores[0].stages

    @property
    def starts(self) -> np.ndarray:
        """The first row of each, and the one behind the last."""
        return np.cumsum([0, *(len(store.clips) for store in self.stores)])

    def reader(self, stage: str) -> Read:
        """Rows to features of a stage; see `FeatureStore.reader`."""
        return _reader([store.reader(stage) for store in self.stores], self.starts)


def _reader(readers: Sequence[Read], starts: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def read(rows: np.ndarray) -> np.ndarray:
        of = np.searchsorted(starts, rows, side="right") - 1
        parts = {run: readers[run](rows[of == run] - starts[run]) for run in np.unique(of).tolist()}
        found = np.empty((len(rows), *next(iter(parts.values())).shape[1:]), np.float32)
        for run, features in parts.items():
            found[of == run] = features
        return found

    return read


def require_alike(runs: Sequence[FinishedRun]) -> None:
    """Raise UserError unless runs are of one network, measured alike, with pairs of their own."""
    first = runs[0]
    plans: dict[str, FinishedRun] = {}
    for run in runs:
        other = [key for key in _ALIKE if run.record.get(key) != first.record.get(key)]
        if run.record.get("pairing", [""])[:1] != first.record.get("pairing", [""])[:1]:
            other.append("pairing")
        if other:
            raise UserError(
                f"{run.folder} has {in_words(other)} than {first.folder}: runs of one network "
                "that differ in `random_seed` alone can be pooled"
            )
        if plans.setdefault(run.plan.digest, run) is not run:
            same = plans[run.plan.digest].folder
            raise UserError(f"{same} and {run.folder} have the same pairs: give one of them")


def estimated(runs: Sequence[FinishedRun], config: Config) -> Results:
    """The estimates of a run, or of several that are alike (`require_alike`), from their features.

    Raises DataError as the file of groups does, and for features that are damaged; UserError if
    some are not computed yet.
    """
    stores = _Stores([run.features() for run in runs])
    starts = stores.starts.tolist()
    rows = {
        _Clip(k, clip): tuple(start + row for row in own)
        for k, (run, start) in enumerate(zip(runs, starts, strict=False))
        for clip, own in run.rows.items()
    }
    pairs = [
        Pair(pair.factor, _Clip(k, pair.a), _Clip(k, pair.b))
        for k, run in enumerate(runs)
        for pair in run.pairs
    ]
    videos = dict.fromkeys(clip.video for clip in rows)
    groups = read_groups(config.groups, videos) if config.groups else {}
    rules = Rules(config.n_factors, config.residual_index, config.confidence)
    record = runs[0].record
    return Results(
        model=record["network"],
        pathway=record["path"],
        dataset=record["dataset"][0],
        weights=record["weights"][:12],
        estimates=estimate_stages(stores, pairs, rows, rules, groups),
        thresholds=config.joint_encoding_thresh,
        chains=runs[0].chains,
        grouped=bool(groups),
    )
