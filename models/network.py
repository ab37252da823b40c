"""The record of a network (`Network`) and finding one by name. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.geometry import ClipGeometry, ClipOptions
from utils import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

PATHS = ("slow", "fast", "cat")
# What `checkpoint` takes beside a file: an untrained network, or the published file, downloaded.
RANDOM = "random"
AUTO = "auto"
# What stands for the weights that a user's own network was built with.
BUILT = "as built"


@dataclass(frozen=True)
class Tap:
    """One tensor inside a network: of the output of `module` (a path as in named_modules).

    index: which element, where that output is a tuple, a list or a dict; None for the only one.
    """

    module: str
    index: int | str | None = None

    @classmethod
    def named(cls, text: str) -> Tap:
        """The tap that `path`, `path#0` or `path#name` stands for."""
        module, _, key = text.partition("#")
        return cls(module, key or None)


@dataclass(frozen=True)
class UnitRule:
    """What a unit is, where that is not what `capture.unit_axis` reads off a module's output.

    dim: axis of the units in every output. maps_last: whether maps of four and five axes have
    their channels last. folded: whether outputs may hold several rows a clip (frames folded into
    the batch), which are averaged where the batch is one clip and refused where it is not.
    """

    dim: int | None = None
    maps_last: bool = False
    folded: bool = False


BY_SHAPE = UnitRule()


@dataclass(frozen=True)
class Weights:
    """Where trained weights are published: the page that lists them and the file's address.

    file: its name, where the address does not end with it.
    bundled: a file that comes with the toolkit. built: SHA-256 of the parameters that a user's
    own network was built with, which are measured unless a checkpoint is given. can_be_random:
    whether the network can be had without trained weights.
    """

    page: str
    url: str | None = None
    bundled: Path | None = None
    built: str = ""
    can_be_random: bool = True
    file: str | None = None

    def advice(self) -> str:
        """What a user without a checkpoint should do, in one sentence."""
        if self.url:
            file = self.file or self.url.rsplit("/", 1)[-1]
            return (
                f"Give `checkpoint` auto, or download {file} from {self.url} (listed at "
                f"{self.page}) and give its path with `checkpoint`"
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

    build: "module:function", or a function; called with `spec` and the number of classes, returns
        the module.
    stages: names in order of depth; `taps(stage, path, fuse)` says where each is taken.
    modules: module paths that can be named as stages beside those, in order.
    own: a user's own network, as it was built. any_stages: whether its stages are still to be
        narrowed down to those that can be measured. source: SHA-256 of what defines it beside its
        weights.
    num_classes: of the published weights, which were trained on `trained_on`.
    by_dataset: other entries that this name stands for, by data set.
    recognise: from the spec and a checkpoint's state, the form of the network that the checkpoint
        holds; None where there is one form only.
    always_fused: whether `fuse` has no effect, the lateral connections being part of the stages.
    smallest_crop, only_crop: limits of the clips' size in pixels, where there are any.
    any_frames: whether the number of a clip's frames can be chosen; `spec` then names it, if any.
    head: how the published names of the classifier's parameters begin.
    units: what a unit is, where it is not what an output's shape says.
    """

    name: str
    family: str
    build: str | Callable[[Any, int], nn.Module]
    spec: Any
    stages: tuple[str, ...]
    taps: Callable[[str, str, bool], tuple[Tap, ...]]
    clip: ClipGeometry
    num_classes: int
    trained_on: str
    weights: Weights
    head: str
    by_dataset: Mapping[str, str] = field(default_factory=dict)
    recognise: Callable[[Any, Mapping[str, Tensor]], Variant] | None = None
    always_fused: bool = False
    smallest_crop: int = 32
    only_crop: int | None = None
    any_frames: bool = False
    modules: tuple[str, ...] = ()
    any_stages: bool = False
    source: str = ""
    own: nn.Module | None = field(default=None, compare=False, repr=False)
    units: UnitRule = BY_SHAPE

    def module(self, num_classes: int | None = None, spec: object = None) -> nn.Module:
        """A new module with random weights, in evaluation mode; of `spec`, the entry's if None."""
        build = self.build
        if isinstance(build, str):
            file, function = build.split(":")
            build = getattr(importlib.import_module(file), function)
        return build(spec or self.spec, num_classes or self.num_classes).eval()

    def variant(self, state: Mapping[str, Tensor]) -> Variant:
        """The form of the network that a checkpoint with this state holds.

        Raises UserError where it was trained for other clips, with the option to give.
        """
        return self.recognise(self.spec, state) if self.recognise else Variant(self.spec, state)

    def with_clip(self, wanted: ClipOptions) -> Network:
        """The same network for the clips that were asked for.

        Raises UserError for clips that it cannot take.
        """
        frames, crop = wanted.frames, wanted.crop
        own_frames = self.clip.inputs[-1][1]
        if frames and not self.any_frames and frames != own_frames:
            raise UserError(
                f"`clip_frames` {frames}: network {self.name!r} takes {own_frames} frames; leave "
                "it out"
            )
        clip = self.clip.changed(wanted)
        if not (clip.inputs[-1][1] and clip.crop):
            raise UserError(
                f"`clip_frames` and `crop` are missing: {self.name} does not say how it wants its "
                "clips (`sampling_rate`, `mean` and `std` as well, if not 1, 0.45 and 0.225)"
            )
        self.check_crop(clip.crop)
        sizes = {"frames": frames, "crop": crop} if self.any_frames and self.spec else {}
        spec = replace(self.spec, **{k: v for k, v in sizes.items() if v}) if sizes else self.spec
        return replace(self, clip=clip, spec=spec)

    def check_crop(self, crop: int) -> None:
        """Raise UserError for clips of a size that the network cannot take."""
        if crop < self.smallest_crop or crop != (self.only_crop or crop):
            expected = self.only_crop or f"at least {self.smallest_crop}"
            raise UserError(
                f"network {self.name!r} takes clips of {expected} pixels, not {crop}: give "
                f"`image_size` {self.only_crop or self.smallest_crop}"
            )

    def checkpoint(self, given: str | None) -> str:
        """The checkpoint to use: a file that exists, the bundled one, or one of the words.

        Raises UserError that says where the weights are published if there is none.
        """
        bundled, built = self.weights.bundled, self.weights.built
        if given == RANDOM and not self.weights.can_be_random:
            raise UserError(f"`checkpoint` random: {self.weights.page}; leave it out")
        if given == RANDOM or (given == AUTO and self.weights.url):
            return given
        if given in (None, AUTO) and bundled and bundled.exists():
            return str(bundled)
        if not given and built:
            return BUILT
        if given and given != AUTO and Path(given).is_file():
            return given
        raise UserError(self._no_checkpoint(given))

    def _no_checkpoint(self, given: str | None) -> str:
        found = {
            None: "`checkpoint` is missing",
            AUTO: f"`checkpoint` auto: no address of a file for network {self.name!r} is known",
        }.get(given, f"`checkpoint` {given} is not a file")
        if self.weights.built:
            return f"{found}. {self.weights.page}: leave `checkpoint` out, or give a file"
        return (
            f"{found}: network {self.name!r} needs trained weights. {self.weights.advice()}. "
            "(`checkpoint` random measures an untrained network, marked so in every result.)"
        )

    def fetched(self, checkpoint: str, folder: Path | None) -> str:
        """The same checkpoint; for "auto" the path of the published file, downloaded if need be."""
        if checkpoint != AUTO:
            return checkpoint
        from models.download import default_folder, published_file

        return str(published_file(self, folder or default_folder()))

    def requested_stages(self, text: str | None) -> tuple[str, ...]:
        """The stages named by `stg`: "5", "2,5", "all", or None for the last one, by depth.

        Raises UserError for an unknown stage.
        """
        if text is None:
            return self.stages[-1:]
        if text == "all":
            return self.stages
        wanted = [name.strip() for name in text.split(",") if name.strip()]
        known = (*self.modules, *(name for name in self.stages if name not in self.modules))
        for name in wanted:
            if name not in known and name.partition("#")[0] not in self.modules:
                more = ", or any module path (--list_stages prints them)" if self.modules else ""
                raise UserError(
                    f"stage {name!r} is not in network {self.name!r}. Available: "
                    f"{', '.join(self.stages)}, or all{more}.{suggestion(name, known)}"
                )
        if not wanted:
            raise UserError(f"`stg` {text!r} names no stage. Available: {', '.join(self.stages)}")
        # By depth; outputs of one module in the order they were named in.
        return tuple(
            sorted(dict.fromkeys(wanted), key=lambda name: known.index(name.partition("#")[0]))
        )

    def stage_taps(self, text: str | None, path: str, fuse: bool) -> dict[str, tuple[Tap, ...]]:
        """Where the stages named by `stg` are taken, by stage."""
        return {stage: self.taps(stage, path, fuse) for stage in self.requested_stages(text)}


def suggestion(name: str, known: Iterable[str]) -> str:
    """ " Did you mean ...?" with the nearest known names, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def networks() -> dict[str, Network]:
    """Every network of the study by name."""
    from models.tables import resnet, transformers, x3d

    tables = (resnet.NETWORKS, x3d.NETWORKS, transformers.NETWORKS)
    return {network.name: network for table in tables for network in table}


def find(
    name: str, dataset: str | None = None, *, num_classes: int | None = None, seed: int = 0
) -> Network:
    """The network called `name`, in the form trained for `dataset` where there is one.

    A name like torchvision:..., hf:... or my_net.py:build is that of a user's own network, which
    is built here (see `models.own.resolve`); random weights of it follow `seed`.

    Raises UserError with the known names for an unknown one.
    """
    if ":" in name:
        from models.own.resolve import resolve

        return resolve(name, num_classes, seed)
    known = networks()
    if name not in known:
        raise UserError(
            f"`model` {name!r} is not known. Available: {', '.join(known)}; torchvision:NAME, "
            f"hf:FOLDER or FILE.py:FUNCTION for others (see README).{suggestion(name, known)}"
        )
    network = known[name]
    return known[network.by_dataset.get(dataset or "", name)]
