"""Stylize videos with four simple built-in styles, into the plain layout.

    python misc/stylize.py VIDEOS STYLIZED --short_side 256
    python main.py --dataset plain --stylized_data_dir STYLIZED --model i3d ...

VIDEOS holds video files, and folders of frames (FOLDER/*.jpg or FOLDER/frames/*.jpg). STYLIZED
gets style_1 ... style_4 and original, each with VIDEO/00001.jpg ... The styles are filters, frame
by frame and deterministic; they change appearance less than neural style transfer does.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import _path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from common.files import clear_partials, partial_prefix, read_json, write_json
from common.options import integer, names, script_parser
from common.process import run_script
from datasets.videos import UNSTYLIZED, VIDEO_SUFFIXES, scan_frames
from misc.outputs import require_apart
from utils import DataError, UserError, progress


def gouache(image: Image.Image) -> Image.Image:
    """Flat, saturated areas of colour."""
    flat = ImageOps.posterize(image.filter(ImageFilter.ModeFilter(7)), 2)
    return ImageEnhance.Color(flat).enhance(2.0)


def blueprint(image: Image.Image) -> Image.Image:
    """Light contours on dark blue."""
    soft = image.convert("L").filter(ImageFilter.GaussianBlur(1))
    # The filter leaves the outermost pixels as they are: bright ones would outshine all contours.
    inner = ImageOps.crop(soft.filter(ImageFilter.FIND_EDGES), border=1)
    contours = ImageOps.autocontrast(ImageOps.expand(inner, border=1), cutoff=1)
    return ImageOps.colorize(contours, "#0b2a5b", "#f2f6ff")


def mosaic(image: Image.Image) -> Image.Image:
    """Tiles of 4 pixels, hues turned by a third of the circle."""
    small = image.resize(
        (max(1, image.width // 4), max(1, image.height // 4)), Image.Resampling.BOX
    )
    hue, saturation, value = small.convert("HSV").split()
    turned = Image.merge("HSV", (hue.point(lambda h: (h + 85) % 256), saturation, value))
    return turned.convert("RGB").resize(image.size, Image.Resampling.NEAREST)


def halftone(image: Image.Image) -> Image.Image:
    """Black dots on orange, as in print: an ordered dither with 4x4 thresholds."""
    grey = np.asarray(ImageOps.autocontrast(image.convert("L")), dtype=np.float32)
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    tiles = -(-np.array(grey.shape) // 4)
    thresholds = np.tile((bayer + 0.5) * 16, tiles)[: grey.shape[0], : grey.shape[1]]
    dots = Image.fromarray(np.where(grey > thresholds, 255, 0).astype(np.uint8))
    return ImageOps.colorize(dots, "#20120a", "#ff9a3c")


STYLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "1": gouache,
    "2": blueprint,
    "3": mosaic,
    "4": halftone,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, stylize every video, count what was done."""
    parser = script_parser(__doc__)
    parser.add_argument("videos", type=Path, help="folder of video files and folders of frames")
    parser.add_argument("stylized", type=Path, help="folder to write")
    parser.add_argument("--styles", type=names, default=tuple(STYLES), help="default: 1,2,3,4")
    parser.add_argument("--short_side", type=integer(16), default=256, help="default: 256 pixels")
    parser.add_argument("--max_frames", type=integer(1), help="of each video; default: all")
    parser.add_argument("--num_workers", type=integer(1), default=2, help="default: 2")
    options = parser.parse_args(argv)
    unknown = [style for style in options.styles if style not in STYLES]
    if unknown:
        raise UserError(f"--styles {','.join(unknown)}: the built-in ones are {','.join(STYLES)}")
    sources = find_sources(options.videos)
    require_apart(options.videos, options.stylized, "videos")
    require_same_sizes(options.stylized, options.short_side, options.max_frames)
    clear_partials(options.stylized)
    work = partial(
        stylize_video,
        stylized=options.stylized,
        styles=options.styles,
        short_side=options.short_side,
        max_frames=options.max_frames,
    )
    with ProcessPoolExecutor(min(options.num_workers, len(sources))) as pool:
        counts = list(progress(pool.map(work, sources), "videos", "video", total=len(sources)))
    done = sum(count is not None for count in counts)
    print(f"{done} videos stylized, {len(counts) - done} were there already: {options.stylized}")


def find_sources(folder: Path) -> list[Path]:
    """Video files and folders of frames in `folder`. Raises DataError if there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    sources = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and (path.suffix.lower() in VIDEO_SUFFIXES or path.is_dir())
    ]
    if not sources:
        raise DataError(
            f"{folder} holds no video ({', '.join(VIDEO_SUFFIXES)}) and no folder of frames"
        )
    names = [video_name(path) for path in sources]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise DataError(f"{folder}: several videos are called {', '.join(twins)}; rename them")
    return sources


def video_name(source: Path) -> str:
    """The name of a folder, or of a file without its ending."""
    return source.name if source.is_dir() else source.stem


def require_same_sizes(stylized: Path, short_side: int, max_frames: int | None) -> None:
    """Note the sizes of a new set.

    Raises UserError if the set there was made with others or elsewhere, or cannot be written.
    """
    sizes = {"short_side": short_side, "max_frames": max_frames}
    marker = stylized / "stylize.json"
    if marker.exists():
        if (made := read_json(marker)) != sizes:
            raise UserError(
                f"{stylized} was made with {made}, not {sizes}: give these, or another folder"
            )
        return
    if any((stylized / name).exists() for name in (UNSTYLIZED, *map("style_{}".format, STYLES))):
        raise UserError(f"{stylized} holds videos that were not made here: give another folder")
    try:
        write_json(marker, sizes)
    except OSError as error:
        raise UserError(f"{stylized} cannot be written: {error.strerror}") from None


def stylize_video(
    source: Path,
    stylized: Path,
    styles: Sequence[str],
    short_side: int,
    max_frames: int | None,
) -> int | None:
    """Write one video in every style; returns its frames, None if it was complete already.

    A video appears in a style only when all its frames are written.
    """
    video = video_name(source)
    folders = {style: stylized / f"style_{style}" / video for style in styles}
    folders[UNSTYLIZED] = stylized / UNSTYLIZED / video
    todo = {style: folder for style, folder in folders.items() if not folder.exists()}
    if not todo:
        return None
    stylized.mkdir(parents=True, exist_ok=True)
    count = 0
    with tempfile.TemporaryDirectory(dir=stylized, prefix=partial_prefix()) as name:
        partial_folders = {style: Path(name) / style for style in todo}
        for folder in partial_folders.values():
            folder.mkdir()
        for count, image in enumerate(read_frames(source, max_frames), 1):
            frame = _scaled(image, short_side)
            for style, folder in partial_folders.items():
                painted = frame if style == UNSTYLIZED else STYLES[style](frame)
                painted.save(folder / f"{count:05d}.jpg", quality=95)
        if not count:
            raise DataError(f"{source} holds no frame that can be decoded")
        for style, folder in partial_folders.items():
            todo[style].parent.mkdir(parents=True, exist_ok=True)
            folder.rename(todo[style])
    return count


def read_frames(source: Path, max_frames: int | None) -> Iterator[Image.Image]:
    """The frames of a video file or a folder, RGB, at most `max_frames`."""
    if source.is_dir():
        from datasets.batches import read_frame

        folder = source / "frames" if (source / "frames").is_dir() else source
        frames = scan_frames(folder)
        for position in range(min(frames.count, max_frames or frames.count)):
            yield Image.fromarray(read_frame(frames.path(position)))
        return
    import cv2

    capture = cv2.VideoCapture(str(source))
    try:
        count = 0
        while max_frames is None or count < max_frames:
            there, frame = capture.read()
            if not there:
                break
            yield Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
            count += 1
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if max_frames is None and count < 0.9 * promised:
            print(f"{source}: {count} of {promised} frames could be decoded", file=sys.stderr)
    finally:
        capture.release()


def _scaled(image: Image.Image, short_side: int) -> Image.Image:
    scale = short_side / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC) if size != image.size else image


if __name__ == "__main__":
    sys.exit(run_script(main))
