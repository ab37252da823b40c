"""What the processes of a team do beside the first one: they compute clips, and are silent.

Whatever stops one of them is told to the first process, which says it and ends the run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any

from common.parts import in_words
from common.process import exit_code, in_a_sentence
from config import Config
from measure.ending import keeping
from measure.features import fill
from measure.loaded import load_network
from measure.prepare import prepare
from measure.ranks.journal import Journal
from measure.ranks.keys import POLL, Lost
from measure.ranks.team import END, FAILED, Ended, Team
from measure.ranks.work import FINISHED, NOTHING, PREPARED, WORK, Asked, Work
from measure.speed import Decision
from utils import UserError

# Seconds in which the first process says what went wrong, before this one ends.
_LAST_WORDS = 3.0


def assist(team: Team) -> int:
    """Compute clips of the runs that the first process measures, until it has no more; returns the
    exit code of this one: 0 if all results of these are written, else another one, silently, as
    the first process says why.

    Raises Lost if the first process has died.
    """
    codes = [0]
    try:
        while (own := team.next_run()) and (asked := _next(own)):
            codes.append(_helped(Asked(**asked), own))
        codes.append(own.over or 0)
    except Ended as end:  # the first process, which the thread that watches it has noticed
        codes.append(end.code)
    team.leave()
    return _silently(max(codes)) if any(codes) else 0


def _next(team: Team) -> dict[str, Any] | None:
    """The next run of the first process; None if it has no more."""
    with team.heeding():
        while (asked := team.get(PREPARED)) is None and team.over is None:
            time.sleep(POLL)
        return asked


def _helped(asked: Asked, team: Team) -> int:
    """Help with a run; returns the exit code that it has for this process."""
    try:
        with team.heeding():
            _work(asked, team)
            return 0
    except Lost:
        raise
    except Ended as end:
        return end.code
    except Exception as error:
        code = exit_code(error)
        what = f"cannot go on: {in_a_sentence(error)}" if code == 2 else _ended_by(error)
        _tell(team, what, getattr(error, "unsteady", False))
        if code != 2:
            raise
        with contextlib.suppress(Ended):
            team.wait_for(END)
        return code
    except BaseException as error:
        _tell(team, _ended_by(error))
        raise


def _ended_by(error: BaseException) -> str:
    return f"was ended by {type(error).__name__}"


def _tell(team: Team, what: str, unsteady: bool = False) -> None:
    """Tell the first process what has happened to this one."""
    who = f"process {os.getpid()} on {socket.gethostname()}"
    with contextlib.suppress(UserError):
        team.post(FAILED, [f"rank {team.rank} ({who}) {what}", unsteady])


def _silently(code: int) -> int:
    """The exit code, once the first process has had the time to say what went wrong: torchrun ends
    all as soon as one ends."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(_LAST_WORDS)
    return code


def _work(asked: Asked, team: Team) -> None:
    """Compute the clips of a run that this process takes, into a journal."""
    run = prepare(Config(**asked.options))
    if other := asked.differing(run.agreed):
        raise UserError(
            f"it measures with {in_words(other)} than the first one: give all processes the same "
            "files and videos"
        )
    told = team.wait_for(WORK)
    if told == NOTHING:
        _wait_for_end(team)
        return
    work = Work.of(told)
    network, _ = load_network(run.config, run.network, run.checkpoint)
    journal = Journal(work.folder / "features", team.rank, run.stages, work.done)
    try:
        with keeping(run, work.folder):
            fill(run, journal, network, Decision(work.way), team)
        journal.close()
        team.post(FINISHED, str(journal.path))
        _wait_for_end(team)
    except BaseException as error:
        if getattr(error, "unsteady", False):
            journal.forget()
        raise
    finally:
        journal.close()


def _wait_for_end(team: Team) -> None:
    """Wait until all results are written. Raises Ended if they are not to be."""
    team.wait_for(END)
    team.heed()
