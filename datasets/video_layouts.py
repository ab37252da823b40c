"""The data sets of videos: where the annotation is, what folders are called, what is left out.

Layouts and rules are those of the study's loaders (StylizedActivityNet.py, ssv2.py, Diving48.py). A
new data set is a function that lists its videos, and a line in `LAYOUTS`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.annotations import (
    annotation,
    entries,
    field_of,
    named_entries,
    segment,
    typed,
    whole,
)
from datasets.names import (
    coding_problem,
    is_folder,
    listed,
    printable,
    require_name,
    shortened,
)
from datasets.videos import Video, VideoSet, scan_frames, style_folders
from utils import DataError, UserError

MIN_FRAMES = 8
_ACTIVITYNET_FPS = 5
_ACTIVITYNET_MIN_FRAMES = 32
_ACTIVITYNET_MIN_SEGMENT = 16


@dataclass
class Listing:
    """What was found of a data set.

    videos: those that can be used.
    left_out: number of annotated videos left out by rule, by reason.
    problems: what is wrong with videos that cannot be used, by video.
    """

    videos: list[Video] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)

    def count(self, name: str, folder: Path) -> int | None:
        """Number of frames in a folder; None, and a problem is noted, if they cannot be used."""
        try:
            return scan_frames(folder).count
        except DataError as error:
            self.problems[name] = str(error)
            return None

    def lacks(self, name: str, folder: Path) -> bool:
        """Whether a video has no folder, which is counted, or none that one may look at."""
        try:
            if is_folder(folder):
                return False
        except DataError as error:
            self.problems[name] = str(error)
            return True
        self.left_out["annotated but not among the stylized videos"] += 1
        return True


def _activitynet(root: Path, styles: list[Path], subset: str) -> Listing:
    """The first annotated segment of each video in `activitynet_v13.json`, at 5 frames a second.

    As in the study, videos under 32 frames or with any segment under 16 frames are left out.
    """
    path = root / "activitynet_v13.json"
    listing = Listing()
    database = field_of(annotation(path), "database", path)
    if not isinstance(database, dict):
        raise DataError(f"{path}: 'database' is a {type(database).__name__}, expected an object")
    for name, entry in database.items():
        if typed(entry, "subset", str, path, name) != subset:
            continue
        folder = f"v_{require_name(name, str(path))}"
        require_name(folder, str(path))
        segments = typed(entry, "annotations", list, path, name)
        if listing.lacks(name, styles[0] / folder):
            continue
        # The public file has no frame counts; the study's own copy had.
        count = listing.count(name, styles[0] / folder)
        if "num_frames" in entry:
            count = whole(entry, "num_frames", path, name)
        if count is None:
            continue
        lengths = [end - start for start, end in (_frames(s, count, path, name) for s in segments)]
        if count < _ACTIVITYNET_MIN_FRAMES:
            listing.left_out[f"shorter than {_ACTIVITYNET_MIN_FRAMES} frames"] += 1
        elif not segments or min(lengths) < _ACTIVITYNET_MIN_SEGMENT:
            listing.left_out[
                f"with a segment under {_ACTIVITYNET_MIN_SEGMENT} frames, or none"
            ] += 1
        else:
            label = typed(segments[0], "label", str, path, name)
            shown = _frames(segments[0], count, path, name)
            listing.videos.append(Video(name, folder, *shown, label=label))
    return listing


def _frames(entry: object, count: int, path: Path, name: str) -> tuple[int, int]:
    """First frame of an annotated segment, and the one after its last."""
    start, end = segment(entry, path, name)
    fps = _ACTIVITYNET_FPS
    return math.floor(start * fps), min(math.floor(end * fps), count)


def _ssv2(root: Path, styles: list[Path], subset: str) -> Listing:
    """Stylized videos of `something-something-v2-validation.json` with at least 8 frames."""
    path = root / f"something-something-v2-{subset}.json"
    labels_path = root / "something-something-v2-labels.json"
    labels = {text for text in entries(labels_path) if isinstance(text, str)}
    stylized = {entry.name for entry in listed(styles[0])}
    listing = Listing()
    for name, entry in named_entries(path, "id"):
        label = typed(entry, "template", str, path, name).replace("[", "").replace("]", "")
        if label not in labels:
            raise DataError(
                f"{path}: template {shortened(label)} of video {name} is not in {labels_path}"
            )
        if name not in stylized:
            listing.left_out["annotated but not among the stylized videos"] += 1
            continue
        count = listing.count(name, styles[0] / name)
        if count is None:
            continue
        if count < MIN_FRAMES:
            listing.left_out[f"shorter than {MIN_FRAMES} frames"] += 1
        else:
            listing.videos.append(Video(name, name, 0, count, label))
    return listing


def _diving48(root: Path, styles: list[Path], subset: str) -> Listing:
    """Videos of `Diving48_V2_test.json`; their lengths are from start frame to end frame."""
    path = root / f"Diving48_V2_{subset}.json"
    listing = Listing()
    for name, entry in named_entries(path, "vid_name"):
        first, end = (whole(entry, key, path, name) for key in ("start_frame", "end_frame"))
        if end < first:
            raise DataError(
                f"{path}: {name} has the frames {first} to {end}, expected an 'end_frame' behind "
                "'start_frame'"
            )
        count = end - first
        if count < MIN_FRAMES:
            listing.left_out[f"shorter than {MIN_FRAMES} frames"] += 1
        elif not listing.lacks(name, styles[0] / name):
            label = typed(entry, "label", int | str, path, name)
            listing.videos.append(Video(name, name, 0, count, str(label)))
    return listing


def _plain(root: Path, styles: list[Path], subset: str) -> Listing:
    """Every folder in any style is a video without a label; if a style lacks it, a problem."""
    listing = Listing()
    names = {name for style in styles for name in _folder_names(style, listing)}
    for name in sorted(names - set(listing.problems)):
        count = listing.count(name, styles[0] / name)
        if count is None:
            continue
        if count < MIN_FRAMES:
            listing.problems[name] = (
                f"too few frames: {styles[0] / name} has {count}, at least {MIN_FRAMES} are needed"
            )
        else:
            listing.videos.append(Video(name, name, 0, count))
    return listing


def _folder_names(style: Path, listing: Listing) -> Iterator[str]:
    """Names of the folders in a style; those that cannot be used are problems."""
    for entry in listed(style):
        name = printable(entry.name)
        try:
            if not is_folder(style / entry.name):
                continue
        except DataError as error:
            listing.problems[name] = str(error)
            continue
        if name == entry.name:
            yield name
        else:
            problem = coding_problem(entry.name, "; rename the folder")
            listing.problems[name] = f"{style / name}: the name {problem}"


@dataclass(frozen=True)
class Layout:
    """How one data set is stored, and how its clips are taken.

    list_videos: returns what is there, given its folder, those of the styles, and the subset.
    subset: the usual one.
    start: where windows usually start, see `VideoSet`.
    any_start: whether windows may start elsewhere.
    shortest_window: see `VideoSet`.
    """

    list_videos: Callable[[Path, list[Path], str], Listing]
    subset: str = "validation"
    start: str = "random"
    any_start: bool = False
    shortest_window: int | None = None


LAYOUTS = {
    "StylizedActivityNet": Layout(_activitynet, start="first"),
    "ssv2": Layout(_ssv2, shortest_window=MIN_FRAMES),
    "Diving48": Layout(_diving48, subset="test", shortest_window=MIN_FRAMES),
    "plain": Layout(_plain, subset="", any_start=True),
    "synthetic": Layout(_plain, subset="", any_start=True),
}


def find_videos(
    dataset: str,
    root: Path,
    styles: Sequence[str],
    subset: str | None = None,
    unstylized: Path | None = None,
    start: str | None = None,
) -> VideoSet:
    """The videos of a data set under `root`, as its annotation and its first style say.

    unstylized: folder of the unstylized videos; None where they are not shown.

    Raises DataError for a missing folder, an unreadable annotation, or no video at all, and
    UserError where windows cannot start as asked for.
    """
    layout = LAYOUTS[dataset]
    if start and start != layout.start and not layout.any_start:
        raise UserError(
            f"`start` {start}: windows of {dataset} start as in the study ({layout.start}); leave "
            "it out"
        )
    if subset and not layout.subset:
        raise UserError(f"`subset` {subset}: data set {dataset} has no subsets; leave it out")
    folders = style_folders(root, styles, unstylized)
    subset = subset or layout.subset
    listing = layout.list_videos(root, [folders[style] for style in styles], subset)
    if not listing.videos:
        of_subset = f" (subset {subset!r})" if subset else ""
        reasons = [f"{count} {reason}" for reason, count in listing.left_out.items()]
        reasons += list(listing.problems.values())[:3]
        raise DataError(
            f"{dataset}: no video to measure in {root}{of_subset}. "
            f"{'; '.join(reasons) or 'None is listed'}"
        )
    return VideoSet(
        name=dataset,
        videos={video.name: video for video in listing.videos},
        styles=tuple(styles),
        style_folders=folders,
        start=start or layout.start,
        shortest_window=layout.shortest_window,
        left_out=dict(listing.left_out),
        problems=listing.problems,
    )
