"""The results of a run in the files of the study's code, for its scripts and for comparison.

    MODEL_dim_est.csv                      units per factor of the last stage
    final/MODEL/MODEL_final_SEED.txt       units per factor of every stage
    joint_encoding/MODEL/STAGE.npz         unit scores and their classes

Nothing else of a run depends on them. `results.final_files` and `results.joint_files` read them.
"""

from __future__ import annotations

import csv
from pathlib import Path

from results import final_files, joint_files
from results.estimates import LAYER, Results, find
from utils import atomic_path, file_name


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
