"""Joint encoding of a network: percent of units that are dynamic, static, joint or neither.

    python misc/plot_jointencoding.py dim_outputs/vos_models/joint_encoding/MODEL_NAME

Prints two lines per file of the sensor fusion, as the study did, and plots a bar chart of each and
an overview, into the same path with joint_encoding_plots in place of joint_encoding. A unit without
a score, or with one exactly at the threshold, is in no class: such units are left out of the
percentages and counted. Reads .npz files of this toolkit and pickles of the study's code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import _path

import numpy as np

from common.options import names, script_parser
from common.process import run_script
from misc.figure_files import FigureFiles, print_notes
from results.final_files import STREAMS
from results.joint_files import UnitFile, classes_at, read_joint
from results.panels import Panel, Series
from utils import DataError, UserError

LABELS = ["Dynamic Dims", "Static Dims", "Joint Dims", "None Dims"]
STUDY_THRESHOLD = 0.5
SHOWN = ("dynamic", "static", "joint", "residual")
FOLDER = "joint_encoding"
OVERVIEW = "overview"
Counts = Mapping[Path, Mapping[str, int]]


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, print, plot."""
    args = build_parser().parse_args(argv)
    threshold = args.joint_encoding_thresh
    save_dir = args.save_dir or plot_folder(Path(args.folder))
    folder = read_joint(Path(args.folder))
    files = [file for file in folder.files if file.stage.split(",")[-1] in args.streams]
    if not files:
        raise DataError(
            f"{args.folder} has no stage of {', '.join(args.streams)}; found "
            f"{' '.join(file.stage for file in folder.files)} (--streams)"
        )
    counts = {file.path: count(file, threshold) for file in files}
    options = ("save_dir", "save_dir")
    plots = {f.path: FigureFiles.at(save_dir / f.path.stem, options=options) for f in files}
    tex = save_dir / f"{OVERVIEW}.tex" if args.tex else None
    overview = FigureFiles.at(save_dir / OVERVIEW, tex, options)

    for file in files:
        print(args.folder + "/" * (not args.folder.endswith("/")) + file.path.name)
        print(LABELS, " ", [round(value, 1) for value in percents(counts[file.path])])
    notes = [*folder.notes, *unclassed_notes(counts)]
    if len(files) < len(folder.files):
        notes.append(f"not shown, {len(folder.files) - len(files)} files of other streams")
    print_notes(notes)
    for file in files:
        plots[file.path].save([[stage_panel(file, counts[file.path], threshold)]])
    overview.save([[overview_panel(files, counts, threshold)]])


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("folder", help="folder of a network's files, one per stage")
    parser.add_argument(
        "--joint_encoding_thresh", type=float, default=STUDY_THRESHOLD, metavar="THRESHOLD"
    )
    parser.add_argument(
        "--streams",
        type=names,
        default=("sensor_fusion",),
        help=f"streams to show, of {','.join(STREAMS)} (default: sensor_fusion)",
    )
    parser.add_argument("--save_dir", type=Path, help="folder of the plots")
    parser.add_argument("--tex", action="store_true", help="the overview as LaTeX as well")
    return parser


def plot_folder(folder: Path) -> Path:
    """The folder with its last part called joint_encoding replaced by joint_encoding_plots.

    Raises UserError if it has none.
    """
    parts = list((folder if FOLDER in folder.parts else folder.absolute()).parts)
    if FOLDER not in parts:
        raise UserError(f"{folder} has no part called {FOLDER}: say where plots go by --save_dir")
    last = len(parts) - 1 - parts[::-1].index(FOLDER)
    return Path(*parts[:last], f"{FOLDER}_plots", *parts[last + 1 :])


def count(file: UnitFile, threshold: float) -> dict[str, int]:
    """Units of each class of `SHOWN`, and "unclassed".

    Raises UserError for another threshold than the study's for a file that holds only classes.
    """
    if file.unit_scores is None and threshold != STUDY_THRESHOLD:
        raise UserError(
            f"{file.path} holds no scores but classes at {STUDY_THRESHOLD:g}: leave out "
            "--joint_encoding_thresh, or take the files that hold scores"
        )
    return {name: len(units) for name, units in classes_at(file, threshold).items()}


def percents(counts: Mapping[str, int]) -> list[float]:
    """Percent of the units in a class, in the order of `SHOWN`; zeros if no unit is in one."""
    total = sum(counts[name] for name in SHOWN)
    return [100 * (counts[name] / total) if total else 0.0 for name in SHOWN]


def unclassed_notes(counts: Counts) -> list[str]:
    """A sentence per file with units in no class."""
    return [
        f"{path.name}: {c['unclassed']} of {sum(c.values())} units are in no class (no score, or "
        "exactly the threshold) and not in the percentages"
        for path, c in counts.items()
        if c["unclassed"]
    ]


def stage_panel(file: UnitFile, counts: Mapping[str, int], threshold: float) -> Panel:
    """A bar per class of a stage; each is a series of its own, to have the colour of its class."""
    model, n_units = file.path.resolve().parent.name, sum(counts.values())
    bars = np.where(np.eye(len(SHOWN)), percents(counts), np.nan)
    return Panel(
        title=f"{model}\n{file.stage}, {n_units} units, scores above {threshold:g}",
        kind="stacked",
        xlabel="",
        ylabel="units (%)",
        positions=range(len(SHOWN)),
        series=[Series(name, bar) for name, bar in zip(SHOWN, bars, strict=True)],
        ticks=list(enumerate(SHOWN)),
        limits=(0, 100),
    )


def overview_panel(files: Sequence[UnitFile], counts: Counts, threshold: float) -> Panel:
    """A bar per stage, with its classes."""
    shares = np.array([percents(counts[file.path]) for file in files])  # [stages, classes]
    return Panel(
        title=f"{files[0].path.resolve().parent.name}, scores above {threshold:g}",
        kind="horizontal",
        xlabel="units (%)",
        ylabel="",
        positions=range(len(files)),
        series=[Series(name, share) for name, share in zip(SHOWN, shares.T, strict=True)],
        ticks=[(k, file.stage) for k, file in enumerate(files)],
        limits=(0, 100),
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
