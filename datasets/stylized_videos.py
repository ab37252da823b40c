"""Videos in several styles, as a data set of action recognition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.dataset import DataRequest
from datasets.geometry import ClipGeometry
from datasets.pair_plan import PairPlan, PlanRules
from datasets.video_layouts import find_videos
from datasets.video_plan import Clip, plan_row, read_plan, sample_pairs
from datasets.videos import UNSTYLIZED, FrameFolder, VideoSet, check_frames
from utils import UserError

if TYPE_CHECKING:
    from datasets.video_clips import VideoReader

# Videos of a synthetic set that is made because it was asked for and is not there.
SYNTHETIC_VIDEOS = 64


@dataclass(frozen=True)
class StylizedVideos:
    """A data set of videos; `DataSet` says what its methods return.

    listed: the videos, and where their frames are.
    found: the frames that `check` has found, by video and style.
    """

    listed: VideoSet
    found: dict[tuple[str, str], FrameFolder] = field(default_factory=dict, compare=False)

    def sample(self, rules: PlanRules) -> PairPlan:
        """A plan, a row for each pair. Raises UserError where the rules cannot be met."""
        return PairPlan(tuple(map(plan_row, sample_pairs(self.listed, rules))))

    def read_plan(self, path: Path, rules: PlanRules) -> PairPlan:
        """The plan in a file. Raises DataError with the line of a row that cannot be used."""
        plan = PairPlan(tuple(map(plan_row, read_plan(path, self.listed))), given=True)
        shown = {clip.style for clip in plan.clips}
        if rules.unstylized_static and UNSTYLIZED not in shown:
            raise UserError(
                f"`use_normal_app` True: {path} shows stylized videos alone; leave it out"
            )
        return plan

    def check(self, plan: PairPlan) -> dict[str, str]:
        """What is wrong with the frames of the plan's videos in any style, by video."""
        shown = {clip.style for clip in plan.clips}
        styles = [s for s in self.listed.style_folders if s != UNSTYLIZED or s in shown]
        names = dict.fromkeys(clip.video for clip in plan.clips)
        wanted = ((name, style) for name in names for style in styles)
        found, problems = check_frames(self.listed, wanted)
        self.found.update(found)
        return problems

    def store_rows(self, clip: Clip, geometry: ClipGeometry) -> Iterator[dict[str, Any]]:
        """One row: the clip, and the bytes of its first frame."""
        first = self.found[clip.video, clip.style].path(clip.start)
        yield {**dataclasses.asdict(clip), "bytes": first.stat().st_size}

    def reader(self, geometry: ClipGeometry) -> VideoReader:
        """What reads the clips."""
        from datasets.video_clips import VideoReader

        return VideoReader(self.listed, self.found, geometry)

    def notes(self, plan: PairPlan, geometry: ClipGeometry) -> list[str]:
        """How many clips run past the end of their video, and what helps."""
        from datasets.video_clips import raw_frames

        span = 1 + max(max(taken) for taken in raw_frames(geometry))
        past = [clip.start + span - self.listed.videos[clip.video].end for clip in plan.clips]
        wrapped = [frames for frames in past if frames > 0]
        if not wrapped:
            return []
        advice = self._advice(self._safe_window(plan), geometry)
        return [
            f"wrapped: {len(wrapped)} of {len(past)} clips run past the end of their video, by "
            f"{max(wrapped)} frame{'s' * (max(wrapped) > 1)} at most, and go on from where they "
            "started, which looks like other motion"
            + (f"; a new run with {advice} avoids that" if advice else "")
        ]

    def _advice(self, window: int, geometry: ClipGeometry) -> str:
        """The option that makes clips fit into a window, "" if none does."""
        frames = geometry.frames
        if geometry.exact_rate:
            rate = window // frames
            return f"`sampling_rate` {rate}" if rate else ""
        most = max(n for _, n in geometry.inputs)
        return f"`n_sample_frames` {window}" if window >= most else ""

    def _safe_window(self, plan: PairPlan) -> int:
        """The longest window with which no clip of such a plan runs past the end of its video."""
        videos = self.listed.videos
        if plan.given:
            return min(videos[clip.video].end - clip.start for clip in plan.clips)
        # Where the two videos of a pair differ, others may be sampled with another window.
        same = all(pair.a.video == pair.b.video for pair in plan.pairs)
        shown = {clip.video for clip in plan.clips} if same else videos
        shortest = min(videos[name].length for name in shown)
        # A window as long as a video may begin late in it, where the study has it so.
        return shortest - 1 if self.listed.shortest_window else shortest


def find(dataset: str, request: DataRequest) -> StylizedVideos:
    """The videos of a data set; the synthetic one is made if it is not there yet.

    Raises UserError for a request that the data set cannot meet, and DataError for missing folders
    and unreadable annotations.
    """
    synthetic = dataset == "synthetic"
    if request.stylized is None and not synthetic:
        raise UserError(
            "`stylized_data_dir` is missing: the folder that holds style_1, style_2, ... "
            "(`dataset` synthetic needs none)"
        )
    root = request.stylized or request.made_in
    if synthetic:
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
    """Make the set if the folder is missing or empty. Raises UserError if it holds other things."""
    from datasets.synthetic import MARKER, make

    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        make(root, SYNTHETIC_VIDEOS)
        print(f"made: {SYNTHETIC_VIDEOS} synthetic videos in {root}", flush=True)
    elif root.is_dir() and not (root / MARKER).is_file():
        raise UserError(
            f"`dataset` synthetic: {root} has no {MARKER}, so its videos are not the synthetic "
            "ones; give `dataset` plain for videos of your own"
        )
