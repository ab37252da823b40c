"""Features with known parts: bias and coverage of what is estimated from them.

A feature of video v in style s and order o is a sum of independent effects,

    both[v] + dynamic[v, o] + style[s] + static[v, s] + neither[v, s, o]

Static pairs share both, style and static; dynamic pairs both and dynamic; different pairs both. So
the parts are the variances of these effects over their sum: *static only* that of style and static.
Styles are few. What intervals speak of is given the styles at hand; over styles drawn anew, the
estimates should be right on average.

Letters in shape comments: V videos, S styles, C units, R data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from results.panels import Panel, Series
from utils import progress

UNITS = 24
STYLES, VIDEOS = (2, 3, 4, 8), (8, 12, 24, 50, 100, 200)
# Videos where the number of styles varies, and of the data sets whose styles are drawn anew.
USUAL_STYLES, USUAL_VIDEOS = 4, 24
MANY_VIDEOS = 100

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Effects of variance 1."""
    return rng.standard_normal(shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Effects of variance 1 with a long tail to one side, as those of rectified units."""
    return rng.standard_exponential(shape) - 1


EFFECTS: dict[str, Draw] = {"normal": normal, "skewed": skewed}


@dataclass(frozen=True)
class World:
    """Where features come from; every array is float64 [C], but for `style`, [S, C].

    both, dynamic, static, neither: variances of these effects.
    style: the effects of the styles themselves.
    style_variance: of the distribution that these are drawn from.
    """

    both: np.ndarray
    dynamic: np.ndarray
    static: np.ndarray
    neither: np.ndarray
    style: np.ndarray
    style_variance: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, n_styles: int, n_units: int = UNITS) -> World:
        """Units of many kinds: the shares of their variance are drawn, and so are the styles."""
        both, dynamic, own, style, neither = rng.dirichlet([1.0] * 5, n_units).T
        scale = rng.lognormal(0, 0.5, n_units) ** 2
        effects = rng.standard_normal((n_styles, n_units)) * np.sqrt(style * scale)
        variances = (scale * x for x in (both, dynamic, own, neither))
        return cls(*variances, effects, style * scale)

    def with_new_styles(self, rng: np.random.Generator, n_styles: int) -> World:
        """The same units, in styles drawn anew."""
        effects = rng.standard_normal((n_styles, len(self.both))) * np.sqrt(self.style_variance)
        return World(
            self.both, self.dynamic, self.static, self.neither, effects, self.style_variance
        )

    def features(self, rng: np.random.Generator, n_videos: int, draw: Draw = normal) -> np.ndarray:
        """Features of every video in every style and both orders, [V * S * 2, C]."""
        n_styles, n_units = self.style.shape

        def effect(variance: np.ndarray, *shape: int) -> np.ndarray:
            return draw(rng, (n_videos, *shape, n_units)) * np.sqrt(variance)

        natural = np.repeat(effect(self.dynamic, 1, 1), n_styles, 1)  # [V, S, 1, C]
        shuffled = effect(self.dynamic, n_styles, 1)  # another order in every style
        return (
            effect(self.both, 1, 1)
            + np.concatenate([natural, shuffled], 2)
            + self.style[:, None]
            + effect(self.static, n_styles, 1)
            + effect(self.neither, n_styles, 2)
        ).reshape(-1, n_units)

    def truth(self, over_styles: bool = False) -> dict[str, np.ndarray]:
        """What estimates of each statistic should be: [1 + C], of the layer and of every unit.

        over_styles: over styles drawn anew, rather than for these styles. The published scores
        then have the limit of many styles.
        """
        n_styles = len(self.style)
        spread = self.style.var(0)  # about the mean of these styles
        style = self.style_variance if over_styles else spread * n_styles / (n_styles - 1)
        rest = self.both + self.dynamic + self.static + self.neither
        sums = {
            "static_only": (self.static + style, rest + style),
            "dynamic_only": (self.dynamic, rest + style),
            "both": (self.both, rest + style),
            "neither": (self.neither, rest + style),
            "adjusted_dynamic": (self.both + self.dynamic, rest + style),
            "adjusted_static": (self.both + self.static + style, rest + style),
        }
        # Two clips of a dynamic pair never have the same style, which the published score counts
        # against it: the styles' effects are those of a sample without replacement.
        if over_styles:
            spread, apart = style, 0 * style
        else:
            apart = -spread / (n_styles - 1)
        sums["published_dynamic"] = (self.both + self.dynamic + apart, rest + spread)
        sums["published_static"] = (self.both + self.static + spread, rest + spread)
        return {
            name: np.concatenate([[above.sum() / below.sum()], above / below])
            for name, (above, below) in sums.items()
        }


# ---- Bias and coverage.


class Condition(NamedTuple):
    """Data sets of one kind."""

    pairing: str
    effects: str
    styles: int
    videos: int


def conditions() -> Iterator[Condition]:
    """All kinds of data sets: videos in the usual number of styles, then styles."""
    for pairing in PAIRINGS:
        for n_videos in VIDEOS:
            yield Condition(pairing, "normal", USUAL_STYLES, n_videos)
        for n_styles in STYLES:
            if n_styles != USUAL_STYLES:
                yield Condition(pairing, "normal", n_styles, USUAL_VIDEOS)
        for n_videos in (VIDEOS[0], USUAL_VIDEOS):
            yield Condition(pairing, "skewed", USUAL_STYLES, n_videos)


def estimated(world: World, rng: np.random.Generator, given: Condition) -> dict[str, np.ndarray]:
    """The numbers of one data set, [4, 1 + C] each: value, corrected, lo, hi of the layer and of
    every unit."""
    design = PAIRINGS[given.pairing](given.videos, given.styles, rng)
    features = world.features(rng, given.videos, EFFECTS[given.effects])
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
    world = World.drawn(np.random.default_rng([seed, given.styles]), given.styles)
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
            "spread": _rounded(corrected[:, places].std(0)),
            "width": _rounded((hi - lo)[:, places]),
            "coverage": _rounded(covered[:, places]),
        }


def _rounded(values: np.ndarray) -> float:
    """The mean, rounded for reading."""
    return round(float(values.mean()), 4)


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
            Condition("crossed", "normal", n_styles, MANY_VIDEOS),
            new_styles=True,
        )
    ]
    tables = {"simulations_coverage": coverage, "simulations_styles": over}
    return Answer(tables, [[*_coverage_panels(coverage)], [*_style_panels(over)]], _lines(coverage))


def _lines(rows: Sequence[Row]) -> list[str]:
    lines = []
    for pairing in PAIRINGS:
        layers = [r for r in rows if r["level"] == "layer" and r["pairing"] == pairing]
        lowest = min(layers, key=lambda row: row["coverage"])
        mean = np.mean([row["coverage"] for row in layers])
        lines.append(
            f"{pairing}: intervals of layers cover the truth in {mean:.1%} of data sets on "
            f"average, at least {lowest['coverage']:.1%} ({lowest['statistic']}, "
            f"{lowest['videos']} videos, {lowest['styles']} styles, {lowest['effects']} effects)"
        )
    return lines


# ---- Figures.


def _coverage_panels(rows: Sequence[Row]) -> Iterator[Panel]:
    for pairing in PAIRINGS:
        own = {"level": "layer", "pairing": pairing, "styles": USUAL_STYLES, "effects": "normal"}
        named = [
            ("published score", ("published_dynamic", "published_static"), "residual"),
            ("adjusted score", ("adjusted_dynamic", "adjusted_static"), "different"),
            ("parts", PARTS, "joint"),
        ]
        yield Panel(
            title=f"{pairing} pairs, {USUAL_STYLES} styles",
            kind="lines",
            xlabel="videos",
            ylabel="coverage of 95 % intervals",
            positions=range(len(VIDEOS)),
            series=[
                Series(label, _means(rows, names, "coverage", own), like=like)
                for label, names, like in named
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
        kinds = [
            ("published score", "published", "residual"),
            ("adjusted score", "adjusted", factor),
        ]
        own = [picked(rows, f"{kind}_{factor}", level="layer") for _, kind, _ in kinds]
        spread = [np.array([row["spread"] for row in found]) for found in own]
        means = [np.array([row["corrected"] for row in found]) for found in own]
        yield Panel(
            title=f"{factor}, styles drawn anew: mean and spread",
            kind="lines",
            xlabel="styles",
            ylabel=f"{factor} score of a layer",
            positions=range(len(STYLES)),
            series=[
                Series(label, mean, mean - sd, mean + sd, like=like)
                for (label, _, like), mean, sd in zip(kinds, means, spread, strict=True)
            ],
            ticks=[(k, str(n)) for k, n in enumerate(STYLES)],
            references=[("y", own[1][0]["truth"])],
        )
