"""A small synthetic set in the two trees of Stylized DAVIS, with true flow and masks.

A textured disc moves over a textured background that moves in another direction; both motions
differ from sequence to sequence. Styles differ in textures and colours alone: motion and flow are
the same in all of them.
Letters in shape comments: H and W pixels.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.files import write_text
from datasets.davis import BACKWARD, FORWARD, IMAGES, MASKS, STYLE_FOLDERS
from utils import UserError, progress

SPLIT = "val"
_TREES = ("original", "stylized")


@dataclass(frozen=True)
class Scene:
    """What moves in a sequence, in pixels, x to the right and y downwards.

    start: centre of the disc in the first frame.
    velocity: its motion from frame to frame.
    background: that of the background.
    radius: that of the disc.
    """

    start: tuple[float, float]
    velocity: tuple[float, float]
    background: tuple[float, float]
    radius: float


def make_davis(
    root: Path, n_sequences: int, n_frames: int, size: tuple[int, int], seed: int = 1
) -> None:
    """Write root/original and root/stylized, completely or not at all.

    size: height and width in pixels. Raises UserError if `root` exists.
    """
    if root.exists():
        raise UserError(f"{root} exists and is not overwritten: give another folder, or remove it")
    partial = root.with_name(f".partial-{root.name}")
    shutil.rmtree(partial, ignore_errors=True)
    lines = []
    for index in progress(range(n_sequences), "sequences", "sequence"):
        name = f"disc_{index:02d}"
        scene = draw_scene(seed, index, size)
        for frame in range(n_frames):
            _write_frame(partial, name, frame, scene, size, seed, index)
            stem = f"{name}/{frame:05d}"
            lines.append(f"/{IMAGES}/{stem}.jpg /{MASKS}/{stem}.png")
    write_text(partial / "original/ImageSets/480p" / f"{SPLIT}.txt", "\n".join(lines) + "\n")
    partial.rename(root)


def draw_scene(seed: int, index: int, size: tuple[int, int]) -> Scene:
    """The scene of sequence `index`, a function of seed and index alone."""
    rng = np.random.default_rng([seed, index])
    height, width = size
    angle, other = rng.uniform(0, 2 * np.pi, 2)
    speed, drift = min(size) / 24, min(size) / 60
    return Scene(
        start=(float(rng.uniform(0.35, 0.65) * width), float(rng.uniform(0.35, 0.65) * height)),
        velocity=(float(speed * np.cos(angle)), float(speed * np.sin(angle))),
        background=(float(drift * np.cos(other)), float(drift * np.sin(other))),
        radius=float(rng.uniform(0.15, 0.25) * min(size)),
    )


def mask_of(scene: Scene, frame: int, size: tuple[int, int]) -> np.ndarray:
    """Where the disc is in a frame, bool [H, W]; where it leaves, it enters on the other side."""
    dx, dy = (_offsets(scene, frame, size, axis) for axis in (0, 1))
    return dy[:, None] ** 2 + dx[None, :] ** 2 <= scene.radius**2


def _offsets(scene: Scene, frame: int, size: tuple[int, int], axis: int) -> np.ndarray:
    """Signed distances of pixels from the disc's centre along an axis (0: x), the shorter way."""
    length = size[1 - axis]
    centre = scene.start[axis] + frame * scene.velocity[axis]
    return (np.arange(length) - centre + length / 2) % length - length / 2


def flow_of(scene: Scene, frame: int, size: tuple[int, int], gap: int) -> np.ndarray:
    """The true flow from a frame to that `gap` frames later, float32 [2, H, W] (x, y)."""
    mask = mask_of(scene, frame, size)
    planes = [np.where(mask, v, b) for v, b in zip(scene.velocity, scene.background, strict=True)]
    return (gap * np.stack(planes)).astype(np.float32)


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Smooth coloured noise without seams, float [H, W, 3] in 0..1."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    base, spread = rng.uniform(0.2, 0.8, 3), rng.uniform(0.1, 0.25, 3)
    waves = np.zeros((height, width))
    for _ in range(6):
        ky, kx = rng.integers(-5, 6, 2)
        waves += np.sin(2 * np.pi * (ky * y / height + kx * x / width + rng.uniform()))
    return np.clip(base + spread * waves[..., None] / 2, 0, 1)


def _picture(
    scene: Scene, frame: int, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """A frame in the style whose textures come from `rng`, uint8 [H, W, 3]."""
    ground, disc = _texture(rng, size), _texture(rng, size)
    shift = [round(frame * v) for v in scene.background]
    moved = [round(frame * v) for v in scene.velocity]
    ground = np.roll(ground, (shift[1], shift[0]), (0, 1))
    disc = np.roll(1 - disc, (moved[1], moved[0]), (0, 1))
    mask = mask_of(scene, frame, size)[..., None]
    return (255 * np.where(mask, disc, ground)).astype(np.uint8)


def _write_frame(
    root: Path, name: str, frame: int, scene: Scene, size: tuple[int, int], seed: int, index: int
) -> None:
    from datasets.flow_colours import flow_image

    original, stylized = (root / tree for tree in _TREES)
    stem = f"{name}/{frame:05d}"
    for number, folder in enumerate(("", *STYLE_FOLDERS.values())):
        picture = _picture(scene, frame, size, np.random.default_rng([seed, index, number]))
        place = stylized / "JPEGImages" / folder if folder else original / IMAGES
        _save(place / f"{stem}.jpg", picture, quality=95)
    for folder, gap in ((FORWARD, 1), (BACKWARD, -1)):
        _save(original / folder / f"{stem}.png", flow_image(flow_of(scene, frame, size, gap)))
    _save(original / MASKS / f"{stem}.png", 255 * mask_of(scene, frame, size).astype(np.uint8))


def _save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
