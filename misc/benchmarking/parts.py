"""What a process of its own is timed on: the study's procedure on a few pairs, or the forward alone
on clips in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.factors import scored_factors
from config import load_config
from datasets.geometry import ClipGeometry
from datasets.stylized_videos import StylizedVideos
from datasets.taken_frames import permutation, raw_frames
from measure.features import load_for
from measure.folder import recorded_way
from measure.prepare import prepare
from measure.run import Run
from measure.speed import Decision, taken
from misc.benchmarking.costs import STUDY_BATCH

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Clips are in memory up to so many bytes; if there are more, these are run as often as all would
# be.
_MOST_BYTES = 2**30


@dataclass(frozen=True)
class Members:
    """Pairs as the study's code reads them: each member anew.

    run: whose pairs they are.
    clips: first and second clip of each.
    """

    run: Run
    clips: Sequence[tuple[Any, Any]]

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.clips)

    def __getitem__(self, place: int) -> list[list[Tensor]]:
        """The inputs of both members of a pair."""
        read = _video if isinstance(self.run.geometry, ClipGeometry) else _frame
        return [read(self.run, clip) for clip in self.clips[place]]


def _video(run: Run, clip: Any) -> list[Tensor]:
    """The inputs of a clip: all frames of its window are decoded, and some of them taken."""
    import numpy as np
    import torch

    from datasets.batches import read_frame
    from datasets.video_clips import preprocess

    geometry, data = run.geometry, run.data
    assert isinstance(geometry, ClipGeometry)
    assert isinstance(data, StylizedVideos)
    positions = data.listed.positions(clip.video, clip.start, geometry.window)
    folder = data.found[clip.video, clip.style]
    frames = [read_frame(folder.path(position)) for position in positions]
    taken_rows = raw_frames(geometry)
    seen = sorted(set(itertools.chain(*taken_rows)))
    x = preprocess(torch.from_numpy(np.stack([frames[row] for row in seen])), geometry)
    orders = [permutation(clip.shuffle, i, len(rows)) for i, rows in enumerate(taken_rows)]
    return [
        x[:, [seen.index(rows[place]) for place in order]]
        for rows, order in zip(taken_rows, orders, strict=True)
    ]


def _frame(run: Run, clip: Any) -> list[Tensor]:
    """The inputs of a clip of segmentation: a frame (or two) with its flow."""
    from datasets.batches import Batch, iter_batches

    (batch,) = iter_batches([[[clip]]], run.data.reader(run.geometry))
    assert isinstance(batch, Batch), batch
    return [x[0] for x in batch.inputs]


@dataclass(frozen=True)
class Timed:
    """What was timed.

    seconds: in all.
    number: of pairs, or clips.
    """

    seconds: float
    number: int

    @property
    def each(self) -> float:
        """Seconds of one."""
        return self.seconds / self.number


def study_seconds(options: Sequence[str], sampled: int) -> Timed:
    """Seconds of the study's procedure on some of the scored pairs, spread over the plan.

    As in its code: each member of a pair is read anew, the whole window decoded; two pairs at a
    time; every forward whole, with gradients recorded, and nothing done to make it fast.

    sampled: how many pairs, two at least.
    """
    from torch.utils.data import DataLoader, default_collate

    run = prepare(load_config(options))
    network, _ = load_for(run)
    scored = scored_factors(run.config.n_factors, run.config.residual_index)
    pairs = [(pair.a, pair.b) for pair in run.plan.pairs if pair.factor in scored]
    chosen: Any = Members(run, spread(pairs, sampled))

    def forward(members: Sequence[Sequence[Tensor]]) -> None:
        for inputs in members:
            network.module(*(x.to(network.device) for x in inputs))
        _finish(network.device)

    # The first batch is slower, and so are processes that begin to read: they are of the start.
    forward(default_collate([chosen[place] for place in range(min(STUDY_BATCH, len(chosen)))]))
    workers = run.config.num_workers
    batches = iter(DataLoader(chosen, batch_size=STUDY_BATCH, num_workers=workers))
    start = time.perf_counter()
    for members in batches:
        forward(members)
    return Timed(time.perf_counter() - start, len(chosen))


def spread(pairs: Sequence[Any], n: int) -> Sequence[Any]:
    """`n` of some pairs, evenly spread over them; all if there are no more.

    >>> spread("abcdefg", 3)
    'ace'
    """
    return pairs[:: max(len(pairs) // n, 1)][:n]


def floor_seconds(options: Sequence[str], folder: Path) -> Timed:
    """Seconds of the forward alone over all distinct clips, which are in memory, in the way that
    the run in a folder has chosen."""
    run = prepare(load_config(options))
    network, _ = load_for(run)
    record = recorded_way(folder)
    assert record
    run, network = taken(run, network, Decision(record))
    batches = sum(map(len, run.chunks))
    ready = _in_memory(run)
    for x in {len(inputs[0]): inputs for inputs in ready}.values():  # warm up at every size
        network.features(x)
    start = time.perf_counter()
    clips = 0
    for inputs in itertools.islice(itertools.cycle(ready), batches):
        network.features(inputs)
        clips += len(inputs[0])
    return Timed(time.perf_counter() - start, clips)


def _in_memory(run: Run) -> list[list[Tensor]]:
    """The inputs of the first batches, of all if they are not too large."""
    from datasets.batches import Batch

    kept: list[list[Tensor]] = []
    n_bytes = 0
    for batch in run.batches(run.chunks):
        if isinstance(batch, Batch):
            kept.append(batch.inputs)
            n_bytes += sum(x.nbytes for x in batch.inputs)
        if n_bytes > _MOST_BYTES:
            break
    return kept


def _finish(device: torch.device) -> None:
    """Wait for what a GPU still computes."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
