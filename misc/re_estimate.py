"""A finished run estimated anew from its folder: tables and figures, without network and videos.

    python misc/re_estimate.py dim_outputs/RUN --joint_encoding_thresh 0.3,0.5,0.7
    python misc/re_estimate.py dim_outputs/RUN --groups sources.csv --save elsewhere

Runs of older versions get what newer ones have: intervals and adjusted scores. Options that are not
given are those of the run. The study's files (final/, joint_encoding/, MODEL_dim_est.csv) stay as
they are.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import _path

from common.options import script_parser
from common.process import run_script
from config import add_options
from measure.finished import OPTIONS, FinishedRun
from measure.folder import note_estimation, require_place, save_anew, summary
from measure.lock import held
from utils import counted


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read the run, estimate, save."""
    parser = script_parser(__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "--save", type=Path, help="folder of the tables and figures (default: that of the run)"
    )
    add_options(parser, OPTIONS)
    given = vars(parser.parse_args(argv))
    folder, save = given.pop("run"), given.pop("save")
    run = FinishedRun.read(folder)
    place = save or folder
    require_place(folder, place)
    config = run.config(given)
    in_place = place.resolve() == folder.resolve()
    with held(folder) if in_place else contextlib.nullcontext():
        results = run.estimated(config)
        saved = save_anew(place, results, run.bad_videos)
        if in_place:
            note_estimation(folder, config, OPTIONS)
    if run.bad_videos:
        print(f"left out: {counted(len(run.bad_videos), 'video')}, see {place}/skipped_videos.csv")
    print(summary(results, config.joint_encoding or "joint_encoding_thresh" in given))
    print(f"tables:  {place}")
    print(f"figures: {', '.join(map(str, saved.figures))}")
    if saved.replaced:
        print(f"replaced: {', '.join(saved.replaced)}")


if __name__ == "__main__":
    sys.exit(run_script(main))
