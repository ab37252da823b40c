"""What a run costs: the study's procedure, main.py, and the forward passes alone.

    python misc/benchmark.py --save costs --dataset plain --stylized_data_dir DIR --model i3d \\
        --checkpoint random --pairing exhaustive
    python misc/benchmark.py --save costs --cfg_file configs/matnet_davis.json --checkpoint random

Takes the options of main.py. Three are timed in turn, each in a process of its own, `--repeats`
times; medians count.

1. The study's procedure: each member of a pair read anew (of a video the whole window is decoded),
   two pairs at a time, whole forwards with gradients recorded, a run for each stage and each of
   two statistics. `--sampled` pairs are run, and the rest is scaled: (seconds until the first two
   pairs are done + seconds of a pair x the other scored pairs) x stages x 2.
2. main.py, from start to exit, in a fresh folder; and started again, when all features are there.
3. The floor: the distinct clips, decoded and in memory, through the forward that main.py has chosen
   (where they are too many for 1 GiB, those that fit, as often as all would be run).

Written to `--save`: benchmark.csv (the three, and their ratios), benchmark_rounds.csv (all that was
measured), benchmark_videos.csv and a figure (costs of 10 to 10,000 videos, with as many pairs and
clips for each video as in this plan).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from _path import ROOT

from common.factors import scored_factors
from common.files import why_unwritable, write_csv
from common.options import Parser, integer, script_parser
from common.process import run_script
from config import add_options, from_given
from measure.prepare import prepare
from measure.run import Run
from misc.benchmarking.costs import STUDY_BATCH, Costs, Counts, Round, measured, panel, table
from misc.benchmarking.parts import floor_seconds, study_seconds
from results.plotting import save_figure
from utils import UserError

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> None:
    """Time the three in turn; print the table, and write it."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _own_options(script_parser(__doc__))
    add_options(parser)
    given = vars(parser.parse_args(argv))
    _, options = _own_options(script_parser("")).parse_known_args(argv)  # without those here
    save, repeats, sampled = (given.pop(name) for name in ("save", "repeats", "sampled"))
    if "resume" in given:
        parser.error("--resume: what is timed is a whole run in a folder of its own; leave it out")
    if why := why_unwritable(save):
        raise UserError(f"`save` {save} cannot be written: {why}")
    run = prepare(from_given(given))
    counts = counts_of(run)
    options += _videos(run)
    print(
        f"{run.model}: {counts.videos} videos, {counts.pairs} scored pairs, {counts.clips} "
        f"distinct clips, {counts.stages} stages",
        flush=True,
    )
    rounds = []
    for n in range(1, repeats + 1):
        rounds.append(one_round(options, min(sampled, counts.pairs), counts.clips))
        print(f"round {n} of {repeats}: {_said(rounds[-1])}", flush=True)
    write(save, Costs.of(counts, rounds), rounds, run.model)


def _own_options(parser: Parser) -> Parser:
    """Add the options that main.py does not have."""
    add = parser.add_argument
    add("--save", type=Path, required=True, help="folder of the tables and the figure")
    add("--repeats", type=integer(1), default=3, help="rounds (default: %(default)s)")
    add(
        "--sampled",
        type=integer(STUDY_BATCH),
        default=8,
        help="pairs that the study's procedure is timed on (default: %(default)s)",
    )
    return parser


def counts_of(run: Run) -> Counts:
    """What a run's plan asks for."""
    scored = scored_factors(run.config.n_factors, run.config.residual_index)
    return Counts(
        videos=len({clip.video for clip in run.plan.clips}),
        pairs=sum(pair.factor in scored for pair in run.plan.pairs),
        clips=len(run.rows),
        stages=len(run.stages),
    )


def _videos(run: Run) -> list[str]:
    """The option that names the synthetic videos, which else are made in the folder of a run."""
    config = run.config
    if config.dataset != "synthetic" or config.stylized_data_dir:
        return []
    return ["--stylized_data_dir", str(config.save_dir / "synthetic_videos")]


def one_round(options: Sequence[str], sampled: int, clips: int) -> Round:
    """Seconds of the three, one after the other.

    options: of main.py.
    sampled: pairs that the study's procedure is timed on.
    clips: distinct ones.

    Raises UserError where one of them fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = [*options, "--save_dir", folder]
        study, whole = alone(study_seconds, options, sampled)
        first, again = run_seconds(options), run_seconds(options)
        (features,) = Path(folder).glob("*/features")
        floor, _ = alone(floor_seconds, options, features.parent)
    return Round(whole - study.seconds, study.each, first, again, clips * floor.each)


def alone(part: Callable[..., T], *given: object) -> tuple[T, float]:
    """What a part returns in a process of its own, and the seconds of that process.

    Raises what the part raises, and UserError if the process is ended.
    """
    start = time.perf_counter()
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found = process.submit(part, *given).result()
    except BrokenProcessPool:
        raise UserError("a process that was timed has been ended: is memory short?") from None
    return found, time.perf_counter() - start


def run_seconds(options: Sequence[str]) -> float:
    """Seconds of main.py with these options, from start to exit. Raises UserError where it
    fails."""
    start = time.perf_counter()
    command = [sys.executable, str(ROOT / "main.py"), *options]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        raise UserError("the run failed, see above")
    return time.perf_counter() - start


def _said(found: Round) -> str:
    return (
        f"study {found.study_start:.3g} s to start and {found.study_pair:.3g} s a pair, main.py "
        f"{found.main:.1f} s ({found.again:.1f} s again), floor {found.floor:.1f} s"
    )


def write(folder: Path, costs: Costs, rounds: Sequence[Round], title: str) -> None:
    """Print the table, and write tables and figure to a folder."""
    print(table(costs))
    write_csv(folder / "benchmark.csv", costs.rows())
    write_csv(folder / "benchmark_rounds.csv", measured(rounds))
    write_csv(folder / "benchmark_videos.csv", costs.curve())
    save_figure(folder / "benchmark", [[panel(costs, title)]])
    print(f"tables and figure: {folder}")


if __name__ == "__main__":
    sys.exit(run_script(main))
