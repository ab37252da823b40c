"""Sequences with flow in several styles, as a data set of segmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.dataset import DataRequest
from datasets.davis import SPLIT, SequenceSet, check_files, find_sequences
from datasets.flow_plan import (
    FlowClip,
    SequencePair,
    read_sequence_pairs,
    sample_sequence_pairs,
)
from datasets.frame_sizes import Shown, header_notes
from datasets.geometry import FlowGeometry
from datasets.pair_plan import PairPlan, PlanRules
from datasets.shown_files import (
    alike_notes,
    alike_pairs,
    digest,
    file_state,
    require_different,
)
from utils import UserError

if TYPE_CHECKING:
    from datasets.flow_clips import FlowReader


@dataclass(frozen=True)
class StylizedSequences:
    """A data set of sequences; `DataSet` says what its methods return.

    listed: the sequences, and where their files are.
    thorough: whether files are known by their contents, and not by their times.
    states: of the files looked at so far.
    """

    listed: SequenceSet
    thorough: bool = False
    states: dict[Path, str] = field(default_factory=dict, compare=False)

    def sample(self, rules: PlanRules) -> PairPlan:
        """A plan, a row for each sequence pair. Raises UserError where the rules cannot be met."""
        return self._plan(sample_sequence_pairs(self.listed, rules), rules)

    def read_plan(self, path: Path, rules: PlanRules) -> PairPlan:
        """The plan in a file. Raises DataError with the line of a row that cannot be used."""
        plan = self._plan(read_sequence_pairs(path, self.listed), rules)
        return dataclasses.replace(plan, given=True)

    def _plan(self, pairs: Sequence[SequencePair], rules: PlanRules) -> PairPlan:
        rows = (pair.row(self.listed, rules.two_frames) for pair in pairs)
        return PairPlan(tuple(rows), numbered="visit")

    def check(self, plan: PairPlan) -> dict[str, str]:
        """What is missing of the frames and the flow of the plan's sequences, by sequence."""
        return check_files(self.listed, sorted({(clip.video, clip.style) for clip in plan.clips}))

    def require_usable(self, plan: PairPlan, geometry: FlowGeometry) -> None:
        """Raise UserError if all dynamic pairs show the same images in two styles."""
        require_different(plan, alike_pairs(plan, self._images), self.listed.style_folder)

    def _images(self, clip: FlowClip) -> list[Path]:
        return [self.listed.image(clip.video, clip.style, frame) for frame in clip.frames]

    def store_rows(self, clip: FlowClip, geometry: FlowGeometry) -> Iterator[dict[str, Any]]:
        """A row for each frame of the clip, with what its image and flow files are known by."""
        data = self.listed
        for frame, image in zip(clip.frames, self._images(clip), strict=True):
            paths = [image, *(data.flow(clip.video, flow, frame) for flow in data.flows)]
            files = digest(map(self._state, paths), self.thorough)
            yield {**dataclasses.asdict(clip), "row_of": frame, "files": files}

    def _state(self, path: Path) -> str:
        if path not in self.states:
            self.states[path] = file_state(path, self.thorough)
        return self.states[path]

    def reader(self, geometry: FlowGeometry) -> FlowReader:
        """What reads the clips."""
        from datasets.flow_clips import FlowReader

        return FlowReader(self.listed, geometry)

    def notes(self, plan: PairPlan, geometry: FlowGeometry) -> list[str]:
        """What a row of the plan stands for, how many pairs show the same images, and what the
        headers of frames and flow say."""
        return [
            f"sequences: each of {len(plan.rows)} pairs of sequences gives a pair per frame",
            *alike_notes(plan, alike_pairs(plan, self._images)),
            *header_notes(self._first_frames(plan), "styles and flow"),
        ]

    def _first_frames(self, plan: PairPlan) -> Iterator[Shown]:
        """The first shown frame of every sequence in every style, and its flow images."""
        data = self.listed
        clips = {(clip.video, clip.style): clip for clip in reversed(plan.clips)}
        for (video, style), clip in sorted(clips.items()):
            yield Shown(video, f"style {style}", data.image(video, style, clip.frame))
            for flow in data.flows:
                yield Shown(video, flow, data.flow(video, flow, clip.frame))


def find(dataset: str, request: DataRequest) -> StylizedSequences:
    """The sequences of a data set.

    Raises UserError if a folder was not given, and DataError for what is missing in them.
    """
    sequences = find_sequences(
        dataset,
        _given("original_data_root", request.original),
        _given("stylized_data_dir", request.stylized),
        request.subset or SPLIT,
        request.styles,
        backward=request.backward,
    )
    return StylizedSequences(sequences, request.thorough)


def _given(name: str, folder: Path | None) -> Path:
    """The folder. Raises UserError if it was not given."""
    if folder is None:
        raise UserError(
            f"`{name}` is missing: the folder of {_FOLDERS[name]}. Give it, or name it in the "
            f"environment ({ENVIRONMENT[name]}) or in the file of `cfg_file`"
        )
    return folder


_FOLDERS = {
    "original_data_root": "DAVIS 2016 and its flow images",
    "stylized_data_dir": "Stylized DAVIS",
}
# Environment variables that may name these folders.
ENVIRONMENT = {
    "original_data_root": "ORIGINAL_DATA_ROOT",
    "stylized_data_dir": "STYLIZED_DATA_ROOT",
}
