"""A small set in the trees of Stylized DAVIS, and sequences without files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.davis import (
    BACKWARD,
    FORWARD,
    STYLE_FOLDERS,
    Sequence,
    SequenceSet,
    find_sequences,
)
from tests.datasets.helpers import noise

SEQUENCES = {"bear": 6, "cows": 4, "dance": 5}
STYLES = ("1", "2", "3")


def write_list(root: Path, frames: list[str], split: str = "val") -> None:
    """Write the image set of a split: a line per frame, "bear/00000" and so on."""
    folder = root / "original" / "ImageSets" / "480p"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"/JPEGImages/480p/{frame}.jpg /Annotations/480p/{frame}.png\n" for frame in frames]
    (folder / f"{split}.txt").write_text("".join(lines))


def write_trees(
    root: Path,
    counts: Mapping[str, int] = SEQUENCES,
    styles: tuple[str, ...] = STYLES,
    size: tuple[int, int] = (12, 20),
) -> Path:
    """Make root/original and root/stylized of noise, (height, width) pixels; returns the root.

    Every style is a mixture of one noise and its own, so that networks find something in common.
    """
    frames = [f"{name}/{index:05d}" for name, n in counts.items() for index in range(n)]
    write_list(root, frames)
    for number, frame in enumerate(frames):
        shared, *own = noise(1 + len(styles), number, *size)
        for style, other in zip(styles, own, strict=True):
            mixed = shared // 2 + other // 3 + 10 * int(style)
            save(root / "stylized/JPEGImages" / STYLE_FOLDERS[style] / f"{frame}.jpg", mixed)
        for folder, seed in ((FORWARD, 1000), (BACKWARD, 2000)):
            save(root / "original" / folder / f"{frame}.png", noise(1, seed + number, *size)[0])
    return root


def save(path: Path, pixels: np.ndarray) -> None:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def sequences(root: Path, *, backward: bool = False, **more) -> SequenceSet:
    """The sequences of trees made by `write_trees`."""
    chosen = {"dataset": "StylizedDAVIS", "split": "val", "styles": STYLES, **more}
    return find_sequences(
        original=root / "original", stylized=root / "stylized", backward=backward, **chosen
    )


def toy(counts: Mapping[str, int] = SEQUENCES, styles: str = "123") -> SequenceSet:
    """Sequences without files, of so many frames each."""
    videos = {
        name: Sequence(name, name, tuple(f"{index:05d}" for index in range(n)))
        for name, n in counts.items()
    }
    return SequenceSet("toy", Path("original"), Path("stylized"), videos, tuple(styles), (FORWARD,))
