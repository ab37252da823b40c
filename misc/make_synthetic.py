"""Make the synthetic stylized data set: videos whose motion and appearance are known.

    python misc/make_synthetic.py FOLDER --n_videos 64 --styles 1,2,3,4

FOLDER gets style_K/VIDEO/00001.jpg ..., and the truth about every video in videos.csv.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _path

from common.options import LARGEST_SEED, integer, script_parser
from common.process import run_script
from datasets.synthetic import MIN_SIZE, STYLES, make


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, make, say where."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="folder to make")
    add("--n_videos", type=integer(1), default=64, help="videos (default: %(default)s)")
    add(
        "--styles",
        type=styles,
        default=(1, 2, 3, 4),
        help=f"from 1..{len(STYLES)} (default: 1,2,3,4)",
    )
    add("--n_frames", type=integer(1), default=24, help="frames of a video (default: %(default)s)")
    add("--size", type=integer(MIN_SIZE), default=64, help="side in pixels (default: %(default)s)")
    add(
        "--random_seed",
        type=integer(0, LARGEST_SEED),
        default=1,
        help="seed of the content (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    make(args.folder, args.n_videos, args.styles, args.n_frames, args.size, args.random_seed)
    print(f"{args.n_videos} videos in {len(args.styles)} styles: {args.folder}")


def styles(text: str) -> tuple[int, ...]:
    """The numbers of "1,2,3,4", for argparse; `make` checks that they exist."""
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(run_script(main))
