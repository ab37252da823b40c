"""Finished runs estimated anew from their folders: tables and figures, without network and videos.

    python misc/re_estimate.py dim_outputs/RUN --joint_encoding_thresh 0.3,0.5,0.7
    python misc/re_estimate.py dim_outputs/RUN --groups sources.csv --save elsewhere
    python misc/re_estimate.py RUN_seed1 RUN_seed2 RUN_seed3 --save pooled

Several runs of one network that differ in their seed are pooled: the pairs of all of them count,
and intervals are over the videos. Runs of older versions get what newer ones have: intervals and
adjusted scores. Options that are not given are those of the (first) run. The study's files (final/,
joint_encoding/, MODEL_dim_est.csv) stay as they are.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import _path

from common.options import script_parser
from common.process import run_script
from config import add_options
from measure.finished import OPTIONS, FinishedRun
from measure.folder import note_estimation, require_place, save_anew, summary
from measure.groups import described, read_groups
from measure.lock import held
from measure.pooled import estimated, require_alike, videos_of
from measure.recorded import forget_results
from utils import UserError, counted


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, read the run, estimate, save."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folder of a finished run, or of several"
    )
    parser.add_argument(
        "--save", type=Path, help="folder of the tables and figures (default: that of a single run)"
    )
    add_options(parser, OPTIONS)
    given = vars(parser.parse_args(argv))
    folders, save = given.pop("runs"), given.pop("save")
    if not save and len(folders) > 1:
        raise UserError("`save` is missing: the folder of what several runs give together")
    runs = [FinishedRun.read(folder) for folder in folders]
    require_alike(runs)
    folder = folders[0]
    place = save or folder
    for one in folders:
        require_place(one, place)
    config, *_ = [run.config(given) for run in runs]
    videos = videos_of(runs)
    groups = read_groups(config.groups, videos) if config.groups else {}
    if groups:
        print(described(groups, videos))
    in_place = place.resolve() == folder.resolve()
    bad_videos = {video: why for run in runs for video, why in run.bad_videos.items()}
    with held(folder, "`save`") if in_place else contextlib.nullcontext():
        results = estimated(runs, config, groups)
        first = partial(forget_results, folder) if in_place else None
        saved = save_anew(place, results, bad_videos, first)
        if in_place:
            note_estimation(folder, config, OPTIONS)
    if bad_videos:
        print(f"left out: {counted(len(bad_videos), 'video')}, see {place}/skipped_videos.csv")
    print(summary(results, config.joint_encoding or "joint_encoding_thresh" in given))
    print(f"tables:  {place}")
    print(f"figures: {', '.join(map(str, saved.figures))}")
    if saved.replaced:
        print(f"replaced: {', '.join(saved.replaced)}")
    if saved.removed:
        print(f"removed: {', '.join(saved.removed)}, of which these results have none")


if __name__ == "__main__":
    sys.exit(run_script(main))
