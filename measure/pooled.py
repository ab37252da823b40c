"""Finished runs to estimates: one, or several of one network that differ in their seeds, whose
pairs of the same videos are taken together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.factors import DYNAMIC, STATIC
from common.parts import in_words
from config import Config
from datasets.pair_plan import Pair
from estimation.stage import Rules
from estimation.sums import Read
from measure.estimates import estimate_stages
from measure.finished import IDENTITY, FinishedRun
from results.blocks import Results
from results.store import FeatureStore
from utils import UserError

# What the records of runs that are pooled must have in common, where they have it.
_ALIKE = (*(key for key in IDENTITY if key != "plan"), "dataset")


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
    drawn: dict[object, FinishedRun] = {}
    for run in runs:
        other = [key for key in _ALIKE if run.record.get(key) != first.record.get(key)]
        if run.record.get("pairing", [""])[:1] != first.record.get("pairing", [""])[:1]:
            other.append("pairing")
        if other:
            raise UserError(
                f"{run.folder} has {in_words(other)} than {first.folder}: runs of one network "
                "that differ in `random_seed` alone can be pooled"
            )
        # Draws are functions of the seed: whatever the number of pairs, the first ones are alike.
        for what in (_scored(run), *_seed(run)):
            if (same := drawn.setdefault(what, run)) is not run:
                raise UserError(
                    f"{same.folder} and {run.folder} have the same pairs, or pairs of one "
                    "`random_seed`, which would count twice: give one of them"
                )


def _scored(run: FinishedRun) -> str:
    """What tells the scored pairs of a run from those of another one."""
    return run.plan.digest_of((DYNAMIC, STATIC))


def _seed(run: FinishedRun) -> tuple[object, ...]:
    """The seed that the pairs of a run were drawn with; nothing where they were given to it."""
    options = run.record["options"]
    return () if options.get("pairs") else (options.get("random_seed"),)


def videos_of(runs: Sequence[FinishedRun]) -> list[str]:
    """The videos of some runs."""
    return list(dict.fromkeys(clip.video for run in runs for clip in run.rows))


def estimated(
    runs: Sequence[FinishedRun], config: Config, groups: Mapping[str, str] | None = None
) -> Results:
    """The estimates of a run, or of several that are alike (`require_alike`), from their features.

    groups: of videos that belong together.

    Raises DataError for features that are damaged, and UserError if some are not computed yet.
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
