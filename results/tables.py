"""Results of a run: tables for pandas, a summary for the screen."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from estimation.estimator import CLASSES, Estimate, joint_encoding
from utils import atomic_path, file_name, format_table, write_csv


@dataclass(frozen=True)
class Results:
    """The estimates of one network on one data set, stage by stage.

    path: pathway of a two-pathway network, else empty.
    weights: "random" or the start of the checkpoint's SHA-256.
    """

    model: str
    path: str
    dataset: str
    weights: str
    estimates: Mapping[str, Estimate]
    thresholds: Sequence[float]

    @property
    def title(self) -> str:
        """Network and data set in a few words, untrained ones marked."""
        untrained = " (random weights)" if self.weights == "random" else ""
        path = f" ({self.path})" if self.path else ""
        return f"{self.model}{path}{untrained} on {self.dataset}"

    def _key(self, stage: str) -> dict[str, Any]:
        return {
            "model": self.model,
            "path": self.path,
            "dataset": self.dataset,
            "weights": self.weights,
            "stage": stage,
        }


def layerwise_rows(results: Results) -> list[dict[str, Any]]:
    """One row per stage and factor: pairs, raw score, share (percent), units and their percent."""
    return [
        {
            **results._key(stage),
            "factor": factor,
            "n_pairs": e.n_pairs[k],
            "score": float(e.scores[k]),
            "share_percent": float(100 * e.shares[k]),
            "dims": e.dims[k],
            "dims_percent": e.dims_percent[k],
            "n_units": e.n_units,
        }
        for stage, e in results.estimates.items()
        for k, factor in enumerate(e.factors)
    ]


def unit_rows(results: Results) -> list[dict[str, Any]]:
    """One row per stage and unit: the raw score of each factor with pairs, and its classes."""
    rows = []
    for stage, e in results.estimates.items():
        classes = {t: unit_classes(e.unit_scores, t) for t in results.thresholds}
        scored = [k for k, name in enumerate(e.factors) if name != "residual"]
        for unit in range(e.n_units):
            rows.append(
                {
                    **results._key(stage),
                    "unit": unit,
                    **{f"score_{e.factors[k]}": float(e.unit_scores[k, unit]) for k in scored},
                    **{f"class_at_{t}": classes[t][unit] for t in results.thresholds},
                }
            )
    return rows


def unit_classes(unit_scores: np.ndarray, threshold: float) -> list[str]:
    """The joint-encoding class of every unit, in order."""
    classes = [""] * unit_scores.shape[1]
    for name, units in joint_encoding(unit_scores, threshold).items():
        for unit in units:
            classes[unit] = name
    return classes


def class_counts(results: Results, threshold: float) -> dict[str, dict[str, int]]:
    """Units in each class, by stage; the classes of a stage sum to its number of units."""
    return {
        stage: {
            name: len(units) for name, units in joint_encoding(e.unit_scores, threshold).items()
        }
        for stage, e in results.estimates.items()
    }


def joint_rows(results: Results) -> list[dict[str, Any]]:
    """One row per threshold, stage and class: units and percent of the stage's units."""
    return [
        {
            **results._key(stage),
            "threshold": threshold,
            "class": name,
            "units": count,
            "percent": round(100 * count / results.estimates[stage].n_units, 2),
        }
        for threshold in results.thresholds
        for stage, counts in class_counts(results, threshold).items()
        for name, count in counts.items()
    ]


def write_tables(folder: Path, results: Results) -> None:
    """Write layerwise.csv, units.csv, joint_encoding.csv and the study's <model>_dim_est.csv."""
    write_csv(folder / "layerwise.csv", layerwise_rows(results))
    write_csv(folder / "units.csv", unit_rows(results))
    write_csv(folder / "joint_encoding.csv", joint_rows(results))
    last = list(results.estimates.values())[-1]
    with (
        atomic_path(folder / f"{file_name(results.model)}_dim_est.csv") as path,
        path.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([last.dims, last.dims_percent])


def layerwise_table(results: Results) -> str:
    """The layerwise statistics as text: raw scores, and shares in percent, by stage."""
    first = next(iter(results.estimates.values()))
    scored = [k for k, name in enumerate(first.factors) if name != "residual"]
    heads = [f"{first.factors[k]} score" for k in scored]
    heads += [f"{name} %" for name in first.factors]
    rows = [
        [stage, str(e.n_units)]
        + [f"{e.scores[k]:.3f}" for k in scored]
        + [f"{100 * share:.1f}" for share in e.shares]
        for stage, e in results.estimates.items()
    ]
    return format_table(["stage", "units", *heads], rows)


def joint_table(results: Results, threshold: float) -> str:
    """Percent of units in each joint-encoding class, by stage, as text."""
    rows = []
    for stage, counts in class_counts(results, threshold).items():
        total = sum(counts.values())
        rows.append([stage, *(f"{100 * counts[name] / total:.1f}" for name in CLASSES)])
    return format_table(["stage", *(f"{name} %" for name in CLASSES)], rows)
