"""What all processes that work on a run have found: videos to leave out, and clips computed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from measure.ranks.keys import POLL
from measure.ranks.team import Team
from measure.ranks.work import FINISHED

UNREADABLE, NOT_FINITE = "unreadable", "not finite"


@dataclass
class Findings:
    """Videos that cannot be used, and why, whichever process has found them.

    team: whose they are.
    """

    team: Team = field(default_factory=Team)
    _found: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    _heard: int = 0
    _counted: int = 0

    def add(self, kind: str, row: int, video: str, reason: str) -> None:
        """Tell the others of a video that is `UNREADABLE` or `NOT_FINITE`, as a row shows."""
        if self._note(kind, row, video, reason):
            self.team.post("found", [kind, row, video, reason])

    def hear(self) -> None:
        """Learn what the others have found."""
        new = self.team.posted("found", self._heard)
        self._heard += len(new)
        for kind, row, video, reason in new:
            self._note(kind, row, video, reason)

    def of(self, kind: str) -> dict[str, str]:
        """The videos of a kind, and why, by their first rows."""
        found = sorted(
            (row, video, why) for (k, video), (row, why) in self._found.items() if k == kind
        )
        return {video: why for _, video, why in found}

    def count(self, computed: int) -> int:
        """How many clips were computed by all processes since this was last asked; `computed` by
        this one."""
        total = self.team.add("clips", computed)
        new, self._counted = total - self._counted, total
        return new

    def waiting(self) -> Iterator[int]:
        """In the first process, until the others have ended: how many clips they have computed."""
        while self.team.leads and len(self.team.posted(FINISHED)) < self.team.size - 1:
            self.team.heed()
            yield self.count(0)
            time.sleep(POLL)
        yield self.count(0)

    def _note(self, kind: str, row: int, video: str, reason: str) -> bool:
        """Keep a reason, unless there is one of an earlier row, as one process would find it."""
        before = self._found.get((kind, video))
        if before and before[0] <= row:
            return False
        self._found[kind, video] = row, reason
        return True
