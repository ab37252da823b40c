"""The table of estimates as CSV files for pandas, and as text for the screen."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np

from common.files import open_csv
from results.blocks import Block, Results, classes, classified, find
from results.statistics import CLASS, LAYER, UNIT
from utils import format_table

# Some rows of a CSV file, as columns; what is the same in all of them is repeated without end.
Columns = Mapping[str, Iterable[Any]]
# Of a number on the screen, behind the point, at most.
_DIGITS = 3
# Half the width of an interval, in units of a digit, from which on the next digit says nothing.
_COARSE = 3.5


# The tables of a run, with all numbers in the last one.
TABLES = ("layerwise.csv", "units.csv", "joint_encoding.csv", "estimates.csv")


def write_tables(folder: Path, results: Results) -> None:
    """Write the tables."""
    columns = (layerwise_columns, unit_columns, joint_columns, estimate_columns)
    for name, of_results in zip(TABLES, columns, strict=True):
        write_columns(folder / name, of_results(results))


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
        factors = find(blocks, "score").parts
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
            **{f"certain_at_{t}": _certain(scores, t) for t in results.thresholds},
        }


def unit_classes(scores: Block, threshold: float) -> list[str]:
    """The joint-encoding class of every unit, in order, from the block of unit scores."""
    names = np.full(scores.value.shape[1], "", dtype=object)
    for name, units in classes(scores, threshold).units.items():
        names[units] = name
    return names.tolist()


def _certain(scores: Block, threshold: float) -> Iterable[Any]:
    """Whether the class of every unit is certain; nothing where there are no intervals."""
    certain = classes(scores, threshold).certain
    return repeat("") if certain is None else certain.tolist()


def joint_columns(results: Results) -> Iterator[Columns]:
    """A row per threshold, stage and class of units."""
    for threshold in results.thresholds:
        for stage, blocks in results.by_stage(CLASS, threshold).items():
            names = find(blocks, "units").parts
            columns = _wide(blocks, names)
            for name in ("percent", "certain_percent", "undecided_percent"):
                columns[name] = [round(percent, 2) for percent in islice(columns[name], len(names))]
            at = {"threshold": repeat(threshold), "class": names}
            yield {**_key(results, stage), **at, **columns}


def estimate_columns(results: Results) -> Iterator[Columns]:
    """A row per stage, statistic, factor or class, and unit."""
    for block in results.table:
        at = "" if block.threshold is None else f"_at_{block.threshold}"
        for k, part in enumerate(block.parts):
            columns = {"value": block.value, "lo": block.lo, "hi": block.hi}
            columns["corrected"] = block.corrected
            yield {
                **_key(results, block.stage),
                "level": repeat(block.statistic.level + at),
                "unit": range(block.value.shape[1]) if block.value.ndim > 1 else [""],
                "statistic": repeat(block.statistic.name),
                "factor": repeat(part),
                **{name: np.atleast_1d(array[k]).tolist() for name, array in columns.items()},
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
        if block.statistic.has_interval:
            for end in ("lo", "hi", "corrected"):
                columns |= _cells(block, getattr(block, end), rows, f"_{end}")
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


def parts_table(results: Results) -> str:
    """The parts of the variance of the stages as text."""
    by_stage = results.by_stage(LAYER)
    return _text(
        [{"stage": stage, **_screen(blocks, "parts")} for stage, blocks in by_stage.items()]
    )


def joint_table(results: Results, threshold: float) -> str:
    """Percent of units in each joint-encoding class, by stage, as text."""
    by_stage = results.by_stage(CLASS, threshold)
    return _text([{"stage": stage, **_screen(blocks)} for stage, blocks in by_stage.items()])


def _text(rows: Sequence[Mapping[str, str]]) -> str:
    return format_table(list(rows[0]), [list(row.values()) for row in rows])


def _screen(blocks: Sequence[Block], table: str = "") -> dict[str, str]:
    """Head and text of every number that is shown in a table."""
    return {
        block.statistic.head.format(block.parts[k].replace("_", " ")): _number(block, k)
        for block in blocks
        if block.statistic.head and block.statistic.table == table
        for k in block.shown
    }


def _number(block: Block, k: int) -> str:
    """A number, and its interval if that is shown."""
    form = block.statistic.form
    if math.isnan(block.value[k]):
        return "-"
    if form:  # a number alone, and without a digit that its interval does not earn
        coarse = (block.hi[k] - block.lo[k]) / 2 >= _COARSE
        return f"{block.value[k]:{'.0f' if coarse else form}}"
    return with_interval(block.value[k], block.lo[k], block.hi[k])


def with_interval(value: float, lo: float, hi: float) -> str:
    """A number and its interval, with the digits that the interval earns: one to three, so many
    that half of its width is 3.5 to 35 of the last one.

    >>> with_interval(0.43217, 0.31, 0.55), with_interval(0.43217, 0.4301, 0.4342)
    ('0.43 [0.31, 0.55]', '0.432 [0.430, 0.434]')
    >>> with_interval(0.43217, math.nan, math.nan)
    '0.432'
    """
    half = (hi - lo) / 2
    if not math.isfinite(half):
        return _rounded(value, _DIGITS)
    digits = next((n for n in range(1, _DIGITS) if half >= _COARSE * 0.1**n), _DIGITS)
    value_text, *ends = (_rounded(number, digits) for number in (value, lo, hi))
    return f"{value_text} [{', '.join(ends)}]"


def _rounded(number: float, digits: int) -> str:
    """With so many digits, and no sign before a zero."""
    return f"{round(number, digits) + 0.0:.{digits}f}"
