"""The processes that work on one run: what each knows of itself and of the others.

The first one, of rank 0, leads: it alone prints, makes folders and writes results. The others
compute clips. What they tell each other goes through `measure.ranks.keys`; features do not.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from common.process import exit_code
from measure.ranks.keys import POLL, Called, Keys, Memory, Shared
from utils import UserError, add_note

T = TypeVar("T")
# How a run ended; what kept a process from going on.
END, FAILED = "end", "failed"
# The exit code of the first process, once it has no more to do.
OVER = "over"
# That a process has left.
LEFT = "left/{}"


class Ended(UserError):
    """The first process has ended the run.

    code: in which exit code.
    unsteady: whether what was computed is not to be kept.
    """

    def __init__(self, code: int, unsteady: bool = False) -> None:
        super().__init__("the first process has ended the run")
        self.code, self.unsteady = code, unsteady


class Failed(UserError):
    """Another process of the team cannot go on.

    unsteady: whether what was computed is not to be kept.
    """

    def __init__(self, message: str, unsteady: bool = False) -> None:
        super().__init__(message)
        self.unsteady = unsteady


@dataclass(frozen=True)
class Team:
    """One process among those that work on a run; alone by default.

    rank: its number, from 0.
    size: how many there are.
    keys: what they tell each other.
    run: number of the run, from 1, of those that one team measures one after another.
    """

    rank: int = 0
    size: int = 1
    keys: Keys = field(default_factory=Memory)
    run: int = 0
    _runs: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @property
    def leads(self) -> bool:
        """Whether it prints and writes, and the others, if any, help it."""
        return self.rank == 0

    def next_run(self) -> Team:
        """The same for the next run: nothing that was told in another one is seen."""
        keys = self.keys if isinstance(self.keys, Shared) else Memory()
        return replace(self, run=next(self._runs), keys=keys)

    def add(self, name: str, number: int = 1) -> int:
        """Add to a number of all processes, which is 0 at first; returns the sum."""
        return self.keys.add(self._key(name), number)

    def take(self, items: Sequence[T]) -> Iterator[T]:
        """Those of the items, which are the same in every process, that no other process takes;
        the next one when it is asked for."""
        while (number := self.add("taken") - 1) < len(items):
            self.heed()
            yield items[number]

    def give(self, name: str, value: Any) -> None:
        """Set a value, in JSON types, for all."""
        self.keys.set(self._key(name), json.dumps(value))

    def get(self, name: str) -> Any:
        """The value that was given; None if there is none yet."""
        text = self.keys.get(self._key(name))
        return None if text is None else json.loads(text)

    def wait_for(self, name: str) -> Any:
        """The value that is given, once it is."""
        while (value := self.get(name)) is None:
            self.heed()
            time.sleep(POLL)
        return value

    def post(self, name: str, value: Any) -> None:
        """Add a value, in JSON types, to a list of all processes."""
        self.give(f"{name}/{self.add(name) - 1}", value)

    def posted(self, name: str, start: int = 0) -> list[Any]:
        """The values of a list, from a place on."""
        values = (self.get(f"{name}/{i}") for i in range(start, self.add(name, 0)))
        return list(itertools.takewhile(lambda value: value is not None, values))

    @property
    def over(self) -> int | None:
        """The exit code in which the first process has ended; None while it goes on."""
        text = self.keys.get(OVER)
        return None if text is None else int(text)

    def leave(self) -> None:
        """Tell the others that this process will end."""
        self.keys.set_at_last(LEFT.format(self.rank), "")

    def heed(self) -> None:
        """Raise Failed in the first process if another one cannot go on with the run, and Ended in
        the others if the first one has ended it."""
        if news := news_of(self.keys, self.run, self.leads):
            raise news

    @contextlib.contextmanager
    def heeding(self) -> Iterator[None]:
        """As `heed`, at once at any place inside the block; Lost for a process that has died."""
        if not isinstance(self.keys, Shared):
            yield
            return
        try:
            with self.keys.calling(self.run):
                yield
        except Called as call:
            for note in getattr(call, "__notes__", ()):
                add_note(call.trouble, note)
            raise call.trouble from None

    @contextlib.contextmanager
    def leading(self) -> Iterator[Team]:
        """Around a run, in the first process: gives the team for it, and tells the others how it
        ends.

        Raises Failed if another process cannot go on, and Lost if one has died.
        """
        own = self.next_run()
        end = [1, False]
        try:
            with own.heeding():
                yield own
            end = [0, False]
        except BaseException as error:
            code = exit_code(error) if isinstance(error, Exception) else 1
            end = [code, getattr(error, "unsteady", False)]
            raise
        finally:
            own.keys.set_at_last(own._key(END), json.dumps(end))

    def _key(self, name: str) -> str:
        return f"{self.run}/{name}"


def news_of(keys: Keys, run: int, leads: bool) -> UserError | None:
    """What ends a run for a process: that another one cannot go on, or, unless it leads, that the
    first one has ended it."""
    found = keys.get(f"{run}/{FAILED}/0" if leads else f"{run}/{END}")
    if found is None:
        return None
    told = json.loads(found)
    if leads:
        return Failed(*told)
    return Ended(*told) if told[0] else None
