"""`--resume` without a folder: the unfinished run of the options that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config import as_json, from_given
from measure.folder import FREE, RECORD, other_options, recorded_options
from measure.recorded import is_finished
from measure.request import resolved
from utils import UserError

_MOST_SHOWN = 10


def with_unfinished(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given; where `resume` is among them without a folder, with that of the
    unfinished run in `save_dir` that has these options: all the others at their default, else
    whatever they are.

    Raises UserError, with what is there, if there is none, or more than one.
    """
    if given.get("resume", "") is not None:
        return dict(given)
    config = from_given({name: value for name, value in given.items() if name != "resume"})
    asked = as_json(config)
    folders = sorted(path.parent for path in config.save_dir.glob(f"*/{RECORD}"))
    if config.run_name:
        folders = [folder for folder in folders if folder.name == config.run_name]
    runs = {folder: recorded_options(folder) for folder in folders}
    begun = {folder: there for folder, there in runs.items() if not is_finished(folder)}
    same = {k: asked[k] for k in given if k in asked}
    found = [folder for folder, there in begun.items() if not other_options(same, there)]
    if len(found) > 1:
        whole = as_json(resolved(config))
        found = [f for f in found if not other_options(whole, begun[f])] or found
    if len(found) != 1:
        states = [f"  {folder}: {_state(folder, same, there)}" for folder, there in runs.items()]
        raise UserError(_which(len(found), config.save_dir, states))
    (folder,) = found
    print(f"resuming {folder}", flush=True)
    place = ("save_dir", "run_name")
    free = {k: v for k, v in given.items() if k in FREE and k not in place}
    return {**free, "resume": folder}


def _which(found: int, save_dir: Path, states: Sequence[str]) -> str:
    """That not one run was found, what there is, and what to do."""
    number = f"{found} unfinished runs" if found else "no unfinished run"
    there = ", of these:" if states else ", where no run is"
    hidden = len(states) - _MOST_SHOWN
    more = [f"  ... and {hidden} more"] if hidden > 0 else []
    start = "" if found else " or start one without `resume`"
    advice = f"Give `resume` the folder of a run{start}" if states else "Start one without `resume`"
    return "\n".join(
        [
            f"`resume`: {number} of these options in {save_dir}{there}",
            *states[:_MOST_SHOWN],
            *more,
            advice,
        ]
    )


def _state(folder: Path, asked: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """What is known of a run, in words."""
    state = "finished" if is_finished(folder) else "unfinished"
    if not there:
        return f"{state}, its record is not of this version"
    other = ", ".join(f"`{name}`" for name in other_options(asked, there)[:4])
    return f"{state}, with other values of {other}" if other else state
