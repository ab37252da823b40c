"""Figures of results, one PNG and one PDF each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from estimation.estimator import CLASSES, joint_encoding
from estimation.results import Results, class_counts
from factors import DYNAMIC, STATIC
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
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "figure.dpi": 200,
}


def _draw(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> Path:
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

    return _draw(folder / name, (6.6, 2.4 * len(all_results)), draw)


def _share_limits(panels: Sequence[Axes]) -> None:
    limits = [panel.get_ylim() for panel in panels]
    for panel in panels:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _stage_axis(panel: Axes, stages: Sequence[str]) -> None:
    long = max(len(stage) for stage in stages) > 4
    panel.set_xticks(range(len(stages)), stages, rotation=30 if long else 0)
    panel.set_xlabel("stage")
    panel.set_xlim(-0.6, len(stages) - 0.4)


def _draw_scores(panel: Axes, results: Results) -> None:
    estimates = list(results.estimates.values())
    panel.axhline(0, color="#888888", lw=0.6)
    for k, factor in enumerate(estimates[0].factors):
        if factor != "residual":
            scores = [e.scores[k] for e in estimates]
            panel.plot(
                scores, marker=_MARKERS.get(factor, "x"), label=factor, color=_colour(factor)
            )
    _stage_axis(panel, list(results.estimates))
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, -0.05), max(high, 1.05))
    panel.set_ylabel("score")
    panel.set_title(results.title, loc="left")
    panel.legend()


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
    panel.legend(
        ncols=len(estimates[0].factors),
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        columnspacing=1,
    )


def _colour(factor: str) -> str:
    return COLOURS.get(factor, "#000000")


def draw_joint_encoding(folder: Path, results: Results, name: str = "joint_encoding") -> Path:
    """Classes of units by stage (first threshold), and the last stage's units as a scatter."""
    threshold = results.thresholds[0]

    def draw(figure: Figure) -> None:
        bars, scatter = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_classes(bars, results, threshold)
        _draw_units(scatter, results, threshold)

    return _draw(folder / name, (6.6, 2.9), draw)


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
    panel.set_title(f"{results.title}\nunit scores above {threshold:g}", loc="left")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=5, columnspacing=1)


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
    panel.set_title(f"stage {stage}, {e.n_units} units", loc="left")
