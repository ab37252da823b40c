"""Means over seeds of the percent of units per stage, with 95 % intervals.

    python misc/mean_var_analysis.py dim_outputs/vos_models/final/MODEL_NAME

First, as the study printed them, per stage and stream (App is static, Mot dynamic; stage 0 is
conv1, 1 to 4 are layer1 to layer4, 5 is layerf): of files of three factors the rounded means
[dynamic, static, residual], then mean and half width 1.96 * standard deviation (ddof 0) / sqrt(n);
of files of four the latter, of the third factor too (Res: pairs that share neither, or the
residual; the fourth are pairs that share both). Below them, of all factors, the t intervals that n
files call for, which are wider: 3.182 in place of 1.96, and ddof 1, for four files.

Seeds draw pairs of the same sequences, so both see no more than which pairs were drawn. What other
sequences would give is told by the intervals at the end: over the sequences, from the runs of these
seeds, whose folders stand beside the folder of `final`.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _path

import numpy as np

from common.factors import DYNAMIC, STATIC
from common.files import check_output, read_json, write_csv
from common.options import script_parser
from common.process import run_script
from estimation.intervals import mean_of, t_quantile
from measure.finished import FinishedRun
from measure.pooled import estimated, require_alike
from misc.figure_files import print_notes
from results.blocks import Results, few_videos, find
from results.final_files import LAYERS, FinalFolder, StageDims, read_finals
from results.statistics import LAYER
from results.tables import with_interval
from utils import DataError, UserError, as_options, file_name, format_table


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read, print."""
    parser = script_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of a network's .txt files, one per seed")
    parser.add_argument("--save", type=Path, help="CSV to write: a row per stage and factor")
    args = parser.parse_args(argv)
    texts = args.folder.glob("*.txt")
    replaced = check_output(args.save, inputs=texts) if args.save else ""
    folder = read_finals(args.folder)
    if folder.n_factors not in FORMATS:
        raise DataError(
            f"{folder.path} has {folder.n_factors} factors per stage, expected "
            f"{' or '.join(map(str, FORMATS))}"
        )
    factors, lines = FORMATS[folder.n_factors]
    print_notes(folder.notes)
    for stage in folder.stages:
        print("\n".join(lines(folder, stage)))
    print(interval_table(folder, factors))
    print(sequence_table(args.folder))
    if args.save:
        write_csv(args.save, interval_rows(folder, factors))
        print(f"saved: {args.save}{replaced}")


def head(stage: StageDims) -> str:
    """How the study's lines about a stage begin."""
    return f"{stage.stream} , Stage  {LAYERS.index(stage.layer)}"


def mean_line(folder: FinalFolder, stage: StageDims, label: str, factor: int) -> str:
    """Mean and half width of a factor, in the study's words."""
    mean = mean_of(folder.percents(stage.stage, factor))
    return f"{head(stage)} : {label} :  {mean.mean}   {mean.normal}"


def three_factor_lines(folder: FinalFolder, stage: StageDims) -> list[str]:
    """The study's lines about a stage; its residual is what the two means leave of 100."""
    dynamic = mean_of(folder.percents(stage.stage, DYNAMIC)).mean
    static = mean_of(folder.percents(stage.stage, STATIC)).mean
    residual = 100 - (static + dynamic)
    # NumPy's rounding, which the study's lines have: Python's differs in rare last digits.
    rounded = [float(np.round(value, 1)) for value in (dynamic, static, residual)]
    return [
        f"{head(stage)}   {rounded}",
        mean_line(folder, stage, "App", STATIC),
        mean_line(folder, stage, "Mot", DYNAMIC),
        f"{head(stage)} : Residual :  {residual}",
    ]


def four_factor_lines(folder: FinalFolder, stage: StageDims) -> list[str]:
    """The study's lines about a stage, without the fourth factor."""
    labels = (("App", STATIC), ("Mot", DYNAMIC), ("Res", 2))
    return [mean_line(folder, stage, label, factor) for label, factor in labels]


# By the number of factors in the files: their names, and what the study printed about a stage.
FORMATS: dict[int, tuple[Sequence[str], Callable[[FinalFolder, StageDims], list[str]]]] = {
    3: (("dynamic", "static", "residual"), three_factor_lines),
    4: (("dynamic", "static", "different or residual", "same"), four_factor_lines),
}


def interval_table(folder: FinalFolder, factors: Sequence[str]) -> str:
    """Means and t half widths of every stage and factor as text."""
    n = len(folder.files)
    if n == 1:
        return "\nno t interval: one file says nothing about the spread over seeds"
    columns = ["stage", *(cell for name in factors for cell in (name, "+-"))]
    rows = []
    for stage in folder.stages:
        means = [mean_of(folder.percents(stage.stage, k)) for k in range(len(factors))]
        rows.append(
            [stage.stage, *(cell for m in means for cell in (f"{m.mean:.2f}", f"{m.t:.2f}"))]
        )
    title = (
        f"95 % t intervals over n = {n} files (t quantile {t_quantile(n):.3f}, standard deviation "
        "with ddof 1) of the percentages in them; they see only which pairs the seeds drew:"
    )
    return f"\n{title}\n{format_table(columns, rows)}"


def sequence_table(folder: Path) -> str:
    """The shares with intervals over the sequences as text, of the runs that a folder of `final`
    was written by; a sentence if they are not all there."""
    try:
        results = pooled_seeds(folder)
    except UserError as error:
        return f"\nno intervals over the sequences: {as_options(str(error))}"
    shares = {
        stage: find(blocks, "share_percent") for stage, blocks in results.by_stage(LAYER).items()
    }
    columns = ["stage", *next(iter(shares.values())).parts]
    rows = [
        [stage, *map(with_interval, share.value, share.lo, share.hi)]
        for stage, share in shares.items()
    ]
    sequences = results.inference.n_videos if results.inference else 0
    known = f", {results.how_certain}" if results.how_certain else ""
    title = f"Shares in percent over the sequences, the seeds pooled{known}:"
    return "\n".join(["", title, format_table(columns, rows), *few_videos(sequences)])


def pooled_seeds(folder: Path) -> Results:
    """The estimates of the runs that wrote the files of a folder of `final`, their pairs together.

    Raises UserError if they are not all there, or are not finished, or not of one network.
    """
    found: dict[str, Path] = {}
    place = folder.resolve().parent.parent
    for path in sorted(place.glob("*/config.json")):
        with contextlib.suppress(DataError, KeyError, TypeError, ValueError):
            record = read_json(path)
            seed, model = record["options"]["random_seed"], file_name(record["network"])
            found[f"{model}_final_{seed:03d}.txt"] = path.parent
    files = sorted(path.name for path in folder.glob("*.txt"))
    missing = [name for name in files if name not in found]
    if missing or not files:
        raise UserError(f"{place} lacks the run of {', '.join(missing) or folder}")
    runs = [FinishedRun.read(found[name]) for name in files]
    require_alike(runs)
    return estimated(runs, runs[0].config({}))


def interval_rows(folder: FinalFolder, factors: Sequence[str]) -> list[dict[str, Any]]:
    """One row per stage and factor: mean, both half widths (t empty for one file), files."""
    rows = []
    for stage in folder.stages:
        for k, name in enumerate(factors):
            mean = mean_of(folder.percents(stage.stage, k))
            rows.append(
                {
                    "model": folder.path.resolve().name,
                    "stage": stage.stage,
                    "factor": name,
                    "percent": mean.mean,
                    "half_width_normal": mean.normal,
                    "half_width_t": None if math.isnan(mean.t) else mean.t,
                    "files": mean.n,
                }
            )
    return rows


if __name__ == "__main__":
    sys.exit(run_script(main))
