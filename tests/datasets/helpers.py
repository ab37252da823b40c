"""Tiny frame folders and video sets for the tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.videos import Video, VideoSet


def noise(n_frames: int, seed: int, height: int = 32, width: int = 40) -> np.ndarray:
    """Random frames, uint8 [T, H, W, 3]."""
    shape = (n_frames, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_frames(
    folder: Path, frames: Iterable[np.ndarray], name: str = "{:06d}.png", first: int = 1
) -> None:
    """Write frames as image files called `name`, numbered from `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / name.format(number))


def touch(folder: Path, names: Iterable[str]) -> Path:
    """Make empty files in a folder, for what looks at names alone; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def touch_styles(root: Path, counts: Mapping[str, int], styles: str = "12") -> Path:
    """Make `style_K/VIDEO/000001.jpg ...` of empty files; returns the root."""
    for style in styles:
        for video, count in counts.items():
            touch(root / f"style_{style}" / video, (f"{i:06d}.jpg" for i in range(1, count + 1)))
    return root


def video_set(
    videos: Sequence[Video], styles: Sequence[str] = ("1", "2", "3"), **options
) -> VideoSet:
    """A video set without files."""
    return VideoSet(
        name=options.pop("name", "toy"),
        videos={video.name: video for video in videos},
        styles=tuple(styles),
        style_folders={style: Path(f"style_{style}") for style in styles},
        start=options.pop("start", "random"),
        **options,
    )


def toy(n_videos: int = 5, length: int = 90, labels: str = "", **options) -> VideoSet:
    """Videos a, b, c, ... of classes given by the letters of `labels`."""
    names = "abcdefghijklmnopqrstuvwxyz"[:n_videos]
    classes = labels or [None] * n_videos
    videos = [Video(n, n, 0, length, c) for n, c in zip(names, classes, strict=True)]
    return video_set(videos, **options)
