"""The table of estimates as CSV files for pandas, and as text for the screen."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from common.files import open_csv
from results.statistics import CLASS, LAYER, UNIT, Block, Results, classes, classified, find
from utils import format_table

# Some rows of a CSV file, as columns; what is the same in all of them is repeated without end.
Columns = Mapping[str, Iterable[Any]]


def write_tables(folder: Path, results: Results) -> None:
    """Write layerwise.csv, units.csv, joint_encoding.csv, and estimates.csv with all numbers."""
    write_columns(folder / "layerwise.csv", layerwise_columns(results))
    write_columns(folder / "units.csv", unit_columns(results))
    write_columns(folder / "joint_encoding.csv", joint_columns(results))
    write_columns(folder / "estimates.csv", estimate_columns(results))


def write_columns(path: Path, groups: Iterator[Columns]) -> None:
    """Write groups of rows with the same columns as CSV with a header; NaN is an empty cell."""
    first = next(groups)
    with open_csv(path) as file:
        writer = csv.writer(file)
        writer.writerow(first)
        for columns in chain([first], groups):
            for row in zip(*columns.values(), strict=False):
                writer.writerow(["" if cell != cell else cell for cell in row])


def layerwise_columns(results: Results) -> Iterator[Columns]:
    """A row per stage and factor."""
    for stage, blocks in results.by_stage(LAYER).items():
        factors = max((b.parts for b in blocks if b.statistic.in_rows), key=len)
        yield {**_key(results, stage), "factor": factors, **_wide(blocks, factors)}


def unit_columns(results: Results) -> Iterator[Columns]:
    """A row per stage and unit: its scores, its class at each threshold, and what is newer."""
    for stage, blocks in results.by_stage(UNIT).items():
        scores = classified(blocks)
        yield {
            **_key(results, stage),
            "unit": range(scores.value.shape[1]),
            **_cells(scores, scores.value),
            **{f"class_at_{t}": unit_classes(scores, t) for t in results.thresholds},
            **_wide(blocks),
        }


def unit_classes(scores: Block, threshold: float) -> list[str]:
    """The joint-encoding class of every unit, in order, from the block of unit scores."""
    names = np.full(scores.value.shape[1], "", dtype=object)
    for name, units in classes(scores, threshold).items():
        names[units] = name
    return names.tolist()


def joint_columns(results: Results) -> Iterator[Columns]:
    """A row per threshold, stage and class of units."""
    for threshold in results.thresholds:
        for stage, blocks in results.by_stage(CLASS, threshold).items():
            names = find(blocks, "units").parts
            columns = _wide(blocks, names)
            columns["percent"] = [round(percent, 2) for percent in columns["percent"]]
            at = {"threshold": repeat(threshold), "class": names}
            yield {**_key(results, stage), **at, **columns}


def estimate_columns(results: Results) -> Iterator[Columns]:
    """A row per stage, statistic, factor or class, and unit."""
    for block in results.table:
        at = "" if block.threshold is None else f"_at_{block.threshold}"
        for k, part in enumerate(block.parts):
            value, lo, hi = (np.atleast_1d(array[k]) for array in (block.value, block.lo, block.hi))
            yield {
                **_key(results, block.stage),
                "level": repeat(block.statistic.level + at),
                "unit": range(len(value)) if block.statistic.level == UNIT else [""],
                "statistic": repeat(block.statistic.name),
                "factor": repeat(part),
                "value": value.tolist(),
                "lo": lo.tolist(),
                "hi": hi.tolist(),
            }


def _key(results: Results, stage: str) -> dict[str, Iterable[str]]:
    """The columns that every file begins with."""
    key = {
        "model": results.model,
        "path": results.pathway,
        "dataset": results.dataset,
        "weights": results.weights,
        "stage": stage,
    }
    return {name: repeat(text) for name, text in key.items()}


def _wide(blocks: Sequence[Block], rows: Sequence[str] = ()) -> dict[str, Iterable[Any]]:
    """The columns of some blocks, for rows of such parts; those of intervals stand at the end."""
    columns: dict[str, Iterable[Any]] = {}
    for block in blocks:
        columns |= _cells(block, block.value, rows)
    for block in blocks:
        if block.statistic.bounds:
            columns |= _cells(block, block.lo, rows, "_lo") | _cells(block, block.hi, rows, "_hi")
    return columns


def _cells(
    block: Block, array: np.ndarray, rows: Sequence[str] = (), end: str = ""
) -> dict[str, Iterable[Any]]:
    """The columns of one of a block's arrays: one if its parts are rows, else one per part."""
    statistic = block.statistic
    if statistic.in_rows:
        of_part = dict(zip(block.parts, array.tolist(), strict=True))
        return {f"{statistic.name}{end}": [of_part.get(part, math.nan) for part in rows]}
    return {
        "_".join(filter(None, (statistic.name, part))) + end: (
            numbers.tolist() if numbers.ndim else repeat(numbers.item())
        )
        for part, numbers in zip(block.parts, array, strict=True)
    }


def layerwise_table(results: Results) -> str:
    """The statistics of the stages as text."""
    rows = []
    for stage, blocks in results.by_stage(LAYER).items():
        n_units = find(blocks, "n_units").value.item()
        rows.append({"stage": stage, "units": str(n_units), **_screen(blocks)})
    return _text(rows)


def joint_table(results: Results, threshold: float) -> str:
    """Percent of units in each joint-encoding class, by stage, as text."""
    by_stage = results.by_stage(CLASS, threshold)
    return _text([{"stage": stage, **_screen(blocks)} for stage, blocks in by_stage.items()])


def _text(rows: Sequence[Mapping[str, str]]) -> str:
    return format_table(list(rows[0]), [list(row.values()) for row in rows])


def _screen(blocks: Sequence[Block]) -> dict[str, str]:
    """Head and text of every number that is shown."""
    return {
        block.statistic.head.format(block.parts[k]): _number(block, k)
        for block in blocks
        if block.statistic.head
        for k in block.shown
    }


def _number(block: Block, k: int) -> str:
    """A number, and its interval if there is one."""
    value, lo, hi = (f"{x[k]:{block.statistic.form}}" for x in (block.value, block.lo, block.hi))
    return f"{value} [{lo}, {hi}]" if block.statistic.bounds else value
