"""The results of a run in the files of the study's code, for its scripts and for comparison.

MODEL_dim_est.csv in the run's folder: units per factor of the last stage. Of segmentation networks,
beside the folders of runs, also

    final/MODEL/MODEL_final_SEED.txt       units of every factor, a line per stage
    joint_encoding/MODEL/STAGE.npz         unit scores and classes, of one seed

The study averages the files of `final` over seeds: those of one network must be made alike. Nothing
else of a run depends on these files. `results.final_files` and `results.joint_files` read them.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import clear_partials, open_csv, read_json
from common.parts import in_words
from common.tasks import RECOGNITION, SEGMENTATION
from results import final_files, joint_files
from results.blocks import Results, classified, find
from results.statistics import LAYER, UNIT
from utils import DataError, UserError, file_name

# What runs of different seeds may differ in: thresholds do not enter the files of `final`.
_OF_A_SEED = ("plan", "random", "thresholds")
# What a resumed run may be given another of, beside thresholds: its features stay.
_GIVEN_ANEW = ("pairing", "dataset", "factors")


@dataclass(frozen=True)
class Exported:
    """What the study's files need to know of a run.

    task: of its network.
    save_dir: folder of the folders of runs.
    folder: of the run.
    seed: of the run.
    joint: whether joint encoding was asked for.
    record: all that the results depend on, with "network" and "stages" among it.
    scored_plan: digest of its scored pairs alone.
    """

    task: str
    save_dir: Path
    folder: Path
    seed: int
    joint: bool
    record: Mapping[str, Any]
    scored_plan: str = ""

    @property
    def final(self) -> Path:
        """The file of this seed."""
        model = file_name(self.record["network"])
        return self.save_dir / "final" / model / f"{model}_final_{self.seed:03d}.txt"

    @property
    def joint_folder(self) -> Path:
        """The folder of joint encoding."""
        return self.save_dir / "joint_encoding" / file_name(self.record["network"])

    @property
    def joint_files(self) -> list[Path]:
        """The files of joint encoding, if it was asked for."""
        stages = self.record["stages"] if self.joint else []
        return [self.joint_folder / f"{stage}.npz" for stage in stages]

    @property
    def beside(self) -> list[Path]:
        """The files that are written beside the folders of runs."""
        return [self.final, *self.joint_files] if self.task == SEGMENTATION else []


def require_free(run: Exported) -> None:
    """Raise UserError, before anything is computed, where a file beside the folders of runs is that
    of another run, or of no known one, and where other seeds were measured in another way."""
    for check in _CHECKS[run.task]:
        check(run)


def write(run: Exported, results: Results) -> list[Path]:
    """Write the files; returns the paths of those beside the run's folder, or of their folder where
    they are many."""
    _write_dim_est(run.folder / f"{file_name(results.model)}_dim_est.csv", results)
    paths = [path for writer in _WRITERS[run.task] for path in writer(run, results)]
    for path in paths:
        clear_partials(path if path.is_dir() else path.parent)
    return paths


def _require_alike(run: Exported) -> None:
    for path in sorted(run.save_dir.glob("*/config.json")):
        other = _differences(run, path)
        if other:
            is_own = path.parent.resolve() == run.folder.resolve()
            advice = (
                "leave out `resume`, and give another `save_dir`"
                if is_own
                else "give another `save_dir`, or move that folder and its files away"
            )
            raise UserError(
                f"{path.parent} holds a run of {run.record['network']} with {in_words(other)}; "
                f"the files in {run.final.parent} are averaged over seeds and must be made alike: "
                f"{advice}"
            )


def _differences(run: Exported, path: Path) -> list[str]:
    """What the run of a record has other than this one, of what they must have in common."""
    try:
        there = read_json(path)
    except DataError:
        return []
    if not isinstance(there, dict) or there.get("network") != run.record["network"]:
        return []
    keys = set(run.record)
    if path.parent.resolve() == run.folder.resolve():
        keys &= set(_GIVEN_ANEW)
    elif there.get("options", {}).get("random_seed") != run.seed:
        keys -= set(_OF_A_SEED)
    else:
        keys |= {"videos"}  # of another folder of this seed, if nothing else
    if there.get("plan") == run.scored_plan != run.record["plan"]:
        # Of an older version, or without different pairs: the files are the same.
        keys -= {"plan", "videos"}
    other = [k for k, v in run.record.items() if k in keys and there.get(k) != v]
    return other or sorted(keys & {"videos"})


def _require_own_seed(run: Exported) -> None:
    for path in run.joint_files:
        seed = joint_files.seed_of(path) if path.exists() else run.seed
        if seed != run.seed:
            whose = "no known seed" if seed is None else f"seed {seed}"
            raise UserError(
                f"{path} is of {whose}, and is not overwritten: leave out `joint_encoding`, "
                "give another `save_dir`, or move it away"
            )


def _require_its_run(run: Exported) -> None:
    present = [path for path in run.beside if path.exists()]
    if present and not run.folder.exists() and not _has_same_scores(run):
        raise UserError(
            f"{present[0]} exists without its run in {run.folder}, and is not "
            "overwritten: give another `save_dir`, or move it away"
        )


def _has_same_scores(run: Exported) -> bool:
    """Whether another run of this seed has the same scored pairs, and so the same files."""
    for path in run.save_dir.glob("*/config.json"):
        with contextlib.suppress(DataError, AttributeError):
            there = read_json(path)
            same = there.get("network"), there.get("options", {}).get("random_seed")
            if same == (run.record["network"], run.seed) and there.get("plan") == run.scored_plan:
                return True
    return False


def _write_dim_est(path: Path, results: Results) -> None:
    """Units per factor of the last stage, and their percentages below."""
    last = _dims(results)[-1]
    with open_csv(path) as file:
        csv.writer(file).writerows([last.dims, last.percents])


def _write_joint(run: Exported, results: Results) -> list[Path]:
    """Unit scores, and classes at the first threshold, where they were asked for."""
    if not run.joint:
        return []
    threshold, *more = results.thresholds
    for path, scores in zip(run.joint_files, _unit_scores(results), strict=True):
        joint_files.save_joint(path, scores, threshold, run.seed)
    if more:
        print(f"classes in {run.joint_folder} are those at {threshold:g}; others: {run.folder}")
    return [run.joint_folder]


def _write_final(run: Exported, results: Results) -> list[Path]:
    """Units per factor of every stage."""
    final_files.write_final(run.final, _dims(results))
    return [run.final]


def _unit_scores(results: Results) -> list[np.ndarray]:
    """The scores [K, C] of the units of every stage; those of the residual are 1."""
    layers, units = results.by_stage(LAYER), results.by_stage(UNIT)
    every = []
    for stage, blocks in units.items():
        known, factors = classified(blocks), find(layers[stage], "score").parts
        ones = np.ones(known.value.shape[1])
        every.append(np.stack([known.part(f) if f in known.parts else ones for f in factors]))
    return every


def _dims(results: Results) -> list[final_files.StageDims]:
    return [
        final_files.StageDims(
            stage,
            tuple(find(blocks, "dims").value.tolist()),
            tuple(find(blocks, "dims_percent").value.tolist()),
        )
        for stage, blocks in results.by_stage(LAYER).items()
    ]


_CHECKS: dict[str, tuple[Callable[[Exported], None], ...]] = {
    RECOGNITION: (),
    SEGMENTATION: (_require_alike, _require_own_seed, _require_its_run),
}
_WRITERS: dict[str, tuple[Callable[[Exported, Results], list[Path]], ...]] = {
    RECOGNITION: (),
    SEGMENTATION: (_write_final, _write_joint),
}
