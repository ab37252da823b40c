"""The way in which a run computes its features: kept from its record, asked for, or the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datasets.chunks import in_batches
from measure.choosing import FEW, checked, choose
from measure.loaded import LoadedNetwork, clips_at_once
from measure.run import Run
from models.network import AUTO
from models.way import HALF, Way

if TYPE_CHECKING:
    from torch import Tensor

    from models.forwards import Forward

PLAIN = "plain"
# Clips of a trial.
_TRIED = 2
# Clips per forward that are tried at most, by device.
_LARGEST = {"cpu": 8, "cuda": 128}


@dataclass(frozen=True)
class Decision:
    """How the features of a run are computed.

    record: of the way, in JSON types; another process makes the same of it.
    forward: if it is made already.
    """

    record: dict[str, Any]
    forward: Forward | None = None


def decide(
    run: Run, network: LoadedNetwork, clips: int, recorded: Mapping[str, Any] | None
) -> Decision:
    """The way for a run with so many clips to come.

    recorded: of the way in which the other clips were computed; None at its start.

    Raises UserError for a way that was asked for, and that is not to be had here, and DataError for
    a record that is damaged.
    """
    config, size = run.config, clips_at_once(run.config, network.device)
    is_short = clips < FEW and config.precision not in HALF and recorded is None
    if config.way == PLAIN or (config.way == AUTO and is_short):
        return Decision({"steps": [], "batch_size": size})
    if config.way != AUTO:
        half = [config.precision] * (config.precision in HALF)
        return Decision({"steps": [*config.way.split("+"), *half], "batch_size": size})
    if recorded is not None:
        most = max(_LARGEST.get(network.device.type, 0), size)
        kept = config.batch_size or min(Way.of_record(recorded).batch_size, most)
        return Decision({**recorded, "batch_size": kept})
    inputs = first_inputs(run, network, min(size, _TRIED))
    if inputs is None:  # no video can be read, as will be said
        return Decision({"steps": [], "batch_size": size})
    largest = config.batch_size or _LARGEST.get(network.device.type, 0)
    with network.guarding(inputs):
        choice = choose(network.staged, inputs, clips, config.precision, (size, largest))
    if len(choice.tried) > 1:
        print(choice.describe(), flush=True)
    return Decision(choice.record(), choice.best.forward)


def taken(run: Run, network: LoadedNetwork, decision: Decision) -> tuple[Run, LoadedNetwork]:
    """The run with the batches of a way, and the network that computes in it.

    Raises UserError where features are not within tolerance of the plain ones, or where the way is
    not to be had on this machine.
    """
    from models.forwards import Fitting

    way, forward = Way.of_record(decision.record), decision.forward
    if forward is None:
        inputs = first_inputs(run, network, min(way.batch_size, _TRIED)) if way.steps else None
        forward = network.staged.plain if inputs is None else _checked(run, network, way, inputs)
    ready = replace(
        network,
        forward=Fitting(network.staged, way, forward),
        is_plain=way.is_plain,
        precision=way.precision,
    )
    return replace(run, config=replace(run.config, batch_size=way.batch_size)), ready


def _checked(run: Run, network: LoadedNetwork, way: Way, inputs: Sequence[Tensor]) -> Forward:
    with network.guarding(inputs):
        trial = checked(network.staged, way, inputs, run.config.precision)
    assert trial.forward
    return trial.forward


def first_inputs(run: Run, network: LoadedNetwork, clips: int) -> list[Tensor] | None:
    """The inputs of the first clips of a run that can be read, so many at most, on the network's
    device; None if there are none."""
    from datasets.batches import Batch, iter_batches

    chunks = ([batch] for batch in in_batches(run.plan.clips, clips))
    for batch in iter_batches(chunks, run.data.reader(run.geometry)):
        if isinstance(batch, Batch):
            return [x.to(network.device) for x in batch.inputs]
    return None
