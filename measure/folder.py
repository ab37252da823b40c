"""The folder of a run: made once, never overwritten, and what it records beside the numbers.

plan.csv, config.json         before anything is computed
features/                     the feature store
estimates.csv, layerwise.csv, units.csv, joint_encoding.csv, two figures     at the end
MODEL_dim_est.csv             at the end, as the study wrote it
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
from results.figures import plot_joint_encoding, plot_layerwise
from results.study import write_dim_est
from results.tables import Results, joint_table, layerwise_table, write_tables
from utils import UserError, file_name, read_json, write_csv, write_json


def require_free_name(config: Config) -> None:
    """Raise UserError, before the network is loaded, if `run_name` is taken."""
    if config.run_name and (config.save_dir / config.run_name).exists():
        raise _taken(config.save_dir / config.run_name)


def _taken(folder: Path) -> UserError:
    return UserError(
        f"{folder} exists and is not overwritten: give another `run_name`, or finish that run with "
        f"`resume` {folder}"
    )


def make_folder(config: Config, model: str, pairs: Sequence[Pair], record: dict[str, Any]) -> Path:
    """A new folder for this run, with its plan and its record.

    Without a `run_name` it is called after the network, the data set and the time. Raises
    UserError if the name is taken or the folder cannot be made.
    """
    default = f"{file_name(model)}_{config.dataset}_{datetime.now():%Y%m%d-%H%M%S}"
    base = config.run_name or default
    for number in itertools.count(1):
        folder = config.save_dir / (base if number == 1 else f"{base}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:  # another run of the same second, or the chosen name
            if config.run_name:
                raise _taken(folder) from None
            if not folder.is_dir():
                raise UserError(f"`save_dir`: {folder} cannot be made: a file is there") from None
        except OSError as error:
            raise UserError(f"`save_dir`: {folder} cannot be made: {error}") from None
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
    return folder


def note_resumption(folder: Path, config: Config) -> None:
    """Add to the record of a run that it was resumed, with which options."""
    record = read_json(folder / "config.json")
    when = datetime.now().isoformat(timespec="seconds")
    record.setdefault("resumed", []).append({"when": when, "options": as_json(config)})
    write_json(folder / "config.json", record)


def save_results(folder: Path, results: Results, bad_videos: Mapping[str, str]) -> list[Path]:
    """Write tables and figures; returns the paths of the figures."""
    write_tables(folder, results)
    write_dim_est(folder, results)
    if bad_videos:
        rows = [{"video": video, "reason": reason} for video, reason in bad_videos.items()]
        write_csv(folder / "skipped_videos.csv", rows)
    return [plot_layerwise(folder, [results]), plot_joint_encoding(folder, results)]


def summary(results: Results, joint: bool) -> str:
    """The tables for the screen."""
    parts = [f"{results.title}:", layerwise_table(results)]
    if joint:
        for threshold in results.thresholds:
            parts += ["", f"joint encoding, unit scores above {threshold:g}:"]
            parts.append(joint_table(results, threshold))
    return "\n".join(parts)
