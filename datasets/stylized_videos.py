"""Videos in several styles, as a data set of action recognition."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.factors import STATIC
from datasets.dataset import DataRequest
from datasets.frame_sizes import Shown, header_notes
from datasets.geometry import ClipGeometry
from datasets.names import is_folder
from datasets.pair_plan import Pair, PairPlan, PlanRules
from datasets.shown_files import alike_notes, alike_pairs, digest, file_state, require_different
from datasets.taken_frames import permutation, raw_frames
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
    thorough: whether files are known by their contents, and not by their times.
    digests: what the frames looked at so far are known by: video, style and positions.
    """

    listed: VideoSet
    found: dict[tuple[str, str], FrameFolder] = field(default_factory=dict, compare=False)
    thorough: bool = False
    digests: dict[tuple[str, str, tuple[int, ...]], str] = field(
        default_factory=dict, compare=False
    )

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

    def require_usable(self, plan: PairPlan, geometry: ClipGeometry) -> None:
        """Raise UserError if every shuffle shows the frames of its clip in their order, or if all
        dynamic pairs show the same files in two styles."""
        shuffles, unchanged = self._shuffles(plan, geometry)
        if unchanged and unchanged == shuffles:
            raise UserError(self._unchanged(unchanged, shuffles, plan, geometry))
        require_different(plan, self._alike(plan, geometry), self.listed.style_folders.__getitem__)

    def _shuffles(self, plan: PairPlan, geometry: ClipGeometry) -> tuple[int, int]:
        """How many static pairs are of a clip and its shuffle, and of them, how many show the same
        frames in the same order."""
        taken = raw_frames(geometry)

        def shown(clip: Clip) -> Iterator[list[int]]:
            positions = self.listed.positions(clip.video, clip.start, geometry.window)
            for index, rows in enumerate(taken):
                order = permutation(clip.shuffle, index, len(rows)).tolist()
                yield [positions[rows[place]] for place in order]

        shuffles = [
            pair
            for pair in plan.pairs
            if pair.factor == STATIC and pair.a.source == pair.b.source and pair.a != pair.b
        ]
        same = (all(map(operator.eq, shown(pair.a), shown(pair.b))) for pair in shuffles)
        return len(shuffles), sum(same)

    def _unchanged(
        self, unchanged: int, shuffles: int, plan: PairPlan, geometry: ClipGeometry
    ) -> str:
        """What it means that shuffles change nothing, and what helps."""
        if max(n for _, n in geometry.inputs) == 1:
            other = "" if plan.given else ", or static pairs of two videos with `app_shuffle` False"
            advice = f"clips of one frame have no order: give a larger `clip_frames`{other}"
        elif self._wrapped(plan, geometry) and (option := self._advice(plan, geometry)):
            advice = f"clips that run past the end of their video repeat frames: give {option}"
        elif plan.given:
            advice = "give other `pairs`"
        else:
            advice = "give a larger `clip_frames` if the network takes it, or another `random_seed`"
        return (
            f"{unchanged} of {shuffles} shuffled clips show their frames in the order of the other "
            f"clip, so that nothing differs in these static pairs; {advice}"
        )

    def _alike(self, plan: PairPlan, geometry: ClipGeometry) -> list[Pair]:
        """The dynamic pairs of checked videos that show the same files in two styles."""

        rows = _rows(geometry)

        def files(clip: Clip) -> Iterator[Path]:
            if frames := self.found.get((clip.video, clip.style)):
                yield from map(frames.path, self._positions(clip, geometry, rows))

        return alike_pairs(plan, files)

    def _positions(
        self, clip: Clip, geometry: ClipGeometry, rows: Sequence[int]
    ) -> tuple[int, ...]:
        """The raw frames that a clip shows, each once, in order, if it takes `rows` of a window."""
        positions = self.listed.positions(clip.video, clip.start, geometry.window)
        return tuple(sorted({positions[row] for row in rows}))

    def store_rows(self, clip: Clip, geometry: ClipGeometry) -> Iterator[dict[str, Any]]:
        """One row: the clip, and what the frames that it shows are known by."""
        shown = clip.video, clip.style, self._positions(clip, geometry, _rows(geometry))
        if shown not in self.digests:
            frames = self.found[clip.video, clip.style]
            states = (file_state(frames.path(p), self.thorough) for p in shown[2])
            self.digests[shown] = digest(states, self.thorough)
        yield {**dataclasses.asdict(clip), "files": self.digests[shown]}

    def reader(self, geometry: ClipGeometry) -> VideoReader:
        """What reads the clips."""
        from datasets.video_clips import VideoReader

        return VideoReader(self.listed, self.found, geometry)

    def notes(self, plan: PairPlan, geometry: ClipGeometry) -> list[str]:
        """How many clips run past the end of their video, how many shuffles change nothing, how
        many pairs show the same files in two styles, and what helps; and what the headers of
        frames say."""
        shuffles, unchanged = self._shuffles(plan, geometry)
        notes = self._wrapped(plan, geometry)
        if unchanged:
            notes.append(f"unchanged: {self._unchanged(unchanged, shuffles, plan, geometry)}")
        notes += alike_notes(plan, self._alike(plan, geometry))
        return [*notes, *header_notes(self._first_frames(plan, geometry), "styles")]

    def _first_frames(self, plan: PairPlan, geometry: ClipGeometry) -> Iterator[Shown]:
        """The first shown frame of every checked video in every style."""
        rows = _rows(geometry)
        clips = {(clip.video, clip.style): clip for clip in reversed(plan.clips)}
        for (video, style), clip in sorted(clips.items()):
            if frames := self.found.get((video, style)):
                first = self._positions(clip, geometry, rows)[0]
                yield Shown(video, f"style {style}", frames.path(first))

    def _wrapped(self, plan: PairPlan, geometry: ClipGeometry) -> list[str]:
        """How many clips run past the end of their video, if any, and what helps."""
        span = 1 + max(max(taken) for taken in raw_frames(geometry))
        past = [clip.start + span - self.listed.videos[clip.video].end for clip in plan.clips]
        wrapped = [frames for frames in past if frames > 0]
        if not wrapped:
            return []
        advice = self._advice(plan, geometry)
        return [
            f"wrapped: {len(wrapped)} of {len(past)} clips run past the end of their video, by "
            f"{max(wrapped)} frame{'s' * (max(wrapped) > 1)} at most, and go on from where they "
            "started, which looks like other motion"
            + (f"; a new run with {advice} avoids that" if advice else "")
        ]

    def _advice(self, plan: PairPlan, geometry: ClipGeometry) -> str:
        """The option with which no clip of such a plan runs past the end, "" if none does."""
        window, frames = self._safe_window(plan), geometry.frames
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


def _rows(geometry: ClipGeometry) -> list[int]:
    """The raw frames that any input takes of a window."""
    return sorted({row for taken in raw_frames(geometry) for row in taken})


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
    return StylizedVideos(videos, thorough=request.thorough)


def _make_synthetic(root: Path) -> None:
    """Make the set if the folder is missing or empty. Raises UserError if it holds other things."""
    from datasets.synthetic import MARKER, make

    if not root.exists() or (is_folder(root) and not any(root.iterdir())):
        make(root, SYNTHETIC_VIDEOS)
        print(f"made: {SYNTHETIC_VIDEOS} synthetic videos in {root}", flush=True)
    elif is_folder(root) and not (root / MARKER).is_file():
        raise UserError(
            f"`dataset` synthetic: {root} has no {MARKER}, so its videos are not the synthetic "
            "ones; give `dataset` plain for videos of your own"
        )
