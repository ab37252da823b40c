"""Percent of dynamic and static units by stage: a row of panels per network, a column per stream.

    python misc/plot_stages.py dim_outputs/vos_models/final/MODEL_NAME ... --tex stages.tex

Takes folders of .txt files, one per seed, or single files. With several seeds a point is their mean
and its bar the 95 % t interval.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _path

from common.factors import DYNAMIC, FACTORS, STATIC
from common.options import names
from common.process import run_script
from estimation.intervals import mean_of
from misc.figure_files import FigureFiles, mean_series, parser_of, print_notes
from results.final_files import LAYERS, STREAMS, FinalFolder, read_finals
from results.panels import Panel
from utils import UserError

TITLES = dict(zip(STREAMS, ("appearance stream", "motion stream", "sensor fusion"), strict=True))


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, plot."""
    parser = parser_of(__doc__, "stages")
    parser.add_argument("inputs", type=Path, nargs="+", help="folders or .txt files, one a network")
    parser.add_argument(
        "--streams", type=names, help=f"streams to show (default: all of {','.join(STREAMS)})"
    )
    args = parser.parse_args(argv)
    files = FigureFiles.of(args, args.inputs)
    folders = [read_finals(path) for path in args.inputs]
    for folder in folders:
        print_notes(f"{folder.path.name}: {note}" for note in folder.notes)
    files.save(panels(folders, args.streams or STREAMS, bool(args.streams)))


def panels(
    folders: Sequence[FinalFolder], streams: Sequence[str], required: bool
) -> list[list[Panel | None]]:
    """A panel per network and stream, empty where a network lacks a stream of others.

    Raises UserError for a stream that is `required` and that no network has.
    """
    present = {stage.stream for folder in folders for stage in folder.stages}
    absent = [stream for stream in streams if stream not in present]
    if absent and required:
        raise UserError(
            f"--streams {absent[0]} is in none of the files; they hold {', '.join(sorted(present))}"
        )
    shown = [stream for stream in streams if stream in present]
    layers = [
        layer
        for layer in LAYERS
        if any(stage.layer == layer for folder in folders for stage in folder.stages)
    ]
    limits = value_limits(folders)
    return [[_panel(folder, stream, layers, limits) for stream in shown] for folder in folders]


def value_limits(folders: Sequence[FinalFolder]) -> tuple[float, float]:
    """Multiples of 5 within 0 to 100 around all values with their intervals: the same axis for
    every panel. Intervals of few seeds may run out of it."""
    means = [
        mean_of(folder.percents(stage.stage, factor))
        for folder in folders
        for stage in folder.stages
        for factor in (DYNAMIC, STATIC)
    ]
    reach = [m.t if m.n > 1 else 0.0 for m in means]
    low = min(m.mean - r for m, r in zip(means, reach, strict=True))
    high = max(m.mean + r for m, r in zip(means, reach, strict=True))
    return max(0.0, 5.0 * ((low - 1) // 5)), min(100.0, 5.0 * -(-(high + 1) // 5))


def _panel(
    folder: FinalFolder, stream: str, layers: Sequence[str], limits: tuple[float, float]
) -> Panel | None:
    stages = sorted(
        (stage for stage in folder.stages if stage.stream == stream),
        key=lambda stage: layers.index(stage.layer),
    )
    if not stages:
        return None
    n = len(folder.files)
    return Panel(
        title=f"{network_name(folder.path)}\n{TITLES[stream]}, {n} seed{'s' * (n > 1)}",
        kind="lines",
        xlabel="stage",
        ylabel="units (%)",
        positions=[layers.index(stage.layer) for stage in stages],
        series=[
            mean_series(FACTORS[k], [mean_of(folder.percents(s.stage, k)) for s in stages])
            for k in (DYNAMIC, STATIC)
        ],
        ticks=list(enumerate(layers)),
        limits=limits,
    )


def network_name(path: Path) -> str:
    """The name of a folder, or of a file without its suffix."""
    return path.resolve().name if path.is_dir() else path.stem


if __name__ == "__main__":
    sys.exit(run_script(main))
