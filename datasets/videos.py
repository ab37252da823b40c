"""Videos as folders of frames, one folder per style: names, counts, and what is wrong with them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.files import require_regular
from datasets.names import coding_problem, is_folder, listed, printable
from utils import DataError, UserError

# What stands for a style where a clip is unstylized, and the usual name of the folder.
UNSTYLIZED = "original"
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg")
_FRAME = re.compile(r"^(?P<prefix>.*?)(?P<number>\d+)(?P<ext>\.(?:jpe?g|png))$", re.IGNORECASE)


@dataclass(frozen=True)
class FrameFolder:
    """The frames of one folder: their names are a prefix, a number and an extension.

    folder: where they are.
    prefix: what comes before the number.
    first: number of the first frame.
    digits: least number of digits, filled with zeros.
    ext: extension, with its dot.
    count: how many there are.
    """

    folder: Path
    prefix: str
    first: int
    digits: int
    ext: str
    count: int

    def name(self, position: int) -> str:
        """File name of the frame at `position`, counted from 0 whatever the first number is."""
        return f"{self.prefix}{self.first + position:0{self.digits}d}{self.ext}"

    def path(self, position: int) -> Path:
        """Path of the frame at `position`."""
        return self.folder / self.name(position)


def scan_frames(folder: Path) -> FrameFolder:
    """The frames in `folder`, their name template and first number detected.

    Raises DataError if there is no folder or frame, if names mix, if a number is missing, or if a
    frame is no file: a folder, a pipe, a device, or a link that leads to none.
    """
    entries = {entry.name: entry for entry in listed(folder) if not entry.name.startswith(".")}
    matches = [match for match in map(_FRAME.match, entries) if match]
    if not matches:
        raise DataError(f"{folder} holds no numbered .jpg or .png frames")
    mangled = [match.string for match in matches if printable(match.string) not in entries]
    if mangled:
        problem = coding_problem(mangled[0], "; rename the file")
        raise DataError(f"{folder / printable(mangled[0])}: the name {problem}")
    numbers = sorted((int(match["number"]), match.string) for match in matches)
    templates = {(match["prefix"], match["ext"]) for match in matches}
    if len(templates) > 1:
        found = ", ".join(sorted(f"{prefix}N{ext}" for prefix, ext in templates))
        raise DataError(f"{folder} mixes frame names ({found}); expected one template")
    (first, first_name), (last, _) = numbers[0], numbers[-1]
    (prefix, ext) = templates.pop()
    digits = len(first_name) - len(prefix) - len(ext)
    frames = FrameFolder(folder, prefix, first, digits, ext, len(numbers))
    present = {name for _, name in numbers}
    for position in range(last - first + 1):
        if frames.name(position) not in present:
            raise DataError(
                f"{frames.path(position)} is missing: {len(numbers)} frames, numbered {first} to "
                f"{last}"
            )
    for match in matches:
        _require_file(entries[match.string])
    return frames


def _require_file(entry: os.DirEntry[str]) -> None:
    """Raise DataError for what is no file. Most systems tell without another call for each."""
    with contextlib.suppress(OSError):  # of which the next call tells
        if entry.is_file():
            return
    require_regular(Path(entry.path))


@dataclass(frozen=True)
class Video:
    """One video, and which of its frames may be shown.

    name: its id.
    folder: name of its folder inside each style.
    start: position of the first frame that clips are taken from.
    end: position after the last one.
    label: action class, None where the data set has none.
    """

    name: str
    folder: str
    start: int
    end: int
    label: str | None = None

    @property
    def length(self) -> int:
        """Number of frames that clips may show."""
        return self.end - self.start


@dataclass(frozen=True)
class VideoSet:
    """The videos of a data set, and where their frames are.

    name: that of the data set.
    videos: those that can be shown, by name.
    styles: ids of the styles, in order.
    style_folders: folder of each style, and of the unstylized videos where they are shown.
    start: where a window starts: at the "first" frame that may be shown, in the "middle", or at a
        "random" one.
    shortest_window: a video that is not longer than the window is shown from a random frame on, up
        to this many before its end, as in the study; None: from its first frame.
    left_out: number of annotated videos left out by rule, by reason.
    problems: what is wrong with the videos that are not in `videos` for that, by video.
    """

    name: str
    videos: dict[str, Video]
    styles: tuple[str, ...]
    style_folders: dict[str, Path]
    start: str = "random"
    shortest_window: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def folder(self, video: str, style: str) -> Path:
        """Folder of the frames of `video` in `style`."""
        return self.style_folders[style] / self.videos[video].folder

    def positions(self, video: str, start: int, window: int) -> list[int]:
        """The `window` raw frame positions of a clip that begins at `start`.

        As in the study, a clip that runs past the end of its video goes on from `start`.
        """
        end = min(start + window, self.videos[video].end)
        span = range(start, end)
        return [span[i % len(span)] for i in range(window)]

    def of_shared_classes(self) -> VideoSet:
        """The set without videos that are alone in their class; those without a label stay."""
        classes = Counter(video.label for video in self.videos.values())
        alone = {v.name for v in self.videos.values() if v.label and classes[v.label] == 1}
        if not alone:
            return self
        kept = {name: video for name, video in self.videos.items() if name not in alone}
        left_out = {**self.left_out, "alone in their class (`m_same` False)": len(alone)}
        return replace(self, videos=kept, left_out=left_out)


def style_folders(root: Path, styles: Iterable[str], unstylized: Path | None) -> dict[str, Path]:
    """Folder of each style under `root`, and of the unstylized videos if they are shown.

    Raises DataError for a missing one, with what is there instead.
    """
    if not is_folder(root):
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"`stylized_data_dir` {root} {problem}; expected a folder with style_1, style_2, ..."
        )
    folders = {style: root / f"style_{style}" for style in styles}
    missing = [str(folder) for folder in folders.values() if not is_folder(folder)]
    if missing:
        raise DataError(f"missing style folders: {', '.join(missing)}. {_what_is_there(root)}")
    if unstylized is not None and not is_folder(unstylized):
        raise DataError(
            f"{unstylized} is not a folder: expected the unstylized videos there. Give their "
            "folder with `normal_data_dir`, or leave out `use_normal_app`"
        )
    return folders if unstylized is None else {**folders, UNSTYLIZED: unstylized}


def _what_is_there(root: Path) -> str:
    """What is in a folder that lacks some of the styles, and what to do."""
    names = sorted(printable(entry.name) for entry in listed(root))
    present = [n for n in names if n.startswith("style_") and is_folder(root / n)]
    ids = [name.removeprefix("style_") for name in present]
    if len(ids) > 1:
        return f"Present in {root}: {', '.join(present)}; give `styles` {','.join(ids)}"
    if present:
        return f"Present in {root}: only {present[0]}, and pairs need two styles"
    if (here := root.absolute()).name.startswith("style_"):
        return f"Is {root} the folder of one style? Give the one above, {here.parent}"
    files = [name for name in names if name.lower().endswith(VIDEO_SUFFIXES)]
    if files:
        return (
            f"{root} holds video files ({_some(files)}): make frames of them in several styles "
            f"first, with python misc/stylize.py {shlex.quote(str(root))} FOLDER"
        )
    return f"{root} holds {_some(names) or 'nothing'}; is it the right folder?"


def _some(names: Sequence[str]) -> str:
    """Up to six names, and how many more there are."""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{', '.join(names[:6])}{more}"


def check_frames(
    video_set: VideoSet, wanted: Iterable[tuple[str, str]]
) -> tuple[dict[tuple[str, str], FrameFolder], dict[str, str]]:
    """The frames of all (video, style) wanted, and what is wrong with them, by video.

    A problem is a missing or broken folder, styles with unequal frame counts, or fewer frames than
    the annotation says.
    """
    frames: dict[tuple[str, str], FrameFolder] = {}
    problems: dict[str, str] = {}
    first: dict[str, FrameFolder] = {}
    for video, style in dict.fromkeys(wanted):
        try:
            found = scan_frames(video_set.folder(video, style))
        except DataError as error:
            problems.setdefault(video, str(error))
            continue
        frames[video, style] = found
        reference = first.setdefault(video, found)
        if found.count != reference.count:
            problems.setdefault(
                video,
                f"unequal frame counts: {found.folder} has {found.count}, "
                f"{reference.folder} has {reference.count}",
            )
        elif found.count < video_set.videos[video].end:
            problems.setdefault(
                video,
                f"too few frames: {found.folder} has {found.count}, "
                f"{video_set.videos[video].end} are needed",
            )
    return frames, problems


MOST_SHOWN = 10


def problem_lines(problems: Mapping[str, str]) -> list[str]:
    """A line for each of ten videos at most, with what is wrong with it."""
    return [f"  {video}: {why}" for video, why in list(problems.items())[:MOST_SHOWN]]


def stop_or_skip(problems: Mapping[str, str], policy: str, begun: bool = False) -> None:
    """Raise UserError that lists the problems, ten at most, if there are any and the policy is
    "stop"; with "skip" do nothing."""
    if problems and (policy == "stop" or begun):
        new = "start a new run with" if begun else "give"
        hidden = len(problems) - MOST_SHOWN
        more = [f"  ... and {hidden} more"] if hidden > 0 else []
        raise UserError(
            "\n".join(
                [
                    f"{len(problems)} of the videos to measure cannot be used:",
                    *problem_lines(problems),
                    *more,
                    f"Repair them, or {new} `on_bad_video` skip to leave these videos out.",
                ]
            )
        )
