"""The record of a network (`Network`): all that tells one from another. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.tasks import RECOGNITION
from datasets.geometry import ClipGeometry, ClipOptions, FlowGeometry
from utils import UserError, suggestion

if TYPE_CHECKING:
    from torch import Tensor, nn

# What `checkpoint` may be beside a file: an untrained network, or the published file, downloaded.
RANDOM = "random"
AUTO = "auto"
# What stands for the weights that a user's own network was built with.
BUILT = "as built"


@dataclass(frozen=True)
class Tap:
    """One tensor inside a network.

    module: path of the module that it comes out of, as in `named_modules`.
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

    dim: axis of the units in every output.
    maps_last: whether maps of four and five axes have their channels last.
    folded: whether outputs may hold several rows a clip (frames folded into the batch), which are
        averaged where the batch is one clip and refused where it is not.
    """

    dim: int | None = None
    maps_last: bool = False
    folded: bool = False


BY_SHAPE = UnitRule()


@dataclass(frozen=True)
class Weights:
    """Where trained weights are published.

    page: the page that lists them, or advice in its place. The name of an option of the network in
        braces stands for its value.
    url: address of the file.
    bundled: a file that comes with the toolkit.
    built: SHA-256 of the parameters that a user's own network was built with, which are measured
        unless a checkpoint is given.
    can_be_random: whether the network can be had without trained weights.
    file: name of the file, where the address does not end with it.
    in_folder: whether a checkpoint may be a folder of encoder_N.pt and decoder_N.pt.
    untrained: what the name of an untrained network's results ends in, where no column says so.
    """

    page: str
    url: str | None = None
    bundled: Path | None = None
    built: str = ""
    can_be_random: bool = True
    file: str | None = None
    in_folder: bool = False
    untrained: str = ""

    def advice(self) -> str:
        """What a user without a checkpoint should do, in one sentence."""
        if not self.url:
            return self.page
        file = self.file or self.url.rsplit("/", 1)[-1]
        return (
            f"Give `checkpoint` auto, or download {file} from {self.url} (listed at {self.page}) "
            "and give its path with `checkpoint`"
        )

    def exist_at(self, path: Path) -> bool:
        """Whether there is something at `path` that can be a checkpoint."""
        return path.is_file() or (self.in_folder and path.is_dir())


@dataclass(frozen=True)
class Variant:
    """A form of a network that a checkpoint turned out to hold.

    spec: that of the form.
    state: the tensors to load.
    note: for the record of the run.
    """

    spec: object
    state: Mapping[str, Tensor]
    note: str = ""


@dataclass(frozen=True)
class OwnSpec:
    """The spec of a user's own network.

    trained: whether it is built with the weights that it comes with, rather than random ones.
    """

    trained: bool = True


def own_name(name: str, options: Mapping[str, Any], spec: Any) -> str:
    """Results are called like the network, whatever its options are."""
    return name


def one_pathway(spec: Any) -> str:
    """The pathway that is measured; empty for a network with one."""
    return ""


def only_channel(logits: Tensor) -> Tensor:
    """Log-odds [B, H, W] from the logits [B, 1, H, W] of the object."""
    return logits[:, 0]


@dataclass(frozen=True)
class Network:
    """All that belongs to one network.

    build: "module:function", or a function; called with `spec` and the number of classes, returns
        the module.
    spec: what tells the network from others of its family; a dataclass.
    taps: from `spec`, the stages in order and where each is taken; those of several taps are
        concatenated.
    clip: how it wants its clips.
    task: what it was trained for.
    num_classes: of the published weights; 0 where the network says so itself.
    trained_on: data set of the published weights.
    head: how the published names of the classifier's parameters begin.
    options: fields of `spec` that a user may choose, and the values that each may have.
    naming: from name, options given and spec, what its results are called.
    pathway: from `spec`, the pathway that is measured, in words.
    by_dataset: other entries that this name stands for, by data set.
    recognise: from `spec` and a checkpoint's state, the form of the network that the checkpoint
        holds; None where there is one form only.
    smallest_crop: in pixels.
    only_crop: in pixels, where only one can be.
    any_frames: whether the number of a clip's frames can be chosen; `spec` then names it, if any.
    modules: paths that can be named as stages beside those of `taps`, in order.
    inside: what the paths in names of stages lack in front, such as "network.".
    any_stages: whether its stages are still to be narrowed down to those that can be measured.
    source: SHA-256 of what defines it beside its weights.
    units: what a unit is, where it is not what an output's shape says.
    unused: pattern of parameters that are never run, and that checkpoints may lack.
    log_odds: from what a segmentation network returns, the log-odds of the object in a clip's
        first frame, [B, H', W']; their sigmoid is the probability of its mask.
    """

    name: str
    family: str
    build: str | Callable[[Any, int], nn.Module]
    spec: Any
    taps: Callable[[Any], Mapping[str, tuple[Tap, ...]]]
    clip: ClipGeometry | FlowGeometry
    weights: Weights
    task: str = RECOGNITION
    num_classes: int = 0
    trained_on: str = ""
    head: str | tuple[str, ...] = ()
    options: Mapping[str, tuple] = field(default_factory=dict)
    naming: Callable[[str, Mapping[str, Any], Any], str] = own_name
    pathway: Callable[[Any], str] = one_pathway
    by_dataset: Mapping[str, str] = field(default_factory=dict)
    recognise: Callable[[Any, Mapping[str, Tensor]], Variant] | None = None
    smallest_crop: int = 32
    only_crop: int | None = None
    any_frames: bool = False
    modules: tuple[str, ...] = ()
    inside: str = ""
    any_stages: bool = False
    source: str = ""
    units: UnitRule = BY_SHAPE
    unused: str = r"(?!)"
    log_odds: Callable[[Any], Tensor] = only_channel

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order; those that `stg` all takes."""
        return tuple(self.taps(self.spec))

    def module(self, num_classes: int | None = None, spec: object = None) -> nn.Module:
        """A new module with random weights, in evaluation mode; of `spec`, the entry's if None."""
        build = self.build
        if isinstance(build, str):
            file, function = build.split(":")
            build = getattr(importlib.import_module(file), function)
        return build(spec or self.spec, num_classes or self.num_classes).eval()

    def untrained(self) -> object:
        """The spec to build the network with random weights from."""
        return replace(self.spec, trained=False) if isinstance(self.spec, OwnSpec) else self.spec

    def variant(self, state: Mapping[str, Tensor]) -> Variant:
        """The form of the network that a checkpoint with this state holds.

        Raises UserError where it was trained for other clips, with the option to give.
        """
        return self.recognise(self.spec, state) if self.recognise else Variant(self.spec, state)

    def configured(self, options: Mapping[str, Any]) -> Network:
        """The network with options of its own, and the name that its results then have.

        Raises UserError for an option that it does not have, or a value that is not known.
        """
        for name, value in options.items():
            known: Any = self.options.get(name, self.options)
            what = f"{name} {value!r}" if name in self.options else repr(name)
            if name not in self.options or value not in known:
                raise UserError(
                    f"{what} is not known to network {self.name!r}. Available: "
                    f"{', '.join(map(str, known)) or 'none'}."
                    f"{suggestion(str(value if name in self.options else name), map(str, known))}"
                )
        spec = replace(self.spec, **options) if options else self.spec
        return replace(self, spec=spec, name=self.naming(self.name, options, spec))

    def adapted(self, clips: ClipOptions, unit_dim: int | None) -> Network:
        """The same network for the clips and the axis of units that were asked for."""
        return replace(self.with_clip(clips), units=replace(self.units, dim=unit_dim))

    def with_clip(self, wanted: ClipOptions) -> Network:
        """The same network for the clips that were asked for.

        Raises UserError for clips that it cannot take.
        """
        frames = self.clip.frames
        if wanted.frames and not self.any_frames and wanted.frames != frames:
            raise UserError(
                f"`clip_frames` {wanted.frames}: network {self.name!r} takes {frames} frames; "
                "leave it out"
            )
        clip = self.clip.changed(wanted)
        self.check_crop(clip.pixels)
        sizes = {"frames": wanted.frames, "crop": wanted.crop and wanted.crop[0]}
        adapts = fields(self.spec) if self.any_frames else ()
        chosen = {f.name: sizes[f.name] for f in adapts if sizes.get(f.name)}
        return replace(self, clip=clip, spec=replace(self.spec, **chosen))

    def check_crop(self, pixels: tuple[int, int]) -> None:
        """Raise UserError for clips of a height and width that the network cannot take."""
        side = min(pixels)
        if side < self.smallest_crop or side != (self.only_crop or side):
            expected = self.only_crop or f"at least {self.smallest_crop}"
            raise UserError(
                f"network {self.name!r} takes clips of {expected} pixels, not {side}: give "
                f"`image_size` {self.only_crop or self.smallest_crop}"
            )

    def checkpoint(self, given: str | None) -> str:
        """The checkpoint to use: one that exists, the bundled one, or one of the words.

        Raises UserError that says where the weights are published if there is none.
        """
        weights = self.weights
        if given == RANDOM and not weights.can_be_random:
            raise UserError(f"`checkpoint` random: {weights.page}; leave it out")
        if given == RANDOM or (given == AUTO and weights.url):
            return given
        if given in (None, AUTO) and weights.bundled and weights.bundled.exists():
            return str(weights.bundled)
        if not given and weights.built:
            return BUILT
        if given and given != AUTO and weights.exist_at(Path(given)):
            return given
        raise UserError(self._no_checkpoint(given))

    def _no_checkpoint(self, given: str | None) -> str:
        kind = "a file or folder" if self.weights.in_folder else "a file"
        found = {
            None: "`checkpoint` is missing",
            AUTO: f"`checkpoint` auto: no address of a file for network {self.name!r} is known",
        }.get(given, f"`checkpoint` {given} is not {kind}")
        advice = self.weights.advice()
        for name in self.options:
            advice = advice.replace(f"{{{name}}}", str(getattr(self.spec, name)))
        if self.weights.built:
            return f"{found}. {advice}: leave `checkpoint` out, or give a file"
        return (
            f"{found}: network {self.name!r} needs trained weights. {advice}. (`checkpoint` random "
            "measures an untrained network, marked so in every result.)"
        )

    def requested_stages(self, text: str | None) -> tuple[str, ...]:
        """The stages named by `stg`, by depth: "5", "2,5", "layer3,app_stream", "all" or None for
        all of them.

        Raises UserError for an unknown stage.
        """
        if text in (None, "all"):
            return self.stages
        known = (*self.modules, *(name for name in self.stages if name not in self.modules))
        wanted = self._named(text or "")
        for name in wanted:
            if name not in known and name.partition("#")[0] not in self.modules:
                more = ", or any module path (--list_stages prints them)" if self.modules else ""
                raise UserError(
                    f"stage {name!r} is not in network {self.name!r}. Available: "
                    f"{self._listed()}, or all{more}.{suggestion(name, known)}"
                )
        if not wanted:
            raise UserError(f"`stg` {text!r} names no stage. Available: {self._listed()}")
        # Outputs of one module stay in the order they were named in.
        return tuple(
            sorted(dict.fromkeys(wanted), key=lambda name: known.index(name.partition("#")[0]))
        )

    def _named(self, text: str) -> list[str]:
        """The names in `text`, which are separated by commas and may hold one themselves."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        parts = 1 + self.stages[0].count(",") if self.stages else 1
        return [",".join(words[i : i + parts]) for i in range(0, len(words), parts)]

    def _listed(self) -> str:
        return ("; " if any("," in name for name in self.stages) else ", ").join(self.stages)

    def stage_taps(self, text: str | None) -> dict[str, tuple[Tap, ...]]:
        """Where the stages named by `stg` are taken, by stage."""
        known = self.taps(self.spec)
        return {
            stage: known[stage] if stage in known else (Tap.named(self.inside + stage),)
            for stage in self.requested_stages(text)
        }
