"""How the processes of a team find each other: by the environment that torchrun, or a script of a
cluster, starts them with."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from common.process import exit_code, usable_cores
from measure.ranks.keys import BEAT, MISSES, POLL, Direct, Lost, Shared
from measure.ranks.team import LEFT, OVER, Ended, Team, news_of
from utils import UserError

if TYPE_CHECKING:
    from torch.distributed import Store

# Seconds to wait for the others at the start, and at the end.
PATIENCE, PARTING = 600.0, BEAT + 2.0


@dataclass(frozen=True)
class Place:
    """A process among its team, as the environment says.

    rank, size: its number, from 0, and how many there are.
    local_size: how many there are on its machine.
    host, port: where the store is.
    hosts_store: whether this process must begin it.
    """

    rank: int
    size: int
    local_size: int
    host: str
    port: int
    hosts_store: bool

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Place | None:
        """The place that the environment gives; None for a process alone.

        Raises UserError, with the variable, for a part of one.
        """
        if environ.get("WORLD_SIZE", "1") == "1":
            return None
        size = _number(environ, "WORLD_SIZE", least=1)
        rank = _number(environ, "RANK", most=size - 1)
        started = environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if not environ.get("MASTER_ADDR"):
            raise UserError(_incomplete("MASTER_ADDR", None))
        return cls(
            rank,
            size,
            _number({"LOCAL_WORLD_SIZE": "1", **environ}, "LOCAL_WORLD_SIZE", least=1),
            environ["MASTER_ADDR"],
            _number(environ, "MASTER_PORT", least=1, most=65535),
            hosts_store=rank == 0 and not started,
        )


def _number(environ: Mapping[str, str], name: str, least: int = 0, most: int = 10**6) -> int:
    text = environ.get(name)
    if text is None or not text.isdecimal() or not least <= int(text) <= most:
        raise UserError(_incomplete(name, text))
    return int(text)


def _incomplete(name: str, found: str | None) -> str:
    return (
        f"WORLD_SIZE says that there are several processes, and {name} is {found or 'not set'}: "
        "start them with torchrun, or as docs/cluster.md says; for one process unset WORLD_SIZE"
    )


@contextlib.contextmanager
def joined(environ: Mapping[str, str] = os.environ) -> Iterator[Team]:
    """The team of this process, which is alone unless its environment says otherwise.

    Raises UserError if that is incomplete, or if the others do not come.
    """
    place = Place.of(environ)
    if place is None:
        yield Team()
        return
    # What PyTorch says of a lost connection, with addresses in its library, is said in a sentence.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    _share_cores(place, environ)
    store, members = _meet(place, _connected(place))
    keys = Shared(store, _Watch(place.rank, members))
    team, over = Team(place.rank, place.size, keys), 1
    try:
        yield team
        over = 0
    except SystemExit as error:  # of --help, say
        over = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except Exception as error:
        over = exit_code(error)
        raise
    finally:
        keys.turn_to(0)
        if place.rank == 0:
            keys.set_at_last(OVER, str(over))
        team.leave()
        if place.rank == 0:  # the store, which may end with this process, is read by the others
            _until(lambda: all(_has_left(keys, rank) for rank in range(place.size)), PARTING)
        keys.close()


def _has_left(keys: Shared, rank: int) -> bool:
    with contextlib.suppress(UserError):
        return keys.get(LEFT.format(rank)) is not None
    return True  # as far as can be told


def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; returns whether it is."""
    end = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < end:
        time.sleep(POLL)
    return found


def _share_cores(place: Place, environ: Mapping[str, str]) -> None:
    """Compute with this process's share of the cores where torchrun has set one for each.

    At least two: with one thread, convolutions are computed in another order than with several, and
    the last bits of features would be others.
    """
    if "TORCHELASTIC_RUN_ID" in environ and environ.get("OMP_NUM_THREADS") == "1":
        import torch

        torch.set_num_threads(max(usable_cores() // place.local_size, 2))


def _connected(place: Place) -> Store:
    """The store, once it is there. Raises UserError if it does not come."""
    from torch.distributed import TCPStore

    def is_there() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((place.host, place.port), 2):
            return True
        return False

    address = f"{place.host}, port {place.port} (MASTER_ADDR, MASTER_PORT)"
    if not place.hosts_store and not _until(is_there, PATIENCE):
        raise UserError(
            f"nothing answers at {address} in {PATIENCE:.0f} seconds: does the first process run?"
        )
    try:
        return TCPStore(
            place.host,
            place.port,
            is_master=place.hosts_store,
            wait_for_workers=False,
            timeout=timedelta(seconds=BEAT * MISSES),
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"no store at {address}: {error}") from None


def _meet(place: Place, store: Store) -> tuple[Store, list[str]]:
    """The part of the store that is of these processes alone, and what each of them is called.

    A store may outlive a team, and hold what an earlier one has told.

    Raises UserError if not all come.
    """
    own = f"process {os.getpid()} on {socket.gethostname()}"
    return _welcomed(place, store, own) if place.rank else _gathered(place, store, own)


def _gathered(place: Place, store: Store, own: str) -> tuple[Store, list[str]]:
    from torch.distributed import PrefixStore

    session = uuid.uuid4().hex
    part = PrefixStore(session, store)
    keys, others = Direct(part), range(1, place.size)
    store.set("session", session)

    def missing() -> list[int]:
        return [rank for rank in others if keys.get(f"hello/{rank}") is None]

    if not _until(lambda: not missing(), PATIENCE):
        raise UserError(
            f"{len(missing())} of {place.size} processes did not come in "
            f"{PATIENCE:.0f} seconds, such as that of rank {missing()[0]}"
        )
    members = [own, *(str(keys.get(f"hello/{rank}")) for rank in others)]
    keys.set("members", json.dumps(members))
    return part, members


def _welcomed(place: Place, store: Store, own: str) -> tuple[Store, list[str]]:
    from torch.distributed import PrefixStore

    found: list[Any] = []
    greeted = ""

    def is_welcome() -> bool:
        nonlocal greeted
        session = Direct(store).get("session")
        if session is None:
            return False
        part = PrefixStore(session, store)
        if session != greeted:
            greeted = session
            part.set(f"hello/{place.rank}", own)
        members = json.loads(Direct(part).get("members") or "[]")
        if len(members) != place.size or members[place.rank] != own:  # an earlier team's
            return False
        found[:] = part, members
        return True

    try:
        come = _until(is_welcome, PATIENCE)
    except RuntimeError as error:
        raise Lost(f"the first process has ended before all had come: {error}") from None
    if not come:
        raise UserError(f"the first process did not come in {PATIENCE:.0f} seconds")
    return found[0], found[1]


@dataclass
class _Watch:
    """Looks after the others: the first process after all, they after the first one.

    rank: of this process.
    members: what each is called, in messages.
    run: number of the run that is being measured, 0 before the first.
    """

    rank: int
    members: list[str]
    run: int = 0
    _beats: dict[int, int] = field(default_factory=dict)
    _missed: dict[int, int] = field(default_factory=dict)

    def __call__(self, keys: Direct) -> UserError | None:
        """What is wrong, if anything."""
        keys.add(f"beat/{self.rank}", 1)
        # First: one that has said why it ends may have left.
        told = news_of(keys, self.run, self.rank == 0) if self.run else None
        return told or self._over(keys) or self._lost(keys)

    def _over(self, keys: Direct) -> Ended | None:
        """That the first process has ended in order, if it has: nothing is left to do in a run, and
        its store may vanish."""
        code = keys.get(OVER) if self.rank and self.run else None
        return None if code is None else Ended(int(code))

    def _lost(self, keys: Direct) -> Lost | None:
        """That a process has died, if one has."""
        for rank in range(1, len(self.members)) if self.rank == 0 else [0]:
            beat = keys.add(f"beat/{rank}", 0)
            still = beat == self._beats.get(rank)
            self._beats[rank] = beat
            self._missed[rank] = self._missed.get(rank, 0) + 1 if still else 0
            who = f"the process of rank {rank} ({self.members[rank]})"
            if rank and self.run and keys.get(LEFT.format(rank)) is not None:
                return Lost(f"{who} has ended")
            if self.run and self._missed[rank] >= MISSES:
                return Lost(
                    f"{who} has died: nothing was heard of it for {BEAT * MISSES:.0f} seconds"
                )
        return None
