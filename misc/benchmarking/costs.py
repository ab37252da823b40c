"""From what was timed to what it costs: sums, medians, ratios, and costs of more videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from results.panels import Panel, Series
from utils import format_table

# Of the study: one run gives one stage and one statistic, layerwise or of joint encoding.
STATISTICS = 2
# Pairs that its code runs at a time.
STUDY_BATCH = 2
VIDEOS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass(frozen=True)
class Counts:
    """What a plan asks for.

    videos: that are shown.
    pairs: that are scored.
    clips: distinct ones, of all pairs.
    stages: that are measured.
    """

    videos: int
    pairs: int
    clips: int
    stages: int

    @property
    def study_runs(self) -> int:
        """Runs of the study's procedure: one for each stage and statistic."""
        return self.stages * STATISTICS


@dataclass(frozen=True)
class Round:
    """Seconds that were measured, one part after the other.

    study_start: of a process of the study's procedure, until its first batch is done.
    study_pair: of a pair after it, of which some were run.
    main: of main.py from start to exit.
    again: of the same command started again, when all features are there.
    floor: of the forward alone, over all distinct clips.
    """

    study_start: float
    study_pair: float
    main: float
    again: float
    floor: float


@dataclass(frozen=True)
class Costs:
    """Medians over the rounds, and what follows from them.

    counts: of the plan.
    typical: the median of each of the seconds.
    """

    counts: Counts
    typical: Round

    @classmethod
    def of(cls, counts: Counts, rounds: Sequence[Round]) -> Costs:
        """The costs that rounds, one at least, have shown."""
        columns = {name: [getattr(one, name) for one in rounds] for name in vars(rounds[0])}
        return cls(counts, Round(**{name: median(found) for name, found in columns.items()}))

    @property
    def study(self) -> float:
        """Seconds of the study's procedure."""
        return self._study(self.counts.pairs)

    def _study(self, pairs: float) -> float:
        """The same for so many pairs: every run starts, and runs every pair."""
        rest = max(pairs - STUDY_BATCH, 0) * self.typical.study_pair
        return self.counts.study_runs * (self.typical.study_start + rest)

    def of_videos(self, n: int) -> dict[str, float]:
        """Seconds for `n` videos, with as many pairs and clips for each as in this plan.

        What main.py takes when all features are there is taken for its start, and all else for
        work on clips.
        """
        counts, typical, more = self.counts, self.typical, n / self.counts.videos
        return {
            "study": self._study(more * counts.pairs),
            "main": typical.again + more * max(typical.main - typical.again, 0.0),
            "floor": more * typical.floor,
        }

    def rows(self) -> list[dict[str, Any]]:
        """The table: a row for each of the three, with what it is in words."""
        counts, typical = self.counts, self.typical
        study = (
            f"{counts.study_runs} runs ({counts.stages} stages, {STATISTICS} statistics) of "
            f"{counts.pairs} pairs, scaled: {typical.study_start:.3g} s until the first "
            f"{STUDY_BATCH} are done and {typical.study_pair:.3g} s for each other one, measured"
        )
        main = f"from start to exit, measured; started again: {typical.again:.3g} s"
        floor = f"{counts.clips} distinct clips in memory, in the way of main.py, measured"
        found = {"study": (self.study, study), "main": (typical.main, main)}
        found["floor"] = (typical.floor, floor)
        return [
            {
                "part": part,
                "seconds": seconds,
                "to_main": seconds / typical.main,
                "to_floor": seconds / typical.floor,
                "what": what,
            }
            for part, (seconds, what) in found.items()
        ]

    def curve(self) -> list[dict[str, Any]]:
        """A row for each number of videos, with the seconds of the three."""
        return [{"videos": n, **self.of_videos(n)} for n in VIDEOS]


def table(costs: Costs) -> str:
    """The costs for the screen."""
    rows = [
        [
            NAMES[row["part"]],
            f"{row['seconds']:.1f}",
            f"{row['seconds'] / costs.counts.clips:.3f}",
            f"{row['to_main']:.2f}",
            f"{row['to_floor']:.2f}",
            row["what"],
        ]
        for row in costs.rows()
    ]
    head = ["", "seconds", "a clip", "/ main.py", "/ floor", "what it is"]
    return format_table(head, rows, left=True)


NAMES = {"study": "the study's procedure", "main": "main.py", "floor": "the forward alone"}
_COLOURS = {"study": "dynamic", "main": "static", "floor": "residual"}


def panel(costs: Costs, title: str) -> Panel:
    """Hours against the number of videos, a line for each of the three."""
    rows = costs.curve()
    return Panel(
        title=title,
        kind="lines",
        xlabel="videos",
        ylabel="hours",
        positions=VIDEOS,
        series=[
            Series(name, [row[part] / 3600 for row in rows], like=_COLOURS[part])
            for part, name in NAMES.items()
        ],
        logarithmic=True,
    )


def measured(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """A row for each round: all that was measured."""
    return [{"round": n, **_seconds(one)} for n, one in enumerate(rounds, 1)]


def _seconds(one: Round) -> Mapping[str, float]:
    return {f"{name}_seconds": value for name, value in vars(one).items()}
