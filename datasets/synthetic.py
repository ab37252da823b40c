"""A synthetic stylized data set whose truth is known, made with NumPy in seconds.

A textured shape moves over a textured background. The motion class and the rest of the content
(shape, size, start, speed) are a function of (seed, index) alone; a style is only a texture and
colours. So what the styles of a video share is dynamic, and what its shuffled frames share is
static. A shape that leaves the frame on one side enters it on the other, so that position and
orientation are uniform at all times whatever the motion is: one frame says nothing about the class.

Lengths are in sides of the frame, x to the right and y downwards; angles are in turns, clockwise
on the screen. Letters in shape comments: T frames, H and W pixels.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.files import read_json, write_csv, write_json
from datasets.synthetic_shapes import SHAPES, TEXTURES, Array
from utils import UserError, progress

Colour = tuple[int, int, int]

MARKER = "synthetic.json"
MIN_SIZE = 16
ORBIT_RADIUS = 0.2
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Motion:
    """What happens from one frame to the next at speed 1.

    x: step to the right.
    y: step downwards.
    orbit: part of an orbit.
    spin: part of a turn of the shape about itself.
    """

    x: float = 0.0
    y: float = 0.0
    orbit: float = 0.0
    spin: float = 0.0


MOTIONS = {
    "right": Motion(x=1 / 32),
    "left": Motion(x=-1 / 32),
    "down": Motion(y=1 / 32),
    "up": Motion(y=-1 / 32),
    "orbit_clockwise": Motion(orbit=1 / 24),
    "orbit_counterclockwise": Motion(orbit=-1 / 24),
    "spin_clockwise": Motion(spin=1 / 24),
    "spin_counterclockwise": Motion(spin=-1 / 24),
}


@dataclass(frozen=True)
class Style:
    """An appearance.

    texture: a name in `TEXTURES`.
    shape: its two colours on the shape.
    background: its two colours on the background.
    """

    texture: str
    shape: tuple[Colour, Colour]
    background: tuple[Colour, Colour]


STYLES = {
    1: Style("stripes", ((255, 209, 102), (239, 71, 111)), ((17, 60, 90), (10, 40, 64))),
    2: Style("dots", ((38, 70, 83), (42, 157, 143)), ((250, 237, 205), (233, 196, 106))),
    3: Style("checks", ((255, 255, 255), (190, 190, 205)), ((120, 20, 60), (80, 10, 45))),
    4: Style("waves", ((20, 33, 110), (72, 80, 190)), ((170, 225, 240), (120, 195, 225))),
    5: Style("rings", ((10, 10, 10), (90, 90, 90)), ((150, 215, 120), (105, 180, 85))),
    6: Style("chevrons", ((255, 140, 60), (255, 200, 120)), ((70, 60, 110), (50, 40, 85))),
    7: Style("bricks", ((225, 245, 255), (90, 150, 190)), ((170, 80, 50), (110, 50, 35))),
    8: Style("weave", ((120, 255, 180), (30, 160, 110)), ((45, 45, 45), (20, 20, 20))),
}
SHAPE_PERIOD = 0.10
BACKGROUND_PERIOD = 0.16


@dataclass(frozen=True)
class Video:
    """The content of one video, the same in every style.

    name: its id.
    motion: a name in `MOTIONS`.
    speed: factor of the motion.
    shape: a name in `SHAPES`.
    radius: about half the extent of the shape.
    x, y: place of the shape at the start, or centre of its orbit.
    angle: orientation of the shape at the start.
    phase: where on the orbit it starts.
    """

    name: str
    motion: str
    speed: float
    shape: str
    radius: float
    x: float
    y: float
    angle: float
    phase: float


def draw_video(seed: int, index: int) -> Video:
    """The content of video `index`. Motions take turns: any 8 videos in a row have all of them."""
    rng = np.random.default_rng([seed, index])
    x, y, angle, phase = (round(float(value), 4) for value in rng.random(4))
    return Video(
        name=f"v{index:05d}",
        motion=list(MOTIONS)[index % len(MOTIONS)],
        speed=round(float(rng.uniform(0.8, 1.2)), 4),
        shape=str(rng.choice(list(SHAPES))),
        radius=round(float(rng.uniform(0.17, 0.25)), 4),
        x=x,
        y=y,
        angle=angle,
        phase=phase,
    )


def poses(video: Video, times: ArrayLike) -> tuple[Array, Array, Array]:
    """x and y of the centre in [0, 1), and the angle, of the shape at frames `times`, [T] each."""
    motion, elapsed = MOTIONS[video.motion], video.speed * np.asarray(times, np.float64)
    x, y = video.x + motion.x * elapsed, video.y + motion.y * elapsed
    if motion.orbit:
        turn = 2 * np.pi * (video.phase + motion.orbit * elapsed)
        x, y = x + ORBIT_RADIUS * np.cos(turn), y + ORBIT_RADIUS * np.sin(turn)
    return x % 1, y % 1, video.angle + motion.spin * elapsed


def render(video: Video, style: int, n_frames: int, size: int) -> NDArray[np.uint8]:
    """The first `n_frames` frames, uint8 [T, H, W, 3]. Raises UserError for an unknown style."""
    return render_at(video, style, np.arange(n_frames), size)


def render_at(video: Video, style: int, times: ArrayLike, size: int) -> NDArray[np.uint8]:
    """The frames at `times` (any real numbers), uint8 [T, H, W, 3]."""
    look = known_style(style)
    u, v, coverage = _shape_maps(video, times, size)
    x, y = np.broadcast_arrays(*_pixel_centres(size))
    background = _paint(look.texture, look.background, x - 0.5, y - 0.5, BACKGROUND_PERIOD, size)
    frames = np.broadcast_to(background, (*coverage.shape, 3)).copy()  # [T, H, W, 3]
    inside = coverage > 0
    share = coverage[inside][:, None]
    painted = _paint(look.texture, look.shape, u[inside], v[inside], SHAPE_PERIOD, size)
    frames[inside] += share * (painted - frames[inside])
    return np.rint(frames).astype(np.uint8)


def masks(video: Video, times: ArrayLike, size: int) -> Array:
    """How much of each pixel the shape covers in any style, float32 [T, H, W] in [0, 1]."""
    return _shape_maps(video, times, size)[2]


def known_style(number: int) -> Style:
    """The style of that number. Raises UserError where there is none."""
    if number not in STYLES:
        raise UserError(f"style {number} is not known. Available: {min(STYLES)}..{max(STYLES)}")
    return STYLES[number]


def make(
    folder: Path,
    n_videos: int,
    styles: Sequence[int] = (1, 2, 3, 4),
    n_frames: int = 24,
    size: int = 64,
    seed: int = 1,
) -> None:
    """Write `style_K/VIDEO/00001.jpg ...`, the truth in `videos.csv`, and the marker file.

    The folder appears when it is complete: an interrupted call leaves none. One that was made with
    the same arguments is kept. Raises UserError for a folder with other content or that cannot be
    made, and for arguments out of range.
    """
    wanted = {
        "n_videos": n_videos,
        "styles": list(styles),
        "n_frames": n_frames,
        "size": size,
        "seed": seed,
    }
    _check(wanted)
    folder = folder.resolve()
    if _is_made(folder, wanted):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}") from None
    try:
        new = partial / folder.name  # unlike `partial` itself, not private
        _write(new, wanted)
        if _is_made(folder, wanted):  # by another process, meanwhile
            return
        if folder.exists():
            folder.rmdir()
        new.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(wanted: dict[str, Any]) -> None:
    least = {"n_videos": 1, "n_frames": 1, "size": MIN_SIZE, "seed": 0}
    for name, value in least.items():
        if wanted[name] < value:
            raise UserError(f"{name} is {wanted[name]}, it must be at least {value}")
    styles = wanted["styles"]
    if not styles or len(set(styles)) < len(styles):
        raise UserError(f"styles are {styles}: give at least one, and each once")
    for style in styles:
        known_style(style)


def _is_made(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether the folder holds exactly this data set. Raises UserError if it holds other things."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder")
    if not any(folder.iterdir()):
        return False
    if not (folder / MARKER).is_file():
        raise UserError(f"{folder} is not empty and has no {MARKER}: give a new or empty folder")
    made = read_json(folder / MARKER)
    if made != wanted:
        raise UserError(
            f"{folder} holds a synthetic set made with {made}, not {wanted}: "
            "give another folder, or delete that one"
        )
    return True


def _write(folder: Path, wanted: dict[str, Any]) -> None:
    from PIL import Image

    videos = [draw_video(wanted["seed"], index) for index in range(wanted["n_videos"])]
    for video in progress(videos, "synthetic videos", "video"):
        for style in wanted["styles"]:
            target = folder / f"style_{style}" / video.name
            target.mkdir(parents=True)
            for number, frame in enumerate(
                render(video, style, wanted["n_frames"], wanted["size"]), start=1
            ):
                # Without chroma subsampling, which would smear thin textures of strong colours.
                path = target / f"{number:05d}.jpg"
                Image.fromarray(frame).save(path, quality=JPEG_QUALITY, subsampling=0)
    write_csv(folder / "videos.csv", [asdict(video) for video in videos])
    write_json(folder / MARKER, wanted)


def _pixel_centres(size: int) -> tuple[Array, Array]:
    """x [1, W] and y [H, 1] of the centres of pixels."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return centres[None], centres[:, None]


def _shape_maps(video: Video, times: ArrayLike, size: int) -> tuple[Array, Array, Array]:
    """Each pixel along the shape's own axes, u and v, and how much of it is covered, [T, H, W]."""
    x, y, angle = (value.astype(np.float32)[:, None, None] for value in poses(video, times))
    pixel_x, pixel_y = _pixel_centres(size)
    dx = (pixel_x - x + 0.5) % 1 - 0.5  # [T, 1, W], the nearest copy on the torus
    dy = (pixel_y - y + 0.5) % 1 - 0.5  # [T, H, 1]
    cos, sin = np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)
    u, v = dx * cos + dy * sin, dy * cos - dx * sin  # [T, H, W]
    outside = SHAPES[video.shape](u / video.radius, v / video.radius) * video.radius
    return u, v, np.clip(0.5 - outside * size, 0, 1)


def _paint(
    texture: str, colours: tuple[Colour, Colour], u: Array, v: Array, period: float, size: int
) -> Array:
    """Colours [..., 3] in 0..255 of the texture at (u, v); its edges are one pixel wide."""
    first, second = np.array(colours, np.float32)
    share = np.clip(0.5 + TEXTURES[texture](u / period, v / period) * period * size, 0, 1)
    return second + share[..., None] * (first - second)
