"""Measure how much static and dynamic information an action-recognition network encodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config import Config, from_given, parse
from measure import folder as runs
from measure import pipeline
from measure.prepare import Measurement, prepare
from results.store import FeatureStore
from results.tables import Results
from utils import UserError, as_options, run

# Options that print something instead of measuring.
LISTS = {
    "list_models": "print the networks of the study, and stop",
    "list_stages": "print the stages of --model, their shapes and units, and stop",
}


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: its folder, its results and the paths of its figures."""

    folder: Path
    results: Results
    figures: list[Path]


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, and print the numbers and where they are."""
    given = parse(argv, LISTS)
    wanted = [name for name in LISTS if given.pop(name, False)]
    if wanted:
        print_lists(wanted, Config(**given))
        return
    config = from_given(given)
    outcome = measure(config)
    print(runs.summary(outcome.results, config.joint_encoding))
    print(f"tables:  {outcome.folder}")
    print(f"figures: {', '.join(map(str, outcome.figures))}")


def print_lists(wanted: Sequence[str], config: Config) -> None:
    """Print what was asked for of `LISTS`."""
    from models import listing

    if "list_models" in wanted:
        print(as_options(listing.models_table()))
    if "list_stages" in wanted:
        network = pipeline.find_network(config)
        print(as_options(listing.stages_table(network, config.path, config.fuse)))


def measure(config: Config) -> Outcome:
    """One run: videos -> pair plan -> features of its distinct clips -> estimates -> results.

    Raises UserError before the first expensive step for anything that is wrong with the request.
    """
    plan = prepare(config)
    print(as_options(plan.describe()), flush=True)
    folder, store, bad_videos = compute_features(plan)
    pairs = pipeline.without_videos(plan.pairs, bad_videos)
    if bad_videos:
        print(f"left out: {len(bad_videos)} unreadable videos, see {folder}/skipped_videos.csv")
    estimates = pipeline.estimate_stages(
        store, pairs, plan.rows, n_factors=config.n_factors, residual_index=config.residual_index
    )
    results = Results(
        model=plan.network.name,
        path=plan.path,
        dataset=config.dataset,
        weights=plan.weights[:12],
        estimates=estimates,
        thresholds=config.joint_encoding_thresh,
    )
    return Outcome(folder, results, runs.save_results(folder, results, bad_videos))


def compute_features(plan: Measurement) -> tuple[Path, FeatureStore, dict[str, str]]:
    """The run's folder, its store with every clip's features, and all bad videos.

    The network is loaded before the folder is made, and not at all if no clip is left to compute.
    """
    config, folder = plan.config, plan.config.resume
    if folder and FeatureStore.is_complete(folder / "features"):
        return folder, _open_store(plan, folder), plan.bad_videos
    runs.require_free_name(config)
    network, record = load_network(plan)
    if not folder:
        record |= {**plan.identity, "bad_videos": plan.bad_videos}
        folder = runs.make_folder(config, plan.network.name, plan.pairs, record)
    store = _open_store(plan, folder)
    todo = [clip for clip, row in plan.rows.items() if not store.done[row]]
    batches = plan.batches(todo, pin_memory=network.device.type == "cuda")
    try:
        bad = pipeline.fill_store(store, network, batches, plan.rows, config.on_bad_video)
    except (KeyboardInterrupt, UserError) as stop:
        kept = f"{store.done.sum()} of {len(store.clips)} clips are kept; finish with"
        message = f"{stop}\n{kept} python main.py --resume {folder}".lstrip()
        raise type(stop)(message) from None
    return folder, store, {**plan.bad_videos, **bad}


def _open_store(plan: Measurement, folder: Path) -> FeatureStore:
    store = FeatureStore.resume(folder / "features", plan.stages, plan.store_rows(), plan.identity)
    if plan.config.resume:
        runs.note_resumption(folder, plan.config)
    return store


def load_network(plan: Measurement) -> tuple[pipeline.FrozenNetwork, dict[str, Any]]:
    """The network with its weights on its device, and a record of where they came from."""
    network, loaded = pipeline.load_network(plan.config, plan.network, plan.checkpoint)
    if loaded.note:
        print(f"checkpoint: {loaded.note}")
    return network, {"checkpoint": asdict(loaded), "device": str(network.device)}


if __name__ == "__main__":
    sys.exit(run(main))
