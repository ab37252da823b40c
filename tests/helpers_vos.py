"""A small set in the trees of Stylized DAVIS, two tiny segmentation networks, and quick runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from common.options import as_text
from config import Config, changed
from datasets.geometry import FlowGeometry
from main import main
from measure import features
from models import catalogue
from models.network import HookPoint, Network, Weights
from models.tables.two_stream import TWO_STREAM
from tests.datasets.helpers_davis import STYLES, write_trees
from tests.helpers import fill
from tests.helpers_runs import plot_none

TRAININGS = ("davis", "taovos")


@dataclass(frozen=True)
class TinySpec:
    """What tells one tiny network from another.

    frames: of a clip.
    gain: of the fusion, an option of the configuration.
    trained_on: training set of the weights.
    """

    frames: int = 1
    gain: int = 1
    trained_on: str = TRAININGS[0]


class Tiny(nn.Module):
    """Two streams of a convolution each and their fusion; frames of a clip are rows."""

    def __init__(self, spec: TinySpec):
        super().__init__()
        self.app = nn.Conv2d(3, 5, 3)
        self.mot = nn.Conv2d(3 * spec.frames, 4, 3)
        self.fusion = nn.Conv2d(9, 6, 1)
        self.gain = spec.gain

    def forward(self, image, flow):
        if image.ndim == 5:
            image, flow = image.flatten(0, 1), flow.flatten(0, 1)  # [2 B, 3, H, W], [2 B, 6, H, W]
        streams = torch.cat([self.app(image).relu(), self.mot(flow).relu()], 1)
        return self.gain * self.fusion(streams)


def build_tiny(spec: TinySpec, num_classes: int) -> Tiny:
    """The module of `tiny_networks`."""
    return Tiny(spec)


def _points(spec: TinySpec) -> dict[str, tuple[HookPoint, ...]]:
    modules = {"conv1,app_stream": "app", "conv1,mot_stream": "mot", LAST: "fusion"}
    return {stage: (HookPoint(module),) for stage, module in modules.items()}


def _name(name: str, options: Mapping[str, Any], spec: TinySpec) -> str:
    return f"{name}_{spec.trained_on}"


LAST = "layer4,sensor_fusion"
UNITS = {"conv1,app_stream": 5, "conv1,mot_stream": 4, LAST: 6}


def tiny_networks() -> tuple[Network, Network]:
    """Networks of a few hundred parameters, of one frame ("tiny") and of two ("tiny2")."""
    shared = {
        **TWO_STREAM,
        "family": "Tiny",
        "build": "tests.helpers_vos:build_tiny",
        "points": _points,
        "smallest_crop": 8,
    }
    one = Network(
        name="tiny",
        spec=TinySpec(),
        options={"gain": (1, 2), "trained_on": TRAININGS},
        naming=_name,
        weights=Weights("Ask for tiny_{trained_on}.pth", untrained="_random"),
        **shared,
    )
    two = Network(
        name="tiny2",
        spec=TinySpec(frames=2),
        weights=Weights("None are published", untrained="_random"),
        **{**shared, "clip": FlowGeometry(one.clip.size, frames=2)},
    )
    return one, two


def write_config(root: Path, **more) -> Path:
    """Write the JSON configuration of a quick run on the trees in `root`; returns its path."""
    content = {
        "original_data_root": str(root / "original"),
        "stylized_data_root": str(root / "stylized"),
        "split": "val",
        "nreps": 2,
        "crop_size": [10, 16],
        "model": "tiny",
        **more,
    }
    path = root / f"{content['model']}.json"
    path.write_text(json.dumps(content))
    return path


def quick(root: Path, save_dir: Path, *, model: str = "tiny", **more) -> Config:
    """The options of a quick run on the trees in `root`."""
    chosen = {
        "cfg_file": write_config(root, model=model),
        "checkpoint": "random",
        "styles": STYLES,
        "save_dir": save_dir,
        "batch_size": 4,
        "num_workers": 0,
        "device": "cpu",
        **more,
    }
    return Config(**chosen)


def as_argv(config: Config) -> list[str]:
    """The same options as a command line; those that are as by default are left out."""
    return [
        part for name in changed(config) for part in (f"--{name}", as_text(getattr(config, name)))
    ]


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> Path:
    """The trees, made once: not to be changed."""
    return write_trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Runs know the tiny networks as well, plot no figures, and see no variables."""
    table = SimpleNamespace(NETWORKS=tiny_networks())
    monkeypatch.setattr(catalogue, "TABLES", (*catalogue.TABLES, table))
    plot_none(monkeypatch)  # which takes most of the time
    for variable in ("ORIGINAL_DATA_ROOT", "STYLIZED_DATA_ROOT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def weights(tmp_path) -> str:
    """A file of known weights of "tiny"; results do not depend on PyTorch's random ones."""
    torch.save({"model_state": fill(Tiny(TinySpec()).state_dict())}, tmp_path / "w.pt")
    return str(tmp_path / "w.pt")


def run(config: Config) -> None:
    """The same as the command line does."""
    main(as_argv(config))


def place(save_dir: Path, model: str = "tiny_davis_random", seed: int = 1) -> Path:
    """The folder of a run of `model` under `save_dir`."""
    return save_dir / f"{model}_StylizedDAVIS_seed{seed}"


def no_network(monkeypatch) -> None:
    """From here on, loading a network fails the test."""
    monkeypatch.setattr(features, "load_network", lambda *_: pytest.fail("the network is loaded"))


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file under a folder, but for empty folders."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
