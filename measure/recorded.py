"""Whether a run is finished: its record says with which options its results were written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import read_json, write_json
from config import Config, as_json
from measure.finished import OPTIONS
from measure.folder import RECORD, exported
from measure.run import Run
from results.store import FeatureStore
from results.tables import TABLES
from utils import DataError

# In the record: the options of the results, as far as they are known; None while these are
# written. Older versions had none.
_RESULTS = "results"


@contextlib.contextmanager
def noting_results(folder: Path, config: Config) -> Iterator[None]:
    """Around the writing of a run's results: once all are written, its record says with which
    options; while they are written, that there are none."""
    _note(folder, None)
    yield
    _note(folder, _options(config))


def forget_results(folder: Path) -> None:
    """Before some of a run's results are written anew: it is not known any more with which options
    all of them were."""
    _note(folder, {})


def _options(config: Config) -> dict[str, Any]:
    options = as_json(config)
    given = ((name, options[name]) for name in OPTIONS)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given}


def _note(folder: Path, options: dict[str, Any] | None) -> None:
    write_json(folder / RECORD, {**read_json(folder / RECORD), _RESULTS: options})


def has_results(run: Run, folder: Path) -> bool:
    """Whether all that a run would compute and write is in its folder already.

    Not where groups of videos are given, whose file may say other things by now.
    """
    written = [*(folder / name for name in TABLES), *exported(run, folder).beside]
    return (
        run.config.groups is None
        and folder.exists()
        and read_json(folder / RECORD).get(_RESULTS) == _options(run.config)
        and FeatureStore.n_done(folder / "features") == sum(map(len, run.rows.values()))
        and all(path.exists() for path in written)
    )


def is_finished(folder: Path) -> bool:
    """Whether the run in a folder has results, with whatever options."""
    try:
        record = read_json(folder / RECORD)
    except DataError:
        return False
    there = all((folder / name).exists() for name in TABLES)
    return there and isinstance(record, dict) and record.get(_RESULTS, {}) is not None
