"""Which way to compute features is the fastest: tried on a run's first clips, and compared there
with the plain one."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from common.memory import available_memory, keep_memory, peak_memory
from measure.steady import Unsteady, largest_difference
from models.network import AUTO
from models.way import FP32, HALF, Way
from utils import UserError, counted

if TYPE_CHECKING:
    from torch import Tensor

    from models.forwards import Forward, Staged

# How far features may be from the plain ones, as a part of the largest one of their stage.
TOLERANCES = {FP32: 1e-5, "bf16": 3e-2, "fp16": 3e-2, AUTO: 2e-3}
# A run of fewer clips, or seconds, is not worth a trial: its features are the plain ones.
FEW, _LONG = 24, 10.0
# In one that has so many seconds left, every way is timed once it is warm.
_PRECISELY = 60.0
# Other clips than those of the trial may differ by so many times more.
_LATER = 10
# A way has to save so much of the time, as timings are noisy.
_WORTH = 0.03
# A first forward that is so many times slower is not tried again.
_HOPELESS = 2.0
# Clips per forward that are tried, beside those of the trial.
_LARGER = 4


@dataclass(frozen=True)
class Step:
    """A change that may make a way faster.

    change: from a way to the changed one.
    gain: the part of the time that it may be hoped to save.
    seconds: that it takes once, beside forwards.
    of_convolutions: whether it is for networks that are made of these.
    """

    change: Callable[[Way], Way]
    gain: float
    seconds: float = 0.0
    of_convolutions: bool = False


def _switched(gain: float, *names: str, seconds: float = 0.0) -> Step:
    switches: dict[str, Any] = dict.fromkeys(names, True)
    of_convolutions = bool({"folded", "channels_last"} & switches.keys())
    return Step(lambda way: replace(way, **switches), gain, seconds, of_convolutions)


def _rounded(precision: str, gain: float) -> Step:
    return Step(lambda way: replace(way, precision=precision), gain)


_LARGER_BATCH = Step(lambda way: replace(way, batch_size=_LARGER * way.batch_size), 0.05)
# In this order, each on top of those before it that were of use; those that a way has are not
# tried again.
_STEPS = (
    _switched(0.3, "memory"),
    _switched(0.25, "folded", "channels_last"),
    _switched(0.1, "folded"),
    _switched(0.2, "channels_last"),
)
# Of several inputs, some may lead to no stage: the slow pathway where the fast one is measured.
_PRUNED = {False: _switched(0.05, "pruned", seconds=2), True: _switched(0.4, "pruned", seconds=2)}
_LAST_STEPS = (_switched(0.25, "compiled", seconds=60),)
# What a value of `precision` allows, where it was asked for at any rate: hence the gain.
_PRECISIONS = {
    FP32: (),
    "bf16": (_rounded("bf16", 1.0),),
    "fp16": (_rounded("fp16", 1.0),),
    AUTO: (_rounded("bf16", 0.4), _rounded("fp16", 0.4)),
}


@dataclass(frozen=True)
class Trial:
    """A way, and how it did.

    seconds: a clip.
    error: the largest difference from a feature of the plain way, as a part of the largest one of
        its stage.
    refused: why it is of no use, empty if it may be.
    forward: that was tried; None if it could not be.
    """

    way: Way
    seconds: float = float("inf")
    error: float = 0.0
    refused: str = ""
    forward: Forward | None = None

    @property
    def is_apart(self) -> bool:
        """Whether it was refused for its features, though they are in float32."""
        return bool(self.refused and self.error) and self.way.precision == FP32

    def record(self) -> dict[str, Any]:
        """What was found, in JSON types."""
        found = {"seconds_a_clip": self.seconds, "largest_error": self.error}
        return {
            "steps": list(self.way.steps),
            "batch_size": self.way.batch_size,
            **(found if math.isfinite(self.seconds) else {}),
            **({"refused": self.refused} if self.refused else {}),
        }


@dataclass(frozen=True)
class Choice:
    """The way that was taken, and all that were tried for it.

    best: that was taken.
    tried: in order, the plain one first.
    spent: seconds.
    """

    best: Trial
    tried: tuple[Trial, ...]
    spent: float

    def record(self) -> dict[str, Any]:
        """What was chosen and why, in JSON types."""
        return {
            **self.best.record(),
            "plain_seconds_a_clip": self.tried[0].seconds,
            "spent_seconds": self.spent,
            "tried": [trial.record() for trial in self.tried],
        }

    def describe(self) -> str:
        """The choice in a line."""
        best, plain = self.best, self.tried[0]
        error = f", largest error {best.error:.1e}" if best.error else ""
        return (
            f"way: {named(best.way)}, {counted(best.way.batch_size, 'clip')} at a time: "
            f"{best.seconds:.3g} s a clip (plain {plain.seconds:.3g}{error}); found in "
            f"{self.spent:.0f} s"
        )


def named(way: Way) -> str:
    """A way in words; but for half precision, `way` takes them."""
    return "+".join(way.steps) or "plain"


def choose(
    network: Staged,
    inputs: Sequence[Tensor],
    clips: int,
    precision: str,
    batch_sizes: tuple[int, int],
) -> Choice:
    """The fastest way for so many clips, of those whose features are within tolerance.

    A way is tried where the time that it may be hoped to save is longer than the trial. Of a short
    run nothing is tried, unless half precision is asked for.

    inputs: of a few clips, on the network's device.
    precision: what is allowed.
    batch_sizes: clips per forward at first, and at most.

    Raises whatever the plain forward raises.
    """
    start = time.perf_counter()
    keep_memory(True)  # for the first forward too: it warms up for those that keep it
    plain = Way(batch_size=batch_sizes[0])
    trials = _Trials(network, inputs, precision)
    best = trials.untried(plain)
    on_cpu = inputs[0].device.type == "cpu"
    if best.seconds * clips > (_PRECISELY if on_cpu else _LONG):
        best = trials.run(plain)
    tried = [best]
    if best.seconds * clips > _LONG or precision in HALF:
        print(f"way: trying the fastest for {counted(clips, 'clip')}", flush=True)
        most = min(batch_sizes[1], clips, trials.most)
        for step in _steps(precision, plain.batch_size, most, len(inputs) > 1):
            way, left = step.change(best.way), clips * best.seconds
            took = step.seconds + 2 * way.batch_size * best.seconds
            if (
                way in [trial.way for trial in tried]
                or (step.of_convolutions and not network.convolves)
                or (way.memory and not on_cpu)
                or (step.gain < 1 and step.gain * left < took)
                # It makes much of rounding: that of a compiler is no smaller.
                or (way.compiled and any(trial.is_apart for trial in tried))
            ):
                continue
            trial = trials.run(way, best.seconds, precisely=left > _PRECISELY)
            if not trial.refused and trial.seconds < (1 - _WORTH) * best.seconds:
                trial, best = best, trial
                tried[tried.index(trial)] = replace(trial, forward=None)
                tried.append(best)
            else:
                tried.append(replace(trial, forward=None))  # its modules take memory
    keep_memory(best.way.memory)
    return Choice(best, tuple(tried), time.perf_counter() - start)


def _steps(precision: str, batch: int, largest: int, many_inputs: bool) -> Iterator[Step]:
    yield from (*_STEPS, _PRUNED[many_inputs], *_PRECISIONS[precision])
    while batch * _LARGER <= largest:
        yield _LARGER_BATCH
        batch *= _LARGER
    yield from _LAST_STEPS


def checked(network: Staged, way: Way, inputs: Sequence[Tensor], precision: str) -> Trial:
    """A way that was chosen before. Raises UserError if its features are not within tolerance, or
    if it cannot be had here."""
    of_one_size = way.pruned or way.compiled
    tried = way if of_one_size else replace(way, batch_size=len(inputs[0]))
    trial = _Trials(network, inputs, precision).run(tried, precisely=False)
    if trial.refused:
        raise UserError(f"`way` {named(way)}: {trial.refused}; give `way` plain")
    return trial


class _Trials:
    """Trials of ways on the same clips."""

    def __init__(self, network: Staged, inputs: Sequence[Tensor], precision: str):
        self.network, self.inputs, self.precision = network, inputs, precision
        before = peak_memory()
        self.plain, self.seconds = _timed(network.plain, inputs)
        self.bytes = max((peak_memory() - before) // len(inputs[0]), 1)

    @property
    def most(self) -> int:
        """How many clips per forward may be tried: half of a machine's memory may be taken, and of
        a GPU's all that there is."""
        available = available_memory() if self.inputs[0].device.type == "cpu" else sys.maxsize
        return (available or 0) // (2 * self.bytes)

    def untried(self, way: Way) -> Trial:
        """The plain way, of which the first forward is all that is known."""
        return Trial(way, self.seconds, forward=self.network.plain)

    def run(self, way: Way, fastest: float = 0.0, precisely: bool = True) -> Trial:
        """Try a way; one that fails is refused, whatever fails in it.

        fastest: seconds a clip of the best one yet. A first forward that is faster already, or much
            slower, is enough to know, unless it is to be known precisely.
        """
        from models.forwards import forward_in

        batch = self._batch(way)
        try:
            forward = forward_in(way, self.network, batch)
            features, seconds = _timed(forward, batch)
            near = (1 - _WORTH) * fastest < seconds < _HOPELESS * fastest
            if precisely or near:
                features, seconds = _timed(forward, batch)
        except Exception as error:  # of a network, or a compiler
            said = (str(error).splitlines() or [""])[0]
            return Trial(way, refused=f"{type(error).__name__}: {said}")
        # Larger batches begin with the clips that the plain forward was given.
        own = {stage: (x, features[stage]) for stage, x in self.plain.items()}
        rows = {stage: min(len(x), len(y)) for stage, (x, y) in own.items()}
        each = [largest_difference(x[: rows[s]], y[: rows[s]]) for s, (x, y) in own.items()]
        apart = float(np.max(each))  # NaN, if there is one
        return Trial(way, seconds, apart, self._why_not(apart), forward)

    def _batch(self, way: Way) -> list[Tensor]:
        """The clips in a batch of a way's size, as often as they fit in."""
        n = len(self.inputs[0])
        return [x[[i % n for i in range(way.batch_size)]] for x in self.inputs]

    def _why_not(self, error: float) -> str:
        tolerance = TOLERANCES[self.precision]
        if error <= tolerance:
            return ""
        return (
            f"features differ from the plain ones by {error:.1e} of the largest one, more than "
            f"{tolerance:g}"
        )


def require_as_plain(
    plain: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray], precision: str
) -> None:
    """Raise Unsteady if features of a clip, computed in a way within tolerance on the clips of its
    trial, are not the plain ones on another clip."""
    for stage, x in plain.items():
        finite = np.isfinite(x)  # the others are the network's own
        error = largest_difference(x[finite], features[stage][finite])
        if not error <= _LATER * TOLERANCES[precision]:
            raise Unsteady(
                f"stage {stage!r}: the way that was chosen gives a clip features that differ from "
                f"the plain ones by {error:.1e} of the largest one, though they were alike on the "
                "first clips: give `way` plain"
            )


def _timed(forward: Forward, batch: Sequence[Tensor]) -> tuple[dict[str, np.ndarray], float]:
    """What a forward gives, and its seconds a clip."""
    start = time.perf_counter()
    features = as_arrays(forward(batch))
    return features, (time.perf_counter() - start) / len(batch[0])


def as_arrays(features: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Features as float32 [rows, C] in the machine's memory, once they are computed."""
    return {stage: x.float().cpu().numpy() for stage, x in features.items()}
