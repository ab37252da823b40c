"""Clips to features: the network with its weights, one forward a clip, all of it kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.files import clear_partials, read_json
from common.parts import in_words
from config import as_json
from datasets.chunks import to_do
from measure.ending import keeping
from measure.filling import Sink, fill_store
from measure.folder import (
    RECORD,
    advising_a_new_run,
    make_folder,
    note_resumption,
    note_way,
    recorded_way,
    require_writable_run,
)
from measure.loaded import LoadedNetwork, load_network
from measure.lock import held
from measure.ranks.journal import journals, merge
from measure.ranks.team import Team
from measure.ranks.work import FINISHED, NOTHING, WORK, Work
from measure.run import Run
from measure.speed import Decision, decide, taken
from measure.waiting import Waiting
from models.network import BUILT
from results.store import FeatureStore
from utils import DataError, UserError, counted


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


def compute_features(
    run: Run, folder: Path, network: LoadedNetwork | None = None, team: Team | None = None
) -> Features:
    """The features of every clip of a run, kept in its folder.

    network: of the run, if it is loaded already; else it is only if a clip is left to compute.
    team: of the processes that compute them, of which this is the first; alone by default.

    Clips whose features were damaged since are computed again.

    Raises UserError if the folder holds features of another run.
    """
    team = team or Team()
    _require_same(run, folder)
    store = _begun_store(run, folder)
    if store and store.done.all():
        team.give(WORK, NOTHING)
        clips = counted(len(run.rows), "clip")
        print(f"nothing left to compute: the features of all {clips} are there", flush=True)
        return Features(store, run.bad_videos)
    network = network or load_for(run)[0]
    store = store or FeatureStore.create(
        folder / "features", run.stages, run.store_rows(), run.identity
    )
    with keeping(run, folder):
        way = _decided(run, folder, store, network, team)
        team.give(WORK, Work(folder, store.done, way.record).as_json())
        left_out = fill(run, store, network, way, team)
        merge(store, map(Path, team.posted(FINISHED)))
        _require_all(run, store, left_out)
        return Features(store, {**run.bad_videos, **left_out})


def _require_all(run: Run, store: FeatureStore, left_out: Mapping[str, str]) -> None:
    """Raise DataError if features of other videos than those left out are missing."""
    done = store.done
    wanted = (rows for clip, rows in run.rows.items() if clip.video not in left_out)
    if missing := sum(not done[list(rows)].all() for rows in wanted):
        raise DataError(
            f"the features of {counted(missing, 'clip')} that other processes have computed cannot "
            f"be read in {store.folder}: do all machines see that folder? Start again"
        )


def _begun_store(run: Run, folder: Path) -> FeatureStore | None:
    """The feature store of a run that has begun. Raises UserError if it is of other videos."""
    features = folder / "features"
    if not features.exists():
        return None
    left = journals(features)
    if left:
        with contextlib.suppress(DataError):  # of which is told below
            merge(FeatureStore.read(features, run.stages), left)
    with advising_a_new_run():
        store = FeatureStore.resume(features, run.stages, run.store_rows(), run.identity)
    merge(store, left)
    if store.damaged:
        clips = counted(store.damaged // run.geometry.rows or 1, "clip")
        print(f"damaged: the features of {clips}, which are computed again", flush=True)
    if run.config.resume:
        note_resumption(folder, run.config)
    return store


def _decided(
    run: Run, folder: Path, store: FeatureStore, network: LoadedNetwork, team: Team
) -> Decision:
    """How the rest of a run's features is computed, which its record says from then on."""
    done = len(_done(run, store))
    if done:
        print(f"resuming: {done} of {len(run.rows)} clips are done", flush=True)
    left = (len(run.rows) - done) // team.size
    way = decide(run, network, left, recorded_way(folder) if done else None)
    note_way(folder, way.record)
    return way


def _done(run: Run, store: Sink) -> set[Any]:
    """The clips of a run that are computed."""
    recorded = store.done
    return {clip for clip, rows in run.rows.items() if recorded[list(rows)].all()}


def fill(
    run: Run, store: Sink, network: LoadedNetwork, way: Decision, team: Team
) -> dict[str, str]:
    """Compute what a store lacks, with the other processes of a team; returns the videos that were
    left out, and why.

    Every process of the team calls this, with what the first one knows to be done.
    """
    run, network = taken(run, network, way)
    chunks = team.take(to_do(run.chunks, _done(run, store).__contains__))
    batches = run.batches(chunks, network.device)
    waiting = Waiting(run.config.num_workers)
    with contextlib.closing(batches):
        return fill_store(store, network, batches, run.rows, run.policy, waiting, team)


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
