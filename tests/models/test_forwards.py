"""Forwards in all ways: the plain features, within rounding."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from measure.steady import largest_difference
from models import catalogue, forwards
from models.folding import fold, norms_after_convolutions
from models.forwards import Fitting, Staged, forward_in
from models.network import BY_SHAPE, HookPoint
from models.way import HALF, SWITCHES, Way
from utils import DataError


class Block(nn.Module):
    """Convolutions with batch norms, an activation in place, and a branch that nobody measures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 8, 3, padding=1, bias=False), nn.BatchNorm3d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.norm2 = nn.Conv3d(8, 4, 1), nn.BatchNorm3d(4)
        self.branch = nn.Conv3d(3, 5, 3)
        self.head = nn.Linear(4, 2)
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        aside = self.branch(x)
        y = self.relu(self.norm(self.conv(x)))
        y = self.norm2(self.conv2(y))
        return self.head(y.mean((2, 3, 4))), aside


def block() -> Block:
    torch.manual_seed(0)
    module = Block()
    with torch.no_grad():
        for norm in (module.norm, module.norm2):
            for value in (norm.running_mean, norm.weight, norm.bias):
                value.uniform_(0.2, 1.5)
            norm.running_var.uniform_(0.5, 2)
    return module.eval()


POINTS = {"1": (HookPoint("relu"),), "2": (HookPoint("norm2"), HookPoint("conv2"))}


def staged(points=POINTS) -> Staged:
    return Staged(block(), points, BY_SHAPE)


def clips(n: int = 2) -> list[torch.Tensor]:
    return [torch.randn(n, 3, 4, 12, 12, generator=torch.Generator().manual_seed(1))]


def relative_error(found, expected) -> float:
    return largest_difference(expected.detach().numpy(), found.detach().numpy())


def error(found, expected) -> float:
    assert list(found) == list(expected)
    return max(relative_error(found[stage].float(), x) for stage, x in expected.items())


ON = [
    dict.fromkeys(names, True)
    for n in (1, 2, 4)
    for names in itertools.combinations(("memory", "folded", "channels_last", "pruned"), n)
]


@pytest.mark.parametrize("switches", ON, ids="+".join)
def test_features_are_the_plain_ones(switches):
    network, x = staged(), clips()
    expected = network.plain(x)
    forward = forward_in(Way(batch_size=2, **switches), network, x)
    for n in (2, 1):  # a batch that is not full too
        found = forward([part[:n] for part in x])
        assert error(found, {stage: y[:n] for stage, y in expected.items()}) < 1e-5
    assert error(network.plain(x), expected) == 0  # the network itself is as it was


@pytest.mark.parametrize("precision", HALF)
def test_half_precision_is_near_and_its_features_are_not_rounded_once_more(precision):
    network, x = staged(), clips()
    found = forward_in(Way(precision=precision, batch_size=2), network, x)(x)
    assert 1e-6 < error(found, network.plain(x)) < 2e-2
    assert {y.dtype for y in found.values()} == {torch.float32}
    rounded = {stage: y.to(forwards.DTYPES[precision]).float() for stage, y in found.items()}
    assert error(rounded, found) > 0


@pytest.mark.parametrize("name", ["slowfast_r50_4x16", "mvit"])
def test_networks_of_the_study(name):
    network = catalogue.find(name, "plain")
    small = replace(network, clip=replace(network.clip, crop=64)) if name != "mvit" else network
    torch.manual_seed(0)
    points = dict(list(network.stage_points("all").items())[:2])
    own = Staged(small.module(), points, network.unit_rule)
    x = [torch.randn(1, *shape) for shape in small.clip.shapes.values()]
    way = Way(folded=True, channels_last=True, pruned=True)
    assert error(forward_in(way, own, x)(x), own.plain(x)) < 1e-5


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("c++")), reason="needs a compiler")
def test_compiled():
    network, x = staged({"1": (HookPoint("relu"),)}), clips()
    forward = forward_in(Way(compiled=True, batch_size=2), network, x)
    other = [torch.randn_like(x[0])]
    for part in (x, other, [other[0][:1]]):
        assert error(forward(part), network.plain(part)) < 1e-5


@pytest.mark.parametrize(
    ("module", "convolves"),
    [
        (nn.Conv3d(3, 8, 3), True),
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.Linear(100, 100)), False),
        (nn.LayerNorm(4), False),
    ],
    ids=["convolution", "mostly linear", "norm"],
)
def test_networks_of_convolutions(module, convolves):
    assert Staged(module, {}, BY_SHAPE).convolves == convolves


def test_what_no_stage_depends_on_is_left_out(monkeypatch):
    graphs = []
    monkeypatch.setattr(forwards, "_of_size", lambda size, run, stages: graphs.append(run))
    forward_in(Way(pruned=True, batch_size=2), staged(), clips())
    text = str(graphs[0].graph)
    assert text.count("aten.convolution") == 2  # not the branch
    assert "aten.addmm" not in text  # nor what comes after the last stage


def test_values_that_a_forward_takes_from_tensors_cannot_be_recorded():
    class Asks(Block):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    network = replace(staged(), module=Asks().eval())
    with pytest.raises(Exception, match=r"tracing|data-dependent|proxy|trace"):
        forward_in(Way(pruned=True, batch_size=2), network, clips())


class TestFolding:
    def test_pairs_are_those_that_run_one_after_the_other(self):
        module = block()
        assert norms_after_convolutions(module, lambda: module(*clips())) == [
            ("conv", "norm"),
            ("conv2", "norm2"),
        ]
        assert norms_after_convolutions(module, lambda: module(*clips()), ["norm2"]) == [
            ("conv", "norm")
        ]

    def test_without_statistics_and_in_training_norms_stay(self):
        module = block()
        module.norm = nn.BatchNorm3d(8, track_running_stats=False).eval()
        module.norm2.train()
        assert norms_after_convolutions(module, lambda: module(*clips())) == []

    def test_modules_that_run_twice_stay(self):
        class Twice(Block):
            def forward(self, x):
                super().forward(x)
                return super().forward(x)

        module = Twice().eval()
        assert norms_after_convolutions(module, lambda: module(*clips())) == []

    def test_what_is_folded_computes_the_same(self):
        module, x = block(), clips()
        expected = module(*x)[0]
        fold(module, norms_after_convolutions(module, lambda: module(*x)))
        assert isinstance(module.norm, nn.Identity)
        assert module.conv.weight.dtype == torch.float32
        assert relative_error(module(*x)[0], expected) < 1e-5


class TestFitting:
    @staticmethod
    def lacking(most: int, seen: list[int]):
        """A forward that has memory for so many clips."""

        def forward(inputs):
            seen.append(len(inputs[0]))
            if len(inputs[0]) > most:
                raise MemoryError
            return {"1": inputs[0].flatten(1)}

        return forward

    @pytest.mark.parametrize("most", [1, 2, 3])
    def test_clips_are_halved_until_they_fit(self, monkeypatch, most, capsys):
        seen: list[int] = []
        forward = self.lacking(most, seen)
        monkeypatch.setattr(forwards, "forward_in", lambda way, network, inputs: forward)
        fitting = Fitting(staged(), Way(batch_size=8), forward)
        x = clips(7)
        assert torch.equal(fitting(x)["1"], x[0].flatten(1))
        size = {1: 1, 2: 1, 3: 3}[most]
        assert seen[-1] == (7 % size or size)
        assert f"goes on with {size} clip" in capsys.readouterr().out
        seen.clear()
        fitting(x)
        assert max(seen) == size  # from then on

    def test_one_clip_that_does_not_fit_is_an_error(self, monkeypatch):
        forward = self.lacking(0, [])
        monkeypatch.setattr(forwards, "forward_in", lambda way, network, inputs: forward)
        with pytest.raises(MemoryError):
            Fitting(staged(), Way(batch_size=4), forward)(clips(4))

    def test_other_errors_are_raised_at_once(self):
        def forward(inputs):
            raise ValueError("seven")

        with pytest.raises(ValueError, match="seven"):
            Fitting(staged(), Way(batch_size=4), forward)(clips(4))


class TestWay:
    @pytest.mark.parametrize(
        "way",
        [
            Way(),
            Way(batch_size=3, memory=True, compiled=True, precision="bf16"),
            Way(**dict.fromkeys(SWITCHES, True)),
        ],
    )
    def test_a_record_gives_the_way_back(self, way):
        record = {"steps": list(way.steps), "batch_size": way.batch_size}
        assert Way.of_record(record) == way

    @pytest.mark.parametrize(
        "record",
        [
            {},
            {"steps": ["fast"], "batch_size": 1},
            {"steps": "folded", "batch_size": 1},
            {"steps": [["folded"]], "batch_size": 1},
            {"steps": [], "batch_size": 0},
            {"steps": [], "batch_size": True},
            {"steps": [], "batch_size": "2"},
        ],
    )
    def test_a_damaged_record_is_refused(self, record):
        with pytest.raises(DataError, match="the record of the way to compute is damaged"):
            Way.of_record(record)

    def test_memory_alone_changes_no_feature(self):
        assert Way(memory=True).is_plain
        assert not any(Way(**{name: True}).is_plain for name in SWITCHES if name != "memory")
