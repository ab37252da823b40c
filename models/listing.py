"""The tables that `--list_models` and `--list_stages` print."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from common.tasks import SEGMENTATION
from datasets.geometry import ClipGeometry, Geometry
from models.catalogue import networks
from models.network import Network
from models.outline import StageRow, list_stages
from models.tables.two_stream import ARCHIVE_URL
from utils import format_table


def models_table() -> str:
    """The networks of the study, one per line. Nothing is computed: only shapes pass through them.

    Frames x rate are those of training, the crop is in pixels, parameters are in millions.
    """
    head = ["name", "task", "family", "frames", "crop", "stages", "units per stage"]
    head += ["parameters", "weights"]
    return format_table(head, [_model_row(network) for network in networks().values()], left=True)


def _model_row(network: Network) -> list[str]:
    # Both, if there are two pathways.
    both = {"path": "cat"} if "path" in network.options else {}
    spec = dataclasses.replace(network.spec, **both)
    with torch.device("meta"):
        module = network.module(spec=spec)
    _skip_norms(module)
    units = [
        row.units
        for row in list_stages(dataclasses.replace(network, spec=spec), module, device="meta")
    ]
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return [
        network.name,
        network.task,
        network.family,
        _frames(network.clip),
        "x".join(map(str, dict.fromkeys(network.clip.pixels))),
        _span(network.stages),
        _runs(units),
        f"{parameters / 1e6:.2f} M",
        _published(network),
    ]


def _skip_norms(module: nn.Module) -> None:
    """Make batch norms return what they are given: they keep shapes, but take most of the time."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.forward = _same  # type: ignore[method-assign, assignment]


def _same(x: Tensor) -> Tensor:
    return x


def _frames(clip: Geometry) -> str:
    if isinstance(clip, ClipGeometry):
        return f"{clip.frames} x {clip.sampling_rate}"
    return f"{clip.frames} with flow"


def _span(stages: tuple[str, ...]) -> str:
    if any("," in stage for stage in stages):
        return f"{len(stages)} of two streams and their fusion"
    return f"{stages[0]}-{stages[-1]}" if len(stages) > 1 else stages[0]


def _runs(units: Iterable[int]) -> str:
    """Numbers in order, repetitions counted: "96, 2 x 192"."""
    counted = ((value, len(list(group))) for value, group in itertools.groupby(units))
    return ", ".join(f"{n} x {value}" if n > 1 else str(value) for value, n in counted)


def _published(network: Network) -> str:
    weights = network.weights
    if weights.bundled:
        return "comes with the toolkit"
    if network.task == SEGMENTATION and "Unpack" in weights.page:
        return ARCHIVE_URL
    return weights.url or "none published"


def stages_table(network: Network) -> str:
    """Every stage of a network with the shape of its output for one clip, and its units.

    A star marks the stages that `stg` all stands for.
    """
    rows = list_stages(network, network.module())
    lines = [_stage_line(row, network.clip.rows) for row in rows]
    table = format_table(["", "stage", "units", "output", "note"], lines, left=True)
    head = f"{network.name}, one clip of {_clip(network.clip)}"
    return f"{head}; * are those of `stg` all\n{table}"


def _clip(clip: Geometry) -> str:
    frames = " + ".join(str(n) for _, n in clip.inputs) if isinstance(clip, ClipGeometry) else ""
    height, width = clip.pixels
    return f"{frames or clip.frames} frames of {height}x{width} pixels"


def _stage_line(row: StageRow, expected: int) -> list[str]:
    """The cells of a stage whose features should have the `expected` number of rows per clip."""
    notes = {0: "not reached by the forward", 1: ""}
    if not row.units:
        notes[1] = "no units, cannot be measured"
    elif row.shape[0] != expected:
        notes[1] = f"{row.shape[0]} rows per clip: needs `batch_size` 1"
    return [
        "*" if row.default else "",
        row.stage,
        str(row.units) if row.shape else "",
        str(list(row.shape)) if row.shape else "",
        notes.get(row.calls, f"used {row.calls} times, cannot be measured"),
    ]
