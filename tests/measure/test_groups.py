"""Videos that belong together, and other intervals of a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import main
from config import Config
from measure.groups import described, read_groups
from tests import helpers_runs
from tests.helpers_runs import VIDEOS, as_argv, options, read_rows
from utils import DataError

data, no_network = helpers_runs.videos, helpers_runs.no_network
without_figures = helpers_runs.without_figures


@pytest.fixture
def file(tmp_path):
    """A function that writes a file of groups."""

    def write(text: str, name: str = "groups.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


# ---- The file.


@pytest.mark.parametrize(
    "text",
    [
        "video,group\na,x\nb,x\nc,y\nelsewhere,z\n",
        "group,more,video\r\nx,1,a\r\nx,2,b\r\ny,3,c\r\nz,,elsewhere\r\n",
        '\ufeffvideo,group\na,x\n\nb,"x"\nc,y\nc,y\nelsewhere,z\n',
    ],
    ids=[
        "as asked for",
        "other columns and ends of lines",
        "a mark, an empty line, a repeated one",
    ],
)
def test_a_file_of_groups(file, text):
    groups = read_groups(file(text), ["a", "b", "c", "d"])
    assert sorted(groups) == ["a", "b", "c", "elsewhere"]
    assert groups["a"] == groups["b"]
    assert len({groups["a"], groups["c"], groups["elsewhere"]}) == 3


def test_how_many_videos_are_in_groups_is_said():
    groups = {"a": "group/x", "b": "group/x", "elsewhere": "group/y"}
    assert described(groups, ["a", "b"]) == "groups: 2 of 2 videos are in 1 group"
    words = "groups: 2 of 3 videos are in 1 group; every other one stands for itself"
    assert described(groups, ["a", "b", "c"]) == words


@pytest.mark.parametrize("name", ["d", "group d", "group"])
def test_a_group_is_no_video_of_its_name(file, name):
    assert read_groups(file(f"video,group\na,{name}\nb,{name}\n"), ["a", "b", "d"])["a"] != name
    # No name of a video has a slash in it.
    assert "/" in read_groups(file("video,group\na,d\n"), ["a"])["a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"expected a header with video and group.*; found no row"),
        ("video,group\n", r"and a row for each video; found no row"),
        ("video,source\na,x\n", r"expected a header with video and group.*found video, source"),
        ("a,x\nb,x\n", r"expected a header .*found a, x"),
        ("video,group\na,x\n,x\n", r"line 3: a video or a group is missing"),
        ("video,group\n\na,\n", r"line 3: a video or a group is missing"),
        ("video,group\na,x\nb,x\na,y\n", r"line 4: 'a' is in group 'x' already, and now in 'y'"),
        ("video,group\nA,x\nB,x\n", r"names none of the 2 videos; its first is 'A', theirs 'a'"),
        ("video,group\na,x,y\n", r"line 2: 3 cells, expected 2"),
        ("video,video,group\na,a,x\n", r"line 1: the column 'video' is there more than once"),
    ],
    ids=[
        *("empty", "no rows", "another column", "no header", "no video", "no group"),
        *("two groups", "other videos", "a cell too many", "a column twice"),
    ],
)
def test_what_is_no_file_of_groups_is_refused(file, text, words):
    path = file(text)
    with pytest.raises(DataError, match=words) as refusal:
        read_groups(path, ["a", "b"])
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("kind", ["absent", "a folder", "no text"])
def test_what_cannot_be_read_is_refused(tmp_path, kind):
    path = tmp_path / "groups.csv"
    if kind == "a folder":
        path.mkdir()
    elif kind == "no text":
        path.write_bytes(b"video,group\n\xff\xfe,x\n")
    with pytest.raises(DataError, match=r"groups\.csv (does not exist|is a folder|cannot be read)"):
        read_groups(path, ["a"])


# ---- Runs.

# Of `VIDEOS`, two belong together, and one stands for itself.
GROUPS = "video,group\narms,studio\nball,studio\nchess,table\ndance,stage\n"


@pytest.fixture
def chosen(data, tmp_path):
    """A function that gives the options of a run, with more than the usual ones."""
    return lambda **more: {**options(data, tmp_path / "runs"), "stg": "4,5", **more}


def widths(folder: Path, statistic: str = "score") -> list[float]:
    """Of the intervals of the scored factors at every stage."""
    rows = [row for row in read_rows(folder / "layerwise.csv") if row["factor"] != "residual"]
    return [float(row[f"{statistic}_hi"]) - float(row[f"{statistic}_lo"]) for row in rows]


def column(folder: Path, name: str) -> set[str]:
    return {row[name] for row in read_rows(folder / "layerwise.csv")}


def test_intervals_of_a_run_take_a_group_for_one_video(chosen, file, capsys):
    plain = main.measure(Config(**chosen(run_name="plain"))).folder
    config = Config(**chosen(run_name="grouped", groups=file(GROUPS)))
    grouped = main.measure(config).folder
    assert column(plain, "n_videos") == {str(len(VIDEOS))}
    assert column(grouped, "n_videos") == {"4"}
    assert (plain / "plan.csv").read_bytes() == (grouped / "plan.csv").read_bytes()
    for old, new in zip(*(read_rows(f / "layerwise.csv") for f in (plain, grouped)), strict=True):
        assert float(new["score"]) == pytest.approx(float(old["score"]))
        assert new["share_percent"] != ""
    assert widths(grouped) != widths(plain)


def test_the_screen_says_that_groups_are_counted(chosen, file, capsys):
    main.main(as_argv(chosen(groups=file(GROUPS))))
    assert ", 4 groups of videos, 95 % intervals:\n" in capsys.readouterr().out


def test_a_file_of_groups_that_is_wrong_is_refused_before_anything_is_done(
    chosen, file, tmp_path, no_network
):
    with pytest.raises(DataError, match=r"`groups` .*names none of the 5 videos"):
        main.measure(Config(**chosen(groups=file("video,group\nother,x\n"))))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("named", [True, False], ids=["run_name", "usual name"])
@pytest.mark.parametrize("how", ["again", "resume"])
def test_confidence_and_groups_are_free_when_a_run_goes_on(
    chosen, file, request, monkeypatch, named, how
):
    usual = chosen(run_name="mine") if named else chosen()
    folder = main.measure(Config(**usual)).folder
    before, wide = (folder / "plan.csv").read_bytes(), widths(folder)
    request.getfixturevalue("no_network")
    for more in ({"confidence": 0.8}, {"groups": file(GROUPS)}):
        given = {"resume": folder, **more} if how == "resume" else {**usual, **more}
        main.main(as_argv(given))
        assert (folder / "plan.csv").read_bytes() == before
        if "confidence" in more:
            assert column(folder, "confidence") == {"0.8"}
            assert column(folder, "n_videos") == {"5"}
            assert all(new < old for new, old in zip(widths(folder), wide, strict=True))
        else:
            assert column(folder, "confidence") == {"0.95"}
            assert column(folder, "n_videos") == {"4"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_groups_are_found_again_from_elsewhere(chosen, file, tmp_path, monkeypatch):
    path = file(GROUPS)
    monkeypatch.chdir(tmp_path)
    folder = main.measure(Config(**chosen(groups=path.name))).folder
    assert json.loads((folder / "config.json").read_text())["options"]["groups"] == str(path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    main.main(["--resume", str(folder)])
    assert column(folder, "n_videos") == {"4"}
    path.unlink()
    with pytest.raises(DataError, match=r"groups\.csv does not exist"):
        main.main(["--resume", str(folder)])


def test_where_one_group_leaves_no_parts_the_figure_of_an_earlier_start_goes(chosen, file, capsys):
    folder = main.measure(Config(**chosen())).folder
    figures = [folder / f"parts.{suffix}" for suffix in ("png", "pdf")]
    for path in figures:  # none is plotted here
        path.touch()
    main.main(["--resume", str(folder)])
    assert all(path.exists() for path in figures)
    assert "parts of the variance, which add up to 1:" in capsys.readouterr().out
    one = "video,group\n" + "".join(f"{video},one\n" for video in VIDEOS)
    main.main(["--resume", str(folder), "--groups", str(file(one))])
    assert not any(path.exists() for path in figures)
    shown = capsys.readouterr().out
    assert "parts of the variance, which" not in shown
    assert "these pairs show 1 video" in shown
    assert "no adjusted score (dynamic, static, different)" in shown
