"""How much longer a run takes than the bare forwards that it needs.

    python misc/benchmark.py --dataset plain --stylized_data_dir DIR --model i3d --stg all \\
        --checkpoint random --pairing exhaustive
    python misc/benchmark.py --cfg_file configs/matnet_davis.json --checkpoint random --nreps 1

The floor: the same distinct clips, already decoded and in memory, through the same network in the
same batches and precision, one whole forward each. Both are timed in this run; the ratio is what
counts. Takes the options of main.py or, with --cfg_file, of vos.measure.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from _path import ROOT

from utils import UserError, run


@dataclass(frozen=True)
class Task:
    """A kind of run: its command; the functions that prepare it and load its network."""

    command: tuple[str, ...]
    prepare: Callable[[Sequence[str]], Any]
    load: Callable[[Any], Any]


def recognition() -> Task:
    """Runs of main.py."""
    from config import load_config
    from main import load_network
    from measure.prepare import prepare

    command = (sys.executable, str(ROOT / "main.py"))
    return Task(command, lambda argv: prepare(load_config(argv)), load_network)


def segmentation() -> Task:
    """Runs of vos.measure."""
    from vos.config import load_config
    from vos.measure import load_network
    from vos.measurement import prepare

    command = (sys.executable, "-m", "vos.measure")
    return Task(command, lambda argv: prepare(load_config(argv)), load_network)


def main(argv: Sequence[str] | None = None) -> None:
    """Time the floor, the run, and the floor again; print the ratio to the floor's mean."""
    argv = list(sys.argv[1:] if argv is None else argv)
    task = segmentation() if "--cfg_file" in argv else recognition()
    plan = task.prepare(argv)
    before = floor_seconds(task, plan)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [*task.command, *argv, "--save_dir", folder]
        if getattr(plan.config, "dataset", "") == "synthetic" and "--stylized_data_dir" not in argv:
            command += ["--stylized_data_dir", str(plan.config.save_dir / "synthetic_videos")]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise UserError("the run failed, see above")
        whole = time.perf_counter() - start
    after = floor_seconds(task, plan)
    floor, clips = (before + after) / 2, len(plan.rows)
    print(f"{clips} distinct clips, {len(plan.pairs)} pairs, {plan.network.name}")
    print(
        f"floor: {floor:.1f} s ({before:.1f} before, {after:.1f} after), {floor / clips:.3f} a clip"
    )
    print(f"run:   {whole:.1f} s from start to exit, {whole / clips:.3f} a clip")
    print(f"ratio: {whole / floor:.3f}")


def floor_seconds(task: Task, plan: Any) -> float:
    """Seconds of one bare forward per batch, the clips being in memory."""
    import torch

    from datasets.clips import Batch

    network, _ = task.load(plan)
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
