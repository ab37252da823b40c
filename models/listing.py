"""The tables that `--list_models` and `--list_stages` print."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch

from datasets.geometry import ClipGeometry
from models.network import BUILT, RANDOM, Network, networks
from models.outline import StageRow, list_stages
from utils import format_table


def models_table() -> str:
    """The networks of the study, a line each. Nothing is computed: shapes alone go through them.

    Frames x rate are those of training, the crop is in pixels, parameters are in millions.
    """
    head = [
        "name",
        "family",
        "frames x rate",
        "crop",
        "stages",
        "units per stage",
        "parameters",
        "weights",
    ]
    return format_table(head, [_model_row(network) for network in networks().values()], left=True)


def _model_row(network: Network) -> list[str]:
    with torch.device("meta"):
        module = network.module()
    path = "cat" if len(network.clip.inputs) > 1 else "fast"
    units = [row.units for row in list_stages(network, module, path, True, device="meta")]
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return [
        network.name,
        network.family,
        f"{network.clip.inputs[-1][1]} x {network.clip.sampling_rate}",
        str(network.clip.crop),
        _span(network.stages),
        _runs(units),
        f"{parameters / 1e6:.2f} M",
        _published(network),
    ]


def _span(stages: tuple[str, ...]) -> str:
    return f"{stages[0]}-{stages[-1]}" if len(stages) > 1 else stages[0]


def _runs(units: Iterable[int]) -> str:
    """Numbers in order, repeated ones once: "96, 2 x 192"."""
    counted = ((value, len(list(group))) for value, group in itertools.groupby(units))
    return ", ".join(f"{n} x {value}" if n > 1 else str(value) for value, n in counted)


def _published(network: Network) -> str:
    weights = network.weights
    if weights.bundled:
        return "comes with the toolkit"
    return weights.url or "none published"


def stages_table(network: Network, path: str, fuse: bool) -> str:
    """Every stage of a network with the shape of its output for one clip, and its units.

    Stages that `stg` all` takes are marked with a star.
    """
    checkpoint = BUILT if network.weights.built else RANDOM
    module = network.own or network.module()
    rows = list_stages(network, module.eval(), path, fuse)
    lines = [_stage_line(row) for row in rows]
    table = format_table(["", "stage", "units", "output", "note"], lines, left=True)
    clip = network.clip
    return "\n".join(
        [
            f"{network.name} ({checkpoint}), one clip of {_clip(clip)}; * are those of `stg` all",
            table,
        ]
    )


def _clip(clip: ClipGeometry) -> str:
    frames = " + ".join(str(n) for _, n in clip.inputs)
    return f"{frames} frames of {clip.crop}x{clip.crop} pixels"


def _stage_line(row: StageRow) -> list[str]:
    notes = {0: "not reached by the forward", 1: ""}
    if not row.units:
        notes[1] = "no units, cannot be measured"
    elif row.shape[0] != 1:
        notes[1] = f"{row.shape[0]} rows a clip: needs `batch_size` 1"
    return [
        "*" if row.default else "",
        row.stage,
        str(row.units) if row.shape else "",
        str(list(row.shape)) if row.shape else "",
        notes.get(row.calls, f"used {row.calls} times, cannot be measured"),
    ]
