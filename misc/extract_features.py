"""Features of given clips at given stages: clips.npz in, features.npz out.

    python misc/extract_features.py --model i3d --checkpoint I3D_8x8_R50.pkl --clips clips.npz \\
        --stg all --save features.npz

clips.npz holds normalised inputs: `video` [B, 3, T, H, W], for SlowFast `slow` and `fast`; for
segmentation `image` and `flow`, [B, 3, H, W] (RTNet: [B, 2, 3, H, W] and [B, 2, 6, H, W]).
features.npz holds one float32 array [B, C] per stage (RTNet: [2B, C], a row per frame in order
sample, frame), and with --logits "logits" [B, classes], or those of masks [B, 1 or 2, H, W] (RTNet:
"logits1" to "logits4", finest first).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _path

import numpy as np

from common.options import script_parser
from config import Config, add_options
from estimation.estimator import require_finite
from measure.pipeline import FrozenNetwork, find_network, load_network
from utils import (
    DataError,
    UserError,
    check_output,
    open_npz,
    progress,
    resolve_device,
    run,
    save_npz,
)
from vos.registry import find as find_segmenter
from vos.registry import is_segmenter, read_config

if TYPE_CHECKING:
    from models.checkpoints import Loaded

# Options of every network, and of those of one task alone.
COMMON = ("model", "checkpoint", "stg", "random_seed", "batch_size", "device")
RECOGNITION = (
    *("num_classes", "allow_other_head", "path", "fuse"),
    *("dataset", "clip_frames", "image_size", "unit_dim", "weights_dir"),
)
SEGMENTATION = ("cfg_file", "trained_on")


@dataclass(frozen=True)
class Request:
    """A network to extract from, checked as far as that is possible without loading it.

    inputs: their axes between the batch and height and width.
    smallest: the least height and width in pixels.
    """

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    smallest: int
    load: Callable[[], tuple[FrozenNetwork, Loaded]]


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, extract, save."""
    parser = script_parser(__doc__)
    add_options(parser, (*COMMON, *RECOGNITION))
    parser.add_argument(
        "--cfg_file", type=Path, help="segmentation: JSON with the network and its options"
    )
    parser.add_argument("--trained_on", help="segmentation: training set of the weights")
    parser.add_argument("--clips", type=Path, required=True, help=".npz file of inputs")
    parser.add_argument("--save", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--logits", action="store_true", help="save the network's output too")
    given = {k: v for k, v in vars(parser.parse_args(argv)).items() if v is not None}
    clips, save, logits = given.pop("clips"), given.pop("save"), given.pop("logits")

    replaced = check_output(save)
    request = requested(given)
    inputs = read_inputs(clips, request)
    features, notes = extract(request, inputs, given.get("batch_size"), logits=logits)
    save_npz(save, features)
    for name, values in features.items():
        rows = "clips" if len(values) == len(inputs[0]) else "frames"
        print(f"{name}: {len(values)} {rows} x {' x '.join(map(str, values.shape[1:]))}")
    print("\n".join([*notes, f"saved: {save}{replaced}"]))


def requested(given: Mapping[str, Any]) -> Request:
    """The network that the options given ask for.

    Raises UserError for an unknown one, a stage that it has not, a missing checkpoint, and
    options that belong to networks of the other task.
    """
    options = dict(given)
    chosen = {name: options.pop(name) for name in SEGMENTATION if name in options}
    settings = read_config(chosen["cfg_file"]) if "cfg_file" in chosen else None
    if settings is not None and "model" not in options:
        options["model"] = settings.get("model", Config.model)
    segmenter = is_segmenter(options.get("model", Config.model))
    others = [name for name in (RECOGNITION if segmenter else SEGMENTATION) if name in given]
    if others:
        task = "action recognition" if segmenter else "segmentation"
        raise UserError(f"--{others[0]} is for networks of {task}: leave it out")
    if segmenter:
        return _segmentation(Config(**options), settings, chosen.get("trained_on"))
    return _recognition(Config(**options))


def _recognition(config: Config) -> Request:
    network = find_network(config)
    network.requested_stages(config.stg)
    checkpoint = network.checkpoint(config.checkpoint)

    def load() -> tuple[FrozenNetwork, Loaded]:
        return load_network(config, network, network.fetched(checkpoint, config.weights_dir))

    inputs = {name: (3, frames) for name, frames in network.clip.inputs}
    return Request(network.name, inputs, network.smallest_crop, load)


def _segmentation(config: Config, settings: Any, trained_on: str | None) -> Request:
    network = find_segmenter(config.model, settings)
    taps = network.stage_taps(config.stg)
    checkpoint = network.checkpoint(config.checkpoint, trained_on)

    def load() -> tuple[FrozenNetwork, Loaded]:
        from vos.checkpoints import load as load_segmenter

        device = resolve_device(config.device)
        module, loaded = load_segmenter(network, checkpoint, seed=config.random_seed)
        return FrozenNetwork(module.to(device), taps, device), loaded

    return Request(network.name, network.inputs, network.smallest_crop, load)


def read_inputs(path: Path, request: Request) -> list[np.ndarray]:
    """The inputs in `path` in the network's order, float32 [B, ..., H, W] each.

    Raises DataError where an input is missing, misshaped or not finite.
    """
    arrays = open_npz(path)
    expected = request.inputs
    if set(arrays) != set(expected):
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; {request.name} takes "
            f"{', '.join(expected)}"
        )
    for name, axes in expected.items():
        array = arrays[name]
        if array.ndim != len(axes) + 3 or array.shape[1:-2] != axes or array.dtype.kind != "f":
            raise DataError(
                f"{path}: {name!r} is {array.dtype} {list(array.shape)}; {request.name} takes "
                f"float32 [B, {', '.join(map(str, axes))}, H, W]"
            )
        if min(array.shape[-2:]) < request.smallest:
            raise DataError(
                f"{path}: {name!r} is {list(array.shape)}; frames must be at least "
                f"{request.smallest}x{request.smallest} pixels"
            )
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name!r} holds NaN or inf")
    sizes = {(len(array), *array.shape[-2:]) for array in arrays.values()}
    if len(sizes) > 1 or 0 in next(iter(sizes)):
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in arrays.items())
        raise DataError(
            f"{path}: inputs must hold the same number of clips, at least one, and frames of the "
            f"same size: {shapes}"
        )
    return [arrays[name].astype(np.float32, copy=False) for name in expected]


def extract(
    request: Request, inputs: list[np.ndarray], batch_size: int | None, *, logits: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of every requested stage, float32 [B, C], logits if asked for, and notes.

    Raises UserError where logits would come from a random classifier, and DataError where a
    feature is not finite.
    """
    import torch

    frozen, loaded = request.load()
    if logits and loaded.random_parameters:
        raise UserError(
            f"--logits: the classifier of {loaded.source} does not fit and would stay random; give "
            "--num_classes as in the file, or leave out --logits"
        )
    step = batch_size or Config.batch_size
    parts: dict[str, list[np.ndarray]] = {}
    for start in progress(range(0, len(inputs[0]), step), "clips", "batch"):
        batch = [torch.from_numpy(x[start : start + step]) for x in inputs]
        for name, values in frozen.features(batch, logits=logits).items():
            rows = len(values) // len(batch[0])
            clips = [f"{start + i // rows}" for i in range(len(values))]
            require_finite(values.reshape(len(values), -1), name, clips)
            parts.setdefault(name, []).append(values)
    notes = [f"weights: {loaded.source}"]
    notes += [f"checkpoint: {loaded.note}"] if loaded.note else []
    notes += [f"left random: {name}" for name in loaded.random_parameters]
    return {name: np.concatenate(values) for name, values in parts.items()}, notes


if __name__ == "__main__":
    sys.exit(run(main))
