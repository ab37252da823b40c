"""A finished run read back from its folder alone: no network is built, no data set looked for.

What the videos are is taken from the list of clips beside the features (features/clips.csv), which
pairs there are from plan.csv, and all else from config.json. Runs of older versions are read too.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from common.factors import DIFFERENT, FACTORS, scored_factors
from common.files import read_csv, read_json
from common.parts import in_words
from config import Config, check
from datasets.pair_plan import Pair, PairPlan, require_factors
from measure.folder import RECORD, SKIPPED, recorded_bad_videos
from measure.stored_clips import StoredClips
from results.store import CLIPS, FeatureStore
from utils import DataError, UserError, counted

# Options that a run may be estimated anew with.
OPTIONS = (
    *("n_factors", "residual_index", "joint_encoding", "joint_encoding_thresh", "confidence"),
    "groups",
)

# What features are made from, in a run's record and beside them (`measure.run.Run.identity`).
IDENTITY = (
    *("network", "form", "source", "weights", "random", "stages", "path", "clip", "unit_dim"),
    *("plan", "precision"),
)


@dataclass(frozen=True)
class FinishedRun:
    """A run as its folder has it.

    folder: of the run.
    record: what config.json says.
    plan: its pairs.
    rows: of every clip in the feature store.
    bad_videos: those that it left out, and why.
    chains: the stages in chains of those that follow one another.
    """

    folder: Path
    record: Mapping[str, Any]
    plan: PairPlan
    rows: Mapping[Any, tuple[int, ...]]
    bad_videos: Mapping[str, str]
    chains: Sequence[Sequence[str]]

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """The run in a folder.

        Raises UserError if there is none, and DataError, with the file and the line, where what it
        says of itself, of its pairs or of its clips is damaged.
        """
        record = _read_record(folder)
        if not (folder / "features").exists():
            raise UserError(f"{folder} is not finished: no clip is computed yet. {_finish(folder)}")
        clips = StoredClips.read(folder / "features" / CLIPS)
        plan = clips.plan(folder / "plan.csv", record["plan"])
        rows = clips.rows(plan)
        bad_videos = {**recorded_bad_videos(folder), **_skipped(folder)}
        chains = record.get("chains") or clips.chains(record["stages"])
        return cls(folder, record, plan, rows, bad_videos, chains)

    def config(self, given: Mapping[str, Any]) -> Config:
        """The options to estimate with: those given, the others as the run last had them.

        Raises UserError for options that contradict each other, or that need pairs there are not.
        """
        resumed = self.record.get("resumed") or [self.record]
        before = {k: v for k, v in resumed[-1]["options"].items() if k in OPTIONS and v is not None}
        try:
            Config(**before)
        except UserError as error:
            raise DataError(f"{self.folder / RECORD} is damaged: {error}") from None
        config = Config(**{**before, **given})
        check(config)
        if config.groups and "groups" not in given and not config.groups.exists():
            raise UserError(
                f"{config.groups}, the `groups` of the run, is not there any more: give `groups`"
            )
        scored = scored_factors(config.n_factors, config.residual_index)
        for_parts = () if DIFFERENT in scored else (DIFFERENT,)
        more = "give other values of `n_factors` and `residual_index`, or start a new run"
        require_factors(self.pairs, FACTORS, scored, more, for_parts)
        return config

    def features(self) -> FeatureStore:
        """The features of all clips, but for videos that the run left out.

        Raises DataError where they are damaged, and UserError if some are not computed yet.
        """
        if other := FeatureStore.differences(self.folder / "features", self._identity):
            raise DataError(
                f"{self.folder / 'features'} is of another run, with {in_words(other)} than "
                f"{RECORD} says. Put back the features of this run"
            )
        store = FeatureStore.read(self.folder / "features", self.record["stages"])
        if store.faults:
            raise DataError(f"{store.faults[0]}. {_finish(self.folder)}")
        done = store.done
        needed = [rows for clip, rows in self.rows.items() if clip.video not in self.bad_videos]
        missing = sum(not done[list(rows)].all() for rows in needed)
        if missing:
            raise UserError(
                f"{self.folder} is not finished: {missing} of {counted(len(needed), 'clip')} are "
                f"to be computed yet. {_finish(self.folder)}"
            )
        return store

    @property
    def _identity(self) -> dict[str, Any]:
        """What the features must have been made from, as far as it is recorded."""
        return {key: self.record[key] for key in IDENTITY if self.record.get(key)}

    @cached_property
    def pairs(self) -> list[Pair]:
        """The pairs of all videos that were not left out."""
        return self.plan.without(self.bad_videos).pairs


# What the record of a run must say, and how.
_RECORDED: dict[str, Callable[[Any], bool]] = {
    "options": lambda v: isinstance(v, dict),
    "network": lambda v: isinstance(v, str),
    "path": lambda v: isinstance(v, str),
    "weights": lambda v: isinstance(v, str),
    "dataset": lambda v: isinstance(v, list) and bool(v) and isinstance(v[0], str),
    "stages": lambda v: isinstance(v, list) and bool(v) and all(isinstance(x, str) for x in v),
    "plan": lambda v: isinstance(v, str),
}


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.exists():
        raise UserError(f"{folder} is not the folder of a run: it has no {RECORD}")
    record = read_json(path)
    if not isinstance(record, dict):
        raise DataError(f"{path} is damaged: expected a JSON object")
    record = _as_now(record)
    for key, is_sound in _RECORDED.items():
        if not is_sound(record.get(key)):
            found = f"{key!r} is {record[key]!r:.60}" if key in record else f"it has no {key!r}"
            raise DataError(f"{path} is damaged: {found}")
    for key, fits in _ADDED.items():
        if key in record and not fits(record[key], record):
            raise DataError(f"{path} is damaged: {key!r} is {record[key]!r:.60}")
    return record


def _as_now(record: dict[str, Any]) -> dict[str, Any]:
    """A record as this version has it: older ones had no data set of their own, or had what the
    features depend on in a part of theirs, without a pathway and with another digest of plans."""
    options, identity = record.get("options"), record.get("identity")
    if isinstance(identity, dict):
        record = {"path": "", **identity, "plan": "", **record}
    if isinstance(options, dict):
        record = {"dataset": [options.get("dataset")], **record}
    return record


def _are_chains(value: Any, record: Mapping[str, Any]) -> bool:
    """Whether chains hold every stage once."""
    if not isinstance(value, list) or not all(isinstance(chain, list) for chain in value):
        return False
    return sorted(str(stage) for chain in value for stage in chain) == sorted(record["stages"])


def _are_resumptions(value: Any, record: Mapping[str, Any]) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("options"), dict) for entry in value
    )


# What it may say beside.
_ADDED: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
    "chains": _are_chains,
    "resumed": _are_resumptions,
}


def _finish(folder: Path) -> str:
    """What finishes a run, in words."""
    return f"Finish it with python main.py --resume {shlex.quote(str(folder))}"


def _skipped(folder: Path) -> dict[str, str]:
    """The videos that a run left out while it computed."""
    path = folder / SKIPPED
    if not path.exists():
        return {}
    try:
        return {row["video"]: row["reason"] for row in read_csv(path)}
    except KeyError as error:
        raise DataError(f"{path} is damaged: it has no column {error}") from None
