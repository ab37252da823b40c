"""The clips of a run as its folder has them: the list beside the features, and plan.csv.

What videos there are, and of which frames, is taken from the list: no data set is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common.files import columns_of, read_numbered_csv
from datasets.dataset import DataSet
from datasets.davis import Sequence as Frames
from datasets.davis import SequenceSet
from datasets.flow_plan import FlowClip
from datasets.pair_plan import PairPlan, PlanRules, plan_rows, read_integer
from datasets.stylized_sequences import StylizedSequences
from datasets.stylized_videos import StylizedVideos
from datasets.video_plan import Clip
from datasets.videos import Video, VideoSet
from results.chains import by_stream, numbered_chains
from utils import DataError

# The rows of a CSV file by line.
Listed = Sequence[tuple[int, dict[str, str]]]


@dataclass(frozen=True)
class _Kind:
    """How the clips of one task are read back.

    columns: of their list.
    videos: what is needed of the videos to read a plan, from the rows of the list by line.
    rows: of a clip in the list.
    chains: of stages, where the record has none.
    """

    columns: tuple[str, ...]
    videos: Callable[[str, Listed], DataSet]
    rows: Callable[[Any], list[dict[str, Any]]]
    chains: Callable[[Sequence[str]], list[list[str]]]


def _as_videos(path: str, rows: Listed) -> DataSet:
    starts: dict[str, list[int]] = {}
    for line, row in rows:
        start = read_integer(row, "start", f"{path}, line {line}")
        starts.setdefault(row["video"], []).append(start)
    videos = {name: Video(name, name, min(own), max(own) + 1) for name, own in starts.items()}
    styles = tuple(dict.fromkeys(row["style"] for _, row in rows))
    return StylizedVideos(VideoSet("", videos, styles, {style: Path(style) for style in styles}))


def _as_sequences(path: str, rows: Listed) -> DataSet:
    # The first pair of a sequence shows all of its frames, in order.
    frames: dict[str, dict[str, None]] = {}
    for _, row in rows:
        frames.setdefault(row["video"], {}).setdefault(row["frame"])
    videos = {name: Frames(name, name, tuple(own)) for name, own in frames.items()}
    styles = tuple(dict.fromkeys(row["style"] for _, row in rows))
    return StylizedSequences(SequenceSet("", Path(), Path(), videos, styles, ()))


def _video_rows(clip: Clip) -> list[dict[str, Any]]:
    return [asdict(clip)]


def _flow_rows(clip: FlowClip) -> list[dict[str, Any]]:
    return [{**asdict(clip), "row_of": frame} for frame in clip.frames]


_KINDS = (
    _Kind(("video", "style", "start", "shuffle"), _as_videos, _video_rows, numbered_chains),
    _Kind(
        ("video", "frame", "style", "jitter", "other", "row_of"),
        _as_sequences,
        _flow_rows,
        by_stream,
    ),
)


@dataclass(frozen=True)
class StoredClips:
    """The list of clips beside the features.

    path: of its file.
    listed: its rows.
    kind: of the clips.
    """

    path: Path
    listed: Listed
    kind: _Kind = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> StoredClips:
        """The list in a file. Raises DataError if it cannot be read, or lacks a column."""
        rows = read_numbered_csv(path)
        found = columns_of(rows)
        for kind in _KINDS:
            if set(kind.columns) <= set(found):
                return cls(path, rows, kind)
        expected = " or ".join(", ".join(kind.columns) for kind in _KINDS)
        raise DataError(
            f"{path} is damaged: expected a header with {expected}; found "
            f"{', '.join(found) or 'no row'}"
        )

    def chains(self, stages: Sequence[str]) -> list[list[str]]:
        """Chains of stages of a network of these clips, as far as names tell."""
        return self.kind.chains(stages)

    def plan(self, path: Path, digest: str) -> PairPlan:
        """The plan in a file.

        digest: of the plan that the clips were listed for; empty where it is not known.

        Raises DataError, with the line where one can be named, if it is another one.
        """
        two_frames = any(row.get("other") for _, row in self.listed)
        videos = self.kind.videos(str(self.path), self.listed)
        plan = videos.read_plan(path, PlanRules(seed=0, two_frames=two_frames))
        if plan.digest == digest:
            return plan
        self._require_known(path, plan)
        if digest:
            raise DataError(
                f"{path} has changed since the run: its rows are not those that the features were "
                "computed for. Put it back as it was"
            )
        return plan

    def _require_known(self, path: Path, plan: PairPlan) -> None:
        """Raise DataError, with the line, for a clip of a plan that the list does not have."""
        known = {self._key(row) for _, row in self.listed}
        for (line, _), row in zip(plan_rows(path, ()), plan.rows, strict=True):
            for clip in (clip for pair in row.pairs for clip in (pair.a, pair.b)):
                if not known.issuperset(map(self._key, self.kind.rows(clip))):
                    raise DataError(
                        f"{path}, line {line}: {clip} is not among the clips of {self.path}: one "
                        "of the two files has changed since the run. Put it back as it was"
                    )

    def rows(self, plan: PairPlan) -> dict[Any, tuple[int, ...]]:
        """The rows of every clip of a plan. Raises DataError, with the line, for another list."""
        found: dict[Any, tuple[int, ...]] = {}
        n = 0
        for clip in plan.clips:
            expected = self.kind.rows(clip)
            found[clip] = tuple(range(n, n + len(expected)))
            for row in expected:
                self._require(n, row)
                n += 1
        if n < len(self.listed):
            raise DataError(f"{self.path}, line {self.listed[n][0]}: plan.csv has no such clip")
        return found

    def _require(self, place: int, expected: Mapping[str, Any]) -> None:
        """Raise DataError unless a row of the list is that of a clip."""
        shown = ", ".join(f"{key} {value}" for key, value in expected.items())
        if place >= len(self.listed):
            raise DataError(f"{self.path} ends early: expected a row of {shown}, as in plan.csv")
        line, row = self.listed[place]
        if self._key(row) != self._key(expected):
            found = ", ".join(f"{key} {row[key]}" for key in expected)
            raise DataError(
                f"{self.path}, line {line}: found {found}; expected {shown}, as in plan.csv"
            )

    def _key(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """What tells a row from others: all but what its files are known by."""
        return tuple(str(row[column]) for column in self.kind.columns)
