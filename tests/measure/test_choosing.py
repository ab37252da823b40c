"""Which way is taken: by seconds that are made up, and by features that differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from measure import choosing
from measure.choosing import FEW, checked, choose, named, require_as_plain
from measure.steady import Unsteady, largest_difference
from models.way import HALF, Way
from utils import UserError

# Seconds a clip that each step takes off, as a factor.
FASTER = {
    "memory": 0.5,
    "folded": 0.9,
    "channels_last": 0.8,
    "pruned": 1.1,
    "compiled": 0.7,
    "bf16": 0.5,
    "fp16": 2.0,
}


class World:
    """Forwards that take as long as is said, and give features that are off by as much as is said;
    time passes only there."""

    def __init__(self, monkeypatch, seconds=1.0, off=(), fails=(), faster=FASTER):
        self.now, self.seconds, self.faster = 0.0, seconds, faster
        self.off, self.fails, self.tried = dict(off), fails, []
        monkeypatch.setattr(choosing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(choosing, "keep_memory", lambda kept: True)
        monkeypatch.setattr("models.forwards.forward_in", self.forward_in)

    convolves = True

    def plain(self, inputs):
        return self.compute(Way(), inputs)

    def forward_in(self, way, network, inputs):
        self.tried.append(way)
        for step in way.steps:
            if step in self.fails:
                raise RuntimeError(f"no {step} here\nmore of it")
        self.now += 10 * way.compiled
        return lambda inputs: self.compute(way, inputs)

    def compute(self, way, inputs):
        factor = np.prod([self.faster[step] for step in way.steps])
        self.now += self.seconds * factor * len(inputs[0]) * (1 - 0.1 * (way.batch_size > 2))
        off = sum(self.off.get(step, 0) for step in way.steps)
        return {"4": inputs[0].flatten(1), "5": (1 + off) * inputs[0].flatten(1)}


INPUTS = [torch.arange(1.0, 9).view(2, 4)]


def chosen(world, clips=1000, precision="fp32", sizes=(2, 2)):
    return choose(world, INPUTS, clips, precision, sizes)


def test_each_step_is_kept_if_it_is_faster(monkeypatch):
    found = chosen(World(monkeypatch))
    assert found.best.way.steps == ("memory", "folded", "channels_last", "compiled")
    assert found.best.seconds == pytest.approx(0.5 * 0.9 * 0.8 * 0.7)
    assert found.tried[0].way.is_plain
    assert "pruned" in found.tried[-2].way.steps  # tried, and slower


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("channels_last", ("memory", "folded")),
        ("compiled", ("memory", "folded", "channels_last")),
    ],
)
def test_a_step_whose_features_differ_is_refused(monkeypatch, step, left):
    found = chosen(World(monkeypatch, off={step: 2e-5}))
    assert found.best.way.steps == left
    (why,) = {t.refused for t in found.tried if t.refused}
    assert why.startswith("features differ from the plain ones by 2.0e-05 of the largest one")


def test_a_step_that_fails_is_refused_in_a_line(monkeypatch):
    found = chosen(World(monkeypatch, fails=["compiled"]))
    assert found.best.way.steps == ("memory", "folded", "channels_last")
    assert found.tried[-1].refused == "RuntimeError: no compiled here"
    assert found.record()["tried"][-1] == {
        "steps": ["memory", "folded", "channels_last", "compiled"],
        "batch_size": 2,
        "refused": "RuntimeError: no compiled here",
    }


def test_a_trial_that_would_take_longer_than_it_may_save_is_left_out(monkeypatch):
    world = World(monkeypatch, seconds=0.25)
    found = chosen(world, clips=200)  # 50 s: compiling takes 60
    assert found.best.way.steps == ("memory", "folded", "channels_last")
    assert not any(way.compiled for way in world.tried)


def test_layouts_of_maps_are_tried_for_networks_of_convolutions_alone(monkeypatch):
    world = World(monkeypatch)
    world.convolves = False
    assert chosen(world).best.way.steps == ("memory", "compiled")


def test_a_short_run_is_plain_and_nothing_is_tried(monkeypatch):
    world = World(monkeypatch, seconds=0.01)
    found = chosen(world, clips=900)
    assert (found.best.way, world.tried) == (Way(batch_size=2), [])
    assert found.best.forward == world.plain
    assert FEW <= 32  # as in the benchmark's 24 pairs


@pytest.mark.parametrize(
    ("precision", "off", "step"),
    [
        ("fp32", 0, None),
        ("bf16", 0.02, "bf16"),
        ("bf16", 0.05, None),
        ("auto", 1e-3, "bf16"),
        ("auto", 1e-2, None),
        ("fp16", 0, None),
    ],
)
def test_half_precision_where_it_is_allowed_near_and_faster(monkeypatch, precision, off, step):
    found = chosen(World(monkeypatch, off={"bf16": off}), precision=precision)
    assert found.best.way.precision == (step or "fp32")


def test_half_precision_that_is_asked_for_is_tried_in_short_runs_too(monkeypatch):
    world = World(monkeypatch, seconds=0.01)
    assert chosen(world, clips=50, precision="bf16").best.way.precision == "bf16"


def test_larger_batches_within_memory(monkeypatch):
    monkeypatch.setattr(choosing, "available_memory", lambda: 10**12)
    assert chosen(World(monkeypatch), sizes=(2, 32)).best.way.batch_size == 8  # 32 is no faster
    peaks = iter([0, 2 * 10**9])
    monkeypatch.setattr(choosing, "peak_memory", lambda: next(peaks))
    monkeypatch.setattr(choosing, "available_memory", lambda: 10**10)  # a clip takes 1e9
    assert chosen(World(monkeypatch), sizes=(2, 32)).best.way.batch_size == 2


def test_half_precision_that_differs_does_not_keep_from_compiling(monkeypatch):
    found = chosen(World(monkeypatch, off={"bf16": 0.1}), precision="auto")
    assert found.best.way.steps == ("memory", "folded", "channels_last", "compiled")


def test_a_folding_network_is_tried_with_one_clip(monkeypatch):
    world = World(monkeypatch)
    found = choose(world, [INPUTS[0][:1]], 1000, "fp32", (1, 1))
    assert {trial.way.batch_size for trial in found.tried} == {1}


def test_the_chosen_forward_gives_the_plain_features(monkeypatch):
    found = chosen(World(monkeypatch))
    assert torch.equal(found.best.forward(INPUTS)["5"], INPUTS[0])
    assert found.describe().startswith("way: memory+folded+channels_last+compiled, 2 clips at a ")


def test_a_way_that_is_asked_for_is_checked(monkeypatch):
    way = Way(folded=True, batch_size=2)
    assert checked(World(monkeypatch), way, INPUTS, "fp32").way == way
    with pytest.raises(UserError, match=r"^`way` folded: features differ .*give `way` plain"):
        checked(World(monkeypatch, off={"folded": 1e-3}), way, INPUTS, "fp32")
    with pytest.raises(UserError, match=r"^`way` folded: RuntimeError: no folded here; give"):
        checked(World(monkeypatch, fails=["folded"]), way, INPUTS, "fp32")


def test_features_that_are_not_finite_are_never_alike(monkeypatch):
    world = World(monkeypatch, off={"folded": np.nan})
    assert not any(step == "folded" for step in chosen(world).best.way.steps)


def test_later_clips_may_differ_by_ten_times_as_much():
    plain = {"5": np.array([[1.0, -4.0]], dtype=np.float32)}
    require_as_plain(plain, {"5": plain["5"] * np.float32(1 + 5e-5)}, "fp32")
    with pytest.raises(Unsteady, match=r"stage '5': the way that was chosen .* give `way` plain"):
        require_as_plain(plain, {"5": plain["5"] * np.float32(1 + 5e-4)}, "fp32")
    require_as_plain(plain, {"5": plain["5"] * np.float32(1.1)}, HALF[0])
    with pytest.raises(Unsteady, match="by nan"):
        require_as_plain(plain, {"5": plain["5"] * np.float32(np.nan)}, HALF[0])
    not_finite = {"5": np.array([[np.inf, -4.0]], dtype=np.float32)}
    require_as_plain(not_finite, not_finite, "fp32")  # the network's own


@pytest.mark.parametrize(
    ("expected", "found", "error"),
    [
        ([1.0, -2.0], [1.0, -2.0], 0.0),
        ([1.0, -2.0], [1.5, -2.0], 0.25),
        ([0.0], [0.0], 0.0),
        ([0.0], [1.0], np.inf),
        ([1.0, np.nan], [1.0, 1.0], np.nan),
        ([], [], 0.0),
    ],
)
def test_largest_difference(expected, found, error):
    got = largest_difference(np.array(expected), np.array(found))
    assert got == error or (np.isnan(got) and np.isnan(error))


def test_names():
    assert named(Way()) == "plain"
    assert named(replace(Way(), memory=True, precision="bf16")) == "memory+bf16"
