"""`model` hf:FOLDER_OR_ID: video networks of the transformers library, an optional extra.

The base network is taken, without a classifier; `encoder.layer.3` is a stage of most families.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datasets.geometry import ClipGeometry
from models.digest import digest
from models.network import Network, OwnSpec, Weights
from models.own.resolve import record
from utils import UserError

# Characters of an error of the library.
_MOST_SHOWN = 200


@dataclass(frozen=True)
class Family:
    """What distinguishes one family of the library from another.

    rate: raw frames from one frame to the next in the published trainings; no file holds it.
    video: name of the input.
    frames: name of the number of frames in its configuration.
    size: name of their size there.
    build: arguments that leave out parts which checkpoints do not fill.
    forward: arguments that leave out parts which no stage needs.
    """

    rate: int
    video: str = "pixel_values"
    frames: str = "num_frames"
    size: str = "image_size"
    build: Mapping[str, Any] = field(default_factory=dict)
    forward: Mapping[str, Any] = field(default_factory=dict)


FAMILIES = {
    "timesformer": Family(32),
    "videomae": Family(4),
    "vivit": Family(2, build={"add_pooling_layer": False}),
    "vjepa2": Family(
        2, "pixel_values_videos", "frames_per_clip", "crop_size", forward={"skip_predictor": True}
    ),
}


class FramesFirst(nn.Module):
    """Adapts a network of the library to clips [B, 3, T, H, W]."""

    def __init__(self, network: nn.Module, family: Family):
        super().__init__()
        self.network, self.family = network, family

    def forward(self, clip: Tensor) -> Any:
        frames = clip.transpose(1, 2)  # [B, T, 3, H, W]
        return self.network(**{self.family.video: frames}, **self.family.forward)


@dataclass(frozen=True)
class SavedTransform:
    """The preprocessing saved with a network: uint8 [T, H, W, 3] to float32 [3, T, H', W'].

    folder: of the network, or its id.
    """

    folder: str

    def __call__(self, frames: Tensor) -> Tensor:
        processor = _processor(self.folder)
        images = list(frames.permute(0, 3, 1, 2).numpy())  # T of [3, H, W]
        batch = processor([images], return_tensors="pt")
        return next(iter(batch.values()))[0].transpose(0, 1).float()  # [3, T, H', W']


@functools.cache
def _processor(folder: str) -> Any:
    """The library's own preprocessing object for a network, read once per process.

    Raises UserError if there is none.
    """
    import transformers

    errors: list[Exception] = []
    # In this order: the second reads files of image processors too, but scales differently.
    for auto in ("AutoImageProcessor", "AutoVideoProcessor"):
        try:
            return getattr(transformers, auto).from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, AttributeError, ImportError) as error:
            errors.append(error)
    raise UserError(
        f"`model` hf:{folder}: the network's preprocessing cannot be read ({_reason(errors[0])}). "
        "Save the processor that it was trained with: processor.save_pretrained(FOLDER)"
    )


def _reason(error: Exception) -> str:
    """The first line of an error, cut if it is long: the library's can be paragraphs."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."


def resolve(folder: str, num_classes: int | None) -> tuple[Network, nn.Module]:
    """The network in `folder` (or of that id), with the weights there.

    Raises UserError if the library is missing, if the family is unknown, or if the weights or the
    preprocessing cannot be read or are incomplete.
    """
    transformers = _library()
    if num_classes:
        raise UserError("`num_classes`: networks of the transformers library are taken without one")
    if Path(folder).is_dir():  # absolute: a run may be resumed from elsewhere
        folder = str(Path(folder).absolute())
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"`model` hf:{folder}: {_reason(error)}") from None
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise UserError(
            f"`model` hf:{folder} is of the family {config.model_type!r}; known: "
            f"{', '.join(FAMILIES)}. Others need a few lines of adapter (docs/networks.md)"
        )

    def build(spec: OwnSpec, classes: int) -> nn.Module:
        if spec.trained:
            return FramesFirst(_trained(transformers, folder, family), family)
        return FramesFirst(transformers.AutoModel.from_config(config, **family.build), family)

    module = build(OwnSpec(), 0).eval()
    network = record(
        module,
        name=f"hf:{Path(folder).name}",
        family=config.model_type,
        build=build,
        clip=geometry(folder, config, family),
        weights=Weights(f"The weights are those in {folder}", built=digest(module)),
        stages=_largest_list(module.get_submodule("network")),
        inside="network",
        source=_source(folder, config),
    )
    return network, module


def _source(folder: str, config: Any) -> str:
    """SHA-256 of configuration and preprocessing."""
    texts = (config.to_json_string(), _processor(folder).to_json_string())
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise UserError(
            "`model` hf:... needs the transformers library: pip install transformers"
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _trained(transformers: Any, folder: str, family: Family) -> nn.Module:
    """The base network with all its weights, without what only a classifier uses.

    Raises UserError if they cannot be read, or are incomplete.
    """
    try:
        network, loaded = transformers.AutoModel.from_pretrained(
            folder,
            output_loading_info=True,
            dtype=torch.float32,
            trust_remote_code=False,
            **family.build,
        )
    except Exception as error:  # a damaged file can raise anything
        raise UserError(
            f"`model` hf:{folder}: the weights cannot be read: {_reason(error)}"
        ) from None
    absent = [*loaded["missing_keys"], *(str(key) for key in loaded["mismatched_keys"])]
    if absent:
        raise UserError(
            f"`model` hf:{folder}: the weights lack {len(absent)} parameters of the network, such "
            f"as {', '.join(map(str, absent[:3]))}"
        )
    return network


def geometry(folder: str, config: Any, family: Family) -> ClipGeometry:
    """The clips of a network: frames from its configuration, pixels from its preprocessing.

    Raises UserError if the two contradict each other.
    """
    frames, transform = getattr(config, family.frames), SavedTransform(folder)
    height, width = transform(torch.zeros(2, 128, 160, 3, dtype=torch.uint8)).shape[-2:]
    size = getattr(config, family.size)
    expected = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if (height, width) != expected:
        raise UserError(
            f"`model` hf:{folder}: its preprocessing gives frames of {height}x{width} pixels, the "
            f"network takes {expected[0]}x{expected[1]}"
        )
    return ClipGeometry(
        (("video", frames),),
        family.rate,
        frames * family.rate,
        crop=height,
        short_side=height,
        transform=transform,
        exact_rate=True,
    )


def _largest_list(network: nn.Module) -> tuple[str, ...]:
    """Paths of the blocks in the list of modules that has the most parameters."""
    lists = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        return ()
    path, blocks = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    return tuple(f"{path}.{index}" for index in range(len(blocks)))
