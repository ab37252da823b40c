"""Features of given clips at given stages: clips.npz in, features.npz out.

    python misc/extract_features.py --model i3d --checkpoint I3D_8x8_R50.pkl --clips clips.npz \\
        --stg all --save features.npz

clips.npz holds normalised inputs: `video` [B, 3, T, H, W], for SlowFast `slow` and `fast`; for
segmentation `image` and `flow`, [B, 3, H, W] (RTNet: [B, 2, 3, H, W] and [B, 2, 6, H, W]).
features.npz holds one float32 array [B, C] per stage (RTNet: [2B, C], a row per frame in order
clip, frame), and with --logits "logits" [B, classes], or those of masks [B, 1 or 2, H, W] (RTNet:
"logits1" to "logits4", finest first).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _path

import numpy as np

from common.files import check_output
from common.npz import open_npz, save_npz
from common.options import script_parser
from common.process import run_script
from config import Config, add_options, from_given
from estimation.estimator import require_finite
from measure.loaded import clips_at_once, load_network
from measure.prepare import fetched
from measure.request import find_network, resolved
from misc.outputs import given_files
from models.network import Network
from utils import DataError, UserError, progress

OPTIONS = (
    *("model", "cfg_file", "checkpoint", "weights_dir", "trained_on", "num_classes"),
    *("allow_other_head", "stg", "unit_dim", "path", "fuse", "dataset", "clip_frames"),
    *("image_size", "random_seed", "batch_size", "device"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, extract, save."""
    parser = script_parser(__doc__)
    add_options(parser, OPTIONS)
    parser.add_argument("--clips", type=Path, required=True, help=".npz file of inputs")
    parser.add_argument("--save", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--logits", action="store_true", help="save the network's output too")
    given = vars(parser.parse_args(argv))
    clips, save, logits = given.pop("clips"), given.pop("save"), given.pop("logits")

    replaced = check_output(save, inputs=[clips, *given_files(given)])
    config = resolved(from_given(given))
    network = find_network(config)
    network.requested_stages(config.stg)
    checkpoint = network.checkpoint(config.checkpoint)
    inputs = read_inputs(clips, network)
    checkpoint = fetched(config, network, checkpoint)
    features, notes = extract(config, network, checkpoint, inputs, logits=logits)
    save_npz(save, features)
    for name, values in features.items():
        rows = "clips" if len(values) == len(inputs[0]) else "frames"
        print(f"{name}: {len(values)} {rows} x {' x '.join(map(str, values.shape[1:]))}")
    print("\n".join([*notes, f"saved: {save}{replaced}"]))


def read_inputs(path: Path, network: Network) -> list[np.ndarray]:
    """The inputs in `path` in the network's order, float32 [B, ..., H, W] each.

    Raises DataError where an input is missing, misshaped or not finite.
    """
    arrays = open_npz(path)
    expected = {name: shape[:-2] for name, shape in network.clip.shapes.items()}
    if set(arrays) != set(expected):
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; {network.name} takes "
            f"{', '.join(expected)}"
        )
    for name, axes in expected.items():
        array = arrays[name]
        if array.ndim != len(axes) + 3 or array.shape[1:-2] != axes or array.dtype.kind != "f":
            raise DataError(
                f"{path}: {name!r} is {array.dtype} {list(array.shape)}; {network.name} takes "
                f"float32 [B, {', '.join(map(str, axes))}, H, W]"
            )
        if min(array.shape[-2:]) < network.smallest_crop:
            raise DataError(
                f"{path}: {name!r} is {list(array.shape)}; frames must be at least "
                f"{network.smallest_crop}x{network.smallest_crop} pixels"
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
    config: Config,
    network: Network,
    checkpoint: str,
    inputs: list[np.ndarray],
    *,
    logits: bool,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of every requested stage, float32 [B, C], logits if asked for, and notes.

    Raises UserError where logits would come from a random classifier, and DataError where a
    feature is not finite.
    """
    import torch

    ready, loaded = load_network(config, network, checkpoint)
    if logits and loaded.random_parameters:
        raise UserError(
            f"--logits: the classifier of {loaded.source} does not fit and would stay random; give "
            "--num_classes as in the file, or leave out --logits"
        )
    step = clips_at_once(config, ready.device)
    parts: dict[str, list[np.ndarray]] = {}
    for start in progress(range(0, len(inputs[0]), step), "clips", "batch"):
        batch = [torch.from_numpy(x[start : start + step]) for x in inputs]
        found = ready.features(batch, logits=logits)
        if start == 0:
            ready.require_steady(batch, {name: found[name] for name in ready.points})
        for name, values in found.items():
            rows = len(values) // len(batch[0])
            clips = [f"{start + i // rows}" for i in range(len(values))]
            require_finite(values.reshape(len(values), -1), name, clips)
            parts.setdefault(name, []).append(values)
    notes = [f"weights: {loaded.source}"]
    notes += [f"checkpoint: {loaded.note}"] if loaded.note else []
    notes += [f"left random: {name}" for name in loaded.random_parameters]
    return {name: np.concatenate(values) for name, values in parts.items()}, notes


if __name__ == "__main__":
    sys.exit(run_script(main))
