"""The results of a run in the files of the study's code, for its scripts and for comparison.

MODEL_dim_est.csv in the run's folder: units per factor of the last stage. Of segmentation networks,
beside the folders of runs, also

    final/MODEL/MODEL_final_SEED.txt       units of every factor, a line per stage
    joint_encoding/MODEL/STAGE.npz         unit scores and classes, of one seed

The study averages the files of `final` over seeds: those of one network must be made alike. Nothing
else of a run depends on these files. `results.final_files` and `results.joint_files` read them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.tasks import RECOGNITION, SEGMENTATION
from results import final_files, joint_files
from results.statistics import LAYER, Results, find
from utils import DataError, UserError, atomic_path, file_name, read_json

# What runs of different seeds may differ in.
_OF_A_SEED = ("plan", "random")


@dataclass(frozen=True)
class Exported:
    """What the study's files need to know of a run.

    task: of its network.
    save_dir: folder of the folders of runs.
    folder: of the run.
    model: what the network is called.
    seed: of the run.
    stages: in order.
    joint: whether joint encoding was asked for.
    record: all that the results depend on.
    """

    task: str
    save_dir: Path
    folder: Path
    model: str
    seed: int
    stages: Sequence[str]
    joint: bool
    record: Mapping[str, Any]


class Exporter(Protocol):
    """Writes the study's files of a run."""

    def require_free(self) -> None:
        """Raise UserError, before anything is computed, where a file is that of another run."""

    def write(self, results: Results) -> list[Path]:
        """Write the files; returns their paths, or that of their folder where they are many."""


def exporters(run: Exported) -> list[Exporter]:
    """What writes the study's files of a run."""
    return [make(run) for make in EXPORTERS[run.task]]


@dataclass(frozen=True)
class DimEst:
    """Units per factor of the last stage, in the run's own folder."""

    run: Exported

    def require_free(self) -> None:
        """It lies in the run's own folder."""

    def write(self, results: Results) -> list[Path]:
        """Write the file."""
        write_dim_est(self.run.folder, results)
        return []


@dataclass(frozen=True)
class SeedFiles:
    """The files of segmentation."""

    run: Exported

    @property
    def final(self) -> Path:
        """The file of this seed."""
        model = file_name(self.run.model)
        return self.run.save_dir / "final" / model / f"{model}_final_{self.run.seed:03d}.txt"

    @property
    def joint(self) -> Path:
        """The folder of joint encoding."""
        return self.run.save_dir / "joint_encoding" / file_name(self.run.model)

    def require_free(self) -> None:
        """Raise UserError where a file is that of another run, or of no known one, and where other
        seeds were measured in another way."""
        for sibling in sorted(self.run.save_dir.glob("*/config.json")):
            self._require_alike(sibling)
        joint = [self.joint / f"{stage}.npz" for stage in self.run.stages] if self.run.joint else []
        for path in joint:
            seed = joint_files.seed_of(path) if path.exists() else self.run.seed
            if seed != self.run.seed:
                whose = "no known seed" if seed is None else f"seed {seed}"
                raise UserError(
                    f"{path} is of {whose}, and is not overwritten: leave out `joint_encoding`, "
                    "give another `save_dir`, or move it away"
                )
        present = [path for path in (self.final, *joint) if path.exists()]
        if present and not self.run.folder.exists():
            raise UserError(
                f"{present[0]} exists without its run in {self.run.folder}, and is not "
                "overwritten: give another `save_dir`, or move it away"
            )

    def _require_alike(self, path: Path) -> None:
        try:
            record = read_json(path)
        except DataError:
            return
        if not isinstance(record, dict) or record.get("network") != self.run.model:
            return
        same_seed = record.get("options", {}).get("random_seed") == self.run.seed
        free = () if same_seed else _OF_A_SEED
        wanted = {k: v for k, v in self.run.record.items() if k not in free}
        other = [k for k, v in wanted.items() if record.get(k) != v]
        if other:
            raise UserError(
                f"{path.parent} holds a run of {self.run.model} with another {', '.join(other)}; "
                f"the files in {self.final.parent} are averaged over seeds and must be made alike: "
                "give another `save_dir`, or move that folder and its files away"
            )

    def write(self, results: Results) -> list[Path]:
        """Units per factor of every stage, and unit scores and classes where asked for."""
        if self.run.joint:
            threshold, *more = results.thresholds
            write_joint(self.joint, results, threshold, self.run.seed)
            if more:
                print(
                    f"classes in {self.joint} are those at {threshold:g}; others: {self.run.folder}"
                )
        write_final(self.final, results)
        return [self.final, *([self.joint] if self.run.joint else [])]


EXPORTERS: dict[str, tuple[Callable[[Exported], Exporter], ...]] = {
    RECOGNITION: (DimEst,),
    SEGMENTATION: (DimEst, SeedFiles),
}


def write_dim_est(folder: Path, results: Results) -> Path:
    """Write units per factor of the last stage, and their percentages below; returns the path."""
    path = folder / f"{file_name(results.model)}_dim_est.csv"
    last = _dims(results)[-1]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([last.dims, last.percents])
    return path


def write_final(path: Path, results: Results) -> None:
    """Write the text file of one seed, a line per stage; a file at `path` is replaced."""
    final_files.write_final(path, _dims(results))


def write_joint(folder: Path, results: Results, threshold: float, seed: int) -> list[Path]:
    """Write STAGE.npz of every stage, with the classes at a threshold; returns the paths.

    seed: of the run; it is recorded in the files.
    """
    paths = []
    for stage, estimate in results.estimates.items():
        paths.append(folder / f"{stage}.npz")
        joint_files.save_joint(paths[-1], estimate.unit_scores, threshold, seed)
    return paths


def _dims(results: Results) -> list[final_files.StageDims]:
    return [
        final_files.StageDims(
            stage,
            tuple(find(blocks, "dims").value.tolist()),
            tuple(find(blocks, "dims_percent").value.tolist()),
        )
        for stage, blocks in results.by_stage(LAYER).items()
    ]
