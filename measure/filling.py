"""Batches of clips to features in the store, and what is left out on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from datasets.videos import MOST_SHOWN
from measure.left_out import Policy, clips_not_finite
from measure.ranks.findings import NOT_FINITE, UNREADABLE, Findings
from measure.ranks.team import Team
from measure.steady import Witness
from measure.waiting import Waiting
from utils import DataError, as_options, progress

if TYPE_CHECKING:
    from torch import Tensor

    from datasets.batches import BadVideo, Batch


# Batches of which a clip is compared with the plain way, beside the first ones and the last one.
_COMPARED = (10, 100, 1000, 10_000)


class FeatureNetwork(Protocol):
    """What gives features; `measure.features.LoadedNetwork` says what its methods do."""

    def features(self, inputs: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Features of every stage, float32 [rows, C] each."""

    def require_steady(self, inputs: Sequence[Tensor], features: Mapping[str, np.ndarray]) -> None:
        """Raise UserError if a clip has other features than these by itself, or each time."""

    def require_as_plain(
        self, inputs: Sequence[Tensor], features: Mapping[str, np.ndarray]
    ) -> None:
        """Raise UserError if the last clip has other features than the network's modules give."""


class Sink(Protocol):
    """Where features go: the feature store, or a journal (`measure.ranks.journal`)."""

    @property
    def done(self) -> np.ndarray:
        """Which rows are computed, bool [rows]."""

    def write(self, rows: Sequence[int], features: Mapping[str, np.ndarray]) -> None:
        """Keep the features of some rows, [rows, C] per stage."""

    def forget(self, rows: Sequence[int]) -> None:
        """Some rows are to be computed again."""


def fill_store(
    store: Sink,
    network: FeatureNetwork,
    batches: Iterator[Batch | BadVideo],
    rows: Mapping[Any, Sequence[int]],
    policy: Policy,
    waiting: Waiting | None = None,
    team: Team | None = None,
) -> dict[str, str]:
    """Compute and store the features of all clips in `batches`; returns videos left out and why.

    rows: of every clip in the store.
    waiting: what the progress bar says of who waits.
    team: of the processes that do so, of which the first waits for the others; alone by default.

    If frames come too slowly, what helps is printed at the end.

    Raises UnreadableVideos if there is one that may not be left out: no more is computed then, but
    the other videos are read as well, so that all bad ones (ten at most) are named. Raises
    UserError for a network that gives a clip other features beside other clips, or each time (what
    it has given is not kept), and DataError for NaN or inf that may not be left out.
    """
    waiting = waiting or Waiting(0)
    filling = _Filling(store, network, rows, policy, Findings(team or Team()))
    try:
        _fill(filling, batches, waiting)
    except BaseException as error:
        if getattr(error, "unsteady", False):  # whichever process has noticed it, and whenever
            store.forget(np.flatnonzero(store.done).tolist())
        raise
    left_out = filling.left_out()
    if waiting.advice and filling.findings.team.leads:
        print(as_options(waiting.advice), flush=True)
    return left_out


def _fill(filling: _Filling, batches: Iterator[Batch | BadVideo], waiting: Waiting) -> None:
    """Take all batches, and wait for the other processes, behind a progress bar of all."""
    findings, total, done = filling.findings, len(filling.rows), filling.n_done
    with progress((), "clips", "clip", total=total, done=done, shown=findings.team.leads) as bar:
        for batch in batches:
            with waiting.computing():
                computed = filling.take(batch)
            bar.set_postfix_str(str(waiting), refresh=False)
            bar.update(findings.count(computed))
            if filling.is_over:
                break
        filling.end()
        for computed in findings.waiting():
            bar.update(computed)


@dataclass
class _Filling:
    """A store that is being filled."""

    store: Sink
    network: FeatureNetwork
    rows: Mapping[Any, Sequence[int]]
    policy: Policy
    findings: Findings
    witness: Witness | None = None
    latest: tuple[Sequence[Tensor], Mapping[str, np.ndarray]] | None = None
    batches: int = 0

    @property
    def unreadable(self) -> dict[str, str]:
        """Videos with a frame that cannot be read, and why."""
        return self.findings.of(UNREADABLE)

    @property
    def not_finite(self) -> dict[str, str]:
        """Videos for which the network has given NaN or inf, and where."""
        return self.findings.of(NOT_FINITE)

    @property
    def n_done(self) -> int:
        """How many of the clips are in the store."""
        done = self.store.done
        return sum(bool(done[list(own)].all()) for own in self.rows.values())

    @property
    def is_over(self) -> bool:
        """Whether as many bad videos are known as are shown, and no clip will be computed."""
        return not self.policy.unreadable and len(self.unreadable) >= MOST_SHOWN

    def take(self, batch: Batch | BadVideo) -> int:
        """Deal with a batch; returns the number of clips computed."""
        from datasets.batches import BadVideo

        computed = 0
        self.findings.hear()
        if isinstance(batch, BadVideo):
            self._leave_out(UNREADABLE, batch.clip, batch.reason)
        elif self.policy.unreadable or not self.unreadable:
            computed = self._compute(batch)
        self._require_few()
        return computed

    def end(self) -> None:
        """Check the network again, once all batches are taken. Raises UserError as it does."""
        if self.witness:
            self.network.require_steady(self.witness.inputs, self.witness.features)
        if self.latest:
            self.network.require_as_plain(*self.latest)

    def left_out(self) -> dict[str, str]:
        """The videos left out, and why, once all processes have ended."""
        self.findings.hear()
        self._require_few()
        if self.findings.team.leads:
            self.policy.require_readable(dict([*self.unreadable.items()][:MOST_SHOWN]))
        return {**self.unreadable, **self.not_finite}

    def _require_few(self) -> None:
        if self.policy.unreadable or self.not_finite:
            self.policy.require_few({**self.unreadable, **self.not_finite})

    def _leave_out(self, kind: str, clip: Any, reason: str) -> None:
        self.findings.add(kind, self.rows[clip][0], clip.video, reason)

    def _compute(self, batch: Batch) -> int:
        """Compute a batch as a whole, and store those of its clips that are not stored yet; returns
        their number."""
        done = self.store.done
        to_do = [i for i, clip in enumerate(batch.clips) if not done[list(self.rows[clip])].all()]
        if not to_do:  # the video of the others cannot be read
            return 0
        features = self.network.features(batch.inputs)
        if self.witness is None:
            self.network.require_steady(batch.inputs, features)
            self.witness = Witness.among(batch.inputs, features)
        self.latest = batch.inputs, features
        self.batches += 1
        if self.batches in _COMPARED:
            self.network.require_as_plain(batch.inputs, features)
        bad = clips_not_finite(features, len(batch.clips))
        if bad and not self.policy.nan:
            place, why = next(iter(bad.items()))
            raise DataError(
                f"clip {batch.clips[place]}, {why}. Give `on_nan` skip to leave such videos out"
            )
        for place, why in bad.items():
            self._leave_out(NOT_FINITE, batch.clips[place], why)
        self._write([i for i in to_do if i not in bad], batch.clips, features)
        return len(to_do)

    def _write(self, kept: list[int], clips: Sequence[Any], features: Mapping[str, Any]) -> None:
        """Store the features of those clips of a batch that are kept."""
        if not kept:
            return
        rows = [row for place in kept for row in self.rows[clips[place]]]
        n = len(rows) // len(kept)
        taken = [n * place + k for place in kept for k in range(n)]
        self.store.write(rows, {stage: values[taken] for stage, values in features.items()})
