"""A run: one network on one data set, and all that its results depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.factors import FACTORS, scored_factors
from config import Config, as_json
from datasets.chunks import Chunk, in_chunks
from datasets.dataset import DataSet
from datasets.geometry import Geometry
from datasets.pair_plan import PairPlan
from measure.groups import described, read_groups
from measure.left_out import Policy
from measure.request import PATHWAY_OPTIONS
from models.checkpoint_files import checkpoint_sha256
from models.network import BUILT, RANDOM, Network
from models.way import FP32
from results.chains import chains, numbered_chains
from utils import counted

if TYPE_CHECKING:
    import torch

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

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of each video that is in one (`groups`). Raises DataError as that file does."""
        return read_groups(self.config.groups, self._shown) if self.config.groups else {}

    @property
    def _shown(self) -> list[str]:
        """The videos of the plan."""
        return list(dict.fromkeys(clip.video for clip in self.plan.clips))

    @property
    def policy(self) -> Policy:
        """Which videos may be left out."""
        return Policy(
            unreadable=self.config.on_bad_video == "skip",
            nan=self.config.on_nan == "skip",
            max_bad=self.config.max_bad,
            known=self.bad_videos,
            videos=len({clip.video for clip in self.plan.clips} | set(self.bad_videos)),
        )

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

    @property
    def chains(self) -> list[list[str]]:
        """The stages in chains of those that follow one another."""
        if self.network.modules:  # a user's own: the order of its modules is not that of its run
            return numbered_chains(self.stages)
        return chains(self.stages, self.network.stages)

    @cached_property
    def rows(self) -> dict[Any, tuple[int, ...]]:
        """The rows in the feature store of every distinct clip: one, or one for each frame."""
        n = self.geometry.rows
        return {clip: tuple(range(i * n, i * n + n)) for i, clip in enumerate(self.plan.clips)}

    @cached_property
    def weights(self) -> str:
        """ "random", or the SHA-256 of the checkpoint or of the parameters as built."""
        if self.checkpoint == BUILT:
            return self.network.weights.built
        return RANDOM if self.checkpoint == RANDOM else checkpoint_sha256(Path(self.checkpoint))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the features depend on beside the videos, in JSON types."""
        return {
            "network": self.model,
            "form": self._form,
            "source": self.network.source,
            "weights": self.weights,
            "random": self._random_weights,
            "stages": list(self.stages),
            "path": self.pathway,
            "clip": self.geometry.identity(),
            "unit_dim": self.config.unit_dim,
            # In float32 as it was before there was a choice.
            "precision": None if self.config.precision == FP32 else self.config.precision,
            "plan": self.plan.digest,
        }

    @property
    def agreed(self) -> dict[str, Any]:
        """What all processes that compute its features must agree in, in JSON types."""
        return {
            **self.identity,
            "batch_size": self.config.batch_size,
            "PyTorch version": version("torch"),
        }

    @property
    def _form(self) -> dict[str, Any] | None:
        """What the network's name may leave open, in JSON types: its options, and, where results
        are called as a user likes, which network it is."""
        options = [name for name in self.network.options if name not in PATHWAY_OPTIONS]
        form = {name: getattr(self.network.spec, name) for name in options}
        model = {"model": as_json(self.config)["model"]} if self.config.name else {}
        return {**form, **model} or None

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
        # Rows of other factors leave the numbers as they are: such runs are made alike.
        scored = scored_factors(config.n_factors, config.residual_index)
        return {
            **self.identity,
            "pairing": [config.pairing, self.plan.count(scored)],
            "dataset": [self.data.listed.name, *config.styles],
            "factors": [config.n_factors, config.residual_index],
            "thresholds": list(config.joint_encoding_thresh),
        }

    @property
    def scored_plan(self) -> str:
        """SHA-256 of the scored pairs, all that the published numbers depend on: another run may
        have these pairs alone."""
        config = self.config
        return self.plan.digest_of(scored_factors(config.n_factors, config.residual_index))

    def store_rows(self) -> list[dict[str, Any]]:
        """The rows of the feature store, in order."""
        return [row for clip in self.rows for row in self.data.store_rows(clip, self.geometry)]

    @cached_property
    def chunks(self) -> list[Chunk]:
        """All clips in chunks of batches, which depend on the plan and the batch size alone."""
        size = self.config.batch_size
        assert size, "known once the way to compute is"
        return in_chunks(self.plan.clips, size)

    def batches(
        self, chunks: Iterable[Chunk], device: torch.device | str = "cpu"
    ) -> Generator[Batch | BadVideo, None, None]:
        """The input batches of some chunks, for a network on a device."""
        from datasets.batches import iter_batches

        return iter_batches(
            chunks,
            self.data.reader(self.geometry),
            num_workers=self.config.num_workers,
            device=device,
        )

    def describe(self) -> str:
        """What will be measured, for the screen."""
        factors = Counter(FACTORS[pair.factor] for pair in self.plan.pairs)
        bundled = self.checkpoint == str(self.network.weights.bundled)
        data = self.data.listed
        counts = ", ".join(f"{n} {name}" for name, n in factors.items())
        separator = "; " if any("," in stage for stage in self.stages) else ", "
        lines = [
            f"network: {self.model}, weights {'as shipped' if bundled else self.checkpoint}, "
            f"stages {separator.join(self.stages)}"
            + (f", pathway {self.pathway}" if self.pathway else ""),
            f"clips: {self.geometry.describe()}",
            f"videos: {len(self._shown)} of {len(data.videos)} ({data.name}); "
            f"{len(self.plan.pairs)} pairs ({counts}), {len(self.rows)} distinct clips",
            *([described(self.groups, self._shown)] if self.groups else []),
            *self.data.notes(self.plan, self.geometry),
            *(
                f"left out: {counted(n, 'video')} {why}"
                for why, n in self.data.listed.left_out.items()
            ),
        ]
        return "\n".join(lines)
