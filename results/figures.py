"""The figures of a run: its statistics by stage, and joint encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress
from pathlib import Path

import numpy as np

from common.factors import DYNAMIC, FACTORS, STATIC
from results.blocks import Block, Results, classes, classified, find
from results.chains import by_stream
from results.colours import LIKE
from results.panels import Grid, Panel, Series
from results.plotting import save_figure
from results.statistics import CLASS, LAYER, UNIT, Plot


def plot_layerwise(folder: Path, all_results: Sequence[Results], name: str = "layerwise") -> Path:
    """Plot the statistics of every stage, a row of panels per network; returns the PNG's path."""
    return save_figure(folder / name, layerwise_grid(all_results))


def plot_parts(folder: Path, all_results: Sequence[Results], name: str = "parts") -> list[Path]:
    """Plot the parts of the variance by stage, a row of panels per network; returns the PNG's
    path, or nothing where no network has parts."""
    grid = parts_grid(all_results)
    return [save_figure(folder / name, grid)] if grid else []


def plot_joint_encoding(folder: Path, results: Results, name: str = "joint_encoding") -> Path:
    """Plot the classes of units at the first threshold by stage, and the units of the last stage;
    returns the PNG's path."""
    return save_figure(folder / name, joint_encoding_grid(results))


def layerwise_grid(all_results: Sequence[Results]) -> Grid:
    """A row per network and a column per statistic, with the same limits for all networks."""
    rows = [_plotted(results.by_stage(LAYER)) for results in all_results]
    known = [any(map(_is_known, chain(*column))) for column in zip(*rows, strict=True)]
    rows = [list(compress(row, known)) for row in rows]
    limits = [_limits(list(chain(*column))) for column in zip(*rows, strict=True)]
    return [
        _layerwise_row(results, row, limits) for results, row in zip(all_results, rows, strict=True)
    ]


def _layerwise_row(
    results: Results, row: Sequence[Sequence[Block]], limits: Sequence[tuple[float, float]]
) -> list[Panel | None]:
    """A panel per statistic; none for one that is undefined for this network."""
    titles = [results.title, results.how_certain]
    places = stage_places(results)
    return [
        _stage_panel(title, blocks, span, places) if any(map(_is_known, blocks)) else None
        for title, blocks, span in zip([*titles, *[""] * len(row)], row, limits, strict=False)
    ]


def parts_grid(all_results: Sequence[Results]) -> Grid:
    """A row per network: the parts of the variance as bars, which add up to 1, and one by one with
    their intervals; no row for a network without them."""
    rows = [
        [find(blocks, "part") for blocks in results.by_stage(LAYER).values()]
        for results in all_results
    ]
    known = [any(map(_is_known, blocks)) for blocks in rows]
    shown = list(compress(rows, known))
    if not shown:
        return []
    limits = _limits(list(chain(*shown)), Plot("lines", reach=(0.0, 1.0)))
    return [
        _parts_row(results, blocks, limits)
        for results, blocks in zip(compress(all_results, known), shown, strict=True)
    ]


def _parts_row(
    results: Results, blocks: Sequence[Block], limits: tuple[float, float]
) -> list[Panel | None]:
    places = stage_places(results)
    bars, lines = (
        _stage_panel(title, blocks, span, places, Plot(kind, "part of the variance"))
        for title, span, kind in (
            (results.title, (0.0, 1.0), "stacked"),
            (results.how_certain, limits, "lines"),
        )
    )
    return [replace(bars, series=_adding_up(bars.series)), lines]


def _adding_up(parts: Sequence[Series]) -> list[Series]:
    """Bars that fill 0 to 1: of parts below 0, as noise makes them, nothing can be seen."""
    values = np.maximum(np.array([part.values for part in parts]), 0.0)
    with np.errstate(invalid="ignore"):
        values = values / values.sum(0)
    return [replace(part, values=v, lo=(), hi=()) for part, v in zip(parts, values, strict=True)]


def joint_encoding_grid(results: Results) -> Grid:
    """The classes of units by stage, and the units of the last stage, at the first threshold."""
    threshold = results.thresholds[0]
    title = f"{results.title}\nclasses of units, scores above {threshold:g}"
    by_stage = results.by_stage(CLASS, threshold)
    counted, certain = (
        _stage_panel(title, blocks, _limits(blocks), stage_places(results))
        for blocks in (
            [find(blocks, name) for blocks in by_stage.values()]
            for name in ("percent", "certain_percent")
        )
    )
    bars = _with_doubt(counted, certain)
    if any(np.any(series.values) for series in bars.series if series.pale):
        bars = replace(bars, title=f"{title}\n(pale: undecided, {results.how_certain})")
    scores = classified(list(results.by_stage(UNIT).values())[-1])
    return [[bars, _unit_panel(scores, threshold)]]


def _with_doubt(counted: Panel, certain: Panel) -> Panel:
    """Bars whose part that is not certain is pale; as they are where nothing is known of that."""
    known = {series.label: np.asarray(series.values) for series in certain.series}
    if np.isnan(list(known.values())).all():
        return counted
    series = []
    for every in counted.series:
        sure = known[every.label]
        rest = np.asarray(every.values) - sure
        series += [replace(every, values=sure), replace(every, values=rest, pale=True)]
    return replace(counted, series=series)


def _plotted(by_stage: Mapping[str, Sequence[Block]]) -> list[list[Block]]:
    """The blocks of each statistic that is plotted, stage by stage."""
    columns = zip(*by_stage.values(), strict=True)
    return [list(blocks) for blocks in columns if blocks[0].statistic.plot.kind]


def _is_known(block: Block) -> bool:
    return bool(np.isfinite(block.value).any())


def _limits(blocks: Sequence[Block], plot: Plot | None = None) -> tuple[float, float]:
    """Of the y axis, around all values and intervals. Lines have a margin, so that no marker is
    cut; bars stand on their axis and have one where they go beyond what is shown at least."""
    numbers = [array[b.shown] for b in blocks for array in (b.value, b.lo, b.hi)]
    values = np.concatenate(numbers)
    values = values[np.isfinite(values)]
    plot = plot or blocks[0].statistic.plot
    least, most = plot.reach
    low, high = float(values.min(initial=least)), float(values.max(initial=most))
    margin = 0.05 * (high - low)
    marked = plot.kind == "lines"
    return low - margin * (marked or low < least), high + margin * (marked or high > most)


def _stage_panel(
    title: str,
    blocks: Sequence[Block],
    limits: tuple[float, float],
    places: Sequence[str],
    plot: Plot | None = None,
) -> Panel:
    """A statistic along the stages, in its parts; dead units only where there are any."""
    statistic, parts = blocks[0].statistic, blocks[0].parts
    plot = plot or statistic.plot
    at_stage = {block.stage: np.array([block.value, block.lo, block.hi]) for block in blocks}
    prefix = common_prefix(list(at_stage))
    gap = np.full((3, len(parts)), np.nan)
    numbers = np.array([at_stage.get(stage, gap) for stage in places])  # [places, 3, P]
    shown = [k for k in blocks[0].shown if parts[k] != "dead" or np.nansum(numbers[:, 0, k])]
    return Panel(
        title=title,
        kind=plot.kind,
        xlabel=f"stage in {prefix[:-1]}" if prefix else "stage",
        ylabel=plot.label,
        positions=range(len(places)),
        series=[
            _series(parts[k] or statistic.name, numbers[:, :, k].T, statistic.has_interval)
            for k in shown
        ],
        ticks=[(at, stage.removeprefix(prefix)) for at, stage in enumerate(places) if stage],
        limits=limits,
        references=[("y", 0.0)] if limits[0] < 0 else [],
    )


def _series(name: str, numbers: np.ndarray, has_interval: bool) -> Series:
    """A part with its values and the ends of their intervals, [3, places]."""
    value, lo, hi = numbers
    label, like = name.replace("_", " "), LIKE.get(name, name)
    if has_interval and np.isfinite(numbers[1:]).any():
        return Series(label, value, lo, hi, like=like)
    return Series(label, value, like=like)


def _unit_panel(scores: Block, threshold: float) -> Panel:
    """The units of a stage by their dynamic and static scores, in the colours of their classes."""
    dynamic, static = (scores.part(FACTORS[k]) for k in (DYNAMIC, STATIC))
    found = classes(scores, threshold)
    sure = np.ones(len(dynamic), dtype=bool) if found.certain is None else found.certain
    low = float(np.nan_to_num([dynamic, static]).min(initial=0.0))
    doubtful = "" if sure.all() else f"\n(pale: undecided, {np.count_nonzero(~sure)})"
    return Panel(
        title=f"stage {scores.stage}, {len(dynamic)} units{doubtful}",
        kind="scatter",
        xlabel="dynamic score of a unit",
        ylabel="static score of a unit",
        positions=[],
        series=[
            Series(name, static[shown], positions=dynamic[shown], pale=pale)
            for name, units in found.units.items()
            if name != "dead"
            for pale, shown in ((True, units[~sure[units]]), (False, units[sure[units]]))
        ],
        limits=(low - 0.05, 1.05),
        references=[("x", threshold), ("y", threshold)],
    )


def stage_places(results: Results) -> list[str]:
    """The stages along an axis, chain by chain, "" for the gap between two of them."""
    chains = results.chains or by_stream(list(results.estimates))
    return [stage for chain in chains for stage in ("", *chain)][1:]


def common_prefix(stages: Sequence[str]) -> str:
    """The modules that all stages lie in, which tell none of them apart, and a dot.

    >>> common_prefix(["network.slow.stem", "network.slow.pool"]), common_prefix(["1", "2"])
    ('network.slow.', '')
    """
    parents = [stage.partition(",")[0].split(".")[:-1] for stage in stages]
    shared = []
    for names in zip(*parents, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0] + ".")
    return "".join(shared)
