"""CSV tables into panels of bars: shares of networks, or statistics of pairs of clips."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.factors import FACTORS
from results.panels import Panel, Series
from utils import DataError

# What a table of shares holds, and the names that its columns may have.
COLUMNS = {
    "network": ("network", "model"),
    "data": ("trained_on", "dataset"),
    "stage": ("stage",),
    "factor": ("factor", "class"),
    "percent": ("percent", "share_percent"),
}
REQUIRED = ("network", "factor", "percent")
PANELS = ("task", "measure", "path", "threshold")

# Which clips of a pair share what: (motion, appearance), in the order of the factors.
_SHARED = {"dynamic": (1, 0), "static": (0, 1), "different": (0, 0), "same": (1, 1)}
_WORDS = (("motion", 0), ("appearance", 1))

Row = tuple[int, Mapping[str, str]]


def read_table(path: Path) -> list[Panel]:
    """The panels of a table; its kind is recognised by its columns.

    Raises DataError, with file and line, for a table of neither kind, an empty one, a cell that
    should be a number, and a number given twice.
    """
    head, rows = _read(path)
    if set(FACTORS) <= set(head):
        return [pair_panel(path, rows)]
    missing = [name for name in REQUIRED if not set(COLUMNS[name]) & set(head)]
    if missing:
        expected = "; ".join(" or ".join(COLUMNS[name]) for name in REQUIRED)
        raise DataError(
            f"{path} has the columns {', '.join(head)}; expected shares ({expected}) or pair "
            f"statistics ({', '.join(FACTORS)})"
        )
    return share_panels(path, head, rows)


def _read(path: Path) -> tuple[list[str], list[Row]]:
    """The header and the rows with their lines; a table of five columns may have no header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a readable CSV table: {error}") from None
    if lines and len(lines[0][1]) == 1 + len(FACTORS) and all(map(_is_number, lines[0][1][1:])):
        lines.insert(0, (0, ["video", *FACTORS]))
    if len(lines) < 2:
        raise DataError(f"{path} has no rows")
    head = lines[0][1]
    for number, cells in lines[1:]:
        if len(cells) != len(head):
            raise DataError(
                f"{path}, line {number}: {len(cells)} cells, expected {len(head)} as in its header"
            )
    return head, [(number, dict(zip(head, cells, strict=True))) for number, cells in lines[1:]]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(path: Path, row: Row, column: str) -> float:
    number, cells = row
    if not _is_number(cells[column]):
        raise DataError(f"{path}, line {number}: {column} is {cells[column]!r}, expected a number")
    return float(cells[column])


def share_panels(path: Path, head: Sequence[str], rows: Sequence[Row]) -> list[Panel]:
    """A panel of horizontal bars per combination of `PANELS`: a bar per network and stage."""
    own = {name: next((c for c in names if c in head), "") for name, names in COLUMNS.items()}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row[1].get(column, "") for column in PANELS)
        groups.setdefault(key, []).append(row)
    return [_share_panel(path, own, key, of_panel) for key, of_panel in groups.items()]


def _share_panel(
    path: Path, own: Mapping[str, str], key: Sequence[str], rows: Sequence[Row]
) -> Panel:
    values: dict[tuple[tuple[str, ...], str], float] = {}
    for row in rows:
        cells = row[1]
        bar = tuple(cells.get(own[name], "") for name in ("network", "data", "stage"))
        place = (bar, cells[own["factor"]])
        if place in values:
            raise DataError(
                f"{path}, line {row[0]}: {' '.join((*bar, place[1]))} has a number already"
            )
        values[place] = _number(path, row, own["percent"])
    bars = list(dict.fromkeys(bar for bar, _ in values))
    factors = list(dict.fromkeys(factor for _, factor in values))
    percents = np.array([[values.get((bar, name), math.nan) for bar in bars] for name in factors])
    return Panel(
        title=_title(key, bars) or path.stem,
        kind="horizontal",
        xlabel="percent",
        ylabel="",
        positions=list(range(len(bars))),
        series=[Series(name or "value", row) for name, row in zip(factors, percents, strict=True)],
        ticks=list(enumerate(_bar_names(bars))),
        limits=(0, max(100.0, np.nansum(percents, axis=0).max())),
    )


def _constant(bars: Sequence[tuple[str, ...]]) -> list[bool]:
    """Whether network, data and stage are the same for all of several bars."""
    return [len(bars) > 1 and len(set(part)) == 1 for part in zip(*bars, strict=True)]


def _title(key: Sequence[str], bars: Sequence[tuple[str, ...]]) -> str:
    """Task and measure, and the network and data that all bars have."""
    shared = [part for part, same in zip(bars[0][:2], _constant(bars)[:2], strict=True) if same]
    return ", ".join(part for part in (*key, *shared) if part)


def _bar_names(bars: Sequence[tuple[str, ...]]) -> list[str]:
    """What differs of network, data and stage."""
    network_same, data_same, stage_same = _constant(bars)
    names = []
    for network, data, stage in bars:
        parts = [
            "" if network_same else network,
            f"({data})" if data and not data_same else "",
            "" if stage_same else stage,
        ]
        names.append(" ".join(part for part in parts if part))
    return names


def pair_panel(path: Path, rows: Sequence[Row]) -> Panel:
    """Mean and standard deviation over videos of a statistic of four kinds of pairs.

    Groups are pairs that differ, and that agree, in what the stream of the file's name takes in:
    appearance for app_stream, else motion.
    """
    values = {name: [_number(path, row, name) for row in rows] for name in FACTORS}
    words = _WORDS if "app_stream" not in path.name else _WORDS[::-1]
    (group, at), (within, other) = words
    series = []
    for shared, like in ((1, "same"), (0, "different")):
        names = [
            name
            for differ in (0, 1)
            for name, pair in _SHARED.items()
            if pair[at] == differ and pair[other] == shared
        ]
        means = np.array([np.mean(values[name]) for name in names])
        deviations = np.array([np.std(values[name]) for name in names])
        ends = (means - deviations, means + deviations)
        series.append(Series(f"{like} {within}", means, *ends, like=like))
    return Panel(
        title=f"{path.parent.resolve().name}\n{path.stem}, {len(rows)} videos",
        kind="bars",
        xlabel="",
        ylabel="statistic of the pairs",
        positions=[0, 1],
        series=series,
        ticks=[(0, f"different {group}"), (1, f"same {group}")],
    )
