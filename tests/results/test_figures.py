"""The figures of a run are written, whatever the results, and show every value."""

from dataclasses import replace

import numpy as np
import pytest

from estimation.estimator import CLASSES
from estimation.inference import PARTS
from estimation.intervals import Interval
from results.blocks import Results, find
from results.colours import COLOURS
from results.figures import (
    common_prefix,
    joint_encoding_grid,
    layerwise_grid,
    parts_grid,
    plot_joint_encoding,
    plot_layerwise,
    plot_parts,
)
from results.plotting import plot_figure
from results.statistics import CLASS
from tests.helpers_estimation import estimate_pairs, make_results


def all_undefined():
    """A stage in which no unit has a score, next to one in which all have."""
    results = make_results({"1": 6, "5": 8})
    last = results.estimates["5"]
    undefined = replace(last, unit_scores=np.full_like(last.unit_scores, np.nan))
    return replace(results, estimates={**results.estimates, "5": undefined})


def negative():
    """Scores far outside of 0..1."""
    results = make_results({"1": 6, "5": 8})
    last = replace(results.estimates["5"], scores=np.array([-2.5, 3.0, 1.0]))
    return replace(results, estimates={**results.estimates, "5": last})


def far_apart():
    """Two factors, one of which takes nearly all: scores 1 and -1."""
    a = np.array([[0.0, 1.0], [1.0, 0.0]])
    a, b = np.concatenate([a, a]), np.concatenate([a, a[::-1]])
    options = {"n_factors": 2, "residual_index": -1}
    estimate = estimate_pairs(a, b, np.array([0, 0, 1, 1]), **options)
    return Results("i3d", "", "ssv2", "random", {"5": estimate}, (0.5,))


def with_parts(results, values):
    """The same results with other parts, in the order of `PARTS`, [4, stages]; each interval
    reaches from a tenth below to two above."""
    estimates = {}
    for (stage, known), value in zip(results.estimates.items(), np.transpose(values), strict=True):
        parts = Interval(value, value, np.full(4, 0.1), value - 0.1, value + 0.2)
        inference = replace(known.inference, parts=parts)
        estimates[stage] = replace(known, inference=inference)
    return replace(results, estimates=estimates)


KNOWN = {"videos": 8, "different": True}
STREAMS = {f"{layer},{stream}": 6 for layer in ("conv1", "layer1") for stream in ("app", "mot")}
CASES = {
    "plain": lambda: make_results({"1": 8, "5": 16}),
    "one stage": lambda: make_results({"5": 16}),
    "twelve stages": lambda: make_results({str(i): 6 for i in range(12)}),
    "long names": lambda: make_results({"layer3,app_stream": 6, "fusion,both_streams": 6}),
    "streams": lambda: make_results(STREAMS),
    "one unit": lambda: make_results({"5": 1}),
    "many units": lambda: make_results({"5": 600}),
    "dead units": lambda: make_results({"1": 8, "5": 8}, dead=(0, 3)),
    "all undefined": all_undefined,
    "scores outside of 0..1": negative,
    "four factors": lambda: make_results({"1": 8, "5": 8}, n_factors=4, residual_index=-1),
    "four with residual": lambda: make_results({"1": 8}, n_factors=4, residual_index=2),
    "two factors": far_apart,
    "known videos": lambda: make_results({"1": 8, "5": 16}, **KNOWN),
    "known videos, one stage": lambda: make_results({"5": 1}, **KNOWN),
    "known videos, streams": lambda: make_results(STREAMS, **KNOWN),
    "known videos, dead units": lambda: make_results({"1": 8}, dead=(0, 3), **KNOWN),
    "two videos": lambda: make_results({"1": 8, "5": 16}, videos=2, different=True),
    "one video": lambda: make_results({"1": 8, "5": 16}, videos=1, different=True),
    "no different pairs": lambda: make_results({"1": 8, "5": 16}, videos=8),
}
WITH_PARTS = ("two videos", *(name for name in CASES if name.startswith("known")))
# Saving takes a second, so only what differs in more than its numbers.
SAVED = ("known videos", "one unit", "long names", "all undefined", "four factors")


def assert_written(png):
    """The PNG and its PDF twin are complete files, and nothing else was left."""
    assert png.suffix == ".png"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"IEND" in png.read_bytes()[-16:]
    pdf = png.with_suffix(".pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"%%EOF" in pdf[-16:]
    assert set(png.parent.iterdir()) == {png, png.with_suffix(".pdf")}


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        *((kind, case) for kind in ("layerwise", "joint_encoding") for case in SAVED),
        ("parts", "known videos, streams"),
    ],
)
def test_figure_is_written(kind, case, tmp_path):
    results = CASES[case]()
    if kind == "layerwise":
        png = plot_layerwise(tmp_path / "figures", [results])
    elif kind == "parts":
        (png,) = plot_parts(tmp_path / "figures", [results])
    else:
        png = plot_joint_encoding(tmp_path / "figures", results)
    assert png == tmp_path / "figures" / f"{kind}.png"
    assert_written(png)


def test_figures_are_replaced(tmp_path):
    first = plot_layerwise(tmp_path, [CASES["plain"]()]).read_bytes()
    second = plot_layerwise(tmp_path, [CASES["twelve stages"]()]).read_bytes()
    assert first != second


def known(values):
    """The values, without the gaps between streams."""
    return np.asarray(values)[~np.isnan(values)].tolist()


@pytest.mark.parametrize("case", CASES)
def test_every_score_and_share_lies_within_its_axis(case):
    results = CASES[case]()
    grid = layerwise_grid([results])
    scores, shares, *_ = plot_figure(grid).axes
    values = [
        y for line in scores.lines for y in known(line.get_ydata()) if line.get_label()[0] != "_"
    ]
    estimates = results.estimates.values()
    expected = [
        score
        for e in estimates
        for name, score in zip(e.factors, e.scores, strict=True)
        if name != "residual"
    ]
    assert sorted(values) == sorted(expected)
    assert scores.get_ylim()[0] <= min(values) <= max(values) <= scores.get_ylim()[1]
    heights = known([bar.get_height() for bar in shares.patches])
    assert sorted(heights) == pytest.approx(sorted(100 * s for e in estimates for s in e.shares))
    assert max(heights) <= shares.get_ylim()[1]
    assert shares.get_ylim()[0] == 0


@pytest.mark.parametrize("case", CASES)
def test_classes_of_units_fill_their_bars_and_dead_units_are_not_scattered(case):
    results = CASES[case]()
    bars, scatter = plot_figure(joint_encoding_grid(results)).axes
    tops = np.array([bar.get_y() + bar.get_height() for bar in bars.patches])
    assert tops.max() == pytest.approx(100)
    points = np.concatenate([part.get_offsets() for part in scatter.collections])
    last = list(results.estimates.values())[-1]
    defined = ~np.isnan(last.unit_scores[:2]).any(0)
    assert len(points) == defined.sum()
    dead = any(np.isnan(e.unit_scores[:2]).any() for e in results.estimates.values())
    assert ("dead" in bars.get_legend_handles_labels()[1]) == dead
    for low, high in (scatter.get_xlim(), scatter.get_ylim()):
        assert (points >= low).all()
        assert (points <= high).all()


@pytest.mark.parametrize("case", ["plain", "known videos"])
def test_units_have_the_place_of_their_scores_and_the_colour_of_their_class(case):
    results = CASES[case]()
    ((bars, scatter),) = joint_encoding_grid(results)
    scores = results.estimates["5"].unit_scores[:2].T.tolist()
    ends = np.full((2, 2, len(scores)), np.nan)
    if known := results.inference:
        known = results.estimates["5"].inference.unit_scores
        ends = np.array([known.lo[:2], known.hi[:2]])
    found = []
    for series in scatter.series:
        for dynamic, static in zip(series.positions, series.values, strict=True):
            unit = scores.index([dynamic, static])
            found.append(unit)
            above = {(1, 0): "dynamic", (0, 1): "static", (1, 1): "joint", (0, 0): "residual"}
            assert above[dynamic > 0.5, static > 0.5] == series.label
            on_both_sides = (ends[0, :, unit] <= 0.5) & (ends[1, :, unit] > 0.5)
            assert series.pale == on_both_sides.any()
    assert sorted(found) == list(range(len(scores)))
    assert scatter.references == [("x", 0.5), ("y", 0.5)]
    title = "i3d (random weights) on ssv2\nclasses of units, scores above 0.5"
    pale = sum(len(series.values) for series in scatter.series if series.pale)
    if known:
        assert pale
        assert scatter.title == f"stage 5, 16 units\n(pale: undecided, {pale})"
        assert bars.title == f"{title}\n(pale: undecided, 8 videos, 95 % intervals)"
    else:
        assert pale == 0
        assert (bars.title, scatter.title) == (title, "stage 5, 16 units")


def test_bars_of_classes_are_pale_above_their_certain_units():
    results = make_results({"1": 40, "5": 40}, **KNOWN)
    ((bars, _),) = joint_encoding_grid(results)
    assert [series.pale for series in bars.series] == [False, True] * 4
    for stage, by_class in enumerate(results.by_stage(CLASS, 0.5).values()):
        for name in CLASSES[:-1]:
            sure, rest = (series.values[stage] for series in bars.series if series.label == name)
            assert sure == find(by_class, "certain_percent").part(name)
            assert sure + rest == pytest.approx(find(by_class, "percent").part(name))


def test_without_doubt_nothing_is_pale():
    results = make_results({"5": 8}, **KNOWN)
    known = results.estimates["5"]
    scores = known.unit_scores
    near = Interval(scores, scores, 0 * scores, scores, scores)
    sure = replace(known, inference=replace(known.inference, unit_scores=near))
    ((bars, scatter),) = joint_encoding_grid(replace(results, estimates={"5": sure}))
    assert "pale" not in bars.title + scatter.title
    assert not any(np.any(series.values) for series in bars.series if series.pale)
    assert not any(len(series.values) for series in scatter.series if series.pale)


# ---- Parts of the variance.


@pytest.mark.parametrize("case", WITH_PARTS)
def test_parts_are_bars_and_lines(case):
    results = CASES[case]()
    ((bars, lines),) = parts_grid([results])
    stages = [name for _, name in bars.ticks]
    assert stages == [name for _, name in lines.ticks]
    assert sorted(stages) == sorted(results.estimates)
    at = [position for position, _ in bars.ticks]
    for k, part in enumerate(PARTS):
        bar, line = bars.series[k], lines.series[k]
        assert bar.label == line.label == part.replace("_", " ")
        known = [results.estimates[stage].inference.parts for stage in stages]
        assert line.values[at].tolist() == [parts.value[k] for parts in known]
        has_intervals = results.inference.n_videos >= 3
        assert len(line.lo) == len(line.hi) == has_intervals * len(bars.positions)
        if has_intervals:
            assert line.lo[at].tolist() == [parts.lo[k] for parts in known]
            assert line.hi[at].tolist() == [parts.hi[k] for parts in known]
        assert not len(bar.lo)
    low, high = lines.limits
    for series in lines.series:
        for numbers in (series.values, series.lo, series.hi):
            assert all(
                low < number < high for number in np.asarray(numbers)[at * bool(len(numbers))]
            )
    titles = [results.title, results.how_certain]
    assert [bars.title, lines.title] == titles


def test_bars_of_parts_fill_0_to_1_even_where_noise_makes_some_negative():
    values = [[0.4, -0.2], [0.3, -0.1], [-0.1, 0.5], [0.4, 0.8]]
    ((bars, lines),) = parts_grid([with_parts(CASES["known videos"](), values)])
    shown = np.array([series.values for series in bars.series])
    expected = np.array([[4 / 11, 0], [3 / 11, 0], [0, 5 / 13], [4 / 11, 8 / 13]])
    np.testing.assert_allclose(shown, expected)
    assert bars.limits == (0, 1)
    # The lines show them as they are, with zero marked.
    assert [series.values.tolist() for series in lines.series] == values
    assert lines.limits[0] < -0.3
    assert lines.limits[1] > 1
    assert lines.references == [("y", 0.0)]
    bars_axes, lines_axes = plot_figure([[bars, lines]]).axes
    tops = np.array([bar.get_y() + bar.get_height() for bar in bars_axes.patches])
    assert tops.reshape(4, 2)[-1] == pytest.approx([1, 1])
    assert lines_axes.get_ylim() == lines.limits


def test_a_stage_without_parts_is_a_gap():
    values = np.full((4, 2), 0.25)
    values[:, 0] = np.nan
    ((bars, lines),) = parts_grid([with_parts(CASES["known videos"](), values)])
    for series in (*bars.series, *lines.series):
        assert np.isnan(series.values[0])
        assert series.values[1] == 0.25
    bars_axes, _ = plot_figure([[bars, lines]]).axes
    assert {bar.get_height() for bar in bars_axes.patches} == {0, 0.25}


@pytest.mark.parametrize("case", ["plain", "no different pairs", "one video"])
def test_there_is_no_figure_of_parts_without_parts(case, tmp_path):
    assert parts_grid([CASES[case]()]) == []
    assert plot_parts(tmp_path, [CASES[case]()]) == []
    assert not any(tmp_path.iterdir())


def test_networks_with_parts_have_a_row_each_and_the_same_limits():
    far = with_parts(CASES["known videos"](), [[1.4, 1], [0, 0], [0, 0], [-0.4, 0]])
    far = replace(far, model="far")
    grid = parts_grid([CASES["plain"](), CASES["known videos"](), CASES["one video"](), far])
    assert [bars.title for bars, _ in grid] == [CASES["known videos"]().title, far.title]
    assert grid[0][1].limits == grid[1][1].limits
    assert grid[0][1].limits[1] > 1.6


def test_parts_have_the_colours_of_what_they_are_parts_of():
    ((bars, _),) = parts_grid([CASES["known videos"]()])
    colours = [COLOURS[name] for name in ("static", "dynamic", "joint", "residual")]
    assert [series.colour for series in bars.series] == colours


# ---- Scores and shares.


@pytest.mark.parametrize("case", ["known videos", "known videos, streams"])
def test_scores_shares_and_adjusted_scores_have_their_intervals(case):
    results = CASES[case]()
    (row,) = layerwise_grid([results])
    names = [("scores", 1), ("shares", 100), ("adjusted", 1)]
    for panel, (name, scale) in zip(row, names, strict=True):
        for place, stage in panel.ticks:
            known = getattr(results.estimates[stage].inference, name)
            for k, series in enumerate(panel.series):
                assert series.lo[place] == scale * known.lo[k]
                assert series.hi[place] == scale * known.hi[k]
                assert panel.limits[0] <= series.lo[place] < series.hi[place] <= panel.limits[1]
    assert [series.label for series in row[-1].series] == ["dynamic", "static", "different"]
    assert [panel.title for panel in row] == [results.title, "8 videos, 95 % intervals", ""]


@pytest.mark.parametrize("case", ["plain", "two videos", "one video"])
def test_without_intervals_there_are_none_in_figures(case):
    (row,) = layerwise_grid([CASES[case]()])
    assert [panel.ylabel for panel in row] == [
        "score", "share (%)", *["adjusted score"] * (case == "two videos")
    ]  # fmt: skip
    assert not any(len(series.lo) for panel in row for series in panel.series)
    assert row[1].title == ""


def test_a_network_without_adjusted_scores_leaves_their_place_empty():
    grid = layerwise_grid([CASES["plain"](), CASES["known videos"]()])
    assert [[panel is None for panel in row] for row in grid] == [[False, False, True], [False] * 3]
    assert len(plot_figure(grid).axes) == 6


def test_no_marker_is_cut():
    ((panel, *_),) = layerwise_grid([CASES["plain"]()])
    shown = [value for series in panel.series for value in series.values]
    low, high = panel.limits
    assert low < min(0.0, *shown) - 0.01
    assert high > max(1.0, *shown) + 0.01


def test_axes_of_several_networks_can_be_compared():
    grid = layerwise_grid([CASES["plain"](), negative(), CASES["twelve stages"]()])
    assert [panel.title != "" for row in grid for panel in row] == [True, False] * 3
    for column in zip(*grid, strict=True):
        assert len({panel.limits for panel in column}) == 1
    assert grid[0][0].limits[0] <= -2.5
    assert plot_figure(grid).axes[0].get_ylim() == grid[0][0].limits


def test_stages_of_a_stream_stand_together_and_no_line_joins_two_streams():
    results = make_results(STREAMS)
    scores, shares = layerwise_grid([results])[0]
    names = ["conv1,app", "layer1,app", None, "conv1,mot", "layer1,mot"]
    for panel in (scores, shares):
        assert panel.ticks == [(k, name) for k, name in enumerate(names) if name]
    expected = [results.estimates[name].scores[0] if name else np.nan for name in names]
    np.testing.assert_array_equal(scores.series[0].values, expected)


def test_a_line_joins_the_stages_of_a_chain_alone():
    results = make_results({"2": 6, "3": 6, "5": 6}, chains=[["2", "3"], ["5"]])
    lines, bars = layerwise_grid([results])[0]
    for panel in (lines, bars):
        assert panel.ticks == [(0, "2"), (1, "3"), (3, "5")]
        assert [np.isnan(value) for value in panel.series[0].values] == [False, False, True, False]
    ((classes, _),) = joint_encoding_grid(results)
    assert classes.ticks == lines.ticks


@pytest.mark.parametrize(
    ("stages", "prefix"),
    [
        (["network.slow", "network.fast", "network.head"], "network."),
        (["a.b.stem", "a.b.block.0"], "a.b."),
        (["a.slow1", "a.slow2"], "a."),
        (["network", "network.slow"], ""),
        (["net.a", "other.a"], ""),
        (["enc.l1,app", "enc.l2,mot"], "enc."),
        (["enc.l1"], "enc."),
        (["1", "2"], ""),
    ],
)
def test_common_prefix(stages, prefix):
    assert common_prefix(stages) == prefix


def test_the_prefix_of_all_stages_stands_at_the_axis_alone():
    grid = layerwise_grid([make_results({"network.slow": 4, "network.fast.stem": 4})])
    for panel in grid[0]:
        assert [name for _, name in panel.ticks] == ["slow", "fast.stem"]
        assert panel.xlabel == "stage in network"
    assert layerwise_grid([CASES["plain"]()])[0][0].xlabel == "stage"
