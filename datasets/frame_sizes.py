"""What the headers of frames say: whether styles differ in size, and whether frames are turned."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# Of EXIF: how a picture is turned to be looked at; 1 is as it is stored.
_ORIENTATION, _UPRIGHT = 0x0112, 1


class Shown(NamedTuple):
    """The first frame that is shown of a video in a style.

    video: its name.
    what: the style, or the flow, in words.
    path: of the frame.
    """

    video: str
    what: str
    path: Path


def header_notes(frames: Iterable[Shown], what: str) -> list[str]:
    """How many videos have frames of several sizes, and how many frames are turned, if any.

    what: what has those sizes, in words.

    Frames that cannot be read are left out: reading them tells.
    """
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    turned = []
    for frame in frames:
        with contextlib.suppress(Exception):  # a damaged file can raise anything
            size, orientation = _header(frame.path)
            sizes.setdefault(frame.video, {})[frame.what] = size
            turned += [frame.path] if orientation != _UPRIGHT else []
    return [*_size_notes(sizes, what), *_turned_notes(turned)]


def _header(path: Path) -> tuple[tuple[int, int], int]:
    """Width and height of a picture, and its orientation if it is a JPEG; nothing is decoded."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            # Other formats may have it behind the pixels.
            exif = image.getexif() if image.format == "JPEG" else {}
            return image.size, exif.get(_ORIENTATION, _UPRIGHT)


def _size_notes(sizes: dict[str, dict[str, tuple[int, int]]], what: str) -> list[str]:
    unequal = [video for video, found in sizes.items() if len(set(found.values())) > 1]
    if not unequal:
        return []
    shown = (f"{name} {width}x{height}" for name, (width, height) in sizes[unequal[0]].items())
    return [
        f"sizes: the {what} of {len(unequal)} of {len(sizes)} videos differ in size, such as "
        f"{unequal[0]} ({', '.join(shown)}): each is scaled to the network's by itself"
    ]


def _turned_notes(turned: list[Path]) -> list[str]:
    if not turned:
        return []
    return [
        f"turned: EXIF says of {len(turned)} first frames, such as {turned[0]}, that they are to "
        "be turned: all frames are shown as they are stored"
    ]
