"""Where simulated features come from: the variance of every effect in them, and so the truth.

A feature of video v in style s and order o is a sum of independent effects,

    both[v] + dynamic[v, o] + style[s] + static[v, s] + neither[v, s, o]

Static pairs share both, style and static; dynamic pairs both and dynamic; different pairs both. So
the parts are the variances of these effects over their sum: *static only* that of style and static.

Letters in shape comments: V videos, S styles, C units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

UNITS = 24

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
    def drawn(
        cls, rng: np.random.Generator, n_styles: int, n_units: int = UNITS, scatter: float = 0.0
    ) -> World:
        """Units of many kinds: the shares of their variance are drawn, and so are the styles.

        scatter: of the logarithm of their standard deviations, 1 on average: where it is large,
        few units make up the layer.
        """
        both, dynamic, own, style, neither = rng.dirichlet([1.0] * 5, n_units).T
        scale = rng.lognormal(0, scatter, n_units) ** 2
        return cls(
            both=both * scale,
            dynamic=dynamic * scale,
            static=own * scale,
            neither=neither * scale,
            style=rng.standard_normal((n_styles, n_units)) * np.sqrt(style * scale),
            style_variance=style * scale,
        )

    def with_new_styles(self, rng: np.random.Generator, n_styles: int) -> World:
        """The same units, in styles drawn anew."""
        effects = rng.standard_normal((n_styles, len(self.both))) * np.sqrt(self.style_variance)
        return replace(self, style=effects)

    def features(
        self,
        rng: np.random.Generator,
        n_videos: int,
        draw: Draw = normal,
        one_shuffle: bool = False,
    ) -> np.ndarray:
        """Features of every video in every style and both orders, [V * S * 2, C].

        one_shuffle: whether the shuffles of a video have one order in all styles.
        """
        n_styles, n_units = self.style.shape

        def effect(variance: np.ndarray, *shape: int) -> np.ndarray:
            return draw(rng, (n_videos, *shape, n_units)) * np.sqrt(variance)

        natural = np.repeat(effect(self.dynamic, 1, 1), n_styles, 1)  # [V, S, 1, C]
        shuffled = effect(self.dynamic, 1 if one_shuffle else n_styles, 1)
        return (
            effect(self.both, 1, 1)
            + np.concatenate([natural, np.broadcast_to(shuffled, natural.shape)], 2)
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
