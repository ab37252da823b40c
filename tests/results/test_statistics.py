"""The table of estimates, and that a statistic is one line of it."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from estimation.estimator import CLASSES
from results import statistics as module
from results.blocks import classes, find
from results.figures import layerwise_grid
from results.statistics import (
    CLASS,
    LAYER,
    STATISTICS,
    UNIT,
    Plot,
    Statistic,
    by_factor,
    by_scored_factor,
    whole,
)
from results.tables import layerwise_table, write_tables
from tests.helpers_estimation import make_results


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- The table.


def test_every_number_of_an_estimate_is_in_the_table():
    results = make_results({"1": 6, "5": 8}, n_factors=4, residual_index=3)
    for stage, blocks in results.by_stage(LAYER).items():
        estimate = results.estimates[stage]
        assert find(blocks, "score").parts == ("dynamic", "static", "different", "residual")
        np.testing.assert_array_equal(find(blocks, "score").value, estimate.scores)
        np.testing.assert_array_equal(find(blocks, "share_percent").value, 100 * estimate.shares)
        assert find(blocks, "n_units").value.tolist() == [estimate.n_units]
        (scores,) = results.by_stage(UNIT)[stage]
        assert scores.parts == ("dynamic", "static", "different")
        np.testing.assert_array_equal(scores.value, estimate.unit_scores[:3])
        assert np.isnan(scores.lo).all()


def test_classes_are_those_of_the_unit_scores_in_the_table():
    (scores,) = make_results({"5": 5}).by_stage(UNIT)["5"]
    nan = np.nan
    values = np.array([[0.9, 0.1, 0.8, 0.5, nan], [0.2, 0.7, 0.6, 0.5, 0.9]])
    found = classes(replace(scores, value=values), 0.5)
    assert {name: units.tolist() for name, units in found.items()} == {
        name: [k] for k, name in enumerate(CLASSES)
    }


def test_classes_are_counted_at_every_threshold():
    results = make_results({"5": 16}, thresholds=(0.5, -0.2), dead=(0, 3))
    for threshold in results.thresholds:
        counts = find(results.by_stage(CLASS, threshold)["5"], "units")
        found = classes(results.by_stage(UNIT)["5"][0], threshold)
        assert counts.value.tolist() == [len(found[name]) for name in CLASSES]
        assert counts.part("dead") == 2
        percents = find(results.by_stage(CLASS, threshold)["5"], "percent").value
        assert percents == pytest.approx(100 * counts.value / 16)
    assert not any(results.by_stage(CLASS, 0.7).values())


def test_many_units_stay_in_arrays():
    results = make_results({str(k): 2048 for k in range(16)}, thresholds=(0.3, 0.5, 0.7))
    assert len(results.table) < 16 * 20


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


# ---- A new statistic is one line.

SPREAD = Statistic(
    "spread",
    LAYER,
    by_factor,
    lambda e: 2 * e.scores,
    bounds=lambda e: (2 * e.scores - 1, 2 * e.scores + 0.5),
    in_rows=True,
    head="{} spread",
    form=".2f",
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
    before = make_results({"1": 6, "5": 8})
    write_tables(tmp_path / "before", before)
    add(SPREAD)
    results = make_results({"1": 6, "5": 8})
    write_tables(tmp_path, results)
    scores = results.estimates["1"].scores

    rows = [row for row in read(tmp_path / "estimates.csv") if row["statistic"] == "spread"]
    assert [(row["stage"], row["factor"]) for row in rows[:3]] == [
        ("1", "dynamic"),
        ("1", "static"),
        ("1", "residual"),
    ]
    numbers = [float(rows[0][name]) for name in ("value", "lo", "hi")]
    assert numbers == [2 * scores[0], 2 * scores[0] - 1, 2 * scores[0] + 0.5]

    for old, new in zip(
        read(tmp_path / "before" / "layerwise.csv"), read(tmp_path / "layerwise.csv"), strict=True
    ):
        assert list(new) == [*old, "spread", "spread_lo", "spread_hi"]
        assert old.items() <= new.items()
    for same in ("units.csv", "joint_encoding.csv"):
        assert (tmp_path / same).read_bytes() == (tmp_path / "before" / same).read_bytes()

    head, first, _ = layerwise_table(results).splitlines()
    assert head.split()[-6:] == ["residual", "%", "dynamic", "spread", "static", "spread"]
    value = f"{2 * scores[1]:.2f} [{2 * scores[1] - 1:.2f}, {2 * scores[1] + 0.5:.2f}]"
    assert first.endswith(value)

    ((*_, panel),) = layerwise_grid([results])
    assert (panel.kind, panel.ylabel) == ("lines", "twice the score")
    assert [series.label for series in panel.series] == ["dynamic", "static"]
    twice = [2 * e.scores[0] for e in results.estimates.values()]
    assert panel.series[0].values.tolist() == twice
    assert panel.series[0].hi.tolist() == [value + 0.5 for value in twice]
    low, high = panel.limits
    assert low < min(twice) - 1
    assert high > max(twice) + 0.5


def test_intervals_of_a_statistic_are_columns_at_the_end(monkeypatch, tmp_path):
    def with_bounds(statistic):
        bounds = lambda e: (statistic.values(e) - 1, statistic.values(e) + 1)  # noqa: E731
        return replace(statistic, bounds=bounds) if statistic.name == "score" else statistic

    monkeypatch.setattr(module, "STATISTICS", tuple(map(with_bounds, STATISTICS)))
    results = make_results({"5": 8}, thresholds=(0.5, 0.3))
    write_tables(tmp_path, results)
    assert list(read(tmp_path / "layerwise.csv")[0])[-3:] == ["n_units", "score_lo", "score_hi"]
    row = read(tmp_path / "units.csv")[3]
    assert list(row)[-6:] == [
        "class_at_0.5",
        "class_at_0.3",
        "score_dynamic_lo",
        "score_static_lo",
        "score_dynamic_hi",
        "score_static_hi",
    ]
    assert float(row["score_static_hi"]) == results.estimates["5"].unit_scores[1, 3] + 1


def test_a_statistic_of_units_stands_behind_their_classes(add, tmp_path):
    add(Statistic("double", UNIT, by_scored_factor, lambda e: 2 * e.unit_scores[:2]))
    results = make_results({"5": 8})
    write_tables(tmp_path, results)
    row = read(tmp_path / "units.csv")[3]
    assert list(row)[-3:] == ["class_at_0.5", "double_dynamic", "double_static"]
    assert float(row["double_static"]) == 2 * results.estimates["5"].unit_scores[1, 3]


def test_a_statistic_of_scored_factors_is_empty_in_the_row_of_the_residual(add, tmp_path):
    scored = lambda e: np.delete(e.scores, 2) - 1  # noqa: E731
    ends = lambda e: (scored(e) - 1, scored(e) + 1)  # noqa: E731
    add(Statistic("adjusted", LAYER, by_scored_factor, scored, ends, in_rows=True))
    results = make_results({"1": 6, "5": 8}, n_factors=4, residual_index=2)
    write_tables(tmp_path, results)
    rows = read(tmp_path / "layerwise.csv")
    assert list(rows[0])[-3:] == ["adjusted", "adjusted_lo", "adjusted_hi"]
    assert [row["factor"] for row in rows[:4]] == ["dynamic", "static", "residual", "same"]
    for row, score in zip(
        rows, [s for e in results.estimates.values() for s in e.scores], strict=True
    ):
        expected = [] if row["factor"] == "residual" else [score - 1, score - 2, score]
        found = [row[f"adjusted{end}"] for end in ("", "_lo", "_hi")]
        assert [float(cell) for cell in found if cell] == pytest.approx(expected)


def test_parts_that_are_no_factors_have_a_column_each(add, tmp_path):
    add(Statistic("part", LAYER, lambda _: ("both", "neither"), lambda e: e.scores[:2]))
    results = make_results({"5": 8})
    write_tables(tmp_path, results)
    scores = results.estimates["5"].scores
    for row in read(tmp_path / "layerwise.csv"):
        assert [float(row[name]) for name in ("part_both", "part_neither")] == scores[:2].tolist()


def test_a_statistic_of_the_whole_stage_has_its_own_name(add):
    line = Statistic("chance", LAYER, whole, lambda _: [0.25], head="chance", plot=Plot("lines"))
    add(line)
    results = make_results({"1": 8, "5": 8})
    assert [text.split()[-1] for text in layerwise_table(results).splitlines()] == [
        "chance",
        "0.250",
        "0.250",
    ]
    ((*_, panel),) = layerwise_grid([results])
    assert [series.label for series in panel.series] == ["chance"]
