"""Units that are known by construction, through the whole tool: does each land where it belongs?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import main as main_script
from config import Config
from datasets.synthetic import make
from estimation.inference import PARTS
from misc.validation import known_units
from misc.validation.answers import (
    Answer,
    Row,
    Settings,
    parts_panel,
    picked,
    series_of,
    unit_rows,
)
from misc.validation.known_units import RATIOS, UNITS
from results.colours import LIKE
from results.panels import Panel

N_VIDEOS, VIDEOS_SEED = 64, 2022
STAGE = "units"


def answer(settings: Settings) -> Answer:
    """Measure the network of known units on synthetic videos by main.py."""
    videos = settings.save / "videos"
    make(videos, N_VIDEOS, seed=VIDEOS_SEED)
    return answered(measured(videos, settings.save / "runs"))


def measured(videos: Path, save_dir: Path) -> list[Row]:
    """The numbers of every unit, as main.py has them."""
    config = Config(
        model=f"{known_units.__file__}:build",
        stg=STAGE,
        dataset="synthetic",
        stylized_data_dir=videos,
        save_dir=save_dir,
        run_name="known_units",
        pairing="exhaustive",
        batch_size=32,
        device="cpu",
    )
    estimate = main_script.measure(config).results.estimates[STAGE]
    return [
        row
        for index, unit in enumerate(UNITS)
        for row in unit_rows({"unit": unit.name, "expected": unit.part}, estimate, index)
    ]


def answered(rows: Sequence[Row]) -> Answer:
    """Where every unit landed, and whether mixtures are in order."""
    verdicts = [_verdict(rows, unit) for unit in UNITS]
    tables = {"known_units": rows, "known_units_verdicts": verdicts}
    panels = [_panel(rows), _mixtures(rows)]
    return Answer(tables, [panels], _lines(rows, verdicts), panels)


def _verdict(rows: Sequence[Row], unit: known_units.Known) -> Row:
    """The largest part of a unit beside the expected one."""
    own = {part: picked(rows, part, unit=unit.name)[0]["value"] for part in PARTS}
    defined = [part for part, value in own.items() if value == value]
    found = max(defined, key=lambda part: own[part]) if defined else "dead"
    return {
        "unit": unit.name,
        "expected": unit.part,
        "found": found,
        "as_expected": found == unit.part if unit.part else "",
        **own,
        "why": unit.why,
    }


def _lines(rows: Sequence[Row], verdicts: Sequence[Row]) -> list[str]:
    wrong = [row for row in verdicts if row["expected"] and not row["as_expected"]]
    judged = [row for row in verdicts if row["expected"]]
    lines = [f"{len(judged) - len(wrong)} of {len(judged)} units land where they belong"]
    lines += [f"{r['unit']}: expected {r['expected']}, found {r['found']}" for r in wrong]
    shares = [picked(rows, "dynamic_only", unit=f"mixture {r:g}")[0]["value"] for r in RATIOS]
    in_order = all(a < b for a, b in itertools.pairwise(shares))
    values = ", ".join(f"{share:.2f}" for share in shares)
    return [*lines, f"mixtures are {'' if in_order else 'not '}in order: dynamic only {values}"]


def _panel(rows: Sequence[Row]) -> Panel:
    named = [unit.name for unit in UNITS if unit.part and unit.part != "dead"]
    groups = [(name, [row for row in rows if row["unit"] == name]) for name in named]
    return parts_panel("units that are known by construction", groups)


def _mixtures(rows: Sequence[Row]) -> Panel:
    """The parts of mixtures, by the ratio that they were made with."""
    units = [f"mixture {ratio:g}" for ratio in RATIOS]
    parts = [picked(rows, part, unit=unit)[0] for part in PARTS for unit in units]
    by_part = [parts[k : k + len(units)] for k in range(0, len(parts), len(units))]
    return Panel(
        title="mixtures of mean red and heading right",
        kind="lines",
        xlabel="dynamic share by construction",
        ylabel="part of the variance",
        positions=RATIOS,
        series=[series_of(part, own, LIKE[part]) for part, own in zip(PARTS, by_part, strict=True)],
        references=[("y", 0.0), ("y", 1.0)],
    )
