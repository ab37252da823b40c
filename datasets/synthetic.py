"""A synthetic stylized data set whose truth is known, drawn on the spot with NumPy.

A textured shape moves over a textured background. The motion class and the rest of the content
(shape, size, start, speed) are a function of (seed, index) alone; a style is nothing but textures
and colours. So what a video's styles share is dynamic, and what its shuffled frames share is
static. The frame is a torus: a shape that leaves on one side enters on the other, which makes
position and orientation uniform at all times, whatever the motion. One frame says nothing about
the class.

Lengths are in sides of the frame, x to the right and y downwards; angles are in turns, clockwise
on the screen. Letters in shape comments: T frames, H and W pixels.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils import UserError, progress, read_json, write_csv, write_json

Array = NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

MARKER = "synthetic.json"
MIN_SIZE = 16
ORBIT_RADIUS = 0.2
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Motion:
    """What happens in one frame at speed 1: a step in x and y, a part of an orbit or of a spin."""

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
    """An appearance: a texture, and its two colours on the shape and on the background."""

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

    motion: a name in MOTIONS; speed: its factor. shape: a name in SHAPES.
    radius: of the shape, about half its extent. x, y: its place at the start, or an orbit's
    centre. angle: its orientation at the start. phase: where on an orbit it starts.
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
    """The content of video `index`. Motions take turns, so that every stretch of 8 has them all."""
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
    """Centre x and y in [0, 1) and angle in turns of the shape at frames `times`, [T] each."""
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
    """How much of each pixel the shape covers, float32 [T, H, W] in [0, 1]; no style enters."""
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
    """Write `style_K/VIDEO/00001.jpg ...`, the truth in `videos.csv` and the marker file.

    The folder appears when it is complete: an interrupted call leaves none. A folder that was
    made with the same arguments is kept. Raises UserError for any other folder with content, and
    for arguments out of range.
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
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
    """Whether the folder holds exactly this data set; raises UserError where it holds another."""
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
    """x [1, W] and y [H, 1] of the pixels."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return centres[None], centres[:, None]


def _shape_maps(video: Video, times: ArrayLike, size: int) -> tuple[Array, Array, Array]:
    """Each pixel in the shape's own axes, u and v, and its coverage; [T, H, W] each."""
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
    """Colours [..., 3] in 0..255 of the texture at (u, v), its edges one pixel soft."""
    first, second = np.array(colours, np.float32)
    share = np.clip(0.5 + TEXTURES[texture](u / period, v / period) * period * size, 0, 1)
    return second + share[..., None] * (first - second)


# Shapes: the distance to the outline, negative inside, of a shape of radius 1. None of them is
# its own image under a rotation, or a spin could not be told from its reverse.


def _drop(u: Array, v: Array) -> Array:
    along = np.clip((v + 0.4) / 1.4, 0, 1)
    return np.hypot(u, v + 0.4 - 1.4 * along) - 0.65 * (1 - along)


def _moon(u: Array, v: Array) -> Array:
    return np.maximum(np.hypot(u, v) - 1, 0.75 - np.hypot(u - 0.55, v))


def _wedge(u: Array, v: Array) -> Array:
    return np.maximum(np.hypot(u, v) - 1, (u - np.abs(v)) * np.float32(np.sqrt(0.5)))


def _ell(u: Array, v: Array) -> Array:
    upright = np.maximum(np.abs(u + 0.45) - 0.35, np.abs(v) - 0.9)
    return np.minimum(upright, np.maximum(np.abs(u) - 0.8, np.abs(v - 0.55) - 0.35))


def _heart(u: Array, v: Array) -> Array:
    x, y = np.abs(u) / 1.5, (0.85 - v) / 1.5
    lobe = np.hypot(x - 0.25, y - 0.75) - np.float32(np.sqrt(0.125))
    nearest = np.maximum(x + y, 0) / 2
    tip = np.minimum(np.hypot(x, y - 1), np.hypot(x - nearest, y - nearest)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, tip) * 1.5


# Textures: the distance to the edge between two colours in periods, positive in the first.


def _stripe(x: Array) -> Array:
    return np.abs(x % 1 - 0.5) - 0.25


def _checks(u: Array, v: Array) -> Array:
    a, b = _stripe(u), _stripe(v)
    return np.sign(a * b) * np.minimum(np.abs(a), np.abs(b))


def _dots(u: Array, v: Array) -> Array:
    return np.hypot(u % 1 - 0.5, v % 1 - 0.5) - 0.32


def _waves(u: Array, v: Array) -> Array:
    return _stripe(v + 0.3 * np.sin(2 * np.pi * u / 1.6))


def _chevrons(u: Array, v: Array) -> Array:
    return _stripe(v + np.abs(u % 2 - 1)) * np.float32(np.sqrt(0.5))


def _bricks(u: Array, v: Array) -> Array:
    shifted = u / 1.8 + 0.5 * (np.floor(v) % 2)
    return np.minimum(0.5 - np.abs(v % 1 - 0.5), 1.8 * (0.5 - np.abs(shifted % 1 - 0.5))) - 0.12


def _weave(u: Array, v: Array) -> Array:
    return np.maximum(_stripe(u + v), _stripe(u - v)) * np.float32(np.sqrt(0.5))


Pattern = Callable[[Array, Array], Array]

SHAPES: dict[str, Pattern] = {
    "drop": _drop,
    "moon": _moon,
    "wedge": _wedge,
    "ell": _ell,
    "heart": _heart,
}
TEXTURES: dict[str, Pattern] = {
    "stripes": lambda u, v: _stripe((u + v) * np.float32(np.sqrt(0.5))),
    "dots": _dots,
    "checks": _checks,
    "waves": _waves,
    "rings": lambda u, v: _stripe(np.hypot(u, v)),
    "chevrons": _chevrons,
    "bricks": _bricks,
    "weave": _weave,
}
