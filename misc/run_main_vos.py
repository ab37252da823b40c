"""The segmentation study: every network with every seed, joint encoding with seed 1 only.

    python misc/run_main_vos.py --checkpoints FOLDER     on DAVIS, with the study's checkpoints
    python misc/run_main_vos.py --demo                   on a small synthetic set, untrained

Where the data are: ORIGINAL_DATA_ROOT and STYLIZED_DATA_ROOT, or as configs/*.json say. All runs
share one process. What is finished is only estimated anew; a network that fails does not stop the
others, and the exit code is 1 if any did. run_main_vos.sh calls this script.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _path import ROOT

import main as main_script
from common.options import names, script_parser
from common.process import run_script
from models.network import RANDOM
from utils import UserError

ARCHIVE = "checkpoints_3models_staticdynamic_cvpr22"
FUSIONSEG = "latest_twostream_deeplabv3plus_resnet101_{}_os16.pth"


@dataclass(frozen=True)
class Entry:
    """A network of the study.

    cfg_file: its configuration, below configs/.
    checkpoint: its weights in the study's archive.
    trained_on: training set of the weights, where there are several.
    """

    cfg_file: str
    checkpoint: str
    trained_on: str = ""

    def argv(self, checkpoints: Path | None) -> list[str]:
        """The options that main.py takes for it; without checkpoints, untrained."""
        weights = str(checkpoints / self.checkpoint) if checkpoints else RANDOM
        options = ["--cfg_file", str(ROOT / "configs" / self.cfg_file), "--checkpoint", weights]
        options += ["--stg", "all"]
        return [*options, *(["--trained_on", self.trained_on] if self.trained_on else [])]


STUDY = (
    Entry("rtnet_davis.json", "model_RX50.pth"),
    Entry("matnet_davis.json", "checkpoints_matnet"),
    *(
        Entry("twostreamv3plus_davis.json", f"checkpoints_fseg/{FUSIONSEG.format(name)}", name)
        for name in ("davis", "taovos", "imgnetvid")
    ),
)
DEMO = ("--crop_size", "64,96", "--nreps", "1", "--num_workers", "0")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study; returns 0 if all went well, 1 if a network failed, 130 after Ctrl-C
    and the like for other signals.

    Raises UserError where the folder of checkpoints is missing.
    """
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--checkpoints", type=Path, default=Path(ARCHIVE), help=f"folder (default: {ARCHIVE})")
    add("--seeds", type=names, default=("1", "2", "3", "4"), help="default: 1,2,3,4")
    add("--save_dir", type=Path, default=Path("dim_outputs/vos_models"), help="of the results")
    add("--demo", action="store_true", help="untrained networks on synthetic sequences")
    args = parser.parse_args(argv)
    if not args.demo and not args.checkpoints.is_dir():
        raise UserError(
            f"`checkpoints` {args.checkpoints} is not a folder: unpack the study's archive there "
            "(main.py --list_models shows its address), or give --demo"
        )
    more: tuple[str, ...] = ("--save_dir", str(args.save_dir))
    if args.demo:
        make_data(args.save_dir / "synthetic_davis")
        more += DEMO
        print(
            "DEMO: synthetic sequences and random weights; the numbers say nothing of trained ones"
        )
    failed = []
    for seed in args.seeds:
        for entry in STUDY:
            title = f"{entry.cfg_file} {entry.trained_on}".strip() + f", seed {seed}"
            print(f"== {title}", flush=True)
            joint = str(seed == "1")
            options = ("--random_seed", seed, "--joint_encoding", joint)
            code = run_one([*entry.argv(None if args.demo else args.checkpoints), *options, *more])
            if code > 128:  # the user, or the system, ends it
                return code
            failed += [title] if code else []
    print(
        "\n".join([f"failed: {len(failed)}", *(f"  {title}" for title in failed)])
        if failed
        else f"all done: {args.save_dir}"
    )
    return 1 if failed else 0


def make_data(folder: Path) -> None:
    """Make the synthetic sequences of the demo, unless they are there, and say so to the runs."""
    from datasets.synthetic_davis import make_davis

    if not folder.exists():
        make_davis(folder, n_sequences=3, n_frames=6, size=(64, 96))
    os.environ["ORIGINAL_DATA_ROOT"] = str(folder / "original")
    os.environ["STYLIZED_DATA_ROOT"] = str(folder / "stylized")


def run_one(argv: list[str]) -> int:
    """The exit code of one run."""
    try:
        return run_script(lambda: main_script.main(argv))
    except SystemExit:  # an option that does not parse: its parser has said so
        return 2


if __name__ == "__main__":
    sys.exit(run_script(main))
