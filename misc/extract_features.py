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
from estimation.estimator import require_finite  # noqa: E402
from models.registry import Network, find  # noqa: E402
from pipeline import load_network  # noqa: E402
from utils import DataError, UserError, check_output, open_npz, progress, run, save_npz  # noqa: E402

OPTIONS = (
    *("model", "checkpoint", "num_classes", "allow_other_head", "stg", "path", "fuse"),
    *("dataset", "random_seed", "batch_size", "device"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, extract, save."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
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
    features, notes = extract(config, network, checkpoint, inputs, logits=logits)
    save_npz(save, features)
    for name, values in features.items():
        print(f"{name}: {values.shape[0]} clips x {values.shape[1]}")
    print("\n".join([f"weights: {checkpoint}", *notes, f"saved: {save}{replaced}"]))


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
        smallest = network.smallest_crop
        if min(array.shape[3:]) < smallest:
            raise DataError(
                f"{path}: {name!r} is {list(array.shape)}; frames must be at least "
                f"{smallest}x{smallest} pixels"
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
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of every requested stage, float32 [B, C], "logits" if asked for, and notes.

    Raises UserError where logits would come from a random classifier, and DataError where a
    feature is not finite.
    """
    import torch

    frozen, loaded = load_network(config, network, checkpoint)
    if logits and loaded.random_parameters:
        raise UserError(
            f"--logits: the classifier of {checkpoint} does not fit and would stay random; give "
            "--num_classes as in the file, or leave out --logits"
        )
    parts: dict[str, list[np.ndarray]] = {}
    for start in progress(range(0, len(inputs[0]), config.batch_size), "clips", "batch"):
        batch = [torch.from_numpy(x[start : start + config.batch_size]) for x in inputs]
        for name, values in frozen.features(batch, logits=logits).items():
            require_finite(values, name, [f"{start + i}" for i in range(len(values))])
            parts.setdefault(name, []).append(values)
    notes = [f"checkpoint: {loaded.note}"] if loaded.note else []
    notes += [f"left random: {name}" for name in loaded.random_parameters]
    return {name: np.concatenate(values) for name, values in parts.items()}, notes


if __name__ == "__main__":
    sys.exit(run(main))
