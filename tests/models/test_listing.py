"""What --list_models and --list_stages print."""

from dataclasses import replace

import pytest

import main
from models import listing
from models.catalogue import networks
from tests.helpers import tiny_network


def lines(capsys, *argv):
    main.main(list(argv))
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def few(monkeypatch):
    """The table with networks that are quick to build."""
    names = ("fast", "slowfast_r50_4x16", "x3d_s", "timesformer_ssv2", "demo_motion")
    known = {name: networks()[name] for name in names}
    monkeypatch.setattr(listing, "networks", lambda: known)


def test_models_are_listed_with_clips_stages_units_and_weights(few, capsys):
    head, *rows = lines(capsys, "--list_models")
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in (head, *rows)]
    assert cells[0] == [
        *("name", "family", "frames x rate", "crop", "stages", "units per stage", "parameters"),
        "weights",
    ]
    # Units and millions of parameters as in the reference facts of tests/data.
    expected = """
        fast | ResNet | 32 x 2 | 256 | 1-5 | 8, 32, 64, 128, 256 | 0.62 M
        slowfast_r50_4x16 | ResNet | 32 x 2 | 256 | 1-5 | 88, 352, 704, 1408, 2304 | 34.48 M
        x3d_s | X3D | 13 x 6 | 160 | 1-5 | 2 x 24, 48, 96, 192 | 3.79 M
        timesformer_ssv2 | TimeSformer | 16 x 8 | 224 | 0-11 | 12 x 768 | 121.40 M
        demo_motion | ResNet | 8 x 2 | 64 | 1-5 | 8, 32, 64, 128, 256 | 0.16 M
    """
    assert [row[:-1] for row in cells[1:]] == [
        [cell.strip() for cell in line.split("|")] for line in expected.strip().splitlines()
    ]
    assert [row[-1] for row in cells[1:]] == [
        "none published",
        *(networks()[row[0]].weights.url for row in cells[2:5]),
        "comes with the toolkit",
    ]


def test_stages_of_a_network_of_the_study(capsys):
    title, head, *rows = lines(capsys, "--model", "demo_motion", "--list_stages", "--crop", "32")
    assert title == (
        "demo_motion (random), one clip of 8 frames of 32x32 pixels; * are those of --stg all"
    )
    assert head.split() == ["stage", "units", "output", "note"]
    assert [row.split(maxsplit=3) for row in rows] == [
        ["*", "1", "8", "[1, 8, 8, 8, 8]"],
        ["*", "2", "32", "[1, 32, 8, 8, 8]"],
        ["*", "3", "64", "[1, 64, 8, 4, 4]"],
        ["*", "4", "128", "[1, 128, 8, 2, 2]"],
        ["*", "5", "256", "[1, 256, 8, 1, 1]"],
    ]


def test_axis_that_no_stage_has_is_said(capsys):
    argv = ("--model", "demo_motion", "--list_stages", "--crop", "32", "--unit_dim")
    _, _, *rows = lines(capsys, *argv, "2")
    assert [row.split()[2] for row in rows] == ["8"] * 5  # frames
    _, _, *rows = lines(capsys, *argv, "7")
    assert [row.split()[2] for row in rows] == ["0"] * 5
    assert all(row.endswith("  no units, cannot be measured") for row in rows)


def test_both_pathways_are_counted():
    network = tiny_network("two")
    small = replace(network, clip=replace(network.clip, crop=32))
    table = listing.stages_table(small, "cat", True).splitlines()
    assert "8 + 32 frames of 32x32 pixels" in table[0]
    assert [row.split()[2] for row in table[2:]] == ["10", "40", "80", "160", "192"]


NOTES = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.frames, self.twice, self.spare = (nn.Conv3d(3, 3, 1) for _ in range(4))
        self.total = Total()

    def forward(self, x):
        self.total(x)
        self.frames(x.transpose(0, 2))
        return self.a(self.twice(self.twice(x)))

class Total(nn.Module):
    def forward(self, x):
        return x.sum()

build = Net
"""


def test_what_cannot_be_measured_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "notes.py").write_text(NOTES)
    argv = ["--model", f"{tmp_path}/notes.py:build", "--clip_frames", "3", "--crop", "8"]
    _, _, *rows = lines(capsys, *argv, "--list_stages")
    said = {row.split("  *  ")[-1].split()[0]: row.split("]")[-1].strip() for row in rows}
    stars = {row.split()[1] for row in rows if row.split()[0] == "*"}
    assert stars == {"a", "frames"}
    assert said["a"] == ""
    assert said["frames"] == "3 rows a clip: needs --batch_size 1"
    assert said["twice"] == "used 2 times, cannot be measured"
    assert "not reached by the forward" in said["spare"]
    assert "no units, cannot be measured" in said["total"]
