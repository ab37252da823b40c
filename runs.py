"""The folder of a run: made once, never overwritten, and what it records beside the numbers.

plan.csv, config.json         before anything is computed
features/                     the feature store
layerwise.csv, units.csv, joint_encoding.csv, MODEL_dim_est.csv, two figures     at the end
skipped_videos.csv            only if a video was left out
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config import Config, as_json
from datasets.plan import Pair, write_plan
from estimation.figures import draw_joint_encoding, draw_layerwise
from estimation.results import Results, joint_table, layerwise_table, write_tables
from utils import UserError, write_csv, write_json


def choose_folder(config: Config, model: str) -> Path:
    """The folder of this run: the one to resume, or the name of a new one.

    Raises UserError if the name is taken.
    """
    if config.resume:
        return config.resume
    if config.run_name:
        folder = config.save_dir / config.run_name
        if folder.exists():
            raise UserError(
                f"{folder} exists and is not overwritten: give another --run_name, or finish that "
                f"run with --resume {folder}"
            )
        return folder
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = f"{model}_{config.dataset}_{stamp}"
    names = itertools.chain([base], (f"{base}-{k}" for k in itertools.count(2)))
    return next(path for name in names if not (path := config.save_dir / name).exists())


def make_folder(
    folder: Path, config: Config, pairs: Sequence[Pair], record: dict[str, Any]
) -> None:
    """Make the folder of a new run, with its plan and its record.

    Raises UserError where it cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--save_dir: {folder} cannot be made: {error}") from None
    write_plan(folder / "plan.csv", pairs)
    packages = ("torch", "torchvision", "numpy", "scipy", "pillow")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    write_json(
        folder / "config.json",
        {
            "started": datetime.now().isoformat(timespec="seconds"),
            "options": as_json(config),
            **record,
            "versions": versions,
        },
    )


def save_results(folder: Path, results: Results, bad_videos: Mapping[str, str]) -> list[Path]:
    """Write tables and figures; returns the paths of the figures."""
    write_tables(folder, results)
    if bad_videos:
        rows = [{"video": video, "reason": reason} for video, reason in bad_videos.items()]
        write_csv(folder / "skipped_videos.csv", rows)
    return [draw_layerwise(folder, [results]), draw_joint_encoding(folder, results)]


def summary(results: Results, joint: bool) -> str:
    """The tables for the screen."""
    parts = [f"{results.title}:", layerwise_table(results)]
    if joint:
        for threshold in results.thresholds:
            parts += ["", f"joint encoding, unit scores above {threshold:g}:"]
            parts.append(joint_table(results, threshold))
    return "\n".join(parts)
