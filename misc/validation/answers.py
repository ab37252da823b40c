"""What every question of validation is given, and what it answers with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.factors import DYNAMIC, STATIC
from estimation.estimator import Estimate
from estimation.inference import PARTS, Inference
from estimation.intervals import Interval
from results.colours import LIKE
from results.panels import Grid, Panel, Series

# Rows of a table: keys, then the statistic and its numbers.
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How validation is run.

    save: folder of everything that is written.
    seed: of everything that is random.
    n_sets: simulated data sets per condition.
    stylized: folder of real clips in styles 1 to 4, None without them.
    trained: folder of trained weights, which are used if they are there.
    """

    save: Path
    seed: int
    n_sets: int
    stylized: Path | None
    trained: Path


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    tables: rows of equal keys by name of the file.
    figure: its panels.
    lines: what it says, in sentences.
    overview: two panels that say the most, for the figure of all questions.
    """

    tables: Mapping[str, Sequence[Row]]
    figure: Grid
    lines: Sequence[str]
    overview: Sequence[Panel]


def inference_of(estimate: Estimate) -> Inference:
    """The inference of an estimate, which designs with videos and styles have."""
    assert estimate.inference is not None
    return estimate.inference


def stage_rows(keys: Row, estimate: Estimate) -> list[Row]:
    """The published and the adjusted scores of a stage, and its parts, each with its interval."""
    return [{**keys, **row} for row in _rows(inference_of(estimate), None)]


def unit_rows(keys: Row, estimate: Estimate, unit: int) -> list[Row]:
    """The same of one unit."""
    return [{**keys, **row} for row in _rows(inference_of(estimate), unit)]


def _rows(found: Inference, unit: int | None) -> Iterator[Row]:
    for name, interval, at in statistics(found, unit is not None):
        yield {"statistic": name, **cells(interval, at if unit is None else (*at, unit))}


def statistics(
    found: Inference, of_units: bool = False
) -> Iterator[tuple[str, Interval, tuple[int, ...]]]:
    """The names of the statistics of validation, the intervals that hold them, and where."""
    published, adjusted, parts = (
        (found.unit_scores, found.adjusted_units, found.part_units)
        if of_units
        else (found.scores, found.adjusted, found.parts)
    )
    for name, factor in (("dynamic", DYNAMIC), ("static", STATIC)):
        yield f"published_{name}", published, (factor,)
    for name in ("dynamic", "static"):
        yield f"adjusted_{name}", adjusted, (found.factors.index(name),)
    for place, part in enumerate(PARTS):
        yield part, parts, (place,)


STATISTICS = (
    *("published_dynamic", "published_static", "adjusted_dynamic", "adjusted_static"),
    *PARTS,
)


def cells(interval: Interval, at: tuple[int, ...]) -> Row:
    """The numbers of one place of an interval, rounded for reading."""
    return {
        name: round(float(getattr(interval, name)[at]), 4)
        for name in ("value", "corrected", "se", "lo", "hi")
    }


def picked(rows: Sequence[Row], statistic: str, **keys: Any) -> list[Row]:
    """The rows of a statistic whose cells are these."""
    return [
        row
        for row in rows
        if row["statistic"] == statistic and all(row[key] == value for key, value in keys.items())
    ]


def series_of(label: str, rows: Sequence[Row], like: str = "") -> Series:
    """A series of a figure, of the values of rows and their intervals."""
    value, lo, hi = (np.array([row[name] for row in rows]) for name in ("value", "lo", "hi"))
    return Series(label.replace("_", " "), value, lo, hi, like=like or LIKE.get(label, label))


def parts_panel(
    title: str,
    groups: Sequence[tuple[str, Sequence[Row]]],
    limits: tuple[float, float] | None = None,
) -> Panel:
    """The four parts in named groups, side by side with their intervals.

    groups: a name, and the rows that hold its parts.
    """
    at = list(range(len(groups)))
    series = [series_of(part, [picked(rows, part)[0] for _, rows in groups]) for part in PARTS]
    return Panel(
        title=title,
        kind="bars",
        xlabel="",
        ylabel="part of the variance",
        positions=at,
        series=series,
        ticks=[(k, name) for k, (name, _) in enumerate(groups)],
        limits=limits,
        references=[("y", 0.0), ("y", 1.0)],
    )
