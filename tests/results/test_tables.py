"""Tables of results: their columns, that counts add up, and the text of the screen."""

import csv
import re

import numpy as np
import pytest

from estimation.estimator import CLASSES
from results.tables import joint_table, layerwise_table, write_tables
from tests import helpers_estimation

KEY = ["model", "path", "dataset", "weights", "stage"]
UNITS = {"2": 12, "5": 30}


def make_results(units=UNITS, **options):
    """Results with a dead unit at every stage."""
    options = {"dead": (-1,), "n_pairs": 40, "weights": "0123456789ab", **options}
    return helpers_estimation.make_results(units, **options)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def rows_of(tmp_path):
    """The rows of a file of results, as text."""

    def rows(name, results):
        write_tables(tmp_path, results)
        return read(tmp_path / name)

    return rows


def numbers(rows, column):
    return [float(row[column]) for row in rows]


def test_layerwise_has_a_row_per_stage_and_factor(rows_of):
    results = make_results()
    rows = rows_of("layerwise.csv", results)
    columns = ["factor", "n_pairs", "score", "share_percent", "dims", "dims_percent", "n_units"]
    assert list(rows[0]) == [*KEY, *columns]
    assert [(row["stage"], row["factor"]) for row in rows] == [
        (stage, factor) for stage in ("2", "5") for factor in ("dynamic", "static", "residual")
    ]
    for stage, n_units in UNITS.items():
        own = [row for row in rows if row["stage"] == stage]
        assert sum(int(row["dims"]) for row in own) == n_units
        assert sum(numbers(own, "share_percent")) == pytest.approx(100)
        assert [row["n_pairs"] for row in own] == ["20", "20", "0"]
        assert numbers(own, "score") == results.estimates[stage].scores.tolist()  # every digit
        assert own[2]["score"] == "1.0"
        assert numbers(own, "dims_percent") == [
            round(100 * int(row["dims"]) / n_units, 1) for row in own
        ]


def test_units_have_a_row_each(rows_of):
    rows = rows_of("units.csv", make_results(thresholds=(0.3, 0.7)))
    columns = ["unit", "score_dynamic", "score_static", "class_at_0.3", "class_at_0.7"]
    assert list(rows[0]) == [*KEY, *columns]
    assert [row["unit"] for row in rows] == [str(k) for n in UNITS.values() for k in range(n)]
    for row in rows:
        scores = [float(row[name] or "nan") for name in ("score_dynamic", "score_static")]
        for threshold in (0.3, 0.7):
            dynamic, static = (score > threshold for score in scores)
            names = {(1, 0): "dynamic", (0, 1): "static", (1, 1): "joint", (0, 0): "residual"}
            expected = "dead" if np.isnan(scores).any() else names[dynamic, static]
            assert row[f"class_at_{threshold}"] == expected
    assert sum(row["score_dynamic"] == "" for row in rows) == len(UNITS)


def test_units_of_four_factors_have_a_column_each(rows_of):
    row = rows_of("units.csv", make_results(n_factors=4, residual_index=-1))[0]
    names = ("dynamic", "static", "different", "same")
    assert [key for key in row if key.startswith("score_")] == [f"score_{name}" for name in names]


def test_joint_encoding_has_a_row_per_threshold_stage_and_class(rows_of):
    rows = rows_of("joint_encoding.csv", make_results(thresholds=(0.3, 0.5)))
    assert list(rows[0]) == [*KEY, "threshold", "class", "units", "percent"]
    assert len(rows) == 2 * len(UNITS) * len(CLASSES)
    for threshold in ("0.3", "0.5"):
        for stage, n_units in UNITS.items():
            own = [r for r in rows if (r["threshold"], r["stage"]) == (threshold, stage)]
            assert [row["class"] for row in own] == list(CLASSES)
            assert sum(int(row["units"]) for row in own) == n_units
            assert numbers(own, "percent") == [
                round(100 * int(row["units"]) / n_units, 2) for row in own
            ]
            assert own[-1]["units"] == "1"


def test_estimates_hold_every_number(rows_of):
    results = make_results(thresholds=(0.3, 0.5))
    rows = rows_of("estimates.csv", results)
    columns = ["level", "unit", "statistic", "factor", "value", "lo", "hi"]
    assert list(rows[0]) == [*KEY, *columns]

    def found(**wanted):
        return [row for row in rows if wanted.items() <= row.items()]

    layer = found(stage="5", level="layer", statistic="score")
    assert [row["factor"] for row in layer] == ["dynamic", "static", "residual"]
    assert numbers(layer, "value") == results.estimates["5"].scores.tolist()
    assert {row["unit"] for row in found(level="layer")} == {""}

    units = found(stage="5", level="unit", statistic="score", factor="static")
    assert [row["unit"] for row in units] == [str(k) for k in range(30)]
    scores = results.estimates["5"].unit_scores[1]
    assert numbers(units[:-1], "value") == scores[:-1].tolist()
    assert units[-1]["value"] == ""  # a dead unit
    assert not found(level="unit", factor="residual")

    (dead,) = found(stage="2", level="class_at_0.5", statistic="units", factor="dead")
    assert dead["value"] == "1"
    assert {(row["lo"], row["hi"]) for row in rows} == {("", "")}


def test_names_with_commas_and_quotes_survive(rows_of):
    row = rows_of("layerwise.csv", make_results({'layer3,"app"': 5}, dataset="my,set"))[0]
    assert (row["stage"], row["dataset"]) == ('layer3,"app"', "my,set")


def test_layerwise_table_has_a_line_per_stage_with_the_numbers():
    results = make_results()
    head, *lines = layerwise_table(results).splitlines()
    names = ["stage", "units", "dynamic score", "static score", "dynamic %", "static %"]
    assert re.split(r"\s{2,}", head.strip()) == [*names, "residual %"]
    for line, (stage, e) in zip(lines, results.estimates.items(), strict=True):
        scores = [f"{score:.3f}" for score in e.scores[:2]]
        shares = [f"{100 * share:.1f}" for share in e.shares]
        assert line.split() == [stage, str(e.n_units), *scores, *shares]
    assert len({len(line) for line in (head, *lines)}) == 1


def test_joint_table_is_in_percent_of_the_units():
    results = make_results({"5": 8}, dead=(0, 1, 2))
    head, line = joint_table(results, 0.5).splitlines()
    assert head.split() == ["stage", *(part for name in CLASSES for part in (name, "%"))]
    assert sum(map(float, line.split()[1:])) == pytest.approx(100, abs=0.3)
    assert line.split()[-1] == "37.5"
