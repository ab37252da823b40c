"""Several runs from one command: each is what a command of its own would be, and one that fails
does not stop the others."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.process import exit_code, in_a_sentence, report
from config import USUAL_MODEL, Config, from_given
from measure.folder import exported, find_folder
from measure.prepare import Once, prepare
from measure.recorded import has_results
from measure.run import Run
from results import study
from utils import UserError, as_options, counted, format_table

# Options of one run, and what to do instead.
_OF_ONE_RUN = {
    "run_name": "folders are called after network, data set and seed: leave it out, or give "
    "`save_dir`",
    "resume": "the same command, started again, finishes what is unfinished: leave it out",
}
# Characters of the table that say why a run failed; all is said where it fails.
_LONGEST_REASON = 120


@dataclass(frozen=True)
class Task:
    """A run that is asked for.

    title: network, data set and seed.
    run: what was prepared; None if that failed.
    error: why it failed.
    """

    title: tuple[str, str, str]
    run: Run | None = None
    error: Exception | None = None

    @property
    def name(self) -> str:
        """What it is, in words."""
        network, dataset, seed = self.title
        return f"{network} on {dataset}, seed {seed}"


@dataclass(frozen=True)
class End:
    """What became of a run.

    state: in a word or two.
    said: its folder, or why it failed.
    code: the exit code that it would have by itself.
    minutes: that it took; None if it did not begin.
    """

    state: str
    said: str = ""
    code: int = 0
    minutes: float | None = None


_DONE = "done"
_STOPPED, _NOT_BEGUN = End("stopped"), End("not begun")


def sweep(asked: Sequence[Mapping[str, Any]], finish: Callable[[Run], Path]) -> int:
    """Measure all runs that are asked for, each given by its options; returns the exit code: 0 if
    the results of all are there, 1 if a mistake of the toolkit is among the failures, else 2.

    All are prepared before the first is computed. What became of each is printed in a table, also
    where the user, or the system, ends it all.

    finish: computes and shows a run; returns its folder.

    Raises UserError before the first run for what is wrong with all of them.
    """
    _require_many(asked)
    tasks = _prepared(asked)
    ends: list[End] = []
    try:
        for number, task in enumerate(tasks, 1):
            print(f"== {number} of {len(tasks)}: {task.name}", flush=True)
            ends.append(_end_of(task, finish))
            if ends[-1].state != _DONE:
                print(f"{ends[-1].state}: {ends[-1].said}", flush=True)
    except BaseException:
        if len(ends) < len(tasks):  # else it came after the last one
            ends.append(_STOPPED)
        raise
    finally:
        print(_summary(tasks, ends), flush=True)
    codes = [end.code for end in ends]
    return 1 if 1 in codes else max(codes)


def _require_many(asked: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError for options that several runs cannot have in common."""
    for name, advice in _OF_ONE_RUN.items():
        if name in asked[0]:
            raise UserError(f"`{name}` is of one run, and {len(asked)} are asked for: {advice}")
    if "name" in asked[0] and len({given.get("model") for given in asked}) > 1:
        raise UserError("`name` would be that of several networks: leave it out, or give one")


def _prepared(asked: Sequence[Mapping[str, Any]]) -> list[Task]:
    """All tasks; why some fail is shown. Raises the error if it is the same for all of them."""
    once = Once()
    tasks = [_task(given, once) for given in asked]
    errors = [task.error for task in tasks if task.error]
    if len(errors) == len(tasks) and len(set(map(str, errors))) == 1:
        raise errors[0]
    for task in tasks:
        if task.error:
            report(task.error, task.name)
    return tasks


def _task(given: Mapping[str, Any], once: Once) -> Task:
    """A run as far as it can be prepared."""
    file = given.get("cfg_file")
    network = given.get("model") or (file.stem if file else USUAL_MODEL)
    seed = str(given.get("random_seed", Config.random_seed))
    try:
        run = prepare(from_given(given), once)
        study.require_free(exported(run, find_folder(run)))
    except Exception as error:
        return Task((network, given.get("dataset", "the usual data set"), seed), error=error)
    return Task((run.model, run.data.listed.name, seed), run)


def _end_of(task: Task, finish: Callable[[Run], Path]) -> End:
    """What becomes of a run that is finished here, unless it is already, or cannot be."""
    if task.run is None:
        assert task.error
        return _failed(task.error, exit_code(task.error))
    began = time.monotonic()
    try:
        folder = find_folder(task.run)
        if has_results(task.run, folder):
            return End("was finished", str(folder))
        folder = finish(task.run)
        return End(_DONE, str(folder), minutes=(time.monotonic() - began) / 60)
    except Exception as error:
        code = report(error, task.name)
        return replace(_failed(error, code), minutes=(time.monotonic() - began) / 60)


def _failed(error: Exception, code: int) -> End:
    why = textwrap.shorten(in_a_sentence(error), _LONGEST_REASON, placeholder=" ...")
    return End("failed", as_options(why), code)


def _summary(tasks: Sequence[Task], ends: Sequence[End]) -> str:
    """The table of what became of all runs."""
    head = ["network", "dataset", "seed", "result", "clips", "minutes", "folder, or why it failed"]
    rest = [_NOT_BEGUN] * (len(tasks) - len(ends))
    rows = [
        [
            *task.title,
            end.state,
            str(len(task.run.rows)) if task.run else "",
            "" if end.minutes is None else f"{end.minutes:.1f}",
            end.said,
        ]
        for task, end in zip(tasks, [*ends, *rest], strict=True)
    ]
    there = sum(end.code == 0 for end in ends) - ends.count(_STOPPED)
    return (
        f"{there} of {counted(len(tasks), 'run')} are there:\n{format_table(head, rows, left=True)}"
    )
