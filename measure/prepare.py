"""A run: one network on one data set, all of it checked before any computing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.factors import FACTORS
from config import Config, check
from datasets.catalogue import DATASETS
from datasets.dataset import DataRequest, DataSet
from datasets.geometry import Geometry
from datasets.pairs import PairPlan, PlanRules, require_factors
from datasets.videos import stop_or_skip
from measure.cfg_file import find_network, resolved
from measure.folder import require_free_name
from models.network import AUTO, BUILT, RANDOM, Network
from utils import UserError, read_json, resolve_device

if TYPE_CHECKING:
    from datasets.batches import BadVideo, Batch


@dataclass(frozen=True)
class Run:
    """What will be measured.

    config: the options, with nothing left open that the data or the network's file say.
    network: the record of the network, for the clips that are shown.
    checkpoint: a file or folder, "random" or "as built".
    stages: to measure, by depth.
    data: the videos.
    plan: all pairs.
    bad_videos: those left out already (`on_bad_video` skip), and why.
    """

    config: Config
    network: Network
    checkpoint: str
    stages: tuple[str, ...]
    data: DataSet
    plan: PairPlan
    bad_videos: dict[str, str]

    @property
    def geometry(self) -> Geometry:
        """How its clips are made."""
        return self.network.clip

    @property
    def model(self) -> str:
        """What the network is called in results."""
        untrained = self.network.weights.untrained if self.checkpoint == RANDOM else ""
        return self.network.name + untrained

    @property
    def pathway(self) -> str:
        """Which pathway is measured, empty for a network with one."""
        return self.network.pathway(self.network.spec)

    @cached_property
    def rows(self) -> dict[Any, tuple[int, ...]]:
        """The rows in the feature store of every distinct clip: one, or one for each frame."""
        n = self.geometry.rows
        return {clip: tuple(range(i * n, i * n + n)) for i, clip in enumerate(self.plan.clips)}

    @cached_property
    def weights(self) -> str:
        """ "random", or the SHA-256 of the checkpoint or of the parameters as built."""
        from models.checkpoints import checkpoint_sha256

        if self.checkpoint == BUILT:
            return self.network.weights.built
        return RANDOM if self.checkpoint == RANDOM else checkpoint_sha256(Path(self.checkpoint))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the features depend on beside the videos, in JSON types."""
        return {
            "network": self.model,
            "source": self.network.source,
            "weights": self.weights,
            "random": self._random_weights,
            "stages": list(self.stages),
            "path": self.pathway,
            "clip": self.geometry.identity(),
            "unit_dim": self.config.unit_dim,
            "plan": self.plan.digest,
        }

    @property
    def _random_weights(self) -> dict[str, Any] | None:
        """What random weights depend on: the seed, and the classifier's size, drawn before some."""
        if self.weights != RANDOM:
            return None
        return {"seed": self.config.random_seed, "num_classes": self.config.num_classes}

    @property
    def record(self) -> dict[str, Any]:
        """All that the results depend on, and that two runs of one folder have in common."""
        config = self.config
        return {
            **self.identity,
            "dataset": [self.data.name, *config.styles],
            "factors": [config.n_factors, config.residual_index],
            "thresholds": list(config.joint_encoding_thresh),
        }

    def store_rows(self) -> list[dict[str, Any]]:
        """The rows of the feature store, in order."""
        return [row for clip in self.rows for row in self.data.store_rows(clip, self.geometry)]

    def batches(self, clips: Sequence[Any], pin_memory: bool = False) -> Iterator[Batch | BadVideo]:
        """The input batches of some of the clips; pinned for a faster way to a GPU."""
        from datasets.batches import iter_batches

        return iter_batches(
            clips,
            self.data.reader(self.geometry),
            batch_size=self.config.batch_size,
            num_workers=self.config.num_workers,
            pin_memory=pin_memory,
        )

    def describe(self) -> str:
        """What will be measured, for the screen."""
        factors = Counter(FACTORS[pair.factor] for pair in self.plan.pairs)
        shown = len({clip.video for clip in self.rows})
        bundled = self.checkpoint == str(self.network.weights.bundled)
        counts = ", ".join(f"{n} {name}" for name, n in factors.items())
        separator = "; " if any("," in stage for stage in self.stages) else ", "
        lines = [
            f"network: {self.model}, weights {'as shipped' if bundled else self.checkpoint}, "
            f"stages {separator.join(self.stages)}"
            + (f", pathway {self.pathway}" if self.pathway else ""),
            f"clips: {self.geometry.describe()}",
            f"videos: {shown} of {len(self.data.names)} ({self.data.name}); "
            f"{len(self.plan.pairs)} pairs ({counts}), {len(self.rows)} distinct clips",
            *self.data.notes(self.plan, self.geometry),
            *(f"left out: {n} videos {why}" for why, n in self.data.left_out.items()),
        ]
        return "\n".join(lines)


def prepare(config: Config) -> Run:
    """Resolve network, stages, videos and plan, and check the files of every planned clip.

    Raises UserError for anything that is wrong with the request or the data.
    """
    check(config)
    config = resolved(config)
    network = find_network(config)
    stages = network.requested_stages(config.stg)
    if not stages:
        raise UserError(f"network {network.name!r} has no stage that can be measured")
    checkpoint = network.checkpoint(config.checkpoint)
    require_free_name(config)
    resolve_device(config.device)
    data = find_data(config, network)
    plan = _plan(config, network, data)
    problems = {**data.problems, **data.check(plan)}
    stop_or_skip(problems, config.on_bad_video)
    plan = plan.without(problems)
    require_factors(plan.pairs, FACTORS, _estimated(config))
    return Run(
        config,
        network,
        fetched(config, network, checkpoint),
        stages,
        data,
        plan,
        {**_recorded_bad_videos(config), **problems},
    )


def find_data(config: Config, network: Network) -> DataSet:
    """The videos that resolved options ask for. Raises UserError as the data set does."""
    assert config.dataset
    request = DataRequest(
        stylized=config.stylized_data_dir,
        styles=config.styles,
        subset=config.subset,
        unstylized=config.normal_data_dir,
        shows_unstylized=config.use_normal_app,
        original=config.original_data_root,
        start=config.start,
        shared_classes=not config.m_same,
        backward=network.clip.rows > 1,
        made_in=config.save_dir / "synthetic_videos",
    )
    return DATASETS[config.dataset].find(config.dataset, request)


def _estimated(config: Config) -> tuple[int, ...]:
    return tuple(k for k in range(config.n_factors) if k != config.residual_index)


def _plan(config: Config, network: Network, data: DataSet) -> PairPlan:
    rules = PlanRules(
        seed=config.random_seed,
        factors=_estimated(config),
        pairing=config.pairing,
        n_examples=config.n_examples,
        window=network.clip.window,
        same_video=config.m_same,
        shuffle_static=config.app_shuffle,
        unstylized_static=config.use_normal_app,
        two_frames=network.clip.rows > 1,
        **({"nreps": config.nreps} if config.nreps else {}),
    )
    if config.resume:
        return data.read_plan(config.resume / "plan.csv", rules)
    if not config.pairs:
        return data.sample(rules)
    plan = data.read_plan(config.pairs, rules)
    if config.n_examples not in (None, len(plan.pairs)):
        raise UserError(
            f"`n_examples` {config.n_examples}: the plan {config.pairs} has {len(plan.pairs)} "
            "pairs; leave it out"
        )
    return plan


def fetched(config: Config, network: Network, checkpoint: str) -> str:
    """The same checkpoint; for "auto" the path of the published file, downloaded if need be."""
    if checkpoint != AUTO:
        return checkpoint
    from models.download import default_folder, published_file

    return str(published_file(network, config.weights_dir or default_folder()))


def _recorded_bad_videos(config: Config) -> dict[str, str]:
    """The videos that the run to resume left out: its plan no longer holds them."""
    return read_json(config.resume / "config.json").get("bad_videos", {}) if config.resume else {}
