"""The folder of a run: made once, never overwritten, and what it records beside the numbers.

plan.csv, config.json         before anything is computed
features/                     the feature store
layerwise.csv, units.csv, joint_encoding.csv, MODEL_dim_est.csv, two figures     at the end
skipped_videos.csv            only if a video was left out
"""

from __future__ import annotations

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


def open_folder(config: Config, model: str, pairs: Sequence[Pair], record: dict[str, Any]) -> Path:
    """The folder of this run: a new one with its plan and record, or the one to resume.

    Raises UserError if a new one would overwrite another run.
    """
    if config.resume:
        return config.resume
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = config.save_dir / (config.run_name or f"{model}_{config.dataset}_{stamp}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"{folder} exists and is not overwritten: give another --run_name, or finish that "
            f"run with --resume {folder}"
        ) from None
    except OSError as error:
        raise UserError(f"--save_dir: {folder} cannot be made: {error}") from None
    write_plan(folder / "plan.csv", pairs)
    packages = ("torch", "torchvision", "numpy", "scipy", "pillow")
    write_json(
        folder / "config.json",
        {
            "started": datetime.now().isoformat(timespec="seconds"),
            "options": as_json(config),
            **record,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in packages},
            },
        },
    )
    return folder


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
