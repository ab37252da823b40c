"""A tiny data set with real pictures, the options of quick runs on it, and what they compute."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from measure.features import at_work, compute_features
from measure.folder import find_folder
from measure.loaded import LoadedNetwork
from measure.run import Run
from results.store import FeatureStore
from tests.datasets.helpers import noise, write_frames
from tests.helpers import stored

VIDEOS = {"arms": 20, "ball": 18, "chess": 16, "dance": 12, "eggs": 9}


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """The data set, made once for a module: not to be changed."""
    return write_videos(tmp_path_factory.mktemp("videos"), VIDEOS)


@pytest.fixture(autouse=True)
def without_figures(monkeypatch) -> None:
    """Figures have tests of their own, and take most of the time of a small run: a module of tests
    that has this fixture plots none."""
    plot_none(monkeypatch)


def plot_none(monkeypatch) -> None:
    """From here on, runs name their figures, and plot none."""
    plots = {
        "plot_parts": lambda folder, known: [folder / "parts.png"] * known[0].has_parts,
        "plot_layerwise": lambda folder, known: folder / "layerwise.png",
        "plot_joint_encoding": lambda folder, known: folder / "joint_encoding.png",
    }
    for name, plot in plots.items():
        monkeypatch.setattr(f"measure.folder.{name}", plot)


def write_videos(root: Path, counts: Mapping[str, int], styles: str = "123") -> Path:
    """Make a plain data set: smooth moving patterns in a colour per style; returns the root."""
    y, x = np.mgrid[:32, :40] / 8.0
    for index, (video, count) in enumerate(counts.items()):
        phase = np.random.default_rng(index).uniform(1, 3, 4)
        for style in styles:
            colour = np.random.default_rng(int(style)).uniform(60, 250, 3)
            grain = noise(1, 10 * index + int(style))[0] / 8
            waves = (
                np.sin(phase[0] * x + phase[1] * y + phase[2] * t + phase[3]) for t in range(count)
            )
            frames = ((wave[..., None] + 1.2) / 2.4 * colour * 0.8 + grain for wave in waves)
            write_frames(root / f"style_{style}" / video, (f.astype(np.uint8) for f in frames))
    return root


def options(data: Path, save_dir: Path, **more) -> dict:
    """Options of a small and quick run on a set made by `write_videos`."""
    return {
        "stylized_data_dir": data,
        "save_dir": save_dir,
        "dataset": "plain",
        "styles": ("1", "2", "3"),
        "model": "demo_motion",
        "checkpoint": "random",
        "image_size": 32,
        "device": "cpu",
        "num_workers": 0,
        **more,
    }


def as_argv(chosen: Mapping[str, object]) -> list[str]:
    """The same options as a command line."""
    texts = ((k, ",".join(v) if isinstance(v, tuple) else str(v)) for k, v in chosen.items())
    return [part for name, text in texts for part in (f"--{name}", text)]


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def computed(run: Run) -> tuple[Path, dict[str, np.ndarray]]:
    """The folder and the features of a run, by stage, without estimates and figures."""
    folder = find_folder(run)
    with at_work(run, folder) as network:
        found = compute_features(run, folder, network)
    assert not found.bad_videos
    assert found.store.done.all()
    return folder, {stage: stored(found.store, stage) for stage in found.store.stages}


def done(folder: Path) -> np.ndarray:
    """Which rows of the feature store of a run are recorded as computed, bool [rows]."""
    return (np.load(folder / "features" / "checksums.npy") >= 0).all(1)


def notes(stop: BaseException) -> str:
    """What is said of an error below it."""
    return "\n".join(getattr(stop, "__notes__", ()))


class Forwards:
    """Stands before the features of the network: counts clips, interrupts after some batches."""

    def __init__(self, monkeypatch, interrupt_after: int | None = None):
        self.sizes: list[int] = []
        self.left = interrupt_after
        original = LoadedNetwork.features

        def features(network, inputs):
            if self.left is not None and len(self.sizes) == self.left:
                raise KeyboardInterrupt
            self.sizes.append(len(inputs[0]))
            return original(network, inputs)

        monkeypatch.setattr(LoadedNetwork, "features", features)


class Writes:
    """Stands before the writing of features: counts rows, interrupts after some batches."""

    def __init__(self, monkeypatch, interrupt_after: int | None = None):
        self.sizes: list[int] = []
        original = FeatureStore.write

        def write(store, rows, features):
            if len(self.sizes) == interrupt_after:
                raise KeyboardInterrupt
            self.sizes.append(len(rows))
            original(store, rows, features)

        monkeypatch.setattr(FeatureStore, "write", write)


@pytest.fixture
def no_network(monkeypatch) -> None:
    """No network may be loaded."""
    monkeypatch.setattr(
        "measure.features.load_network", lambda *given: pytest.fail("the network is loaded")
    )


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file under a folder, but for empty folders."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
