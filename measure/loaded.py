"""A network with its weights, ready to give the features of clips."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from config import Config
from measure.choosing import as_arrays, require_as_plain
from measure.left_out import clips_not_finite
from measure.steady import RELATIVE, ROUNDED, require_steady
from models.network import BY_SHAPE, HookPoint, Network, UnitRule
from models.way import FP32
from utils import resolve_device

if TYPE_CHECKING:
    import torch
    from torch import nn

    from models.checkpoints import Loaded
    from models.forwards import Forward, Staged

# Clips at a time where nothing else is said: on a CPU more of them save no time.
_USUAL = {"cpu": 2}
_ON_OTHERS = 8


def clips_at_once(config: Config, device: torch.device) -> int:
    """Clips per forward, unless a run finds a better number."""
    return config.batch_size or _USUAL.get(device.type, _ON_OTHERS)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to be measured.

    module: on its device, in evaluation mode.
    points: where each stage is taken.
    device: of the module.
    rule: what a unit is.
    is_users: whether errors in its forward are those of a user's code.
    forward: that gives the features, as `measure.speed` chose it; None: the module's.
    is_plain: whether it computes what the module does, operator by operator.
    precision: of the forward.
    """

    module: nn.Module
    points: Mapping[str, Sequence[HookPoint]]
    device: torch.device
    rule: UnitRule = BY_SHAPE
    is_users: bool = False
    forward: Forward | None = None
    is_plain: bool = True
    precision: str = FP32

    @property
    def staged(self) -> Staged:
        """The network and its stages, as the ways to compute them take it."""
        from models.forwards import Staged

        return Staged(self.module, self.points, self.rule)

    def features(
        self, inputs: Sequence[torch.Tensor], logits: bool = False
    ) -> dict[str, np.ndarray]:
        """Features of every stage from one forward, float32 [rows, C] each, and "logits" if asked.

        Raises UserError for an error in a user's own network, and where memory does not suffice.
        """
        from models.capture import stage_features

        if logits:
            return self._guarded(
                lambda x: stage_features(self.module, x, self.points, logits=True, rule=self.rule),
                inputs,
            )
        found = self._features(inputs)
        if not self.is_plain:  # half precision overflows where float32 does not
            for place in clips_not_finite(found, len(inputs[0])):
                self._make_plain(found, place, inputs)
        return found

    def _make_plain(self, found: dict[str, np.ndarray], place: int, inputs: Sequence[torch.Tensor]):
        """Put the features that the network's modules compute in the place of those of a clip."""
        plain = self._guarded(self.staged.plain, [x[place : place + 1] for x in inputs])
        for stage, values in plain.items():
            rows = len(values)
            found[stage] = found[stage].copy()
            found[stage][rows * place : rows * (place + 1)] = values

    def require_steady(
        self, inputs: Sequence[torch.Tensor], features: Mapping[str, np.ndarray]
    ) -> None:
        """Raise UserError if a clip has other features than these by itself, or each time (see
        `measure.steady`)."""
        relative = RELATIVE if self.precision == FP32 else ROUNDED
        require_steady(self._features, inputs, features, relative)

    def require_as_plain(
        self, inputs: Sequence[torch.Tensor], features: Mapping[str, np.ndarray]
    ) -> None:
        """Raise Unsteady if the features of the last clip of a batch are not those that the
        network's modules compute."""
        if self.is_plain:
            return
        plain = self._guarded(self.staged.plain, [x[-1:] for x in inputs])
        require_as_plain(
            plain, {stage: x[-len(plain[stage]) :] for stage, x in features.items()}, self.precision
        )

    def _features(self, inputs: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        return self._guarded(self.forward or self.staged.plain, inputs)

    def _guarded(self, forward: Forward, inputs: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        moved = [x.to(self.device, non_blocking=True) for x in inputs]
        # A chosen forward has come down to one clip before it lacks memory.
        with self.guarding(inputs, 1 if forward is self.forward else len(inputs[0])):
            return as_arrays(forward(moved))

    @contextlib.contextmanager
    def guarding(self, inputs: Sequence[torch.Tensor], clips: int | None = None) -> Iterator[None]:
        """Turns errors of a user's own network inside the block, and a lack of memory for so many
        clips (by default those of the inputs), into UserErrors."""
        from models.outline import first_forward, within_memory

        guard = first_forward(inputs) if self.is_users else contextlib.nullcontext()
        with within_memory(clips or len(inputs[0])), guard:
            yield


def load_network(config: Config, network: Network, checkpoint: str) -> tuple[LoadedNetwork, Loaded]:
    """The network with the weights of `checkpoint` on its device, and what was loaded.

    Raises UserError if the checkpoint cannot be read or does not fit, or if a stage of a user's
    own network, or one with units on another axis, cannot be measured: a batch of zeros is run to
    see.
    """
    from models.checkpoints import load
    from models.outline import require_stages, zeros

    device = resolve_device(config.device)
    module, loaded = load(
        network,
        checkpoint,
        num_classes=config.num_classes,
        allow_other_head=config.allow_other_head,
        seed=config.random_seed,
    )
    points, is_users = network.stage_points(config.stg), bool(network.modules)
    ready = LoadedNetwork(module.to(device), points, device, network.unit_rule, is_users)
    if is_users or network.unit_rule.dim is not None:
        clips = zeros(network.clip, device, clips_at_once(config, device))
        require_stages(ready.module, clips, points, network.unit_rule, network.clip.rows)
    return ready, loaded
