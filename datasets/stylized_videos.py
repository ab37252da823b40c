"""Videos in several styles, as a data set of action recognition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.dataset import DataRequest
from datasets.geometry import ClipGeometry
from datasets.layouts import find_videos
from datasets.pairs import PairPlan, PlanRules
from datasets.plan import Clip, plan_row, read_plan, sample_pairs
from datasets.videos import UNSTYLIZED, Frames, VideoSet, check_frames
from utils import UserError

if TYPE_CHECKING:
    from datasets.clips import VideoReader

# Size of the set that is made where a synthetic one is asked for and there is none yet.
SYNTHETIC_VIDEOS = 64


@dataclass(frozen=True)
class StylizedVideos:
    """A data set of videos; see `DataSet` for what it answers.

    videos: the videos, and where their frames lie.
    found: their frames by video and style, once they were looked at.
    """

    videos: VideoSet
    found: dict[tuple[str, str], Frames] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.videos.name

    @property
    def names(self) -> Sequence[str]:
        """Names of the videos."""
        return list(self.videos.videos)

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with videos that cannot be shown."""
        return self.videos.problems

    @property
    def left_out(self) -> Mapping[str, int]:
        """Reasons why annotated videos are left out by rule, and how many."""
        return self.videos.left_out

    def frames(self, video: str, style: str) -> Frames:
        """The frames of a video that `check` looked at."""
        return self.found[video, style]

    def sample(self, rules: PlanRules) -> PairPlan:
        """A plan, a row a pair. Raises UserError where the rules cannot be met."""
        return PairPlan(tuple(map(plan_row, sample_pairs(self.videos, rules))))

    def read_plan(self, path: Path, rules: PlanRules) -> PairPlan:
        """The plan in a file. Raises DataError with the line of a row that cannot be used."""
        plan = PairPlan(tuple(map(plan_row, read_plan(path, self.videos))))
        shown = {clip.style for clip in plan.clips}
        if rules.unstylized_static and UNSTYLIZED not in shown:
            raise UserError(
                f"`use_normal_app` True: {path} shows stylized videos alone; leave it out"
            )
        return plan

    def check(self, plan: PairPlan) -> dict[str, str]:
        """What is wrong with the frames of the plan's videos, in all styles, by video."""
        shown = {clip.style for clip in plan.clips}
        styles = [s for s in self.videos.style_folders if s != UNSTYLIZED or s in shown]
        names = dict.fromkeys(clip.video for clip in plan.clips)
        wanted = ((name, style) for name in names for style in styles)
        found, problems = check_frames(self.videos, wanted)
        self.found.update(found)
        return problems

    def store_rows(self, clip: Clip, geometry: ClipGeometry) -> Iterator[dict[str, Any]]:
        """The clip, and the size of the first frame that it shows."""
        first = self.frames(clip.video, clip.style).path(clip.start)
        yield {**dataclasses.asdict(clip), "bytes": first.stat().st_size}

    def reader(self, geometry: ClipGeometry) -> VideoReader:
        """What reads the clips."""
        from datasets.clips import VideoReader

        return VideoReader(self.videos, self.found, geometry)

    def notes(self, plan: PairPlan, geometry: ClipGeometry) -> list[str]:
        """How many clips run past the end of their video, and what helps."""
        from datasets.clips import raw_frames

        span = 1 + max(max(taken) for taken in raw_frames(geometry))
        past = {clip: clip.start + span - self.videos.videos[clip.video].end for clip in plan.clips}
        wrapped = [frames for frames in past.values() if frames > 0]
        if not wrapped:
            return []
        lengths = [self.videos.videos[clip.video].length for clip in plan.clips]
        most = max(frames for _, frames in geometry.inputs)
        advice = f"; `n_sample_frames` {min(lengths)} avoids that" if min(lengths) >= most else ""
        return [
            f"wrapped: {len(wrapped)} of {len(past)} clips run past the end of their video, by "
            f"{max(wrapped)} frames at most, and go on from where they started, which looks like "
            f"other motion{advice}"
        ]


def find(dataset: str, request: DataRequest) -> StylizedVideos:
    """The videos of a data set; the synthetic one is made where it is not there yet.

    Raises UserError for a request that the data set cannot meet, and DataError for missing folders
    and unreadable annotations.
    """
    root = request.stylized or request.made_in
    if dataset == "synthetic":
        _make_synthetic(root)
    usual = root / UNSTYLIZED
    videos = find_videos(
        dataset,
        root,
        request.styles,
        request.subset,
        (request.unstylized or usual) if request.shows_unstylized else None,
        request.start,
    )
    if request.shared_classes:
        videos = videos.of_shared_classes()
        if not videos.videos:
            raise UserError("`m_same` False needs two videos of one class: all are alone in theirs")
    return StylizedVideos(videos)


def _make_synthetic(root: Path) -> None:
    """Make the set where there is none. Raises UserError if other videos are there."""
    from datasets.synthetic import MARKER, make

    if not root.exists():
        make(root, SYNTHETIC_VIDEOS)
        print(f"made: {SYNTHETIC_VIDEOS} synthetic videos in {root}", flush=True)
    elif root.is_dir() and not (root / MARKER).is_file():
        raise UserError(
            f"`dataset` synthetic: {root} has no {MARKER}, so its videos are not synthetic ones; "
            "give `dataset` plain for videos of your own"
        )
