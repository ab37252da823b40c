"""Clips to features: the network with its weights, one forward a clip, all of it kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.parts import in_words
from config import Config, as_json
from datasets.videos import MOST_SHOWN
from measure.folder import RECORD, make_folder, note_resumption
from measure.run import Run
from models.network import BUILT, BY_SHAPE, HookPoint, Network, UnitRule
from results.store import FeatureStore
from utils import DataError, UserError, counted, progress, read_json, resolve_device

if TYPE_CHECKING:
    import torch
    from torch import nn

    from datasets.batches import BadVideo, Batch
    from models.checkpoints import Loaded


class UnreadableVideos(DataError):
    """Videos that cannot be read; the rest of a run can go on without them, or once repaired."""


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

        Raises UserError for an error in a user's own network.
        """
        from models.capture import stage_features
        from models.outline import first_forward

        moved = [x.to(self.device, non_blocking=True) for x in inputs]
        with first_forward(inputs) if self.is_users else contextlib.nullcontext():
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


def fill_store(
    store: FeatureStore,
    network: LoadedNetwork,
    batches: Iterator[Batch | BadVideo],
    rows: Mapping[Any, Sequence[int]],
    on_bad_video: str,
) -> dict[str, str]:
    """Compute and store the features of all clips in `batches`; returns bad videos and why.

    Raises UnreadableVideos if there is one, unless `on_bad_video` is "skip": no more is computed
    then, but the other videos are read as well, so that all bad ones (ten at most) are named.
    """
    from datasets.batches import BadVideo

    bad: dict[str, str] = {}
    with progress((), "clips", "clip", total=len(rows), done=_n_done(store, rows)) as bar:
        for batch in batches:
            if isinstance(batch, BadVideo):
                bad.setdefault(batch.video, batch.reason)
                if on_bad_video == "stop" and len(bad) == MOST_SHOWN:
                    break
            elif not bad or on_bad_video == "skip":
                store.write(
                    [row for clip in batch.clips for row in rows[clip]],
                    network.features(batch.inputs),
                )
                bar.update(len(batch.clips))
    if bad and on_bad_video == "stop":
        raise UnreadableVideos(_unreadable(bad))
    return bad


def _n_done(store: FeatureStore, rows: Mapping[Any, Sequence[int]]) -> int:
    """How many of the clips, which have these rows, are in a store."""
    return sum(bool(store.done[own[0]]) for own in rows.values())


def _unreadable(bad: Mapping[str, str]) -> str:
    """What is wrong with videos, and what to do."""
    more = " or more" if len(bad) == MOST_SHOWN else ""
    shown = "\n".join(f"  {video}: {reason}" for video, reason in bad.items())
    return (
        f"{counted(len(bad), 'video')}{more} with a frame that cannot be read:\n{shown}\nRepair "
        f"{'it' if len(bad) == 1 else 'them'}, or give `on_bad_video` skip to leave such videos out"
    )


@dataclass(frozen=True)
class Features:
    """What clips became.

    store: features of every clip that could be read.
    bad_videos: those that could not, and why.
    """

    store: FeatureStore
    bad_videos: Mapping[str, str]


def compute_features(run: Run, folder: Path) -> Features:
    """The features of every clip of a run, kept in its folder, which is made if it is not there.

    The network is loaded before the folder is made, and not at all if no clip is left to compute.

    Raises UserError that says how to go on where it cannot.
    """
    _require_same(run, folder)
    if FeatureStore.is_complete(folder / "features"):
        return Features(_open_store(run, folder), run.bad_videos)
    network, loaded = load_for(run)
    if not folder.exists():
        make_folder(folder, run, loaded)
    store = _open_store(run, folder)
    todo = [clip for clip, rows in run.rows.items() if not store.done[rows[0]]]
    if len(todo) < len(run.rows):
        print(
            f"resuming: {len(run.rows) - len(todo)} of {len(run.rows)} clips are done", flush=True
        )
    batches = run.batches(todo, pin_memory=network.device.type == "cuda")
    try:
        bad = fill_store(store, network, batches, run.rows, run.config.on_bad_video)
    except (KeyboardInterrupt, UserError) as stop:
        kept = f"{_n_done(store, run.rows)} of {len(run.rows)} clips are kept"
        if isinstance(stop, KeyboardInterrupt | UnreadableVideos):
            kept += f"; finish with the same command, or python main.py --resume {folder}"
        elif network.is_users:
            kept += (
                f" in {folder}, for the file as it is now; after a change of it, start a new run"
            )
        raise type(stop)(f"{stop}\n{kept}".lstrip()) from None
    return Features(store, {**run.bad_videos, **bad})


def _require_same(run: Run, folder: Path) -> None:
    """Raise UserError if the features in a run's folder are those of another run."""
    other = FeatureStore.differences(folder / "features", run.identity)
    if other:
        raise UserError(
            f"{folder} holds features that were made with {in_words(other)}"
            f"{_changed_files(run, folder, other)} and cannot be continued. Start a new run: leave "
            "out `resume`, and give another `run_name` where one is given"
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


def _open_store(run: Run, folder: Path) -> FeatureStore:
    """The feature store of a run, new or begun. Raises UserError if it is of other videos."""
    try:
        store = FeatureStore.resume(folder / "features", run.stages, run.store_rows(), run.identity)
    except UserError as error:  # which ends with "Start a new run"
        advice = "leave out `resume`, and give another `run_name`"
        raise type(error)(f"{error}: {advice}") from None
    if run.config.resume:
        note_resumption(folder, run.config)
    return store
