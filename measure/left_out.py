"""Which videos a run may leave out, and when there are too many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from datasets.videos import MOST_SHOWN, problem_lines
from utils import DataError, UserError, counted


class UnreadableVideos(DataError):
    """Videos that cannot be read; the rest of a run can go on without them, or once repaired."""


@dataclass(frozen=True)
class Policy:
    """What a run may leave out.

    unreadable: whether videos that cannot be read.
    nan: whether videos for which the network gives NaN or inf.
    max_bad: how many of all videos, in percent.
    videos: how many there are.
    known: those left out already, and why.
    """

    unreadable: bool = False
    nan: bool = False
    max_bad: float = 100.0
    videos: int = 1
    known: Mapping[str, str] = field(default_factory=dict)

    def require_few(self, more: Mapping[str, str]) -> None:
        """Raise UserError if, with `more` of them, more videos are left out than may be."""
        bad = {**self.known, **more}
        percent = 100 * len(bad) / max(self.videos, 1)
        if percent > self.max_bad:
            lines = "\n".join(problem_lines(bad))
            raise UserError(
                f"{len(bad)} of {counted(self.videos, 'video')} ({percent:.0f} %) would be left "
                f"out, more than `max_bad` {self.max_bad:g} allows:\n{lines}\nRepair them, "
                "or give a larger `max_bad`"
            )

    def require_readable(self, bad: Mapping[str, str]) -> None:
        """Raise UnreadableVideos, with ten at most, if there is any that may not be left out."""
        if bad and not self.unreadable:
            more = " or more" if len(bad) == MOST_SHOWN else ""
            lines = "\n".join(problem_lines(bad))
            them = "it" if len(bad) == 1 else "them"
            raise UnreadableVideos(
                f"{counted(len(bad), 'video')}{more} with a frame that cannot be read:\n"
                f"{lines}\nRepair {them}, or give `on_bad_video` skip to leave such videos "
                "out"
            )


def clips_not_finite(features: Mapping[str, np.ndarray], clips: int) -> dict[int, str]:
    """Clips of a batch with NaN or inf among their features, by position, and where it is."""
    found: dict[int, str] = {}
    for stage, values in features.items():
        rows = len(values) // clips
        for row, unit in np.argwhere(~np.isfinite(values)):
            reason = f"stage {stage}, unit {unit}: the feature is {values[row, unit]}"
            found.setdefault(int(row) // rows, reason)
    return found
