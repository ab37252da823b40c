"""The two halves of a measurement: clips to features, and pairs of features to estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from common.factors import FACTORS, factor_names
from datasets.geometry import ClipOptions
from datasets.plan import AnyPair, PairLike
from estimation.estimator import Estimate, estimate
from models.network import BY_SHAPE, Network, Tap, UnitRule, find
from results.store import FeatureStore
from utils import DataError, progress, resolve_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from config import Config
    from datasets.clips import BadVideo, Batch
    from models.checkpoints import Loaded


@dataclass(frozen=True)
class FrozenNetwork:
    """A network ready to be measured: its module on a device, the taps of each stage, and what a
    unit is."""

    module: nn.Module
    taps: Mapping[str, Sequence[Tap]]
    device: torch.device
    rule: UnitRule = BY_SHAPE

    def features(
        self, inputs: Sequence[torch.Tensor], logits: bool = False
    ) -> dict[str, np.ndarray]:
        """Features of every stage from one forward, float32 [B, C] each, and "logits" if asked."""
        from models.capture import stage_features

        moved = [x.to(self.device, non_blocking=True) for x in inputs]
        pooled = stage_features(self.module, moved, self.taps, logits=logits, rule=self.rule)
        return {stage: values.float().cpu().numpy() for stage, values in pooled.items()}


def find_network(config: Config) -> Network:
    """The network that was asked for, for the clips and the units that were asked for.

    Raises UserError for an unknown network, and for clips that it cannot take.
    """
    network = find(
        config.model, config.dataset, num_classes=config.num_classes, seed=config.random_seed
    )
    clips = ClipOptions(
        frames=config.clip_frames,
        rate=config.sampling_rate,
        window=config.n_sample_frames,
        crop=config.image_size,
        mean=config.mean,
        std=config.std,
    )
    units = replace(network.units, dim=config.unit_dim)
    network = replace(network.with_clip(clips), units=units)
    if not network.any_stages:
        return network
    from models.outline import measurable

    return measurable(network)


def load_network(config: Config, network: Network, checkpoint: str) -> tuple[FrozenNetwork, Loaded]:
    """The network with the weights of `checkpoint` on its device, and what was loaded.

    Raises UserError if the checkpoint cannot be read or does not fit, or if a stage of a user's
    own network, or one with units on another axis, cannot be measured: one clip of zeros is run
    to see.
    """
    from models.checkpoints import load
    from models.outline import require_stages, zeros

    device = resolve_device(config.device)
    module, loaded = load(
        network,
        checkpoint,
        num_classes=config.num_classes,
        allow_other_head=config.allow_other_head,
        seed=config.random_seed,
    )
    taps = network.stage_taps(config.stg, config.path, config.fuse)
    frozen = FrozenNetwork(module.to(device), taps, device, network.units)
    if network.own or network.units.dim is not None:
        clip = zeros(network.clip, device)
        require_stages(frozen.module, clip, taps, network.units, config.batch_size)
    return frozen, loaded


def fill_store(
    store: FeatureStore,
    network: FrozenNetwork,
    batches: Iterator[Batch | BadVideo],
    rows: Mapping[Any, int],
    on_bad_video: str,
    per_clip: int = 1,
) -> dict[str, str]:
    """Compute and store the features of all clips in `batches`; returns bad videos and why.

    A clip gives `per_clip` rows of features, which stand together in the store.

    Raises DataError at the first unreadable video, unless `on_bad_video` is "skip".
    """
    from datasets.clips import BadVideo

    bad: dict[str, str] = {}
    done, total = (n // per_clip for n in (int(store.done.sum()), len(store.clips)))
    with progress((), "clips", "clip", total=total, done=done) as bar:
        for batch in batches:
            if isinstance(batch, BadVideo):
                if on_bad_video == "stop":
                    raise DataError(
                        f"video {batch.video}: a frame cannot be read: {batch.reason}. Mend it, "
                        "or give `on_bad_video` skip to leave such videos out"
                    )
                bad.setdefault(batch.video, batch.reason)
                continue
            features = network.features(batch.inputs)
            own = _all_rows([rows[clip] for clip in batch.clips], per_clip)
            store.write(own.tolist(), features)
            bar.update(len(batch.clips))
    return bad


def _all_rows(clips: Sequence[int], per_clip: int) -> np.ndarray:
    """The rows in the store of clips by number, int64 [len(clips) per_clip]."""
    first = np.asarray(clips, dtype=np.int64)[:, None] * per_clip
    return (first + np.arange(per_clip)).ravel()


def without_videos(pairs: Sequence[AnyPair], bad: Mapping[str, str]) -> list[AnyPair]:
    """The pairs in which no clip is of a bad video: such a video is dropped for all factors."""
    return [pair for pair in pairs if pair.a.video not in bad and pair.b.video not in bad]


def estimate_stages(
    store: FeatureStore,
    pairs: Sequence[PairLike],
    rows: Mapping[Any, int],
    *,
    n_factors: int,
    residual_index: int,
    per_clip: int = 1,
) -> dict[str, Estimate]:
    """The estimate of every stage of a store, where a clip has `per_clip` rows.

    Memory does not grow with the number of pairs beyond three integers a pair.

    Raises DataError if a factor has no pairs (see `estimation.estimator.estimate`).
    """
    factor = np.repeat(np.array([pair.factor for pair in pairs], dtype=np.int64), per_clip)
    a = _all_rows([rows[pair.a] for pair in pairs], per_clip)
    b = _all_rows([rows[pair.b] for pair in pairs], per_clip)
    estimates = {}
    for stage in store.stages:
        moments = {
            int(f): store.moments(stage, a[factor == f], b[factor == f]) for f in set(factor)
        }
        try:
            estimates[stage] = estimate(moments, n_factors=n_factors, residual_index=residual_index)
        except DataError as error:
            raise DataError(f"stage {stage}: {error}") from None
    return estimates


def require_factors(pairs: Sequence[PairLike], n_factors: int, residual_index: int) -> None:
    """Raise DataError if a factor to estimate has fewer than two pairs, or another has any."""
    for index, name in enumerate(factor_names(n_factors, residual_index)):
        found = sum(pair.factor == index for pair in pairs)
        if index != residual_index and found < 2:
            raise DataError(
                f"the plan has too few pairs for the factor {name!r}: {found}, at least 2 needed; "
                "raise `n_examples` (segmentation: `nreps`), or give other `pairs`"
            )
    estimated = {k for k in range(n_factors) if k != residual_index}
    others = {FACTORS[pair.factor] for pair in pairs if pair.factor not in estimated}
    if others:
        raise DataError(
            f"the plan has pairs of the factors {', '.join(sorted(others))}, which are not among "
            f"those to estimate: give `n_factors` {len(FACTORS)} `residual_index` -1, or other "
            "`pairs`"
        )
