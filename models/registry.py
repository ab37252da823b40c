"""The record of a network (`Network`) and finding one by name. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.geometry import ClipGeometry
from utils import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

PATHS = ("slow", "fast", "cat")
# What --checkpoint takes for an untrained network.
RANDOM = "random"


@dataclass(frozen=True)
class Tap:
    """One tensor inside a network: output `index` of `module` (a path as in named_modules)."""

    module: str
    index: int = 0


@dataclass(frozen=True)
class Weights:
    """Where trained weights are published: the page that lists them and the file's address.

    file: its name, where the address does not end with it.
    """

    page: str
    url: str | None = None
    bundled: Path | None = None
    file: str | None = None

    def advice(self) -> str:
        """What a user without a checkpoint should do, in one sentence."""
        if self.url:
            file = self.file or self.url.rsplit("/", 1)[-1]
            return (
                f"Download {file} from {self.url} (listed at {self.page}) and give its path with "
                "--checkpoint"
            )
        return self.page


@dataclass(frozen=True)
class Variant:
    """A form of a network: its spec, the state to load, and a note on it for the record."""

    spec: object
    state: Mapping[str, Tensor]
    note: str = ""


@dataclass(frozen=True)
class Network:
    """All that belongs to one network.

    build: "module:function"; called with `spec` and the number of classes, returns the module.
    stages: names in order of depth; `taps(stage, path, fuse)` says where each is taken.
    num_classes: of the published weights, which were trained on `trained_on`.
    by_dataset: other entries that this name stands for, by data set.
    recognise: from a checkpoint's state, the form of the network that it holds; None where there
        is one form only.
    always_fused: whether `fuse` has no effect, the lateral connections being part of the stages.
    smallest_crop, only_crop: limits of the clips' size in pixels, where there are any.
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
    recognise: Callable[[Mapping[str, Tensor]], Variant] | None = None
    always_fused: bool = False
    smallest_crop: int = 32
    only_crop: int | None = None

    def module(self, num_classes: int | None = None, spec: object = None) -> nn.Module:
        """A new module with random weights, in evaluation mode; of `spec`, the entry's if None."""
        file, function = self.build.split(":")
        build = getattr(importlib.import_module(file), function)
        return build(spec or self.spec, num_classes or self.num_classes).eval()

    def variant(self, state: Mapping[str, Tensor]) -> Variant:
        """The form of the network that a checkpoint with this state holds."""
        return self.recognise(state) if self.recognise else Variant(self.spec, state)

    def check_crop(self, crop: int) -> None:
        """Raise UserError for clips of a size that the network cannot take."""
        if crop < self.smallest_crop or crop != (self.only_crop or crop):
            expected = self.only_crop or f"at least {self.smallest_crop}"
            raise UserError(
                f"network {self.name!r} takes clips of {expected} pixels, not {crop}: give "
                f"--image_size {self.only_crop or self.smallest_crop}"
            )

    def checkpoint(self, given: str | None) -> str:
        """The checkpoint to use: a file that exists, the bundled one, or "random".

        Raises UserError that says where the weights are published if there is none.
        """
        bundled = self.weights.bundled
        if given == RANDOM:
            return RANDOM
        if not given and bundled and bundled.exists():
            return str(bundled)
        if given and Path(given).is_file():
            return given
        found = f"--checkpoint {given} is not a file" if given else "--checkpoint is missing"
        raise UserError(
            f"{found}: network {self.name!r} needs trained weights. {self.weights.advice()}. "
            "(--checkpoint random measures an untrained network, marked so in every result.)"
        )

    def requested_stages(self, text: str | None) -> tuple[str, ...]:
        """The stages named by `--stg`: "5", "2,5", "all", or None for the last one, by depth.

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
        return tuple(name for name in self.stages if name in wanted)

    def stage_taps(self, text: str | None, path: str, fuse: bool) -> dict[str, tuple[Tap, ...]]:
        """Where the stages named by `--stg` are taken, by stage."""
        return {stage: self.taps(stage, path, fuse) for stage in self.requested_stages(text)}


def suggestion(name: str, known: Iterable[str]) -> str:
    """ " Did you mean ...?" with the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def networks() -> dict[str, Network]:
    """Every known network by name."""
    from models import resnet_family, transformer_family, x3d_family

    tables = (resnet_family.NETWORKS, x3d_family.NETWORKS, transformer_family.NETWORKS)
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
