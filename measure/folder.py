"""The folder of a run: made once, never overwritten, and what it records beside the numbers.

plan.csv, config.json         before anything is computed
features/                     the feature store
estimates.csv, layerwise.csv, units.csv, joint_encoding.csv, the figures   at the end
skipped_videos.csv            only if a video was left out
"""

from __future__ import annotations

import contextlib
import itertools
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common.files import (
    atomic_folder,
    make_folders,
    partial_prefix,
    read_json,
    sync_folder,
    why_unwritable,
    write_csv,
    write_json,
)
from config import Config, as_json
from measure.run import Run
from results import study
from results.blocks import Results
from results.figures import plot_joint_encoding, plot_layerwise, plot_parts
from results.store import FeatureStore
from results.tables import joint_table, layerwise_table, parts_table, write_tables
from utils import DataError, UserError, as_options, file_name

RECORD, SKIPPED = "config.json", "skipped_videos.csv"
# Results that some runs have and others do not.
_PARTS = ("parts.png", "parts.pdf")
_SOMETIMES = (SKIPPED, *_PARTS)
# Options that do not change what a run is.
FREE = (
    *("save_dir", "run_name", "resume", "weights_dir", "joint_encoding", "on_bad_video"),
    *("on_nan", "max_bad", "confidence", "groups"),
    *("batch_size", "way", "num_workers", "device"),
)


def require_free_name(config: Config) -> None:
    """Raise UserError, before anything is read, if the name in `run_name` is that of another run.

    The name of a run with the same options is free: that run goes on.
    """
    folder = config.save_dir / (config.run_name or "")
    if not config.run_name or not folder.exists():
        return
    there = recorded_options(folder)
    if other := other_options(as_json(config), there):
        names = ", ".join(f"`{name}`" for name in other[:4])
        made = "is not that of a run of this version"
        if there:
            made = f"was made with other values of {names}"
        raise UserError(f"{folder} exists, {made}, and is not overwritten: give another `run_name`")


def other_options(asked: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """The options that make the run that is asked for another one than that which is there."""
    return [name for name in asked if name not in FREE and there.get(name) != asked[name]]


def recorded_options(folder: Path) -> dict[str, Any]:
    """The options of the run in a folder, as this version records them; empty if there is none."""
    try:
        # Older versions sampled no pairs that are not scored.
        return as_json(Config(**{"parts": False, **read_json(folder / RECORD)["options"]}))
    except (UserError, KeyError, TypeError):
        return {}


@contextlib.contextmanager
def advising_a_new_run() -> Iterator[None]:
    """Adds to errors about a run that cannot go on what to do."""
    try:
        yield
    except UserError as error:
        advice = "Start a new run: leave out `resume`, and give a `run_name` that is not taken"
        raise type(error)(f"{error}. {advice}") from None


def require_writable(config: Config) -> None:
    """Raise UserError, before anything is read, if folders of runs cannot be made."""
    if why := why_unwritable(config.save_dir):
        raise UserError(f"`save_dir`: {config.save_dir} cannot be made: {why}")


def require_writable_run(folder: Path) -> None:
    """Raise UserError if nothing can be written in the folder of a run that has begun."""
    if why := why_unwritable(folder):
        raise UserError(
            f"{why}. What is in {folder} is as it was: make it writable, or copy it elsewhere and "
            "give `resume` the copy"
        )


def find_folder(run: Run) -> Path:
    """Where a run is, or will be: started again, a run goes on in the folder that it has.

    By default it is called after the network, the data set and the seed, with a number behind it
    where another run has that name.
    """
    config = run.config
    if config.resume:
        return config.resume
    if config.run_name:
        return config.save_dir / config.run_name
    base = f"{file_name(run.model)}_{run.data.listed.name}_seed{config.random_seed}"
    for number in itertools.count(1):
        folder = config.save_dir / (base if number == 1 else f"{base}-{number}")
        if not folder.exists() or _is_that_of(folder, run):
            return folder
    raise AssertionError("there is always another number")


def _is_that_of(folder: Path, run: Run) -> bool:
    try:
        record = read_json(folder / RECORD)
    except DataError:
        return False
    same = isinstance(record, dict) and all(record.get(k) == v for k, v in run.record.items())
    # Other videos may have the same names.
    with advising_a_new_run():
        return same and not FeatureStore.changed_clip(folder / "features", run.store_rows())


def exported(run: Run, folder: Path) -> study.Exported:
    """What the study's files need to know of a run."""
    return study.Exported(
        task=run.network.task,
        save_dir=run.config.place,
        folder=folder,
        seed=run.config.random_seed,
        joint=run.config.joint_encoding,
        record=run.record,
        scored_plan=run.scored_plan,
    )


def make_folder(folder: Path, run: Run, loaded: Mapping[str, Any]) -> None:
    """Make the folder of a run, with its plan and its record; it appears when these are there.

    loaded: a record of where the weights came from, and of the device.

    Raises UserError if it cannot be made.
    """
    packages = ("torch", "torchvision", "numpy", "scipy", "pillow")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    record = {
        "started": datetime.now().isoformat(timespec="seconds"),
        "options": as_json(run.config),
        **loaded,
        **run.record,
        "chains": run.chains,
        "bad_videos": run.bad_videos,
        "versions": versions,
    }
    try:
        with atomic_folder(folder) as new:
            run.plan.write(new / "plan.csv")
            write_json(new / RECORD, record)
    except OSError as error:
        if folder.exists():
            raise UserError(f"{folder} was made by another run just now: start again") from None
        raise UserError(f"`save_dir`: {folder} cannot be made: {error}") from None


def recorded_bad_videos(folder: Path) -> dict[str, str]:
    """The videos that a run left out before it began: its plan does not hold them.

    Raises DataError if its record is damaged.
    """
    found = read_json(folder / RECORD).get("bad_videos", {})
    if not isinstance(found, dict) or not all(isinstance(why, str) for why in found.values()):
        raise DataError(f"{folder / RECORD} is damaged: 'bad_videos' is {found!r:.60}")
    return found


def note_resumption(folder: Path, config: Config) -> None:
    """Add to the record of a run that it was resumed, with which options."""
    _note(folder, "resumed", as_json(config))


def note_estimation(folder: Path, config: Config, only: Sequence[str]) -> None:
    """Add to the record of a run that it was estimated anew, with which of the options `only`."""
    options = as_json(config)
    _note(folder, "estimated", {name: options[name] for name in only})


def note_way(folder: Path, way: Mapping[str, Any]) -> None:
    """Record how the features of a run are computed."""
    write_json(folder / RECORD, {**read_json(folder / RECORD), "way": dict(way)})


def recorded_way(folder: Path) -> dict[str, Any] | None:
    """The record of how the features of a run are computed; None if there is none.

    Raises DataError if it is damaged.
    """
    found = read_json(folder / RECORD).get("way")
    if found is not None and not isinstance(found, dict):
        raise DataError(f"{folder / RECORD} is damaged: 'way' is {found!r:.60}")
    return found


def _note(folder: Path, what: str, options: Mapping[str, Any]) -> None:
    record = read_json(folder / RECORD)
    when = datetime.now().isoformat(timespec="seconds")
    before = record.get(what, [])
    now = {"when": when, "options": options}
    record[what] = [*(before if isinstance(before, list) else ()), now]
    write_json(folder / RECORD, record)


def save_results(folder: Path, results: Results, bad_videos: Mapping[str, str]) -> list[Path]:
    """Write tables and figures; returns the paths of the figures."""
    write_tables(folder, results)
    of_earlier_start = [SKIPPED, *_PARTS * (not results.has_parts)]
    for name in of_earlier_start:
        (folder / name).unlink(missing_ok=True)
    if bad_videos:
        rows = [{"video": video, "reason": reason} for video, reason in bad_videos.items()]
        write_csv(folder / SKIPPED, rows)
    return [
        *plot_parts(folder, [results]),
        plot_layerwise(folder, [results]),
        plot_joint_encoding(folder, results),
    ]


@dataclass(frozen=True)
class Saved:
    """What was written.

    figures: paths of the figures.
    replaced: names of the files that were there before.
    removed: names of those that were there before, and that these results do not have.
    """

    figures: list[Path]
    replaced: list[str]
    removed: list[str]


def require_place(folder: Path, place: Path) -> None:
    """Raise UserError if the results of the run in `folder` cannot be written to `place`, or if
    that is the folder of another run, or lies among the features."""
    if why := why_unwritable(place):
        raise UserError(f"`save`: nothing can be written to {place}: {why}; give another folder")
    if (place / RECORD).exists() and place.resolve() != folder.resolve():
        raise UserError(f"`save` {place} is the folder of another run: give another one")
    if (folder / "features").resolve() in (place.resolve(), *place.resolve().parents):
        raise UserError(f"`save` {place} lies among the features of the run: give another folder")


def save_anew(
    place: Path,
    results: Results,
    bad_videos: Mapping[str, str],
    first: Callable[[], None] | None = None,
) -> Saved:
    """Write tables and figures, in place of those that are there: all of them, or none.

    first: called when all are written, before they take their places.

    Raises UserError if they cannot be written.
    """
    try:
        make_folders(place)
        with tempfile.TemporaryDirectory(dir=place, prefix=partial_prefix()) as name:
            figures = save_results(Path(name), results, bad_videos)
            written = sorted(path.name for path in Path(name).iterdir())
            replaced = [file for file in written if (place / file).exists()]
            if folders := [file for file in replaced if (place / file).is_dir()]:
                raise UserError(f"{place / folders[0]} is a folder, expected a file or nothing")
            if first:
                first()
            for file in written:
                (Path(name) / file).replace(place / file)
            sync_folder(place)
            there = [file for file in _SOMETIMES if (place / file).is_file()]
            removed = sorted(set(there) - set(written))
            for file in removed:
                (place / file).unlink()
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"nothing could be written to {place}, which is as it was: {why}") from None
    return Saved([place / figure.name for figure in figures], replaced, removed)


def summary(results: Results, joint: bool) -> str:
    """The tables for the screen, and what must be known of them."""
    title = ", ".join(filter(None, (results.title, results.how_certain)))
    parts = [f"{title}:", layerwise_table(results)]
    if results.has_parts:
        parts += ["", "parts of the variance, which add up to 1:", parts_table(results)]
    if joint:
        for threshold in results.thresholds:
            parts += ["", f"joint encoding, unit scores above {threshold:g}:"]
            parts.append(joint_table(results, threshold))
    return "\n".join([*parts, *map(as_options, results.remarks)])
