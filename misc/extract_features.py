"""Features of given clips at given stages: clips.npz in, features.npz out.

    python misc/extract_features.py --model i3d --checkpoint I3D_8x8_R50.pkl --clips clips.npz \\
        --stg all --save features.npz

clips.npz holds normalised inputs: `video` [B, 3, T, H, W], for SlowFast `slow` and `fast`.
features.npz holds one float32 array [B, C] per stage, and "logits" [B, classes] with --logits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from config import Config, add_options  # noqa: E402
from models.registry import Network, find  # noqa: E402
from utils import DataError, check_output, open_npz, progress, resolve_device, run, save_npz  # noqa: E402

OPTIONS = (
    *("model", "checkpoint", "num_classes", "allow_other_head", "stg", "path", "fuse"),
    *("dataset", "random_seed", "batch_size", "device"),
)

# Five stages halve the frame: below this, the last of them is empty.
MIN_SIZE = 32


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, extract, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, OPTIONS)
    parser.add_argument("--clips", type=Path, required=True, help=".npz file of inputs")
    parser.add_argument("--save", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--logits", action="store_true", help="save the classifier's output too")
    options = vars(parser.parse_args(argv))
    clips, save, logits = options.pop("clips"), options.pop("save"), options.pop("logits")
    config = Config(**options)

    replaced = check_output(save)
    network = find(config.model, config.dataset)
    network.requested_stages(config.stg)
    checkpoint = network.checkpoint(config.checkpoint)
    inputs = read_inputs(clips, network)
    features = extract(config, network, checkpoint, inputs, logits=logits)
    save_npz(save, features)
    for name, values in features.items():
        print(f"{name}: {values.shape[0]} clips x {values.shape[1]}")
    print(f"saved: {save}{replaced}")


def read_inputs(path: Path, network: Network) -> list[np.ndarray]:
    """The inputs in `path` in the network's order, float32 [B, 3, T, H, W] each.

    Raises DataError where an input is missing, misshaped or not finite.
    """
    arrays = open_npz(path)
    expected = dict(network.clip.inputs)
    if set(arrays) != set(expected):
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; {network.name} takes "
            f"{', '.join(expected)}"
        )
    for name, frames in expected.items():
        array = arrays[name]
        if array.ndim != 5 or array.shape[1:3] != (3, frames) or array.dtype.kind != "f":
            raise DataError(
                f"{path}: {name!r} is {array.dtype} {list(array.shape)}; {network.name} takes "
                f"float32 [B, 3, {frames}, H, W]"
            )
        if min(array.shape[3:]) < MIN_SIZE:
            raise DataError(
                f"{path}: {name!r} is {list(array.shape)}; frames must be at least "
                f"{MIN_SIZE}x{MIN_SIZE} pixels"
            )
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name!r} holds NaN or inf")
    sizes = {(len(array), *array.shape[3:]) for array in arrays.values()}
    if len(sizes) > 1 or 0 in next(iter(sizes)):
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in arrays.items())
        raise DataError(
            f"{path}: inputs must hold the same number of clips, at least one, and frames of the "
            f"same size: {shapes}"
        )
    return [arrays[name].astype(np.float32, copy=False) for name in expected]


def extract(
    config: Config, network: Network, checkpoint: str, inputs: list[np.ndarray], *, logits: bool
) -> dict[str, np.ndarray]:
    """Features of every requested stage, float32 [B, C], and "logits" if asked for."""
    import torch

    from models.capture import stage_features
    from models.checkpoints import load

    device = resolve_device(config.device)
    module, _ = load(
        network,
        checkpoint,
        num_classes=config.num_classes,
        allow_other_head=config.allow_other_head,
        seed=config.random_seed,
    )
    module.to(device)
    taps = network.stage_taps(config.stg, config.path, config.fuse)
    parts: dict[str, list[np.ndarray]] = {}
    for start in progress(range(0, len(inputs[0]), config.batch_size), "clips", "batch"):
        batch = [torch.from_numpy(x[start : start + config.batch_size]).to(device) for x in inputs]
        for name, values in stage_features(module, batch, taps, logits=logits).items():
            parts.setdefault(name, []).append(values.float().cpu().numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


if __name__ == "__main__":
    sys.exit(run(main))
