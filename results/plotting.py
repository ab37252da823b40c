"""Figures as PNG and PDF: panels plotted in one style, of sizes that their names fit in."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.files import atomic_path
from results.colours import DARK, GREY
from results.panels import BAR, Grid, Numbers, Panel, Series, bar_positions, labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "errorbar.capsize": 2,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "figure.dpi": 200,
}

# Inches, and characters of the names of ticks.
_WIDTH, _NARROW = 6.6, 3.6
_LINE, _CHARACTER = 0.14, 0.065
_NAME = 42
# How much of its colour is left to what is in doubt.
_PALE = 0.35
# More bars of a panel are too narrow for the caps of their intervals.
_CAPPED = 24
# Of the distance between two stages: how far the first and the last of some lines stand apart, so
# that their intervals can be told apart.
_APART = 0.24


def save_figure(path: Path, grid: Grid) -> Path:
    """Write path.png and path.pdf, completely or not at all; returns the path of the PNG."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = plot_figure(grid)
        _lay_out(figure)
        for suffix in (".pdf", ".png"):
            # By way of memory: what writes PDF does not cope with a full disk.
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:])
            with atomic_path(path.with_name(path.name + suffix)) as temporary:
                temporary.write_bytes(buffer.getvalue())
    return path.with_name(path.name + ".png")


def _lay_out(figure: Figure) -> None:
    """Put everything in its place once: for each file it would be done anew."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    assert engine
    engine.execute(figure)
    if any(axes.get_aspect() != "auto" for axes in figure.axes):
        engine.execute(figure)  # how much room square panels leave is known only now
    figure.set_layout_engine("none")


def plot_figure(grid: Grid) -> Figure:
    """The figure of all panels, with one legend."""
    import matplotlib
    from matplotlib.figure import Figure

    columns = max(len(row) for row in grid)
    wide = columns > 1 or any(panel.horizontal for row in grid for panel in row if panel)
    width = _WIDTH if wide else _NARROW
    rows = [[panel for panel in row if panel] for row in grid]
    bodies = [max(map(_body, row)) for row in rows]
    around = [max(_around(panel, width / columns) for panel in row) for row in rows]
    with matplotlib.rc_context(_STYLE):
        size = (width, sum(bodies) + sum(around) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(grid), columns, squeeze=False, height_ratios=bodies)
        for row, panels in zip(axes, grid, strict=True):
            for place, panel in zip(row, [*panels, *[None] * columns], strict=False):
                _plot_panel(place, panel, width / columns)
        _add_legend(figure, grid)
    return figure


def _body(panel: Panel) -> float:
    """Inches that a panel's axes are tall."""
    if panel.horizontal:
        wrapped = any(len(name) > _NAME for _, name in panel.ticks)
        return (0.26 if wrapped else 0.19) * len(panel.positions)
    return _KINDS[panel.kind].body


def _around(panel: Panel, width: float) -> float:
    """Inches of title, label and names above and below a panel's axes."""
    lines = len(f"{_title(panel, width)}\n{_xlabel(panel, width)}".split("\n")) - 1
    longest = max((len(name) for _, name in panel.ticks), default=0)
    leaning = {0: 0.0, 30: 0.5, 90: 1.0}[_rotation(panel, width)]
    return 0.45 + _LINE * lines + leaning * _CHARACTER * min(longest, _NAME)


def _rotation(panel: Panel, width: float) -> int:
    """Degrees by which the names of ticks along the x axis are turned, to fit side by side."""
    names = [name for _, name in panel.ticks]
    if panel.horizontal or _CHARACTER * sum(len(name) + 1 for name in names) < width - 0.5:
        return 0
    leftward = 0.87 * _CHARACTER * max(map(len, names))
    return 30 if len(names) <= 8 and leftward < width / 2 else 90


def _title(panel: Panel, width: float) -> str:
    square = panel.kind == "scatter"  # in the middle of its width
    room = (width + _body(panel)) / 2 if square else width
    lines = panel.title.split("\n")
    return "\n".join(_wrapped(line, int((room - 0.3) / _CHARACTER)) for line in lines)


def _xlabel(panel: Panel, width: float) -> str:
    return _wrapped(panel.xlabel, int((width - 0.5) / _CHARACTER))


def _wrapped(text: str, width: int) -> str:
    """Text on lines of `width` characters; names may break after an underscore, and after a dot
    that is none of a number."""
    mark = "\x0b"  # white space that is in no name
    breakable = re.sub(r"(_|\.(?=[^\W\d]))", rf"\1{mark}", text)
    return textwrap.fill(breakable, width, replace_whitespace=False).replace(mark, "")


def _plot_panel(axes: Axes, panel: Panel | None, width: float) -> None:
    """A panel on its axes, `width` inches wide; without a panel they stay empty."""
    if panel is None:
        axes.set_axis_off()
        return
    _KINDS[panel.kind].plot(axes, panel)
    axes.set(title=_title(panel, width), xlabel=_xlabel(panel, width), ylabel=panel.ylabel)
    for axis, value in panel.references:
        line = axes.axhline if axis == "y" else axes.axvline
        line(value, color=GREY, lw=0.6, ls="--", zorder=0)
    if panel.logarithmic:
        axes.loglog()
    if panel.ticks:
        _set_ticks(axes, panel, width)
    if panel.limits:
        (axes.set_xlim if panel.horizontal else axes.set_ylim)(*panel.limits)


def _set_ticks(axes: Axes, panel: Panel, width: float) -> None:
    at = [position for position, _ in panel.ticks]
    names = [_wrapped(name, _NAME) for _, name in panel.ticks]
    low, high = min(at) - 0.5, max(at) + 0.5
    if panel.horizontal:
        axes.set_yticks(at, names)
        axes.set_ylim(high, low)
        return
    axes.set_xticks(at, names)
    axes.set_xlim(low, high)
    rotation = _rotation(panel, width)
    if rotation == 30:
        axes.set_xticks(at, names, rotation=30, ha="right", rotation_mode="anchor")
    elif rotation:
        axes.tick_params(axis="x", rotation=rotation)


def _add_legend(figure: Figure, grid: Grid) -> None:
    """The legend above all panels, unless the axes name every series already."""
    panels = [panel for row in grid for panel in row if panel]
    if all({s.label for s in p.series} <= {name for _, name in p.ticks} for p in panels):
        return
    handles = {}
    for axes in sorted(figure.axes, key=lambda axes: bool(axes.patches)):  # bars last: they stay
        handles.update(dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)))
    order = list(labels(grid))
    length = sum(0.55 + _CHARACTER * len(name) for name in order)
    columns = math.ceil(len(order) / math.ceil(length / figure.get_figwidth()))
    figure.legend(
        [handles[name] for name in order], order, loc="outside upper center", ncols=columns
    )


def _plot_lines(axes: Axes, panel: Panel) -> None:
    for series, positions in zip(panel.series, _line_positions(panel), strict=True):
        axes.plot(
            positions,
            series.values,
            color=series.colour,
            marker=series.marker,
            label=series.label,
        )
        _plot_intervals(axes, positions, series, series.colour)
        if len(series.lo):
            ends = np.asarray(series.lo, float), np.asarray(series.hi, float)
            axes.fill_between(positions, *ends, color=series.colour, alpha=0.15, linewidth=0)


def _line_positions(panel: Panel) -> list[np.ndarray]:
    """Positions of the markers of each series: beside each other where they have intervals."""
    positions = np.asarray(panel.positions, dtype=float)
    n = len(panel.series)
    apart = _APART if panel.ticks and n > 1 and any(len(s.lo) for s in panel.series) else 0.0
    return [positions + shift for shift in np.linspace(-apart / 2, apart / 2, n)]


def _plot_intervals(
    axes: Axes, at: Numbers, series: Series, colour: str, capped: bool = True
) -> None:
    if len(series.lo):
        lo, hi = np.asarray(series.lo), np.asarray(series.hi)
        style: dict[str, Any] = {"ecolor": colour, "elinewidth": 0.8}
        if not capped:
            style["capsize"] = 0
        # A value need not lie within its interval, so the bar is that of the interval.
        axes.errorbar(at, (lo + hi) / 2, (hi - lo) / 2, fmt="none", **style)


def _plot_bars(axes: Axes, panel: Panel) -> None:
    width = BAR / len(panel.series)
    capped = len(panel.positions) * len(panel.series) <= _CAPPED
    for series, positions in zip(panel.series, bar_positions(panel), strict=True):
        axes.bar(positions, series.values, width, label=series.label, color=series.colour)
        _plot_intervals(axes, positions, series, DARK, capped)


def _plot_stacked(axes: Axes, panel: Panel) -> None:
    base = np.zeros(len(panel.positions))
    bars = axes.barh if panel.horizontal else axes.bar
    for series in panel.series:
        values = np.nan_to_num(series.values)
        alpha, label = (_PALE, "") if series.pale else (1.0, series.label)
        bars(panel.positions, values, 0.7, base, label=label, color=series.colour, alpha=alpha)
        base += values


def _plot_steps(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for series in panel.series:
        axes.stairs(series.values, panel.positions, fill=True, color=series.colour, alpha=0.25)
        axes.stairs(series.values, panel.positions, color=series.colour, label=series.label)


def _plot_scatter(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    size = 14 if sum(len(series.values) for series in panel.series) <= 512 else 4
    for series in panel.series:
        axes.scatter(
            series.positions,
            series.values,
            size,
            series.colour,
            label="" if series.pale else series.label,
            alpha=_PALE if series.pale else 0.7,
            linewidths=0,
        )
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    if panel.limits:
        axes.set_xlim(*panel.limits)


class _Kind(NamedTuple):
    """How a kind of panels is plotted, and how tall its axes are (inches)."""

    plot: Callable[[Axes, Panel], None]
    body: float = 1.5


_KINDS = {
    "lines": _Kind(_plot_lines),
    "bars": _Kind(_plot_bars),
    "stacked": _Kind(_plot_stacked),
    "horizontal": _Kind(_plot_stacked),  # as tall as its bars
    "steps": _Kind(_plot_steps),
    "scatter": _Kind(_plot_scatter, 1.9),
}
