"""What the processes of a team do beside the first one: they compute clips, and are silent.

Whatever stops one of them is told to the first process, which says it and ends the run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from common.parts import in_words
from common.process import in_a_sentence
from config import Config
from measure.ending import keeping
from measure.features import fill
from measure.loaded import load_network
from measure.prepare import prepare
from measure.ranks.journal import Journal
from measure.ranks.keys import Lost
from measure.ranks.team import END, FAILED, Ended, Team
from measure.ranks.work import FINISHED, NOTHING, PREPARED, WORK, Work, digests
from measure.run import Run
from measure.speed import Decision
from utils import UserError, is_out_of_memory

# Seconds in which the first process says what went wrong, before this one ends.
_LAST_WORDS = 3.0


def assist(config: Config, team: Team) -> int:
    """Compute clips of a run that the first process measures; returns the exit code of this one: 0
    when all results are written, else another one, silently, as the first process says why.

    Raises Lost if the first process has died.
    """
    own = team.next_run()
    try:
        with own.heeding():
            _work(config, own)
            return 0
    except Lost:
        raise
    except Ended as end:
        return _silently(end.code)
    except Exception as error:
        can_mend = isinstance(error, UserError | OSError) or is_out_of_memory(error)
        what = f"cannot go on: {in_a_sentence(error)}" if can_mend else _ended_by(error)
        _tell(own, what, getattr(error, "unsteady", False))
        if not can_mend:
            raise
        with contextlib.suppress(UserError):
            own.wait_for(END)
        return _silently(2)
    except BaseException as error:
        _tell(own, _ended_by(error))
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


def _work(config: Config, team: Team) -> None:
    """Compute the clips that this process takes, into a journal."""
    expected = team.wait_for(PREPARED)  # the first one downloads, and makes videos
    run = prepare(config)
    _require_same(run, expected)
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


def _require_same(run: Run, expected: dict[str, str]) -> None:
    """Raise UserError if the first process measures anything else."""
    found = digests(run.agreed)
    other = [key for key, value in expected.items() if found.get(key) != value]
    if other:
        raise UserError(
            f"measures with {in_words(other)} than the first one: give all processes the same "
            "options, files and videos"
        )
