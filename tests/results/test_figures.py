"""The figures of a run are written, whatever the results, and show every value."""

from dataclasses import replace

import numpy as np
import pytest

from estimation.estimator import CLASSES
from results.blocks import Results
from results.figures import (
    common_prefix,
    joint_encoding_grid,
    layerwise_grid,
    plot_joint_encoding,
    plot_layerwise,
)
from results.plotting import plot_figure
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
}
# Saving takes a second, so only what differs in more than its numbers.
SAVED = ("plain", "one unit", "twelve stages", "long names", "all undefined", "four factors")


def assert_written(png):
    """The PNG and its PDF twin are complete files, and nothing else was left."""
    assert png.suffix == ".png"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"IEND" in png.read_bytes()[-16:]
    pdf = png.with_suffix(".pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"%%EOF" in pdf[-16:]
    assert set(png.parent.iterdir()) == {png, png.with_suffix(".pdf")}


@pytest.mark.parametrize("case", SAVED)
@pytest.mark.parametrize("kind", ["layerwise", "joint_encoding"])
def test_figure_is_written(kind, case, tmp_path):
    results = CASES[case]()
    if kind == "layerwise":
        png = plot_layerwise(tmp_path / "figures", [results])
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
    scores, shares = plot_figure(grid).axes
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


def test_units_have_the_place_of_their_scores_and_the_colour_of_their_class():
    results = make_results({"1": 4, "5": 40})
    ((bars, scatter),) = joint_encoding_grid(results)
    scores = results.estimates["5"].unit_scores
    assert [series.label for series in scatter.series] == list(CLASSES[:-1])
    for series in scatter.series:
        for dynamic, static in zip(series.positions, series.values, strict=True):
            assert [dynamic, static] in scores[:2].T.tolist()
            above = {(1, 0): "dynamic", (0, 1): "static", (1, 1): "joint", (0, 0): "residual"}
            assert above[dynamic > 0.5, static > 0.5] == series.label
    assert scatter.references == [("x", 0.5), ("y", 0.5)]
    assert bars.title == "i3d (random weights) on ssv2\nclasses of units, scores above 0.5"


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
