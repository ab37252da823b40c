"""Train the two networks of the demo on synthetic videos: minutes on two CPU cores.

    python misc/train_demo.py

demo_motion learns the motion whatever the style; clips with their frames shuffled have no motion,
and it learns to find none in them. demo_appearance learns the style whatever the motion and the
order of frames. Every clip is drawn for the step that uses it, none is seen twice. The weights
replace those in models/weights if they are good on videos that training never drew.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.files import atomic_path
from common.options import LARGEST_SEED, integer, script_parser
from common.process import run_script
from datasets.geometry import ClipGeometry
from datasets.synthetic import MOTIONS, STYLES, Video, draw_video, render_at
from datasets.taken_frames import subsample
from datasets.video_clips import preprocess
from models.catalogue import find
from models.network import Network
from utils import UserError, progress

BATCH = 32
LEARNING_RATE = 1e-2
# Raw frames of the videos that `make` writes by default: clips start anywhere in them.
N_FRAMES = 24
# Far from the seeds that people give, so that no video measured later was seen in training.
TRAINING_SEED, HELD_OUT_SEED = 1_000_000, 2_000_000
HELD_OUT_BATCHES = 16
LOWEST_ACCURACY = 0.9


@dataclass(frozen=True)
class Task:
    """What a network learns.

    label: class of a clip from its video and style.
    shuffled: share of clips whose frames are shuffled in training.
    order_matters: whether a shuffled clip belongs to no class, rather than to its own.
    learning_rate: the highest.
    """

    steps: int
    label: Callable[[Video, int], int]
    shuffled: float
    order_matters: bool
    learning_rate: float = LEARNING_RATE


TASKS = {
    "demo_motion": Task(500, lambda video, style: list(MOTIONS).index(video.motion), 0.25, True),
    "demo_appearance": Task(120, lambda video, style: list(STYLES).index(style), 1.0, False),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Train, test and save both."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "--random_seed", type=integer(0, LARGEST_SEED), default=1, help="default: %(default)s"
    )
    parser.add_argument("--save_dir", type=Path, help="default: where the demo finds them")
    args = parser.parse_args(argv)
    paths = {name: target(find(name), args.save_dir) for name in TASKS}
    for name, task in TASKS.items():
        start, network = time.perf_counter(), find(name)
        module = train(network, task, args.random_seed)
        right = accuracy(module, network, task, args.random_seed)
        seconds = time.perf_counter() - start
        print(f"{name}: {right:.1%} of held-out clips right, {seconds:.0f} s", flush=True)
        if right < LOWEST_ACCURACY:
            raise UserError(
                f"{name} is right on {right:.1%} of held-out clips, below {LOWEST_ACCURACY:.0%}: "
                "not saved, try another --random_seed"
            )
        save(module, paths[name])
        print(f"saved: {paths[name]}", flush=True)


def train(network: Network, task: Task, seed: int) -> nn.Module:
    """The trained module, in evaluation mode; the same for the same seed on one machine."""
    torch.manual_seed(seed)
    # Channels last is a third faster on CPUs.
    module = network.module().train().to(memory_format=torch.channels_last_3d)
    # Data without end needs no dropout.
    module.get_submodule("head.dropout").eval()
    optimizer = torch.optim.AdamW(module.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, task.learning_rate, total_steps=task.steps, pct_start=0.2
    )
    for step in progress(range(task.steps), network.name, "step"):
        clips, targets = draw_batch(network, task, TRAINING_SEED + seed, step, task.shuffled)
        loss = F.cross_entropy(module(clips), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return module.eval()


def accuracy(module: nn.Module, network: Network, task: Task, seed: int) -> float:
    """Share in [0, 1] of held-out clips, their frames in order, that get their class."""
    right = []
    with torch.inference_mode():
        for number in progress(range(HELD_OUT_BATCHES), "held-out clips", "batch"):
            clips, targets = draw_batch(network, task, HELD_OUT_SEED + seed, number, shuffled=0.0)
            right.append(module(clips).argmax(1) == targets.argmax(1))
    return torch.cat(right).float().mean().item()


def draw_batch(
    network: Network, task: Task, seed: int, number: int, shuffled: float
) -> tuple[Tensor, Tensor]:
    """Clips [B, 3, T, H, W] and the probabilities of their classes [B, classes].

    Batch `number` holds the videos that follow those of the batch before, each in a random style
    from a random start; the last of them, a share of `shuffled`, have their frames shuffled.
    """
    rng = np.random.default_rng([seed, number])
    geometry = network.clip
    assert isinstance(geometry, ClipGeometry)
    ((_, n_frames),) = geometry.inputs
    positions = subsample(geometry.window, n_frames)
    clips, targets = [], torch.zeros(BATCH, network.num_classes)
    for i in range(BATCH):
        video, style = draw_video(seed, number * BATCH + i), int(rng.choice(list(STYLES)))
        start = rng.integers(N_FRAMES - geometry.window + 1)
        frames = render_at(video, style, start + positions, geometry.crop)  # [T, H, W, 3]
        targets[i, task.label(video, style)] = 1
        if i >= BATCH - round(shuffled * BATCH):
            frames = rng.permutation(frames)
            if task.order_matters:
                targets[i] = 1 / network.num_classes
        clips.append(preprocess(torch.from_numpy(frames), geometry))
    return torch.stack(clips), targets


def target(network: Network, folder: Path | None) -> Path:
    """The file to write: in `folder`, or the network's bundled weights.

    Raises UserError if there are none to replace, or if the folder cannot be made.
    """
    bundled = network.weights.bundled
    if bundled is None:
        raise UserError(f"{network.name} has no bundled weights to replace")
    path = (folder or bundled.parent) / bundled.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--save_dir {path.parent} cannot be made: {error}") from None
    return path


def save(module: nn.Module, path: Path) -> None:
    """Write the state dict as safetensors."""
    from safetensors.torch import save_file

    # The format has no strides: tensors must be laid out in the order of their axes.
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary)


if __name__ == "__main__":
    sys.exit(run_script(main))
