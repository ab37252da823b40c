"""What --list_models and --list_stages print."""

from dataclasses import replace

import main
from models import listing
from models.catalogue import networks
from models.tables.two_stream import ARCHIVE_URL
from tests.helpers import at_path, tiny_network


def lines(capsys, *argv):
    main.main(list(argv))
    return capsys.readouterr().out.splitlines()


# Units and millions of parameters as in the reference facts of tests/data.
ROWS = """
    fast | ResNet | 32 x 2 | 256 | 1-5 | 8, 32, 64, 128, 256 | 0.62 M | none published
    slowfast_r50_4x16 | ResNet | 32 x 2 | 256 | 1-5 | 88, 352, 704, 1408, 2304 | 34.48 M | url
    x3d_s | X3D | 13 x 6 | 160 | 1-5 | 2 x 24, 48, 96, 192 | 3.79 M | url
    timesformer_ssv2 | TimeSformer | 16 x 8 | 224 | 0-11 | 12 x 768 | 121.40 M | url
    demo_motion | ResNet | 8 x 2 | 64 | 1-5 | 8, 32, 64, 128, 256 | 0.16 M | comes with the toolkit
    rtnet34 | RTNet | 2 with flow | 480x854 | 14 of two streams and their fusion |
        2 x 64, 128, 256, 512, 2 x 64, 128, 256, 512, 64, 128, 2 x 256 | 105.55 M | none published
    matnet_bidir | MATNet | 1 with flow | 480x854 | 15 of two streams and their fusion |
        64, 256, 512, 1024, 2048, 64, 256, 512, 1024, 2048, 512, 1024, 2048, 4096, 256 |
        142.69 M | archive
"""


def test_every_network_of_both_tasks_is_listed(capsys):
    head, *rows = lines(capsys, "--list_models")
    titles, *cells = ([c.strip() for c in row.split("  ") if c.strip()] for row in (head, *rows))
    assert titles == [
        *("name", "task", "family", "frames", "crop", "stages", "units per stage", "parameters"),
        "weights",
    ]
    assert [(row[0], row[1]) for row in cells] == [(n.name, n.task) for n in networks().values()]
    listed = {row[0]: [row[0], *row[2:]] for row in cells}
    for line in ROWS.replace("|\n        ", "| ").strip().splitlines():
        name, *expected = [cell.strip() for cell in line.split("|")]
        weights = {"url": networks()[name].weights.url, "archive": ARCHIVE_URL}
        assert listed[name] == [name, *expected[:-1], weights.get(expected[-1], expected[-1])]


def test_stages_of_a_network_of_the_study(capsys):
    title, head, *rows = lines(capsys, "--model", "demo_motion", "--list_stages", "--crop", "32")
    assert title == ("demo_motion, one clip of 8 frames of 32x32 pixels; * are those of --stg all")
    assert head.split() == ["stage", "units", "output", "note"]
    assert [row.split(maxsplit=3) for row in rows] == [
        ["*", "1", "8", "[1, 8, 8, 8, 8]"],
        ["*", "2", "32", "[1, 32, 8, 8, 8]"],
        ["*", "3", "64", "[1, 64, 8, 4, 4]"],
        ["*", "4", "128", "[1, 128, 8, 2, 2]"],
        ["*", "5", "256", "[1, 256, 8, 1, 1]"],
    ]


def test_stages_of_a_segmentation_network_with_a_row_for_each_frame(capsys):
    title, _, *rows = lines(capsys, "--model", "rtnet34", "--list_stages", "--image_size", "32,64")
    assert title.startswith("rtnet34, one clip of 2 frames of 32x64 pixels; ")
    assert len(rows) == 14
    assert rows[1].split(maxsplit=3) == ["*", "layer1,app_stream", "64", "[2, 64, 8, 16]"]
    assert all(row.endswith("]") for row in rows)  # there is nothing to note


def test_axis_that_no_stage_has_is_noted(capsys):
    argv = ("--model", "demo_motion", "--list_stages", "--crop", "32", "--unit_dim")
    _, _, *rows = lines(capsys, *argv, "2")
    assert [row.split()[2] for row in rows] == ["8"] * 5  # frames
    _, _, *rows = lines(capsys, *argv, "7")
    assert [row.split()[2] for row in rows] == ["0"] * 5
    assert all(row.endswith("  no units, cannot be measured") for row in rows)


def test_both_pathways_are_counted():
    network = at_path(tiny_network("two"), "cat")
    small = replace(network, clip=replace(network.clip, crop=32))
    table = listing.stages_table(small).splitlines()
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
    notes = {row.split("  *  ")[-1].split()[0]: row.split("]")[-1].strip() for row in rows}
    stars = {row.split()[1] for row in rows if row.split()[0] == "*"}
    assert stars == {"a", "frames"}
    assert notes["a"] == ""
    assert notes["frames"] == "3 rows per clip: needs --batch_size 1"
    assert notes["twice"] == "used 2 times, cannot be measured"
    assert "not reached by the forward" in notes["spare"]
    assert "no units, cannot be measured" in notes["total"]
