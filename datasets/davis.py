"""DAVIS as the study of segmentation networks used it: stylized frames, flow images, masks.

Two trees (the released Stylized DAVIS, and DAVIS 2016 with flow images):

    ORIGINAL/ImageSets/480p/SPLIT.txt             a line per frame: its image and its mask
    ORIGINAL/FlowImages_gap1/SEQUENCE/FRAME.png   forward flow as a colour image
    ORIGINAL/FlowImages_gap-1/...                 backward flow (RTNet only)
    ORIGINAL/Annotations/480p/SEQUENCE/FRAME.png  masks (misc/evaluate_davis.py only)
    STYLIZED/JPEGImages/STYLE/SEQUENCE/FRAME.jpg  the frames in each style

Sources: StylizedDAVIS.py, StylizedDAVISCinematograms.py and StylizedDAVISStereograms.py of the
study.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from common.files import require_regular
from datasets.names import is_folder, listed, printable, require_name, shortened
from utils import DataError

# The image set of the study.
SPLIT = "val"
IMAGES, MASKS = "JPEGImages/480p", "Annotations/480p"
FORWARD, BACKWARD = "FlowImages_gap1", "FlowImages_gap-1"
# Folders of the styles that have ids in the study; any other id is the name of a folder.
STYLE_FOLDERS = {"1": "Lynx", "2": "Maruska640", "3": "Zuzka1", "4": "Zuzka2"}
# Frames of the short video that a cinematogram or stereogram is.
_GENERATED_FRAMES = 10


@dataclass(frozen=True)
class Sequence:
    """A video of the set.

    name: its id.
    folder: its folder in every tree.
    frames: the frames that a network is shown, in order; file names without their ending.
    """

    name: str
    folder: str
    frames: tuple[str, ...]

    def neighbour(self, frame: str, offset: int) -> str:
        """The frame `offset` further on; the first one follows the last."""
        return self.frames[(self.frames.index(frame) + offset) % len(self.frames)]


@dataclass(frozen=True)
class SequenceSet:
    """The sequences of a split, and where their files are.

    name: that of the data set.
    original: the tree of DAVIS 2016 and its flow.
    stylized: the tree of Stylized DAVIS.
    videos: the sequences by name, in the order of the list.
    styles: ids of the styles.
    flows: names of the folders of flow that the network needs, forward first.
    left_out: number of listed videos left out by rule, by reason.
    problems: what is wrong with sequences that cannot be shown: it shows when files are checked.
    """

    name: str
    original: Path
    stylized: Path
    videos: Mapping[str, Sequence]
    styles: tuple[str, ...]
    flows: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def style_folder(self, style: str) -> Path:
        """Folder of a style."""
        return self.stylized / "JPEGImages" / STYLE_FOLDERS.get(style, style)

    def image(self, video: str, style: str, frame: str) -> Path:
        """Path of a frame in a style."""
        return self.style_folder(style) / self.videos[video].folder / f"{frame}.jpg"

    def flow(self, video: str, flow: str, frame: str) -> Path:
        """Path of the flow image of a frame; `flow` is one of `flows`."""
        return self.original / flow / self.videos[video].folder / f"{frame}.png"

    def mask(self, video: str, frame: str) -> Path:
        """Path of the mask of a frame."""
        return self.original / MASKS / self.videos[video].folder / f"{frame}.png"

    def unstylized(self, flows: tuple[str, ...]) -> SequenceSet:
        """The same frames unstylized, as the only style, and some of the flows."""
        style = PurePosixPath(IMAGES).name
        return replace(self, stylized=self.original, styles=(style,), flows=flows)


@dataclass(frozen=True)
class Layout:
    """What one data set does with a line of the image set.

    place: returns, given a sequence and a frame, the name and the folder of the video that the
        frame belongs to, and the frames that it stands for.
    all_styles: whether the last style is used too.
    """

    place: Callable[[str, str], tuple[str, str, tuple[str, ...]]]
    all_styles: bool = True


def _listed(sequence: str, frame: str) -> tuple[str, str, tuple[str, ...]]:
    """Every listed frame is one of its sequence."""
    return sequence, sequence, (frame,)


def _generated(sequence: str, frame: str) -> tuple[str, str, tuple[str, ...]]:
    """Every listed frame was made into a short video of its own, in a folder of its name."""
    frames = tuple(f"{index:05d}" for index in range(_GENERATED_FRAMES))
    return f"{sequence}_{frame}", f"{sequence}/{frame}", frames


LAYOUTS = {
    "StylizedDAVIS": Layout(_listed),
    "StylizedDAVISCinematograms": Layout(_generated, all_styles=False),
    "StylizedDAVISStereograms": Layout(_generated),
}


def find_sequences(
    dataset: str,
    original: Path,
    stylized: Path,
    split: str,
    styles: tuple[str, ...],
    backward: bool,
) -> SequenceSet:
    """The sequences of a split, without the frames that have no flow.

    The last listed frame of a sequence has no forward flow, and the first one no backward flow,
    where that is needed. Generated videos that were not made are left out, as in the study.

    Raises DataError for a missing tree, list or style, or where no sequence is left.
    """
    layout = LAYOUTS[dataset]
    lines = _read_list(original, split)
    if not layout.all_styles:
        styles = styles[:-1]
    flows = (FORWARD, BACKWARD) if backward else (FORWARD,)
    _require_styles(stylized, styles)
    found: dict[str, tuple[str, list[str]]] = {}
    for sequence, frame in lines:
        name, folder, frames = layout.place(sequence, frame)
        found.setdefault(name, (folder, []))[1].extend(frames)
    left_out = {}
    if layout.place is _generated:
        made = {n: v for n, v in found.items() if is_folder(original / IMAGES / v[0])}
        if not made:
            raise DataError(
                f"none of the {len(found)} generated videos that {split}.txt lists is there: "
                f"expected folders like {original / IMAGES / next(iter(found.values()))[0]}"
            )
        left_out = {"not generated": len(found) - len(made)} if len(made) < len(found) else {}
        found = made
    videos = {
        name: Sequence(name, folder, tuple(sorted(frames[int(backward) : -1])))
        for name, (folder, frames) in found.items()
    }
    short = [name for name, video in videos.items() if not video.frames]
    if short or not videos:
        raise DataError(
            f"{original / 'ImageSets/480p'}/{split}.txt: {', '.join(short) or 'no sequence'} "
            f"found with too few frames; at least {2 + backward} are needed in each sequence"
        )
    return SequenceSet(dataset, original, stylized, videos, styles, flows, left_out)


def _read_list(original: Path, split: str) -> list[tuple[str, str]]:
    """Sequence and frame of every line of an image set."""
    path = original / "ImageSets" / "480p" / f"{split}.txt"
    if not os.path.lexists(path):
        raise DataError(
            f"{path} does not exist: is {original} the folder of DAVIS 2016? Give the right one "
            "with `original_data_root`"
        )
    require_regular(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    numbers: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        frame = _read_line(line, f"{path}, line {number}")
        if frame in numbers:
            raise DataError(
                f"{path}, line {number}: {'/'.join(frame)} is already on line {numbers[frame]}; "
                "take one of them out"
            )
        numbers[frame] = number
    return list(numbers)


def _read_line(line: str, where: str) -> tuple[str, str]:
    """The sequence and the frame that a line names."""
    image = PurePosixPath(line.split()[0])
    if len(image.parts) < 3 or ".." in image.parts:
        raise DataError(
            f"{where}: {shortened(line)}; expected a line like "
            "'/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png'"
        )
    require_name(image.name, where)
    stem = image.name.rpartition(".")[0] or image.name  # of "..jpg" the same in every Python
    return require_name(image.parts[-2], where), require_name(stem, where)


def _require_styles(stylized: Path, styles: tuple[str, ...]) -> None:
    """Raise DataError for styles that are not there, and for two that are the same folder."""
    root = stylized / "JPEGImages"
    folders = [STYLE_FOLDERS.get(style, style) for style in styles]
    if len(set(folders)) < len(folders):
        raise DataError(f"`styles` {','.join(styles)} names a folder twice: {', '.join(folders)}")
    missing = [name for name in folders if not is_folder(root / name)]
    if missing:
        there = listed(root) if is_folder(root) else []
        present = sorted(printable(entry.name) for entry in there if is_folder(root / entry.name))
        raise DataError(
            f"missing style folders: {', '.join(str(root / name) for name in missing)}. Present: "
            f"{', '.join(present) or 'none'}. Give the folder of Stylized DAVIS with "
            "`stylized_data_dir`, or its styles with `styles`"
        )


def check_files(data: SequenceSet, wanted: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Which files of the (video, style) wanted are missing or no files, by video.

    Raises DataError where whole trees of flow are missing, with the commands that make them.
    """
    missing_trees = [flow for flow in data.flows if not is_folder(data.original / flow)]
    if missing_trees:
        folders = " and ".join(str(data.original / flow) for flow in missing_trees)
        commands = [f"  {flow_command(data.original, flow)}" for flow in missing_trees]
        raise DataError(
            "\n".join([f"{folders}: there are no images of this flow. Make them with", *commands])
        )
    problems: dict[str, str] = {}
    for video, style in dict.fromkeys(wanted):
        try:
            problem = _problem(data, video, style)
        except DataError as error:
            problem = str(error)
        if problem:
            problems.setdefault(video, problem)
    return problems


def _problem(data: SequenceSet, video: str, style: str) -> str:
    """What is wrong with the files of a sequence in a style; empty if nothing is."""
    sequence = data.videos[video]
    absent = [flow for flow in data.flows if not is_folder(data.flow(video, flow, "").parent)]
    if absent:
        folder = data.original / absent[0] / sequence.folder
        return f"{folder} is missing; make it with {flow_command(data.original, absent[0])}"
    paths = [data.image(video, style, frame) for frame in sequence.frames]
    paths += [data.flow(video, flow, frame) for flow in data.flows for frame in sequence.frames]
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        return f"{len(missing)} of {len(paths)} files are missing, such as {missing[0]}"
    for path in paths:
        require_regular(path)
    return ""


def flow_command(original: Path, flow: str) -> str:
    """The command that makes a tree of flow, or the missing part of it."""
    folders = [shlex.quote(str(original / name)) for name in (IMAGES, flow)]
    gap = " --gap -1" if flow == BACKWARD else ""
    return f"python misc/make_flow.py {' '.join(folders)}{gap}"
