"""Which videos belong together: clips that were cut from one source are no independent videos."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from common.files import columns_of, read_numbered_csv
from datasets.names import shortened
from utils import DataError, counted

_COLUMNS = ("video", "group")


def read_groups(path: Path, videos: Collection[str]) -> dict[str, str]:
    """The group of each video that a CSV file names (columns `video` and `group`).

    Videos that it does not name stand for themselves.

    Raises DataError where it cannot be read, lacks a column, names a video twice, or names none of
    `videos`.
    """
    rows = read_numbered_csv(path)
    found = columns_of(rows)
    if not set(_COLUMNS) <= set(found):
        raise DataError(
            f"`groups` {path}: expected a header with {' and '.join(_COLUMNS)}, and a row for each "
            f"video; found {', '.join(found) or 'no row'}"
        )
    groups: dict[str, str] = {}
    for line, row in rows:
        video, group = (row[column] for column in _COLUMNS)
        if not video or not group:
            raise DataError(f"`groups` {path}, line {line}: a video or a group is missing")
        if groups.setdefault(video, group) != group:
            raise DataError(
                f"`groups` {path}, line {line}: {shortened(video)} is in group "
                f"{shortened(groups[video])} already, and now in {shortened(group)}; give one"
            )
    if not set(groups) & set(videos):
        raise DataError(
            f"`groups` {path} names none of the {len(videos)} videos; its first is "
            f"{shortened(next(iter(groups)))}, theirs {shortened(next(iter(videos)))}"
        )
    # A group must not be taken for a video of its name: none of these has a slash in it.
    return {video: f"group/{group}" for video, group in groups.items()}


def described(groups: Mapping[str, str], videos: Collection[str]) -> str:
    """How many of some videos are in groups, for the screen."""
    own = [groups[video] for video in videos if video in groups]
    rest = "" if len(own) == len(videos) else "; every other one stands for itself"
    return (
        f"groups: {len(own)} of {counted(len(videos), 'video')} are in "
        f"{counted(len(set(own)), 'group')}{rest}"
    )
