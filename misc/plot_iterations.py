"""Percent of dynamic and static units over the training of a network.

    python misc/plot_iterations.py FOLDER --save iterations.png --tex iterations.tex

FOLDER holds a .txt file per checkpoint, in the format of dim_outputs/vos_models/final. The
iteration is the last number of a file's name, set apart by underscores: net_20000.txt; in front of
the ending _final_SEED if a number stands there: net_20000_final_001.txt. Files of one iteration are
seeds: a point is their mean, its bar the 95 % t interval.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import _path

from common.factors import DYNAMIC, FACTORS, STATIC
from common.options import names
from common.process import run_script
from estimation.intervals import mean_of
from misc.figure_files import FigureFiles, mean_series, parser_of, print_notes
from results.final_files import STREAMS, FinalFolder, read_finals
from results.panels import Panel, in_rows
from utils import DataError, UserError

COLUMNS = 2


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, plot."""
    parser = parser_of(__doc__, "iterations")
    parser.add_argument("folder", type=Path, help="folder of .txt files, one per checkpoint")
    parser.add_argument(
        "--streams",
        type=names,
        default=("sensor_fusion",),
        help=f"streams to show, of {','.join(STREAMS)} (default: sensor_fusion)",
    )
    args = parser.parse_args(argv)
    files = FigureFiles.of(args, [args.folder])
    folder = read_finals(args.folder)
    print_notes(folder.notes)
    by_iteration = iterations(folder)
    counts = ", ".join(f"{at} ({len(rows)})" for at, rows in by_iteration.items())
    print(f"iterations (files of each): {counts}")
    files.save(panels(folder, by_iteration, args.streams))


def iteration(name: str) -> int | None:
    """The iteration in the name of a file, None if there is no number.

    >>> iteration("net_20000.txt"), iteration("net_20000_final_001.txt"), iteration("net_final.txt")
    (20000, 20000, None)
    """
    stem = name.rsplit(".", 1)[0]
    numbers = re.findall(r"(?:^|_)(\d+)(?=_|$)", re.sub(r"_final_\d+$", "", stem))
    return int(numbers[-1]) if numbers else None


def iterations(folder: FinalFolder) -> dict[int, list[int]]:
    """The positions of the folder's files of each iteration, in order of the iterations.

    Raises DataError for a file without one in its name.
    """
    found: dict[int, list[int]] = defaultdict(list)
    for row, file in enumerate(folder.files):
        at = iteration(file.path.name)
        if at is None:
            raise DataError(
                f"{file.path} has no iteration in its name: expected one like net_20000.txt or "
                "net_20000_final_001.txt"
            )
        found[at].append(row)
    return dict(sorted(found.items()))


def panels(
    folder: FinalFolder, by_iteration: Mapping[int, Sequence[int]], streams: Sequence[str]
) -> list[list[Panel | None]]:
    """A panel per stage of the streams, two in a row.

    Raises UserError if the files hold none of these streams.
    """
    stages = [stage.stage for stage in folder.stages if stage.stream in streams]
    if not stages:
        raise UserError(
            f"--streams {','.join(streams)} is in none of the files; they hold "
            f"{', '.join(dict.fromkeys(stage.stream for stage in folder.stages))}"
        )
    return in_rows([_panel(folder, by_iteration, stage) for stage in stages], COLUMNS)


def _panel(folder: FinalFolder, by_iteration: Mapping[int, Sequence[int]], stage: str) -> Panel:
    series = []
    for k in (DYNAMIC, STATIC):
        percents = folder.percents(stage, k)
        means = [mean_of([percents[row] for row in rows]) for rows in by_iteration.values()]
        series.append(mean_series(FACTORS[k], means))
    return Panel(stage, "lines", "training iteration", "units (%)", list(by_iteration), series)


if __name__ == "__main__":
    sys.exit(run_script(main))
