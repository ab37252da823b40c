"""Whether a network gives a clip the same features whatever else it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils import UserError

if TYPE_CHECKING:
    from torch import Tensor

# Of the largest feature of a stage. Sums of another order differ by 1e-6 or so.
TOLERANCE = 1e-3

Features = Mapping[str, np.ndarray]


def require_steady(
    forward: Callable[[Sequence[Tensor]], Features],
    inputs: Sequence[Tensor],
    features: Features,
) -> None:
    """Compare the features of a batch with those of one of its clips alone, twice.

    forward: inputs of clips to float32 [rows, C] per stage.
    features: what it has given for `inputs`.

    Raises UserError, with the stage, if they depend on the other clips of the batch, or change from
    one forward to the next.
    """
    clips = len(inputs[0])
    place = clips // 2  # between two others, where there are three
    alone = [x[place : place + 1] for x in inputs]
    first, second = forward(alone), forward(alone)
    for stage, batch in features.items():
        rows = len(batch) // clips
        in_batch = batch[place * rows : (place + 1) * rows]
        changes = _difference(first[stage], second[stage], batch)
        depends = _difference(in_batch, first[stage], batch)
        if changes > TOLERANCE or (clips == 1 and depends > TOLERANCE):
            raise UserError(
                f"stage {stage!r}: the features of one clip are others at each forward (by "
                f"{max(changes, depends):.0%} of the largest one): the network keeps something "
                "from clip to clip, or draws random numbers. Scores would be those of an order of "
                "clips; give it a forward that depends on its input alone"
            )
        if depends > TOLERANCE:
            raise UserError(
                f"stage {stage!r}: the features of a clip depend on the other clips of its batch "
                f"(by {depends:.0%} of the largest one), as with batch statistics in evaluation. "
                "Give `batch_size` 1, or a network whose norms use the statistics of training"
            )


def _difference(a: np.ndarray, b: np.ndarray, among: np.ndarray) -> float:
    """The largest difference of a and b relative to the largest value in `among`; values that are
    not finite are left to the check that names them."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(a.astype(np.float64) - b)
    largest = np.abs(among[np.isfinite(among)]).max(initial=0)
    found = difference[np.isfinite(difference)].max(initial=0)
    return float(found / largest) if largest else 0.0
