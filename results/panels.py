"""Panels of a figure as data, drawn as PNG and PDF; estimation/tikz.py writes the same as LaTeX."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results.figures import COLOURS, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = 0.8  # of the distance between two groups of bars
NAME = 42  # characters of a tick's name on a line
_MARKERS = {"dynamic": "o", "static": "s"}
_ERRORS: dict[str, Any] = {"elinewidth": 0.8, "capsize": 2}


@dataclass(frozen=True)
class Series:
    """Named values, one per position of a panel (NaN: none), and half widths of their errors.

    like: the factor or class whose colour it has; by default its label.
    """

    label: str
    values: Sequence[float]
    errors: Sequence[float] = ()
    like: str = ""

    @property
    def colour(self) -> str:
        """That of the factor or class in every figure of the project."""
        return COLOURS.get(self.like or self.label, "#555555")

    @property
    def marker(self) -> str:
        """Marker of a line."""
        return _MARKERS.get(self.label, "^")


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    kind: "lines", "bars" (grouped), "stacked", "rows" (stacked bars that lie, for long names), or
        "steps" (a histogram: one more position than values, the edges).
    ticks: position and name of each tick; none for a plain numeric axis.
    limits: of the axis of values; None to fit them.
    """

    title: str
    kind: str
    where: str
    what: str
    positions: Sequence[float]
    series: Sequence[Series]
    ticks: Sequence[tuple[float, str]] = ()
    limits: tuple[float, float] | None = None


Grid = Sequence[Sequence[Panel | None]]


def labels(grid: Grid) -> dict[str, Series]:
    """One series of each label in a figure, for its legend: in the order of the colours."""
    every = [series for row in grid for panel in row if panel for series in panel.series]
    known = list(COLOURS)
    every.sort(key=lambda s: known.index(s.label) if s.label in known else len(known))
    return {series.label: series for series in every}


def bar_positions(panel: Panel) -> list[np.ndarray]:
    """Centres of the bars of each series: side by side if grouped, in one place if stacked."""
    positions = np.asarray(panel.positions, dtype=float)
    if panel.kind != "bars":
        return [positions for _ in panel.series]
    width = BAR / len(panel.series)
    shifts = (np.arange(len(panel.series)) - (len(panel.series) - 1) / 2) * width
    return [positions + shift for shift in shifts]


def draw_panels(path: Path, grid: Grid) -> Path:
    """Write path.png and path.pdf, one legend for all panels; returns the path of the PNG."""
    heights = [max(_height(panel) for panel in row if panel) for row in grid]
    columns = max(len(row) for row in grid)
    lying = any(panel.kind == "rows" for row in grid for panel in row if panel)
    size = (6.6 if columns > 1 or lying else 3.6, sum(heights) + 0.3)

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(grid), columns, squeeze=False, height_ratios=heights)
        for row, of_row in zip(axes, grid, strict=True):
            for panel_axes, panel in zip(row, [*of_row, *[None] * columns], strict=False):
                _draw_panel(panel_axes, panel, columns)
        _draw_legend(figure, grid)

    return save_figure(path, size, draw)


def _height(panel: Panel) -> float:
    """Inches."""
    if panel.kind != "rows":
        return 1.9
    wrapped = any(len(name) > NAME for _, name in panel.ticks)
    return 0.8 + (0.26 if wrapped else 0.19) * len(panel.positions)


def _wrapped(text: str, width: int) -> str:
    """Text on lines of `width` characters; names of networks may break after an underscore."""
    return textwrap.fill(text.replace("_", "_ "), width).replace("_ ", "_")


def _draw_panel(axes: Axes, panel: Panel | None, columns: int) -> None:
    if panel is None:
        axes.set_axis_off()
        return
    _KINDS[panel.kind](axes, panel)
    wrapped = [_wrapped(line, 80 // columns) for line in panel.title.split("\n")]
    axes.set_title("\n".join(wrapped), loc="left")
    lying = panel.kind == "rows"
    (axes.set_ylabel if lying else axes.set_xlabel)(panel.where)
    (axes.set_xlabel if lying else axes.set_ylabel)(panel.what)
    if panel.ticks:
        at = [position for position, _ in panel.ticks]
        names = [_wrapped(name, NAME) for _, name in panel.ticks]
        (axes.set_yticks if lying else axes.set_xticks)(at, names)
        if not lying and len(names) * max(map(len, names)) * columns > 84:
            axes.tick_params(axis="x", rotation=30)
        margin = (min(at) - 0.5, max(at) + 0.5)
        axes.set_ylim(*reversed(margin)) if lying else axes.set_xlim(*margin)
    if panel.limits:
        (axes.set_xlim if lying else axes.set_ylim)(*panel.limits)


def _draw_legend(figure: Figure, grid: Grid) -> None:
    handles = {}
    for axes in figure.axes:
        handles.update(dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)))
    panels = [panel for row in grid for panel in row if panel]
    if all({s.label for s in p.series} <= {name for _, name in p.ticks} for p in panels):
        return  # the axes name them already
    order = list(labels(grid))
    figure.legend(
        [handles[name] for name in order], order, loc="outside upper center", ncols=len(order)
    )


def _lines(axes: Axes, panel: Panel) -> None:
    for series in panel.series:
        axes.errorbar(
            panel.positions,
            series.values,
            series.errors if len(series.errors) else None,
            color=series.colour,
            marker=series.marker,
            markersize=3.5,
            lw=1.2,
            label=series.label,
            **_ERRORS,
        )


def _bars(axes: Axes, panel: Panel) -> None:
    width = BAR / len(panel.series)
    for series, positions in zip(panel.series, bar_positions(panel), strict=True):
        axes.bar(positions, series.values, width, label=series.label, color=series.colour)
        if len(series.errors):
            axes.errorbar(
                positions, series.values, series.errors, fmt="none", ecolor="#333333", **_ERRORS
            )


def _stacked(axes: Axes, panel: Panel) -> None:
    base = np.zeros(len(panel.positions))
    for series in panel.series:
        values = np.nan_to_num(series.values)
        place = axes.barh if panel.kind == "rows" else axes.bar
        place(panel.positions, values, 0.7, base, label=series.label, color=series.colour)
        base += values


def _steps(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for series in panel.series:
        axes.stairs(series.values, panel.positions, fill=True, color=series.colour, alpha=0.25)
        axes.stairs(series.values, panel.positions, color=series.colour, label=series.label)


_KINDS: dict[str, Callable[[Axes, Panel], None]] = {
    "lines": _lines,
    "bars": _bars,
    "stacked": _stacked,
    "rows": _stacked,
    "steps": _steps,
}
