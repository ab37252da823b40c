"""Whether a network gives a clip the same features whatever else it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils import UserError

if TYPE_CHECKING:
    from torch import Tensor

# How far features may be apart: of the largest one of a stage, in float32 and rounded to half
# precision, and at least. Sums of another order differ by 1e-6 or so, and a stage that is zero on
# average has nothing but such differences.
RELATIVE, ROUNDED, ABSOLUTE = 1e-3, 3e-2, 1e-6

Features = Mapping[str, np.ndarray]


class Unsteady(UserError):
    """A network whose features of a clip depend on more than the clip.

    unsteady: that what was computed is not to be kept.
    """

    unsteady = True


@dataclass(frozen=True)
class Witness:
    """A clip, and the features that it had early in a run.

    inputs: of one clip, [1, ...] each.
    features: float32 [rows, C] per stage.
    """

    inputs: list[Tensor]
    features: Features

    @staticmethod
    def among(inputs: Sequence[Tensor], features: Features) -> Witness:
        """The first clip of a batch."""
        clips = len(inputs[0])
        first = {stage: x[: len(x) // clips].copy() for stage, x in features.items()}
        return Witness([x[:1].clone() for x in inputs], first)


def require_steady(
    forward: Callable[[Sequence[Tensor]], Features],
    inputs: Sequence[Tensor],
    features: Features,
    relative: float = RELATIVE,
) -> None:
    """Compare the features of a clip in a batch with those that it has alone.

    forward: inputs of clips to float32 [rows, C] per stage.
    features: what it has given for `inputs`, just before.
    relative: how far they may be apart.

    Raises Unsteady, with the stage, if they depend on the other clips of the batch, or on what the
    network was shown before.
    """
    clips = len(inputs[0])
    place = clips // 2  # between two others, where there are three
    alone = [x[place : place + 1] for x in inputs]
    first = forward(alone)
    in_batch = {stage: x.reshape(clips, -1, x.shape[1])[place] for stage, x in features.items()}
    stage = _differing(in_batch, first, features, relative)
    if stage is None:
        return
    forward([x[:1] for x in inputs])
    changing = _differing(first, forward(alone), features, relative)
    if changing or clips == 1:
        raise Unsteady(
            f"stage {changing or stage!r}: the features of one clip are others at each forward. "
            "The network keeps something from clip to clip, or draws random numbers, and scores "
            "would depend on the order of clips; give it a forward that depends on its input alone"
        )
    raise Unsteady(
        f"stage {stage!r}: the features of a clip depend on the other clips of its batch, as with "
        "batch statistics in evaluation. Give `batch_size` 1, or a network whose norms use the "
        "statistics of training, or full precision"
    )


def _differing(one: Features, other: Features, among: Features, relative: float) -> str | None:
    """The first stage whose features differ; what is not finite is left to the check that names
    it."""
    for stage, values in among.items():
        largest = np.abs(values[np.isfinite(values)]).max(initial=0)
        with np.errstate(invalid="ignore"):
            difference = np.abs(one[stage].astype(np.float64) - other[stage])
        found = difference[np.isfinite(difference)].max(initial=0)
        if found > max(relative * largest, ABSOLUTE):
            return stage
    return None


def largest_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference of two arrays, as a part of the largest value expected: NaN where one
    is not finite, infinite where zeros are expected and others found."""
    difference = np.abs(found.astype(np.float64) - expected).max(initial=0)
    largest = np.abs(expected).max(initial=0)
    return float(difference / largest) if largest else (np.inf if difference else 0.0)
