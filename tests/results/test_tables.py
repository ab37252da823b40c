"""Tables of results: their columns, that counts add up, and the text of the screen."""

import csv
import math
import re

import numpy as np
import pytest

from estimation.estimator import CLASSES
from results.tables import (
    joint_table,
    layerwise_table,
    parts_table,
    with_interval,
    write_tables,
)
from tests import helpers_estimation

KEY = ["model", "path", "dataset", "weights", "stage"]
UNITS = {"2": 12, "5": 30}
# With intervals and parts, and without.
KNOWN = {"videos": 4, "different": True}
both = pytest.mark.parametrize("known", [{}, KNOWN], ids=["unknown videos", "known videos"])


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


# ---- Files. What older versions wrote comes first, as they wrote it.


@both
def test_layerwise_has_a_row_per_stage_and_factor(known, rows_of):
    results = make_results(**known)
    rows = rows_of("layerwise.csv", results)
    columns = ["factor", "n_pairs", "score", "share_percent", "dims", "dims_percent", "n_units"]
    assert list(rows[0])[:12] == [*KEY, *columns]
    assert [(row["stage"], row["factor"]) for row in rows] == [
        (stage, factor) for stage in ("2", "5") for factor in ("dynamic", "static", "residual")
    ]
    for stage, n_units in UNITS.items():
        own = [row for row in rows if row["stage"] == stage]
        assert sum(int(row["dims"]) for row in own) == n_units
        assert sum(numbers(own, "share_percent")) == pytest.approx(100)
        n_pairs = ["12", "12", "0"] if known else ["20", "20", "0"]
        assert [row["n_pairs"] for row in own] == n_pairs
        assert numbers(own, "score") == results.estimates[stage].scores.tolist()  # every digit
        assert own[2]["score"] == "1.0"
        assert numbers(own, "dims_percent") == [
            round(100 * int(row["dims"]) / n_units, 1) for row in own
        ]


def ends(*names):
    return [f"{name}_{end}" for end in ("lo", "hi", "corrected") for name in names]


PARTS = ["part_static_only", "part_dynamic_only", "part_both", "part_neither"]


def test_what_is_newer_stands_behind_in_layerwise(rows_of):
    rows = rows_of("layerwise.csv", make_results(**KNOWN))
    new = ["n_videos", "confidence", "chance", "adjusted", "adjusted_style_min"]
    new += ["adjusted_style_max", *PARTS]
    new += [part.replace("part", f"part_style_{end}") for end in ("min", "max") for part in PARTS]
    new += [*ends("score"), *ends("share_percent"), *ends("chance"), *ends("adjusted")]
    assert list(rows[0])[12:] == [*new, *ends(*PARTS)]
    for dynamic, static, residual in (rows[:3], rows[3:]):
        for row in (dynamic, static):
            assert [name for name, cell in row.items() if not cell] == ["path"]
            assert float(row["score_lo"]) < float(row["score_corrected"]) < float(row["score_hi"])
        # The residual has no pairs; parts are those of the whole stage.
        undefined = {name for name, cell in residual.items() if not cell} - {"path"}
        assert undefined == {name for name in residual if name.startswith(("chance", "adjusted"))}
        for part in PARTS:
            assert dynamic[part] == static[part] == residual[part]
        assert sum(float(dynamic[part]) for part in PARTS) == pytest.approx(1)
        assert {row["n_videos"] for row in (dynamic, static, residual)} == {"4"}
        assert dynamic["confidence"] == "0.95"


@pytest.mark.parametrize("name", ["layerwise.csv", "units.csv", "joint_encoding.csv"])
def test_columns_do_not_depend_on_what_is_known(name, rows_of):
    columns = [list(rows_of(name, make_results(**given))[0]) for given in ({}, {"videos": 4})]
    assert columns[0] == columns[1]


@both
def test_units_have_a_row_each(known, rows_of):
    rows = rows_of("units.csv", make_results(thresholds=(0.3, 0.7), **known))
    columns = ["unit", "score_dynamic", "score_static", "class_at_0.3", "class_at_0.7"]
    assert list(rows[0])[:10] == [*KEY, *columns]
    assert [row["unit"] for row in rows] == [str(k) for n in UNITS.values() for k in range(n)]
    for row in rows:
        scores = [float(row[name] or "nan") for name in ("score_dynamic", "score_static")]
        for threshold in (0.3, 0.7):
            dynamic, static = (score > threshold for score in scores)
            names = {(1, 0): "dynamic", (0, 1): "static", (1, 1): "joint", (0, 0): "residual"}
            expected = "dead" if np.isnan(scores).any() else names[dynamic, static]
            assert row[f"class_at_{threshold}"] == expected
    assert sum(row["score_dynamic"] == "" for row in rows) == len(UNITS)


def test_what_is_newer_stands_behind_in_units(rows_of):
    rows = rows_of("units.csv", make_results(thresholds=(0.3, 0.7), **KNOWN))
    adjusted = ["adjusted_dynamic", "adjusted_static", "adjusted_different"]
    tests = [
        f"{name}_{factor}" for name in ("p", "q_bh", "q_by") for factor in ("dynamic", "static")
    ]
    new = [*adjusted, *PARTS, *tests, *ends("score_dynamic", "score_static"), *ends(*adjusted)]
    certain = ["certain_at_0.3", "certain_at_0.7"]
    assert list(rows[0])[10:] == [*new, *ends(*PARTS), *certain]
    for row in rows:
        is_dead = row["class_at_0.3"] == "dead"
        assert [row[name] == "" for name in new] == [is_dead] * len(new)
        sides = [
            [float(row[f"score_{factor}{end}"] or "nan") > 0.3 for end in ("", "_lo", "_hi")]
            for factor in ("dynamic", "static")
        ]
        certain = is_dead or all(len(set(side)) == 1 for side in sides)
        assert row["certain_at_0.3"] == str(certain)
    assert {row["certain_at_0.3"] for row in rows} == {"True", "False"}


def test_units_of_four_factors_have_a_column_each(rows_of):
    row = rows_of("units.csv", make_results(n_factors=4, residual_index=-1))[0]
    names = ("dynamic", "static", "different", "same")
    assert list(row)[6:11] == [*(f"score_{name}" for name in names), "class_at_0.5"]


@both
def test_joint_encoding_has_a_row_per_threshold_stage_and_class(known, rows_of):
    rows = rows_of("joint_encoding.csv", make_results(thresholds=(0.3, 0.5), **known))
    new = ["certain", "certain_percent", "undecided", "undecided_percent"]
    assert list(rows[0]) == [*KEY, "threshold", "class", "units", "percent", *new]
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
            if not known:
                assert {row[name] for row in own for name in new} == {""}
                continue
            (undecided,) = {int(row["undecided"]) for row in own}
            assert sum(int(row["certain"]) for row in own) == n_units - undecided
            assert {row["undecided_percent"] for row in own} == {
                str(round(100 * undecided / n_units, 2))
            }
            assert numbers(own, "certain_percent") == [
                round(100 * int(row["certain"]) / n_units, 2) for row in own
            ]


@both
def test_estimates_hold_every_number(known, rows_of):
    results = make_results(thresholds=(0.3, 0.5), **known)
    rows = rows_of("estimates.csv", results)
    columns = ["level", "unit", "statistic", "factor", "value", "lo", "hi", "corrected"]
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
    if known:
        scores = results.estimates["5"].inference.scores
        for end in ("lo", "hi", "corrected"):
            assert numbers(layer, end) == getattr(scores, end).tolist()
            assert numbers(units[:-1], end) == (
                getattr(results.estimates["5"].inference.unit_scores, end)[1, :-1].tolist()
            )
    else:
        assert {(row["lo"], row["hi"], row["corrected"]) for row in rows} == {("", "", "")}


def test_names_with_commas_and_quotes_survive(rows_of):
    row = rows_of("layerwise.csv", make_results({'layer3,"app"': 5}, dataset="my,set"))[0]
    assert (row["stage"], row["dataset"]) == ('layer3,"app"', "my,set")


# ---- The screen.


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


def cells(text):
    """The cells of a table, line by line."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_scores_and_parts_stand_with_their_intervals():
    results = make_results(**KNOWN)
    plain = cells(layerwise_table(make_results()))
    head, *lines = cells(layerwise_table(results))
    assert head == plain[0]
    part_head, *part_lines = cells(parts_table(results))
    assert part_head == ["stage", "static only", "dynamic only", "both", "neither"]
    for line, parts, (stage, e) in zip(lines, part_lines, results.estimates.items(), strict=True):
        scores, own = e.inference.scores, e.inference.parts
        assert line[2:4] == [
            with_interval(scores.value[k], scores.lo[k], scores.hi[k]) for k in (0, 1)
        ]
        shares = e.inference.shares
        halves = 50 * (shares.hi - shares.lo)  # percent, as the screen has them
        assert line[4:] == [
            f"{100 * share:{'.0f' if half >= 3.5 else '.1f'}}"
            for share, half in zip(e.shares, halves, strict=True)
        ]
        ends = zip(own.value, own.lo, own.hi, strict=True)
        assert parts == [stage, *(with_interval(*three) for three in ends)]


def test_parts_that_are_undefined_are_dashes():
    head, line = cells(parts_table(make_results({"5": 8}, videos=4)))
    assert line == ["5", "-", "-", "-", "-"]
    assert len(head) == 5


@pytest.mark.parametrize(
    ("given", "text"),
    [
        # Half of the width is 0.2: with two digits it is 20 of the last one.
        ((0.43217, 0.3, 0.7), "0.43 [0.30, 0.70]"),
        ((0.43217, 0.39, 0.459), "0.432 [0.390, 0.459]"),  # 0.0345
        ((0.43217, 0.39, 0.461), "0.43 [0.39, 0.46]"),  # 0.0355
        ((0.43217, 0.1, 0.79), "0.43 [0.10, 0.79]"),  # 0.345
        ((0.43217, 0.1, 0.81), "0.4 [0.1, 0.8]"),  # 0.355
        ((0.43217, 0.432, 0.4324), "0.432 [0.432, 0.432]"),
        ((0.43217, 0.43217, 0.43217), "0.432 [0.432, 0.432]"),
        ((1.0, 1.0, 1.0), "1.000 [1.000, 1.000]"),
        ((0.5, 0.5, 0.5 + 5e-324), "0.500 [0.500, 0.500]"),
        ((0.0, 0.0, 5e-324), "0.000 [0.000, 0.000]"),
        ((0.43217, -12.34, 6543.2), "0.4 [-12.3, 6543.2]"),
        # A value outside its interval, and zeros that come from below.
        ((0.1, 0.2, 0.6), "0.10 [0.20, 0.60]"),
        ((-0.0012, -0.08, -0.0), "0.00 [-0.08, 0.00]"),
        ((-0.0004, math.nan, math.nan), "0.000"),
        ((0.43217, math.nan, math.nan), "0.432"),
        ((0.43217, -math.inf, math.inf), "0.432"),
        ((-2.5, math.nan, 0.1), "-2.500"),
    ],
)
def test_an_interval_leaves_its_digits(given, text):
    assert with_interval(*given) == text


def test_joint_table_is_in_percent_of_the_units():
    results = make_results({"5": 8}, dead=(0, 1, 2))
    head, line = joint_table(results, 0.5).splitlines()
    assert head.split() == [
        "stage",
        *(part for name in (*CLASSES, "undecided") for part in (name, "%")),
    ]
    *percents, undecided = line.split()[1:]
    assert sum(map(float, percents)) == pytest.approx(100, abs=0.3)
    assert percents[-1] == "37.5"
    assert undecided == "-"


def test_joint_table_says_how_many_units_are_undecided(rows_of):
    results = make_results(**KNOWN)
    rows = rows_of("joint_encoding.csv", results)
    for line in joint_table(results, 0.5).splitlines()[1:]:
        stage, *_, undecided = line.split()
        (percent,) = {float(row["undecided_percent"]) for row in rows if row["stage"] == stage}
        assert undecided == f"{percent:.1f}"
