"""Panels show every value, in pictures and in LaTeX alike."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from results.colours import COLOURS
from results.panels import Panel, Series, bar_positions, in_rows
from results.plotting import plot_figure, save_figure
from results.tikz import escape, tikz

# The second interval does not hold its value, as a corrected one need not.
DYNAMIC = Series("dynamic", [20.0, 30.0, 25.0], [19.0, 31.0, 24.5], [21.0, 34.0, 25.5])
TWO = (DYNAMIC, Series("static", [35.0, 31.0, 30.0]))
NAMES = [(0, "conv1"), (1, "layer_1"), (2, "50 % & more")]
PANELS = {
    "lines": Panel("a network\nof two lines", "lines", "stage", "units (%)", [0, 1, 2], TWO, NAMES),
    "no ticks": Panel("training", "lines", "iteration", "units (%)", [10, 500, 20000], TWO),
    "bars": Panel("means", "bars", "", "value", [0, 1, 2], TWO, NAMES, (-5, 40)),
    "stacked": Panel("classes", "stacked", "stage", "units (%)", [0, 1, 2], TWO[1:], NAMES),
    "horizontal": Panel("a", "horizontal", "percent", "", [0, 1, 2], TWO, NAMES, (0, 100)),
    "steps": Panel("units", "steps", "share", "units", [0, 10, 20, 30], [Series("x", [4, 0, 7])]),
}


def heights(axes):
    """What the bars or lines of axes show."""
    if axes.patches:
        return [max(bar.get_height(), bar.get_width()) for bar in axes.patches]
    return [value for line in axes.lines for value in line.get_ydata()]


SCATTER = Panel(
    "units",
    "scatter",
    "dynamic",
    "static",
    [],
    [Series("joint", [0.8, 0.9], positions=[0.6, 0.7]), Series("residual", [0.1], positions=[0.2])],
    limits=(-0.2, 1.0),
    references=[("x", 0.5), ("y", 0.4)],
)


def test_a_figure_of_every_kind_is_written(tmp_path):
    every = [*PANELS.values(), SCATTER]
    png = save_figure(tmp_path / "new" / "all,kinds_0.5", in_rows(every, 3))
    assert png == tmp_path / "new" / "all,kinds_0.5.png"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert png.with_name("all,kinds_0.5.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(png.parent.iterdir())) == 2


@pytest.mark.parametrize("kind", [kind for kind in PANELS if kind != "steps"])
def test_every_value_is_plotted_within_its_axis(kind):
    panel = PANELS[kind]
    (axes,) = plot_figure([[panel]]).axes
    plotted = heights(axes)
    for value in (value for series in panel.series for value in series.values):
        assert any(math.isclose(value, height) for height in plotted)
    low, high = axes.get_xlim() if kind == "horizontal" else axes.get_ylim()
    assert low <= min(plotted) <= max(plotted) <= high
    assert axes.get_title(loc="left") == panel.title
    assert (axes.get_xlabel(), axes.get_ylabel()) == (panel.xlabel, panel.ylabel)


@pytest.mark.parametrize("kind", ["lines", "bars"])
def test_intervals_reach_from_end_to_end(kind):
    (axes,) = plot_figure([[PANELS[kind]]]).axes
    bars, *bands = axes.collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [[19.0, 21.0], [31.0, 34.0], [24.5, 25.5]]
    assert len(bands) == (kind == "lines")
    for band in bands:  # behind the line, from end to end of every interval
        (outline,) = band.get_paths()
        assert {19.0, 31.0, 24.5, 21.0, 34.0, 25.5} == set(outline.vertices[:, 1])


def test_lines_with_intervals_stand_beside_each_other_at_every_stage():
    (axes,) = plot_figure([[PANELS["lines"]]]).axes
    dynamic, static = (
        line.get_xdata() for line in axes.lines if line.get_label() in ("dynamic", "static")
    )
    assert (dynamic < static).all()
    np.testing.assert_allclose((dynamic + static) / 2, [0, 1, 2])
    assert (static - dynamic < 0.3).all()
    assert axes.collections[0].get_segments()[1][:, 0].tolist() == [dynamic[1]] * 2


@pytest.mark.parametrize("kind", ["no intervals", "numbers"])
def test_other_lines_stand_where_they_are(kind):
    changed = {"series": TWO[1:] * 2} if kind == "no intervals" else {"ticks": []}
    (axes,) = plot_figure([[replace(PANELS["lines"], **changed)]]).axes
    for line in (line for line in axes.lines if line.get_label() in ("dynamic", "static")):
        assert line.get_xdata().tolist() == [0, 1, 2]


def test_logarithmic_axes():
    panel = Panel("", "lines", "", "", [1, 10, 1000], [Series("main.py", [1, 5, 900])], (), None)
    for logarithmic, scale in ((True, "log"), (False, "linear")):
        (axes,) = plot_figure([[replace(panel, logarithmic=logarithmic)]]).axes
        assert (axes.get_xscale(), axes.get_yscale()) == (scale, scale)


@pytest.mark.parametrize(("stages", "capped"), [(12, True), (13, False)])
def test_intervals_have_caps_where_bars_are_wide_enough(stages, capped):
    at = range(stages)
    series = [replace(s, values=at, lo=at, hi=at) for s in TWO]
    panel = replace(PANELS["bars"], positions=at, series=series, ticks=[])
    (axes,) = plot_figure([[panel]]).axes
    sizes = {line.get_markersize() for line in axes.lines}
    assert (max(sizes, default=0) > 0) == capped


PALE = Series("dynamic", [10.0, 0.0, 5.0], pale=True)


def test_what_is_pale_is_in_its_colour_and_in_no_legend():
    panel = replace(PANELS["stacked"], series=[DYNAMIC, PALE, TWO[1]])
    figure = plot_figure([[panel]])
    (axes,) = figure.axes
    full, pale, other = axes.containers
    assert pale[0].get_facecolor()[:3] == full[0].get_facecolor()[:3]
    assert pale[0].get_alpha() < full[0].get_alpha() == other[0].get_alpha() == 1
    assert [bar.get_y() for bar in pale] == list(DYNAMIC.values)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dynamic", "static"]


def test_points_that_are_pale_are_in_no_legend():
    pale = replace(SCATTER.series[0], pale=True)
    figure = plot_figure([[replace(SCATTER, series=[pale, *SCATTER.series])]])
    first, second, _ = figure.axes[0].collections
    assert first.get_alpha() < second.get_alpha()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["joint", "residual"]


def test_a_scatter_has_one_scale_and_its_references():
    (axes,) = plot_figure([[SCATTER]]).axes
    joint, residual = axes.collections
    assert joint.get_offsets().tolist() == [[0.6, 0.8], [0.7, 0.9]]
    assert residual.get_offsets().tolist() == [[0.2, 0.1]]
    assert axes.get_xlim() == axes.get_ylim() == (-0.2, 1.0)
    assert axes.get_aspect() == 1
    upright, level = axes.lines
    assert set(upright.get_xdata()) == {0.5}
    assert set(level.get_ydata()) == {0.4}


@pytest.mark.parametrize(
    ("names", "rotation"),
    [
        ([str(k) for k in range(16)], 0),
        (["conv1", "layer1", "layer2"], 0),
        ([f"layer{k},app_stream" for k in range(4)], 30),
        ([f"layer{k},app_stream" for k in range(14)], 90),
        ([f"block{k}.attention.projection.output" for k in range(4)], 90),
    ],
    ids=["numbers", "short", "long", "many", "very long"],
)
def test_names_that_do_not_fit_side_by_side_are_turned(names, rotation):
    at = range(len(names))
    panel = Panel("a", "lines", "stage", "y", at, [Series("x", at)], list(enumerate(names)))
    for axes in plot_figure([[panel, panel]]).axes:
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


def test_long_titles_are_wrapped_within_their_panel():
    panel = replace(PANELS["lines"], title="matnet_fusion_type (random weights) on DAVIS")
    narrow, wide = (plot_figure([[panel] * n]).axes[0].get_title(loc="left") for n in (3, 2))
    assert narrow.replace("\n", " ") == panel.title
    assert "\n" in narrow
    assert "\n" not in wide


@pytest.mark.parametrize("kind", ["lines", "scatter"])
def test_no_text_is_cut_at_the_edge_of_the_figure(kind):
    stage = "network.backbone.encoder.layer5.attention.projection_output"
    last = replace(PANELS["lines"], xlabel=f"stage in {stage}", title=f"stage {stage}, 40 units")
    if kind == "scatter":
        last = replace(SCATTER, title=last.title)
    figure = plot_figure([[PANELS["lines"]] * (2 if kind == "lines" else 1) + [last]])
    figure.draw_without_rendering()
    axes = figure.axes[-1]
    shown = [axes.xaxis.label, axes._left_title]
    for text in shown:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert shown[-1].get_text().replace("\n", "").replace(" ", "") == f"stage{stage},40units"


def test_numbers_are_not_broken():
    panel = replace(PANELS["lines"], title="scores that are all above " * 2 + "0.555555")
    title = plot_figure([[panel] * 3]).axes[0].get_title(loc="left")
    assert "\n" in title
    assert "0.555555" in title


def test_bars_of_a_group_stand_side_by_side():
    left, right = bar_positions(PANELS["bars"])
    np.testing.assert_allclose(left, [-0.2, 0.8, 1.8])
    np.testing.assert_allclose(right, [0.2, 1.2, 2.2])


def test_horizontal_bars_read_from_top_to_bottom_and_stack():
    (axes,) = plot_figure([[PANELS["horizontal"]]]).axes
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    ends = sorted(bar.get_x() + bar.get_width() for bar in axes.patches)
    assert ends == [20, 25, 30, 55, 55, 61]


def test_one_legend_names_every_label_in_the_order_of_the_colours():
    other = Panel("b", "lines", "x", "y", [0], [Series("more", [1.0]), Series("dynamic", [2.0])])
    figure = plot_figure([[PANELS["stacked"], other]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dynamic", "static", "more"]


def test_a_legend_is_not_wider_than_its_figure():
    names = ["static only", "dynamic only", "both", "neither", "dynamic", "static", "residual"]
    panel = Panel("a", "lines", "x", "y", [0], [Series(name, [1.0]) for name in names])
    figure = plot_figure([[panel, panel]])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_no_legend_where_the_axis_names_the_series():
    panel = Panel("a", "stacked", "", "y", [0], [Series("joint", [5.0])], [(0, "joint")])
    assert not plot_figure([[panel]]).legends


def test_a_series_has_its_colour_or_that_of_another():
    assert Series("dynamic", []).colour == COLOURS["dynamic"]
    assert Series("same motion", [], like="same").colour == COLOURS["same"]
    assert Series("x", []).colour not in COLOURS.values()


# ---- LaTeX.


def assert_balanced(text):
    """Braces, brackets and environments close in order, comments and escapes aside."""
    text = re.sub(r"\\[\\{}%$&#_]", "", re.sub(r"^%.*", "", text, flags=re.M))
    waiting = []
    closes = {"}": "{", "]": "["}
    for token in re.findall(r"\\(?:begin|end)\{\w+\}|[{}\[\]]", text):
        if token.startswith("\\end"):
            assert waiting.pop() == token.replace("end", "begin")
        elif token in closes:
            assert waiting.pop() == closes[token]
        else:
            waiting.append(token)
    assert waiting == []


@pytest.mark.parametrize("kind", PANELS)
def test_latex_is_balanced_and_has_every_point(kind):
    panel = PANELS[kind]
    text = tikz([[panel]], "legend")
    assert_balanced(text)
    assert text.count("\\addplot") == len(panel.series)
    for series, plot in zip(panel.series, re.findall(r"coordinates \{(.*)\}", text), strict=True):
        point = r"\(([^,()]+),([^,()]+)\)(?: \+= \(0,([^)]+)\) -= \(0,([^)]+)\))?"
        points = re.findall(point, plot)
        values = [float(point[0 if kind == "horizontal" else 1]) for point in points]
        assert values[: len(series.values)] == pytest.approx(list(series.values))
        ends = [
            (v + float(p[2]), v - float(p[3])) for v, p in zip(values, points, strict=False) if p[2]
        ]
        assert ends == list(zip(series.hi, series.lo, strict=True))


def test_latex_colours_are_those_of_the_picture():
    text = tikz([[PANELS["lines"]]], "legend")
    assert "\\definecolor{dynamic}{HTML}{D55E00}" in text
    assert re.search(r"\\addplot\[dynamic,.*mark=\*", text)


@pytest.mark.parametrize("name", [*COLOURS, "anything else"])
def test_every_marker_has_its_like_in_latex(name):
    panel = Panel("a", "lines", "", "y", [0, 1], [Series(name, [1.0, 2.0])])
    text = tikz([[panel]], "legend")
    assert_balanced(text)
    turned = "mark=triangle*, mark options={rotate=180}" in text
    assert turned == (plot_figure([[panel]]).axes[0].lines[0].get_marker() == "v")


def test_latex_of_many_panels_has_one_legend():
    grid = [[PANELS["lines"], None], [PANELS["stacked"], PANELS["bars"]]]
    text = tikz(grid, "stages")
    assert_balanced(text)
    assert text.count("\\begin{axis}") == 3
    assert text.count("legend to name=stages") == 1
    assert text.count("\\addlegendentry") == 2
    assert text.count("\\pgfplotslegendfromname{stages}") == 1


def test_latex_reads_names_as_they_are():
    text = tikz([[PANELS["lines"]]], "legend")
    assert "title={a network\\\\of two lines}" in text
    assert "xticklabels={{conv1},{layer\\_1},{50 \\% \\& more}}" in text
    assert escape("\\{a}^~<#$>") == (
        r"\textbackslash{}\{a\}\textasciicircum{}\textasciitilde{}\textless{}\#\$\textgreater{}"
    )


def test_latex_bars_stand_on_zero():
    bars = Panel("a", "bars", "", "y", [0, 1], [Series("x", [5.0, 7.0], [4.0, 6.0], [6.0, 8.0])])
    assert "ymin=0," in tikz([[bars]], "legend")
    below = Panel("a", "bars", "", "y", [0], [Series("x", [-1.0], [-1.5], [-0.5])])
    assert "ymin=-1.5," in tikz([[below]], "legend")


def test_missing_values_are_left_out_of_lines_and_are_nothing_in_a_stack():
    series = [Series("x", [1.0, math.nan, 3.0]), Series("y", [2.0, 2.0, 2.0])]
    line = tikz([[Panel("a", "lines", "", "y", [0, 1, 2], series)]], "legend")
    assert "coordinates {(0,1) (2,3)}" in line
    stack = tikz([[Panel("a", "horizontal", "y", "", [0, 1, 2], series)]], "legend")
    assert "coordinates {(1,0) (0,1) (3,2)}" in stack


def test_a_histogram_ends_at_its_last_edge():
    text = tikz([[PANELS["steps"]]], "legend")
    assert "coordinates {(0,4) (10,0) (20,7) (30,7)} \\closedcycle;" in text


@pytest.mark.parametrize("panel", [SCATTER, replace(PANELS["lines"], references=[("y", 0.0)])])
def test_latex_refuses_what_it_cannot_write(panel):
    with pytest.raises(ValueError, match=f"panel '{panel.title[:5]}.*cannot be written as LaTeX"):
        tikz([[panel]], "legend")
