"""Networks that were trained on one kind of information, several times, and untrained ones.

The networks of the demo are trained as misc/train_demo.py does, in fewer steps, so that all of this
takes minutes: they are right on most clips that training never drew. Beside them
stand two networks of another family, trained in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from datasets.geometry import ClipGeometry
from estimation.estimator import Estimate
from estimation.inference import PARTS
from estimation.stage import estimate_stage
from measure.features import LoadedNetwork
from misc import train_demo
from misc.validation import tubelets
from misc.validation.answers import Answer, Row, Settings, picked, stage_rows
from misc.validation.clips import Change, Footage, Order, as_it_is, features, shuffled, synthetic
from misc.validation.designs import every_pair
from models.catalogue import find
from models.checkpoints import load
from models.network import RANDOM, Network
from results.colours import LIKE
from results.panels import Panel, Series

# Steps of training: the demo's networks are trained for longer.
MOTION_STEPS, APPEARANCE_STEPS, TUBELET_STEPS = 200, 60, 300
SEEDS = (1, 2, 3)
# Of held-out clips; the networks that come with the toolkit are better.
LOW_ACCURACY = 0.8
VIDEOS, VIDEOS_SEED = 48, 2022
# What networks were trained on, and the factor or class whose colour they have.
TASKS = {"motion": "same", "appearance": "different", "nothing": "dead"}


class Kind(NamedTuple):
    """Networks that are trained alike.

    family: "demo" or "tubelet".
    task: "motion" or "appearance".
    steps: of training.
    learning_rate: the highest.
    seeds: of each training.
    """

    family: str
    task: str
    steps: int
    learning_rate: float
    seeds: tuple[int, ...]

    @property
    def network(self) -> Network:
        """The record."""
        if self.family == "demo":
            return find(f"demo_{self.task}")
        return tubelets.record(self.task)

    @property
    def training(self) -> train_demo.Task:
        """What it learns, and how."""
        task = train_demo.TASKS[f"demo_{self.task}"]
        return replace(task, steps=self.steps, learning_rate=self.learning_rate)


KINDS = (
    Kind("demo", "motion", MOTION_STEPS, train_demo.LEARNING_RATE, SEEDS),
    Kind("demo", "appearance", APPEARANCE_STEPS, train_demo.LEARNING_RATE, SEEDS),
    Kind("tubelet", "motion", TUBELET_STEPS, 3e-3, SEEDS[:1]),
    Kind("tubelet", "appearance", APPEARANCE_STEPS, 3e-3, SEEDS[:1]),
)


def loaded(network: Network, checkpoint: str, seed: int = 1, stages: str = "all") -> LoadedNetwork:
    """A network with the weights of a file, or random ones, on the CPU, ready to be measured."""
    module, _ = load(network, checkpoint, seed=seed)
    points = network.stage_points(stages)
    return LoadedNetwork(module, points, torch.device("cpu"), network.unit_rule)


def trained(kind: Kind, seed: int, folder: Path) -> tuple[LoadedNetwork, float]:
    """A network with the weights in `folder`, trained now if they are not there; and the share of
    held-out clips that it gets right, which differs a little from machine to machine."""
    network, path = kind.network, folder / f"{kind.network.name}_seed{seed}.safetensors"
    if not path.exists():
        train_demo.save(train_demo.train(network, kind.training, seed), path)
    ready = loaded(network, str(path))
    return ready, train_demo.accuracy(ready.module, network, kind.training, seed)


def geometry_of(network: Network) -> ClipGeometry:
    """How a network of videos wants its clips."""
    assert isinstance(network.clip, ClipGeometry)
    return network.clip


def measured(
    network: LoadedNetwork,
    record: Network,
    footage: Footage,
    change: Change = as_it_is,
    order: Order = shuffled,
) -> dict[str, Estimate]:
    """The estimate of every stage, from every pair of all videos and styles."""
    found = features(network, geometry_of(record), footage, change, order)
    design = every_pair(footage.videos, len(footage.styles))
    return {stage: estimate_stage(x.__getitem__, design) for stage, x in found.items()}


def networks(settings: Settings) -> Iterator[tuple[Row, Network, LoadedNetwork]]:
    """The trained networks, and each with random weights: keys of rows, record, network."""
    for kind in KINDS:
        for seed in kind.seeds:
            own = settings.seed - 1 + seed
            network, right = trained(kind, own, settings.trained)
            keys = {"network": kind.network.name, "family": kind.family, "seed": own}
            yield {**keys, "trained_on": kind.task, "right": round(right, 3)}, kind.network, network
    for kind in KINDS[::2]:
        for seed in kind.seeds:
            own = settings.seed - 1 + seed
            untrained = loaded(kind.network, RANDOM, own)
            keys = {"network": f"{kind.family} untrained", "family": kind.family, "seed": own}
            yield {**keys, "trained_on": "nothing", "right": ""}, kind.network, untrained


def answer(settings: Settings) -> Answer:
    """Train, measure every stage, compare the last ones."""
    footage = synthetic(VIDEOS_SEED, VIDEOS)
    rows: list[Row] = []
    for keys, record, network in networks(settings):
        for stage, estimate in measured(network, record, footage).items():
            rows += stage_rows({**keys, "stage": stage}, estimate)
    panels = [_networks_panel(rows), _stages_panel(rows)]
    return Answer({"trained": rows}, [panels], list(_lines(rows)), panels)


def last_stages(rows: Sequence[Row]) -> list[Row]:
    """The rows of the last stage of each network."""
    last = {row["family"]: row["stage"] for row in rows}
    return [row for row in rows if row["stage"] == last[row["family"]]]


def _networks_panel(rows: Sequence[Row]) -> Panel:
    """The parts of the last stage of every network: mean, smallest and largest over seeds."""
    last = last_stages(rows)
    names = list(dict.fromkeys(row["network"] for row in last))
    return Panel(
        title="last stage: mean and range over seeds",
        kind="bars",
        xlabel="",
        ylabel="part of the variance",
        positions=range(len(names)),
        series=[
            _over_seeds(
                part.replace("_", " "), [picked(last, part, network=n) for n in names], part
            )
            for part in PARTS
        ],
        ticks=list(enumerate(names)),
        references=[("y", 0.0), ("y", 1.0)],
    )


def _stages_panel(rows: Sequence[Row]) -> Panel:
    """The dynamic part by stage of the demo's networks."""
    own = [row for row in rows if row["family"] == "demo"]
    stages = list(dict.fromkeys(row["stage"] for row in own))
    return Panel(
        title="demo: by stage",
        kind="lines",
        xlabel="stage",
        ylabel="dynamic only",
        positions=range(len(stages)),
        series=[
            _over_seeds(
                f"trained on {task}",
                [picked(own, "dynamic_only", trained_on=task, stage=s) for s in stages],
                like,
            )
            for task, like in TASKS.items()
        ],
        ticks=list(enumerate(stages)),
        references=[("y", 0.0), ("y", 1.0)],
    )


def _over_seeds(label: str, groups: Sequence[Sequence[Row]], like: str) -> Series:
    """The mean, the smallest and the largest value of the rows of each group."""
    values = [[row["value"] for row in group] for group in groups]
    mean, low, high = (np.array([f(v) for v in values]) for f in (np.mean, min, max))
    return Series(label, mean, low, high, like=LIKE.get(like, like))


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in last_stages(rows) if row["network"] == name]
        values = {p: [r["value"] for r in picked(own, p)] for p in ("dynamic_only", "static_only")}
        spans = ", ".join(
            f"{part.replace('_', ' ')} {min(v):.2f} to {max(v):.2f}" for part, v in values.items()
        )
        yield f"{name}: {spans} over {len(values['static_only'])} seeds, at the last stage"
    for row in picked(last_stages(rows), "static_only"):
        if row["right"] != "" and row["right"] < LOW_ACCURACY:
            yield (
                f"{row['network']}, seed {row['seed']}: has learned little, right on "
                f"{row['right']:.0%} of held-out clips"
            )
