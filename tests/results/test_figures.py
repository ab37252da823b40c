"""Figures are written, whatever the results, and show every value."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from results import figures
from results.figures import draw_joint_encoding, draw_layerwise
from results.tables import Results
from tests.helpers_estimation import estimate_pairs, random_pairs


def make_results(units, *, n_factors=3, residual_index=2, dead=()):
    """Results on random pairs with some dead units (indices) at every stage."""
    estimates = {}
    for stage, n_units in units.items():
        rng = np.random.default_rng(len(estimates))
        a, b, factor = random_pairs(rng, 24, n_units, n_factors, residual_index)
        a[:, list(dead)] = b[:, list(dead)] = 0.1
        options = {"n_factors": n_factors, "residual_index": residual_index}
        estimates[stage] = estimate_pairs(a, b, factor, **options)
    return Results("i3d", "", "ssv2", "random", estimates, (0.5, 0.3))


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


CASES = {
    "plain": lambda: make_results({"1": 8, "5": 16}),
    "one stage": lambda: make_results({"5": 16}),
    "twelve stages": lambda: make_results({str(i): 6 for i in range(12)}),
    "long names": lambda: make_results({"layer3,app_stream": 6, "fusion,both_streams": 6}),
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
        png = draw_layerwise(tmp_path / "figures", [results])
    else:
        png = draw_joint_encoding(tmp_path / "figures", results)
    assert png == tmp_path / "figures" / f"{kind}.png"
    assert_written(png)


def test_networks_with_different_stages_share_a_figure(tmp_path):
    png = draw_layerwise(tmp_path, [CASES["plain"](), CASES["twelve stages"]()], "both")
    assert png.name == "both.png"
    assert_written(png)


def test_figures_are_replaced(tmp_path):
    first = draw_layerwise(tmp_path, [CASES["plain"]()]).read_bytes()
    second = draw_layerwise(tmp_path, [CASES["twelve stages"]()]).read_bytes()
    assert first != second


def panels(monkeypatch, draw, *args):
    """The axes of a figure, taken before they are saved."""
    kept = []

    def keep(path, size, paint):
        kept.append(Figure(figsize=size))
        paint(kept[-1])
        return path

    monkeypatch.setattr(figures, "save_figure", keep)
    draw(*args)
    return kept[0].axes


@pytest.mark.parametrize("case", CASES)
def test_every_score_and_share_lies_within_its_axis(case, tmp_path, monkeypatch):
    results = CASES[case]()
    scores, shares = panels(monkeypatch, draw_layerwise, tmp_path, [results])
    values = [value for line in scores.lines[1:] for value in line.get_ydata()]
    estimates = results.estimates.values()
    assert len(values) == sum(sum(n != "residual" for n in e.factors) for e in estimates)
    assert scores.get_ylim()[0] <= min(values) <= max(values) <= scores.get_ylim()[1]
    heights = [bar.get_height() for bar in shares.patches]
    assert sorted(heights) == pytest.approx(sorted(100 * s for e in estimates for s in e.shares))
    assert max(heights) <= shares.get_ylim()[1]


@pytest.mark.parametrize("case", CASES)
def test_classes_of_units_fill_their_bars_and_dead_units_are_not_scattered(
    case, tmp_path, monkeypatch
):
    results = CASES[case]()
    bars, scatter = panels(monkeypatch, draw_joint_encoding, tmp_path, results)
    tops = np.array([bar.get_y() + bar.get_height() for bar in bars.patches])
    assert tops.max() == pytest.approx(100)
    points = np.concatenate([part.get_offsets() for part in scatter.collections])
    last = list(results.estimates.values())[-1]
    defined = ~np.isnan(last.unit_scores[:2]).any(0)
    assert len(points) == defined.sum()
    assert "dead" in bars.get_legend_handles_labels()[1] or defined.all()
    low, high = scatter.get_xlim()
    assert (points >= low).all()
    assert (points <= high).all()


def test_axes_of_several_networks_can_be_compared(tmp_path, monkeypatch):
    axes = panels(monkeypatch, draw_layerwise, tmp_path, [CASES["plain"](), negative()])
    assert axes[0].get_ylim() == axes[2].get_ylim()
    assert axes[0].get_ylim()[0] <= -2.5
