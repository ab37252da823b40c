"""What a reader of results should know of them, in sentences."""

from __future__ import annotations

from estimation.intervals import LEAST_VIDEOS
from utils import counted

# With fewer videos, intervals stand on a few values each.
FEW_VIDEOS = 8


def interval_note(n_videos: int) -> str:
    """What intervals of so few videos are; empty for enough of them.

    >>> interval_note(2)
    '2 videos: there are no intervals, which need 3 videos at least'
    >>> interval_note(8)
    ''
    """
    videos = counted(n_videos, "video")
    if n_videos < LEAST_VIDEOS:
        return f"{videos}: there are no intervals, which need {LEAST_VIDEOS} videos at least"
    if n_videos < FEW_VIDEOS:
        return (
            f"{videos}: the intervals are t intervals of {n_videos - 1} degrees of freedom, wide "
            f"and only roughly right; they were tried with {FEW_VIDEOS} videos and more"
        )
    return ""
