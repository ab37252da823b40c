"""misc/make_synthetic_davis.py: what its options do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from misc.make_synthetic_davis import main
from tests.datasets.helpers_davis import sequences
from utils import UserError

ROOT = Path(__file__).parents[2]


def test_options_say_how_many_and_how_large(tmp_path, capsys):
    folder = tmp_path / "set"
    main([str(folder), "--n_sequences", "2", "--n_frames", "3", "--size", "16,24"])
    assert capsys.readouterr().out == f"2 sequences of 3 frames: {folder}\n"
    data = sequences(folder, backward=True)
    assert {name: video.frames for name, video in data.videos.items()} == {
        "disc_00": ("00001",),
        "disc_01": ("00001",),
    }
    with Image.open(data.image("disc_01", "1", "00002")) as image:
        assert image.size == (24, 16)


def test_one_side_is_that_of_a_square(tmp_path):
    main([str(tmp_path / "set"), "--n_sequences", "1", "--n_frames", "3", "--size", "16"])
    with Image.open(sequences(tmp_path / "set").image("disc_00", "1", "00001")) as image:
        assert image.size == (16, 16)


def test_existing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="not overwritten"):
        main([str(tmp_path)])


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--n_frames", "2", "2 is below 3"),
        ("--n_sequences", "0", "0 is below 1"),
        ("--size", "96,", "'96,' is not a size like 256 or 480,854"),
        ("--size", "0,96", "'0,96' is not a size like"),
    ],
)
def test_bad_option_is_refused(tmp_path, capsys, option, value, words):
    with pytest.raises(SystemExit) as leave:
        main([str(tmp_path / "set"), option, value])
    assert leave.value.code == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["make_synthetic_davis", "make_flow"])
def test_help_does_not_import_torch(script):
    code = (
        f"import sys\nfrom misc.{script} import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as leave:\n    assert leave.code == 0\n"
        "print([name for name in ('torch', 'cv2') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
