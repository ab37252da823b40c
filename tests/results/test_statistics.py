"""The table of estimates, and that a statistic is one line of it."""

import csv
from dataclasses import fields, replace

import numpy as np
import pytest

from common.factors import STATIC
from estimation.estimator import CLASSES
from estimation.inference import PARTS, Inference
from estimation.intervals import Interval
from results import statistics as module
from results.blocks import Block, classes, classified, find
from results.figures import layerwise_grid
from results.statistics import (
    CLASS,
    LAYER,
    STATISTICS,
    UNIT,
    Plot,
    Statistic,
    by_factor,
    by_part,
    by_scored_factor,
    whole,
)
from results.tables import layerwise_table, parts_table, write_tables
from tests.helpers_estimation import make_results
from tests.helpers_inference import crossed, features

NAN = np.nan


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- The table.


@pytest.mark.parametrize("videos", [0, 4], ids=["unknown videos", "known videos"])
def test_every_published_number_is_in_the_table(videos):
    results = make_results({"1": 6, "5": 8}, n_factors=4, residual_index=3, videos=videos)
    for stage, blocks in results.by_stage(LAYER).items():
        estimate = results.estimates[stage]
        assert find(blocks, "score").parts == ("dynamic", "static", "different", "residual")
        np.testing.assert_array_equal(find(blocks, "score").value, estimate.scores)
        np.testing.assert_array_equal(find(blocks, "share_percent").value, 100 * estimate.shares)
        assert find(blocks, "n_pairs").value.tolist() == list(estimate.n_pairs)
        assert find(blocks, "n_units").value.tolist() == [estimate.n_units]
        scores = classified(results.by_stage(UNIT)[stage])
        assert scores.parts == ("dynamic", "static", "different")
        np.testing.assert_array_equal(scores.value, estimate.unit_scores[:3])


# Where the table has the numbers of `Inference`: level, statistic, and how much larger they are.
PLACES = {
    "scores": (LAYER, "score", 1),
    "shares": (LAYER, "share_percent", 100),
    "unit_scores": (UNIT, "score", 1),
    "chance": (LAYER, "chance", 1),
    "adjusted": (LAYER, "adjusted", 1),
    "adjusted_units": (UNIT, "adjusted", 1),
    "parts": (LAYER, "part", 1),
    "part_units": (UNIT, "part", 1),
    "p_units": (UNIT, "p", 1),
    "q_units": (UNIT, "q_bh", 1),
    "q_by_units": (UNIT, "q_by", 1),
}
RANGES = {"adjusted_range": "adjusted_style", "parts_range": "part_style"}
OF_ALL = {"n_videos", "confidence"}


def test_every_number_beside_them_is_in_the_table():
    assert {*PLACES, *RANGES, *OF_ALL, "factors"} == {field.name for field in fields(Inference)}
    results = make_results({"1": 6, "5": 8}, videos=4, different=True, confidence=0.8)
    for stage, estimate in results.estimates.items():
        inference = estimate.inference
        by_level = {level: results.by_stage(level)[stage] for level in (LAYER, UNIT)}
        for name, (level, statistic, scale) in PLACES.items():
            numbers, block = getattr(inference, name), find(by_level[level], statistic)
            if not isinstance(numbers, Interval):
                numbers = Interval.unknown(numbers)
            rows = slice(2) if name == "unit_scores" else slice(None)  # without the residual
            for end in ("value", "lo", "hi", "corrected"):
                expected = scale * getattr(numbers, end)[rows]
                np.testing.assert_array_equal(getattr(block, end), expected)
        for name, statistic in RANGES.items():
            for column, end in enumerate(("min", "max")):
                found = find(by_level[LAYER], f"{statistic}_{end}").value
                np.testing.assert_array_equal(found, getattr(inference, name)[:, column])
        for name in OF_ALL:
            (found,) = find(by_level[LAYER], name).value
            assert found == getattr(inference, name)
        assert find(by_level[LAYER], "adjusted").parts == ("dynamic", "static", "different")
        assert find(by_level[UNIT], "part").parts == PARTS


def test_without_known_videos_every_number_beside_the_published_ones_is_undefined():
    results = make_results({"5": 6})
    newer = [*{place[:2] for place in PLACES.values()}, (LAYER, "n_videos"), (LAYER, "confidence")]
    newer += [(LAYER, f"{name}_{end}") for name in RANGES.values() for end in ("min", "max")]
    for level, name in newer:
        block = find(results.by_stage(level)["5"], name)
        for end in ("lo", "hi", "corrected"):
            assert np.isnan(getattr(block, end)).all()
        is_published = name in ("score", "share_percent")
        assert np.isnan(block.value).all() != is_published


def test_classes_are_those_of_the_unit_scores_in_the_table():
    scores = classified(make_results({"5": 5}).by_stage(UNIT)["5"])
    values = np.array([[0.9, 0.1, 0.8, 0.5, NAN], [0.2, 0.7, 0.6, 0.5, 0.9]])
    found = classes(replace(scores, value=values), 0.5)
    assert {name: units.tolist() for name, units in found.units.items()} == {
        name: [k] for k, name in enumerate(CLASSES)
    }
    assert found.certain is None


# Dynamic and static score of a unit with their intervals, its class above 0.5, and if that is sure.
DECIDED = [
    ((0.9, 0.7, 1.0), (0.1, 0.0, 0.3), "dynamic", True),
    ((0.9, 0.45, 1.2), (0.1, 0.0, 0.3), "dynamic", False),
    ((0.1, 0.0, 0.3), (0.9, 0.51, 1.0), "static", True),
    ((0.9, 0.7, 1.0), (0.6, 0.5, 0.7), "joint", False),  # a score of 0.5 is not above it
    ((0.5, 0.4, 0.5), (0.5, 0.5, 0.5), "residual", True),
    ((0.1, 0.0, 0.6), (0.1, 0.0, 0.2), "residual", False),
    ((0.52, 0.3, 0.49), (0.1, 0.0, 0.2), "dynamic", False),  # corrected, it is on the other side
    ((0.1, NAN, NAN), (0.1, 0.0, 0.2), "residual", False),
    ((NAN, NAN, NAN), (0.9, 0.7, 1.0), "dead", True),
]


def decided():
    """The classes of `DECIDED`."""
    scores = classified(make_results({"5": 1}).by_stage(UNIT)["5"])
    value, lo, hi = np.array([unit[:2] for unit in DECIDED]).transpose(2, 1, 0)
    return classes(replace(scores, value=value, lo=lo, hi=hi), 0.5)


def test_a_unit_is_certain_where_both_intervals_are_on_the_side_of_its_score():
    found = decided()
    for unit, (*_, name, certain) in enumerate(DECIDED):
        assert unit in found.units[name]
        assert found.certain[unit] == certain


def test_certain_and_undecided_units_are_counted():
    of_class = {s.name: Block.of(s, "5", decided()) for s in STATISTICS if s.level == CLASS}
    assert of_class["units"].value.tolist() == [3, 1, 1, 3, 1]
    assert of_class["certain"].value.tolist() == [1, 1, 0, 1, 1]
    assert of_class["undecided"].value.tolist() == [5]
    for name in ("certain", "undecided"):
        percents = of_class[f"{name}_percent"].value
        assert percents == pytest.approx(100 * of_class[name].value / len(DECIDED))


def test_where_there_are_no_intervals_no_number_of_certain_units_is_known():
    blocks = make_results({"5": 4}).by_stage(CLASS, 0.5)["5"]
    for name in ("certain", "certain_percent", "undecided", "undecided_percent"):
        assert np.isnan(find(blocks, name).value).all()


def test_classes_are_counted_at_every_threshold():
    results = make_results({"5": 16}, thresholds=(0.5, -0.2), dead=(0, 3))
    for threshold in results.thresholds:
        counts = find(results.by_stage(CLASS, threshold)["5"], "units")
        found = classes(classified(results.by_stage(UNIT)["5"]), threshold).units
        assert counts.value.tolist() == [len(found[name]) for name in CLASSES]
        assert counts.part("dead") == 2
        percents = find(results.by_stage(CLASS, threshold)["5"], "percent").value
        assert percents == pytest.approx(100 * counts.value / 16)
    assert not any(results.by_stage(CLASS, 0.7).values())


def test_many_units_stay_in_arrays():
    results = make_results({str(k): 2048 for k in range(4)}, thresholds=(0.3, 0.5, 0.7))
    assert len(results.table) < 4 * 50


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({}, "i3d on ssv2"),
        ({"weights": "random"}, "i3d (random weights) on ssv2"),
        ({"pathway": "fast, not fused"}, "i3d (fast, not fused) on ssv2"),
        ({"model": "nets/my_net.py:build", "dataset": "plain"}, "my_net.build on plain"),
        ({"model": "torchvision:r3d_18"}, "torchvision:r3d_18 on ssv2"),
    ],
    ids=["trained", "random", "pathway", "own", "other"],
)
def test_title(fields, title):
    assert make_results({"5": 4}, **{"weights": "0123456789ab", **fields}).title == title


@pytest.mark.parametrize(
    ("videos", "text"),
    [(0, ""), (2, ""), (3, "3 videos, 80 % intervals"), (8, "8 videos, 80 % intervals")],
)
def test_how_certain_the_numbers_are_is_said_where_there_are_intervals(videos, text):
    results = make_results({"5": 4}, videos=videos, confidence=0.8)
    assert results.how_certain == text
    assert replace(results, grouped=True).how_certain == text.replace("videos", "groups of videos")


# ---- What a reader must know.

UNKNOWN = "they need pairs whose two clips show one video"
ONE, TWO = "these pairs show 1 video", "these pairs show 2 videos"
NO_CHANCE = "no adjusted score (dynamic, static"
FEW = "videos are wide"
NO_PARTS = "the plan has no different pairs"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, [UNKNOWN]),
        ({"videos": 1, "different": True}, [ONE, f"{NO_CHANCE}, different)"]),
        ({"videos": 1}, [ONE, f"{NO_CHANCE})"]),
        ({"videos": 2, "different": True}, [TWO]),
        ({"videos": 3, "different": True}, [f"intervals from 3 {FEW}"]),
        ({"videos": 7}, [f"intervals from 7 {FEW}", NO_PARTS]),
        ({"videos": 8}, [NO_PARTS]),
        ({"videos": 8, "different": True}, []),
        ({"videos": 8, "n_factors": 4, "residual_index": 3}, []),
    ],
    ids=str,
)
def test_remarks(given, words):
    results = make_results({"1": 6, "5": 8}, **given)
    shown = results.remarks
    if shown and "outside" in shown[-1]:  # as it may be, see below
        shown = shown[:-1]
    assert len(shown) == len(words)
    for text, part in zip(shown, words, strict=True):
        assert part in text
    assert results.has_parts == (
        bool(given) and not {NO_PARTS, ONE} & set(words) and given["videos"] > 1
    )


def test_adjusted_scores_that_hang_on_a_single_video_are_explained():
    """Of three videos, two show their static pairs in one style: without the third one there is no
    chance level."""
    plan = [pair for pair in crossed(3, 3) if pair[0] != STATIC]
    plan += [(STATIC, 0, 0, 0), (STATIC, 1, 0, 0), (STATIC, 2, 1, 1)]
    estimate = features(np.random.default_rng(1), plan).estimate()
    results = replace(make_results({"5": 4}), estimates={"5": estimate})
    assert results.has_parts
    assert np.isnan(estimate.inference.parts.lo).all()
    few, text, *_ = results.remarks
    assert "intervals from 3 videos" in few
    assert text.startswith("no intervals of the parts: they are undefined without one of the")


def test_stages_that_are_constant_over_pairs_of_a_factor_are_not_taken_for_a_plan_without_chance():
    results = make_results({"1": 6, "5": 8}, videos=8, different=True)
    known = results.estimates["1"]
    nothing = Interval.unknown(np.array([np.nan, 0.5, np.nan]))
    constant = replace(known, inference=replace(known.inference, adjusted=nothing))
    for estimates in ({"1": constant}, {**results.estimates, "1": constant}):
        shown = replace(results, estimates=estimates).remarks
        assert not any("chance needs" in text for text in shown)


def test_parts_without_intervals_are_explained():
    results = make_results({"5": 8}, videos=8, different=True)
    known = results.estimates["5"]
    parts = Interval.unknown(known.inference.parts.value)
    estimates = {"5": replace(known, inference=replace(known.inference, parts=parts))}
    (text, *_) = replace(results, estimates=estimates).remarks
    assert text.startswith("no intervals of the parts: they are undefined without one of the")


@pytest.mark.parametrize(
    ("score", "outside"), [(0.6, False), (0.7, False), (0.7 + 1e-14, False), (0.71, True)]
)
def test_a_number_outside_its_interval_is_explained(score, outside):
    results = make_results({"5": 8}, videos=8, different=True)
    known = results.estimates["5"]
    ends = np.array([[0.5, 0.5, 1.0], [0.7, 0.7, 1.0]])
    inference = replace(
        known.inference,
        scores=Interval(np.array([0.6, score, 1.0]), ends.mean(0), ends[0], *ends),
        shares=Interval.unknown(known.shares),
        parts=Interval.unknown(known.inference.parts.value),
    )
    remarks = replace(results, estimates={"5": replace(known, inference=inference)}).remarks
    assert any("lie outside their intervals" in text for text in remarks) == outside


# ---- A new statistic is one line.


def twice(estimate):
    """Twice the scores, from one less to a half more."""
    value = 2 * estimate.scores
    return Interval(value, value - 0.25, np.full_like(value, 0.4), value - 1, value + 0.5)


SPREAD = Statistic(
    "spread",
    LAYER,
    by_factor,
    twice,
    has_interval=True,
    in_rows=True,
    head="{} spread",
    plot=Plot("lines", "twice the score", (0.0, 1.0)),
    residual=False,
)


@pytest.fixture
def add(monkeypatch):
    """Adds a line to the table."""

    def add_statistic(statistic):
        monkeypatch.setattr(module, "STATISTICS", (*STATISTICS, statistic))

    return add_statistic


def test_one_line_shows_a_statistic_everywhere(add, tmp_path):
    before = make_results({"1": 6, "5": 8}, videos=4)
    write_tables(tmp_path / "before", before)
    add(SPREAD)
    results = make_results({"1": 6, "5": 8}, videos=4)
    write_tables(tmp_path, results)
    scores = results.estimates["1"].scores

    rows = [row for row in read(tmp_path / "estimates.csv") if row["statistic"] == "spread"]
    assert [(row["stage"], row["factor"]) for row in rows[:3]] == [
        ("1", "dynamic"),
        ("1", "static"),
        ("1", "residual"),
    ]
    numbers = [float(rows[0][name]) for name in ("value", "lo", "hi", "corrected")]
    double = 2 * scores[0]
    assert numbers == [double, double - 1, double + 0.5, double - 0.25]

    columns = ["spread", "spread_lo", "spread_hi", "spread_corrected"]
    for old, new in zip(
        read(tmp_path / "before" / "layerwise.csv"), read(tmp_path / "layerwise.csv"), strict=True
    ):
        assert [name for name in new if name in columns] == columns
        assert list(new)[-3:] == columns[1:]
        assert [(name, cell) for name, cell in new.items() if name not in columns] == [*old.items()]
    for same in ("units.csv", "joint_encoding.csv"):
        assert (tmp_path / same).read_bytes() == (tmp_path / "before" / same).read_bytes()

    head, first, _ = layerwise_table(results).splitlines()
    assert head.split()[-6:] == ["residual", "%", "dynamic", "spread", "static", "spread"]
    # Half of the width is 0.75, which leaves one digit.
    assert first.endswith(
        f"{2 * scores[1]:.1f} [{2 * scores[1] - 1:.1f}, {2 * scores[1] + 0.5:.1f}]"
    )

    ((*_, panel),) = layerwise_grid([results])
    assert (panel.kind, panel.ylabel) == ("lines", "twice the score")
    assert [series.label for series in panel.series] == ["dynamic", "static"]
    doubles = [2 * e.scores[0] for e in results.estimates.values()]
    assert panel.series[0].values.tolist() == doubles
    assert panel.series[0].hi.tolist() == [value + 0.5 for value in doubles]
    low, high = panel.limits
    assert low < min(doubles) - 1
    assert high > max(doubles) + 0.5


def test_a_statistic_of_units_stands_behind_their_classes(add, tmp_path):
    add(Statistic("double", UNIT, by_scored_factor, lambda e: 2 * e.unit_scores[:2]))
    results = make_results({"5": 8})
    write_tables(tmp_path, results)
    row = read(tmp_path / "units.csv")[3]
    names = list(row)
    assert names.index("class_at_0.5") < names.index("double_dynamic")
    assert names.index("double_dynamic") + 1 == names.index("double_static")
    assert float(row["double_static"]) == 2 * results.estimates["5"].unit_scores[1, 3]


def test_a_statistic_of_scored_factors_is_empty_in_the_row_of_the_residual(add, tmp_path):
    scored = lambda e: np.delete(e.scores, 2) - 1  # noqa: E731
    add(Statistic("less", LAYER, by_scored_factor, scored, in_rows=True))
    results = make_results({"1": 6, "5": 8}, n_factors=4, residual_index=2)
    write_tables(tmp_path, results)
    rows = read(tmp_path / "layerwise.csv")
    assert [row["factor"] for row in rows[:4]] == ["dynamic", "static", "residual", "same"]
    for row, score in zip(
        rows, [s for e in results.estimates.values() for s in e.scores], strict=True
    ):
        expected = "" if row["factor"] == "residual" else str(score - 1)
        assert row["less"] == expected


def test_parts_that_are_no_factors_have_a_column_each(add, tmp_path):
    add(Statistic("more", LAYER, lambda _: ("both", "neither"), lambda e: e.scores[:2]))
    results = make_results({"5": 8})
    write_tables(tmp_path, results)
    scores = results.estimates["5"].scores
    for row in read(tmp_path / "layerwise.csv"):
        assert [float(row[name]) for name in ("more_both", "more_neither")] == scores[:2].tolist()


def test_a_statistic_of_the_whole_stage_has_its_own_name(add):
    add(Statistic("length", LAYER, whole, lambda _: [0.25], head="length", plot=Plot("lines")))
    results = make_results({"1": 8, "5": 8})
    assert [text.split()[-1] for text in layerwise_table(results).splitlines()] == [
        "length",
        "0.250",
        "0.250",
    ]
    ((*_, panel),) = layerwise_grid([results])
    assert [series.label for series in panel.series] == ["length"]


def test_a_statistic_stands_in_the_table_of_the_screen_that_it_names(add):
    quarters = Statistic(
        "quarter", LAYER, by_part, lambda _: np.full(4, 0.25), head="{} q", table="parts"
    )
    before = layerwise_table(make_results({"5": 8}))
    add(quarters)
    results = make_results({"5": 8})
    assert layerwise_table(results) == before
    head, line = parts_table(results).splitlines()
    assert head.endswith("static only q  dynamic only q  both q  neither q")
    assert line.split()[-4:] == ["0.250"] * 4
