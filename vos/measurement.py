"""A measurement of a segmentation network, all of it checked before any computing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.davis import SequenceSet, check_files, find_sequences
from datasets.flow_plan import (
    FlowClip,
    FlowPair,
    Visit,
    VisitRules,
    all_pairs,
    distinct_flow_clips,
    draw_visits,
    read_visits,
)
from datasets.videos import stop_or_skip
from measure import pipeline
from models.network import RANDOM
from utils import UserError, resolve_device
from vos.config import Configured, VosConfig, configured
from vos.registry import Segmenter, find

if TYPE_CHECKING:
    from datasets.clips import BadVideo, Batch
    from datasets.flow_clips import FlowGeometry


@dataclass(frozen=True)
class Segmentation:
    """What will be measured. model: the name of the folders of its results. bad_videos: sequences
    dropped already (`on_bad_video` skip`), and why."""

    config: VosConfig
    network: Segmenter
    model: str
    checkpoint: str
    stages: tuple[str, ...]
    crop_size: tuple[int, int]
    data: SequenceSet
    nreps: int
    visits: Sequence[Visit]
    bad_videos: dict[str, str]

    @cached_property
    def pairs(self) -> list[FlowPair]:
        """The pairs of frames of all visits."""
        return all_pairs(self.visits, self.data, self.network.frames > 1)

    @cached_property
    def rows(self) -> dict[FlowClip, int]:
        """Every distinct clip and its number; it has `network.frames` rows in the store."""
        return {clip: row for row, clip in enumerate(distinct_flow_clips(self.pairs))}

    @cached_property
    def weights(self) -> str:
        """ "random" or the SHA-256 of the checkpoint."""
        from vos.checkpoints import checkpoint_sha256

        return RANDOM if self.checkpoint == RANDOM else checkpoint_sha256(Path(self.checkpoint))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the results depend on beside the files, in JSON types."""
        visits = "\n".join(str(visit) for visit in self.visits)
        return {
            "network": self.model,
            "form": str(self.network.spec),
            "weights": self.weights,
            "random": self.config.random_seed if self.weights == RANDOM else None,
            "stages": list(self.stages),
            "crop_size": list(self.crop_size),
            "dataset": [self.data.name, *self.data.styles],
            "pairing": [self.config.pairing, self.nreps],
            "plan": hashlib.sha256(visits.encode()).hexdigest(),
            "factors": [self.config.n_factors, self.config.residual_index],
            "thresholds": list(self.config.joint_encoding_thresh),
        }

    def store_rows(self) -> list[dict[str, Any]]:
        """The rows of the feature store: every clip, and the sizes of its image and flow files,
        which tell other files of the same names apart; of two frames a row each."""
        sizes: dict[Path, int] = {}

        def size(path: Path) -> int:
            if path not in sizes:
                sizes[path] = path.stat().st_size
            return sizes[path]

        rows = []
        for clip in self.rows:
            for frame in (clip.frame, clip.other)[: self.network.frames]:
                paths = [self.data.image(clip.video, clip.style, frame)]
                paths += [self.data.flow(clip.video, flow, frame) for flow in self.data.flows]
                row = {**dataclasses.asdict(clip), "row_of": frame}
                rows.append({**row, "bytes": "+".join(str(size(path)) for path in paths)})
        return rows

    @property
    def geometry(self) -> FlowGeometry:
        """How its clips are made."""
        from datasets.flow_clips import FlowGeometry

        return FlowGeometry(self.crop_size, self.network.frames)

    def batches(
        self, clips: list[FlowClip], pin_memory: bool = False
    ) -> Iterator[Batch | BadVideo]:
        """The input batches of some of the clips; pinned for a faster way to a GPU."""
        from datasets.flow_clips import iter_flow_batches

        return iter_flow_batches(
            clips,
            self.data,
            self.geometry,
            batch_size=self.config.batch_size,
            num_workers=self.config.num_workers,
            pin_memory=pin_memory,
        )

    def describe(self) -> str:
        """What will be measured, for the screen."""
        lines = [f"left out: {n} videos {why}" for why, n in self.data.left_out.items()]
        return "\n".join([self._head(), *lines])

    def _head(self) -> str:
        height, width = self.crop_size
        return (
            f"network: {self.model}, weights {self.checkpoint}, {len(self.stages)} stages\n"
            f"clips: {self.network.frames} frame{'s' * (self.network.frames > 1)} and flow, "
            f"{height}x{width} pixels\n"
            f"sequences: {len(self.data.videos)} ({self.data.name}); {len(self.visits)} visits, "
            f"{len(self.pairs)} pairs of frames, {len(self.rows)} distinct clips"
        )


def prepare(config: VosConfig) -> Segmentation:
    """Resolve network, stages, sequences and plan, and check that every file is there.

    Raises UserError for anything that is wrong with the request or the data.
    """
    said = configured(config)
    network = find(said.network["model"], said.network)
    trained_on = config.trained_on or said.network.get("trained_on")
    if config.trained_on and not network.trainings:
        raise UserError(
            f"`trained_on` {config.trained_on}: network {network.name!r} has one training; leave "
            "it out"
        )
    checkpoint = network.checkpoint(config.checkpoint, trained_on)
    model = network.folder(trained_on) + ("_random" if checkpoint == RANDOM else "")
    stages = network.requested_stages(config.stg)
    network.require_crop(said.crop_size)
    data = find_sequences(
        config.dataset,
        said.original,
        said.stylized,
        said.split,
        config.styles,
        backward=network.frames > 1,
    )
    visits = _plan_visits(config, said, data)
    wanted = {(v.video, style) for v in visits for style in (v.style_a, v.style_b)}
    problems = check_files(data, sorted(wanted))
    stop_or_skip(problems, config.on_bad_video)
    visits = [visit for visit in visits if visit.video not in problems]
    plan = Segmentation(
        config,
        network,
        model,
        checkpoint,
        stages,
        said.crop_size,
        data,
        said.nreps,
        visits,
        problems,
    )
    pipeline.require_factors(plan.pairs, config.n_factors, config.residual_index)
    resolve_device(config.device)
    return plan


def _plan_visits(config: VosConfig, said: Configured, data: SequenceSet) -> list[Visit]:
    if config.pairs:
        return read_visits(config.pairs, data)
    rules = VisitRules(
        seed=config.random_seed,
        nreps=said.nreps,
        factors=tuple(k for k in range(config.n_factors) if k != config.residual_index),
        pairing=config.pairing,
    )
    return draw_visits(data, rules)
