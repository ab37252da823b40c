"""Means over seeds of the percent of units per stage, for files of four factors.

    python misc/mean_var_analysis_4factors.py FOLDER

The percentages of a line are, in this order, those of dynamic (Mot), static (App), the third factor
(Res: pairs that share neither, or the residual) and the fourth (pairs that share both). As in the
study, the first three are printed with the half width 1.96 * standard deviation (ddof 0) / sqrt(n);
below them all four with their t intervals.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import _path

from common.factors import DYNAMIC, STATIC
from misc.mean_var_analysis import (
    add_arguments,
    interval_rows,
    interval_table,
    mean_line,
    report,
    require_factors,
)
from results.final_files import read_finals
from utils import check_output, run, write_csv

FACTORS = ("dynamic", "static", "different or residual", "same")
LABELS = (("App", STATIC), ("Mot", DYNAMIC), ("Res", 2))


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, print."""
    args = add_arguments(__doc__).parse_args(argv)
    replaced = check_output(args.save) if args.save else ""
    folder = read_finals(args.folder)
    require_factors(folder, len(FACTORS), "misc/mean_var_analysis.py")
    lines = (
        mean_line(folder, stage, label, factor)
        for stage in folder.stages
        for label, factor in LABELS
    )
    report(folder, lines)
    print(interval_table(folder, FACTORS))
    if args.save:
        write_csv(args.save, interval_rows(folder, FACTORS))
        print(f"saved: {args.save}{replaced}")


if __name__ == "__main__":
    sys.exit(run(main))
