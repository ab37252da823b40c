"""Notes on what the headers of frames say: styles of several sizes, and turned pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from config import Config
from datasets.davis import FORWARD
from datasets.frame_sizes import Shown, header_notes
from measure.prepare import prepare
from tests.datasets.helpers import noise, write_frames
from tests.datasets.helpers_davis import save, write_trees
from tests.helpers_runs import options, write_videos


def picture(path: Path, size: tuple[int, int], orientation: int | None = None) -> Path:
    """Write a picture of (width, height) pixels; returns its path."""
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_videos_whose_frames_differ_in_size_are_counted(tmp_path):
    small, large = (picture(tmp_path / f"{w}.png", (w, 48)) for w in (32, 64))
    frames = [
        *(Shown("a", "style 1", small), Shown("a", "style 2", small)),
        *(Shown("b", "style 1", large), Shown("b", "style 2", small)),
    ]
    assert header_notes(frames[:2], "styles") == []
    assert header_notes(frames, "styles") == [
        "sizes: the styles of 1 of 2 videos differ in size, such as b (style 1 64x48, style 2 "
        "32x48): each is scaled to the network's by itself"
    ]


def test_turned_frames_are_counted(tmp_path):
    paths = [picture(tmp_path / f"{k}.jpg", (32, 48), k) for k in (0, 1, 6, 8)]
    (note,) = header_notes([Shown("a", str(path), path) for path in paths], "styles")
    assert note == (
        f"turned: EXIF says of 2 first frames, such as {paths[2]}, that they are to be turned: "
        "all frames are shown as they are stored"
    )


def test_what_cannot_be_read_is_no_matter_and_nothing_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it is decoded"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 40)
    (tmp_path / "no.jpg").write_bytes(b"none")
    large = picture(tmp_path / "large.png", (64, 32))  # of which Pillow warns
    paths = [tmp_path / "no.jpg", tmp_path / "absent.jpg", large]
    assert header_notes([Shown("a", str(path), path) for path in paths], "styles") == []


def test_run_says_which_styles_differ_in_size(tmp_path):
    root = write_videos(tmp_path / "set", {"arms": 9, "ball": 9, "chess": 9})
    given = options(root, tmp_path, pairing="exhaustive")
    assert "sizes:" not in prepare(Config(**given)).describe()
    write_frames(root / "style_1" / "ball", noise(9, 1, 20, 16))
    said = prepare(Config(**given)).describe()
    assert (
        "sizes: the styles of 1 of 3 videos differ in size, such as ball (style 1 16x20, style 2 "
        "40x32, style 3 40x32)" in said
    )


def test_run_says_which_flow_differs_in_size(tmp_path):
    root = write_trees(tmp_path)
    given = {
        "model": "matnet",
        "checkpoint": "random",
        "device": "cpu",
        "styles": ("1", "2"),
        "original_data_root": root / "original",
        "stylized_data_dir": root / "stylized",
    }
    assert "sizes:" not in prepare(Config(**given)).describe()
    save(root / "original" / FORWARD / "cows/00000.png", noise(1, 1, 10, 10)[0])
    said = prepare(Config(**given)).describe()
    assert (
        "sizes: the styles and flow of 1 of 3 videos differ in size, such as cows (style 1 20x12, "
        f"{FORWARD} 10x10, style 2 20x12)" in said
    )
