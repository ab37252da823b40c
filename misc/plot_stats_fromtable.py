"""Bars from CSV tables of two kinds, recognised by their columns.

    python misc/plot_stats_fromtable.py results.csv --save table.png --tex table.tex
    python misc/plot_stats_fromtable.py stats_tables/matnet/*.csv

Shares: a header, and a row per network, stage and factor (or class) with a percentage, as in tables
of published numbers, in layerwise.csv and joint_encoding.csv of a run, and in what
mean_var_analysis.py --save writes. Columns, other ones are ignored:
    network or model                  its name
    factor or class                   dynamic, static, joint, ...; may be empty
    percent or share_percent          a number
    trained_on or dataset, stage      optional: distinguish rows
    task, measure, path, threshold    optional: a panel for each combination

Pair statistics, as in the study's plots: a row per video, a statistic of its pairs, and a panel per
file with means and standard deviations (ddof 0). Either a header with the columns dynamic, static,
different, same (what the two clips of a pair share), or no header and five columns: the video's
name, then these four. Groups are what the stream of the file's name takes in: motion, or appearance
for app_stream.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _path

from common.process import run_script
from misc.figure_files import FigureFiles, parser_of
from results.panels import in_rows
from results.table_panels import read_table
from utils import UserError

COLUMNS = {"horizontal": 1, "bars": 2}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, plot."""
    parser = parser_of(__doc__, "table")
    parser.add_argument("tables", type=Path, nargs="+", help="CSV files of one kind")
    args = parser.parse_args(argv)
    files = FigureFiles.of(args, args.tables)
    panels = [panel for path in args.tables for panel in read_table(path)]
    kinds = sorted({panel.kind for panel in panels})
    if len(kinds) > 1:
        raise UserError("tables of shares and of pair statistics: give one kind at a time")
    print(f"{len(panels)} panels from {len(args.tables)} tables")
    files.save(in_rows(panels, COLUMNS[kinds[0]]))


if __name__ == "__main__":
    sys.exit(run_script(main))
