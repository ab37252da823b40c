"""The ways to compute a forward. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils import DataError

# Precisions of a forward: full, and half.
FP32, HALF = "fp32", ("bf16", "fp16")
# What a way can do beside it; `Way` says what each does.
SWITCHES = ("memory", "folded", "channels_last", "pruned", "compiled")


@dataclass(frozen=True)
class Way:
    """How forwards are computed; by default as the network's modules say.

    memory: whether the process keeps the memory that a forward frees.
    folded: whether batch norms are folded into the convolutions before them.
    channels_last: whether maps have their channels last in memory.
    precision: of convolutions and products, "fp32", "bf16" or "fp16".
    pruned: whether what no stage depends on is left out, such as a pathway that is not measured.
    compiled: whether the forward is compiled, which prunes it as well.
    batch_size: clips per forward.
    """

    memory: bool = False
    folded: bool = False
    channels_last: bool = False
    precision: str = FP32
    pruned: bool = False
    compiled: bool = False
    batch_size: int = 1

    @property
    def steps(self) -> tuple[str, ...]:
        """What differs from the plain way, by name."""
        on = [name for name in SWITCHES if getattr(self, name)]
        return (*on, *[self.precision] * (self.precision != FP32))

    @property
    def is_plain(self) -> bool:
        """Whether it computes what the modules say, operator by operator."""
        return not set(self.steps) - {"memory"}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Way:
        """The way whose `steps` and `batch_size` a record holds. Raises DataError for others."""
        steps, size = record.get("steps"), record.get("batch_size")
        known = (*SWITCHES, *HALF)
        if not isinstance(steps, list) or not all(step in known for step in steps):
            raise DataError(f"the record of the way to compute is damaged: steps {steps!r:.60}")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise DataError(f"the record of the way to compute is damaged: batch_size {size!r:.60}")
        half = [step for step in HALF if step in steps]
        return cls(
            **{step: True for step in SWITCHES if step in steps},
            precision=half[0] if half else FP32,
            batch_size=size,
        )
