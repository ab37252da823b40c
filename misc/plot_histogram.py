"""Histograms of how dynamic and how static the units of each stage are.

    python misc/plot_histogram.py dim_outputs/vos_models/joint_encoding/MODEL_NAME --tex hist.tex
    python misc/plot_histogram.py dim_outputs/vos_models/idv_scores/MODEL_NAME

They count shares of units: the softmax over its dynamic, static and residual score, in percent
(lowest and highest possible: about 6 and 47 %). With --scores the scores themselves, in [-1, 1].
Reads .npz files of this toolkit and pickles of the study's code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _path

import numpy as np

from common.factors import DYNAMIC, FACTORS, STATIC
from common.options import integer
from common.process import run_script
from misc.figure_files import FigureFiles, parser_of, print_notes
from results.joint_files import UnitFile, read_joint, unit_shares
from results.panels import Panel, Series, in_rows
from utils import DataError

COLUMNS = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, plot."""
    parser = parser_of(__doc__, "histogram")
    parser.add_argument("folder", type=Path, help="folder of a network's files, one per stage")
    parser.add_argument(
        "--stages", nargs="+", metavar="STAGE", help="stages like layer4,sensor_fusion (all)"
    )
    parser.add_argument("--bins", type=integer(1), default=20, help="bins (default: 20)")
    parser.add_argument("--scores", action="store_true", help="unit scores in place of shares")
    args = parser.parse_args(argv)
    files = FigureFiles.of(args, [args.folder])
    folder = read_joint(args.folder)
    print_notes(folder.notes)
    values = {file.stage: unit_values(file, args.scores) for file in chosen(folder.files, args)}
    for stage, of_units in values.items():
        undefined = int(np.isnan(of_units).any(0).sum())
        if undefined:
            print(f"{stage}: {undefined} of {of_units.shape[1]} units have no score, left out")
    files.save(panels(values, args.bins, args.scores))


def chosen(files: Sequence[UnitFile], args) -> list[UnitFile]:
    """The files of --stages. Raises DataError for a stage that is not in the folder."""
    by_stage = {file.stage: file for file in files}
    for stage in args.stages or ():
        if stage not in by_stage:
            raise DataError(f"{args.folder} has no stage {stage}; found {' '.join(by_stage)}")
    return [by_stage[stage] for stage in args.stages or by_stage]


def unit_values(file: UnitFile, scores: bool) -> np.ndarray:
    """Dynamic and static values [2, C] of the units: scores, or shares in percent.

    Raises DataError if the file does not hold them.
    """
    if not scores:
        return 100 * unit_shares(file).T[[DYNAMIC, STATIC]]
    if file.unit_scores is None:
        raise DataError(f"{file.path} holds no unit scores: leave out --scores")
    return file.unit_scores[[DYNAMIC, STATIC]]


def panels(values: dict[str, np.ndarray], bins: int, scores: bool) -> list[list[Panel | None]]:
    """A panel per stage, three in a row, all with the same bins.

    Raises DataError if no unit has a value.
    """
    defined = np.concatenate([v[:, ~np.isnan(v).any(0)] for v in values.values()], axis=1)
    if not defined.size:
        raise DataError("no unit has a score: every unit is constant over the pairs of a factor")
    edges = np.histogram_bin_edges(defined, bins)
    xlabel = "score of a unit" if scores else "share of a unit (%)"
    shown = []
    for stage, of_units in values.items():
        kept = of_units[:, ~np.isnan(of_units).any(0)]
        series = [
            Series(FACTORS[k], np.histogram(kept[k], edges)[0].tolist()) for k in (DYNAMIC, STATIC)
        ]
        title = f"{stage}\n{kept.shape[1]} units"
        shown.append(Panel(title, "steps", xlabel, "units", edges.tolist(), series))
    return in_rows(shown, COLUMNS)


if __name__ == "__main__":
    sys.exit(run_script(main))
