"""Plan files: written, read back, and refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.factors import DYNAMIC, STATIC
from datasets.pair_plan import PAIRINGS, Pair, PairPlan, PlanRules
from datasets.taken_frames import permutation
from datasets.video_plan import Clip, plan_row, read_plan, sample_pairs
from datasets.videos import UNSTYLIZED, Video
from tests.datasets.helpers import toy, video_set
from utils import DataError


def write_plan(path: Path, pairs: list[Pair]) -> None:
    PairPlan(tuple(map(plan_row, pairs))).write(path)


@pytest.fixture
def rows(tmp_path) -> list[str]:
    write_plan(tmp_path / "plan.csv", sample_pairs(toy(), PlanRules(seed=3)))
    return (tmp_path / "plan.csv").read_text().splitlines()


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("parts", [True, False])
def test_round_trip(tmp_path, pairing, parts):
    pairs = sample_pairs(toy(), PlanRules(seed=3, pairing=pairing, parts=parts))
    write_plan(tmp_path / "plan.csv", pairs)
    assert read_plan(tmp_path / "plan.csv", toy()) == pairs


def test_round_trip_of_all_factors_and_odd_names(tmp_path):
    names = ['comma, "quote"', "spaces  two", "ünï", "line\nbreak", "007"]
    videos = video_set([Video(n, n, 0, 90) for n in names], styles=["1", "van gogh, late"])
    pairs = sample_pairs(videos, PlanRules(seed=3, factors=(0, 1, 2, 3)))
    write_plan(tmp_path / "plan.csv", pairs)
    assert read_plan(tmp_path / "plan.csv", videos) == pairs


def test_a_person_can_read_and_write_it(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "factor,video_a,style_a,start_a,shuffle_a,video_b,style_b,start_b,shuffle_b,note\n"
        "static,a,1,0,,a,1,0,77,by hand\n"
        "dynamic,b,1,5,0,b,3,5,0,\n"
    )
    assert read_plan(tmp_path / "mine.csv", toy()) == [
        Pair(STATIC, Clip("a", "1", 0), Clip("a", "1", 0, 77)),
        Pair(DYNAMIC, Clip("b", "1", 5), Clip("b", "3", 5)),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,motion,a,1,0,0,a,2,0,0", "factor 'motion' is none of dynamic, static"),
        ("0,dynamic,z,1,0,0,a,2,0,0", "video 'z' is not among the 5 videos"),
        ("0,dynamic,a,1,0,0,a,9,0,0", "style '9' is not among 1, 2, 3"),
        ("0,dynamic,a,1,0,0,a,2,90,0", r"start 90 of a is not in 0\.\.89"),
        ("0,dynamic,a,1,-1,0,a,2,0,0", r"start -1 of a is not in 0\.\.89"),
        ("0,dynamic,a,1,x,0,a,2,0,0", "start_a 'x' must be an integer"),
        ("0,static,a,1,0,0,a,1,0,-5", "shuffle -5 is negative"),
        ("0,static,a,1,0,0,a,1,0,1.5", "shuffle_b '1.5' must be an integer"),
        ("0,dynamic,a,1", "4 cells, expected 10 as in the header"),
        ("0,dynamic,a,1,0,0,a,2,0,0,0", "11 cells, expected 10 as in the header"),
        (f"0,dynamic,a,1,{10**26},0,a,2,0,0", rf"start {10**26} of a is not in 0\.\.89"),
        (f"0,static,a,1,0,0,a,1,0,{10**100}", r"shuffle_b '10+\.\.\. must be"),
        (f"0,static,a,1,0,0,a,1,0,{'9' * 5000}", r"shuffle_b '9+\.\.\. must be"),
        ("0,dynamic,a,1,5,0,a,1,5,0", r"clips of this pair are the same, a \(style 1, start 5\)"),
        ("0,static,a,1,5,7,a,1,5,7", "are the same, .* its factor is 'static'"),
    ],
    ids=[
        "factor",
        "video",
        "style",
        "late",
        "early",
        "text",
        "negative",
        "fraction",
        "cut off",
        "too long",
        "start of 27 digits",
        "huge shuffle",
        "more digits than Python reads",
        "one clip twice",
        "one shuffle twice",
    ],
)
def test_unusable_row_is_refused_with_its_line(tmp_path, rows, row, words):
    path = tmp_path / "bad.csv"
    path.write_text("\n".join([*rows[:4], row, *rows[4:]]))
    with pytest.raises(DataError, match=rf"bad\.csv, line 5: .*{words}"):
        read_plan(path, toy())


def test_the_same_clip_twice_is_a_pair_of_the_factor_same(tmp_path, rows):
    path = tmp_path / "same.csv"
    path.write_text("\n".join([rows[0], "0,same,a,1,5,0,a,1,5,0"]))
    (pair,) = read_plan(path, toy())
    assert pair.a == pair.b == Clip("a", "1", 5)


def test_a_column_that_is_there_twice_is_refused(tmp_path, rows):
    path = tmp_path / "bad.csv"
    path.write_text(f"{rows[0]},video_a\n{rows[1]},b\n")
    with pytest.raises(DataError, match=r"bad\.csv, line 1: the column 'video_a' .*more than once"):
        read_plan(path, toy())


def test_seeds_of_many_digits_are_used(tmp_path):
    pairs = [Pair(STATIC, Clip("a", "1", 0), Clip("a", "1", 0, 10**26))]
    write_plan(tmp_path / "plan.csv", pairs)
    assert read_plan(tmp_path / "plan.csv", toy()) == pairs
    assert sorted(permutation(10**26, 1, 9).tolist()) == list(range(9))


def test_line_numbers_count_blank_lines(tmp_path, rows):
    path = tmp_path / "bad.csv"
    path.write_text("\n".join([*rows[:4], "", "0,motion,a,1,0,0,a,2,0,0"]))
    with pytest.raises(DataError, match=r"bad\.csv, line 6"):
        read_plan(path, toy())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"factor,video_a\ndynamic,a\n", id="columns missing"),
        pytest.param(b"pair;factor;video_a\n0;dynamic;a\n", id="semicolons"),
        pytest.param(b"factor\x00\nx\n", id="NUL byte"),
        pytest.param(b"\x93NUMPY\x01\x00v\x00{'descr'\xff", id="binary"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_path(tmp_path, content):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"^/.*bad\.csv"):
        read_plan(tmp_path / "bad.csv", toy())


def test_header_alone_is_refused(tmp_path, rows):
    (tmp_path / "bad.csv").write_text(rows[0] + "\n")
    with pytest.raises(DataError, match="at least one row"):
        read_plan(tmp_path / "bad.csv", toy())


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"^/.*nowhere\.csv does not exist"):
        read_plan(tmp_path / "nowhere.csv", toy())


def test_unstylized_clips_without_their_folder_name_the_option(tmp_path):
    videos = toy()
    videos.style_folders[UNSTYLIZED] = Path("original")
    write_plan(
        tmp_path / "plan.csv", sample_pairs(videos, PlanRules(seed=3, unstylized_static=True))
    )
    with pytest.raises(DataError, match="`use_normal_app` True"):
        read_plan(tmp_path / "plan.csv", toy())
