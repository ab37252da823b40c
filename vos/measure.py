"""Measure how much static and dynamic information a segmentation network encodes.

    python -m vos.measure --cfg_file configs/matnet_davis.json --checkpoint FOLDER --random_seed 1

Under `save_dir` it writes

    final/MODEL/MODEL_final_SEED.txt       units of every factor, a line per stage
    joint_encoding/MODEL/STAGE.npz         unit scores and classes, with --joint_encoding True
    runs/MODEL/seed_SEED/                  plan, features, tables and figures of this seed

A run that was interrupted goes on where it stopped, and one that is finished is not repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets.flow_plan import write_visits
from measure import folder as runs
from measure import pipeline
from results.final_files import StageDims, write_final
from results.joint_files import save_joint, seed_of
from results.store import FeatureStore
from results.tables import Results
from utils import UserError, read_json, resolve_device, run, write_json
from vos.config import as_json, load_config
from vos.measurement import Segmentation, prepare


@dataclass(frozen=True)
class Places:
    """Where the results of a network and a seed go."""

    folder: Path
    final: Path
    joint: Path

    @classmethod
    def of(cls, save_dir: Path, model: str, seed: int) -> Places:
        """The places under `save_dir`, those of the study where it had them."""
        return cls(
            folder=save_dir / "runs" / model / f"seed_{seed:03d}",
            final=save_dir / "final" / model / f"{model}_final_{seed:03d}.txt",
            joint=save_dir / "joint_encoding" / model,
        )

    def units(self, stages: Sequence[str]) -> list[Path]:
        """The files of joint encoding."""
        return [self.joint / f"{stage}.npz" for stage in stages]

    def results(self, joint: bool, stages: Sequence[str]) -> list[Path]:
        """The files that a run leaves outside of its folder."""
        return [self.final, *(self.units(stages) if joint else [])]


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, and print the numbers and where they are."""
    config = load_config(argv)
    plan = prepare(config)
    places = Places.of(config.save_dir, plan.model, config.random_seed)
    if _is_finished(plan, places):
        print(f"finished already: {places.final}")
        if (places.folder / "skipped_videos.csv").exists():
            print(f"without the sequences in {places.folder}/skipped_videos.csv")
        return
    _require_writable(places.folder)
    print(plan.describe(), flush=True)
    results = measure(plan, places)
    print(runs.summary(results, config.joint_encoding))
    print(f"tables:  {places.folder}\nfinal:   {places.final}")
    if config.joint_encoding:
        print(f"units:   {places.joint}")


def _require_writable(folder: Path) -> None:
    """Raise UserError, before the network is loaded, if the results cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"`save_dir`: {folder} cannot be made: {error}") from None


def _is_finished(plan: Segmentation, places: Places) -> bool:
    """Whether this very run was finished before.

    Raises UserError if another one, with other options, has its place.
    """
    results = places.results(plan.config.joint_encoding, plan.stages)
    _require_same(plan.identity, places.folder, ())
    for sibling in sorted(places.folder.parent.glob("seed_*")):
        _require_same(plan.identity, sibling, ("plan", "random"))
    if plan.config.joint_encoding:
        _require_own_units(plan, places)
    present = [path for path in results if path.exists()]
    if present and not (places.folder / "config.json").exists():
        raise UserError(
            f"{present[0]} exists without its run in {places.folder}, and is not overwritten: "
            "give another `save_dir`, or move it away"
        )
    finished = present == results
    if finished and (places.folder / "features").is_dir():
        _open_store(plan, places.folder / "features")  # refuses that of other files
    return finished


def _require_same(identity: Mapping[str, Any], folder: Path, but: Sequence[str]) -> None:
    """Raise UserError if the run in `folder`, where there is one, was made otherwise."""
    if not (folder / "config.json").exists():
        return
    before = read_json(folder / "config.json").get("identity", {})
    other = [k for k, v in identity.items() if k not in but and before.get(k) != v]
    if other:
        raise UserError(
            f"{folder} holds a run with another {', '.join(other)}; it is not overwritten, and "
            "results of different runs do not go together: give another `save_dir`, or move that "
            "folder and the run's files under final and joint_encoding away"
        )


def _require_own_units(plan: Segmentation, places: Places) -> None:
    """Raise UserError if the joint-encoding files, which all seeds share, are another seed's."""
    own = plan.config.random_seed
    for path in places.units(plan.stages):
        seed = seed_of(path) if path.exists() else own
        if seed != own:
            whose = "no known seed" if seed is None else f"seed {seed}"
            raise UserError(
                f"{path} is of {whose}, and is not overwritten: leave out `joint_encoding`, "
                "give another `save_dir`, or move it away"
            )


def measure(plan: Segmentation, places: Places) -> Results:
    """One run: features of the distinct clips, estimates, and all files that say so.

    Raises UserError with what is kept if it cannot go on; started again, it goes on from there.
    """
    config, per_clip = plan.config, plan.network.frames
    store, bad_videos = compute_features(plan, places.folder)
    if bad_videos:
        print(f"left out: {len(bad_videos)} sequences, see {places.folder}/skipped_videos.csv")
    pairs = pipeline.without_videos(plan.pairs, bad_videos)
    estimates = pipeline.estimate_stages(
        store,
        pairs,
        plan.rows,
        n_factors=config.n_factors,
        residual_index=config.residual_index,
        per_clip=per_clip,
    )
    results = Results(
        model=plan.model,
        path="",
        dataset=config.dataset,
        weights=plan.weights[:12],
        estimates=estimates,
        thresholds=config.joint_encoding_thresh,
    )
    runs.save_results(places.folder, results, bad_videos)
    if config.joint_encoding:
        threshold, *more = config.joint_encoding_thresh
        for path, estimate in zip(places.units(plan.stages), estimates.values(), strict=True):
            save_joint(path, estimate.unit_scores, threshold, config.random_seed)
        if more:
            print(f"classes in {places.joint} are those at {threshold:g}; others: {places.folder}")
    lines = [StageDims(stage, e.dims, e.dims_percent) for stage, e in estimates.items()]
    write_final(places.final, lines)  # last: it says that the run is finished
    return results


def compute_features(plan: Segmentation, folder: Path) -> tuple[FeatureStore, dict[str, str]]:
    """The store in the run's folder with every clip's features, and all bad sequences.

    The network is loaded before anything is written, and not at all if no clip is left to compute.
    """
    place = folder / "features"
    if FeatureStore.is_complete(place):
        return _open_store(plan, place), plan.bad_videos
    network, record = load_network(plan)
    if not (folder / "config.json").exists():
        write_visits(folder / "plan.csv", plan.visits)
        options = {"options": as_json(plan.config), **record}
        write_json(folder / "config.json", {"identity": plan.identity, **options})
    store = _open_store(plan, place)
    per_clip = plan.network.frames
    todo = [clip for clip, row in plan.rows.items() if not store.done[row * per_clip]]
    if len(todo) < len(plan.rows):
        print(f"going on: {len(plan.rows) - len(todo)} clips are there already", flush=True)
    batches = plan.batches(todo, pin_memory=network.device.type == "cuda")
    policy = plan.config.on_bad_video
    try:
        bad = pipeline.fill_store(store, network, batches, plan.rows, policy, per_clip)
    except (KeyboardInterrupt, UserError) as stop:
        kept = f"{store.done.sum() // per_clip} of {len(plan.rows)} clips are kept"
        message = f"{stop}\n{kept}; the same command goes on from there".lstrip()
        raise type(stop)(message) from None
    return store, {**plan.bad_videos, **bad}


def _open_store(plan: Segmentation, folder: Path) -> FeatureStore:
    return FeatureStore.resume(folder, plan.stages, plan.store_rows(), plan.identity)


def load_network(plan: Segmentation) -> tuple[pipeline.FrozenNetwork, dict[str, Any]]:
    """The network with its weights on its device, and a record of where they came from."""
    from vos.checkpoints import load

    device = resolve_device(plan.config.device)
    module, loaded = load(plan.network, plan.checkpoint, seed=plan.config.random_seed)
    if loaded.note:
        print(f"checkpoint: {loaded.note}")
    taps = plan.network.stage_taps(plan.config.stg)
    frozen = pipeline.FrozenNetwork(module.to(device), taps, device)
    return frozen, {"checkpoint": asdict(loaded), "device": str(device)}


if __name__ == "__main__":
    sys.exit(run(main))
