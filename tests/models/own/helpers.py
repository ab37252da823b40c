"""Runs of a user's own networks, their modules, and what they see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from config import Config
from datasets.batches import read_frame
from measure.features import at_work, compute_features
from measure.folder import find_folder
from measure.prepare import Run, prepare
from models.catalogue import find
from models.checkpoints import load
from models.network import BUILT
from results.store import FeatureStore
from tests.helpers_runs import options, read_rows


def chosen(data: Path, save_dir: Path, model: str, **more) -> dict:
    """Options of a small run of one's own network, with the clips and weights that it brings."""
    own = options(data, save_dir, model=model, **more)
    return {k: v for k, v in own.items() if k in more or k not in ("image_size", "checkpoint")}


def computed(config: Config) -> tuple[Run, Path, FeatureStore]:
    """A run, its folder, and the features of its clips."""
    run = prepare(config)
    folder = find_folder(run)
    with at_work(run, folder) as network:
        return run, folder, compute_features(run, folder, network).store


def built(name: str, **more) -> nn.Module:
    """The module of one's own network as it is built."""
    return load(find(name, **more), BUILT, seed=more.get("seed", 0))[0]


def first_pixels(folder: Path, data: Path, shown: Sequence[int]) -> np.ndarray:
    """Frames of the first clip of a run, uint8 [T, H, W, 3], counted from where it starts."""
    clip = read_rows(folder / "features" / "clips.csv")[0]
    frames = sorted((data / f"style_{clip['style']}" / clip["video"]).iterdir())
    return np.stack([read_frame(frames[int(clip["start"]) + i]) for i in shown])
