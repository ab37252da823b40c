"""Tables of results: their columns, that counts add up, and the study's own file."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest

from estimation.estimator import CLASSES
from results.tables import (
    Results,
    class_counts,
    joint_rows,
    joint_table,
    layerwise_rows,
    layerwise_table,
    unit_classes,
    unit_rows,
    write_tables,
)
from tests.helpers_estimation import estimate_pairs, random_pairs

KEY = ["model", "path", "dataset", "weights", "stage"]
UNITS = {"2": 12, "5": 30}


def make_results(thresholds=(0.5,), n_factors=3, residual_index=2, units=UNITS, **fields):
    """Results on random pairs; the last unit of every stage is dead."""
    estimates = {}
    for stage, n_units in units.items():
        rng = np.random.default_rng(n_units)
        a, b, factor = random_pairs(rng, 40, n_units, n_factors, residual_index)
        a[:, -1] = b[:, -1] = 0
        options = {"n_factors": n_factors, "residual_index": residual_index}
        estimates[stage] = estimate_pairs(a, b, factor, **options)
    texts = {"model": "i3d", "path": "", "dataset": "ssv2", "weights": "0123456789ab", **fields}
    return Results(**texts, estimates=estimates, thresholds=thresholds)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_layerwise_rows():
    results = make_results()
    rows = layerwise_rows(results)
    columns = ["factor", "n_pairs", "score", "share_percent", "dims", "dims_percent", "n_units"]
    assert list(rows[0]) == [*KEY, *columns]
    assert [(row["stage"], row["factor"]) for row in rows] == [
        (stage, factor) for stage in ("2", "5") for factor in ("dynamic", "static", "residual")
    ]
    for stage, n_units in UNITS.items():
        own = [row for row in rows if row["stage"] == stage]
        assert sum(row["dims"] for row in own) == n_units
        assert sum(row["share_percent"] for row in own) == pytest.approx(100)
        assert [row["n_pairs"] for row in own] == [20, 20, 0]
        assert own[2]["score"] == 1.0
        assert own[0]["score"] == results.estimates[stage].scores[0]
        assert [row["dims_percent"] for row in own] == [
            round(100 * row["dims"] / n_units, 1) for row in own
        ]


def test_unit_rows():
    results = make_results(thresholds=(0.3, 0.7))
    rows = unit_rows(results)
    columns = ["unit", "score_dynamic", "score_static", "class_at_0.3", "class_at_0.7"]
    assert list(rows[0]) == [*KEY, *columns]
    assert len(rows) == sum(UNITS.values())
    for row in rows:
        scores = [row["score_dynamic"], row["score_static"]]
        for threshold in (0.3, 0.7):
            dynamic, static = (score > threshold for score in scores)
            names = {(1, 0): "dynamic", (0, 1): "static", (1, 1): "joint", (0, 0): "residual"}
            expected = "dead" if np.isnan(scores).any() else names[dynamic, static]
            assert row[f"class_at_{threshold}"] == expected


def test_unit_rows_of_four_factors_have_a_column_each():
    rows = unit_rows(make_results(n_factors=4, residual_index=-1))
    assert [key for key in rows[0] if key.startswith("score_")] == [
        "score_dynamic",
        "score_static",
        "score_different",
        "score_same",
    ]


def test_joint_rows():
    rows = joint_rows(make_results(thresholds=(0.3, 0.5)))
    assert list(rows[0]) == [*KEY, "threshold", "class", "units", "percent"]
    assert len(rows) == 2 * len(UNITS) * len(CLASSES)
    for threshold in (0.3, 0.5):
        for stage, n_units in UNITS.items():
            own = [r for r in rows if (r["threshold"], r["stage"]) == (threshold, stage)]
            assert [row["class"] for row in own] == list(CLASSES)
            assert sum(row["units"] for row in own) == n_units
            assert sum(row["percent"] for row in own) == pytest.approx(100, abs=0.05)
            assert [row["units"] for row in own if row["class"] == "dead"] == [1]


def test_unit_classes_by_hand():
    scores = np.array([[0.9, 0.1, 0.8, 0.5, np.nan], [0.2, 0.7, 0.6, 0.5, 0.9]])
    assert unit_classes(scores, 0.5) == ["dynamic", "static", "joint", "residual", "dead"]


def test_class_counts_agree_with_the_classes_of_units():
    results = make_results()
    for stage, counts in class_counts(results, 0.5).items():
        classes = unit_classes(results.estimates[stage].unit_scores, 0.5)
        assert counts == {name: classes.count(name) for name in CLASSES}


def test_tables_on_disk_hold_the_rows(tmp_path):
    results = make_results(thresholds=(0.3, 0.5))
    write_tables(tmp_path, results)
    for file, rows in (
        ("layerwise.csv", layerwise_rows(results)),
        ("units.csv", unit_rows(results)),
        ("joint_encoding.csv", joint_rows(results)),
    ):
        found = read(tmp_path / file)
        assert list(found[0]) == list(rows[0])
        expected = [{k: "" if v != v else str(v) for k, v in row.items()} for row in rows]
        assert found == expected
    numbers = [float(row["score"]) for row in read(tmp_path / "layerwise.csv")]
    assert numbers == [row["score"] for row in layerwise_rows(results)]  # no digit is lost


def test_file_of_the_study_has_two_rows_of_the_last_stage(tmp_path):
    estimate = replace(
        make_results().estimates["5"], dims=(10, 7, 13), dims_percent=(33.3, 23.3, 43.3)
    )
    write_tables(tmp_path, replace(make_results(), estimates={"2": estimate, "5": estimate}))
    text = (tmp_path / "i3d_dim_est.csv").read_text()
    assert text.splitlines() == ["10,7,13", "33.3,23.3,43.3"]


def test_names_with_commas_and_quotes_survive(tmp_path):
    results = make_results(units={'layer3,"app"': 5}, dataset="my,set")
    write_tables(tmp_path, results)
    row = read(tmp_path / "layerwise.csv")[0]
    assert (row["stage"], row["dataset"]) == ('layer3,"app"', "my,set")


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({}, "i3d on ssv2"),
        ({"weights": "random"}, "i3d (random weights) on ssv2"),
        ({"path": "fast, not fused"}, "i3d (fast, not fused) on ssv2"),
    ],
    ids=["trained", "random", "path"],
)
def test_title(fields, title):
    assert make_results(**fields).title == title


def test_layerwise_table_has_a_line_per_stage_with_the_numbers():
    results = make_results()
    head, *lines = layerwise_table(results).splitlines()
    names = ["stage", "units", "dynamic score", "static score", "dynamic %", "static %"]
    assert re.split(r"\s{2,}", head.strip()) == [*names, "residual %"]
    for line, (stage, e) in zip(lines, results.estimates.items(), strict=True):
        numbers = [
            f"{e.scores[0]:.3f}",
            f"{e.scores[1]:.3f}",
            *(f"{100 * s:.1f}" for s in e.shares),
        ]
        assert line.split() == [stage, str(e.n_units), *numbers]
    assert len({len(line) for line in (head, *lines)}) == 1


def test_joint_table_is_in_percent_of_the_units():
    head, *lines = joint_table(make_results(), 0.5).splitlines()
    assert head.split() == ["stage", *(part for name in CLASSES for part in (name, "%"))]
    for line in lines:
        assert sum(map(float, line.split()[1:])) == pytest.approx(100, abs=0.3)
