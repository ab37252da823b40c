"""The record of a segmentation network (`Segmenter`) and finding one by name. Imports no torch."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.network import RANDOM, Tap, suggestion
from utils import DataError, UserError, read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

LAST = "layer4,sensor_fusion"
ARCHIVE = "checkpoints_3models_staticdynamic_cvpr22"
ARCHIVE_URL = f"https://www.dropbox.com/s/20xfo150xbc8wde/{ARCHIVE}_final.zip"
# What the study's code could run once, and nobody can today.
GONE = {
    "sam": "it needs PyTorch 0.4 and programs outside this repository that no longer exist "
    "(Detectron weights and a Caffe build of FlowNet2 for Segment Any Moving)"
}


def only_channel(logits: Tensor) -> Tensor:
    """Log-odds [B, H, W] from the logits [B, 1, H, W] of the object."""
    return logits[:, 0]


@dataclass(frozen=True)
class Segmenter:
    """All that belongs to one segmentation network.

    build: "module:function"; called with `spec`, returns the module.
    units: of every stage, in the study's order; `taps(spec)` says where each is taken.
    inputs: the axes before height and width of each input, without the batch.
    frames: per sample; features have as many rows for each, in order sample, frame.
    options: by name, the values that a JSON configuration may give to fields of `spec`; they
        stand under `extra_args` there if `in_extra_args`.
    in_folder: whether its checkpoint is a folder of an encoder's and a decoder's file.
    unused: pattern of parameters that are never run, and that checkpoints may lack.
    published: path of its weights in the study's archive, empty if not there; {} is the training
        set, one of `trainings` where there are several (not all of which are published).
    log_odds: from what the network returns, those of the object in a sample's first frame,
        [B, H', W']; their sigmoid is the probability of its mask.
    extra_args: those of the configuration, which name the folder of the results.
    smallest_crop: of height and width, in pixels.
    """

    name: str
    build: str
    spec: object
    units: Mapping[str, int]
    taps: Callable[[Any], Mapping[str, Tap]]
    inputs: Mapping[str, tuple[int, ...]]
    published: str
    frames: int = 1
    options: Mapping[str, tuple] = field(default_factory=dict)
    in_extra_args: bool = False
    in_folder: bool = False
    unused: str = r"(?!)"
    trainings: tuple[str, ...] = ()
    extra_args: Mapping[str, Any] = field(default_factory=dict)
    smallest_crop: int = 32
    log_odds: Callable[[Any], Tensor] = only_channel

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages: those of the study in its order, then any other."""
        return tuple(self.units)

    def module(self) -> nn.Module:
        """A new module with random weights, in evaluation mode."""
        file, function = self.build.split(":")
        return getattr(importlib.import_module(file), function)(self.spec).eval()

    def configured(self, config: Mapping[str, Any]) -> Segmenter:
        """The network that a JSON configuration describes.

        Raises UserError if it is of another network, or for an unknown option or value.
        """
        model = config.get("model", self.name)
        if model != self.name:
            raise UserError(
                f"the configuration is of network {model!r}, not {self.name!r}: give "
                f"`model` {model}"
            )
        extra = config.get("extra_args", {})
        known = self.options if self.in_extra_args else {}
        for name in extra:
            if name not in known:
                raise UserError(
                    f"extra_args {name!r} is not known to network {self.name!r}. Available: "
                    f"{', '.join(known) or 'none'}.{suggestion(name, known)}"
                )
        given = extra if self.in_extra_args else config
        values = {name: given[name] for name in self.options if name in given}
        for name, value in values.items():
            if value not in self.options[name]:
                raise UserError(
                    f"{name} {value!r} is not known to network {self.name!r}. Available: "
                    f"{', '.join(map(str, self.options[name]))}"
                )
        spec = dataclasses.replace(self.spec, **values)  # type: ignore[type-var]
        return dataclasses.replace(self, spec=spec, extra_args=dict(extra))

    def folder(self, trained_on: str | None = None) -> str:
        """The name of the folder of its results, as in the study.

        Raises UserError for weights of a training set that the study has none of.
        """
        if self.in_extra_args:
            parts = (f"{name}_{value}" for name, value in self.extra_args.items())
            return "_".join((self.name, *parts))
        return f"{self.name}_{self.training(trained_on)}" if self.trainings else self.name

    def training(self, trained_on: str | None) -> str:
        """The training set of `trained_on`, the first one if None.

        Raises UserError for one that the study has no weights of.
        """
        if trained_on and self.trainings and trained_on not in self.trainings:
            raise UserError(
                f"`trained_on` {trained_on!r} is not known to network {self.name!r}. Available: "
                f"{', '.join(self.trainings)}.{suggestion(trained_on, self.trainings)}"
            )
        return trained_on or next(iter(self.trainings), "davis")

    def require_crop(self, size: tuple[int, int]) -> None:
        """Raise UserError for frames too small for the network; `size` is height and width."""
        if min(size) < self.smallest_crop:
            raise UserError(
                f"crop_size {list(size)}: network {self.name!r} takes at least "
                f"{self.smallest_crop} pixels; give another `crop_size`"
            )

    def checkpoint(self, given: str | None, trained_on: str | None = None) -> str:
        """The checkpoint to use: a file or, for MATNet, a folder, that exists, or "random".

        Raises UserError that says where the weights are published if there is none.
        """
        if given == RANDOM:
            return RANDOM
        if given and (Path(given).is_file() or (self.in_folder and Path(given).is_dir())):
            return given
        kind = "file or folder" if self.in_folder else "file"
        found = f"`checkpoint` {given} is not a {kind}" if given else "`checkpoint` is missing"
        place = f"{ARCHIVE}/{self.published.format(self.training(trained_on))}"
        raise UserError(
            f"{found}: network {self.name!r} needs trained weights. {self._advice(place)}. "
            "(`checkpoint` random measures an untrained network, marked so in every result.)"
        )

    def _advice(self, place: str) -> str:
        if not self.published:
            return "None are published: train it and give its {'state_dict': ...} file"
        return f"Unpack {ARCHIVE_URL} and give `checkpoint` {place}"

    def requested_stages(self, text: str | None) -> tuple[str, ...]:
        """The stages named by `stg`, in the order of `stages`: "layer3,app_stream", several of
        them joined by commas, "all", or None for the last fusion.

        Raises UserError for an unknown stage.
        """
        if text is None:
            return (LAST,)
        if text == "all":
            return self.stages
        words = [word.strip() for word in text.split(",") if word.strip()]
        wanted = [",".join(words[i : i + 2]) for i in range(0, len(words), 2)]
        available = f"Available: {'; '.join(self.stages)}; or all"
        for name in wanted:
            if name not in self.stages:
                raise UserError(
                    f"stage {name!r} is not in network {self.name!r}. {available}."
                    f"{suggestion(name, self.stages)}"
                )
        if not wanted:
            raise UserError(f"`stg` {text!r} names no stage. {available}")
        return tuple(name for name in self.stages if name in wanted)

    def stage_taps(self, text: str | None) -> dict[str, tuple[Tap, ...]]:
        """Where the stages named by `stg` are taken, by stage."""
        taps = self.taps(self.spec)
        return {stage: (taps[stage],) for stage in self.requested_stages(text)}


def networks() -> dict[str, Segmenter]:
    """Every known segmentation network by name."""
    from models.tables import segmentation as families

    return {network.name: network for network in families.NETWORKS}


def read_config(path: Path) -> dict[str, Any]:
    """The JSON configuration in a file. Raises DataError if it is none."""
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("extra_args", {}), dict):
        raise DataError(
            f"{path} is no configuration: expected a JSON object, and 'extra_args', if there, to "
            "be one as well"
        )
    return config


def is_segmenter(name: str) -> bool:
    """Whether `name` is that of a segmentation network, also of one that cannot be run."""
    return name in GONE or name in networks()


def find(name: str, config: Mapping[str, Any] | None = None) -> Segmenter:
    """The network called `name`, in the form that a JSON configuration describes if given.

    Raises UserError with the known names for an unknown one, and as `Segmenter.configured`.
    """
    if name in GONE:
        raise UserError(f"`model` {name!r} cannot be run: {GONE[name]}")
    known = networks()
    if name not in known:
        raise UserError(
            f"`model` {name!r} is not known. Available: {', '.join(known)}."
            f"{suggestion(name, known)}"
        )
    return known[name] if config is None else known[name].configured(config)
