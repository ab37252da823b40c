"""A figure as data: panels with series of values in them.

`results.plotting` writes it as PNG and PDF, `results.tikz` as LaTeX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.colours import COLOURS, MARKERS, OTHER

Numbers = Sequence[float] | np.ndarray
BAR = 0.8  # of the distance between two groups of bars


@dataclass(frozen=True)
class Series:
    """Named values, one per position, NaN where there is none.

    label: the name, as the legend has it.
    values: one per position.
    lo: lower ends of their intervals; none without intervals.
    hi: upper ends, in the same way.
    positions: by default those of the panel.
    like: the factor or class whose colour it has; by default its label.
    pale: whether its colour is lighter, as of what is in doubt; it is not in the legend then.
    """

    label: str
    values: Numbers
    lo: Numbers = ()
    hi: Numbers = ()
    positions: Numbers = ()
    like: str = ""
    pale: bool = False

    @property
    def colour(self) -> str:
        """That of the factor or class in every figure."""
        return COLOURS.get(self.like or self.label, OTHER)

    @property
    def marker(self) -> str:
        """That of the factor or class on every line."""
        return MARKERS.get(self.like or self.label, "^")


@dataclass(frozen=True)
class Panel:
    """A pair of axes.

    title: above them.
    kind: "lines", "bars" (in groups), "stacked" (bars), "horizontal" (stacked bars, for long
        names), "steps" (a histogram: positions are the edges, one more than values), or "scatter"
        (of two values of one kind, with the same limits).
    xlabel: of the horizontal axis, as it is seen.
    ylabel: of the vertical one.
    positions: of the values, along the x axis; along the y axis of horizontal bars.
    series: the values.
    ticks: position and name of each tick of that axis; none for numbers.
    limits: of the other axis; None to fit the values.
    references: axis and value of thin lines, like ("y", 0.5).
    logarithmic: whether both axes are.
    """

    title: str
    kind: str
    xlabel: str
    ylabel: str
    positions: Numbers
    series: Sequence[Series]
    ticks: Sequence[tuple[float, str]] = ()
    limits: tuple[float, float] | None = None
    references: Sequence[tuple[str, float]] = ()
    logarithmic: bool = False

    @property
    def horizontal(self) -> bool:
        """Whether positions are along the y axis."""
        return self.kind == "horizontal"


Grid = Sequence[Sequence[Panel | None]]


def in_rows(panels: Sequence[Panel], columns: int) -> list[list[Panel | None]]:
    """Panels in rows of so many."""
    return [list(panels[at : at + columns]) for at in range(0, len(panels), columns)]


def labels(grid: Grid) -> dict[str, Series]:
    """One series of each label in a figure, for its legend: in the order of the colours."""
    every = [series for row in grid for panel in row if panel for series in panel.series]
    known = list(COLOURS)
    every = [series for series in every if not series.pale]
    every.sort(key=lambda s: known.index(s.label) if s.label in known else len(known))
    return {series.label: series for series in every}


def bar_positions(panel: Panel) -> list[np.ndarray]:
    """Centres of the bars of each series: side by side in groups, in one place if stacked."""
    positions = np.asarray(panel.positions, dtype=float)
    if panel.kind != "bars":
        return [positions for _ in panel.series]
    width = BAR / len(panel.series)
    shifts = (np.arange(len(panel.series)) - (len(panel.series) - 1) / 2) * width
    return [positions + shift for shift in shifts]
