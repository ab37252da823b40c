"""Features with known parts: bias and coverage of what is estimated from them.

Styles are few. What intervals speak of is given the styles at hand; over styles drawn anew, the
estimates should be right on average.

Letters in shape comments: R data sets, C units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from estimation.inference import PARTS
from estimation.stage import estimate_stage
from misc.validation.answers import (
    STATISTICS,
    Answer,
    Row,
    Settings,
    inference_of,
    picked,
    statistics,
)
from misc.validation.designs import PAIRINGS
from misc.validation.worlds import EFFECTS, World
from results.panels import Panel, Series
from utils import progress

STYLES, VIDEOS = (2, 3, 4, 8), (8, 12, 24, 50, 100, 200)
# Videos where the number of styles varies, and of the data sets whose styles are drawn anew.
USUAL_STYLES, USUAL_VIDEOS = 4, 24
MANY_VIDEOS = 100
# Videos for other kinds of effects and of layers.
FEW_AND_MORE = (8, 24, 100)
# Scatter of the units of a layer: alike in variance, or few of them with most of it.
LAYERS = {"even": 0.0, "uneven": 0.5}

# ---- Bias and coverage.


class Condition(NamedTuple):
    """Data sets of one kind."""

    pairing: str
    effects: str
    layer: str
    styles: int
    videos: int


def conditions() -> Iterator[Condition]:
    """All kinds of data sets: videos in the usual number of styles, then styles."""
    for pairing in PAIRINGS:
        for n_videos in VIDEOS:
            yield Condition(pairing, "normal", "even", USUAL_STYLES, n_videos)
        for n_styles in STYLES:
            if n_styles != USUAL_STYLES:
                yield Condition(pairing, "normal", "even", n_styles, USUAL_VIDEOS)
        for n_videos in FEW_AND_MORE:
            yield Condition(pairing, "normal", "uneven", USUAL_STYLES, n_videos)
            yield Condition(pairing, "skewed", "even", USUAL_STYLES, n_videos)


def estimated(world: World, rng: np.random.Generator, given: Condition) -> dict[str, np.ndarray]:
    """The numbers of one data set, [4, 1 + C] each: value, corrected, lo, hi of the layer and of
    every unit."""
    pairing = PAIRINGS[given.pairing]
    design = pairing.design(given.videos, given.styles, rng)
    features = world.features(rng, given.videos, EFFECTS[given.effects], pairing.one_shuffle)
    found = inference_of(estimate_stage(features.__getitem__, design))
    layer, units = statistics(found), statistics(found, of_units=True)
    return {
        name: np.array(
            [
                [getattr(whole, end)[at], *getattr(each, end)[at]]
                for end in ("value", "corrected", "lo", "hi")
            ]
        )
        for (name, whole, at), (_, each, _) in zip(layer, units, strict=True)
    }


def simulated(seed: int, n_sets: int, given: Condition, new_styles: bool = False) -> list[Row]:
    """Bias and coverage over data sets, a row for each statistic of a layer and of its units.

    new_styles: whether each has styles of its own; the truth is then over styles.
    """
    drawn = np.random.default_rng([seed])
    units = World.drawn(drawn, given.styles, scatter=LAYERS[given.layer])
    world = units.with_new_styles(np.random.default_rng([seed, given.styles]), given.styles)
    found: dict[str, list[np.ndarray]] = {name: [] for name in STATISTICS}
    for index in range(n_sets):
        kind = list(EFFECTS).index(given.effects)
        rng = np.random.default_rng([seed, kind, given.styles, given.videos, index])
        own = world.with_new_styles(rng, given.styles) if new_styles else world
        for name, numbers in estimated(own, rng, given).items():
            found[name].append(numbers)
    truth = world.truth(over_styles=new_styles)
    return [
        row
        for name in STATISTICS
        for row in _compared(given, name, truth[name], np.stack(found[name]))
    ]


def _compared(given: Condition, name: str, truth: np.ndarray, found: np.ndarray) -> Iterator[Row]:
    """Estimates [R, 4, 1 + C] against the truth [1 + C]: of the layer, and of its units."""
    value, corrected, lo, hi = found.transpose(1, 0, 2)  # [R, 1 + C]
    covered = (lo <= truth) & (truth <= hi)
    for level, places in (("layer", slice(0, 1)), ("units", slice(1, None))):
        yield {
            **given._asdict(),
            "level": level,
            "statistic": name,
            "data_sets": len(found),
            "truth": _rounded(truth[places]),
            "value": _rounded(value[:, places]),
            "corrected": _rounded(corrected[:, places]),
            "spread": _rounded(np.nanstd(corrected[:, places], 0)),
            "width": _rounded((hi - lo)[:, places]),
            "coverage": _rounded(covered[:, places]),
            "undefined": _rounded(np.isnan(lo[:, places])),
        }


def _rounded(values: np.ndarray) -> float:
    """The mean of what is defined, rounded for reading."""
    return round(float(np.nanmean(values)), 4)


def answer(settings: Settings) -> Answer:
    """Simulate all conditions; coverage given the styles, and bias over styles drawn anew."""
    given = list(conditions())
    coverage = [
        row
        for condition in progress(given, "coverage", "condition")
        for row in simulated(settings.seed, settings.n_sets, condition)
    ]
    over = [
        row
        for n_styles in progress(STYLES, "styles drawn anew", "condition")
        for row in simulated(
            settings.seed,
            settings.n_sets,
            Condition("crossed", "normal", "even", n_styles, MANY_VIDEOS),
            new_styles=True,
        )
    ]
    tables = {"simulations_coverage": coverage, "simulations_styles": over}
    panels = [list(_coverage_panels(coverage)), list(_style_panels(over))]
    return Answer(tables, panels, _lines(coverage), [panels[0][0], panels[1][0]])


def _lines(rows: Sequence[Row]) -> list[str]:
    lines = []
    for pairing in PAIRINGS:
        layers = [r for r in rows if r["level"] == "layer" and r["pairing"] == pairing]
        lowest = min(layers, key=lambda row: row["coverage"])
        mean = np.mean([row["coverage"] for row in layers])
        lines.append(
            f"{pairing}: intervals of layers cover the truth in {mean:.1%} of data sets on "
            f"average, at least {lowest['coverage']:.1%} ({lowest['statistic']}, "
            f"{lowest['videos']} videos, {lowest['styles']} styles, {lowest['effects']} effects, "
            f"{lowest['layer']} layer)"
        )
    return lines


# ---- Figures.

# Of what is plotted, as that of a factor or class.
COLOUR = {"published score": "residual", "adjusted score": "different", "parts": "joint"}


def _coverage_panels(rows: Sequence[Row]) -> Iterator[Panel]:
    for pairing in PAIRINGS:
        own = {"level": "layer", "pairing": pairing, "styles": USUAL_STYLES, "effects": "normal"}
        own["layer"] = "even"
        named = [
            ("published score", ("published_dynamic", "published_static")),
            ("adjusted score", ("adjusted_dynamic", "adjusted_static")),
            ("parts", PARTS),
        ]
        yield Panel(
            title=f"{pairing} pairs, {USUAL_STYLES} styles",
            kind="lines",
            xlabel="videos",
            ylabel="coverage of 95 % intervals",
            positions=range(len(VIDEOS)),
            series=[
                Series(label, _means(rows, names, "coverage", own), like=COLOUR[label])
                for label, names in named
            ],
            ticks=[(k, str(n)) for k, n in enumerate(VIDEOS)],
            limits=(0.8, 1.0),
            references=[("y", 0.95)],
        )


def _means(rows: Sequence[Row], names: Sequence[str], column: str, keys: Row) -> np.ndarray:
    """The mean over statistics of a column, by number of videos."""
    return np.mean([[row[column] for row in picked(rows, name, **keys)] for name in names], 0)


def _style_panels(rows: Sequence[Row]) -> Iterator[Panel]:
    for factor in ("dynamic", "static"):
        kinds = [("published score", "published"), ("adjusted score", "adjusted")]
        own = [picked(rows, f"{kind}_{factor}", level="layer") for _, kind in kinds]
        spread = [np.array([row["spread"] for row in found]) for found in own]
        means = [np.array([row["corrected"] for row in found]) for found in own]
        yield Panel(
            title=f"{factor}, styles drawn anew: mean and spread",
            kind="lines",
            xlabel="styles",
            ylabel=f"{factor} score of a layer",
            positions=range(len(STYLES)),
            series=[
                Series(label, mean, mean - sd, mean + sd, like=COLOUR[label])
                for (label, _), mean, sd in zip(kinds, means, spread, strict=True)
            ],
            ticks=[(k, str(n)) for k, n in enumerate(STYLES)],
            references=[("y", own[1][0]["truth"])],
        )
