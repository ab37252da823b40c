"""Clips to features: the network with its weights, one forward a clip, all of it kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import clear_partials, read_json
from common.parts import in_words
from config import Config, as_json
from datasets.chunks import to_do
from measure.ending import keeping
from measure.filling import fill_store
from measure.folder import (
    RECORD,
    advising_a_new_run,
    make_folder,
    note_resumption,
    require_writable_run,
)
from measure.lock import held
from measure.run import Run
from measure.steady import require_steady
from models.network import BUILT, BY_SHAPE, HookPoint, Network, UnitRule
from results.store import FeatureStore
from utils import UserError, counted, resolve_device

if TYPE_CHECKING:
    import torch
    from torch import nn

    from models.checkpoints import Loaded


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to be measured.

    module: on its device, in evaluation mode.
    points: where each stage is taken.
    device: of the module.
    rule: what a unit is.
    is_users: whether errors in its forward are those of a user's code.
    """

    module: nn.Module
    points: Mapping[str, Sequence[HookPoint]]
    device: torch.device
    rule: UnitRule = BY_SHAPE
    is_users: bool = False

    def features(
        self, inputs: Sequence[torch.Tensor], logits: bool = False
    ) -> dict[str, np.ndarray]:
        """Features of every stage from one forward, float32 [rows, C] each, and "logits" if asked.

        Raises UserError for an error in a user's own network, and where memory does not suffice.
        """
        return self._forward(inputs, logits)

    def require_steady(
        self, inputs: Sequence[torch.Tensor], features: Mapping[str, np.ndarray]
    ) -> None:
        """Raise UserError if a clip has other features than these by itself, or each time (see
        `measure.steady`)."""
        require_steady(self._forward, inputs, features)

    def _forward(
        self, inputs: Sequence[torch.Tensor], logits: bool = False
    ) -> dict[str, np.ndarray]:
        from models.capture import stage_features
        from models.outline import first_forward, within_memory

        moved = [x.to(self.device, non_blocking=True) for x in inputs]
        guard = first_forward(inputs) if self.is_users else contextlib.nullcontext()
        with within_memory(len(inputs[0])), guard:
            pooled = stage_features(self.module, moved, self.points, logits=logits, rule=self.rule)
        return {stage: values.float().cpu().numpy() for stage, values in pooled.items()}


def load_network(config: Config, network: Network, checkpoint: str) -> tuple[LoadedNetwork, Loaded]:
    """The network with the weights of `checkpoint` on its device, and what was loaded.

    Raises UserError if the checkpoint cannot be read or does not fit, or if a stage of a user's
    own network, or one with units on another axis, cannot be measured: a batch of zeros is run to
    see.
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
    points, is_users = network.stage_points(config.stg), bool(network.modules)
    ready = LoadedNetwork(module.to(device), points, device, network.unit_rule, is_users)
    if is_users or network.unit_rule.dim is not None:
        clips = zeros(network.clip, device, config.batch_size)
        require_stages(ready.module, clips, points, network.unit_rule, network.clip.rows)
    return ready, loaded


def load_for(run: Run) -> tuple[LoadedNetwork, dict[str, Any]]:
    """The network of a run, and a record of where its weights came from."""
    network, loaded = load_network(run.config, run.network, run.checkpoint)
    if loaded.note:
        print(f"checkpoint: {loaded.note}")
    return network, {"checkpoint": asdict(loaded), "device": str(network.device)}


@dataclass(frozen=True)
class Features:
    """What clips became.

    store: features of every clip that could be read.
    bad_videos: those that could not, and why.
    """

    store: FeatureStore
    bad_videos: Mapping[str, str]


@contextlib.contextmanager
def at_work(run: Run, folder: Path) -> Iterator[LoadedNetwork | None]:
    """Inside the block no other process works in the folder of a run, which is made if it is not
    there; for that the network is loaded, and given to the block.

    Raises UserError if another process works there, or if nothing can be written there.
    """
    network = None
    clear_partials(folder.parent)
    if folder.exists():
        require_writable_run(folder)
    else:
        network, loaded = load_for(run)
        make_folder(folder, run, loaded)
    with held(folder) as alone:
        for place in (folder, folder / "features"):
            clear_partials(place, whosever=alone)
        yield network


def compute_features(run: Run, folder: Path, network: LoadedNetwork | None = None) -> Features:
    """The features of every clip of a run, kept in its folder.

    network: of the run, if it is loaded already; else it is only if a clip is left to compute.

    Clips whose features were damaged since are computed again.

    Raises UserError if the folder holds features of another run.
    """
    _require_same(run, folder)
    store = _begun_store(run, folder)
    if store and store.done.all():
        return Features(store, run.bad_videos)
    network = network or load_for(run)[0]
    store = store or FeatureStore.create(
        folder / "features", run.stages, run.store_rows(), run.identity
    )
    with keeping(run, folder):
        return Features(store, {**run.bad_videos, **_fill(run, store, network)})


def _begun_store(run: Run, folder: Path) -> FeatureStore | None:
    """The feature store of a run that has begun. Raises UserError if it is of other videos."""
    if not (folder / "features").exists():
        return None
    with advising_a_new_run():
        store = FeatureStore.resume(folder / "features", run.stages, run.store_rows(), run.identity)
    if store.damaged:
        clips = counted(store.damaged // run.geometry.rows or 1, "clip")
        print(f"damaged: the features of {clips}, which are computed again", flush=True)
    if run.config.resume:
        note_resumption(folder, run.config)
    return store


def _fill(run: Run, store: FeatureStore, network: LoadedNetwork) -> dict[str, str]:
    """Compute what a store lacks; returns the videos that were left out, and why."""
    recorded = store.done
    done = {clip for clip, rows in run.rows.items() if recorded[list(rows)].all()}
    if done:
        print(f"resuming: {len(done)} of {len(run.rows)} clips are done", flush=True)
    chunks = to_do(run.chunks, done.__contains__)
    batches = run.batches(chunks, pin_memory=network.device.type == "cuda")
    with contextlib.closing(batches):
        return fill_store(store, network, batches, run.rows, run.policy)


def _require_same(run: Run, folder: Path) -> None:
    """Raise UserError if the features in a run's folder are those of another run."""
    with advising_a_new_run():
        other = FeatureStore.differences(folder / "features", run.identity)
        if other:
            raise UserError(
                f"{folder} holds features that were made with {in_words(other)}"
                f"{_changed_files(run, folder, other)} and cannot be continued"
            )


def _changed_files(run: Run, folder: Path, other: Sequence[str]) -> str:
    """The files behind differences, in words: given as before, they are not as they were."""
    before, now = read_json(folder / RECORD).get("options", {}), as_json(run.config)
    given = {"source": "model", "weights": "checkpoint"}
    files = {"source": now["model"], "weights": run.checkpoint}
    changed = [
        f"{files[key]} has changed"
        for key, option in given.items()
        if key in other and files[key] != BUILT and now[option] == before.get(option)
    ]
    return f" ({', '.join(changed)})" if changed else ""
