"""Groups of videos, read from a file of the user's."""

import pytest

from measure.groups import read_groups
from utils import DataError

VIDEOS = ("a", "b", "c")


def read(tmp_path, text):
    path = tmp_path / "groups.csv"
    path.write_text(text, encoding="utf-8")
    return read_groups(path, VIDEOS)


def test_groups_are_no_videos_and_videos_that_are_not_named_stand_for_themselves(tmp_path):
    found = read(tmp_path, "video,group,note\na,b,x\nb,b,\nelsewhere,long film,\n")
    assert found == {"a": "group/b", "b": "group/b", "elsewhere": "group/long film"}
    assert not set(found.values()) & set(VIDEOS)


def test_a_video_may_be_named_twice_with_one_group(tmp_path):
    assert read(tmp_path, "group,video\nx,a\nx,a\n") == {"a": "group/x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found no row"),
        ("video,group\n", "found no row"),
        ("video,source\na,x\n", "found video, source"),
        ("video,group\na,\n", "line 2: a video or a group is missing"),
        ("video,group\na,x\n,x\n", "line 3: a video or a group is missing"),
        ("video,group\na,x\nb,x\na,y\n", "line 4: 'a' is in group 'x' already, and now in 'y'"),
        ("video,group\nd,x\n", "names none of the 3 videos; its first is 'd', theirs 'a'"),
        ("video,group\na\n", "line 2: 1 cell, expected 2"),
    ],
)
def test_refusals(tmp_path, text, words):
    with pytest.raises(DataError, match=r"groups\.csv") as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"groups\.csv"):
        read_groups(tmp_path / "groups.csv", VIDEOS)
