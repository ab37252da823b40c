"""Figures of results, one PNG and one PDF each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.factors import DYNAMIC, STATIC
from estimation.estimator import CLASSES, joint_encoding
from results.tables import Results, class_counts
from utils import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = {
    "dynamic": "#D55E00",
    "static": "#0072B2",
    "joint": "#009E73",
    "residual": "#BBBBBB",
    "dead": "#333333",
    "different": "#CC79A7",
    "same": "#E69F00",
}
_MARKERS = {"dynamic": "o", "static": "s", "different": "^", "same": "D"}
_LEVEL = 36  # characters that fit side by side below an axis
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "figure.dpi": 200,
}


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> Path:
    """Draw a figure and save it as path.png and path.pdf; returns the PNG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        for suffix in (".pdf", ".png"):
            with atomic_path(path.with_name(path.name + suffix)) as temporary:
                figure.savefig(temporary)
    return path.with_name(path.name + ".png")


def draw_layerwise(folder: Path, all_results: Sequence[Results], name: str = "layerwise") -> Path:
    """Raw scores and shares by stage, a row of panels per network; returns the PNG's path."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(all_results), 2, squeeze=False, sharex="row")
        for row, results in zip(axes, all_results, strict=True):
            _draw_scores(row[0], results)
            _draw_shares(row[1], results)
        _share_limits([row[0] for row in axes])
        _legend(figure, axes[0, 1])

    height = sum(2.2 + _label_height(results.estimates) for results in all_results)
    return save_figure(folder / name, (6.6, height + 0.3), draw)


def _legend(figure: Figure, panel: Axes) -> None:
    """One legend for all panels, below them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _share_limits(panels: Sequence[Axes]) -> None:
    limits = [panel.get_ylim() for panel in panels]
    for panel in panels:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _label_height(stages: Iterable[str]) -> float:
    """Inches that long names of stages take below their axis, where they stand upright."""
    lengths = [len(stage) for stage in stages]
    return 0.06 * max(lengths) if max(lengths) * len(lengths) > _LEVEL else 0.0


def _stage_axis(panel: Axes, stages: Sequence[str]) -> None:
    panel.set_xticks(range(len(stages)), stages, rotation=90 if _label_height(stages) else 0)
    panel.set_xlabel("stage")
    panel.set_xlim(-0.6, len(stages) - 0.4)


def _draw_scores(panel: Axes, results: Results) -> None:
    estimates = list(results.estimates.values())
    panel.axhline(0, color="#888888", lw=0.6)
    streams = _streams(list(results.estimates))
    for k, factor in enumerate(estimates[0].factors):
        if factor != "residual":
            for where in streams:
                scores = [estimates[i].scores[k] for i in where]
                panel.plot(where, scores, marker=_MARKERS.get(factor, "x"), color=_colour(factor))
    _stage_axis(panel, list(results.estimates))
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, -0.05), max(high, 1.05))
    panel.set_ylabel("score")
    panel.set_title(results.title, loc="left")


def _streams(stages: Sequence[str]) -> list[list[int]]:
    """Positions of stages that follow on one another: those of one stream, named after a comma."""
    groups = itertools.groupby(range(len(stages)), key=lambda i: stages[i].partition(",")[2])
    return [list(group) for _, group in groups]


def _draw_shares(panel: Axes, results: Results) -> None:
    estimates = list(results.estimates.values())
    width = 0.8 / len(estimates[0].factors)
    positions = np.arange(len(estimates))
    for k, factor in enumerate(estimates[0].factors):
        offset = (k - (len(estimates[0].factors) - 1) / 2) * width
        shares = [100 * e.shares[k] for e in estimates]
        panel.bar(positions + offset, shares, width, label=factor, color=_colour(factor))
    _stage_axis(panel, list(results.estimates))
    panel.set_ylabel("share (%)")


def _colour(factor: str) -> str:
    return COLOURS.get(factor, "#000000")


def draw_joint_encoding(folder: Path, results: Results, name: str = "joint_encoding") -> Path:
    """Classes of units by stage (first threshold), and the last stage's units as a scatter."""
    threshold = results.thresholds[0]

    def draw(figure: Figure) -> None:
        bars, scatter = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_classes(bars, results, threshold)
        _draw_units(scatter, results, threshold)
        _legend(figure, bars)

    return save_figure(folder / name, (6.6, 2.9 + _label_height(results.estimates)), draw)


def _draw_classes(panel: Axes, results: Results, threshold: float) -> None:
    counts = class_counts(results, threshold)
    base = np.zeros(len(counts))
    for name in CLASSES:
        percent = np.array([100 * c[name] / sum(c.values()) for c in counts.values()])
        if name != "dead" or percent.any():
            panel.bar(range(len(counts)), percent, 0.7, base, label=name, color=_colour(name))
        base += percent
    _stage_axis(panel, list(counts))
    panel.set_ylim(0, 100)
    panel.set_ylabel("units (%)")
    panel.set_title(f"{results.title}\nclasses of units, scores above {threshold:g}", loc="left")


def _draw_units(panel: Axes, results: Results, threshold: float) -> None:
    stage, e = list(results.estimates.items())[-1]
    dynamic, static = e.unit_scores[DYNAMIC], e.unit_scores[STATIC]
    size = 14 if e.n_units <= 512 else 4
    for name, units in joint_encoding(e.unit_scores, threshold).items():
        if name != "dead":
            panel.scatter(
                dynamic[units], static[units], size, _colour(name), alpha=0.7, linewidths=0
            )
    panel.axvline(threshold, color="#888888", lw=0.6, ls="--")
    panel.axhline(threshold, color="#888888", lw=0.6, ls="--")
    low = np.nan_to_num([dynamic, static]).min(initial=0.0) - 0.05
    panel.set_xlim(low, 1.05)
    panel.set_ylim(low, 1.05)
    panel.set_aspect("equal")
    panel.set_xlabel("dynamic score of a unit")
    panel.set_ylabel("static score of a unit")
    panel.set_title(f"\nstage {stage}, {e.n_units} units", loc="left")
