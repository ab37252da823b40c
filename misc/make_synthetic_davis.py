"""Make a small synthetic set in the trees of Stylized DAVIS, with true flow and masks.

    python misc/make_synthetic_davis.py FOLDER --n_sequences 3 --n_frames 8 --size 96,160

FOLDER/original is then what `--original_data_root` takes, FOLDER/stylized `--stylized_data_dir`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _path

from common.options import LARGEST_SEED, integer, script_parser, size
from common.process import run_script


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, make, say what was made."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="folder to make")
    add("--n_sequences", type=integer(1), default=3, help="sequences (default: %(default)s)")
    add("--n_frames", type=integer(3), default=8, help="frames of each (default: %(default)s)")
    add("--size", type=size, default=(96, 160), help="height,width or one side (default: 96,160)")
    add(
        "--random_seed",
        type=integer(0, LARGEST_SEED),
        default=1,
        help="seed (default: %(default)s)",
    )
    args = parser.parse_args(argv)

    from datasets.synthetic_davis import make_davis

    make_davis(args.folder, args.n_sequences, args.n_frames, args.size, args.random_seed)
    print(f"{args.n_sequences} sequences of {args.n_frames} frames: {args.folder}")


if __name__ == "__main__":
    sys.exit(run_script(main))
