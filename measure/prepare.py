"""A measurement of an action-recognition network, all of it checked before any computing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.factors import FACTORS
from config import Config, check
from datasets.geometry import ClipGeometry
from datasets.layouts import find_videos
from datasets.plan import Clip, Pair, PlanRules, distinct_clips, draw_pairs, read_plan
from datasets.videos import Frames, VideoSet, check_frames, stop_or_skip
from measure import pipeline
from models.network import BUILT, RANDOM, Network
from utils import UserError, read_json, resolve_device, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets.clips import BadVideo, Batch

# Size of the set that `dataset` synthetic` makes where there is none yet.
SYNTHETIC_VIDEOS = 64


@dataclass(frozen=True)
class Measurement:
    """What will be measured. bad_videos: those dropped already (`on_bad_video` skip`), and why."""

    config: Config
    network: Network
    checkpoint: str
    stages: tuple[str, ...]
    videos: VideoSet
    pairs: list[Pair]
    frames: dict[tuple[str, str], Frames]
    bad_videos: dict[str, str]

    @property
    def geometry(self) -> ClipGeometry:
        """How its clips are made."""
        return self.network.clip

    @cached_property
    def rows(self) -> dict[Clip, int]:
        """Every distinct clip and its row in the feature store."""
        return {clip: row for row, clip in enumerate(distinct_clips(self.pairs))}

    @property
    def path(self) -> str:
        """Which pathway is measured, empty for a network with one."""
        if len(self.geometry.inputs) == 1:
            return ""
        fused = self.config.fuse or self.network.always_fused
        return self.config.path if fused else f"{self.config.path}, not fused"

    @cached_property
    def weights(self) -> str:
        """ "random", or the SHA-256 of the checkpoint or of the parameters as built."""
        if self.checkpoint == BUILT:
            return self.network.weights.built
        return RANDOM if self.checkpoint == RANDOM else sha256(Path(self.checkpoint))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the features depend on beside the videos, in JSON types."""
        pairs = "\n".join(f"{pair.factor} {pair.a} {pair.b}" for pair in self.pairs)
        return {
            "network": self.network.name,
            "source": self.network.source,
            "weights": self.weights,
            "random": self._random_weights,
            "stages": list(self.stages),
            "path": self.path,
            "clip": {k: _listed(v) for k, v in dataclasses.asdict(self.geometry).items()},
            "unit_dim": self.config.unit_dim,
            "plan": hashlib.sha256(pairs.encode()).hexdigest(),
        }

    @property
    def _random_weights(self) -> dict[str, Any] | None:
        """What random weights depend on: the seed, and the classifier's size, drawn before some."""
        if self.weights != RANDOM:
            return None
        return {"seed": self.config.random_seed, "num_classes": self.config.num_classes}

    def store_rows(self) -> list[dict[str, Any]]:
        """The rows of the feature store: every clip, and the size of the first frame it shows.

        The size tells other videos of the same names apart when a run is resumed.
        """
        return [
            {
                **dataclasses.asdict(clip),
                "bytes": self.frames[clip.video, clip.style].path(clip.start).stat().st_size,
            }
            for clip in self.rows
        ]

    def describe(self) -> str:
        """What will be measured, for the screen."""
        factors = Counter(FACTORS[pair.factor] for pair in self.pairs)
        n_videos = len({clip.video for clip in self.rows})
        frames = " + ".join(f"{n} {name}" for name, n in self.geometry.inputs)
        bundled = self.checkpoint == str(self.network.weights.bundled)
        lines = [
            f"network: {self.network.name}, weights "
            f"{'as shipped' if bundled else self.checkpoint}, stages {', '.join(self.stages)}"
            + (f", path {self.path}" if self.path else ""),
            f"clips: {frames} frames from a window of {self.geometry.window}, "
            f"{self.geometry.crop}x{self.geometry.crop} pixels, {self.geometry.normalisation}",
            f"videos: {n_videos} of {len(self.videos.videos)} ({self.config.dataset}); "
            f"{len(self.pairs)} pairs ({', '.join(f'{n} {name}' for name, n in factors.items())}), "
            f"{len(self.rows)} distinct clips",
        ]
        short = sum(v.length < self.geometry.window for v in self.videos.videos.values())
        if short:
            lines.append(
                f"short: {short} videos have fewer frames than the window and are repeated to fill "
                "it, which looks like other motion; a smaller `n_sample_frames` avoids that"
            )
        lines += [f"left out: {n} videos {why}" for why, n in self.videos.left_out.items()]
        return "\n".join(lines)

    def batches(self, clips: list[Clip], pin_memory: bool = False) -> Iterator[Batch | BadVideo]:
        """The input batches of some of the clips; pinned for a faster way to a GPU."""
        from datasets.clips import iter_batches

        return iter_batches(
            clips,
            self.videos,
            self.frames,
            self.geometry,
            batch_size=self.config.batch_size,
            num_workers=self.config.num_workers,
            pin_memory=pin_memory,
        )


def _listed(value: Any) -> Any:
    """Tuples as lists, also nested, and functions by name: what JSON gives back."""
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def prepare(config: Config) -> Measurement:
    """Resolve network, stages, videos and plan, and check the frames of every planned clip.

    Raises UserError for anything that is wrong with the request or the data.
    """
    check(config)
    network = pipeline.find_network(config)
    stages = network.requested_stages(config.stg)
    checkpoint = network.checkpoint(config.checkpoint)
    videos = _find_videos(config)
    stop_or_skip(videos.problems, config.on_bad_video)
    pairs = _plan_pairs(config, videos, network.clip.window)
    wanted = ((clip.video, clip.style) for clip in distinct_clips(pairs))
    frames, problems = check_frames(videos, wanted)
    stop_or_skip(problems, config.on_bad_video)
    pairs = pipeline.without_videos(pairs, problems)
    pipeline.require_factors(pairs, config.n_factors, config.residual_index)
    resolve_device(config.device)
    return Measurement(
        config,
        network,
        network.fetched(checkpoint, config.weights_dir),
        stages,
        videos,
        pairs,
        frames,
        {**_recorded_bad_videos(config), **videos.problems, **problems},
    )


def _recorded_bad_videos(config: Config) -> dict[str, str]:
    """The videos that the run to resume dropped: its plan no longer holds them."""
    return read_json(config.resume / "config.json").get("bad_videos", {}) if config.resume else {}


def _find_videos(config: Config) -> VideoSet:
    root = config.stylized_data_dir or config.save_dir / "synthetic_videos"
    if config.dataset == "synthetic" and not root.exists():
        from datasets.synthetic import make

        make(root, SYNTHETIC_VIDEOS)
        print(f"made: {SYNTHETIC_VIDEOS} synthetic videos in {root}", flush=True)
    normal = (config.normal_data_dir or root / "original") if config.use_normal_app else None
    videos = find_videos(config.dataset, root, config.styles, config.subset, normal)
    if config.m_same:
        return videos
    mates = videos.with_class_mates()
    if not mates.videos:
        raise UserError("`m_same` False needs two videos of one class: all are alone in theirs")
    return mates


def _plan_pairs(config: Config, videos: VideoSet, window: int) -> list[Pair]:
    given = config.resume / "plan.csv" if config.resume else config.pairs
    if given:
        return read_plan(given, videos)
    rules = PlanRules(
        seed=config.random_seed,
        factors=tuple(k for k in range(config.n_factors) if k != config.residual_index),
        pairing=config.pairing,
        n_examples=config.n_examples,
        window=window,
        same_video=config.m_same,
        shuffle_static=config.app_shuffle,
        original_static=config.use_normal_app,
    )
    return draw_pairs(videos, rules)
