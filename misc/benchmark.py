"""How much longer main.py takes than the bare forwards that it needs.

    python misc/benchmark.py --dataset plain --stylized_data_dir DIR --model i3d --stg all \\
        --checkpoint random --pairing exhaustive

The floor: the same distinct clips, already decoded and in memory, through the same network in the
same batches and precision, one forward each. Both are timed in this run; the ratio is what counts.
Takes main.py's options.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import load_config  # noqa: E402
from main import load_network  # noqa: E402
from measurement import Measurement, prepare  # noqa: E402
from utils import UserError, run  # noqa: E402


def main(argv: Sequence[str] | None = None) -> None:
    """Time the floor, main.py, and the floor again; print the ratio to the floor's mean."""
    argv = list(sys.argv[1:] if argv is None else argv)
    plan = prepare(load_config(argv))
    before = floor_seconds(plan)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        data = plan.config.stylized_data_dir or plan.config.save_dir / "synthetic_videos"
        command = [sys.executable, str(ROOT / "main.py"), *argv, "--save_dir", folder]
        command += ["--stylized_data_dir", str(data)]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise UserError("main.py failed, see above")
        whole = time.perf_counter() - start
    after = floor_seconds(plan)
    floor = (before + after) / 2
    print(f"{len(plan.rows)} distinct clips, {len(plan.pairs)} pairs, {plan.network.name}")
    print(f"floor:   {floor:.1f} s ({before:.1f} before, {after:.1f} after)")
    print(f"main.py: {whole:.1f} s from start to exit")
    print(f"ratio:   {whole / floor:.3f}")


def floor_seconds(plan: Measurement) -> float:
    """Seconds of one bare forward per batch, the clips being in memory."""
    import torch

    from datasets.clips import Batch

    network, _ = load_network(plan)
    ready = plan.batches(list(plan.rows))
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
    sys.exit(run(main))
