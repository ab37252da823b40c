"""The record of a network (`Network`): everything that tells it from others. Imports no torch."""

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

# Values of `checkpoint` that are not a path: an untrained network, and the published file.
RANDOM = "random"
AUTO = "auto"
# The weights that a user's own network is built with.
BUILT = "as built"


@dataclass(frozen=True)
class HookPoint:
    """One tensor inside a network.

    module: path of the module that returns it, as in `named_modules`.
    index: which element of a returned tuple, list or dict it is; None if there is only one.
    """

    module: str
    index: int | str | None = None

    @classmethod
    def named(cls, text: str) -> HookPoint:
        """The point written as `path`, `path#0` or `path#name`."""
        module, _, key = text.partition("#")
        return cls(module, key or None)


@dataclass(frozen=True)
class UnitRule:
    """What a unit is, where `capture.unit_axis` cannot tell from a module's output alone.

    dim: axis of the units in every output.
    maps_last: whether maps of four and five axes have their channels last.
    folded: whether outputs may have several rows per clip (frames folded into the batch). They are
        averaged if the batch is a single clip, and refused otherwise.
    """

    dim: int | None = None
    maps_last: bool = False
    folded: bool = False


BY_SHAPE = UnitRule()


@dataclass(frozen=True)
class Weights:
    """Where trained weights are published.

    page: the page that lists them, or advice in its place. Names of the network's options in
        braces are replaced by their values.
    url: address of the file.
    bundled: a file that comes with the toolkit.
    built: SHA-256 of the parameters that a user's own network is built with; these are measured
        unless a checkpoint is given.
    never_random: why the network cannot be built untrained, and what to do; empty if it can.
    file: name of the file, if the address does not end with it.
    in_folder: whether a checkpoint may be a folder of encoder_N.pt and decoder_N.pt.
    untrained: suffix of the names of an untrained network's results, if no column says so.
    """

    page: str
    url: str | None = None
    bundled: Path | None = None
    built: str = ""
    never_random: str = ""
    file: str | None = None
    in_folder: bool = False
    untrained: str = ""

    def advice(self) -> str:
        """What a user without a checkpoint should do."""
        if not self.url:
            return self.page
        file = self.file or self.url.rsplit("/", 1)[-1]
        return (
            f"Give `checkpoint` auto, or download {file} from {self.url} (listed at {self.page}) "
            "and give its path with `checkpoint`"
        )

    def exist_at(self, path: Path) -> bool:
        """Whether `path` is a file, or a folder if that can be a checkpoint."""
        try:
            return path.is_file() or (self.in_folder and path.is_dir())
        except (OSError, ValueError):  # a name that nothing can have, before Python 3.14
            return False


@dataclass(frozen=True)
class Variant:
    """The form of a network that a checkpoint holds, if there are several.

    spec: of this form.
    state: the tensors to load.
    note: for the record of the run.
    """

    spec: object
    state: Mapping[str, Tensor]
    note: str = ""


@dataclass(frozen=True)
class OwnSpec:
    """The spec of a user's own network.

    trained: whether it is built with its own weights, rather than with random ones.
    """

    trained: bool = True


def own_name(name: str, options: Mapping[str, Any], spec: Any) -> str:
    """The name of the network, whatever its options."""
    return name


def one_pathway(spec: Any) -> str:
    """The pathway that is measured: empty, as the network has only one."""
    return ""


def only_channel(logits: Tensor) -> Tensor:
    """Log-odds [B, H, W] from the logits [B, 1, H, W] of the object."""
    return logits[:, 0]


@dataclass(frozen=True)
class Network:
    """Everything that the toolkit knows about one network; it never holds a module.

    name: as given to `model`, and what its results are called.
    family: of networks that share code.
    build: "module:function", or a function; called with `spec` and the number of classes, returns
        the module.
    spec: what distinguishes the network from others of its family; a dataclass.
    points: from `spec`, the stages in order, and the points of each; several are concatenated.
    clip: how it wants its clips.
    weights: where trained ones are.
    task: what it was trained for.
    num_classes: of the published weights; 0 if the module decides it.
    trained_on: data set of the published weights.
    head: prefix of the published names of the classifier's parameters.
    options: fields of `spec` that a user may choose, and the values that each may have.
    naming: from its name, the options given and `spec`, the name of its results.
    pathway: from `spec`, the pathway that is measured, in words.
    by_dataset: the entries that replace this one for some data sets.
    recognise: from `spec` and a checkpoint's state, the form of the network that the checkpoint
        holds; None if there is only one.
    smallest_crop: in pixels.
    only_crop: in pixels, if there is only one.
    any_frames: whether the number of frames per clip can be chosen; if `spec` has a field for it,
        that follows.
    modules: paths that can be named as stages in addition to those of `points`, in order.
    inside: prefix, such as "network.", that the names of stages leave out of their paths.
    any_stages: whether its stages are still to be restricted to those that can be measured.
    source: SHA-256 of what defines it, other than its weights.
    unit_rule: what a unit is, if shapes do not tell.
    unused: pattern of parameters that are never run, and that checkpoints may lack.
    log_odds: from what a segmentation network returns, the log-odds of the object in a clip's
        first frame, [B, H', W']; their sigmoid is the probability of its mask.
    """

    name: str
    family: str
    build: str | Callable[[Any, int], nn.Module]
    spec: Any
    points: Callable[[Any], Mapping[str, tuple[HookPoint, ...]]]
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
    unit_rule: UnitRule = BY_SHAPE
    unused: str = r"(?!)"
    log_odds: Callable[[Any], Tensor] = only_channel

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order: those that `stg` all stands for."""
        return tuple(self.points(self.spec))

    def module(self, num_classes: int | None = None, spec: object = None) -> nn.Module:
        """A new module in evaluation mode, of `spec` (default: the network's own).

        Its weights are random, unless it is a user's own network that brings others.
        """
        build = self.build
        if isinstance(build, str):
            file, function = build.split(":")
            build = getattr(importlib.import_module(file), function)
        return build(spec or self.spec, num_classes or self.num_classes).eval()

    def untrained(self) -> object:
        """The spec of the network with random weights."""
        return replace(self.spec, trained=False) if isinstance(self.spec, OwnSpec) else self.spec

    def variant(self, state: Mapping[str, Tensor]) -> Variant:
        """The form of the network that a checkpoint with this state holds.

        Raises UserError, naming the option to give, if it was trained on other clips.
        """
        return self.recognise(self.spec, state) if self.recognise else Variant(self.spec, state)

    def configured(self, options: Mapping[str, Any]) -> Network:
        """The network with some of its `options` chosen, named as its results then are.

        Raises UserError for an option that it does not have, or an unknown value.
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
        """The same network for the requested clips and axis of units."""
        return replace(self.with_clip(clips), unit_rule=replace(self.unit_rule, dim=unit_dim))

    def with_clip(self, wanted: ClipOptions) -> Network:
        """The same network for the requested clips.

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
        """Raise UserError for a height and width that the network cannot take."""
        side = min(pixels)
        if side < self.smallest_crop or side != (self.only_crop or side):
            expected = self.only_crop or f"at least {self.smallest_crop}"
            raise UserError(
                f"network {self.name!r} takes clips of {expected} pixels, not {side}: give "
                f"`image_size` {self.only_crop or self.smallest_crop}"
            )

    def checkpoint(self, given: str | None) -> str:
        """The checkpoint to use: the given path, the bundled file, "random", "auto" or "as built".

        Raises UserError, saying where the weights are published, if there is none.
        """
        weights = self.weights
        if given == RANDOM and weights.never_random:
            raise UserError(f"`checkpoint` random: {weights.never_random}")
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
        if self.weights.bundled and self.weights.bundled.exists():
            return f"{found}: leave it out for the weights that come with {self.name!r}"
        if self.weights.built:
            return f"{found}. {advice}: leave `checkpoint` out, or give a file"
        return (
            f"{found}: network {self.name!r} needs trained weights. {advice}. (`checkpoint` random "
            "measures an untrained network, marked so in every result.)"
        )

    def requested_stages(self, text: str | None) -> tuple[str, ...]:
        """The stages named by `stg`, by depth: "5", "2,5", "layer3,app_stream"; "all" or None for
        all of them.

        Raises UserError for an unknown stage, and for a text that names none.
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
        # Elements of one module's output stay in the order in which they were named.
        return tuple(
            sorted(dict.fromkeys(wanted), key=lambda name: known.index(name.partition("#")[0]))
        )

    def _named(self, text: str) -> list[str]:
        """The names in `text`, separated by commas; the names may contain a comma themselves."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        parts = 1 + self.stages[0].count(",") if self.stages else 1
        return [",".join(words[i : i + parts]) for i in range(0, len(words), parts)]

    def _listed(self) -> str:
        return ("; " if any("," in name for name in self.stages) else ", ").join(self.stages)

    def stage_points(self, text: str | None) -> dict[str, tuple[HookPoint, ...]]:
        """The points of each stage named by `stg`."""
        known = self.points(self.spec)
        return {
            stage: known[stage] if stage in known else (HookPoint.named(self.inside + stage),)
            for stage in self.requested_stages(text)
        }
