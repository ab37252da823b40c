"""Optical flow of folders of frames, as colour images for segmentation networks.

    python misc/make_flow.py DAVIS/JPEGImages/480p DAVIS/FlowImages_gap1
    python misc/make_flow.py DAVIS/JPEGImages/480p DAVIS/FlowImages_gap-1 --gap -1

FRAMES holds a folder of frames per sequence, or is one. FLOW gets the same folders and names, as
.png; the frames at the end (or, backward, at the start) that have no partner get none. The flow is
OpenCV's DIS: fast, on the CPU, and good enough to try things; published numbers were made with
flow of other methods.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import _path

from common.files import atomic_path, clear_partials, read_json, write_json
from common.options import script_parser
from common.process import run_script
from misc.outputs import require_apart
from utils import DataError, UserError, counted, progress

RECORD = "flow.json"
ENDINGS = (".jpg", ".jpeg", ".png")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, compute, count."""
    parser = script_parser(__doc__)
    parser.add_argument("frames", type=Path, help="folder of frames, or of folders of frames")
    parser.add_argument("flow", type=Path, help="folder to write to")
    parser.add_argument(
        "--gap", type=int, default=1, help="frames from one to its partner; -1: backward flow"
    )
    args = parser.parse_args(argv)
    if args.gap == 0:
        raise UserError("--gap 0: a frame has no flow to itself; give 1, or -1 for backward flow")
    require_apart(args.frames, args.flow, "frames")
    jobs = list(find_pairs(args.frames, args.flow, args.gap))
    claim(args.flow, args.gap)
    for folder in {target.parent for _, _, target in jobs}:
        clear_partials(folder)
    todo = [job for job in jobs if not job[2].exists()]
    for first, second, target in progress(todo, "flow", "frame"):
        write_flow(first, second, target)
    print(f"{len(todo)} flow images: {args.flow}", end="")
    print(f" ({len(jobs) - len(todo)} were there already)" if len(todo) < len(jobs) else "")


def claim(flow: Path, gap: int) -> None:
    """Write down in a folder of flow how it is made.

    Raises UserError if it holds flow of another gap or origin, or cannot be written.
    """
    path = flow / RECORD
    made = {"method": "OpenCV DIS, medium", "gap": gap}
    if path.exists():
        if read_json(path) != made:
            raise UserError(f"{flow} holds other flow ({read_json(path)}): give another folder")
        return
    if flow.is_dir() and next(flow.rglob("*.png"), None):
        raise UserError(f"{flow} holds flow that was not made here: give another folder")
    try:
        write_json(path, made)
    except OSError as error:
        raise UserError(f"{flow} cannot be written: {error.strerror}") from None


def by_number(path: Path) -> list[str | int]:
    """A key that sorts frame 2 before frame 10, however they are filled up."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


def find_pairs(frames: Path, flow: Path, gap: int) -> Iterator[tuple[Path, Path, Path]]:
    """The two frames and the flow image to write, for every frame that has a partner.

    Raises DataError where there are no frames, and UserError where no frame has a partner.
    """
    sequences = find_frames(frames)
    require_partners(sequences, gap)
    for folder, names in sequences.items():
        for index, first in enumerate(names):
            if 0 <= index + gap < len(names):
                target = flow / folder.relative_to(frames) / f"{first.stem}.png"
                yield first, names[index + gap], target


def require_partners(sequences: Mapping[Path, Sequence[Path]], gap: int) -> None:
    """Say how many folders have too few frames. Raises UserError if that is all of them."""
    short = [folder for folder, names in sequences.items() if len(names) <= abs(gap)]
    if not short:
        return
    longest = max(sequences, key=lambda folder: len(sequences[folder]))
    most = len(sequences[longest])
    if len(short) == len(sequences):
        advice = f"give {most - 1} at most" if most > 1 else "flow needs two frames"
        raise UserError(
            f"--gap {gap}: no frame has a partner; the longest of {counted(len(short), 'folder')}, "
            f"{longest}, has {counted(most, 'frame')}: {advice}"
        )
    print(
        f"no flow: {len(short)} of {len(sequences)} folders have too few frames for a gap of "
        f"{gap}, such as {short[0]} ({len(sequences[short[0]])})"
    )


def find_frames(frames: Path) -> dict[Path, list[Path]]:
    """The frames of every folder that holds some, in order.

    Raises DataError where there are none, and for two of one name.
    """
    if not frames.is_dir():
        raise DataError(f"{frames} is not a folder; expected frames, or folders of frames")
    folders = sorted({path.parent for path in frames.rglob("*") if path.suffix.lower() in ENDINGS})
    if not folders:
        raise DataError(f"{frames} holds no {', '.join(ENDINGS)} frames")
    found = {}
    for folder in folders:
        frames_here = (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
        names = sorted(frames_here, key=by_number)
        twice = [name for name, n in Counter(path.stem for path in names).items() if n > 1]
        if twice:
            raise DataError(f"{folder} holds more than one frame called {twice[0]}")
        found[folder] = names
    return found


def write_flow(first: Path, second: Path, target: Path) -> None:
    """Compute the flow from one frame to another, and write its picture.

    Raises DataError for frames that cannot be read, or are of different sizes.
    """
    import cv2
    import numpy as np
    from PIL import Image

    from datasets.batches import read_frame
    from datasets.flow_colours import flow_image

    grey = [cv2.cvtColor(read_frame(path), cv2.COLOR_RGB2GRAY) for path in (first, second)]
    if grey[0].shape != grey[1].shape:
        raise DataError(f"{first} and {second} are of different sizes")
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((*grey[0].shape, 2), dtype=np.float32)
    try:
        flow = method.calc(grey[0], grey[1], start)
    except cv2.error as error:
        raise DataError(f"{first}: no flow of {grey[0].shape} pixels: {error.err}") from None
    with atomic_path(target) as path:
        Image.fromarray(flow_image(np.moveaxis(flow, 2, 0))).save(path)


if __name__ == "__main__":
    sys.exit(run_script(main))
