"""How much longer a run takes than the forward passes alone that it needs.

    python misc/benchmark.py --dataset plain --stylized_data_dir DIR --model i3d --stg all \\
        --checkpoint random --pairing exhaustive
    python misc/benchmark.py --cfg_file configs/matnet_davis.json --checkpoint random --nreps 1

The floor: the same distinct clips, already decoded and in memory, through the same network in the
same batches and precision, one whole forward each. Both are timed in this run; the ratio is what
counts. Takes the options of main.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from _path import ROOT

from common.options import script_parser
from common.process import run_script
from config import add_options, from_given
from measure.features import load_for
from measure.prepare import prepare
from measure.run import Run
from utils import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Time the floor, the run, and the floor again; print the ratio to the floor's mean."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = script_parser(__doc__)
    add_options(parser)
    given = vars(parser.parse_args(argv))
    if "resume" in given:
        parser.error("--resume: what is timed is a whole run in a folder of its own; leave it out")
    run = prepare(from_given(given))
    before = floor_seconds(run)
    whole = run_seconds(run, argv)
    after = floor_seconds(run)
    floor, clips = (before + after) / 2, len(run.rows)
    print(f"{clips} distinct clips, {len(run.plan.pairs)} pairs, {run.network.name}")
    print(
        f"floor: {floor:.1f} s ({before:.1f} before, {after:.1f} after), {floor / clips:.3f} a clip"
    )
    print(f"run:   {whole:.1f} s from start to exit, {whole / clips:.3f} a clip")
    print(f"ratio: {whole / floor:.3f}")


def run_seconds(run: Run, argv: Sequence[str]) -> float:
    """Seconds of main.py with these options, on the videos of `run`, from start to exit.

    Raises UserError where it fails.
    """
    config = run.config
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "main.py"), *argv, "--save_dir", folder]
        if config.dataset == "synthetic" and config.stylized_data_dir is None:
            # Those that the floor was timed on: by default they are made in the save folder.
            command += ["--stylized_data_dir", str(config.save_dir / "synthetic_videos")]
        start = time.perf_counter()
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise UserError("the run failed, see above")
        return time.perf_counter() - start


def floor_seconds(run: Run) -> float:
    """Seconds of one bare forward per batch, the clips being in memory."""
    import torch

    from datasets.batches import Batch

    network, _ = load_for(run)
    ready = run.batches(run.chunks)
    batches = [batch.inputs for batch in ready if isinstance(batch, Batch)]

    def synchronize() -> None:
        if network.device.type == "cuda":
            torch.cuda.synchronize(network.device)

    with torch.inference_mode():
        network.module(*(x.to(network.device) for x in batches[0]))  # warm-up
        synchronize()
        start = time.perf_counter()
        for inputs in batches:
            network.module(*(x.to(network.device) for x in inputs))
        synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(run_script(main))
