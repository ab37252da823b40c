"""The record of a network (`Network`) and finding one by name. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from utils import UserError

if TYPE_CHECKING:
    from torch import nn

PATHS = ("slow", "fast", "cat")


@dataclass(frozen=True)
class ClipGeometry:
    """How a network wants its clips.

    inputs: (name, frames) of each input in the order the network takes them.
    sampling_rate: raw frames between two input frames in training (of the last input).
    window: raw frames that a clip spans; every input is a uniform subsample of it.
    short_side, crop: pixels; frames are scaled to `short_side`, then centre-cropped to `crop`.
    mean, std: per channel (RGB), for values in [0, 1].
    """

    inputs: tuple[tuple[str, int], ...]
    sampling_rate: int
    window: int = 64
    short_side: int = 256
    crop: int = 256
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)

    @property
    def alpha(self) -> int | None:
        """Fast frames per slow frame, None for a network with one input."""
        return self.inputs[1][1] // self.inputs[0][1] if len(self.inputs) == 2 else None

    def resized(self, crop: int | None, window: int | None) -> ClipGeometry:
        """The same geometry with another crop (short side in proportion) or window."""
        short_side = self.short_side if crop is None else round(self.short_side * crop / self.crop)
        return replace(
            self, crop=crop or self.crop, short_side=short_side, window=window or self.window
        )


@dataclass(frozen=True)
class Tap:
    """One tensor inside a network: output `index` of `module` (a path as in named_modules)."""

    module: str
    index: int = 0


@dataclass(frozen=True)
class Weights:
    """Where trained weights are published: the page that lists them and the file's address."""

    page: str
    url: str | None = None
    bundled: Path | None = None

    def advice(self) -> str:
        """What a user without a checkpoint should do, in one sentence."""
        if self.url:
            file = self.url.rsplit("/", 1)[-1]
            return f"download {file} from {self.url} (listed at {self.page}) and give --checkpoint"
        return self.page


@dataclass(frozen=True)
class Network:
    """All that belongs to one network.

    build: "module:function"; called with `spec` and the number of classes, returns the module.
    stages: names in order of depth; `taps(stage, path, fuse)` says where each is taken.
    num_classes: of the published weights, which were trained on `trained_on`.
    by_dataset: other entries that this name stands for, by data set.
    head: how the published names of the classifier's parameters begin.
    """

    name: str
    family: str
    build: str
    spec: object
    stages: tuple[str, ...]
    taps: Callable[[str, str, bool], tuple[Tap, ...]]
    clip: ClipGeometry
    num_classes: int
    trained_on: str
    weights: Weights
    head: str
    by_dataset: Mapping[str, str] = field(default_factory=dict)

    def module(self, num_classes: int | None = None) -> nn.Module:
        """A new module with random weights, in evaluation mode."""
        file, function = self.build.split(":")
        build = getattr(importlib.import_module(file), function)
        return build(self.spec, num_classes or self.num_classes).eval()

    def requested_stages(self, text: str | None) -> tuple[str, ...]:
        """The stages named by `--stg`: "5", "2,5", "all", or None for the last one.

        Raises UserError for an unknown stage.
        """
        if text is None:
            return self.stages[-1:]
        if text == "all":
            return self.stages
        wanted = [name.strip() for name in text.split(",") if name.strip()]
        for name in wanted:
            if name not in self.stages:
                raise UserError(
                    f"stage {name!r} is not in network {self.name!r}. "
                    f"Available: {', '.join(self.stages)}, or all.{suggestion(name, self.stages)}"
                )
        if not wanted:
            raise UserError(f"--stg {text!r} names no stage. Available: {', '.join(self.stages)}")
        return tuple(dict.fromkeys(wanted))


def suggestion(name: str, known: Iterable[str]) -> str:
    """" Did you mean ...?" with the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def networks() -> dict[str, Network]:
    """Every known network by name."""
    from models import resnet_family

    tables = (resnet_family.NETWORKS,)
    return {network.name: network for table in tables for network in table}


def find(name: str, dataset: str | None = None) -> Network:
    """The network called `name`, in the form trained for `dataset` where there is one.

    Raises UserError with the known names for an unknown one.
    """
    known = networks()
    if name not in known:
        raise UserError(
            f"--model {name!r} is not known. Available: {', '.join(known)}."
            f"{suggestion(name, known)}"
        )
    network = known[name]
    return known[network.by_dataset.get(dataset or "", name)]
