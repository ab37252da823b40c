"""Panels show every value, on the screen and in LaTeX alike."""

import math
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from results import panels as module
from results.figures import COLOURS
from results.panels import Panel, Series, bar_positions, draw_panels
from results.tikz import escape, tikz

TWO = (Series("dynamic", [20.0, 30.0, 25.0], [1.0, 2.0, 0.5]), Series("static", [35.0, 31.0, 30.0]))
NAMES = [(0, "conv1"), (1, "layer_1"), (2, "50 % & more")]
PANELS = {
    "lines": Panel("a network\nof two lines", "lines", "stage", "units (%)", [0, 1, 2], TWO, NAMES),
    "no ticks": Panel("training", "lines", "iteration", "units (%)", [10, 500, 20000], TWO),
    "bars": Panel("means", "bars", "", "value", [0, 1, 2], TWO, NAMES, (-5, 40)),
    "stacked": Panel("classes", "stacked", "stage", "units (%)", [0, 1, 2], TWO[1:], NAMES),
    "rows": Panel("table", "rows", "", "percent", [0, 1, 2], TWO, NAMES, (0, 100)),
    "steps": Panel("units", "steps", "share", "units", [0, 10, 20, 30], [Series("x", [4, 0, 7])]),
}


def axes_of(monkeypatch, path, grid):
    """The axes of a figure, as they are saved."""
    kept = []

    def keep(path, size, paint):
        kept.append(Figure(figsize=size, layout="constrained"))
        paint(kept[-1])
        return path

    monkeypatch.setattr(module, "save_figure", keep)
    draw_panels(path, grid)
    return kept[0]


def heights(axes):
    """What the bars or lines of axes show."""
    if axes.patches:
        return [max(bar.get_height(), bar.get_width()) for bar in axes.patches]
    return [value for line in axes.lines for value in line.get_ydata()]


def test_a_figure_of_every_kind_is_written(tmp_path):
    every = list(PANELS.values())
    png = draw_panels(tmp_path / "new" / "all,kinds_0.5", [every[:3], every[3:5], [every[5], None]])
    assert png == tmp_path / "new" / "all,kinds_0.5.png"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert png.with_name("all,kinds_0.5.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(png.parent.iterdir())) == 2


@pytest.mark.parametrize("kind", [kind for kind in PANELS if kind != "steps"])
def test_every_value_is_drawn_within_its_axis(kind, tmp_path, monkeypatch):
    panel = PANELS[kind]
    (axes,) = axes_of(monkeypatch, tmp_path / "a", [[panel]]).axes
    drawn = heights(axes)
    for value in (value for series in panel.series for value in series.values):
        assert any(math.isclose(value, height) for height in drawn)
    low, high = axes.get_xlim() if kind == "rows" else axes.get_ylim()
    assert low <= min(drawn) <= max(drawn) <= high
    assert axes.get_title(loc="left") == panel.title


def test_bars_of_a_group_stand_side_by_side():
    left, right = bar_positions(PANELS["bars"])
    np.testing.assert_allclose(left, [-0.2, 0.8, 1.8])
    np.testing.assert_allclose(right, [0.2, 1.2, 2.2])


def test_lying_bars_read_from_top_to_bottom_and_stack(tmp_path, monkeypatch):
    (axes,) = axes_of(monkeypatch, tmp_path / "a", [[PANELS["rows"]]]).axes
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    ends = sorted(bar.get_x() + bar.get_width() for bar in axes.patches)
    assert ends == [20, 25, 30, 55, 55, 61]


def test_one_legend_names_every_label_in_the_order_of_the_colours(tmp_path, monkeypatch):
    other = Panel("b", "lines", "x", "y", [0], [Series("more", [1.0]), Series("dynamic", [2.0])])
    figure = axes_of(monkeypatch, tmp_path / "a", [[PANELS["stacked"], other]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dynamic", "static", "more"]


def test_no_legend_where_the_axis_names_the_series(tmp_path, monkeypatch):
    panel = Panel("a", "stacked", "", "y", [0], [Series("joint", [5.0])], [(0, "joint")])
    assert not axes_of(monkeypatch, tmp_path / "a", [[panel]]).legends


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
        points = re.findall(r"\(([^,()]+),([^,()]+)\)(?: \+- \(0,([^)]+)\))?", plot)
        values = [float(point[0 if kind == "rows" else 1]) for point in points]
        assert values[: len(series.values)] == pytest.approx(list(series.values))
        errors = [float(point[2]) for point in points if point[2]]
        assert errors == list(series.errors)


def test_latex_colours_are_those_of_the_picture():
    text = tikz([[PANELS["lines"]]], "legend")
    assert "\\definecolor{dynamic}{HTML}{D55E00}" in text
    assert re.search(r"\\addplot\[dynamic,.*mark=\*", text)


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
    bars = Panel("a", "bars", "", "y", [0, 1], [Series("x", [5.0, 7.0], [1.0, 1.0])])
    assert "ymin=0," in tikz([[bars]], "legend")
    below = Panel("a", "bars", "", "y", [0], [Series("x", [-1.0], [0.5])])
    assert "ymin=-1.5," in tikz([[below]], "legend")


def test_missing_values_are_left_out_of_lines_and_are_nothing_in_a_stack():
    series = [Series("x", [1.0, math.nan, 3.0]), Series("y", [2.0, 2.0, 2.0])]
    line = tikz([[Panel("a", "lines", "", "y", [0, 1, 2], series)]], "legend")
    assert "coordinates {(0,1) (2,3)}" in line
    stack = tikz([[Panel("a", "rows", "", "y", [0, 1, 2], series)]], "legend")
    assert "coordinates {(1,0) (0,1) (3,2)}" in stack


def test_a_histogram_ends_at_its_last_edge():
    text = tikz([[PANELS["steps"]]], "legend")
    assert "coordinates {(0,4) (10,0) (20,7) (30,7)} \\closedcycle;" in text
