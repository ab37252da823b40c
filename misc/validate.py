"""Does it measure what it says? Known answers, controls and confounds: minutes on two CPU cores.

    python misc/validate.py --save FOLDER
    python misc/validate.py --save FOLDER --stylized_data_dir REAL

FOLDER gets a table and a figure for each question; docs/validity.md shows what they say. REAL
holds real clips in styles 1 to 4, in the plain layout (misc/stylize.py makes one).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import _path

from common.files import why_unwritable, write_csv
from common.options import LARGEST_SEED, integer, names, script_parser
from common.process import run_script
from misc.validation import confounds, controls, simulations, trained, units
from misc.validation.answers import Answer, Settings
from results.plotting import save_figure
from utils import UserError, suggestion


class Question(NamedTuple):
    """A question of validation.

    text: as it is printed.
    answer: what it takes.
    """

    text: str
    answer: Callable[[Settings], Answer]


QUESTIONS = {
    "simulations": Question(
        "Features with known parts: are estimates right, and intervals as wide as they should be?",
        simulations.answer,
    ),
    "known_units": Question("Units known by construction: where do they land?", units.answer),
    "trained": Question("Networks trained on one thing: is it found?", trained.answer),
    "controls": Question("No motion, or nothing learned: what is found?", controls.answer),
    "confounds": Question("What else moves the answer, and by how much?", confounds.answer),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, ask every question, write the answers."""
    options = parser().parse_args(argv)
    settings = Settings(
        save=options.save,
        seed=options.random_seed,
        n_sets=options.n_sets,
        stylized=options.stylized_data_dir,
        trained=options.trained or options.save / "trained",
    )
    if why := why_unwritable(settings.save):
        raise UserError(f"`save` {settings.save} cannot be written: {why}")
    if settings.stylized and not settings.stylized.is_dir():
        raise UserError(f"`stylized_data_dir` {settings.stylized} is not a folder")
    overview = []
    for name in options.only:
        start = time.perf_counter()
        print(f"\n{name}: {QUESTIONS[name].text}", flush=True)
        answer = QUESTIONS[name].answer(settings)
        write(answer, settings.save, name)
        overview.append(list(answer.overview))
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)
    save_figure(settings.save / "validity", overview)
    print(f"\ntables and figures: {settings.save}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = script_parser(__doc__)
    add = found.add_argument
    add("--save", type=Path, required=True, help="folder to write")
    add("--stylized_data_dir", type=Path, help="real clips in styles 1 to 4; default: none")
    add("--only", type=questions, default=tuple(QUESTIONS), help=f"of {', '.join(QUESTIONS)}")
    add(
        "--n_sets",
        type=integer(2),
        default=60,
        help="simulated data sets per condition (default: %(default)s)",
    )
    add("--trained", type=Path, help="folder of trained weights; default: trained/ in --save")
    add(
        "--random_seed",
        type=integer(0, LARGEST_SEED),
        default=1,
        help="default: %(default)s",
    )
    return found


def questions(text: str) -> tuple[str, ...]:
    """The questions named in "simulations,controls", for argparse."""
    wanted = names(text)
    for name in wanted:
        if name not in QUESTIONS:
            raise argparse.ArgumentTypeError(
                f"{name!r} is no question.{suggestion(name, QUESTIONS)} There are: "
                f"{', '.join(QUESTIONS)}"
            )
    return wanted


def write(answer: Answer, folder: Path, name: str) -> None:
    """Write the tables and the figure of an answer, and print what it says."""
    for table, rows in answer.tables.items():
        write_csv(folder / f"{table}.csv", rows)
    save_figure(folder / name, answer.figure)
    for line in answer.lines:
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(run_script(main))
